//! The record of the value of `PermitUserEnvironment`: see [`crate::sshd::record`].

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::PermittedVariables;
use super::source::ConfigSource;
use crate::sshd::keyword::Keyword;
use crate::sshd::record::{RecordError, RecordedServer, check_sources, has_sound_sources, load, write};

/// Path of the record. Only root can write there.
pub const PLACE: &str = "/var/lib/eic-agent/sshd-environment.json";

/// The recorded keyword.
pub const KEYWORDS: [Keyword; 1] = [Keyword::PermitUserEnvironment];

/// Version of the record's format.
const VERSION: u32 = 1;

/// The record file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    version: u32,
    subject: RecordedServer,
    permit_user_environment: String,
    sources: Vec<ConfigSource>,
}

impl Record {
    /// Creates a record from values that sshd just printed.
    #[must_use]
    pub fn new(subject: RecordedServer, permitted: &PermittedVariables, sources: Vec<ConfigSource>) -> Self {
        let permit_user_environment = permitted.as_str().to_owned();
        Self { version: VERSION, subject: subject.stored(), permit_user_environment, sources }
    }

    /// Returns the recorded value for logins of `subject`. If `subject` is `None`, the sshd of this login is
    /// unknown and the record is used for any sshd. Returns an error if the record is not valid.
    pub fn permitted(
        place: &Path,
        subject: Option<&RecordedServer>,
    ) -> Result<PermittedVariables, RecordError> {
        let record: Self = load(place)?;
        if record.version != VERSION || !has_sound_sources(&record.sources) {
            return Err(RecordError::Malformed(place.to_owned()));
        }
        if let Some(subject) = subject {
            record.subject.check(subject)?;
        }
        check_sources(&record.sources)?;
        Ok(PermittedVariables(record.permit_user_environment))
    }

    /// Writes the record atomically. An equal record is not written again.
    pub fn write(&self, place: &Path) -> Result<(), RecordError> {
        write(self, place)
    }
}
