//! The rule of the installed sshd for programs that it runs (OpenSSH misc.c, `safe_path`).
//!
//! sshd resolves the links first. Then the file and every folder up to `/` must belong to root, and neither the group
//! nor others may write them. Debian's sshd also accepts what a group may write, if no other user is in that group
//! (Debian's user-group-modes.patch, `secure_permissions`). The agent's own rule ([`super::check`]) is stricter.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Insecure, WRITABLE};
use crate::accounts::entries;

/// Mode bit that lets others write.
const OTHERS_WRITABLE: u32 = 0o002;

/// How sshd treats files and folders that a group may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupRule {
    /// sshd refuses them.
    Refused,
    /// sshd accepts them if no user except root is in the group.
    OwnersAlone,
}

/// Whether sshd runs a program.
#[derive(Debug)]
pub enum SshdRule {
    /// sshd runs it. Holds each file and folder of its path that a group may write.
    Runs(Vec<PathBuf>),
    /// sshd refuses it. If a group may write, the second value says why that group is not root's alone.
    Refuses(Insecure, Option<String>),
    /// Unknown. Holds the reason.
    Unknown(String),
}

impl SshdRule {
    /// Applies sshd's rule to a program, as root sees it.
    #[must_use]
    pub fn of(program: &Path, rule: GroupRule) -> Self {
        let unreadable =
            |path: &Path, error| Self::Refuses(Insecure::Unreadable(path.to_owned(), error), None);
        if !program.is_absolute() {
            return Self::Refuses(Insecure::NotAbsolute(program.to_owned()), None);
        }
        let real = match program.canonicalize() {
            Ok(real) => real,
            Err(error) => return unreadable(program, error),
        };
        let mut writable = Vec::new();
        for place in real.ancestors() {
            let status = match place.metadata() {
                Ok(status) => status,
                Err(error) => return unreadable(place, error),
            };
            let mode = status.mode() & 0o7777;
            if place == real && !status.is_file() {
                return Self::Refuses(Insecure::NotAFile(real.clone()), None);
            }
            if status.uid() != 0 {
                return Self::Refuses(Insecure::Owner(place.to_owned(), status.uid()), None);
            }
            if mode & WRITABLE == 0 {
                continue;
            }
            let insecure = Insecure::Writable(place.to_owned(), mode);
            if mode & OTHERS_WRITABLE != 0 || rule == GroupRule::Refused {
                return Self::Refuses(insecure, None);
            }
            match other_member(status.gid()) {
                Ok(None) => writable.push(place.to_owned()),
                Ok(Some(why)) => return Self::Refuses(insecure, Some(why)),
                Err(why) => return Self::Unknown(format!("{}; {why}", insecure.seen())),
            }
        }
        Self::Runs(writable)
    }
}

/// Why this group is not root's alone by the rule of Debian's sshd. `None` if it is root's alone.
fn other_member(gid: u32) -> Result<Option<String>, String> {
    let group = entries("group", &[&gid.to_string()])?;
    let Some(line) = group.lines().next() else {
        return Ok(Some(format!("the group {gid} does not exist")));
    };
    let mut fields = line.split(':');
    let name = fields.next().unwrap_or_default();
    let members = fields.nth(2).unwrap_or_default();
    let members: Vec<_> = members.split(',').filter(|member| !member.is_empty()).collect();
    let passwd = crate::accounts::all_users()?;
    let users = passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (user, uid, primary) = (fields.next()?, fields.nth(1)?, fields.next()?);
        (primary.parse() == Ok(gid)).then_some((user, uid))
    });
    let mut has_root = false;
    for (user, uid) in users {
        if uid != "0" {
            return Ok(Some(format!("{user} is in the group {name}")));
        }
        has_root = true;
    }
    match members.as_slice() {
        [] if has_root => Ok(None),
        [] => Ok(Some(format!("root is not in the group {name}"))),
        ["root"] => Ok(None),
        _ => {
            let other = members.iter().find(|member| **member != "root").unwrap_or(&"root");
            Ok(Some(format!("{other} is in the group {name}")))
        }
    }
}
