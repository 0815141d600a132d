//! Reads systemd's journal with journalctl.

use std::io::{self, BufReader};
use std::process::Command;

use eic_core::sessions::MAX_LINE;
use eic_core::sessions::join::{Join, Wanted};
use eic_core::sessions::journal::{FIELDS, IDENTIFIERS, Journal};
use eic_core::sessions::losses::MATCHES;
use eic_core::sessions::programs::Programs;
use eic_core::sessions::writer::AgentUser;
use eic_core::text::{MAX_SHOWN, printable_bytes};
use eic_host::process::{StreamingChild, listen, output_with_timeout};

use super::exporter::Exporter;
use super::lines::{Length, Read, TIMEOUT, each_line, ended, next_line};
use super::log_error::LogError;

/// First release of systemd whose journalctl has `--output-fields`.
const CHOOSES_FIELDS: u32 = 236;

/// The first entry of the journal, and whether the journal hides entries from this user. `None` if the journal is
/// empty. Prefers the first entry of the system's journal: a user's own journal may go further back, but sshd does not
/// log there.
pub(super) fn begins() -> Result<Option<(Vec<u8>, bool)>, String> {
    let Some((any, hidden)) = first(&[])? else { return Ok(None) };
    let systems = first(&["--system"]).ok().flatten();
    Ok(Some((systems.map_or(any, |(line, _)| line), hidden)))
}

fn first(of: &[&str]) -> Result<Option<(Vec<u8>, bool)>, String> {
    let failed = |error: io::Error| format!("journalctl: {error}");
    let mut program = Command::new("journalctl");
    // Without --quiet, journalctl reports if it hides entries from this user.
    program.args(["--no-pager", "--output=json"]).args(of);
    let mut reader = BufReader::new(listen(&mut program, None, TIMEOUT).map_err(failed)?);
    let mut line = Vec::new();
    let is_hint =
        |said: &[u8]| String::from_utf8_lossy(said).contains("not seeing messages from other users");
    match next_line(&mut reader, &mut line).map_err(failed)? {
        Some(length) => {
            let hidden = is_hint(&reader.into_inner().stop());
            // An entry that is too long cannot be parsed, but the journal is not empty.
            if matches!(length, Length::Cut) {
                line.clear();
            }
            Ok(Some((line, hidden)))
        }
        None => match reader.into_inner().end().map_err(failed)? {
            (_, said) if is_hint(&said) => {
                Err("the journal hides the system's lines from this user".to_owned())
            }
            // journalctl also succeeds if it could read no file. It then prints an error.
            (status, said) if status.success() && said.trim_ascii().is_empty() => Ok(None),
            (_, said) => Err(format!("journalctl: {}", printable_bytes(said.trim_ascii(), MAX_SHOWN))),
        },
    }
}

/// Starts journalctl for all entries that may be about logins and keys, oldest first.
pub(super) fn entries() -> io::Result<StreamingChild> {
    let mut program = Command::new("journalctl");
    program.args(["--quiet", "--no-pager", "--output=json"]);
    if chooses_fields() {
        program.arg(format!("--output-fields={FIELDS}"));
    }
    // Several values of one field match if any of them does (journalctl(1)).
    program.args(IDENTIFIERS.map(|name| format!("SYSLOG_IDENTIFIER={name}")));
    program.arg("+").args(MATCHES);
    listen(&mut program, None, TIMEOUT)
}

/// Whether journalctl has `--output-fields`. Its version line is like `systemd 252 (252.38-1~deb12u1)`.
fn chooses_fields() -> bool {
    let said = output_with_timeout(Command::new("journalctl").arg("--version"), TIMEOUT);
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    let digits = said.strip_prefix("systemd ").unwrap_or_default();
    let release = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    release.parse::<u32>().is_ok_and(|release| release >= CHOOSES_FIELDS)
}

pub(super) fn read_journal<W: Wanted>(
    entries: StreamingChild,
    begins: &[u8],
    (agent, programs): (Option<AgentUser>, Programs),
    join: &mut Join<W>,
    mut export: Option<&mut Exporter<'_>>,
) -> Result<Read, LogError> {
    let mut journal = Journal::new(agent, programs);
    let mut read = Read::default();
    if let Some(first) = journal.parse_line(begins) {
        join.note_time(first.at);
        if let Some(export) = export.as_deref_mut() {
            export.begins(&first);
        }
    }
    let mut reader = BufReader::with_capacity(MAX_LINE, entries);
    let broken = each_line(&mut reader, &mut read, |line, length| match journal.parse_line(line) {
        Some(entry) if matches!(length, Length::Whole) => {
            let Some(export) = export.as_deref_mut() else {
                join.take_entry(entry);
                return Ok(true);
            };
            join.comes_from(export.entry(&entry));
            join.take_entry(entry);
            export.drain(join).map(|()| true)
        }
        _ => Ok(false),
    });
    if let Some(error) = export.and_then(Exporter::failure) {
        drop(reader.into_inner().stop());
        return Err(LogError::Output(error));
    }
    let ended = match broken {
        Ok(()) => ended(reader.into_inner(), "journalctl"),
        Err(error) => {
            drop(reader.into_inner().stop());
            Err(format!("journalctl: {error}"))
        }
    };
    match ended {
        // journalctl skips a file that it cannot read, prints an error, and succeeds.
        Ok(said) => {
            let said = said.trim_ascii();
            read.complaint = (!said.is_empty()).then(|| printable_bytes(said, MAX_SHOWN));
        }
        Err(why) => read.broken = Some(why),
    }
    Ok(read)
}
