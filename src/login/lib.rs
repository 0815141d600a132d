//! One run of `eic-agent authorized-keys`, which sshd starts.
//!
//! ```text
//! arguments -> run -> imds -> fetch -> evidence -> verification -> policy -> decision -> audit -> stdout
//!                     token   bytes    parsed,     proven          permitted            logged   printed
//!                                      untrusted
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`run`] | the run: the only module that orders the steps |
//! | [`config`] | the settings: command line before file before defaults |
//! | [`imds`] | the metadata session: token, bounded requests, deadline, retries |
//! | [`fetch`] | the evidence, in as few requests as possible |
//! | [`memory`] | what a run remembers for the runs of the next minute |
//! | [`environment`] | whether sshd permits the variables that the settings request |
//! | [`session_wrapper`] | whether a session can have the wrapper; the wrapper itself, which runs as the user |
//! | [`providers`] | other providers, each under a supervisor |
//! | [`privileges`], [`confinement`] | dropping root; the limits of a run before it reads foreign data |
//! | [`audit`] | the log lines for auditors and operators |
//!
//! # A run
//!
//! [`run`] starts the providers, reads the settings, drops root's privileges, opens the trust store and confines
//! the process. Only then does a thread query the metadata service and decide. The main thread waits for it no
//! longer than the deadline. So neither a peer that keeps the network code busy nor a wait in the kernel can delay
//! sshd. The main thread logs and prints the result. It sends each line to the log before it writes the key.

// Allowed in tests in addition to the exceptions in clippy.toml: a panic is how a test fails.
#![cfg_attr(test, allow(clippy::string_slice, clippy::arithmetic_side_effects, clippy::unnecessary_wraps))]

pub mod audit;
pub mod config;
pub mod confinement;
pub mod environment;
pub mod fetch;
pub mod imds;
pub mod memory;
pub mod privileges;
pub mod providers;
pub mod run;
pub mod session_wrapper;

use std::time::Instant;

use eic_core::time::Timestamp;

/// The clock of a run, read once. The time of the decision is this reading plus the elapsed time. So a key that
/// expires while the metadata service is slow is refused.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Timestamp,
    since: Instant,
}

impl Clock {
    /// Reads the clock.
    #[must_use]
    pub fn start() -> Self {
        Self { started: eic_host::clock::now(), since: Instant::now() }
    }

    /// The time at the start of the run.
    #[must_use]
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// The instant at the start of the run.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.started.later(self.since.elapsed().as_secs())
    }
}
