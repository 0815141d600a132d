//! Reads text logs, also those compressed by gzip, xz or zstd.

use std::cmp::Reverse;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use eic_core::order;
use eic_core::sessions::MAX_LINE;
use eic_core::sessions::join::{Join, Wanted};
use eic_core::sessions::text_log::{LineKind, TextLog, Zone};
use eic_core::text::printable;
use eic_host::clock;
use eic_host::files::open_regular;
use eic_host::process::listen;

use super::exporter::Exporter;
use super::lines::{Counted, Gap, Length, Read, TIMEOUT, each_line, ended, next_line};
use super::log_error::{FOLDER, LogError, MAX_FILES, shown};

/// Maximum number of bytes that are read of a file, after decompression.
const MAX_FILE: u64 = 16 * 1024 * 1024 * 1024;

/// Maximum number of characters that are shown of a line of unknown form.
const MAX_BEGINNING: usize = 120;

/// The number of first bytes that tell a file from others.
const HEAD_BYTES: u64 = 512;

/// How the names of the text logs begin: on Debian, and on Red Hat.
const NAMES: [&str; 2] = ["auth.log", "secure"];

/// How the names of compressed files end.
const PACKED: [&str; 3] = [".gz", ".xz", ".zst"];

/// An open file, with its path and the time of its last change.
pub(super) struct Opened {
    path: PathBuf,
    file: File,
    written: i64,
    /// Its device and its number there.
    pub(super) identity: (u64, u64),
    /// The program that decompresses it. `None` if it is not compressed.
    unpacker: Option<&'static str>,
    /// Its first bytes, after decompression. They tell it from other files, also after a rotation.
    head: Vec<u8>,
}

/// The order of two files of one log whose first lines have the same time. The oldest is the least. logrotate appends a
/// number that grows with the age, or a date (`dateext`).
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rotation {
    Dated(u64),
    Numbered(Reverse<u64>),
    Current,
}

impl Rotation {
    fn of(path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let name = PACKED.iter().find_map(|packed| name.strip_suffix(packed)).unwrap_or(name);
        let number = |(_, number): (&str, &str)| number.parse().ok();
        if let Some(number) = name.rsplit_once('.').and_then(number) {
            return Self::Numbered(Reverse(number));
        }
        name.rsplit_once('-').and_then(number).map_or(Self::Current, Self::Dated)
    }
}

/// The text logs in `/var/log`, including rotated files: `auth.log.2.gz`, `secure-20250130`.
pub(super) fn files_of_the_machine() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let rest = NAMES.iter().find_map(|ours| name.strip_prefix(ours));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-'])) && path.is_file()
    };
    entries.map(|entry| entry.path()).filter(is_ours).take(MAX_FILES).collect()
}

pub(super) fn has_text_logs() -> bool {
    !files_of_the_machine().is_empty()
}

impl Opened {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let mut file = open_regular(path)?;
        let found = file.metadata()?;
        let identity = (found.dev(), found.ino());
        let written = clock::timestamp(found.modified()?);
        let written = i64::try_from(written.as_unix()).unwrap_or(i64::MAX);
        let mut head = Vec::new();
        (&mut file).take(6).read_to_end(&mut head)?;
        file.rewind()?;
        // RFC 1952, section 2.3.1; xz-file-format.txt, section 2.1.1.1; RFC 8878, section 3.1.1.
        let kinds: [(&[u8], &str); 3] =
            [(b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")];
        let unpacker = kinds.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, program)| *program);
        Ok(Self { path: path.to_owned(), file, written, identity, unpacker, head: Vec::new() })
    }

    /// Time of its first line, in microseconds since 1970. If that is unknown, the time of its last change.
    fn begins(&mut self, zone: &Zone) -> io::Result<u64> {
        let mut line = Vec::new();
        if let Some(program) = self.unpacker {
            // If the program is missing or fails, the error is reported when the whole file is read.
            if let Ok(mut child) =
                listen(Command::new(program).arg("-dc"), Some(self.file.try_clone()?), TIMEOUT)
            {
                let _ = (&mut child).take(HEAD_BYTES).read_to_end(&mut self.head);
                let mut reader = BufReader::new((&*self.head).chain(&mut child));
                let _ = next_line(&mut reader, &mut line);
                drop(reader);
                drop(child.stop());
            }
        } else {
            (&self.file).take(HEAD_BYTES).read_to_end(&mut self.head)?;
            next_line(&mut BufReader::new((&*self.head).chain(&self.file)), &mut line)?;
        }
        self.file.rewind()?;
        let first = TextLog::new(zone.clone(), self.written).instant_of(&String::from_utf8_lossy(&line));
        let written = u64::try_from(self.written).unwrap_or_default().saturating_mul(1_000_000);
        Ok(first.map_or(written, |first| first.wall))
    }
}

/// Reads the files, in the order of their first lines.
pub(super) fn read_files<W: Wanted>(
    files: Vec<Opened>,
    zone: Option<Zone>,
    join: &mut Join<W>,
    mut export: Option<&mut Exporter<'_>>,
) -> Result<Read, LogError> {
    let mut read = Read::default();
    read.gaps.extend(zone.is_none().then_some(Gap::ZoneUnknown));
    let zone = zone.unwrap_or_default();
    let mut in_order = Vec::new();
    for mut opened in files {
        let begins = opened.begins(&zone).map_err(|error| LogError::File(opened.path.clone(), error))?;
        in_order.push((begins, opened));
    }
    let in_order = order::by_key(in_order, |(begins, opened)| (*begins, Rotation::of(&opened.path)));
    let mut rest = in_order.len();
    for (_, opened) in in_order {
        let name = shown(&opened.path);
        rest = rest.saturating_sub(1);
        if let Some(export) = export.as_deref_mut() {
            let plain = opened.unpacker.is_none().then(|| opened.file.try_clone().ok()).flatten();
            let is_newest = rest == 0 || Rotation::of(&opened.path) == Rotation::Current;
            export.begin_file(opened.head, plain, is_newest);
        }
        let mut log = TextLog::new(zone.clone(), opened.written);
        let broken = match opened.unpacker {
            None => read_text(&name, opened.file, &mut log, (join, export.as_deref_mut()), &mut read)
                .map_err(|error| error.to_string()),
            Some(program) => {
                unpack(program, &name, opened.file, &mut log, (join, export.as_deref_mut()), &mut read)
            }
        };
        if let Some(error) = export.as_deref_mut().and_then(Exporter::failure) {
            return Err(LogError::Output(error));
        }
        if let Err(why) = broken {
            read.broken.get_or_insert(format!("{name}: {why}"));
        }
        read.files.push(name);
        read.stepped_back = read.stepped_back.max(log.stepped_back());
        if log.years_unsure() && !read.gaps.contains(&Gap::YearsUnsure) {
            read.gaps.push(Gap::YearsUnsure);
        }
    }
    Ok(read)
}

fn unpack<W: Wanted>(
    program: &str,
    name: &str,
    file: File,
    log: &mut TextLog,
    (join, export): (&mut Join<W>, Option<&mut Exporter<'_>>),
    read: &mut Read,
) -> Result<(), String> {
    let packed = |error: io::Error| format!("{program}: {error}");
    let mut child = listen(Command::new(program).arg("-dc"), Some(file), TIMEOUT).map_err(packed)?;
    match read_text(name, &mut child, log, (join, export), read) {
        Ok(()) => ended(child, program).map(drop),
        Err(error) => {
            drop(child.stop());
            Err(packed(error))
        }
    }
}

fn read_text<W: Wanted>(
    name: &str,
    source: impl io::Read,
    log: &mut TextLog,
    (join, mut export): (&mut Join<W>, Option<&mut Exporter<'_>>),
    read: &mut Read,
) -> io::Result<()> {
    let mut limited = source.take(MAX_FILE);
    let mut reader = Counted::new(BufReader::with_capacity(MAX_LINE, &mut limited));
    let place = reader.place();
    let mut last = Vec::new();
    let (mut is_first, mut unknown, mut number) = (true, 0_u64, 0_u64);
    let mut first_unknown = read.first_unknown.take();
    each_line(&mut reader, read, |line, length| {
        let mut is_old = false;
        if let Some(export) = export.as_deref_mut() {
            let Some(origin) = export.line(line, place.get(), length) else { return Ok(true) };
            join.comes_from(origin);
            is_old = origin.is_old;
        }
        let text = String::from_utf8_lossy(line);
        number = number.saturating_add(1);
        if matches!(length, Length::Cut) {
            is_first = false;
            // The beginning of the line can show that the rest does not matter.
            return Ok(is_old || TextLog::is_other(&text));
        }
        if std::mem::take(&mut is_first) {
            if let Some(at) = log.instant_of(&text) {
                join.note_time(at);
            }
        }
        match log.parse_line(&text) {
            LineKind::Line(line) => join.take(line.host, line.at, Some(line.event)),
            LineKind::Unknown if !is_old => {
                unknown = unknown.saturating_add(1);
                first_unknown
                    .get_or_insert_with(|| format!("{name}:{number}: {}", printable(&text, MAX_BEGINNING)));
            }
            LineKind::Other | LineKind::Unknown => {}
        }
        last.clear();
        last.extend_from_slice(line);
        export.as_deref_mut().map_or(Ok(()), |export| export.drain(join)).map(|()| true)
    })?;
    drop(reader);
    if let Some(export) = export {
        export.end_file();
    }
    // A file without a single line in a known form is no such log.
    let is_none = !is_first && !log.is_known() && unknown == 0;
    if is_none {
        first_unknown.get_or_insert_with(|| format!("{name}: no line has the form of a log"));
    }
    read.first_unknown = first_unknown;
    read.unknown = read.unknown.saturating_add(unknown).saturating_add(u64::from(is_none));
    if let Some(at) = log.instant_of(&String::from_utf8_lossy(&last)) {
        join.note_time(at);
    }
    if limited.limit() == 0 {
        let gib = MAX_FILE / 1024 / 1024 / 1024;
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {gib} GiB")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use eic_core::sessions::join::Kind;
    use eic_core::sessions::question::Question;

    use super::*;

    #[test]
    fn files_that_begin_in_the_same_second_are_read_from_the_oldest_to_the_newest() {
        let folder = std::env::temp_dir().join(format!("eic-agent-rotated-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for (names, oldest_first) in [
            (
                ["auth.log", "auth.log.1", "auth.log.10.gz", "auth.log.2.gz"],
                ["auth.log.10.gz", "auth.log.2.gz", "auth.log.1", "auth.log"],
            ),
            (
                ["secure", "secure-20250201", "secure-20250130.xz", "secure-20241231"],
                ["secure-20241231", "secure-20250130.xz", "secure-20250201", "secure"],
            ),
        ] {
            let opened = names.map(|name| {
                let path = folder.join(name);
                std::fs::write(&path, "2025-01-30T12:00:00Z h cron[7]: x\n").unwrap();
                Opened::new(&path).unwrap()
            });
            let all =
                Question { since: None, until: None, user: None, principal: None, open: false, all: true };
            let mut join = Join::new(Kind::Text, all, None);
            let read = read_files(opened.into(), Some(Zone::default()), &mut join, None).unwrap();
            assert_eq!(read.files, oldest_first.map(|name| folder.join(name).display().to_string()));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
