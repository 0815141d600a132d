//! Limits what a run can do. The limits apply before the run reads foreign data, in case an attacker takes the
//! process over with such data.
//!
//! | tier | effect | absent if |
//! | --- | --- | --- |
//! | privileges | no new privileges by any `exec`, no core file, no access to its memory by other processes | the kernel is older than 3.5 |
//! | bounds | limits for memory, open files and the file of the run's memory; with [`no_more_threads`], for processes and threads | never |
//! | Landlock | no file of any folder, no TCP port except metadata's, no signal to another process | Linux is older than 5.13 (files), 6.7 (ports), 6.12 (signals), or Landlock is disabled |
//! | [`filter`] | only the system calls that a run needs. Of those that change a file, `pwrite64`, `ftruncate` and a lock that does not wait, all on the file of the [memory](crate::memory) | the kernel or the container has no `seccomp` |
//!
//! Each tier is tried separately. A tier that is not available is skipped, so confinement never fails a login.
//! `eic-agent doctor` lists the active tiers. The kernel requires this order: without root, Landlock and the filter
//! need "no new privileges", and the filter refuses the system calls of the other tiers.
//!
//! # Preconditions
//!
//! When [`confine`] is called, everything that the run will read is open. The settings were read, the release of
//! sshd is known, and the trust store's files are [open](eic_host::trust_store::TrustStore::open). They are
//! parsed later, and only if there is a key. After that, the run needs only sockets, memory, time and threads.
//!
//! All threads of the process are confined, not only the one that handles foreign data, because they share their
//! memory. Landlock applies to the calling thread and to the threads that it starts, so `confine` is called before
//! there are other threads. The filter also applies to existing threads. The providers are separate processes that
//! were started before. They are not confined. Their supervisors end without a signal from the run.
//!
//! # Cost
//!
//! In microseconds of a static release build on a machine with two cores, measured by the process itself:
//! privileges 2, bounds 4, Landlock 13, [`no_more_threads`] 2. The [`filter`] costs more than these together,
//! mostly because the kernel evaluates it for each system call in advance; its module has the figures. The whole
//! process takes 180 µs longer from start to end, because the kernel also has to remove the filter. In a run
//! without a key, the trust store's files are opened without need, which takes some microseconds for each.
//!
//! # Not used
//!
//! - `RLIMIT_AS`: it counts address space that allocators only reserve, 128 MB for each thread of the GNU C
//!   library. `RLIMIT_DATA` counts writable memory.
//! - A rule for addresses: neither Landlock nor the filter can read them. Only the port can be limited.
//! - Landlock's newer rights: the right for sockets with a path (ABI 9) would block the log.
//!
//! # Remaining risk
//!
//! An attacker who takes over a run can still connect to any service that listens on a socket with a path and
//! serves the user `eic-agent`, and to metadata's port on any address. A thread that waits for a file on an
//! unreachable file server is limited only by the filter, not by Landlock. It has read no data yet.
//!
//! The attacker can also write the file of the memory. Later runs judge its content like a response of the metadata
//! service.

pub mod filter;

use std::fmt;
use std::io::{stderr, stdout};
use std::os::fd::{AsFd, RawFd};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, LandlockStatus, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use nix::sys::prctl::{set_dumpable, set_no_new_privs};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{FileStat, SFlag, fstat};

/// Maximum number of bytes of writable memory. The run's own part stays below 32 MiB, and two stacks are reserved.
const MAX_DATA_BYTES: u64 = 64 * 1024 * 1024;

/// The same for each provider. It has a reserved stack, and its output may exist twice while its buffer grows.
const DATA_BYTES_OF_PROVIDER: u64 = 8 * 1024 * 1024;

/// Maximum number of open files. A run needs at most half of this number, for the connections for all staples and
/// the pipes of all providers.
const MAX_OPEN_FILES: u64 = 128;

/// Maximum size of a file, in bytes. The filter cannot bound what `write` appends to the file of the run's memory.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// The active tiers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confinement {
    /// No new privileges, no core file, no access to the run's memory by other processes.
    pub privileges: bool,
    /// Limits for memory, open files and the file of the run's memory.
    pub bounds: bool,
    /// The parts of Landlock that are active.
    pub landlock: Landlock,
    /// The system call filter.
    pub filter: bool,
}

/// The parts of Landlock that the kernel supports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Landlock {
    /// No part.
    #[default]
    None,
    /// Files (ABI 1).
    Files,
    /// Also TCP ports (ABI 4).
    Ports,
    /// Also signals and abstract sockets (ABI 6).
    Signals,
}

/// Confines this process permanently, as far as the kernel supports it. TCP connections are allowed only to
/// `ports`. Only the file with the descriptor `memory` can be written at a position. Call it while the process has a single thread.
#[must_use]
pub fn confine(ports: &[u16], providers: usize, memory: Option<RawFd>) -> Confinement {
    let no_new = set_no_new_privs().is_ok();
    let unreadable = set_dumpable(false).is_ok();
    let no_core = lower(Resource::RLIMIT_CORE, 0);
    let providers = u64::try_from(providers).unwrap_or(u64::MAX);
    let data = MAX_DATA_BYTES.saturating_add(DATA_BYTES_OF_PROVIDER.saturating_mul(providers));
    let data = lower(Resource::RLIMIT_DATA, data);
    let files = lower(Resource::RLIMIT_NOFILE, MAX_OPEN_FILES);
    // The output of a run may be a file too, which may be larger. Under sshd, it is a pipe.
    let has_other_file = is_regular(stdout()) || is_regular(stderr());
    let size = memory.is_none() || has_other_file || lower(Resource::RLIMIT_FSIZE, MAX_FILE_BYTES);
    Confinement {
        privileges: no_new && unreadable && no_core,
        bounds: data && files && size,
        landlock: landlock(ports).unwrap_or_default(),
        filter: filter::install(memory),
    }
}

/// Forbids new threads and processes from now on.
///
/// The limit is 0, because the kernel counts all processes of a user together: several logins at once would exceed
/// any small limit. So call this after the last thread was started.
pub fn no_more_threads() {
    lower(Resource::RLIMIT_NPROC, 0);
}

fn is_regular(file: impl AsFd) -> bool {
    let kind = |found: FileStat| SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
    fstat(file).map(kind) == Ok(SFlag::S_IFREG)
}

/// Lowers the soft and the hard limit. Returns false if the kernel refuses.
fn lower(resource: Resource, to: u64) -> bool {
    getrlimit(resource).and_then(|(soft, hard)| setrlimit(resource, soft.min(to), hard.min(to))).is_ok()
}

/// Denies everything that Landlock controls, except connections to `ports`.
fn landlock(ports: &[u16]) -> Result<Landlock, RulesetError> {
    // Newer ABI versions were not tested.
    let abi = ABI::V6;
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?;
    let ports = ports.iter().map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp)));
    let status = ruleset.create()?.add_rules(ports)?.restrict_self()?;
    Ok(match status.landlock {
        _ if status.ruleset == RulesetStatus::NotEnforced => Landlock::None,
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V6 => Landlock::Signals,
        LandlockStatus::Available { effective_abi, .. } if effective_abi >= ABI::V4 => Landlock::Ports,
        LandlockStatus::Available { .. } => Landlock::Files,
        _ => Landlock::None,
    })
}

impl Confinement {
    /// The name of each tier, and whether it is active.
    fn tiers(self) -> [(&'static str, bool); 6] {
        [
            ("no new privileges", self.privileges),
            ("resource limits", self.bounds),
            ("Landlock for files", self.landlock >= Landlock::Files),
            ("for TCP ports", self.landlock >= Landlock::Ports),
            ("for signals", self.landlock >= Landlock::Signals),
            ("a system call filter", self.filter),
        ]
    }
}

/// Lists active and missing tiers: `no new privileges, resource limits, a system call filter; missing: Landlock for files,
/// …`.
impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |held: bool| {
            let tiers = self.tiers().into_iter().filter(|(_, holds)| *holds == held);
            tiers.map(|(words, _)| words).collect::<Vec<_>>().join(", ")
        };
        match (words(true), words(false)) {
            (held, missing) if missing.is_empty() => f.write_str(&held),
            (held, missing) if held.is_empty() => write!(f, "missing: {missing}"),
            (held, missing) => write!(f, "{held}; missing: {missing}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confinement_is_described_in_words() {
        let whole = Confinement { privileges: true, bounds: true, landlock: Landlock::Signals, filter: true };
        assert_eq!(
            whole.to_string(),
            "no new privileges, resource limits, Landlock for files, for TCP ports, for signals, a system call filter"
        );
        let old = Confinement { landlock: Landlock::None, ..whole };
        assert_eq!(
            old.to_string(),
            "no new privileges, resource limits, a system call filter; missing: Landlock for files, for TCP ports, for signals"
        );
        assert!(
            Confinement::default().to_string().starts_with("missing: no new privileges, resource limits, ")
        );
    }
}
