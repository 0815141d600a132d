//! Users of this machine, from the file itself: a static binary has no name service to ask, and one that
//! hangs would hang the login.

use std::path::Path;

use crate::files::head_of_regular;

/// Most of `/etc/passwd` that is read, in bytes.
const MAX_PASSWD_BYTES: usize = 1024 * 1024;

/// A user.
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
}

impl Account {
    /// Looks `name` up in `/etc/passwd`.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let text = head_of_regular(Path::new("/etc/passwd"), MAX_PASSWD_BYTES).ok()?;
        Self::find_in(&String::from_utf8_lossy(&text), name)
    }

    /// passwd(5): `name:password:uid:gid:gecos:home:shell`. A line without its end may have been cut short.
    fn find_in(passwd: &str, name: &str) -> Option<Self> {
        passwd.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')).find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            let uid = fields.nth(1)?.parse().ok()?;
            let gid = fields.next()?.parse().ok()?;
            Some(Self { uid, gid, name: name.to_owned(), home: fields.nth(1)?.to_owned() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_in_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\neic-agent:x:990:991:An agent:/run:/sbin/nologin\ncut:x:1:2::/home:/bin/s";
        let agent = Account { uid: 990, gid: 991, name: "eic-agent".into(), home: "/run".into() };
        assert_eq!(Account::find_in(passwd, "eic-agent"), Some(agent));
        assert_eq!(Account::find_in(passwd, "cut"), None);
        assert_eq!(Account::find_in(passwd, "eic"), None);
        assert_eq!(Account::find_in("eic-agent\neic-agent:x:no:1\n", "eic-agent"), None);
        assert_eq!(Account::find_in("", "eic-agent"), None);
        assert_eq!(Account::find("root").map(|root| (root.uid, root.gid)), Some((0, 0)));
    }
}
