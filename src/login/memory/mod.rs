//! What a run remembers for the runs of the next minute: the evidence for the signer, and the token.
//!
//! sshd runs the agent twice for one login, and only the user's keys can differ between two runs. With a memory, a run
//! requests these alone.
//!
//! The memory holds evidence, not a verdict. Each run judges it from the bytes, with its own clock and trust store, like
//! a response of the service. It can only help: whatever it lacks is requested, and no refusal depends on it alone
//! ([`crate::fetch`]). So a file that is torn, foreign, outdated or absent costs requests.
//!
//! The file is in [`FOLDER`], which only the agent's user can enter. A run opens and reads it without root's privileges,
//! before it is confined. It parses it after that, and writes it when its keys are printed. It never waits for another
//! run.

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
use file::{Expected, MemoryFile};
use record::MARK_BYTES;

/// The folder of the file. systemd-tmpfiles(8), the packages and `enable` make it: mode 0700, owner `eic-agent`.
pub const FOLDER: &str = "/run/eic-agent";

/// The kernel's name for this start of the machine (random(4)).
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The memory of a run: the open file, and what it contains.
pub(crate) struct Memory {
    file: MemoryFile,
    bytes: Vec<u8>,
    terms: Terms,
    /// An instant before the first request of this run.
    since: Moment,
}

/// What a record must be valid for.
#[derive(Debug)]
struct Terms {
    boot: String,
    /// How long a record is valid.
    remember: Duration,
}

/// What a run can use of the memory.
#[derive(Default)]
pub(crate) struct Recalled {
    /// The token, and the endpoint that accepts it.
    pub(crate) token: Option<(KeptToken, Endpoint)>,
    evidence: Option<(KeptEvidence, Endpoint)>,
    remember: Duration,
    /// The content of the file.
    content: Expected,
}

/// What a run learned from the service.
pub(crate) struct Learned {
    /// The endpoint that answered.
    pub(crate) endpoint: Endpoint,
    /// A token that this run requested, and its lifetime.
    pub(crate) token: Option<(Vec<u8>, Duration)>,
    /// The evidence with which the signer was proven.
    pub(crate) signer: Option<SignerBytes>,
}

/// A record that is ready to be written.
pub(crate) struct ReadyRecord {
    file: MemoryFile,
    bytes: Vec<u8>,
    expected: Expected,
}

impl Memory {
    /// Opens and reads the memory of this process' user. `None` if there is none: the time is 0, the user has no folder,
    /// the file was not fit, or the kernel does not tell which start of the machine this is.
    ///
    /// This may block if the folder is on a file system that does not answer.
    pub(crate) fn open(folder: &Path, remember: Duration) -> Option<Self> {
        if remember.is_zero() {
            return None;
        }
        let (file, bytes) = MemoryFile::open(folder)?;
        Some(Self { file, bytes, terms: Terms::of(remember)?, since: Moment::now()? })
    }

    /// The descriptor of the file, for the filter of system calls.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.file.descriptor()
    }

    /// What an earlier run remembered about one of `endpoints`. The service must accept a token for the time `timeout` of
    /// this run.
    pub(crate) fn recall(&self, machine: &Machine, endpoints: &[Endpoint], timeout: Duration) -> Recalled {
        let record = Record::parse(&self.bytes);
        let content = match &record {
            Some(_) => Expected::Mark(self.bytes.get(..MARK_BYTES).unwrap_or(&self.bytes).to_vec()),
            None => Expected::NoRecord,
        };
        let nothing = Recalled { content, remember: self.terms.remember, ..Recalled::default() };
        let (Some(record), Some(now)) = (record, Moment::now()) else { return nothing };
        let Some(endpoint) = self.terms.endpoint(&record, machine, endpoints) else { return nothing };
        let token = record.token.filter(|token| self.terms.accepts(token, now, timeout));
        Recalled {
            token: token.map(|token| (token, endpoint.clone())),
            evidence: record.evidence.map(|evidence| (evidence, endpoint.clone())),
            ..nothing
        }
    }

    /// The record with what this run learned. `None` if it learned nothing.
    ///
    /// A run without evidence of its own keeps the evidence that it recalled. It replaces the file only if no other run
    /// has done so since, because that run may have stored more.
    pub(crate) fn with_news(
        self,
        machine: &Machine,
        learned: Learned,
        recalled: &Recalled,
    ) -> Option<ReadyRecord> {
        let Learned { endpoint, token, signer } = learned;
        let expected = match (&token, &signer) {
            (None, None) => return None,
            (_, Some(_)) => Expected::Anything,
            (Some(_), None) => recalled.content.clone(),
        };
        let since = self.since;
        let token = match token {
            Some((value, lifetime)) => Some(KeptToken { value, since, lifetime }),
            None => recalled.token.as_ref().map(|(token, _)| token.clone()),
        };
        let of_endpoint = recalled.evidence.as_ref().filter(|(_, asked)| *asked == endpoint);
        let evidence = match signer {
            Some(signer) => Some(KeptEvidence::new(since, &signer)),
            None => of_endpoint.map(|(evidence, _)| evidence.clone()),
        };
        let mut record = Record { scope: self.terms.scope(machine, &endpoint), token, evidence };
        let bytes = record.to_bytes().or_else(|| {
            record.evidence = None;
            record.to_bytes()
        })?;
        Some(ReadyRecord { file: self.file, bytes, expected })
    }
}

impl Terms {
    /// `None` if the kernel does not tell which start of the machine this is.
    fn of(remember: Duration) -> Option<Self> {
        Some(Self { boot: boot_id()?, remember })
    }

    /// The endpoint for which the record is valid.
    fn endpoint<'e>(
        &self,
        record: &Record,
        machine: &Machine,
        endpoints: &'e [Endpoint],
    ) -> Option<&'e Endpoint> {
        endpoints.iter().find(|endpoint| record.scope == self.scope(machine, endpoint))
    }

    /// Whether the token is not too old, and is accepted for the time `timeout` of a run.
    fn accepts(&self, token: &KeptToken, now: Moment, timeout: Duration) -> bool {
        let age = age(token.since, now, self.remember);
        age.is_some_and(|age| age.saturating_add(timeout) <= token.lifetime)
    }

    fn scope(&self, machine: &Machine, endpoint: &Endpoint) -> Scope {
        Scope {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            boot: self.boot.clone(),
            instance: machine.id().map_or("", InstanceId::as_str).to_owned(),
            endpoint: endpoint.to_string(),
        }
    }
}

/// The age of what was requested after `since`. `None` if it is too old, or a clock went back.
fn age(since: Moment, now: Moment, remember: Duration) -> Option<Duration> {
    since.age(now).filter(|age| *age <= remember)
}

impl Recalled {
    /// The remembered evidence, if it is valid at this moment.
    pub(crate) fn signer(&self) -> Option<SignerBytes> {
        let (evidence, _) = self.evidence.as_ref()?;
        age(evidence.since, Moment::now()?, self.remember)?;
        evidence.signer()
    }
}

impl ReadyRecord {
    /// Writes the record. Nothing waits, and a failure has no effect on this run.
    pub(crate) fn write(self) {
        let _lock = self.file.write(&self.bytes, &self.expected);
    }
}

fn boot_id() -> Option<String> {
    let bytes = head_of_regular(Path::new(BOOT_ID), 64).ok()?;
    let id = std::str::from_utf8(&bytes).ok()?.trim();
    (!id.is_empty()).then(|| id.to_owned())
}
