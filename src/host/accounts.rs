//! Users of this machine.
//!
//! A login reads `/etc/passwd` itself. A static binary has no name service, and a name service that hangs would
//! hang the login. Commands that no login waits for query the name service through getent(1).

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::files::head_of_regular;
use crate::process::{MAX_BYTES, output_with_timeout};

/// Maximum number of bytes of `/etc/passwd` that are read.
const MAX_PASSWD_BYTES: usize = 1024 * 1024;

/// A user of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Id of the user's own group.
    pub gid: u32,
    /// Login name.
    pub name: String,
    /// Home directory.
    pub home: String,
    /// Login shell. Empty means `/bin/sh`.
    pub shell: String,
}

impl Account {
    /// Looks `name` up in `/etc/passwd`.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let text = head_of_regular(Path::new("/etc/passwd"), MAX_PASSWD_BYTES).ok()?;
        Self::find_in(&String::from_utf8_lossy(&text), name)
    }

    /// Queries the name service as sshd does, including directories such as SSSD, through getent(1). An error
    /// holds the reason why there is no answer.
    pub fn look_up(name: &str) -> Result<Option<Self>, String> {
        match entries("passwd", &[name]) {
            Ok(text) => Ok(Self::find_in(&text, name)),
            // Without getent, use the file.
            Err(why) => Self::find(name).map(Some).ok_or(why),
        }
    }

    /// passwd(5): `name:password:uid:gid:gecos:home:shell`. Skips a line without a newline, because it may be cut
    /// off.
    fn find_in(passwd: &str, name: &str) -> Option<Self> {
        passwd.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            let home = fields.nth(1)?.to_owned();
            let shell = fields.next().unwrap_or_default().to_owned();
            Some(Self { uid, gid, name: name.to_owned(), home, shell })
        })
    }
}

/// Time limit of the name service. It takes time to find that a directory server is down.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the lines of getent(1) for `keys`. Skips keys that getent would take for options.
pub fn entries(database: &str, keys: &[&str]) -> Result<String, String> {
    let keys = keys.iter().filter(|key| !key.is_empty() && !key.starts_with('-') && !key.contains('\0'));
    let mut program = Command::new("getent");
    program.arg(database).args(keys.clone());
    if keys.count() == 0 {
        return Ok(String::new());
    }
    let said =
        output_with_timeout(&mut program, TIMEOUT).map_err(|error| format!("getent {database}: {error}"))?;
    // Exit status 2: at least one key was not found (getent(1)).
    match said.status.code() {
        Some(0 | 2) => Ok(String::from_utf8_lossy(&said.stdout).into_owned()),
        _ => Err(format!("getent {database}: {}", said.status)),
    }
}

/// The lines of all users that the name service lists.
pub fn all_users() -> Result<String, String> {
    let said = output_with_timeout(Command::new("getent").arg("passwd"), TIMEOUT)
        .map_err(|error| format!("getent passwd: {error}"))?;
    // A list that was cut off would hide users.
    if u64::try_from(said.stdout.len()).is_ok_and(|bytes| bytes >= MAX_BYTES) {
        return Err("getent passwd: too many users".to_owned());
    }
    if !said.status.success() {
        return Err(format!("getent passwd: {}", said.status));
    }
    Ok(String::from_utf8_lossy(&said.stdout).into_owned())
}

/// The ids of all groups of this user, from id(1): `initgroups(3)` gives sshd the same.
pub fn group_ids(name: &str) -> Result<Vec<u32>, String> {
    let said = output_with_timeout(Command::new("id").args(["-G", "--", name]), TIMEOUT)
        .map_err(|error| format!("id: {error}"))?;
    if !said.status.success() {
        return Err(format!("id: {}", said.status));
    }
    let numbers = String::from_utf8_lossy(&said.stdout).into_owned();
    numbers.split_whitespace().map(|number| number.parse().map_err(|_| format!("id: {number}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_in_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\neic-agent:x:990:991:An agent:/run:/sbin/nologin\ncut:x:1:2::/home:/bin/s";
        let agent = Account {
            uid: 990,
            gid: 991,
            name: "eic-agent".into(),
            home: "/run".into(),
            shell: "/sbin/nologin".into(),
        };
        assert_eq!(Account::find_in(passwd, "eic-agent"), Some(agent));
        assert_eq!(Account::find_in(passwd, "cut"), None);
        assert_eq!(Account::find_in(passwd, "eic"), None);
        assert_eq!(Account::find_in("eic-agent\neic-agent:x:no:1\n", "eic-agent"), None);
        assert_eq!(Account::find_in("", "eic-agent"), None);
        assert_eq!(Account::find("root").map(|root| (root.uid, root.gid)), Some((0, 0)));
    }

    #[test]
    fn name_service_is_queried() {
        assert_eq!(Account::look_up("root").unwrap().map(|root| (root.uid, root.gid)), Some((0, 0)));
        // getent takes a number as an id.
        for absent in ["0", "no-such-user", "-h", ""] {
            assert_eq!(Account::look_up(absent), Ok(None), "{absent}");
        }
        assert!(entries("nothing", &["x"]).unwrap_err().starts_with("getent nothing: exit status"));
    }
}
