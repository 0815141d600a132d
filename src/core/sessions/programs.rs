//! Programs and units, by the names that journald records (`_EXE`, `_SYSTEMD_UNIT`).

use alloc::string::String;
use alloc::vec::Vec;

use crate::audit_line::IDENT;

/// Paths of sshd's programs in Linux distributions. Only root can write to these paths. Since OpenSSH 9.8, another
/// program serves a connection (`sshd-session`). Since 10.0, a third one runs before the login (`sshd-auth`).
const SSHD: [&str; 2] = ["/usr/sbin/sshd", "/usr/bin/sshd"];
const SSHD_PARTS: [&str; 2] = ["sshd-session", "sshd-auth"];
const SSHD_FOLDERS: [&str; 8] = [
    "/usr/lib/openssh",
    "/usr/libexec/openssh",
    "/usr/lib/ssh",
    "/usr/libexec/ssh",
    "/usr/libexec",
    "/usr/lib/misc",
    "/usr/lib64/misc",
    "/usr/lib64/ssh",
];

/// Paths of logind.
const LOGIND: [&str; 2] = ["/usr/lib/systemd/systemd-logind", "/lib/systemd/systemd-logind"];

/// The kernel adds this suffix to the path of a program whose file was deleted, for example by a package upgrade. The
/// path is the former path of the file, so only root can have written to it.
const DELETED: &str = " (deleted)";

/// Maximum number of programs in addition to those of the distributions.
const MAX_PROGRAMS: usize = 16;

/// The programs that are trusted as sshd: those of the distributions, and those that run as sshd on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    also: Vec<String>,
}

impl Programs {
    /// Trusts the programs of the distributions, and `running`: absolute paths of programs that run as sshd now. The
    /// caller must check that only root can write to those paths. Keeps the first 16.
    #[must_use]
    pub fn with(running: impl IntoIterator<Item = String>) -> Self {
        Self { also: running.into_iter().take(MAX_PROGRAMS).collect() }
    }

    fn has_sshd(&self, path: &str) -> bool {
        let is_part = || {
            let (folder, name) = path.rsplit_once('/').unwrap_or_default();
            SSHD_PARTS.contains(&name) && SSHD_FOLDERS.contains(&folder)
        };
        SSHD.contains(&path) || is_part() || self.also.iter().any(|known| known == path)
    }
}

/// Whether the file name of `path` is one of sshd's. The folder does not matter.
#[must_use]
pub fn is_called_sshd(path: &str) -> bool {
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    let name = path.rsplit('/').next().unwrap_or_default();
    name == "sshd" || SSHD_PARTS.contains(&name)
}

/// The program that `_EXE` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Missing,
    Sshd,
    Logind,
    /// A program with the agent's file name. The folder does not matter, because the operator chooses it.
    Agent,
    Other,
}

impl Program {
    pub(super) fn of(path: Option<&str>, programs: &Programs) -> Self {
        let Some(path) = path.filter(|path| !path.is_empty()) else { return Self::Missing };
        let path = path.strip_suffix(DELETED).unwrap_or(path);
        if programs.has_sshd(path) {
            Self::Sshd
        } else if LOGIND.contains(&path) {
            Self::Logind
        } else if path.rsplit('/').next() == Some(IDENT) {
            Self::Agent
        } else {
            Self::Other
        }
    }
}

/// The kind of unit that `_SYSTEMD_UNIT` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Missing,
    /// A unit of sshd: `ssh.service`, `sshd.service`, or a unit for one connection (`ssh@….service`, `sshd@….service`).
    Sshd,
    /// The scope of a login (`session-3.scope`). PAM moves sshd's process there.
    Session,
    Logind,
    Other,
}

impl Unit {
    pub(super) fn of(name: Option<&str>) -> Self {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Self::Missing };
        if let Some(service) = name.strip_suffix(".service") {
            let template = service.split_once('@').map_or(service, |(template, _)| template);
            return match template {
                "ssh" | "sshd" => Self::Sshd,
                "systemd-logind" if template == service => Self::Logind,
                _ => Self::Other,
            };
        }
        let session = name.strip_prefix("session-").and_then(|rest| rest.strip_suffix(".scope"));
        let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if session.is_some_and(is_id) { Self::Session } else { Self::Other }
    }
}
