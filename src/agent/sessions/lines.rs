//! Reads a log line by line, and counts the lines.

use std::cell::Cell;
use std::io::{self, BufRead, Read as _};
use std::rc::Rc;
use std::time::Duration;

use eic_core::sessions::MAX_LINE;
use eic_core::text::{MAX_SHOWN, printable_bytes};
use eic_host::process::StreamingChild;

/// Longest time without output of a program that reads a log. A disk may be slow, and matching lines rare.
pub(super) const TIMEOUT: Duration = Duration::from_secs(300);

/// Waits for a program after its output ended. Returns its standard error if it succeeded.
pub(super) fn ended(child: StreamingChild, name: &str) -> Result<Vec<u8>, String> {
    match child.end() {
        Ok((status, said)) if status.success() => Ok(said),
        Ok((status, said)) => {
            Err(format!("{name}: {status}: {}", printable_bytes(said.trim_ascii(), MAX_SHOWN)))
        }
        Err(error) => Err(format!("{name}: {error}")),
    }
}

/// Counts and problems of reading a log.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) lines: u64,
    pub(super) unreadable: u64,
    /// Number of lines in text logs that are about a login or a key and have an unknown form, plus the number of files
    /// that are no such log.
    pub(super) unknown: u64,
    /// The first of these: file, number and beginning of the line.
    pub(super) first_unknown: Option<String>,
    /// Errors that journalctl printed about the journal's files, although it succeeded.
    pub(super) complaint: Option<String>,
    /// Why the log could not be read to its end.
    pub(super) broken: Option<String>,
    pub(super) files: Vec<String>,
    /// How far the clock was set back in the log, in microseconds.
    pub(super) stepped_back: u64,
    /// What is uncertain or missing.
    pub(super) gaps: Vec<Gap>,
}

/// What is uncertain or missing in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// The journal has lines that this user may not read.
    Hidden,
    /// Timestamps without a year span more than one year.
    YearsUnsure,
    /// There are timestamps without a zone, and the machine's zone is unknown.
    ZoneUnknown,
}

/// Whether a line was read completely.
pub(super) enum Length {
    Whole,
    /// It was cut off, because it is too long.
    Cut,
    /// It is the last one, without a line end. The file may still be written.
    Unfinished,
}

/// A reader that counts the bytes that were taken from it.
pub(super) struct Counted<R> {
    inner: R,
    place: Rc<Cell<u64>>,
}

impl<R: BufRead> Counted<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, place: Rc::default() }
    }

    /// The count, which grows while the reader is in use.
    pub(super) fn place(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.place)
    }
}

impl<R: BufRead> io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.place.set(self.place.get().saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.inner.consume(count);
        self.place.set(self.place.get().saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
    }
}

/// Passes each line, without its line end, to `take`, which returns whether it could parse the line. A line that is too
/// long is cut off.
pub(super) fn each_line(
    reader: &mut impl BufRead,
    read: &mut Read,
    mut take: impl FnMut(&[u8], &Length) -> io::Result<bool>,
) -> io::Result<()> {
    let mut line = Vec::new();
    while let Some(length) = next_line(reader, &mut line)? {
        read.lines = read.lines.saturating_add(1);
        let is_read = take(&line, &length)?;
        read.unreadable = read.unreadable.saturating_add(u64::from(!is_read));
    }
    Ok(())
}

/// Reads the next line, without its line end. A line that is too long is cut off.
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
        return Ok(Some(Length::Unfinished));
    }
    let mut rest = Vec::new();
    loop {
        rest.clear();
        if reader.by_ref().take(limit).read_until(b'\n', &mut rest)? == 0 || rest.last() == Some(&b'\n') {
            return Ok(Some(Length::Cut));
        }
    }
}
