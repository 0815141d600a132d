//! Programs and units by the names that journald has for them (`_EXE`, `_SYSTEMD_UNIT`).

use alloc::string::String;
use alloc::vec::Vec;

use crate::audit_line::IDENT;

/// Paths of sshd's programs in the distributions. Only root can put a file there. From OpenSSH 9.8 on, a connection
/// has a program of its own (`sshd-session`), from 10.0 on, the time before the login as well (`sshd-auth`).
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

/// What the kernel adds to the path of a program whose file is gone, as after an upgrade of the package. The path is the
/// one that the file had, so only root can have made it.
const DELETED: &str = " (deleted)";

/// Most programs in addition to the distributions' ones.
const MAX_PROGRAMS: usize = 16;

/// The programs that are believed to be sshd: those of the distributions, and what this machine runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Programs {
    also: Vec<String>,
}

impl Programs {
    /// Those of the distributions, and `running`: absolute paths of programs that run as sshd now, each of which only
    /// root can have put there. At most 16 of them are kept.
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

/// Whether a path is that of a program called like one of sshd's, wherever it is.
#[must_use]
pub fn is_called_sshd(path: &str) -> bool {
    let path = path.strip_suffix(DELETED).unwrap_or(path);
    let name = path.rsplit('/').next().unwrap_or_default();
    name == "sshd" || SSHD_PARTS.contains(&name)
}

/// Which program `_EXE` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Missing,
    Sshd,
    Logind,
    /// Called like the agent, wherever it is: the operator chooses where.
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

/// Which kind of unit `_SYSTEMD_UNIT` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Missing,
    /// sshd's: `ssh.service`, `sshd.service`, one connection's (`ssh@….service`, `sshd@….service`).
    Sshd,
    /// A login's, to which PAM moves sshd's process: `session-3.scope`.
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
