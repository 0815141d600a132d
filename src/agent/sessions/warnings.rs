//! Warnings about what is missing, and about what the log cannot show.

use eic_core::identity::LoginName;
use eic_core::sessions::join::Kind;
use eic_core::sessions::report::{SessionsReport, Warning};
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;

use super::lines::{Gap, Read};
use super::text;
use crate::cli::SessionsArgs;

/// Warns that neither the log nor this machine knows the user of the query. The name may be misspelt.
pub(super) fn warn_of_user(
    report: &mut SessionsReport,
    user: &str,
    account: Result<Option<Account>, String>,
) {
    let is_plain = LoginName::try_from(user).is_ok();
    let user = printable(user, MAX_SHOWN);
    let (seen, fix) = match account {
        Ok(Some(_)) => return,
        Ok(None) => (
            format!("there is no user {user} here, and the log has no login and no key of that name"),
            "check the name; if the user was removed, read older logs as well".to_owned(),
        ),
        Err(why) => (
            format!(
                "the log has no login and no key of the user {user}, and it is unknown whether that user exists: {why}"
            ),
            if is_plain {
                format!("check the name: getent passwd {user}")
            } else {
                "check the name".to_owned()
            },
        ),
    };
    report.complete = false;
    report.warnings.push(Warning::new("unknown-user", seen, &fix));
}

/// Adds warnings about gaps in the log, and about what the chosen source and arguments cannot verify.
pub(super) fn warn(
    report: &mut SessionsReport,
    arguments: &SessionsArgs,
    kind: Kind,
    believed: bool,
    read: Read,
) {
    let is_late = |warning: &Warning| matches!(warning.id, "log-begins-later" | "beginning-rotated-away");
    let begins_late = report.warnings.iter().any(is_late);
    let mut warn = |id, seen: String, fix: &str| report.warnings.push(Warning::new(id, seen, fix));
    if let Some(why) = read.broken {
        warn("broken-off", why, "the report has only the lines before that; repair the log and run again");
    }
    if let Some(said) = read.complaint {
        let seen = format!("journalctl could not read all of the journal: {said}");
        warn(
            "journal-damaged",
            seen,
            "look at the files with journalctl --verify; the damaged entries are lost",
        );
    }
    if read.unknown > 0 {
        let seen = format!(
            "{} lines or files have an unknown form, and may be about logins or keys; the first: {}",
            read.unknown,
            read.first_unknown.unwrap_or_default()
        );
        let fix = "read them yourself; configure the log daemon to write RFC 5424 or another form that eic-agent's docs/audit.md names; name only logs";
        warn("unknown-format", seen, fix);
    }
    if read.unreadable > 0 {
        let seen = format!("{} lines are too long, or do not have the form of this log", read.unreadable);
        warn("unreadable", seen, "check whether another program or a user has changed the log");
    }
    if kind == Kind::Journal && begins_late && text::has_text_logs() {
        let seen = "there are text logs as well, which may go further back".to_owned();
        warn("older-text-logs", seen, "name them: eic-agent sessions /var/log/auth.log* (or secure*)");
    }
    match kind {
        Kind::Text => {
            let seen = "any user can write to a text log, so its principals are not verified".to_owned();
            warn("text-log", seen, "use systemd's journal: there, the kernel says which user wrote a line");
        }
        Kind::Journal if !believed => {
            let agent = printable(&arguments.agent_user, MAX_SHOWN);
            let seen = format!("no principal is believed: there is no user {agent} here, or it is root");
            warn("no-agent-user", seen, "name the user that sshd runs the agent as: --agent-user");
        }
        Kind::Journal => {}
    }
    for gap in read.gaps {
        let (id, seen, fix) = match gap {
            Gap::Hidden => (
                "not-root",
                "the journal hides the system's lines from this user",
                "run it with sudo, or as a member of the group systemd-journal",
            ),
            Gap::YearsUnsure => (
                "years",
                "the time stamps have no year and go back: the log spans more than a year, or the clock was set back by weeks",
                "rotate the log at least once a year",
            ),
            Gap::ZoneUnknown => (
                "time-zone",
                "the time zone of this machine is not known: time stamps without a zone are read as UTC",
                "install zdump(8), or configure rsyslog to write time stamps in RFC 3339",
            ),
        };
        warn(id, seen.to_owned(), fix);
    }
}
