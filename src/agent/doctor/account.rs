//! Checks of one login name: `access`, `account` and `shell`.

use std::path::Path;

use eic_core::text::{MAX_SHOWN, printable};
use eic_core::time::Timestamp;
use eic_host::accounts::{Account, entries};
use eic_host::sshd::keyword::Keyword;

use super::access::{ACCESS, access};
use super::check::{Check, CheckStatus};
use super::sshd::{Sshd, SshdUnavailable};

const ACCOUNT: &str = "sshd lets nobody in whose account is not there, is locked or has expired";
const SHELL: &str = "sshd turns away who has no shell, and a shell like nologin ends every session";

/// Shells that end every session at once.
const NO_SHELLS: [&str; 3] = ["nologin", "false", "true"];

/// Files that refuse all logins except root's: sshd's file, and those of `pam_nologin(8)`.
const NOLOGIN: &str = "/etc/nologin";
const PAM_NOLOGIN: [&str; 2] = ["/run/nologin", NOLOGIN];

const SECONDS_OF_DAY: u64 = 86_400;

/// `access`, `account` and `shell`. Skipped if no login name is given.
pub(super) fn checks(sshd: &Result<Sshd, SshdUnavailable>, user: Option<&str>, now: Timestamp) -> Vec<Check> {
    let links = [("access", ACCESS), ("account", ACCOUNT), ("shell", SHELL)];
    let Some(user) = user else {
        return links.map(|(id, why)| Check::skipped(id, why, "no login name; add --user USER")).into();
    };
    let name = printable(user, MAX_SHOWN);
    let account = match Account::look_up(user) {
        Ok(Some(account)) => account,
        Ok(None) => {
            let seen = format!("there is no user {name}");
            let fix = format!("log in as a user that is there, or: sudo useradd --create-home {name}");
            let gone = |id, why| Check::skipped(id, why, seen.clone());
            return vec![
                gone("access", ACCESS),
                Check::fail("account", ACCOUNT, seen.clone(), fix),
                gone("shell", SHELL),
            ];
        }
        Err(why) => {
            return links
                .map(|(id, reason)| {
                    Check::skipped(id, reason, format!("the name service does not answer: {why}"))
                })
                .into();
        }
    };
    vec![
        match sshd {
            Ok(sshd) => access(sshd, &account),
            Err(blind) => blind.skipped("access", ACCESS),
        },
        account_check(sshd, &account, now),
        skip_if_unknown(sshd, shell(sshd, &account)),
    ]
}

/// Whether sshd uses PAM for accounts. `None` if sshd's configuration is unknown.
fn uses_pam(sshd: &Result<Sshd, SshdUnavailable>) -> Option<bool> {
    sshd.as_ref().ok().map(|sshd| sshd.running.value(Keyword::UsePAM) == Some("yes"))
}

/// `account`: whether sshd or PAM refuses a locked or expired account (OpenSSH auth.c, `allowed_user`; `pam_unix(8)`).
fn account_check(sshd: &Result<Sshd, SshdUnavailable>, account: &Account, now: Timestamp) -> Check {
    const ID: &str = "account";
    let name = printable(&account.name, MAX_SHOWN);
    let there = format!("{name} is uid {}", account.uid);
    if !nix::unistd::Uid::effective().is_root() {
        let seen = format!("{there}; run with sudo to see whether it is locked or has expired");
        return Check::skipped(ID, ACCOUNT, seen);
    }
    let shadow = match entries("shadow", &[&account.name]) {
        Ok(text) => text,
        Err(why) => return Check::skipped(ID, ACCOUNT, format!("{there}; {why}")),
    };
    let Some(shadow) = shadow.lines().find_map(|line| Shadow::parse(line, &account.name)) else {
        return Check::ok(ID, ACCOUNT, format!("{there}; it has no line in /etc/shadow"));
    };
    let Some(uses_pam) = uses_pam(sshd) else {
        return Check::skipped(ID, ACCOUNT, format!("{there}; whether PAM judges it, sshd does not tell"));
    };
    let today = i64::try_from(now.as_unix() / SECONDS_OF_DAY).unwrap_or(i64::MAX);
    let (seen, fix) = match shadow.account_state(today, uses_pam) {
        AccountStatus::Good if shadow.is_locked => {
            return Check::ok(
                ID,
                ACCOUNT,
                format!("{there}; its password is locked, which PAM does not mind"),
            );
        }
        AccountStatus::Good => return Check::ok(ID, ACCOUNT, format!("{there}, neither locked nor expired")),
        AccountStatus::Locked => (
            format!("{name} is locked (! in /etc/shadow), and UsePAM is no"),
            format!("sudo usermod -p '*' {name}"),
        ),
        AccountStatus::Expired(days) => (
            format!("{name} expired {} days ago", today.saturating_sub(days)),
            format!("sudo chage -E -1 {name}"),
        ),
        AccountStatus::PasswordDead => (
            format!("the password of {name} expired, and PAM lets nobody in with it any more"),
            format!("sudo chage -I -1 -M -1 {name}"),
        ),
        AccountStatus::PasswordOld => {
            let seen =
                format!("the password of {name} has to be changed, and PAM asks for that at the login");
            let fix = if shadow.changed == Some(0) {
                format!("sudo chage -d \"$(date +%F)\" {name}")
            } else {
                format!("sudo chage -M -1 {name}")
            };
            return Check::warn(ID, ACCOUNT, seen, fix);
        }
    };
    Check::fail(ID, ACCOUNT, seen, fix)
}

/// A line of shadow(5). Days are counted since 1970. An empty field is `None`.
struct Shadow {
    is_locked: bool,
    changed: Option<i64>,
    longest: Option<i64>,
    inactive: Option<i64>,
    expires: Option<i64>,
}

#[derive(Debug, PartialEq, Eq)]
enum AccountStatus {
    Good,
    /// Locked for sshd without PAM: `!` before the password (OpenSSH configure.ac, `LOCKED_PASSWD_PREFIX`).
    Locked,
    /// Expired since this day.
    Expired(i64),
    /// The password is so old that it can no longer be changed at a login.
    PasswordDead,
    /// The password has to be changed.
    PasswordOld,
}

impl Shadow {
    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let is_locked = fields.next()?.starts_with('!');
        let mut days = fields.map(|field| field.parse::<i64>().ok().filter(|day| *day >= 0));
        let changed = days.next()?;
        let (longest, inactive, expires) = (days.nth(1)?, days.nth(1)?, days.next()?);
        Some(Self { is_locked, changed, longest, inactive, expires })
    }

    fn account_state(&self, today: i64, uses_pam: bool) -> AccountStatus {
        // For PAM, the account expires on that day. For sshd, it expires on the day after.
        let last = |day: i64| if uses_pam { day } else { day.saturating_add(1) };
        match self.expires {
            Some(day) if today >= last(day) => return AccountStatus::Expired(day),
            _ if !uses_pam => {
                return if self.is_locked { AccountStatus::Locked } else { AccountStatus::Good };
            }
            _ => {}
        }
        let Some(changed) = self.changed else { return AccountStatus::Good };
        if changed == 0 {
            return AccountStatus::PasswordOld;
        }
        let Some(longest) = self.longest else { return AccountStatus::Good };
        let age = today.saturating_sub(changed);
        match self.inactive {
            Some(inactive) if age > longest.saturating_add(inactive) => AccountStatus::PasswordDead,
            _ if age > longest => AccountStatus::PasswordOld,
            _ => AccountStatus::Good,
        }
    }
}

/// Turns a failure into a skipped check if sshd's configuration is unknown, because sshd may not enforce it.
fn skip_if_unknown(sshd: &Result<Sshd, SshdUnavailable>, check: Check) -> Check {
    match sshd {
        Err(SshdUnavailable::NeedsRoot(_)) if check.verdict == CheckStatus::Fail => {
            let seen = format!("{}; run with sudo to see whether sshd minds", check.seen);
            Check::skipped(check.id, check.why, seen)
        }
        _ => check,
    }
}

fn shell(sshd: &Result<Sshd, SshdUnavailable>, account: &Account) -> Check {
    const ID: &str = "shell";
    let name = printable(&account.name, MAX_SHOWN);
    let running = sshd.as_ref().ok().map(|sshd| &sshd.running);
    let nologin = if uses_pam(sshd) == Some(false) { &[NOLOGIN] } else { PAM_NOLOGIN.as_slice() };
    if let Some(file) = nologin.iter().find(|file| account.uid != 0 && Path::new(file).exists()) {
        let seen = format!("{file} keeps everybody out but root");
        return Check::fail(
            ID,
            SHELL,
            seen,
            format!("sudo rm {file}, unless the machine is starting or stopping"),
        );
    }
    let setting = |keyword| running.and_then(|running| running.value(keyword));
    if let Some(root) = setting(Keyword::ChrootDirectory) {
        let seen = format!("sessions are in ChrootDirectory {}; not looked into", printable(root, MAX_SHOWN));
        return Check::skipped(ID, SHELL, seen);
    }
    // passwd(5): an empty field means /bin/sh.
    let shell = if account.shell.is_empty() { "/bin/sh" } else { account.shell.as_str() };
    let shown = printable(shell, MAX_SHOWN);
    let other = format!("sudo usermod -s /bin/sh {name}");
    match std::fs::metadata(shell) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Check::skipped(ID, SHELL, format!("run with sudo to look at {shown}"));
        }
        Err(error) => return Check::fail(ID, SHELL, format!("the shell of {name}: {shown}: {error}"), other),
        Ok(status) => {
            use std::os::unix::fs::PermissionsExt as _;
            if !status.is_file() || status.permissions().mode() & 0o111 == 0 {
                return Check::fail(ID, SHELL, format!("the shell of {name}, {shown}, cannot be run"), other);
            }
        }
    }
    let base = Path::new(shell).file_name().and_then(|base| base.to_str()).unwrap_or_default();
    // The internal SFTP server needs no shell.
    if NO_SHELLS.contains(&base)
        && !setting(Keyword::ForceCommand).is_some_and(|f| f.starts_with("internal-sftp"))
    {
        return Check::fail(ID, SHELL, format!("the shell of {name}, {shown}, ends every session"), other);
    }
    Check::ok(ID, SHELL, shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_states_agree_with_sshd_and_pam() {
        use AccountStatus as S;
        for (line, without, with) in [
            ("u:*:19000:0:99999:7:::", S::Good, S::Good),
            ("u:!:19000:0:99999:7:::", S::Locked, S::Good),
            ("u:!!:19000:0:99999:7:::", S::Locked, S::Good),
            ("u:*:19000:0:99999:7::19999:", S::Expired(19999), S::Expired(19999)),
            ("u:*:19000:0:99999:7::20000:", S::Good, S::Expired(20000)),
            ("u:*:19000:0:99999:7::20001:", S::Good, S::Good),
            ("u:*:19000:0:99999:7::-1:", S::Good, S::Good),
            ("u:*:0:0:99999:7:::", S::Good, S::PasswordOld),
            ("u:*:19000:0:90:7:::", S::Good, S::PasswordOld),
            ("u:*:19000:0:90:7:14::", S::Good, S::PasswordDead),
            ("u:*:19990:0:90:7:14::", S::Good, S::Good),
            ("u:*::::::::", S::Good, S::Good),
        ] {
            let shadow = Shadow::parse(line, "u").unwrap();
            assert_eq!(shadow.account_state(20000, false), without, "{line}");
            assert_eq!(shadow.account_state(20000, true), with, "{line}");
        }
        assert!(Shadow::parse("u:*:1:2", "u").is_none() && Shadow::parse("v:*:1:2:3:4:5:6:", "u").is_none());
    }
}
