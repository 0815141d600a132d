//! A log line by line, and what came of it.

use std::io::{self, BufRead, Read as _};
use std::time::Duration;

use eic_core::sessions::MAX_LINE;
use eic_core::text::{MAX_SHOWN, printable_bytes};
use eic_host::process::StreamingChild;

/// How long a program that reads a log may say nothing: a disk may be slow, and matches rare.
pub(super) const TIMEOUT: Duration = Duration::from_secs(300);

/// Why a program that has said all was not content; what it said of errors though it was.
pub(super) fn ended(child: StreamingChild, name: &str) -> Result<Vec<u8>, String> {
    match child.end() {
        Ok((status, said)) if status.success() => Ok(said),
        Ok((status, said)) => {
            Err(format!("{name}: {status}: {}", printable_bytes(said.trim_ascii(), MAX_SHOWN)))
        }
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// What came of reading.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) lines: u64,
    pub(super) unreadable: u64,
    /// Lines of a text log that tell of a login or a key in a form that is not known, and files of such lines alone.
    pub(super) unknown: u64,
    /// What journalctl said of the journal's files, though it ended well.
    pub(super) complaint: Option<String>,
    /// Why it could not be read to its end.
    pub(super) broken: Option<String>,
    pub(super) files: Vec<String>,
    /// Microseconds.
    pub(super) stepped_back: u64,
    /// What it leaves open.
    pub(super) gaps: Vec<Gap>,
}

/// What a log leaves open, or how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// There are lines that we may not see.
    Hidden,
    /// Stamps without a year are of more than one.
    YearsUnsure,
    /// Stamps without a zone are of one that cannot be told.
    ZoneUnknown,
}

/// Whether a line is there as a whole.
pub(super) enum Length {
    Whole,
    Cut,
}

/// Gives each line, without its end, to `take`, which says whether it could read it.
pub(super) fn each_line(
    reader: &mut impl BufRead,
    read: &mut Read,
    mut take: impl FnMut(&[u8]) -> bool,
) -> io::Result<()> {
    let mut line = Vec::new();
    while let Some(length) = next_line(reader, &mut line)? {
        read.lines = read.lines.saturating_add(1);
        let is_read = matches!(length, Length::Whole) && take(&line);
        read.unreadable = read.unreadable.saturating_add(u64::from(!is_read));
    }
    Ok(())
}

/// The next line, without its end; of one that is too long, the beginning.
pub(super) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<Length>> {
    let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
    line.clear();
    if reader.by_ref().take(limit).read_until(b'\n', line)? == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
        return Ok(Some(Length::Whole));
    }
    if line.len() < MAX_LINE {
        // The last line of a file that somebody is writing.
        return Ok(Some(Length::Whole));
    }
    let mut rest = Vec::new();
    loop {
        rest.clear();
        if reader.by_ref().take(limit).read_until(b'\n', &mut rest)? == 0 || rest.last() == Some(&b'\n') {
            return Ok(Some(Length::Cut));
        }
    }
}
