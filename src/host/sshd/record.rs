//! Files with what root read from sshd, for runs that cannot query sshd. Before OpenSSH 9.3, sshd prints its configuration
//! only for root. In any release, other users cannot read a configuration of mode 0600.
//!
//! A record names the path of sshd's configuration file, sshd's `-o` options for the recorded keywords, and the state of
//! every file and folder that sshd read. If any of them has changed, the record is invalid. The program of sshd is
//! not included, so an upgrade of OpenSSH does not invalidate a record.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::environment::source::{ConfigSource, ConfigSourceError, MAX_SOURCES};
use super::keyword::Keyword;
use super::listener::Listener;
use super::server::CONFIG;
use crate::files::read_open;
use crate::ownership::{Insecure, check_folder};

/// Longest record, in bytes. It has room for [`MAX_SOURCES`] paths of usual length.
const MAX_BYTES: usize = 512 * 1024;

/// Mode bits that let the group or others write.
const WRITABLE: u32 = 0o022;

/// The sshd that a record is about: its configuration, and the `-o` options for the recorded keywords on its command
/// line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedServer {
    config: PathBuf,
    options: Vec<String>,
    /// Process id, if known. It changes at every start, so it is not stored.
    #[serde(skip)]
    pid: Option<u32>,
}

/// Why there is no valid record.
#[derive(Debug)]
pub enum RecordError {
    /// The file does not exist.
    Absent(PathBuf),
    /// Users other than root could have written it.
    Insecure(Insecure),
    /// It cannot be read or written.
    Unusable(PathBuf, io::Error),
    /// It has another format.
    Malformed(PathBuf),
    /// It is about another configuration. Holds the recorded path and the path of this login's sshd.
    OtherConfig(PathBuf, PathBuf),
    /// sshd was started with other options for this keyword than the recorded ones.
    /// `None` if only their order differs.
    OtherOptions(Option<Keyword>),
    /// A file that sshd reads has changed or cannot be checked.
    ConfigSource(ConfigSourceError),
    /// The running server has not read this file since its last change.
    NotRead(PathBuf),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(place) => write!(f, "there is no record of it ({})", place.display()),
            // Do not show `Insecure`'s remedy. After a change of mode or owner, the agent would trust content that
            // another user may have written.
            Self::Insecure(insecure) => write!(f, "its record cannot be trusted: {}", insecure.seen()),
            Self::Unusable(place, error) => write!(f, "{}: {error}", place.display()),
            Self::Malformed(place) => {
                write!(f, "{} does not have the form of this version", place.display())
            }
            Self::OtherConfig(recorded, asked) => write!(
                f,
                "the record is about an sshd that reads {}, and this login's sshd reads {}",
                recorded.display(),
                asked.display()
            ),
            Self::OtherOptions(None) => {
                f.write_str("sshd was started with its options in another order than the recorded one")
            }
            Self::OtherOptions(Some(keyword)) => {
                write!(f, "sshd was started with another {keyword} on its command line than the recorded one")
            }
            Self::ConfigSource(error) => write!(f, "the record is out of date: {error}"),
            Self::NotRead(path) => {
                write!(f, "{} may have changed after the running sshd had read it", path.display())
            }
        }
    }
}

/// The usual configuration, without options on the command line.
impl Default for RecordedServer {
    fn default() -> Self {
        Self::new(&[], Path::new(CONFIG), &[], None)
    }
}

impl RecordedServer {
    /// An sshd that reads `config`, was started with these `-o` options and has the process id `pid`. Keeps the options
    /// with one of these keywords.
    #[must_use]
    pub fn new(keywords: &[Keyword], config: &Path, options: &[String], pid: Option<u32>) -> Self {
        let is_own = |option: &&String| {
            Keyword::of_line(option).is_some_and(|(keyword, _)| keywords.contains(&keyword))
        };
        let own = options.iter().filter(is_own).cloned().collect();
        Self { config: config.to_owned(), options: own, pid }
    }

    /// The sshd of a running listener.
    #[must_use]
    pub fn of(keywords: &[Keyword], listener: &Listener) -> Self {
        let config = listener.config.as_deref().unwrap_or(Path::new(CONFIG));
        Self::new(keywords, config, &listener.options, Some(listener.pid))
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The process id, if known.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The `-o` options with the recorded keywords.
    #[must_use]
    pub fn options(&self) -> &[String] {
        &self.options
    }

    /// Without the process id, as in a record.
    pub(super) fn stored(self) -> Self {
        Self { pid: None, ..self }
    }

    /// Checks that a record about this server is also about `asked`.
    pub(super) fn check(&self, asked: &Self) -> Result<(), RecordError> {
        if asked.config != self.config {
            return Err(RecordError::OtherConfig(self.config.clone(), asked.config.clone()));
        }
        if asked.options == self.options {
            return Ok(());
        }
        let only_in = |one: &Self, other: &Self| {
            one.options.iter().find(|option| !other.options.contains(option)).cloned()
        };
        let differs = only_in(asked, self).or_else(|| only_in(self, asked));
        let keyword = differs.as_deref().and_then(Keyword::of_line).map(|(keyword, _)| keyword);
        Err(RecordError::OtherOptions(keyword))
    }
}

/// Whether a record has sources, and not too many.
pub(super) fn has_sound_sources(sources: &[ConfigSource]) -> bool {
    !sources.is_empty() && sources.len() <= MAX_SOURCES
}

/// Checks that no source has changed.
pub(super) fn check_sources(sources: &[ConfigSource]) -> Result<(), RecordError> {
    sources.iter().try_for_each(ConfigSource::check).map_err(RecordError::ConfigSource)
}

/// Reads a record, which must be from root.
pub(super) fn load<R: DeserializeOwned>(place: &Path) -> Result<R, RecordError> {
    let unusable = |error| RecordError::Unusable(place.to_owned(), error);
    let absent = |error: &io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    match check_folder(place.parent().unwrap_or(Path::new("/"))) {
        Err(Insecure::Unreadable(_, error)) if absent(&error) => {
            return Err(RecordError::Absent(place.to_owned()));
        }
        checked => checked.map_err(RecordError::Insecure)?,
    }
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(place) {
        Err(error) if absent(&error) => return Err(RecordError::Absent(place.to_owned())),
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return Err(RecordError::Insecure(Insecure::NotAFile(place.to_owned())));
        }
        opened => opened.map_err(unusable)?,
    };
    let status = file.metadata().map_err(unusable)?;
    let insecure = if !status.is_file() {
        Some(Insecure::NotAFile(place.to_owned()))
    } else if status.uid() != 0 {
        Some(Insecure::Owner(place.to_owned(), status.uid()))
    } else if status.mode() & WRITABLE != 0 {
        Some(Insecure::Writable(place.to_owned(), status.mode() & 0o7777))
    } else {
        None
    };
    if let Some(insecure) = insecure {
        return Err(RecordError::Insecure(insecure));
    }
    let bytes = read_open(&file, MAX_BYTES).map_err(unusable)?;
    serde_json::from_slice(&bytes).map_err(|_| RecordError::Malformed(place.to_owned()))
}

/// Writes a record atomically. An equal record is not written again.
pub(super) fn write<R>(record: &R, place: &Path) -> Result<(), RecordError>
where
    R: Serialize + DeserializeOwned + PartialEq,
{
    let unusable = |error| RecordError::Unusable(place.to_owned(), error);
    if load::<R>(place).is_ok_and(|there| there == *record) {
        return Ok(());
    }
    let text = serde_json::to_vec_pretty(record).map_err(|error| unusable(error.into()))?;
    if text.len() > MAX_BYTES {
        return Err(unusable(ErrorKind::FileTooLarge.into()));
    }
    let folder = place.parent().unwrap_or(Path::new("/"));
    let made = DirBuilder::new().mode(0o755).create(folder);
    match made {
        // Do not depend on the umask: other users read the record.
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(unusable)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unusable(error)),
    }
    check_folder(folder).map_err(RecordError::Insecure)?;
    let fresh = place.with_extension(format!("{}.new", std::process::id()));
    let written = write_new(&fresh, &text).and_then(|()| fs::rename(&fresh, place));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written.map_err(unusable)
}

/// Removes a record, and its folder if the folder is then empty.
pub fn remove(place: &Path) -> io::Result<()> {
    let removed = match fs::remove_file(place) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        removed => removed,
    };
    if let Some(folder) = place.parent() {
        let _ = fs::remove_dir(folder);
    }
    removed
}

fn write_new(place: &Path, content: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.sync_all()
}
