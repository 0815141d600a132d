//! `eic-agent` hands sshd the SSH keys that EC2 Instance Connect pushed to this instance, after proving each one.
//!
//! The program is built from four crates. Dependencies point one way:
//!
//! ```text
//! src/agent   ->   src/login   ->   src/host   ->   src/core
//! (the binary)     (what sshd runs) (this machine)  (pure judgement)
//! ```
//!
//! This crate holds the command line and what people run:
//!
//! | module | holds |
//! | --- | --- |
//! | [`cli`] | the command line, and the names that the program may be called by |
//! | [`commands`] | which subcommand runs |
//! | `sshd_setup` | `enable`, `disable`, `status`: this machine's sshd, and our lines in its configuration |
//! | `doctor`, `explain` | what is wrong, and what to do |
//! | `verify`, [`capture`] | evidence from files; everything that metadata said, as one document |
//! | [`config`] | the settings as people see them, and the pins that `enable` writes |
//! | `sessions` | who came in, by the log |
//!
//! # Threats
//!
//! Whoever can answer in place of the metadata service, or change its answers on the way, must not be able
//! to let anybody in: nothing that it says is believed without the signature of AWS's signer for the
//! region, for this very instance. The region is the one that the settings pin, and else the one that metadata tells. It can always keep pushed keys away; nobody can stop that from here.
//! Whoever may push keys must not get more than a login for a minute, nor keep others from theirs: entries
//! are judged one by one, and bounded. Any fault of ours costs EC2 Instance Connect's keys and nothing
//! else: sshd goes on to its other means, after no more than the deadline.
//!
//! Trusted are the kernel and its firmware tables, the trust store, the clock to within
//! [`eic_core::verification::CLOCK_SKEW`] for staples, and root.

// Beyond what clippy.toml grants tests: a test that stops half-way has failed, which is its purpose.
#![cfg_attr(test, allow(clippy::string_slice, clippy::arithmetic_side_effects, clippy::unnecessary_wraps))]

pub mod capture;
pub mod cli;
pub mod commands;
pub mod config;
mod confinement;
mod doctor;
mod environment;
mod explain;
mod outcome;
mod placement;
mod sessions;
mod sshd_setup;
mod verify;
