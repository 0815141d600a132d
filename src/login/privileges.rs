//! Drops root's privileges permanently.

use std::fmt;

use eic_core::audit_line::IDENT;
use eic_host::accounts::Account;
use eic_host::privileges::become_user;
use nix::unistd::Uid;

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
/// Clears the supplementary groups.
pub fn give_up_root() -> Result<(), PrivilegesError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let known = UNPRIVILEGED.iter().filter_map(|name| Account::find(name));
    let account = known.into_iter().find(|account| account.uid != 0 && account.gid != 0);
    let account = account.ok_or(PrivilegesError::NoUser)?;
    become_other(account.uid, account.gid, &[])
}

/// If this process is root, changes to the user that sshd runs the agent as, with that user's groups. Commands that
/// people run call this, so that they see what a login sees. It is an error if that user is root.
pub fn become_run_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), PrivilegesError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    become_other(uid, gid, groups)
}

/// Changes to this user, and refuses root. [`become_user`] would accept root.
fn become_other(uid: u32, gid: u32, groups: &[u32]) -> Result<(), PrivilegesError> {
    if uid == 0 {
        return Err(PrivilegesError::Kept("sshd also runs the agent as root".to_owned()));
    }
    become_user(uid, gid, groups).map_err(PrivilegesError::Kept)
}
