//! `sessions --jsonl`: writes one line for each event while it reads the log, and keeps the state of the export.

use std::io::Write;

use eic_core::audit_line::IDENT;
use eic_core::sessions::export::About;
use eic_core::sessions::export::state::{ExportState, Query, StateFault};
use eic_core::sessions::report::Warning;
use eic_core::sessions::running::Running;
use eic_core::text::one_line;
use eic_core::time::Timestamp;
use eic_host::files::head_of_regular;

use super::build::OpenLog;
use super::exporter::Exporter;
use super::instance_of;
use super::log_error::LogError;
use super::state_file::{StateFile, complete_last_line, sync};
use crate::cli::SessionsArgs;
use crate::outcome::Outcome;

const MICROS: u64 = 1_000_000;

/// Runs `sessions --jsonl`.
pub(super) fn run(
    arguments: &SessionsArgs,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    match export(arguments, now, out, notes) {
        Ok(true) => Outcome::Done,
        Ok(false) => Outcome::Undecided,
        Err(fault) => {
            let _ = writeln!(notes, "{IDENT}: {}", one_line(&fault.to_string()));
            fault.outcome()
        }
    }
}

/// Returns whether the export is complete.
///
/// The order makes sure that no event is lost: first every line is written and, if standard output is a file, on the disk.
/// Then the new state replaces the old one.
fn export(
    arguments: &SessionsArgs,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Result<bool, LogError> {
    // With root's rights, if we have them: the file of standard output may be readable by root alone.
    let first = if arguments.state.is_some() { complete_last_line() } else { "" };
    let log = OpenLog::open(arguments, now)?;
    let file = arguments.state.as_deref().map(StateFile::open).transpose().map_err(LogError::State)?;
    if file.is_some() && log.is_hidden() {
        let what = "the journal hides lines from this user, and with --state no later export would have them; run it with sudo";
        return Err(LogError::State(what.to_owned()));
    }
    let facts = instance_of(arguments);
    let is_here = arguments.files.is_empty();
    let (mut before, mut anew) = (None, None);
    if let Some(file) = &file {
        let instance_id = facts.instance_id.as_deref();
        let (state, why) = state_of(file, arguments, instance_id).map_err(LogError::State)?;
        (before, anew) = (Some(state), why);
    }
    if let Some(why) = &anew {
        let _ = writeln!(notes, "{IDENT}: {}", one_line(why));
    }
    let firmware = (facts.instance_id_from == Some("firmware")).then(|| facts.instance_id.clone()).flatten();
    let up = |running: &Running| now.as_unix().saturating_mul(MICROS).saturating_sub(running.since);
    let about = About {
        facts,
        firmware: firmware.filter(|_| is_here),
        kind: log.kind(),
        now,
        boot: log.running.as_ref().map(|running| (running.boot.clone(), up(running))),
        all: arguments.all,
    };
    let mut exporter = Exporter::new(about, before, out, first);
    let mut report = log.read(Some(&mut exporter))?;
    if let Some(why) = anew {
        report.warnings.push(Warning::new("state-anew", why, "none: the ids tell which events are repeated"));
    }
    exporter.warn(&mut report);
    let state = exporter.end(&report).map_err(LogError::Output)?;
    drop(exporter);
    if let Some((file, state)) = file.zip(state) {
        sync().map_err(LogError::Output)?;
        let content = state.content().ok_or_else(|| LogError::Commit("it has no text".to_owned()))?;
        file.replace(&content).map_err(LogError::Commit)?;
    }
    Ok(report.complete)
}

/// The state with which the export begins, and why it begins anew although there is a file.
fn state_of(
    file: &StateFile,
    arguments: &SessionsArgs,
    instance_id: Option<&str>,
) -> Result<(ExportState, Option<String>), String> {
    let query = Query { all: arguments.all, agent_user: arguments.agent_user.clone() };
    let anew = |why: Option<String>| {
        let id = head_of_regular("/proc/sys/kernel/random/uuid".as_ref(), 64);
        let id = id.map_err(|error| format!("no random name for the state: {error}"))?;
        let id = String::from_utf8_lossy(id.trim_ascii()).replace('-', "");
        Ok((ExportState::new(id, query.clone()), why))
    };
    let name = &file.shown;
    let Some(content) = &file.content else { return anew(None) };
    let state = match ExportState::parse(content) {
        Ok(state) => state,
        Err(StateFault::NotAState) => {
            return Err(format!(
                "{name} is not a state of eic-agent sessions; it is left alone: name another file"
            ));
        }
        Err(StateFault::Newer(version)) => {
            return Err(format!(
                "{name} has version {version}, of a newer release of eic-agent; name another file, which repeats all events with the same ids"
            ));
        }
        Err(StateFault::Damaged) => {
            let why = format!("{name} is damaged; this export begins anew, with every event of the log");
            return anew(Some(why));
        }
    };
    if state.is_of_another(instance_id) {
        let why = format!(
            "{name} is of another instance, perhaps from an image; this export begins anew, with every event of the log"
        );
        return anew(Some(why));
    }
    if *state.query() != query {
        return Err(format!(
            "{name} is of exports with other options: --all or --agent-user; name another file for these"
        ));
    }
    Ok((state, None))
}
