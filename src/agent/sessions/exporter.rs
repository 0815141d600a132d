//! Writes the lines of an export while the log is read.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;

use eic_core::sessions::export::event::digest;
use eic_core::sessions::export::state::{ExportState, FileMark};
use eic_core::sessions::export::{About, Export};
use eic_core::sessions::join::{Join, Origin, Wanted};
use eic_core::sessions::joined::JoinedLog;
use eic_core::sessions::journal::Entry;
use eic_core::sessions::report::{SessionsReport, Warning};
use eic_core::sessions::running::Running;

use super::lines::Length;

/// Maximum number of files whose marks are kept although the files are missing.
const MAX_MISSING: usize = 100;

/// Lines are written when there are this many bytes of them.
const BATCH: usize = 64 * 1024;

/// The number of bytes before the place up to which a file was read that are compared.
const TAIL_BYTES: u64 = 512;

/// An export that is being written.
pub(super) struct Exporter<'o> {
    export: Export,
    out: BufWriter<&'o mut dyn Write>,
    /// What comes before the first line.
    first: &'static str,
    failed: Option<io::Error>,
    /// The marks of the last export, and whether a file has fitted each.
    old: Vec<(FileMark, bool)>,
    file: Option<CurrentFile>,
    marks: Vec<FileMark>,
    /// The number of files that changed before the place up to which they were read.
    changed: u64,
    has_state: bool,
}

/// The text log that is being read.
struct CurrentFile {
    head: Vec<u8>,
    /// `None` if it is compressed.
    plain: Option<File>,
    is_newest: bool,
    /// The place up to which an earlier export has read it.
    old_until: u64,
    /// Its size then, if its last line was not finished.
    old_unfinished: Option<u64>,
    /// Its size now, if its last line is not finished and a later export takes the line.
    unfinished: Option<u64>,
    /// Whether a line ends there.
    is_met: bool,
    /// The end of the last whole line.
    end: u64,
}

impl<'o> Exporter<'o> {
    /// Begins an export to `out`, with `first` before its first line.
    pub(super) fn new(
        about: About,
        before: Option<ExportState>,
        out: &'o mut dyn Write,
        first: &'static str,
    ) -> Self {
        let marks = before.as_ref().map(|state| state.files().to_vec()).unwrap_or_default().into_iter();
        Self {
            has_state: before.is_some(),
            old: marks.map(|mark| (mark, false)).collect(),
            export: Export::new(about, before),
            out: BufWriter::with_capacity(BATCH, out),
            first,
            failed: None,
            file: None,
            marks: Vec::new(),
            changed: 0,
        }
    }
}

impl Exporter<'_> {
    /// Notes the first entry of the journal.
    pub(super) fn begins(&mut self, entry: &Entry) {
        self.export.begins(&entry.boot, entry.at);
    }

    pub(super) fn entry(&mut self, entry: &Entry) -> Origin {
        self.export.entry(&entry.boot, entry.at)
    }

    /// Begins a file. `is_newest`: lines may still be added to it.
    pub(super) fn begin_file(&mut self, head: Vec<u8>, plain: Option<File>, is_newest: bool) {
        let fits = |(mark, _): &&mut (FileMark, bool)| {
            mark.begins(&head)
                && plain
                    .as_ref()
                    .is_none_or(|file| tail_of(file, mark.offset()).is_some_and(|tail| mark.has_tail(&tail)))
        };
        // A log that is being compressed is there twice.
        let mark = self.old.iter_mut().find(fits).map(|(mark, has_file)| {
            *has_file = true;
            &*mark
        });
        let old_until = mark.map_or(0, FileMark::offset);
        self.file = Some(CurrentFile {
            head,
            plain,
            is_newest,
            old_until,
            old_unfinished: mark.and_then(FileMark::unfinished),
            unfinished: None,
            is_met: old_until == 0,
            end: 0,
        });
    }

    /// Notes a line that ends at `end`. `None`: the line is not finished, and a later export takes it.
    pub(super) fn line(&mut self, line: &[u8], end: u64, length: &Length) -> Option<Origin> {
        let Some(file) = &mut self.file else { return Some(Origin::default()) };
        // The log daemon may be in the middle of the line. If it wrote no more since the last export, the line has no end.
        let is_unfinished = matches!(length, Length::Unfinished) && file.old_unfinished != Some(end);
        if self.has_state && file.plain.is_some() && is_unfinished {
            file.unfinished = Some(end);
            return None;
        }
        // A line that was taken without its end may have got one.
        let is_ended = file.end < file.old_until && end == file.old_until.saturating_add(1);
        let is_old = end <= file.old_until || is_ended;
        file.end = end;
        file.is_met |= end == file.old_until || is_ended;
        Some(Origin { is_old, digest: digest(&[line]) })
    }

    pub(super) fn end_file(&mut self) {
        let Some(file) = self.file.take() else { return };
        let CurrentFile { head, plain, is_newest, is_met, end, unfinished, .. } = file;
        self.changed = self.changed.saturating_add(u64::from(!is_met));
        let tail = plain.and_then(|file| tail_of(&file, end)).unwrap_or_default();
        if end > 0 || unfinished.is_some() {
            self.marks.push(FileMark::new(&head, end, &tail, is_newest, unfinished));
        }
    }

    /// Writes the events that no later line can change.
    pub(super) fn drain<W: Wanted>(&mut self, join: &mut Join<W>) -> io::Result<()> {
        self.export.take(join.ready(), join.scopes());
        let written = self.write(BATCH);
        if let Err(error) = &written {
            self.failed = Some(io::Error::new(error.kind(), error.to_string()));
        }
        written
    }

    /// Why the lines could not be written.
    pub(super) fn failure(&mut self) -> Option<io::Error> {
        self.failed.take()
    }

    /// Takes what is left after the last line of the log.
    pub(super) fn finish(&mut self, found: &mut JoinedLog, later: Option<&Running>) {
        let sessions = std::mem::take(&mut found.sessions);
        let keys = std::mem::take(&mut found.unused);
        self.export.finish(&sessions, &keys, &found.rest, later);
    }

    /// Warns about events that this export or a later one cannot have.
    pub(super) fn warn(&mut self, report: &mut SessionsReport) {
        let is_gone = self.old.iter().any(|(mark, has_file)| !has_file && mark.is_newest())
            && report.log.kind != "journal";
        let seen = if self.export.has_gap() {
            "the journal begins later than the end of the last export"
        } else if is_gone {
            "the log that the last export read last is not there any more, or was changed"
        } else if self.changed > 0 {
            "a log was changed before the place where the last export ended"
        } else {
            ""
        };
        if !seen.is_empty() {
            report.complete = false;
            let fix = "export more often, or keep the log for longer; name all rotated files";
            report.warnings.push(Warning::new("lost-between-exports", seen, fix));
        }
        let given_up = self.export.given_up();
        if given_up > 0 {
            report.complete = false;
            let seen =
                format!("{given_up} sessions or keys are open at once, and no later export has their end");
            report.warnings.push(Warning::new("too-many", seen, "export more often"));
        }
    }

    /// Writes the last line.
    pub(super) fn end(&mut self, report: &SessionsReport) -> io::Result<Option<ExportState>> {
        let mut marks = std::mem::take(&mut self.marks);
        // A file that was renamed while the files were opened comes again.
        let missing = self.old.drain(..).filter(|(_, has_file)| !has_file);
        marks.extend(missing.map(|(mark, _)| mark.without_lines()).take(MAX_MISSING));
        let state = self.export.cover(report, marks);
        self.write(0)?;
        self.out.flush()?;
        Ok(state)
    }

    fn write(&mut self, at_least: usize) -> io::Result<()> {
        if self.export.pending_bytes() < at_least {
            return Ok(());
        }
        let lines = self.export.lines();
        self.out.write_all(std::mem::take(&mut self.first).as_bytes())?;
        self.out.write_all(lines.as_bytes())
    }
}

/// The bytes before `end`. `None` if the file is shorter.
fn tail_of(file: &File, end: u64) -> Option<Vec<u8>> {
    let count = end.min(TAIL_BYTES);
    let mut tail = vec![0; usize::try_from(count).ok()?];
    file.read_exact_at(&mut tail, end.checked_sub(count)?).ok()?;
    Some(tail)
}
