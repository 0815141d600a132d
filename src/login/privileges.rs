//! Drops root's privileges permanently.

use std::fmt;
use std::path::Path;

use eic_core::audit_line::IDENT;
use eic_host::accounts::Account;
use eic_host::files::head_of_regular;
use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};

/// The users to change to, in this order: the agent's own user, then `nobody`.
const UNPRIVILEGED: [&str; 2] = [IDENT, "nobody"];

/// Why root's privileges could not be dropped.
#[derive(Debug)]
pub enum PrivilegesError {
    /// None of the users exists.
    NoUser,
    /// The kernel refused, or the privileges are still there.
    Kept(String),
}

impl fmt::Display for PrivilegesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUser => {
                write!(f, "started as root, but the user {IDENT} does not exist; create it")
            }
            Self::Kept(why) => {
                write!(f, "started as root, and root's privileges cannot be given up: {why}")
            }
        }
    }
}

/// If this process is root, changes irrevocably to the user `eic-agent`, or to `nobody` if that user does not exist.
/// Clears the supplementary groups, and sets all three group ids and all three user ids (setuid(2), "SETUID
/// demystified"). Then checks the result.
pub fn give_up_root() -> Result<(), PrivilegesError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let known = UNPRIVILEGED.iter().filter_map(|name| Account::find(name));
    let account = known.into_iter().find(|account| account.uid != 0 && account.gid != 0);
    let account = account.ok_or(PrivilegesError::NoUser)?;
    become_user(account.uid, account.gid, &[])
}

/// If this process is root, changes to the user that sshd runs the agent as, with that user's groups. Commands that
/// people run call this, so that they see what a login sees. It is an error if that user is root.
pub fn become_run_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), PrivilegesError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    if uid == 0 {
        return Err(PrivilegesError::Kept("sshd also runs the agent as root".to_owned()));
    }
    become_user(uid, gid, groups)
}

fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), PrivilegesError> {
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let more: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
    let kept = |error: nix::Error| PrivilegesError::Kept(error.to_string());
    setgroups(&more).map_err(kept)?;
    setresgid(gid, gid, gid).map_err(kept)?;
    setresuid(uid, uid, uid).map_err(kept)?;
    let (users, groups) = (getresuid().map_err(kept)?, getresgid().map_err(kept)?);
    let given_up = [users.real, users.effective, users.saved].iter().all(|id| *id == uid)
        && [groups.real, groups.effective, groups.saved].iter().all(|id| *id == gid);
    if !given_up {
        return Err(PrivilegesError::Kept("the ids did not change".to_owned()));
    }
    // With SECBIT_NO_SETUID_FIXUP, capabilities survive the change of ids (capabilities(7)).
    match capabilities() {
        Some(kept) => Err(PrivilegesError::Kept(format!("capabilities {kept} are still there"))),
        None => Ok(()),
    }
}

/// The first set of capabilities that is not empty. Without /proc, only the ids are checked.
fn capabilities() -> Option<String> {
    let status = head_of_regular(Path::new("/proc/self/status"), 16 * 1024).ok()?;
    let text = String::from_utf8_lossy(&status).into_owned();
    let mut sets = text.lines().filter_map(|line| {
        let (name, set) = line.split_once(':')?;
        matches!(name, "CapPrm" | "CapEff" | "CapAmb").then(|| set.trim().to_owned())
    });
    sets.find(|set| set.chars().any(|digit| digit != '0'))
}
