//! `sessions`: lists logins with pushed keys, from the log.
//!
//! | file | does |
//! | --- | --- |
//! | [`source`] | finds the log, opens it as root, and reads it without root's rights |
//! | [`journal`], [`text`] | the two kinds of log: path, first entry, lines |
//! | [`lines`] | the line reader for both |
//! | [`machine`] | the processes that this machine runs now, and its time zone |
//! | [`caller`], [`login_of`] | who pushed the key of the login that a process belongs to |

mod caller;
mod journal;
mod lines;
mod log_error;
mod login_of;
mod machine;
mod source;
mod text;

use std::io::{self, BufWriter, Write};

pub(super) use caller::{Caller, caller_of};
use eic_core::audit_line::IDENT;
use eic_core::identity::LoginName;
use eic_core::policy::Glob;
use eic_core::sessions::join::{Join, Kind};
use eic_core::sessions::programs::Programs;
use eic_core::sessions::question::Question;
use eic_core::sessions::report::{SessionsReport, Warning};
use eic_core::sessions::writer::AgentUser;
use eic_core::text::{MAX_SHOWN, one_line, printable};
use eic_core::time::Timestamp;
use eic_host::accounts::Account;
use eic_host::stdout::write_once;
use eic_login::privileges::give_up_root;
use lines::{Gap, Read};
use log_error::LogError;
use source::LogSource;

use crate::cli::SessionsArgs;
use crate::config::rules::{check_principal, doubt_principal};
use crate::layout::fit_for_terminal;
use crate::outcome::Outcome;

pub(super) fn run(
    arguments: &SessionsArgs,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    let report = match build_report(arguments, now) {
        Ok(report) => report,
        Err(fault) => {
            let _ = writeln!(notes, "{IDENT}: {}", one_line(&fault.to_string()));
            return fault.outcome();
        }
    };
    if arguments.csv {
        for warning in &report.warnings {
            let (seen, fix) = (one_line(&warning.seen), one_line(&warning.fix));
            let _ = writeln!(notes, "warning: {}: {seen}\n    fix: {fix}", warning.id);
        }
    }
    let written = match (arguments.json, arguments.csv) {
        (true, _) => write_json(&report, out),
        (_, true) => write_once(report.csv().as_bytes(), out),
        _ => write_once(fit_for_terminal(&report.text()).as_bytes(), out),
    };
    if let Err(error) = written {
        let _ = writeln!(notes, "{IDENT}: cannot write the report: {error}");
        return Outcome::Undecided;
    }
    if report.complete { Outcome::Done } else { Outcome::Undecided }
}

/// Writes the JSON directly to `out`, so that a long report is not also kept as text. It is not an error if the reader
/// closes the pipe early.
fn write_json(report: &SessionsReport, out: &mut impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let written = serde_json::to_writer_pretty(&mut out, report).map_err(io::Error::from);
    match written.and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Opens the log with root's rights, if we have them. Gives these rights up before it reads the log, because other
/// programs wrote the text.
fn build_report(arguments: &SessionsArgs, now: Timestamp) -> Result<SessionsReport, LogError> {
    let question = question(arguments, now)?;
    let account = arguments.user.as_deref().map(|user| (user, Account::look_up(user)));
    let agent = Account::look_up(&arguments.agent_user).ok().flatten();
    let believed = agent.as_ref().and_then(|agent| AgentUser::new(agent.uid));
    let is_here = arguments.files.is_empty();
    let running = is_here.then(|| machine::running(now));
    let programs = Programs::with(is_here.then(machine::sshd_programs).unwrap_or_default());
    let source = LogSource::find(&arguments.files)?;
    give_up_root().map_err(LogError::Privileges)?;
    let kind = source.kind();
    let mut join = Join::new(kind, question.clone(), running);
    let read = source.read_into(believed, programs, &mut join)?;
    let later = is_here.then(|| machine::running(now));
    let mut found = join.end(later.as_ref());
    found.tally.stepped_back = found.tally.stepped_back.max(read.stepped_back);
    let knows_user = found.tally.knows_user;
    let mut report = SessionsReport::new(&question, now, kind, found, read.lines);
    report.log.files.clone_from(&read.files);
    report.complete &= read.broken.is_none() && read.complaint.is_none() && read.unknown == 0;
    report.complete &= read.unreadable == 0 && !read.gaps.contains(&Gap::Hidden);
    // Files may come from another machine, and its clock may be ahead.
    if let Some(since) = question.since.filter(|since| is_here && *since > now) {
        report.complete = false;
        let seen = format!("--since {since} is in the future: now is {now}, and nothing later is logged yet");
        report.warnings.push(Warning::new("since-in-future", seen, "check the year of --since"));
    }
    if let Some(why) = question.principal.as_ref().and_then(|pattern| doubt_principal(pattern, None)) {
        let fix = "check the pattern of --principal";
        report.warnings.push(Warning::new("principal-unlikely", format!("--principal: {why}"), fix));
    }
    if let Some((user, account)) = account.filter(|_| !knows_user) {
        warn_of_user(&mut report, user, account);
    }
    warn(&mut report, arguments, kind, believed.is_some(), read);
    Ok(report)
}

/// The filters. A filter that nothing can pass is an error: its empty report would look like an answer.
fn question(arguments: &SessionsArgs, now: Timestamp) -> Result<Question, LogError> {
    let since = arguments.since.map(|when| when.instant(now));
    let until = arguments.until.map(|when| when.instant(now));
    if let Some((since, until)) = since.zip(until).filter(|(since, until)| since > until) {
        let what = format!("expected --since before --until, got --since {since} and --until {until}");
        return Err(LogError::Query(what));
    }
    if arguments.user.as_deref() == Some("") {
        return Err(LogError::Query("expected a login name after --user, got nothing".to_owned()));
    }
    let principal = arguments.principal.as_deref().map(Glob::new);
    if let Some(pattern) = &principal {
        check_principal(pattern, None).map_err(|mistake| {
            let shown = printable(pattern.as_str(), MAX_SHOWN);
            LogError::Query(format!("--principal \"{shown}\" {}", mistake.what))
        })?;
    }
    let user = arguments.user.clone();
    Ok(Question { since, until, user, principal, open: arguments.open, all: arguments.all })
}

/// Warns that neither the log nor this machine knows the user of the query. The name may be misspelt.
fn warn_of_user(report: &mut SessionsReport, user: &str, account: Result<Option<Account>, String>) {
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
fn warn(report: &mut SessionsReport, arguments: &SessionsArgs, kind: Kind, believed: bool, read: Read) {
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
