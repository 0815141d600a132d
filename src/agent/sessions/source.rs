//! The log: systemd's journal, or text files.

use std::io;
use std::path::PathBuf;

use eic_core::sessions::join::{Join, Kind, Wanted};
use eic_core::sessions::programs::Programs;
use eic_core::sessions::text_log::Zone;
use eic_core::sessions::writer::AgentUser;
use eic_host::clock;
use eic_host::process::StreamingChild;

use super::exporter::Exporter;
use super::lines::{Gap, Read};
use super::log_error::{LogError, MAX_FILES};
use super::text::{Opened, files_of_the_machine, read_files};
use super::{journal, machine};

pub(super) enum LogSource {
    Journal { entries: StreamingChild, begins: Vec<u8>, hidden: bool },
    Text { files: Vec<Opened>, zone: Option<Zone> },
}

impl LogSource {
    /// Opens these files. If none are given, opens the journal. If the journal is empty or cannot be read, opens the
    /// text logs in `/var/log`.
    pub(super) fn find(files: &[PathBuf]) -> Result<Self, LogError> {
        if files.len() > MAX_FILES {
            return Err(LogError::TooManyFiles(files.len()));
        }
        if !files.is_empty() {
            return Self::text(files.to_vec()).map_err(|(path, error)| LogError::File(path, error));
        }
        let why = match journal::begins() {
            Ok(Some((begins, hidden))) => {
                let entries = journal::entries().map_err(LogError::Journal)?;
                return Ok(Self::Journal { entries, begins, hidden });
            }
            Ok(None) => "the journal is empty".to_owned(),
            Err(why) => why,
        };
        let files = files_of_the_machine();
        if files.is_empty() {
            return Err(LogError::NoLog(why));
        }
        Self::text(files).map_err(|(path, error)| LogError::OwnFile(path, error))
    }

    fn text(paths: Vec<PathBuf>) -> Result<Self, (PathBuf, io::Error)> {
        let open = |path: PathBuf| Opened::new(&path).map_err(|error| (path, error));
        let mut files: Vec<Opened> = Vec::new();
        for opened in paths.into_iter().map(open) {
            let opened = opened?;
            // If a log is renamed meanwhile, two paths can lead to it.
            if files.iter().all(|file| file.identity != opened.identity) {
                files.push(opened);
            }
        }
        let zone = machine::zone(clock::now());
        Ok(Self::Text { files, zone })
    }

    pub(super) const fn kind(&self) -> Kind {
        match self {
            Self::Journal { .. } => Kind::Journal,
            Self::Text { .. } => Kind::Text,
        }
    }

    /// Whether the journal hides lines from this user.
    pub(super) const fn is_hidden(&self) -> bool {
        matches!(self, Self::Journal { hidden: true, .. })
    }

    /// Reads the log to its end. If a part cannot be read, the result still has what was read before.
    pub(super) fn read_into<W: Wanted>(
        self,
        agent: Option<AgentUser>,
        programs: Programs,
        join: &mut Join<W>,
        mut export: Option<&mut Exporter<'_>>,
    ) -> Result<Read, LogError> {
        match self {
            Self::Journal { entries, begins, hidden } => {
                let mut read =
                    journal::read_journal(entries, &begins, (agent, programs), join, export.as_deref_mut())?;
                read.gaps.extend(hidden.then_some(Gap::Hidden));
                Ok(read)
            }
            Self::Text { files, zone } => read_files(files, zone, join, export),
        }
    }
}
