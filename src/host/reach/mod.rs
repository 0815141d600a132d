//! Whether a user can use a path, by the kernel's rules (`path_resolution(7)`): the owner, all groups of the user,
//! others, and every folder up to `/`.
//!
//! As root, the agent runs itself as that user and tries the access, because only the kernel knows everything that
//! decides: an ACL, a mount option, a file server. Without root, it computes the answer from the modes, and does not
//! guess where an ACL is present.

mod obstacle;
mod walk;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eic_core::key_options::Release;
use nix::unistd::{Gid, Uid, getgroups, getresgid, getresuid};

use crate::accounts::{Account, group_ids};
use crate::files::head_of_regular;
use crate::process::output_with_timeout;
use crate::sshd::release::installed_release;
pub use obstacle::Obstacle;
pub use walk::{Stop, Use, try_path};

/// First release that starts commands with the groups of their user.
const WITH_GROUPS: Release = Release(8, 8);

/// Time limit for one path. A file server that is down does not answer at all.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of bytes of a script's first line that the kernel reads (`BINPRM_BUF_SIZE`).
const MAX_FIRST_LINE: usize = 256;

/// The name by which the agent calls itself. It is also in the title of the process.
const NAME: &str = "eic-agent";

/// A user with all groups, as the kernel sees the processes of a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Login name.
    pub name: String,
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// Whether sshd may start a command of this user without these groups.
    may_lack_groups: bool,
}

/// Whether a user can use a path.
#[derive(Debug)]
pub enum Reach {
    /// The user can.
    Yes,
    /// The user cannot. Holds the reason.
    No(Obstacle),
    /// Unknown. Holds the reason.
    Unknown(String),
}

impl Subject {
    /// The user of a command that sshd starts. Before OpenSSH 8.8, sshd starts it without the user's groups, if the
    /// distribution has not corrected that (CVE-2021-41617).
    pub fn of_command(account: &Account) -> Result<Self, String> {
        let subject = Self::of(account)?;
        let has_more = subject.groups.iter().any(|gid| *gid != subject.gid);
        let may_lack_groups = has_more && installed_release().is_ok_and(|release| release < WITH_GROUPS);
        Ok(Self { may_lack_groups, ..subject })
    }

    /// The user with its groups, from id(1). The agent is a static binary and cannot query the name service itself.
    pub fn of(account: &Account) -> Result<Self, String> {
        let groups = group_ids(&account.name)?;
        Ok(Self { groups, ..Self::without_groups(account) })
    }

    /// The user without supplementary groups. If sshd starts a run as root, the run gives up root's rights and then has
    /// these.
    #[must_use]
    pub fn without_groups(account: &Account) -> Self {
        Self {
            name: account.name.clone(),
            uid: account.uid,
            gid: account.gid,
            groups: Vec::new(),
            may_lack_groups: false,
        }
    }

    /// The user of this process, under this name.
    #[must_use]
    pub fn current(name: &str) -> Option<Self> {
        let (users, groups) = (getresuid().ok()?, getresgid().ok()?);
        let more = getgroups().ok()?.into_iter().map(Gid::as_raw).collect();
        let (uid, gid) = (users.effective.as_raw(), groups.effective.as_raw());
        Some(Self { name: name.to_owned(), uid, gid, groups: more, may_lack_groups: false })
    }

    /// Whether both have the same rights.
    fn is_same(&self, other: &Self) -> bool {
        let all = |subject: &Self| {
            let mut groups = subject.groups.clone();
            groups.push(subject.gid);
            groups.sort_unstable();
            groups.dedup();
            groups
        };
        self.uid == other.uid && all(self) == all(other)
    }

    /// Whether the user is root, whom modes of files hardly restrict.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.uid == 0
    }

    /// The user id, the group id and the ids of all groups.
    #[must_use]
    pub fn ids(&self) -> (u32, u32, &[u32]) {
        (self.uid, self.gid, &self.groups)
    }

    const fn is_owner(&self, uid: u32) -> bool {
        self.uid == uid
    }

    fn is_in(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// The numbers for the hidden subcommands, which call [`crate::privileges::become_user`].
    fn words(&self) -> [String; 3] {
        let groups: Vec<_> = self.groups.iter().map(ToString::to_string).collect();
        [self.uid.to_string(), self.gid.to_string(), groups.join(",")]
    }

    /// A command that runs `program` as this user with all groups, as sshd does. For root only.
    #[must_use]
    pub fn command(&self, program: &str, arguments: &[String]) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).arg("run-as").args(self.words()).arg("--").arg(program).args(arguments);
        command
    }
}

impl Reach {
    /// Whether `subject` can use `path`. Follows links. For a script, this is also about its interpreter, which reads
    /// the script. Relative paths are unknown.
    #[must_use]
    pub fn of(subject: &Subject, path: &Path, need: Use) -> Self {
        let reach = Self::with_groups(subject, path, need);
        if !subject.may_lack_groups || !matches!(reach, Self::Yes) {
            return reach;
        }
        let alone = Subject { groups: Vec::new(), may_lack_groups: false, ..subject.clone() };
        match Self::with_groups(&alone, path, need) {
            Self::Yes => reach,
            _ => Self::Unknown(format!(
                "{} can use {} only as a member of a group, and sshd before {WITH_GROUPS} may start a command without it",
                subject.name,
                path.display()
            )),
        }
    }

    fn with_groups(subject: &Subject, path: &Path, need: Use) -> Self {
        let reach = Self::of_file(subject, path, need);
        let Some(interpreter) = Some(path).filter(|_| need == Use::Execute && matches!(reach, Self::Yes))
        else {
            return reach;
        };
        // If this process may not read the file, it cannot know that the file is a script, and treats it as a program.
        // The kernel also runs a program that the user may not read.
        let Some(interpreter) = interpreter_of(interpreter) else { return reach };
        match Self::of_file(subject, path, Use::Read) {
            Self::Yes => Self::of_file(subject, &interpreter, Use::Execute),
            other => other,
        }
    }

    fn of_file(subject: &Subject, path: &Path, need: Use) -> Self {
        if !path.is_absolute() {
            return Self::Unknown(format!("{} is not an absolute path", path.display()));
        }
        let is_self = Subject::current(&subject.name).is_some_and(|current| current.is_same(subject));
        if Uid::effective().is_root() && !is_self {
            return Self::tried(subject, path, need);
        }
        if is_self {
            return Self::from_try(subject, path, try_path(path, need));
        }
        Self::computed(subject, path, need)
    }

    /// Lets a child process try as that user.
    fn tried(subject: &Subject, path: &Path, need: Use) -> Self {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).arg("reach").args(subject.words()).arg(need.word()).arg("--").arg(path);
        let said = match output_with_timeout(&mut command, TIMEOUT) {
            Ok(said) if said.status.success() => said.stdout,
            Ok(said) => {
                let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
                let why = if why.is_empty() { said.status.to_string() } else { why };
                return Self::Unknown(format!("cannot try as {}: {why}", subject.name));
            }
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                return Self::No(Obstacle::silent(path, TIMEOUT));
            }
            Err(error) => return Self::Unknown(format!("cannot try as {}: {error}", subject.name)),
        };
        match serde_json::from_slice::<Result<(), Stop>>(&said) {
            Ok(tried) => Self::from_try(subject, path, tried),
            Err(error) => Self::Unknown(format!("cannot try as {}: {error}", subject.name)),
        }
    }

    fn from_try(subject: &Subject, path: &Path, tried: Result<(), Stop>) -> Self {
        tried.map_or_else(|stop| Self::No(Obstacle::explain(subject, path, &stop)), |()| Self::Yes)
    }

    /// Computes the answer from the modes of the files.
    fn computed(subject: &Subject, path: &Path, need: Use) -> Self {
        match walk::compute(subject, path, need) {
            Ok(tried) => Self::from_try(subject, path, tried),
            Err(why) => Self::Unknown(why),
        }
    }
}

/// The program that the first line of a script names (`execve(2)`).
fn interpreter_of(script: &Path) -> Option<PathBuf> {
    let head = head_of_regular(script, MAX_FIRST_LINE).ok()?;
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?.trim_ascii_start();
    let name = line.split(u8::is_ascii_whitespace).next().filter(|name| !name.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(name)))
}

#[cfg(test)]
mod tests;
