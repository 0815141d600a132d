//! Changes the user of this process.

use std::path::Path;

use nix::unistd::{Gid, Uid, getresgid, getresuid, setgroups, setresgid, setresuid};

use crate::files::head_of_regular;

/// Makes this process a process of that user, irrevocably: sets all groups, all three group ids and all three user ids
/// (setuid(2), "SETUID demystified"). Then checks the result. Only a change to root may leave capabilities.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> Result<(), String> {
    let kept = |error: nix::Error| error.to_string();
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let groups: Vec<_> = groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).map_err(kept)?;
    setresgid(gid, gid, gid).map_err(kept)?;
    setresuid(uid, uid, uid).map_err(kept)?;
    let (users, now) = (getresuid().map_err(kept)?, getresgid().map_err(kept)?);
    let is_done = [users.real, users.effective, users.saved].iter().all(|id| *id == uid)
        && [now.real, now.effective, now.saved].iter().all(|id| *id == gid);
    if !is_done {
        return Err("the ids did not change".to_owned());
    }
    // With SECBIT_NO_SETUID_FIXUP, capabilities survive the change of ids (capabilities(7)).
    match capabilities().filter(|_| !uid.is_root()) {
        Some(kept) => Err(format!("capabilities {kept} are still there")),
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
