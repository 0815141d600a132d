//! Reads the settings file after a check of its ownership.

use std::fmt;
use std::io;
use std::path::Path;

use eic_host::files::read_open;
use eic_host::ownership::{Insecure, open_trusted};
use nix::errno::Errno;

use super::ConfigError;

/// Largest settings file, in bytes. It has room for a thousand rules.
const MAX_BYTES: usize = 256 * 1024;

/// Why a file has no readable text.
#[derive(Debug)]
pub enum FileError {
    /// The file cannot be opened or read, or is larger than 256 KiB.
    Unreadable(io::Error),
    /// The file is not UTF-8.
    Encoding,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Encoding => f.write_str("is not UTF-8"),
        }
    }
}

/// Why a settings file could not be read.
#[derive(Debug)]
pub enum SettingsFileError {
    /// The file does not exist.
    Absent,
    /// Users other than root can change the file.
    Insecure(Insecure),
    /// The file cannot be read.
    File(FileError),
}

impl SettingsFileError {
    /// Converts to the error for the settings at this path.
    #[must_use]
    pub fn for_path(self, path: &Path) -> ConfigError {
        match self {
            Self::Absent => {
                let error = io::Error::from(Errno::ENOENT);
                ConfigError::File(path.to_owned(), FileError::Unreadable(error))
            }
            Self::Insecure(error) => ConfigError::Insecure(path.to_owned(), error),
            Self::File(error) => ConfigError::File(path.to_owned(), error),
        }
    }
}

/// Reads a settings file of at most 256 KiB. The file must satisfy the rule for trusted files.
pub fn read_settings(path: &Path) -> Result<String, SettingsFileError> {
    // A dangling link is an error: the operator meant the file to exist.
    if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Err(SettingsFileError::Absent);
    }
    let file = open_trusted(path).map_err(|error| match error {
        Insecure::Unreadable(_, error) => SettingsFileError::File(FileError::Unreadable(error)),
        other => SettingsFileError::Insecure(other),
    })?;
    let bytes =
        read_open(&file, MAX_BYTES).map_err(|error| SettingsFileError::File(FileError::Unreadable(error)))?;
    String::from_utf8(bytes).map_err(|_| SettingsFileError::File(FileError::Encoding))
}
