//! What a run cannot do any more once it looks at foreign bytes, should one of them ever take it over.
//!
//! | tier | holds | without it |
//! | --- | --- | --- |
//! | privileges | no new privileges by any `exec`, no core file, no memory for other processes to read | the kernel is older than 3.5 |
//! | bounds | memory and open files; with [`no_more_threads`], processes and threads | never |
//! | Landlock | no file of any folder, no TCP port but metadata's, no signal to another process | Linux before 5.13 (files), 6.7 (ports), 6.12 (signals), or one that has it switched off |
//! | [`filter`] | no system call but those that a run is made of | a kernel or a container without `seccomp` |
//!
//! Each tier is tried on its own, and one that is not to be had is left out: confinement never costs a login.
//! `eic-agent doctor` says which hold. The order is the kernel's: Landlock and the filter are for everybody only where
//! there can be no new privileges, and the filter refuses the calls of the others.
//!
//! # What it rests on
//!
//! When [`confine`] is called everything is open that the run will read, so that no file is needed after it: the
//! settings are read, sshd was asked for its release, and the trust store's files are
//! [open](eic_host::trust_store::TrustStore::open), though they are parsed only once there is a key. What is left is
//! sockets, memory, time, threads, and the end.
//!
//! All threads of the process are confined, not only the one that looks at foreign bytes: they share their memory.
//! Landlock holds for the calling thread and those that it starts, so `confine` is called before there is another;
//! the filter also reaches any that is still there. The providers are other processes, started before, and are not
//! confined; their supervisors end by themselves, and need no signal of ours.
//!
//! # What it costs
//!
//! Microseconds of a static release build on a machine of two cores, by the process's own clock: privileges 2, bounds 4,
//! Landlock 13, the filter 85 (15 to make it, 70 for the kernel to take it, most of that its look at each call in
//! advance), [`no_more_threads`] 2; about 100 in all. The whole process, from its start to its end, takes 180 longer, since
//! the kernel also has a filter to take away again. Without a key to judge, the trust store's files are opened for nothing:
//! some microseconds each.
//!
//! # What was left out
//!
//! - `RLIMIT_AS`: it counts address space that allocators only reserve, 128 MB for each thread of the GNU C library.
//!   `RLIMIT_DATA` counts what can be written to.
//! - `RLIMIT_FSIZE`: standard output is a file when a person says so, and the signal would end the run. That no file can
//!   be opened does the same.
//! - A rule for addresses: neither Landlock nor the filter can read them. The port is what can be had.
//! - Landlock's newer rights: the one over sockets with a path (ABI 9) would keep the log away.
//!
//! # What it does not keep from
//!
//! Who takes a run over can still speak to any service that listens on a socket with a path and answers the user
//! `eic-agent`, and to metadata's port on any address. A thread that waits for a file of a server that is gone is not
//! reached by Landlock, only by the filter; it has read nothing yet.

pub mod filter;

use std::fmt;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, LandlockStatus, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use nix::sys::prctl::{set_dumpable, set_no_new_privs};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Most bytes that a run may have to write to. Its own part stays below 32 MiB, and two stacks are reserved.
const MAX_DATA_BYTES: u64 = 64 * 1024 * 1024;

/// The same for each provider: a stack is reserved, and its answer may be kept twice while it grows.
const DATA_BYTES_OF_PROVIDER: u64 = 8 * 1024 * 1024;

/// Most open files: connections for every staple that is asked for, and a pipe for each provider, make half of it.
const MAX_OPEN_FILES: u64 = 128;

/// Which tiers hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Confinement {
    /// No new privileges, no core file, no other process that reads our memory.
    pub privileges: bool,
    /// Memory and open files.
    pub bounds: bool,
    /// Landlock, by the newest part that holds.
    pub landlock: Landlock,
    /// The system call filter.
    pub filter: bool,
}

/// How much of Landlock the kernel has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Landlock {
    /// Nothing.
    #[default]
    None,
    /// Files (ABI 1).
    Files,
    /// TCP ports as well (ABI 4).
    Ports,
    /// Signals and abstract sockets as well (ABI 6).
    Signals,
}

/// Confines this process for good, as far as the kernel can; of TCP it keeps connections to `ports`. To be called by
/// the only thread that there is.
#[must_use]
pub fn confine(ports: &[u16], providers: usize) -> Confinement {
    let no_new = set_no_new_privs().is_ok();
    let unreadable = set_dumpable(false).is_ok();
    let no_core = lower(Resource::RLIMIT_CORE, 0);
    let providers = u64::try_from(providers).unwrap_or(u64::MAX);
    let data = MAX_DATA_BYTES.saturating_add(DATA_BYTES_OF_PROVIDER.saturating_mul(providers));
    let memory = lower(Resource::RLIMIT_DATA, data);
    let files = lower(Resource::RLIMIT_NOFILE, MAX_OPEN_FILES);
    Confinement {
        privileges: no_new && unreadable && no_core,
        bounds: memory && files,
        landlock: landlock(ports).unwrap_or_default(),
        filter: filter::install(),
    }
}

/// From here on the process starts neither a thread nor another process. The kernel counts all processes of a user
/// together, so it is no bound to set while one thread is still to come: with as many logins at once it would be
/// refused.
pub fn no_more_threads() {
    lower(Resource::RLIMIT_NPROC, 0);
}

/// Lowers both the limit and what it could be raised to; false where the kernel does not.
fn lower(resource: Resource, to: u64) -> bool {
    getrlimit(resource).and_then(|(soft, hard)| setrlimit(resource, soft.min(to), hard.min(to))).is_ok()
}

/// No right is granted but to connect to the ports.
fn landlock(ports: &[u16]) -> Result<Landlock, RulesetError> {
    // Newer rights than these were never tried.
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
    /// Each tier in words, and whether it holds.
    fn tiers(self) -> [(&'static str, bool); 6] {
        [
            ("no new privileges", self.privileges),
            ("bounds", self.bounds),
            ("Landlock for files", self.landlock >= Landlock::Files),
            ("for TCP ports", self.landlock >= Landlock::Ports),
            ("for signals", self.landlock >= Landlock::Signals),
            ("a system call filter", self.filter),
        ]
    }
}

/// What holds, and what does not: `no new privileges, bounds, a system call filter; not here: Landlock for files, …`.
impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |held: bool| {
            let tiers = self.tiers().into_iter().filter(|(_, holds)| *holds == held);
            tiers.map(|(words, _)| words).collect::<Vec<_>>().join(", ")
        };
        match (words(true), words(false)) {
            (held, missing) if missing.is_empty() => f.write_str(&held),
            (held, missing) if held.is_empty() => write!(f, "not here: {missing}"),
            (held, missing) => write!(f, "{held}; not here: {missing}"),
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
            "no new privileges, bounds, Landlock for files, for TCP ports, for signals, a system call filter"
        );
        let old = Confinement { landlock: Landlock::None, ..whole };
        assert_eq!(
            old.to_string(),
            "no new privileges, bounds, a system call filter; not here: Landlock for files, for TCP ports, for signals"
        );
        assert!(Confinement::default().to_string().starts_with("not here: no new privileges, bounds, "));
    }
}
