//! The login that a process belongs to, as the kernel shows it. Nothing here depends on what a user can write, such as the
//! environment of a process.

use std::collections::BTreeSet;

use super::machine::{self, start_of};

/// Maximum number of ancestors that are followed.
const MAX_ANCESTORS: usize = 4096;

/// The kernel's session id of a process without a session (`audit(8)`, unset).
const UNSET: u32 = u32::MAX;

/// The login of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// sshd's process that accepted the login.
    pub(super) sshd: u32,
    /// Whether that process is an ancestor. If not, only the kernel's session id leads to it.
    pub(super) is_ancestor: bool,
    starts: (u64, u64),
}

impl Found {
    /// Whether both processes are still the same.
    pub(super) fn is_same(&self, pid: u32) -> bool {
        start_of(pid).zip(start_of(self.sshd)) == Some(self.starts)
    }
}

/// Finds the login: the first ancestor that is sshd's process of a login. A process that has lost its parents, such as a
/// daemon, still has the kernel's session id of its login (`/proc/PID/sessionid`). The id counts only if exactly one login
/// has it, and got it itself: without `pam_loginuid`, all logins of a server can have the id of the server.
pub(super) fn login_of(pid: u32) -> Result<Found, String> {
    let start = start_of(pid).ok_or_else(|| format!("there is no process {pid}"))?;
    let logins = machine::logins();
    let found = |sshd: u32, is_ancestor| {
        let starts =
            (start, start_of(sshd).ok_or_else(|| format!("the login of the process {pid} has ended"))?);
        Ok(Found { sshd, is_ancestor, starts })
    };
    if let Some(sshd) = ancestor(pid, &logins) {
        return found(sshd, true);
    }
    let id = session_id(pid).filter(|id| *id != UNSET);
    let id = id.ok_or("no ancestor is a login of sshd, and the kernel has no session id for the process")?;
    let mut same = logins.iter().copied().filter(|login| session_id(*login) == Some(id));
    match (same.next(), same.next()) {
        (None, _) => {
            Err(format!("no login of sshd is an ancestor, and none has the session id {id}: it has ended"))
        }
        (Some(_), Some(_)) => Err(format!("several logins have the session id {id} of the process")),
        (Some(login), None) => {
            let of_server = machine::parent_of(login).and_then(session_id);
            if of_server.is_none_or(|of_server| of_server == id) {
                return Err(format!(
                    "the login with the session id {id} has it from its server (pam_loginuid)"
                ));
            }
            found(login, false)
        }
    }
}

/// The nearest ancestor among these processes, or the process itself.
fn ancestor(pid: u32, logins: &BTreeSet<u32>) -> Option<u32> {
    let chain = std::iter::successors(Some(pid), |pid| machine::parent_of(*pid));
    chain.take(MAX_ANCESTORS).take_while(|pid| *pid > 1).find(|pid| logins.contains(pid))
}

fn session_id(pid: u32) -> Option<u32> {
    machine::text(&format!("/proc/{pid}/sessionid")).trim().parse().ok()
}
