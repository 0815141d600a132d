//! What sshd runs, and nothing else: one run of `eic-agent authorized-keys`.
//!
//! ```text
//! arguments -> run -> imds -> fetch -> evidence -> verification -> policy -> decision -> audit -> stdout
//!                     token   bytes    parsed,     proven          permitted            logged   printed
//!                                      untrusted
//! ```
//!
//! | module | holds |
//! | --- | --- |
//! | [`run`] | the run: the only place where its steps are put in order |
//! | [`config`] | the settings: the command line over the file over the defaults |
//! | [`imds`] | the metadata session: token, bounded requests, deadline, retries |
//! | [`fetch`] | the evidence, in as few requests as it takes |
//! | [`environment`] | whether sessions will have the variables that the settings ask for |
//! | [`providers`] | other providers, each under a supervisor |
//! | [`privileges`], [`confinement`] | root's rights given up; what a run cannot do once it reads foreign bytes |
//! | [`audit`] | the lines for auditors and operators |
//!
//! # A run
//!
//! [`run`] starts the providers, reads the settings, gives up root's rights, opens the trust store and confines the
//! process. Only then a thread asks metadata and judges. The main thread waits for it no longer than the deadline, so
//! neither a peer that keeps the network code busy nor a wait in the kernel can hold sshd up. The main thread logs and
//! prints the result: it offers each line to the log before it writes the key.

// Beyond what clippy.toml grants tests: a test that stops half-way has failed, which is its purpose.
#![cfg_attr(test, allow(clippy::string_slice, clippy::arithmetic_side_effects, clippy::unnecessary_wraps))]

pub mod audit;
pub mod config;
pub mod confinement;
pub mod environment;
pub mod fetch;
pub mod imds;
pub mod privileges;
pub mod providers;
pub mod run;

use std::time::Instant;

use eic_core::time::Timestamp;

/// The clock of a run, read once. The instant of the judgement is the first reading plus elapsed time, so that a key that
/// expires while metadata is slow is refused.
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

    /// The instant that the clock showed at the start.
    #[must_use]
    pub const fn started(&self) -> Timestamp {
        self.started
    }

    /// When the clock was read.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// The instant now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.started.later(self.since.elapsed().as_secs())
    }
}
