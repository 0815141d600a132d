//! `sessions`: who came in, by the log.
//!
//! | file | does |
//! | --- | --- |
//! | [`source`] | finds the log, opens it as root, and reads it as nobody in particular |
//! | [`machine`] | what this machine runs now, and its time zone |

mod machine;
mod source;

use std::io::Write;

use source::{Fault, Read, Source};

use super::Outcome;
use crate::accounts::Account;
use crate::audit::IDENT;
use crate::cli::Sessions;
use crate::output::write_once;
use crate::policy::Glob;
use crate::privileges::give_up_root;
use crate::sessions::join::{Join, Kind};
use crate::sessions::journal::AgentUser;
use crate::sessions::report::{Question, Report, Warning};
use crate::text::{MAX_SHOWN, one_line, printable};
use crate::time::Timestamp;

/// Runs the command.
pub(super) fn run(
    arguments: &Sessions,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    let report = match look(arguments, now) {
        Ok(report) => report,
        Err(fault) => {
            let _ = writeln!(notes, "{IDENT}: {}", one_line(&fault.to_string()));
            return fault.outcome();
        }
    };
    let text = if arguments.json {
        format!("{:#}\n", serde_json::json!(report))
    } else if arguments.csv {
        for warning in &report.warnings {
            let (seen, fix) = (one_line(&warning.seen), one_line(&warning.fix));
            let _ = writeln!(notes, "warning: {}: {seen}\n    fix: {fix}", warning.id);
        }
        report.csv()
    } else {
        report.text()
    };
    if let Err(error) = write_once(text.as_bytes(), out) {
        let _ = writeln!(notes, "{IDENT}: cannot write the report: {error}");
        return Outcome::Undecided;
    }
    if report.complete { Outcome::Done } else { Outcome::Undecided }
}

/// Opens the log as root, where we are, and reads it without root's rights: it is full of foreign text.
fn look(arguments: &Sessions, now: Timestamp) -> Result<Report, Fault> {
    let question = question(arguments, now);
    let is_root = nix::unistd::Uid::effective().is_root();
    let agent = Account::ask(&arguments.agent_user).ok().flatten();
    let believed = agent.as_ref().and_then(|agent| AgentUser::new(agent.uid));
    let running = arguments.files.is_empty().then(|| machine::running(now));
    let source = Source::find(&arguments.files)?;
    give_up_root().map_err(Fault::Privileges)?;
    let kind = source.kind();
    let mut join = Join::new(kind, question.clone());
    let read = source.read(believed, &mut join)?;
    let mut found = join.end(running.as_ref());
    found.tally.stepped_back = found.tally.stepped_back.max(read.stepped_back);
    let mut report = Report::new(&question, now, kind, found, read.lines);
    report.log.files.clone_from(&read.files);
    report.complete &= read.broken.is_none();
    warn(&mut report, arguments, kind, believed.is_some(), is_root, read);
    Ok(report)
}

fn question(arguments: &Sessions, now: Timestamp) -> Question {
    Question {
        since: arguments.since.map(|when| when.instant(now)),
        until: arguments.until.map(|when| when.instant(now)),
        user: arguments.user.clone(),
        principal: arguments.principal.as_deref().map(Glob::new),
        open: arguments.open,
        all: arguments.all,
    }
}

/// What the source, and how it was asked, leaves open.
fn warn(report: &mut Report, arguments: &Sessions, kind: Kind, believed: bool, is_root: bool, read: Read) {
    let agent = printable(&arguments.agent_user, MAX_SHOWN);
    let mut warn = |id, seen: String, fix: String| report.warnings.push(Warning::new(id, seen, fix));
    if let Some(why) = read.broken {
        warn("broken-off", why, "read the rest by hand; ask again".to_owned());
    }
    if read.unreadable > 0 {
        let seen = format!("{} lines are too long or no lines of such a log", read.unreadable);
        warn("unreadable", seen, "look whether somebody has changed the log".to_owned());
    }
    if !is_root && arguments.files.is_empty() {
        let seen = "the log may hide lines from whoever is not root".to_owned();
        warn("not-root", seen, "run it with sudo".to_owned());
    }
    match kind {
        Kind::Text => {
            let seen = "anybody can write to a text log: no principal of it is verified".to_owned();
            warn("text-log", seen, "log to systemd's journal, which has from the kernel who wrote".to_owned());
        }
        Kind::Journal if !believed => {
            let seen = format!("there is no user {agent} here, so no principal is believed");
            warn("no-agent-user", seen, "name the user that sshd runs the agent as: --agent-user".to_owned());
        }
        Kind::Journal => {}
    }
    if read.years_unsure {
        let seen = "stamps without a year span more than one".to_owned();
        warn("years", seen, "rotate the log at least once a year".to_owned());
    }
    if read.zone_unknown {
        let seen = "the time zone of this machine cannot be told: stamps without one are read as UTC".to_owned();
        warn("time-zone", seen, "install zdump(8), or have rsyslog write RFC 3339 stamps".to_owned());
    }
}
