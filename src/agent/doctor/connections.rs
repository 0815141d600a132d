//! Settings of sshd that end connections before a login: a part of the check `listener`.

use std::time::Duration;

use eic_host::sshd::keyword::Keyword;

use super::check::{Check, CheckStatus};
use super::sshd::{Sshd, then_reload};

/// sshd's default of `LoginGraceTime`, in seconds.
const USUAL_GRACE: &str = "120";

/// Judges a check `listener` that is ok. `timeout` is the time limit of a run of the agent, if the settings are valid.
pub(super) fn judged(listener: Check, sshd: &Sshd, timeout: Option<Duration>) -> Check {
    if listener.verdict != CheckStatus::Ok {
        return listener;
    }
    let Check { id, why, is_open, .. } = listener;
    let found = no_connection(id, why, sshd).or_else(|| short_grace(id, why, sshd, timeout?));
    match found {
        // The running server may not have read this setting.
        Some(found) if is_open || sshd.unread.is_some() => found.left_open(),
        Some(found) => found,
        None => listener,
    }
}

/// With 0, sshd drops every connection (OpenSSH srclimit.c, `srclimit_check_allow`). sshd accepts no value of
/// `MaxStartups` with that effect.
fn no_connection(id: &'static str, why: &'static str, sshd: &Sshd) -> Option<Check> {
    const KEYWORD: Keyword = Keyword::PerSourceMaxStartups;
    let value = sshd.running.value(KEYWORD).filter(|value| *value == "0")?;
    let seen =
        format!("PerSourceMaxStartups is 0{}: sshd drops every connection", sshd.place(KEYWORD, value));
    Some(Check::fail(id, why, seen, fix(sshd, KEYWORD, "none")))
}

/// sshd ends a login after `LoginGraceTime`, while the agent may still wait for the metadata service.
fn short_grace(id: &'static str, why: &'static str, sshd: &Sshd, timeout: Duration) -> Option<Check> {
    const KEYWORD: Keyword = Keyword::LoginGraceTime;
    let seconds = sshd.running.value(KEYWORD)?.parse::<u64>().ok()?;
    // 0 means no limit.
    if seconds == 0 || Duration::from_secs(seconds) > timeout {
        return None;
    }
    let place = sshd.place(KEYWORD, &seconds.to_string());
    let seen = format!(
        "LoginGraceTime is {seconds} s{place}, but a run of the agent may take {} s (imds.timeout): sshd may end the login first",
        timeout.as_secs_f32()
    );
    Some(Check::warn(id, why, seen, fix(sshd, KEYWORD, USUAL_GRACE)))
}

fn fix(sshd: &Sshd, keyword: Keyword, value: &str) -> String {
    let then = then_reload(sshd);
    sshd.offer(keyword, value)
        .map_or_else(|| format!("remove {keyword}{then}"), |offer| format!("set {offer} there{then}"))
}
