//! Root's privileges given up for good.

use std::fmt;

use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};

use crate::accounts::Account;
use crate::audit::IDENT;

/// The users to become, in this order: our own, else the one that every system has for who owns nothing.
const UNPRIVILEGED: [&str; 2] = [IDENT, "nobody"];

/// Why root's privileges could not be given up.
#[derive(Debug)]
pub enum PrivilegesError {
    /// None of the users is there.
    NoUser,
    /// The kernel refused, or did not do what it was told.
    Kept(String),
}

impl fmt::Display for PrivilegesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUser => {
                write!(f, "sshd started us as root, and there is no user {IDENT} to become; create it")
            }
            Self::Kept(why) => {
                write!(f, "sshd started us as root, and root's privileges cannot be given up: {why}")
            }
        }
    }
}

/// If this process is root's, makes it `eic-agent`'s, irrevocably: groups, then all three group ids, then
/// all three user ids (setuid(2), "SETUID demystified"), and looks whether it came about.
pub fn give_up_root() -> Result<(), PrivilegesError> {
    if !Uid::effective().is_root() {
        return Ok(());
    }
    let account = UNPRIVILEGED.iter().find_map(|name| Account::find(name)).filter(|account| account.uid != 0);
    let account = account.ok_or(PrivilegesError::NoUser)?;
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    let kept = |error: nix::Error| PrivilegesError::Kept(error.to_string());
    setgroups(&[]).map_err(kept)?;
    setresgid(gid, gid, gid).map_err(kept)?;
    setresuid(uid, uid, uid).map_err(kept)?;
    let (users, groups) = (getresuid().map_err(kept)?, getresgid().map_err(kept)?);
    let given_up = [users.real, users.effective, users.saved].iter().all(|id| *id == uid)
        && [groups.real, groups.effective, groups.saved].iter().all(|id| *id == gid);
    if given_up { Ok(()) } else { Err(PrivilegesError::Kept("the ids did not change".to_owned())) }
}
