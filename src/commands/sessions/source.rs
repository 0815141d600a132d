//! The log: systemd's journal, through journalctl, or files of text, through gzip, xz and zstd.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::super::Outcome;
use super::machine;
use crate::files::open_regular;
use crate::order;
use crate::privileges::PrivilegesError;
use crate::process::{Speaker, ask, listen};
use crate::sessions::MAX_LINE;
use crate::sessions::join::{Join, Kind, Wanted};
use crate::sessions::journal::{AgentUser, FIELDS, IDENTIFIERS, Journal};
use crate::sessions::text_log::{TextLog, Zone};
use crate::text::{MAX_SHOWN, printable_bytes};
use crate::time::Timestamp;

/// How long a program that reads a log may say nothing: a disk may be slow, and matches rare.
const PATIENCE: Duration = Duration::from_secs(300);

/// Most of a file that is read, unpacked, in bytes.
const MAX_FILE: u64 = 16 * 1024 * 1024 * 1024;

/// Most files.
const MAX_FILES: usize = 1000;

/// Where text logs are, and how their names begin: Debian's and Red Hat's.
const FOLDER: &str = "/var/log";
const NAMES: [&str; 2] = ["auth.log", "secure"];

/// systemd from which on journalctl prints only the fields that it is asked for.
const CHOOSES_FIELDS: u32 = 236;

/// Why there is no report.
#[derive(Debug)]
pub(super) enum Fault {
    /// A file that was named cannot be read.
    File(PathBuf, io::Error),
    /// A log of this machine cannot be read.
    OwnFile(PathBuf, io::Error),
    /// More files than are read.
    TooManyFiles(usize),
    /// There is no log.
    NoLog(String),
    /// journalctl did not begin.
    Journal(io::Error),
    /// Root's rights could not be given up.
    Privileges(PrivilegesError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", shown(path)),
            Self::OwnFile(path, error) => {
                write!(f, "no log can be read: {}: {error}; run it with sudo", shown(path))
            }
            Self::TooManyFiles(count) => {
                write!(f, "expected at most {MAX_FILES} files, got {count}; ask for a part at a time")
            }
            Self::NoLog(journal) => write!(
                f,
                "no log can be read: {journal}, and {FOLDER} has no auth.log and no secure; run it with sudo, or name the files"
            ),
            Self::Journal(error) => write!(f, "journalctl: {error}"),
            Self::Privileges(error) => error.fmt(f),
        }
    }
}

impl Fault {
    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::File(..) | Self::TooManyFiles(_) => Outcome::Usage,
            Self::OwnFile(..) | Self::NoLog(_) | Self::Journal(_) | Self::Privileges(_) => Outcome::Undecided,
        }
    }
}

fn shown(path: &Path) -> String {
    printable_bytes(path.as_os_str().as_encoded_bytes(), MAX_SHOWN)
}

/// A log, open.
pub(super) enum Source {
    Journal { entries: Speaker, begins: Vec<u8>, hidden: bool },
    Text { files: Vec<Opened>, zone: Option<Zone> },
}

/// A file, open, with its name and when it was last written.
pub(super) struct Opened {
    path: PathBuf,
    file: File,
    written: i64,
    /// What unpacks it; none where it is text.
    unpacker: Option<&'static str>,
}

/// What came of reading.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) lines: u64,
    pub(super) unreadable: u64,
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

impl Source {
    /// These files; else the journal where it holds anything, else what `/var/log` has.
    pub(super) fn find(files: &[PathBuf]) -> Result<Self, Fault> {
        if files.len() > MAX_FILES {
            return Err(Fault::TooManyFiles(files.len()));
        }
        if !files.is_empty() {
            return Self::text(files.to_vec()).map_err(|(path, error)| Fault::File(path, error));
        }
        let why = match journal_begins() {
            Ok(Some((begins, hidden))) => {
                let entries = entries().map_err(Fault::Journal)?;
                return Ok(Self::Journal { entries, begins, hidden });
            }
            Ok(None) => "the journal is empty".to_owned(),
            Err(why) => why,
        };
        let files = files_of_the_machine();
        if files.is_empty() {
            return Err(Fault::NoLog(why));
        }
        Self::text(files).map_err(|(path, error)| Fault::OwnFile(path, error))
    }

    fn text(paths: Vec<PathBuf>) -> Result<Self, (PathBuf, io::Error)> {
        let open = |path: PathBuf| Opened::new(&path).map_err(|error| (path, error));
        let files = paths.into_iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let zone = machine::zone(Timestamp::from(SystemTime::now()));
        Ok(Self::Text { files, zone })
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Journal { .. } => Kind::Journal,
            Self::Text { .. } => Kind::Text,
        }
    }

    /// Reads it to its end. What was read stands where the rest cannot be.
    pub(super) fn read<W: Wanted>(self, agent: Option<AgentUser>, join: &mut Join<W>) -> Result<Read, Fault> {
        match self {
            Self::Journal { entries, begins, hidden } => {
                let mut read = read_journal(entries, &begins, agent, join);
                read.gaps.extend(hidden.then_some(Gap::Hidden));
                Ok(read)
            }
            Self::Text { files, zone } => read_files(files, zone, join),
        }
    }
}

/// The first entry of the journal, and whether others are hidden from us; none where it has none, or an error that
/// says why it cannot be asked.
fn journal_begins() -> Result<Option<(Vec<u8>, bool)>, String> {
    let failed = |error: io::Error| format!("journalctl: {error}");
    let mut program = Command::new("journalctl");
    // Not --quiet: it says when it shows its user less than all.
    program.args(["--no-pager", "--output=json"]);
    let mut reader = BufReader::new(listen(&mut program, None, PATIENCE).map_err(failed)?);
    let mut line = Vec::new();
    let is_hint =
        |said: &[u8]| String::from_utf8_lossy(said).contains("not seeing messages from other users");
    match next_line(&mut reader, &mut line).map_err(failed)? {
        Some(length) => {
            let hidden = is_hint(&reader.into_inner().stop());
            // One that is too long to be looked at is an entry all the same.
            if matches!(length, Length::Cut) {
                line.clear();
            }
            Ok(Some((line, hidden)))
        }
        None => match reader.into_inner().end().map_err(failed)? {
            (_, said) if is_hint(&said) => {
                Err("the journal hides the system's lines from this user".to_owned())
            }
            (status, _) if status.success() => Ok(None),
            (_, said) => Err(format!("journalctl: {}", printable_bytes(said.trim_ascii(), MAX_SHOWN))),
        },
    }
}

/// All entries that may be about us, oldest first.
fn entries() -> io::Result<Speaker> {
    let mut program = Command::new("journalctl");
    program.args(["--quiet", "--no-pager", "--output=json"]);
    if chooses_fields() {
        program.arg(format!("--output-fields={FIELDS}"));
    }
    // journalctl takes any of several values of one field.
    program.args(IDENTIFIERS.map(|name| format!("SYSLOG_IDENTIFIER={name}")));
    listen(&mut program, None, PATIENCE)
}

/// `systemd 252 (252.38-1~deb12u1)`
fn chooses_fields() -> bool {
    let said = ask(Command::new("journalctl").arg("--version"), PATIENCE);
    let said = said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned()).unwrap_or_default();
    let digits = said.strip_prefix("systemd ").unwrap_or_default();
    let release = digits.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    release.parse::<u32>().is_ok_and(|release| release >= CHOOSES_FIELDS)
}

fn read_journal<W: Wanted>(
    entries: Speaker,
    begins: &[u8],
    agent: Option<AgentUser>,
    join: &mut Join<W>,
) -> Read {
    let journal = Journal::new(agent);
    let mut read = Read::default();
    if let Some(first) = journal.read(begins) {
        join.saw(first.at);
    }
    let mut reader = BufReader::with_capacity(MAX_LINE, entries);
    let broken = each_line(&mut reader, &mut read, |line| match journal.read(line) {
        Some(entry) => {
            join.take(&entry.boot, entry.at, entry.event);
            true
        }
        None => false,
    });
    read.broken = match broken {
        Ok(()) => ended(reader.into_inner(), "journalctl"),
        Err(error) => {
            drop(reader.into_inner().stop());
            Some(format!("journalctl: {error}"))
        }
    };
    read
}

/// Why a program that has said all was not content; none where it was.
fn ended(speaker: Speaker, name: &str) -> Option<String> {
    match speaker.end() {
        Ok((status, _)) if status.success() => None,
        Ok((status, said)) => {
            Some(format!("{name}: {status}: {}", printable_bytes(said.trim_ascii(), MAX_SHOWN)))
        }
        Err(error) => Some(format!("{name}: {error}")),
    }
}

/// Logs of this machine's name, those that were rotated among them: `auth.log.2.gz`, `secure-20250130`.
fn files_of_the_machine() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(FOLDER).into_iter().flatten().flatten();
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let rest = NAMES.iter().find_map(|ours| name.strip_prefix(ours));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-'])) && path.is_file()
    };
    entries.map(|entry| entry.path()).filter(is_ours).take(MAX_FILES).collect()
}

/// Whether this machine has text logs.
pub(super) fn has_text_logs() -> bool {
    !files_of_the_machine().is_empty()
}

impl Opened {
    fn new(path: &Path) -> io::Result<Self> {
        let mut file = open_regular(path)?;
        let written = Timestamp::from(file.metadata()?.modified()?);
        let written = i64::try_from(written.as_unix()).unwrap_or(i64::MAX);
        let mut head = Vec::new();
        (&mut file).take(6).read_to_end(&mut head)?;
        file.rewind()?;
        // RFC 1952, section 2.3.1; xz-file-format.txt, section 2.1.1.1; RFC 8878, section 3.1.1.
        let kinds: [(&[u8], &str); 3] =
            [(b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd")];
        let unpacker = kinds.iter().find(|(magic, _)| head.starts_with(magic)).map(|(_, program)| *program);
        Ok(Self { path: path.to_owned(), file, written, unpacker })
    }

    /// When its first line was written, in microseconds since 1970; where that cannot be told, its last.
    fn begins(&mut self, zone: &Zone) -> io::Result<u64> {
        let mut line = Vec::new();
        if let Some(program) = self.unpacker {
            // One that is not there, or does not like the file, says so when the file is read.
            if let Ok(speaker) =
                listen(Command::new(program).arg("-dc"), Some(self.file.try_clone()?), PATIENCE)
            {
                let mut reader = BufReader::new(speaker);
                let _ = next_line(&mut reader, &mut line);
                drop(reader.into_inner().stop());
            }
        } else {
            next_line(&mut BufReader::new(&self.file), &mut line)?;
        }
        self.file.rewind()?;
        let first = TextLog::new(zone.clone(), self.written).instant_of(&String::from_utf8_lossy(&line));
        let written = u64::try_from(self.written).unwrap_or_default().saturating_mul(1_000_000);
        Ok(first.map_or(written, |first| first.wall))
    }
}

fn read_files<W: Wanted>(files: Vec<Opened>, zone: Option<Zone>, join: &mut Join<W>) -> Result<Read, Fault> {
    let mut read = Read::default();
    read.gaps.extend(zone.is_none().then_some(Gap::ZoneUnknown));
    let zone = zone.unwrap_or_default();
    let mut in_order = Vec::new();
    for mut opened in files {
        let begins = opened.begins(&zone).map_err(|error| Fault::File(opened.path.clone(), error))?;
        in_order.push((begins, opened));
    }
    // Of files that begin with the same second, the one with the higher number is the older.
    let in_order =
        order::by(in_order, |(one, a), (other, b)| one.cmp(other).then_with(|| b.path.cmp(&a.path)));
    for (_, opened) in in_order {
        let name = shown(&opened.path);
        let mut log = TextLog::new(zone.clone(), opened.written);
        let broken = match opened.unpacker {
            None => read_text(opened.file, &mut log, join, &mut read).map_err(|error| error.to_string()),
            Some(program) => unpack(program, opened.file, &mut log, join, &mut read),
        };
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
    file: File,
    log: &mut TextLog,
    join: &mut Join<W>,
    read: &mut Read,
) -> Result<(), String> {
    let packed = |error: io::Error| format!("{program}: {error}");
    let mut speaker = listen(Command::new(program).arg("-dc"), Some(file), PATIENCE).map_err(packed)?;
    match read_text(&mut speaker, log, join, read) {
        Ok(()) => ended(speaker, program).map_or(Ok(()), Err),
        Err(error) => {
            drop(speaker.stop());
            Err(packed(error))
        }
    }
}

fn read_text<W: Wanted>(
    source: impl io::Read,
    log: &mut TextLog,
    join: &mut Join<W>,
    read: &mut Read,
) -> io::Result<()> {
    let mut limited = source.take(MAX_FILE);
    let mut reader = BufReader::with_capacity(MAX_LINE, &mut limited);
    let mut last = Vec::new();
    let mut is_first = true;
    each_line(&mut reader, read, |line| {
        let text = String::from_utf8_lossy(line);
        if std::mem::take(&mut is_first) {
            if let Some(at) = log.instant_of(&text) {
                join.saw(at);
            }
        }
        if let Some(line) = log.read(&text) {
            join.take(line.host, line.at, Some(line.event));
        }
        last.clear();
        last.extend_from_slice(line);
        true
    })?;
    if let Some(at) = log.instant_of(&String::from_utf8_lossy(&last)) {
        join.saw(at);
    }
    if limited.limit() == 0 {
        let gib = MAX_FILE / 1024 / 1024 / 1024;
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {gib} GiB")));
    }
    Ok(())
}

/// Whether a line is there as a whole.
enum Length {
    Whole,
    Cut,
}

/// Gives each line, without its end, to `take`, which says whether it could read it.
fn each_line(
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
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<Length>> {
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
