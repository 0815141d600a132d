//! The settings file as a file: whose it is, and its text.

use std::fmt;
use std::io;
use std::path::Path;

use eic_host::files::read_open;
use eic_host::ownership::{Insecure, open_trusted};

use super::ConfigError;

/// Largest settings file, in bytes: room for a thousand rules.
const MAX_BYTES: usize = 256 * 1024;

/// Why a file gives no text.
#[derive(Debug)]
pub enum FileError {
    /// It cannot be opened or read, or is larger than 256 KiB.
    Unreadable(io::Error),
    /// Not UTF-8.
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

/// Why there is no text of a settings file.
#[derive(Debug)]
pub enum SettingsFileError {
    /// Nothing is there, and nothing that leads there hides anything.
    Absent,
    /// It is not root's alone.
    Insecure(Insecure),
    /// It cannot be read.
    File(FileError),
}

impl SettingsFileError {
    /// The same, as what is wrong with the settings at this path.
    #[must_use]
    pub fn for_path(self, path: &Path) -> ConfigError {
        match self {
            Self::Absent => {
                let error = io::Error::from(io::ErrorKind::NotFound);
                ConfigError::File(path.to_owned(), FileError::Unreadable(error))
            }
            Self::Insecure(error) => ConfigError::Insecure(path.to_owned(), error),
            Self::File(error) => ConfigError::File(path.to_owned(), error),
        }
    }
}

/// Reads the text of a settings file of at most 256 KiB. The file has to pass the rule for trusted files.
pub fn read_settings(path: &Path) -> Result<String, SettingsFileError> {
    // A link that leads nowhere is a file that somebody meant to be there.
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
