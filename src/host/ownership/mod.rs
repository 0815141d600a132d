//! sshd's rule for files that it runs or trusts: the file and every folder up to `/` belong to root, and no other
//! user can write them.

mod shared;
mod sshd_rule;
mod walk;

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::Uid;
use walk::ResolvedPath;

pub(crate) use shared::is_shared;
pub use sshd_rule::{GroupRule, SshdRule};
pub use walk::{Folder, open_trusted};
pub(crate) use walk::{Step, locate, open_of_distribution, steps};

/// Why a file is not trusted.
#[derive(Debug)]
pub enum Insecure {
    /// The path is not absolute.
    NotAbsolute(PathBuf),
    /// The path, or a folder above it, cannot be accessed.
    Unreadable(PathBuf, io::Error),
    /// Not a regular file.
    NotAFile(PathBuf),
    /// The path, or a folder above it, belongs to this uid.
    Owner(PathBuf, u32),
    /// The group or others can write the path or a folder above it. Holds the mode.
    Writable(PathBuf, u32),
}

impl fmt::Display for Insecure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.seen())?;
        self.remedy().map_or(Ok(()), |remedy| write!(f, "; run: {remedy}"))
    }
}

impl Insecure {
    /// The expected and the actual state.
    #[must_use]
    pub fn seen(&self) -> String {
        match self {
            Self::NotAbsolute(path) => format!("expected an absolute path, got {}", path.display()),
            Self::Unreadable(path, error) => format!("{}: {error}", path.display()),
            Self::NotAFile(path) => format!("{} is not a regular file", path.display()),
            Self::Owner(path, uid) => {
                format!("expected {} to belong to root, it belongs to uid {uid}", path.display())
            }
            Self::Writable(path, mode) => format!(
                "expected {} to be writable by its owner only, its mode is {mode:04o}",
                path.display()
            ),
        }
    }

    /// What to do if there is no command. `what` is the thing at the path, for example `the program`.
    #[must_use]
    pub fn advice(&self, what: &str) -> String {
        match self {
            Self::Writable(path, _) if path == Path::new("/") => {
                "restore the usual mode of /: only root may write there".to_owned()
            }
            Self::Owner(..) | Self::Writable(..) => {
                format!("move {what} to a folder that only root can write")
            }
            Self::NotAbsolute(_) => format!("give {what} an absolute path"),
            Self::NotAFile(path) => format!("{} must be a regular file; put {what} back", path.display()),
            Self::Unreadable(path, error) => unreadable_advice(path, error, what),
        }
    }

    /// Whether another user has access that only root should have.
    #[must_use]
    pub const fn is_access(&self) -> bool {
        matches!(self, Self::Owner(..) | Self::Writable(..))
    }

    /// A command that fixes the cause, if there is one. A shared folder, like `/tmp`, keeps its mode. A folder of
    /// another user is a home or belongs to a program. A change there could break something, so there is no command.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Writable(path, mode) if is_shared(path, *mode) => None,
            Self::Owner(path, _) if path.is_dir() => None,
            Self::Owner(path, _) => Some(format!("chown root {}", path.display())),
            Self::Writable(path, _) => Some(format!("chmod go-w {}", path.display())),
            Self::NotAbsolute(_) | Self::Unreadable(..) | Self::NotAFile(_) => None,
        }
    }
}

/// What to do about a path that cannot be accessed.
fn unreadable_advice(path: &Path, error: &io::Error, what: &str) -> String {
    let path = path.display();
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ENOENT) => format!("put {what} back at {path}"),
        Some(Errno::ENOTDIR) => format!("every part of {path} before the last must be a folder"),
        Some(Errno::ELOOP) => {
            format!("correct the symbolic links at {path}: they lead in a circle, or are too many")
        }
        Some(Errno::EACCES | Errno::EPERM) if Uid::effective().is_root() => {
            format!("let root read {path}; a file server or a security module may refuse it")
        }
        Some(Errno::EACCES | Errno::EPERM) => format!("let this user read {path}, or run this with sudo"),
        Some(Errno::EIO | Errno::EUCLEAN) => {
            format!("the disk or file system of {path} is faulty; the kernel's log has more: dmesg")
        }
        Some(Errno::ESTALE | Errno::ENOTCONN | Errno::ETIMEDOUT | Errno::EHOSTDOWN) => {
            format!("check that the file server of {path} answers, or move {what} to a local disk")
        }
        _ => format!("make {path} accessible again"),
    }
}

/// Mode bits that let the group or others write.
const WRITABLE: u32 = 0o022;

/// The mode bit that lets the group write.
const GROUP_WRITABLE: u32 = 0o020;

/// The sticky bit: in such a folder, users can remove or rename only their own files (`inode(7)`).
const STICKY: u32 = 0o1000;

/// Checks that the file and every folder on its path belong to root, and that neither the group nor others can
/// write them (OpenSSH misc.c, `safe_path`; `sshd_config(5)`, AuthorizedKeysCommand). Follows links. Returns the
/// path without links. Run that path. To read a file, use [`open_trusted`].
pub fn check(path: &Path) -> Result<PathBuf, Insecure> {
    let found = ResolvedPath::at(path)?;
    match found {
        ResolvedPath::File(_, _, true) => Ok(found.path()),
        ResolvedPath::File(..) | ResolvedPath::Folder(_) => Err(Insecure::NotAFile(found.path())),
    }
}

/// Checks an open file that was found at `path`: it is regular, belongs to root, and neither the group nor others
/// can write it.
pub(crate) fn check_open(file: &File, path: &Path) -> Result<(), Insecure> {
    let status = file.metadata().map_err(|error| Insecure::Unreadable(path.to_owned(), error))?;
    if !status.is_file() {
        Err(Insecure::NotAFile(path.to_owned()))
    } else if status.uid() != 0 {
        Err(Insecure::Owner(path.to_owned(), status.uid()))
    } else if status.mode() & WRITABLE != 0 {
        Err(Insecure::Writable(path.to_owned(), status.mode() & 0o7777))
    } else {
        Ok(())
    }
}

/// Checks a folder by the same rule. Then only root can create a file in it or replace the folder.
pub fn check_folder(path: &Path) -> Result<(), Insecure> {
    Folder::open(path).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_accepted() {
        assert!(check(Path::new("/bin/sh")).is_ok());
    }

    #[test]
    fn files_of_other_users_are_refused() {
        // The folder is writable for all users, so the owner of the file does not matter.
        let file = std::env::temp_dir().join(format!("eic-agent-ownership-{}", std::process::id()));
        std::fs::write(&file, "").unwrap();
        let refused = check(&file).unwrap_err();
        assert!(matches!(refused, Insecure::Owner(..) | Insecure::Writable(..)), "{refused}");
        // A link in such a folder is refused too, even if it leads to a trusted file.
        std::fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/bin/sh", &file).unwrap();
        assert!(matches!(check(&file), Err(Insecure::Owner(..) | Insecure::Writable(..))));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(check(Path::new("/nonexistent/file")), Err(Insecure::Unreadable(..))));
        assert!(matches!(check(Path::new("bin/sh")), Err(Insecure::NotAbsolute(_))));
        assert!(matches!(check(Path::new("/bin")), Err(Insecure::NotAFile(_))));
    }

    #[test]
    fn remedies_change_no_shared_folder() {
        let remedy = |path: &str| check(Path::new(path)).unwrap_err().remedy();
        for path in ["/dev/null", "/var/tmp/x"] {
            assert_eq!(remedy(path), None, "{path}");
        }
        let owner = |path: PathBuf| Insecure::Owner(path, 1000).remedy();
        assert_eq!(owner(std::env::temp_dir()), None, "a home belongs to its user");
        assert_eq!(owner("/etc/passwd".into()).as_deref(), Some("chown root /etc/passwd"));
        let writable = |mode| Insecure::Writable("/srv".into(), mode).remedy();
        assert_eq!(writable(0o1775), None, "the folder is shared");
        assert_eq!(writable(0o775).as_deref(), Some("chmod go-w /srv"));
    }

    #[test]
    fn path_is_followed_as_by_the_kernel() {
        let real = |path: &str| check(Path::new(path)).map(|path| path.display().to_string());
        let shell = Path::new("/bin/sh").canonicalize().unwrap().display().to_string();
        for path in ["/bin/sh", "/bin/../bin/./sh", "/../bin/sh", "/proc/self/root/bin/sh", "//bin//sh"] {
            // Only root can follow another user's /proc/self/root.
            if path.starts_with("/proc") && !nix::unistd::Uid::effective().is_root() {
                continue;
            }
            assert_eq!(real(path).unwrap(), shell, "{path}");
        }
        assert!(matches!(check(Path::new("/bin/sh/x")), Err(Insecure::Unreadable(..))));
        assert!(matches!(open_trusted(Path::new("/bin")), Err(Insecure::NotAFile(_))));
        assert!(matches!(open_trusted(Path::new("/dev/null")), Err(Insecure::NotAFile(_))));
        assert!(matches!(Folder::open(Path::new("/bin/sh")), Err(Insecure::Unreadable(..))));
        let etc = Folder::open(Path::new("/etc")).unwrap();
        assert!(etc.names(usize::MAX).unwrap().contains(&"passwd".into()));
        assert_eq!(etc.names(1).unwrap().len(), 1);
        assert!(etc.open_file("passwd".as_ref()).is_ok());
    }
}
