//! Why a user cannot use a path, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, stat};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::{Stop, Subject};
use crate::ownership::is_shared;

/// Extended attributes with access lists: `acl(5)`, and those of NFS 4.
const ACLS: [&str; 2] = ["system.posix_acl_access", "system.nfs4_acl"];

/// Mode bits of one class.
pub(super) const READ: u32 = 4;
pub(super) const EXECUTE: u32 = 1;

/// Homes, and folders whose content is secret.
const CLOSED: [&str; 3] = ["/root", "/etc/ssl/private", "/etc/pki/tls/private"];

/// Whether a mode of a file allows a use.
pub(super) enum Allowed {
    Yes,
    No,
    /// The mode does not tell. Holds the reason.
    Unknown(String),
}

/// Judges by the owner, the group and the mode (`path_resolution(7)`).
pub(super) fn allowed(subject: &Subject, place: &Path, status: &FileStat, bits: u32) -> Allowed {
    let has = |shift: u32| (status.st_mode >> shift) & bits == bits;
    let is_folder = status.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
    let is_allowed = if subject.is_root() {
        // Root may do everything, and run every file that any class may run.
        is_folder || bits & EXECUTE == 0 || status.st_mode & 0o111 != 0
    } else if subject.is_owner(status.st_uid) {
        has(6)
    } else if let Some(acl) = acl_of(place) {
        return Allowed::Unknown(format!("{} has an access list ({acl}); see: getfacl", place.display()));
    } else if subject.is_in(status.st_gid) {
        has(3)
    } else {
        has(0)
    };
    if is_allowed { Allowed::Yes } else { Allowed::No }
}

fn acl_of(place: &Path) -> Option<&'static str> {
    ACLS.into_iter().find(|name| rustix::fs::getxattr_query(place, *name).is_ok_and(|length| length > 0))
}

/// Why a user cannot use a path.
#[derive(Debug)]
pub struct Obstacle {
    /// The path that was asked about.
    asked: PathBuf,
    /// The place on the way that is the cause, without links.
    place: PathBuf,
    user: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// There is no such file.
    Missing,
    /// The mode of the place lacks these bits for the user.
    Mode { mode: u32, bits: u32 },
    /// The place has an access list.
    Acl,
    /// The file system is mounted with `noexec`.
    NoExec,
    /// The kernel refuses, and the mode does not tell why.
    Refused(Errno),
    /// Another error.
    Error(Errno),
    /// There was no answer in this time.
    Silent(Duration),
}

impl Obstacle {
    /// The path did not answer in this time.
    #[must_use]
    pub fn silent(path: &Path, waited: Duration) -> Self {
        let [asked, place] = [path, path].map(Path::to_owned);
        Self { asked, place, user: String::new(), kind: Kind::Silent(waited) }
    }

    /// Finds the reason for an error of the kernel.
    pub(super) fn explain(subject: &Subject, asked: &Path, stop: &Stop) -> Self {
        let place = stop.place();
        let errno = stop.errno();
        let kind = match errno {
            Errno::ENOENT => Kind::Missing,
            Errno::EACCES | Errno::EPERM => Self::refusal(subject, &place, stop.bits, errno),
            _ => Kind::Error(errno),
        };
        // In a sentence, the name `nobody` alone reads as "no user".
        let user = if subject.name == "nobody" { "the user nobody".to_owned() } else { subject.name.clone() };
        Self { asked: asked.to_owned(), place, user, kind }
    }

    fn refusal(subject: &Subject, place: &Path, bits: u32, errno: Errno) -> Kind {
        let Ok(status) = stat(place) else { return Kind::Refused(errno) };
        let is_file = status.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits();
        match allowed(subject, place, &status, bits) {
            Allowed::No => Kind::Mode { mode: status.st_mode & 0o7777, bits },
            Allowed::Unknown(_) => Kind::Acl,
            Allowed::Yes if is_file && bits & EXECUTE != 0 && is_noexec(place) => Kind::NoExec,
            Allowed::Yes => Kind::Refused(errno),
        }
    }

    /// Whether the file, or a folder above it, does not exist.
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self.kind, Kind::Missing)
    }

    /// Whether there was no answer in time. Every further access waits, too.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        matches!(self.kind, Kind::Silent(_))
    }

    /// What was found.
    #[must_use]
    pub fn seen(&self) -> String {
        let (asked, place, user) = (self.asked.display(), self.place.display(), &self.user);
        let at = if self.asked == self.place { String::new() } else { format!(": {place}") };
        match &self.kind {
            Kind::Missing if at.is_empty() => format!("{asked}: {}", io::Error::from(Errno::ENOENT)),
            Kind::Missing => format!("{asked}: {}{at} is missing", io::Error::from(Errno::ENOENT)),
            Kind::Mode { mode, bits } => {
                let right = match *bits {
                    READ => "read it",
                    EXECUTE if self.place.is_dir() => "enter it",
                    EXECUTE => "run it",
                    _ => "list and enter it",
                };
                format!("the mode of {place} is {mode:04o}, and {user} needs the right to {right}")
            }
            Kind::Acl => format!("the access list of {place} denies {user} access"),
            Kind::NoExec => format!("{place} is on a file system that is mounted with noexec"),
            Kind::Refused(errno) => {
                format!("{place}: {}, although the mode allows it to {user}", io::Error::from(*errno))
            }
            Kind::Error(errno) => format!("{place}: {}", io::Error::from(*errno)),
            Kind::Silent(waited) => {
                format!(
                    "{asked} cannot be used: its file system does not answer within {} s",
                    waited.as_secs()
                )
            }
        }
    }

    /// The one command that fixes the cause, if there is one. It changes no folder that others share, and opens no
    /// home and no folder of secrets.
    #[must_use]
    pub fn command(&self) -> Option<String> {
        let Kind::Mode { mode, bits } = self.kind else { return None };
        let is_closed = CLOSED.iter().any(|folder| self.place.starts_with(folder))
            || (self.place.starts_with("/home") && self.place.is_dir());
        if is_closed || is_shared(&self.place, mode) || !is_plain(&self.place) {
            return None;
        }
        let right = match bits {
            READ => "r",
            EXECUTE => "x",
            _ => "rx",
        };
        Some(format!("chmod a+{right} {}", self.place.display()))
    }

    /// What to do if there is no command. `what` is the thing at the path, for example `the program`.
    #[must_use]
    pub fn advice(&self, what: &str) -> String {
        let (asked, place, user) = (self.asked.display(), self.place.display(), &self.user);
        match &self.kind {
            Kind::Missing if self.asked == Path::new(what) => format!("put {what} back"),
            Kind::Missing => format!("put {what} back at {asked}"),
            Kind::Mode { .. } if self.place == Path::new("/") => {
                "restore the usual mode of /: every user may enter it".to_owned()
            }
            Kind::Mode { .. } => format!("move {what} to a folder that every user may enter"),
            Kind::Acl => format!(
                "change the access list of {place} so that it allows {user}; to see it: getfacl {place}"
            ),
            Kind::NoExec => format!("move {what} to a file system that is mounted without noexec"),
            Kind::Refused(_) => format!(
                "find what else protects {place}: a security module such as SELinux or AppArmor (see the kernel's log), or a file server's rules"
            ),
            Kind::Error(Errno::ELOOP) => {
                format!(
                    "correct the symbolic links on the way to {asked}: they lead in a circle, or are too many"
                )
            }
            Kind::Error(Errno::ENOTDIR) => format!("{place} must be a folder; put {what} back at {asked}"),
            Kind::Error(Errno::EISDIR | Errno::EINVAL) => {
                format!("{place} must be a regular file; put {what} back")
            }
            Kind::Error(Errno::EIO | Errno::EUCLEAN) => {
                format!("the disk or file system of {place} is faulty; the kernel's log has more: dmesg")
            }
            Kind::Error(Errno::ESTALE | Errno::ENOTCONN | Errno::ETIMEDOUT | Errno::EHOSTDOWN)
            | Kind::Silent(_) => {
                format!("check that the file server of {place} answers, or move {what} to a local disk")
            }
            Kind::Error(_) => format!("make {place} accessible again"),
        }
    }
}

/// Whether a shell reads the path unchanged, without quotation marks.
fn is_plain(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|path| path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+@:,".contains(&b)))
}

fn is_noexec(place: &Path) -> bool {
    statvfs(place).is_ok_and(|status| status.flags().contains(FsFlags::ST_NOEXEC))
}
