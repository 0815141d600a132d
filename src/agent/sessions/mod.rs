//! `sessions`: lists logins with pushed keys, from the log.
//!
//! | file | does |
//! | --- | --- |
//! | [`build`] | makes the report: opens the log as root, and reads it without root's rights |
//! | [`export`], [`exporter`], [`state_file`] | one line for each event, and the state of an export |
//! | [`warnings`] | what is missing, and what the log cannot show |
//! | [`source`] | finds the log |
//! | [`journal`], [`text`] | the two kinds of log: path, first entry, lines |
//! | [`lines`] | the line reader for both |
//! | [`machine`] | the processes that this machine runs now, and its time zone |
//! | [`caller`], [`login_of`] | who pushed the key of the login that a process belongs to |

mod build;
mod caller;
mod export;
mod exporter;
mod journal;
mod lines;
mod log_error;
mod login_of;
mod machine;
mod source;
mod state_file;
mod text;
mod warnings;

use std::io::{self, BufWriter, Write};

use build::build_report;
pub(super) use caller::{Caller, caller_of};
use eic_core::audit_line::IDENT;
use eic_core::instance_facts::InstanceFacts;
use eic_core::sessions::report::SessionsReport;
use eic_core::text::one_line;
use eic_core::time::Timestamp;
use eic_host::stdout::write_once;

use crate::cli::SessionsArgs;
use crate::instance_facts::instance_facts;
use crate::layout::fit_for_terminal;
use crate::outcome::Outcome;

pub(super) fn run(
    arguments: &SessionsArgs,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    if arguments.jsonl {
        return export::run(arguments, now, out, notes);
    }
    let mut report = match build_report(arguments, now) {
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
    if arguments.json {
        report.instance = instance_of(arguments);
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

/// The instance that the log is of. Files on the command line may be of another machine.
fn instance_of(arguments: &SessionsArgs) -> InstanceFacts {
    if arguments.files.is_empty() {
        return instance_facts();
    }
    let why = "the files may be from another machine".to_owned();
    InstanceFacts { not_known: Some(why), ..InstanceFacts::default() }
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
