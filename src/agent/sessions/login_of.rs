//! The login that a process belongs to, as the kernel shows it. Nothing here depends on what a user can write, such as the
//! environment of a process.

use std::collections::BTreeSet;

use super::machine::{self, session_id, start_of};

/// Maximum number of ancestors that are followed.
const MAX_ANCESTORS: usize = 4096;

/// The kernel's session id of a process without a session (`audit(8)`, unset).
const UNSET: u32 = u32::MAX;

/// Why a path to a login proves nothing about the caller.
const BY_ID: &str =
    "only the session id of the kernel leads to the login in which it, or a server above it, was started";
const BY_SERVER: &str = "another user's process, or a session of its own, is between it and the login: a server may have started it for somebody else";

/// The login of a process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// sshd's process that accepted the login.
    pub(super) sshd: u32,
    /// Why it is not proven that the process is the caller's. `None` if all processes between it and sshd are.
    pub(super) doubt: Option<&'static str>,
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
/// has it, and got it itself: without `pam_loginuid`, all logins of a server can have the id of the server. It proves nothing,
/// because processes of a server that was started in the login have the same id.
pub(super) fn login_of(pid: u32) -> Result<Found, String> {
    let start = start_of(pid).ok_or_else(|| format!("there is no process {pid}"))?;
    let logins = machine::logins();
    let found = |sshd: u32, doubt: Option<&'static str>| {
        let starts =
            (start, start_of(sshd).ok_or_else(|| format!("the login of the process {pid} has ended"))?);
        Ok(Found { sshd, doubt, starts })
    };
    if let Some(path) = path_to_login(pid, &logins) {
        let sshd = path.last().copied().unwrap_or(pid);
        return found(sshd, (!is_of_one_user(&path)).then_some(BY_SERVER));
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
            if machine::with_session_id(id).into_iter().any(|sshd| sshd != login) {
                return Err(format!("another sshd has the session id {id} of the process"));
            }
            found(login, Some(BY_ID))
        }
    }
}

/// The process and its ancestors up to the nearest one among these.
fn path_to_login(pid: u32, logins: &BTreeSet<u32>) -> Option<Vec<u32>> {
    let chain = std::iter::successors(Some(pid), |pid| machine::parent_of(*pid));
    let mut path = Vec::new();
    for pid in chain.take(MAX_ANCESTORS).take_while(|pid| *pid > 1) {
        path.push(pid);
        if logins.contains(&pid) {
            return Some(path);
        }
    }
    None
}

/// Whether all processes of the path, which ends with sshd's process of the login, are of one user. Below root's login, a
/// server could start processes for others as root. So they must also be in the session (`setsid(2)`) that sshd made.
fn is_of_one_user(path: &[u32]) -> bool {
    let Some((_, below)) = path.split_last() else { return false };
    let Some(first) = below.last() else { return true };
    let Some(user) = machine::user_of(*first) else { return false };
    let leader = machine::leader_of(*first);
    below
        .iter()
        .all(|pid| machine::user_of(*pid) == Some(user) && (user != 0 || machine::leader_of(*pid) == leader))
}
