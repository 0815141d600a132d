//! What a run remembers for the runs of the next minute: the evidence for the signer, and the token.
//!
//! sshd runs the agent twice for one login, and only the user's keys can differ between two runs. With a memory, a run
//! requests these alone.
//!
//! The memory holds evidence, not a verdict. Each run judges it from the bytes, with its own clock and trust store, like
//! a response of the service. It can only help: whatever it lacks is requested, and no refusal rests on it
//! ([`crate::fetch`]). So a file that is torn, foreign, outdated or absent costs requests, and nothing else.
//!
//! The file is in [`FOLDER`], which only the agent's user can enter. A run opens it without root's privileges, before it
//! is confined. It reads it after that, and writes it when its keys are printed. It never waits for another run.

mod file;
mod inspection;
mod moment;
mod record;

use std::os::fd::RawFd;
use std::path::Path;
use std::time::Duration;

use eic_core::identity::InstanceId;
use eic_host::files::head_of_regular;
use eic_host::instance::Machine;

pub use file::{MemoryFault, NAME};
pub use inspection::{Kept, MemoryState, inspect};
pub use moment::Moment;
pub use record::{KeptEvidence, KeptToken, MAX_RECORD_BYTES, Record, Scope, SignerBytes};

use crate::imds::Endpoint;
use file::MemoryFile;
use record::HEAD_BYTES;

/// The folder of the file. systemd-tmpfiles(8), the packages and `enable` make it: mode 0700, owner `eic-agent`.
pub const FOLDER: &str = "/run/eic-agent";

/// The kernel's name for this start of the machine (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The memory of a run: the open file, and what a record must be valid for.
#[derive(Debug)]
pub(crate) struct Memory {
    file: MemoryFile,
    terms: Terms,
    /// An instant before the first request of this run.
    since: Moment,
}

/// What a record must be valid for.
#[derive(Debug)]
struct Terms {
    boot: String,
    instance: String,
    /// How long a record is valid.
    remember: Duration,
}

/// What a run can use of the memory.
#[derive(Debug, Default)]
pub(crate) struct Recalled {
    /// The token, and the endpoint that accepts it.
    pub(crate) token: Option<(KeptToken, Endpoint)>,
    /// The evidence for the signer.
    pub(crate) evidence: Option<KeptEvidence>,
    /// The first bytes of the file.
    seen: Vec<u8>,
}

/// What a run learned from the service.
#[derive(Debug)]
pub(crate) struct Learned {
    /// The endpoint that answered.
    pub(crate) endpoint: Endpoint,
    /// A token that this run requested, and its lifetime.
    pub(crate) token: Option<(Vec<u8>, Duration)>,
    /// The evidence with which the signer was proven.
    pub(crate) signer: Option<SignerBytes>,
}

/// A record that is ready to be written.
#[derive(Debug)]
pub(crate) struct ReadyRecord {
    file: MemoryFile,
    bytes: Vec<u8>,
    seen: Option<Vec<u8>>,
}

impl Memory {
    /// Opens the memory of this process' user. `None` if there is none: the time is 0, the user has no folder, the file
    /// was not fit, or the kernel does not tell which start of the machine this is.
    pub(crate) fn open(folder: &Path, machine: &Machine, remember: Duration) -> Option<Self> {
        if remember.is_zero() {
            return None;
        }
        let file = MemoryFile::open(folder)?;
        Some(Self { file, terms: Terms::of(machine, remember)?, since: Moment::now()? })
    }

    /// The descriptor of the file, for the filter of system calls.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.descriptor()
    }

    /// Reads what an earlier run remembered about one of `endpoints`. A token must be accepted for the time `timeout` of
    /// this run.
    pub(crate) fn recall(&self, endpoints: &[Endpoint], timeout: Duration) -> Recalled {
        let bytes = self.file.read().unwrap_or_default();
        let seen = bytes.get(..HEAD_BYTES).unwrap_or(&bytes).to_vec();
        let nothing = Recalled { seen: seen.clone(), ..Recalled::default() };
        let (Some(record), Some(now)) = (Record::parse(&bytes), Moment::now()) else { return nothing };
        let Some(endpoint) = self.terms.endpoint(&record, endpoints) else { return nothing };
        Recalled {
            token: record
                .token
                .filter(|token| self.terms.accepts(token, now, timeout))
                .map(|token| (token, endpoint.clone())),
            evidence: record.evidence.filter(|evidence| self.terms.age(evidence.since, now).is_some()),
            seen,
        }
    }

    /// The record with what this run learned. `None` if it learned nothing.
    ///
    /// A run without evidence of its own keeps the evidence that it recalled. It replaces the file only if no other run
    /// has done so since, because that run may have stored more.
    pub(crate) fn with_news(self, learned: Learned, recalled: &Recalled) -> Option<ReadyRecord> {
        let Learned { endpoint, token, signer } = learned;
        if token.is_none() && signer.is_none() {
            return None;
        }
        let seen = signer.is_none().then(|| recalled.seen.clone());
        let since = self.since;
        let token = match token {
            Some((value, lifetime)) => Some(KeptToken { value, since, lifetime }),
            None => recalled.token.as_ref().map(|(token, _)| token.clone()),
        };
        let evidence =
            signer.map(|signer| KeptEvidence { since, signer }).or_else(|| recalled.evidence.clone());
        let bytes = Record { scope: self.terms.scope(&endpoint), token, evidence }.to_bytes()?;
        Some(ReadyRecord { file: self.file, bytes, seen })
    }
}

impl Terms {
    /// `None` if the kernel does not tell which start of the machine this is.
    fn of(machine: &Machine, remember: Duration) -> Option<Self> {
        Some(Self { boot: boot_id()?, instance: instance_name(machine).to_owned(), remember })
    }

    /// The endpoint for which the record is valid.
    fn endpoint<'e>(&self, record: &Record, endpoints: &'e [Endpoint]) -> Option<&'e Endpoint> {
        endpoints.iter().find(|endpoint| record.scope == self.scope(endpoint))
    }

    /// The age of what was requested after `since`. `None` if it is too old, or a clock went back.
    fn age(&self, since: Moment, now: Moment) -> Option<Duration> {
        since.age(now).filter(|age| *age <= self.remember)
    }

    /// Whether the token is accepted for the time `timeout` of a run.
    fn accepts(&self, token: &KeptToken, now: Moment, timeout: Duration) -> bool {
        self.age(token.since, now).is_some_and(|age| age.saturating_add(timeout) <= token.lifetime)
    }

    fn scope(&self, endpoint: &Endpoint) -> Scope {
        Scope {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: self.boot.clone(),
            instance: self.instance.clone(),
            endpoint: endpoint.to_string(),
        }
    }
}

impl ReadyRecord {
    /// Writes the record. Nothing waits, and a failure has no effect on this run.
    pub(crate) fn write(self) {
        let _lock = self.file.write(&self.bytes, self.seen.as_deref());
    }
}

fn boot_id() -> Option<String> {
    let bytes = head_of_regular(Path::new(BOOT_ID), 64).ok()?;
    let id = std::str::from_utf8(&bytes).ok()?.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// The instance in the scope of a record.
fn instance_name(machine: &Machine) -> &str {
    machine.id().map_or("", InstanceId::as_str)
}
