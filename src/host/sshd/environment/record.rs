//! The value of `PermitUserEnvironment` that root read from sshd, stored for runs that cannot query sshd. Before
//! OpenSSH 9.3, sshd prints its configuration only for root. In any release, other users cannot read a
//! configuration of mode 0600.
//!
//! The record contains the path of sshd's configuration file, sshd's `-o` options for the keyword, and the state of
//! every file and folder that sshd read. If any of them has changed, the record is invalid. The program of sshd is
//! not included, so an upgrade of OpenSSH does not invalidate the record.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::PermittedVariables;
use super::source::{ConfigSource, ConfigSourceError, MAX_SOURCES};
use crate::files::read_open;
use crate::ownership::{Insecure, check_folder};
use crate::sshd::keyword::Keyword;
use crate::sshd::listener::Listener;
use crate::sshd::server::CONFIG;

/// Path of the record. Only root can write there.
pub const PLACE: &str = "/var/lib/eic-agent/sshd-environment.json";

/// Longest record, in bytes. It has room for [`MAX_SOURCES`] paths of usual length.
const MAX_BYTES: usize = 512 * 1024;

/// Version of the record's format.
const VERSION: u32 = 1;

/// Mode bits that let the group or others write.
const WRITABLE: u32 = 0o022;

/// The sshd that a record is about: its configuration, and the `-o` options for the keyword on its command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedServer {
    config: PathBuf,
    options: Vec<String>,
    /// Process id, if known. It changes at every start, so it is not stored.
    #[serde(skip)]
    pid: Option<u32>,
}

/// The record file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    subject: RecordedServer,
    permit_user_environment: String,
    sources: Vec<ConfigSource>,
}

/// Why there is no valid record.
#[derive(Debug)]
pub enum RecordError {
    /// The file does not exist.
    Absent,
    /// Users other than root could have written it.
    Insecure(Insecure),
    /// It cannot be read or written.
    Unusable(io::Error),
    /// It has another format.
    Malformed,
    /// It is about another configuration. Holds the recorded path and the path of this login's sshd.
    OtherConfig(PathBuf, PathBuf),
    /// sshd was started with other options than the recorded ones.
    OtherOptions,
    /// A file that sshd reads has changed or cannot be checked.
    ConfigSource(ConfigSourceError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "there is no record of it ({PLACE})"),
            // Do not show `Insecure`'s remedy. After a change of mode or owner, the agent would trust content that
            // another user may have written.
            Self::Insecure(insecure) => write!(f, "its record cannot be trusted: {}", insecure.seen()),
            Self::Unusable(error) => write!(f, "{PLACE}: {error}"),
            Self::Malformed => write!(f, "{PLACE} does not have the form of this version"),
            Self::OtherConfig(recorded, asked) => write!(
                f,
                "the record is about an sshd that reads {}, and this login's sshd reads {}",
                recorded.display(),
                asked.display()
            ),
            Self::OtherOptions => {
                f.write_str("sshd was started with another PermitUserEnvironment on its command line than the recorded one")
            }
            Self::ConfigSource(error) => write!(f, "the record is out of date: {error}"),
        }
    }
}

/// The usual configuration, without options on the command line.
impl Default for RecordedServer {
    fn default() -> Self {
        Self::new(Path::new(CONFIG), &[], None)
    }
}

impl RecordedServer {
    /// An sshd that reads `config`, was started with these `-o` options and has the process id `pid`.
    #[must_use]
    pub fn new(config: &Path, options: &[String], pid: Option<u32>) -> Self {
        let is_own = |option: &&String| {
            Keyword::of_line(option).is_some_and(|(keyword, _)| keyword == Keyword::PermitUserEnvironment)
        };
        let own = options.iter().filter(is_own).cloned().collect();
        Self { config: config.to_owned(), options: own, pid }
    }

    /// The sshd of a running listener.
    #[must_use]
    pub fn of(listener: &Listener) -> Self {
        let config = listener.config.as_deref().unwrap_or(Path::new(CONFIG));
        Self::new(config, &listener.options, Some(listener.pid))
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

    /// The `-o` options that set `PermitUserEnvironment`.
    #[must_use]
    pub fn options(&self) -> &[String] {
        &self.options
    }
}

impl Record {
    /// Creates a record from values that sshd just printed.
    #[must_use]
    pub fn new(subject: RecordedServer, permitted: &PermittedVariables, sources: Vec<ConfigSource>) -> Self {
        let permit_user_environment = permitted.as_str().to_owned();
        let subject = RecordedServer { pid: None, ..subject };
        Self { version: VERSION, subject, permit_user_environment, sources }
    }

    /// Returns the recorded value for logins of `subject`. If `subject` is `None`, the sshd of this login is
    /// unknown and the record is used for any sshd. Returns an error if the record is not valid.
    pub fn permitted(
        place: &Path,
        subject: Option<&RecordedServer>,
    ) -> Result<PermittedVariables, RecordError> {
        let record = Self::load(place)?;
        if let Some(subject) = subject {
            if subject.config != record.subject.config {
                return Err(RecordError::OtherConfig(record.subject.config, subject.config.clone()));
            }
            if subject.options != record.subject.options {
                return Err(RecordError::OtherOptions);
            }
        }
        record.sources.iter().try_for_each(ConfigSource::check).map_err(RecordError::ConfigSource)?;
        Ok(PermittedVariables(record.permit_user_environment))
    }

    fn load(place: &Path) -> Result<Self, RecordError> {
        let absent =
            |error: &io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
        match check_folder(place.parent().unwrap_or(Path::new("/"))) {
            Err(Insecure::Unreadable(_, error)) if absent(&error) => return Err(RecordError::Absent),
            checked => checked.map_err(RecordError::Insecure)?,
        }
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(place) {
            Err(error) if absent(&error) => return Err(RecordError::Absent),
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
                return Err(RecordError::Insecure(Insecure::NotAFile(place.to_owned())));
            }
            opened => opened.map_err(RecordError::Unusable)?,
        };
        let status = file.metadata().map_err(RecordError::Unusable)?;
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
        let bytes = read_open(&file, MAX_BYTES).map_err(RecordError::Unusable)?;
        let record: Self = serde_json::from_slice(&bytes).map_err(|_| RecordError::Malformed)?;
        let is_sound =
            record.version == VERSION && !record.sources.is_empty() && record.sources.len() <= MAX_SOURCES;
        if is_sound { Ok(record) } else { Err(RecordError::Malformed) }
    }

    /// Writes the record atomically. An equal record is not written again.
    pub fn write(&self, place: &Path) -> Result<(), RecordError> {
        if Self::load(place).is_ok_and(|there| there == *self) {
            return Ok(());
        }
        let folder = place.parent().unwrap_or(Path::new("/"));
        let made = DirBuilder::new().mode(0o755).create(folder);
        match made {
            // Do not depend on the umask: other users read the record.
            Ok(()) => {
                fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(RecordError::Unusable)?;
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(RecordError::Unusable(error)),
        }
        check_folder(folder).map_err(RecordError::Insecure)?;
        let text = serde_json::to_vec_pretty(self).map_err(|error| RecordError::Unusable(error.into()))?;
        let fresh = place.with_extension(format!("{}.new", std::process::id()));
        let written = write_new(&fresh, &text).and_then(|()| fs::rename(&fresh, place));
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        written.map_err(RecordError::Unusable)
    }

    /// Removes the record, and its folder if the folder is then empty.
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
}

fn write_new(place: &Path, content: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
    file.write_all(content)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.sync_all()
}
