//! What a run would find in the memory now. For commands that explain a login.

use std::path::Path;
use std::time::Duration;

use eic_host::instance::Machine;
use nix::unistd::Uid;

use super::file::{MemoryFault, MemoryFile};
use super::{Moment, Record, SignerBytes, Terms, age};
use crate::imds::Endpoint;

/// What a run would find.
#[derive(Debug, PartialEq, Eq)]
pub enum MemoryState {
    /// The settings disable the memory.
    Off,
    /// A run does not use the folder or the file.
    Fault(MemoryFault),
    /// The kernel does not tell which start of the machine this is.
    UnknownBoot,
    /// There is no file yet, or it is empty.
    Empty,
    /// The file holds no whole record.
    Torn,
    /// The record is of another version of the program, instance or endpoint, or from before the last start.
    Foreign,
    /// A record for this machine. Each part may be too old.
    Record {
        /// The token.
        token: Option<Kept>,
        /// The evidence for the signer.
        evidence: Option<(Kept, SignerBytes)>,
    },
}

/// A part of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// How long it is kept. `None` if a clock went back since.
    pub age: Option<Duration>,
    /// Whether a run that starts now uses it.
    pub is_used: bool,
}

/// What a run of `user` would find. The time limit of that run is `timeout`. Makes and removes nothing.
#[must_use]
pub fn inspect(
    folder: &Path,
    user: Uid,
    machine: &Machine,
    endpoints: &[Endpoint],
    (remember, timeout): (Duration, Duration),
) -> MemoryState {
    if remember.is_zero() {
        return MemoryState::Off;
    }
    let bytes = match MemoryFile::look(folder, user) {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(fault) => return MemoryState::Fault(fault),
    };
    let (Some(terms), Some(now)) = (Terms::of(remember), Moment::now()) else {
        return MemoryState::UnknownBoot;
    };
    if bytes.is_empty() {
        return MemoryState::Empty;
    }
    let Some(record) = Record::parse(&bytes) else { return MemoryState::Torn };
    if terms.endpoint(&record, machine, endpoints).is_none() {
        return MemoryState::Foreign;
    }
    let token = record
        .token
        .map(|token| Kept { age: token.since.age(now), is_used: terms.accepts(&token, now, timeout) });
    let evidence = record.evidence.and_then(|evidence| {
        let is_used = age(evidence.since, now, remember).is_some();
        Some((Kept { age: evidence.since.age(now), is_used }, evidence.signer()?))
    });
    MemoryState::Record { token, evidence }
}
