//! What root learned of `PermitUserEnvironment`, kept for runs that cannot ask sshd: before OpenSSH 9.3 sshd answers
//! root alone, and in any release it cannot read a configuration of mode 0600 for another user.
//!
//! The record names what sshd was asked about and every file and folder that it read. It is invalid if any of
//! those differs. The sshd program is not among them: an upgrade of OpenSSH must not cost a login.

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

/// Its path. Only root can write there.
pub const PLACE: &str = "/var/lib/eic-agent/sshd-environment.json";

/// Longest record, in bytes: with [`MAX_SOURCES`] paths of usual length.
const MAX_BYTES: usize = 512 * 1024;

/// The form of the record.
const VERSION: u32 = 1;

/// Bits that let group or others write.
const WRITABLE: u32 = 0o022;

/// Which sshd it is about: the configuration that it reads, and what its own command line says of the keyword.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedServer {
    config: PathBuf,
    options: Vec<String>,
    /// Its process, where it is known; another one after every start.
    #[serde(skip)]
    pid: Option<u32>,
}

/// The record.
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
    /// No such file.
    Absent,
    /// Others than root could have written it.
    Insecure(Insecure),
    /// It cannot be read, or not written.
    Unusable(io::Error),
    /// It has another form.
    Malformed,
    /// It is about another configuration; holds its own, and the one of this login's sshd.
    OtherConfig(PathBuf, PathBuf),
    /// sshd was started with other options than the ones recorded.
    OtherOptions,
    /// What sshd reads has changed, or cannot be looked at.
    ConfigSource(ConfigSourceError),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "there is no record of it ({PLACE})"),
            // Not its remedy: with other rights, what others wrote would be believed.
            Self::Insecure(insecure) => write!(f, "its record is not to be trusted: {}", insecure.seen()),
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

/// The usual configuration, and nothing on the command line.
impl Default for RecordedServer {
    fn default() -> Self {
        Self::new(Path::new(CONFIG), &[], None)
    }
}

impl RecordedServer {
    /// Of an sshd that reads `config`, was started with these `-o` options and is the process `pid`.
    #[must_use]
    pub fn new(config: &Path, options: &[String], pid: Option<u32>) -> Self {
        let is_own = |option: &&String| {
            Keyword::of_line(option).is_some_and(|(keyword, _)| keyword == Keyword::PermitUserEnvironment)
        };
        let own = options.iter().filter(is_own).cloned().collect();
        Self { config: config.to_owned(), options: own, pid }
    }

    /// Of a running server.
    #[must_use]
    pub fn of(listener: &Listener) -> Self {
        let config = listener.config.as_deref().unwrap_or(Path::new(CONFIG));
        Self::new(config, &listener.options, Some(listener.pid))
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Its process.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// The `-o` options that set the keyword.
    #[must_use]
    pub fn options(&self) -> &[String] {
        &self.options
    }
}

impl Record {
    /// Of what sshd said just now.
    #[must_use]
    pub fn new(subject: RecordedServer, permitted: &PermittedVariables, sources: Vec<ConfigSource>) -> Self {
        let permit_user_environment = permitted.as_str().to_owned();
        let subject = RecordedServer { pid: None, ..subject };
        Self { version: VERSION, subject, permit_user_environment, sources }
    }

    /// What it says for logins of `subject`, or of any sshd where it is not known which one asks; an error where it
    /// counts as none.
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

    /// Writes it atomically. A record that says the same stays as it is.
    pub fn write(&self, place: &Path) -> Result<(), RecordError> {
        if Self::load(place).is_ok_and(|there| there == *self) {
            return Ok(());
        }
        let folder = place.parent().unwrap_or(Path::new("/"));
        let made = DirBuilder::new().mode(0o755).create(folder);
        match made {
            // Whatever the umask: runs of another user read it.
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

    /// Removes it, and its folder if nothing else is in it.
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
