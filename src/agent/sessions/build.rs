//! Makes the report from the log.

use eic_core::policy::Glob;
use eic_core::sessions::join::{Join, Kind};
use eic_core::sessions::programs::Programs;
use eic_core::sessions::question::Question;
use eic_core::sessions::report::{SessionsReport, Warning};
use eic_core::sessions::running::Running;
use eic_core::sessions::writer::AgentUser;
use eic_core::text::{MAX_SHOWN, printable};
use eic_core::time::Timestamp;
use eic_host::accounts::Account;
use eic_login::privileges::give_up_root;

use super::exporter::Exporter;
use super::lines::Gap;
use super::log_error::LogError;
use super::machine;
use super::source::LogSource;
use super::warnings::{warn, warn_of_user};
use crate::cli::SessionsArgs;
use crate::config::rules::{check_principal, doubt_principal};

/// An open log, and what the machine says about it.
pub(super) struct OpenLog<'a> {
    arguments: &'a SessionsArgs,
    now: Timestamp,
    question: Question,
    /// The account of `--user`. The error says why it is not known.
    account: Option<(&'a str, Result<Option<Account>, String>)>,
    believed: Option<AgentUser>,
    /// The processes of this machine. `None` if the log may be of another machine.
    pub(super) running: Option<Running>,
    programs: Programs,
    source: LogSource,
}

/// Makes the report of `sessions`.
pub(super) fn build_report(arguments: &SessionsArgs, now: Timestamp) -> Result<SessionsReport, LogError> {
    OpenLog::open(arguments, now)?.read(None)
}

impl<'a> OpenLog<'a> {
    /// Opens the log with root's rights, if we have them. Gives these rights up before anything reads the log, because other
    /// programs wrote the text.
    pub(super) fn open(arguments: &'a SessionsArgs, now: Timestamp) -> Result<Self, LogError> {
        let question = question(arguments, now)?;
        let account = arguments.user.as_deref().map(|user| (user, Account::look_up(user)));
        let agent = Account::look_up(&arguments.agent_user).ok().flatten();
        let believed = agent.as_ref().and_then(|agent| AgentUser::new(agent.uid));
        let is_here = arguments.files.is_empty();
        let running = is_here.then(|| machine::running(now));
        let programs = Programs::with(is_here.then(machine::sshd_programs).unwrap_or_default());
        let source = LogSource::find(&arguments.files)?;
        give_up_root().map_err(LogError::Privileges)?;
        Ok(Self { arguments, now, question, account, believed, running, programs, source })
    }

    pub(super) const fn kind(&self) -> Kind {
        self.source.kind()
    }

    /// Whether the journal hides lines from this user.
    pub(super) const fn is_hidden(&self) -> bool {
        self.source.is_hidden()
    }

    /// Reads the log. With an export, the report has only what is not an event: the log, its gaps and the counts.
    pub(super) fn read(self, mut export: Option<&mut Exporter<'_>>) -> Result<SessionsReport, LogError> {
        let Self { arguments, now, question, account, believed, running, programs, source } = self;
        let kind = source.kind();
        let is_here = running.is_some();
        let mut join = Join::new(kind, question.clone(), running);
        if export.is_some() {
            join = join.streaming();
        }
        let read = source.read_into(believed, programs, &mut join, export.as_deref_mut())?;
        let later = is_here.then(|| machine::running(now));
        if let Some(export) = export.as_deref_mut() {
            export.drain(&mut join).map_err(LogError::Output)?;
        }
        let mut found = join.end(later.as_ref());
        if let Some(export) = export {
            export.finish(&mut found, later.as_ref());
        }
        found.tally.stepped_back = found.tally.stepped_back.max(read.stepped_back);
        let knows_user = found.tally.knows_user;
        let mut report = SessionsReport::new(&question, now, kind, found, read.lines);
        report.log.files.clone_from(&read.files);
        report.complete &= read.broken.is_none() && read.complaint.is_none() && read.unknown == 0;
        report.complete &= read.unreadable == 0 && !read.gaps.contains(&Gap::Hidden);
        // Files may come from another machine, and its clock may be ahead.
        if let Some(since) = question.since.filter(|since| is_here && *since > now) {
            report.complete = false;
            let seen =
                format!("--since {since} is in the future: now is {now}, and nothing later is logged yet");
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
    Ok(Question {
        since,
        until,
        user,
        principal,
        open: arguments.open,
        all: arguments.all || arguments.jsonl,
    })
}
