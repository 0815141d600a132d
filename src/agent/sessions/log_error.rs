//! Errors that prevent a report.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use eic_core::text::{MAX_SHOWN, printable_bytes};
use eic_login::privileges::PrivilegesError;

use crate::outcome::Outcome;

/// Directory of the text logs.
pub(super) const FOLDER: &str = "/var/log";

/// Maximum number of files that are read.
pub(super) const MAX_FILES: usize = 1000;

/// An error that prevents a report.
#[derive(Debug)]
pub(super) enum LogError {
    /// The query can have no answer. Holds what was expected.
    Query(String),
    /// A file on the command line cannot be read.
    File(PathBuf, io::Error),
    /// A log of this machine cannot be read.
    OwnFile(PathBuf, io::Error),
    /// More than [`MAX_FILES`] files are named.
    TooManyFiles(usize),
    /// There is no log. Holds why the journal was not used.
    NoLog(String),
    /// journalctl could not be started.
    Journal(io::Error),
    /// The state of an export cannot be used.
    State(String),
    /// The lines of an export cannot be written.
    Output(io::Error),
    /// The new state of an export cannot be written.
    Commit(String),
    /// Root's rights could not be given up.
    Privileges(PrivilegesError),
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Query(what) | Self::State(what) => f.write_str(what),
            Self::File(path, error) => write!(f, "{}: {error}", shown(path)),
            Self::OwnFile(path, error) => {
                let fix = if is_root() { "name the files to read instead" } else { "run it with sudo" };
                write!(f, "no log can be read: {}: {error}; {fix}", shown(path))
            }
            Self::TooManyFiles(count) => {
                write!(f, "expected at most {MAX_FILES} files, got {count}; name fewer files at a time")
            }
            Self::NoLog(journal) => {
                let fix = if is_root() { "name the files" } else { "run it with sudo, or name the files" };
                write!(f, "no log can be read: {journal}, and {FOLDER} has no auth.log and no secure; {fix}")
            }
            Self::Journal(error) => write!(f, "journalctl: {error}"),
            Self::Output(error) => write!(f, "cannot write the events: {error}"),
            Self::Commit(what) => {
                write!(
                    f,
                    "the events were written, but the state was not, so the next export repeats them: {what}"
                )
            }
            Self::Privileges(error) => error.fmt(f),
        }
    }
}

/// These errors occur before root's rights are given up.
fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

impl LogError {
    pub(super) const fn outcome(&self) -> Outcome {
        match self {
            Self::Query(_) | Self::File(..) | Self::TooManyFiles(_) | Self::State(_) => Outcome::Usage,
            Self::OwnFile(..)
            | Self::NoLog(_)
            | Self::Journal(_)
            | Self::Privileges(_)
            | Self::Output(_)
            | Self::Commit(_) => Outcome::Undecided,
        }
    }
}

pub(super) fn shown(path: &Path) -> String {
    printable_bytes(path.as_os_str().as_encoded_bytes(), MAX_SHOWN)
}
