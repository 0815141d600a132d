//! Checks of one login name: `access`, `account` and `shell`, and `pam` at the end.

use eic_core::identity::LoginName;
use eic_core::text::{MAX_SHOWN, printable};
use eic_core::time::Timestamp;
use eic_host::accounts::{Account, entries};

use super::access::{ACCESS, access};
use super::check::{Check, CheckStatus, LIVE_RUN};
use super::pam::{self, AccountStep, Answer};
use super::shell::{SHELL, shell};
use super::sshd::{Sshd, SshdUnavailable};

const ACCOUNT: &str = "sshd refuses a user whose account does not exist, is locked or has expired";

const SECONDS_OF_DAY: u64 = 86_400;

/// Checks of the login name, and what PAM says of it.
pub(super) struct AccountChecks {
    /// `access`, `account` and `shell`.
    pub(super) checks: Vec<Check>,
    /// `pam`, the last step of a login.
    pub(super) pam: Check,
}

/// The checks are skipped if no login name is given.
pub(super) fn checks(
    sshd: &Result<Sshd, SshdUnavailable>,
    user: Option<&str>,
    now: Timestamp,
) -> AccountChecks {
    let links = [("access", ACCESS), ("account", ACCOUNT), ("shell", SHELL)];
    let unasked = |checks: Vec<Check>| AccountChecks { checks, pam: pam::check(sshd, user, None) };
    let Some(user) = user else {
        return unasked(
            links.map(|(id, why)| Check::skipped(id, why, "no login name; add --user USER")).into(),
        );
    };
    let name = printable(user, MAX_SHOWN);
    let can_be_pushed_for = LoginName::try_from(user).is_ok();
    // If no key can be pushed for this name, a change of the account does not help.
    let follows: &[_] = if can_be_pushed_for { &[] } else { &[LIVE_RUN] };
    let account = match Account::look_up(user) {
        Ok(Some(account)) => account,
        Ok(None) => {
            let seen = format!("there is no user {name}");
            let fix = if can_be_pushed_for {
                format!("log in as an existing user, or: sudo useradd --create-home {name}")
            } else {
                "log in as an existing user".to_owned()
            };
            let gone = |id, why| Check::skipped(id, why, seen.clone());
            return unasked(vec![
                gone("access", ACCESS),
                Check::fail("account", ACCOUNT, seen.clone(), fix).after(follows),
                gone("shell", SHELL),
            ]);
        }
        Err(why) => {
            let seen = format!("the name service does not answer: {why}");
            return unasked(links.map(|(id, reason)| Check::skipped(id, reason, seen.clone())).into());
        }
    };
    let is_root = nix::unistd::Uid::effective().is_root();
    let step = match sshd {
        Ok(asked) if is_root && pam::is_used(sshd) == Some(true) => Some(AccountStep::ask(asked, &account)),
        _ => None,
    };
    let checks = vec![
        match sshd {
            Ok(sshd) => access(sshd, &account),
            Err(blind) => blind.skipped("access", ACCESS),
        },
        account_check(sshd, &account, step.as_ref(), now),
        skip_if_unknown(sshd, shell(sshd, &account, step.as_ref())),
    ];
    let checks = checks.into_iter().map(|check| check.after(follows)).collect();
    AccountChecks { checks, pam: pam::check(sshd, Some(user), step.as_ref()).after(follows) }
}

/// `account`: whether sshd or PAM refuses a locked or expired account (OpenSSH auth.c, `allowed_user`; `pam_unix(8)`).
fn account_check(
    sshd: &Result<Sshd, SshdUnavailable>,
    account: &Account,
    step: Option<&Result<AccountStep, String>>,
    now: Timestamp,
) -> Check {
    const ID: &str = "account";
    let name = printable(&account.name, MAX_SHOWN);
    let there = format!("{name} is uid {}", account.uid);
    if !nix::unistd::Uid::effective().is_root() {
        let seen = format!("{there}; run with sudo to see whether it is locked or has expired");
        return Check::skipped(ID, ACCOUNT, seen);
    }
    let Some(uses_pam) = pam::is_used(sshd) else {
        return Check::skipped(ID, ACCOUNT, format!("{there}; sshd does not report whether PAM checks it"));
    };
    let shadow = match entries("shadow", &[&account.name]) {
        Ok(text) => text.lines().find_map(|line| Shadow::parse(line, &account.name)),
        Err(why) => return Check::skipped(ID, ACCOUNT, format!("{there}; {why}")),
    };
    let today = i64::try_from(now.as_unix() / SECONDS_OF_DAY).unwrap_or(i64::MAX);
    match step {
        Some(Ok(step)) => judged_by_pam(step, &name, &there, shadow.as_ref(), today),
        Some(Err(why)) => Check::skipped(
            ID,
            ACCOUNT,
            format!("{there}; it is not known whether PAM allows the login: {why}"),
        ),
        None if uses_pam => Check::skipped(ID, ACCOUNT, format!("{there}; PAM was not asked")),
        None => judged_by_sshd(&name, &there, shadow.as_ref(), today),
    }
}

/// The judgement of sshd itself, if it does not use PAM.
fn judged_by_sshd(name: &str, there: &str, shadow: Option<&Shadow>, today: i64) -> Check {
    const ID: &str = "account";
    let Some(shadow) = shadow else {
        return without_shadow(name, there);
    };
    match shadow.account_state(today) {
        AccountStatus::Good => Check::ok(ID, ACCOUNT, format!("{there}, neither locked nor expired")),
        AccountStatus::Locked => Check::fail(
            ID,
            ACCOUNT,
            format!("{name} is locked (! in /etc/shadow), and UsePAM is no"),
            format!("sudo usermod -p '*' {name}"),
        ),
        AccountStatus::Expired(days) => Check::fail(
            ID,
            ACCOUNT,
            format!("the account {name} expired {} days ago", today.saturating_sub(days)),
            format!("sudo chage -E -1 {name}"),
        ),
    }
}

/// sshd then uses the password field of passwd(5).
fn without_shadow(name: &str, there: &str) -> Check {
    const ID: &str = "account";
    let text = match entries("passwd", &[name]) {
        Ok(text) => text,
        Err(why) => return Check::skipped(ID, ACCOUNT, format!("{there}; {why}")),
    };
    let password = text.lines().find_map(|line| line.split(':').nth(1)).unwrap_or_default();
    if password.starts_with('!') {
        return Check::fail(
            ID,
            ACCOUNT,
            format!("{name} is locked (! in /etc/passwd), and UsePAM is no"),
            format!("sudo usermod -p '*' {name}"),
        );
    }
    Check::ok(ID, ACCOUNT, format!("{there}; it has no line in /etc/shadow, and sshd needs none without PAM"))
}

/// The judgement of PAM's module `pam_unix`, if it decides.
fn judged_by_pam(step: &AccountStep, name: &str, there: &str, shadow: Option<&Shadow>, today: i64) -> Check {
    const ID: &str = "account";
    let Some(answer) = step.refused_by_unix() else {
        let is_locked = shadow.is_some_and(|shadow| shadow.is_locked);
        let seen = match (step.is_unix_content(), is_locked) {
            (true, true) => format!("{there}; its password is locked, but a login with a key works"),
            (true, false) => format!("{there}, neither locked nor expired"),
            (false, _) => format!("{there}; the check \"pam\" says whether PAM allows the login"),
        };
        return if step.is_unix_content() || step.is_good() {
            Check::ok(ID, ACCOUNT, seen)
        } else {
            Check::skipped(ID, ACCOUNT, seen)
        };
    };
    let (seen, fix) = match answer {
        Answer::NewAuthtokReqd => {
            let fix = if shadow.is_some_and(|shadow| shadow.changed == Some(0)) {
                format!("sudo chage -d \"$(date +%F)\" {name}")
            } else {
                format!("sudo chage -M -1 {name}")
            };
            let how = if shadow.is_some_and(Shadow::has_password) {
                "PAM asks for the old one in a terminal, and ends a login without a terminal"
            } else {
                "PAM asks for the old one, and there is none"
            };
            (format!("the password of {name} has to be changed: {how}"), fix)
        }
        Answer::AuthtokExpired => (
            format!("the password of {name} expired too long ago; PAM ends every login"),
            format!("sudo chage -I -1 -M -1 {name}"),
        ),
        Answer::AcctExpired => {
            let days = shadow.and_then(|shadow| shadow.expires).map(|day| today.saturating_sub(day));
            let when = days.map_or_else(String::new, |days| format!(" {days} days ago"));
            (format!("the account {name} expired{when}"), format!("sudo chage -E -1 {name}"))
        }
        Answer::AuthinfoUnavail if shadow.is_none() => {
            (format!("/etc/shadow has no line of {name}, and PAM ends every login"), "sudo pwconv".to_owned())
        }
        other => (
            format!("PAM's module pam_unix refuses {name}: {}", other.name()),
            format!(
                "see pam_unix in the log of sshd, and: sudo unix_chkpwd {name} chkexpiry </dev/null; echo $?"
            ),
        ),
    };
    Check::fail(ID, ACCOUNT, seen, fix)
}

/// A line of shadow(5). Days are counted since 1970. An empty field is `None`.
struct Shadow {
    is_locked: bool,
    has_hash: bool,
    changed: Option<i64>,
    expires: Option<i64>,
}

/// sshd's judgement without PAM.
#[derive(Debug, PartialEq, Eq)]
enum AccountStatus {
    Good,
    /// Locked for sshd without PAM: `!` before the password (OpenSSH configure.ac, `LOCKED_PASSWD_PREFIX`).
    Locked,
    /// Expired since this day.
    Expired(i64),
}

impl Shadow {
    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let password = fields.next()?;
        let mut days = fields.map(|field| field.parse::<i64>().ok().filter(|day| *day >= 0));
        let changed = days.next()?;
        let expires = days.nth(4)?;
        Some(Self {
            is_locked: password.starts_with('!'),
            has_hash: password.starts_with('$'),
            changed,
            expires,
        })
    }

    /// Whether there is a password that a user could enter.
    const fn has_password(&self) -> bool {
        self.has_hash
    }

    const fn account_state(&self, today: i64) -> AccountStatus {
        match self.expires {
            // For PAM, the account expires on that day. For sshd, it expires on the day after.
            Some(day) if today > day => AccountStatus::Expired(day),
            _ if self.is_locked => AccountStatus::Locked,
            _ => AccountStatus::Good,
        }
    }
}

/// Turns a failure into a skipped check if sshd's configuration is unknown, because sshd may still accept the login.
fn skip_if_unknown(sshd: &Result<Sshd, SshdUnavailable>, check: Check) -> Check {
    match sshd {
        Err(SshdUnavailable::NeedsRoot(_)) if check.verdict == CheckStatus::Fail => {
            let seen = format!("{}; run with sudo to see whether sshd refuses the login", check.seen);
            Check::skipped(check.id, check.why, seen)
        }
        _ => check,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_states_agree_with_sshd() {
        use AccountStatus as S;
        for (line, state) in [
            ("u:*:19000:0:99999:7:::", S::Good),
            ("u:!:19000:0:99999:7:::", S::Locked),
            ("u:!!:19000:0:99999:7:::", S::Locked),
            ("u:*:19000:0:99999:7::19999:", S::Expired(19999)),
            ("u:*:19000:0:99999:7::20000:", S::Good),
            ("u:*:19000:0:99999:7::-1:", S::Good),
            ("u:*:0:0:90:7:14::", S::Good),
            ("u:*::::::::", S::Good),
        ] {
            let shadow = Shadow::parse(line, "u").unwrap();
            assert_eq!(shadow.account_state(20000), state, "{line}");
        }
        assert!(Shadow::parse("u:*:1:2", "u").is_none() && Shadow::parse("v:*:1:2:3:4:5:6:", "u").is_none());
        assert!(Shadow::parse("u:$y$j:1:2:3:4:5:6:", "u").unwrap().has_password());
    }
}
