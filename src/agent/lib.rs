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
//! | [`commands`] | the dispatch to the subcommands |
//! | `advice` | commands in messages, for root or for an operator |
//! | `sshd_setup` | `enable`, `disable`, `status`: this machine's sshd, and our lines in its configuration |
//! | `doctor`, `explain` | diagnosis, and what to do about each fault |
//! | `verify`, [`capture`] | verification of evidence from files; all answers of metadata as one document |
//! | `settings` | reads the settings without waiting for a silent file server
//! | [`config`] | the settings as people see them, and the pins that `enable` writes |
//! | `rules_test` | which rule decides about a push, without a key |
//! | `sessions` | logins found in the log |
//! | `whoami` | who pushed the key of a session |
//! | `instance_facts` | what an export says about its instance |
//! | `metadata` | requests to the metadata service |
//! | `host_keys` | this host's public keys, for clients |
//! | [`layout`] | width and colours of what people read |
//!
//! In these comments, *a run* is one run of `authorized-keys`, as sshd starts it for a login (see [`eic_login`]).
//!
//! # Threats
//!
//! An attacker who controls the answers of the metadata service cannot add a key. The agent accepts a key only with a
//! signature for this instance by AWS's signer for the region. The region is pinned in the settings, or read from
//! metadata. Such an attacker can withhold keys, and the agent cannot prevent that.
//!
//! A principal who may push keys can log in with each key for a minute. Such a principal cannot make the agent refuse
//! the keys of others: the agent decides each entry of a bundle separately, up to
//! [`MAX_ENTRIES`](eic_core::evidence::key_bundle::MAX_ENTRIES). If the agent fails, sshd continues with its other
//! methods.
//!
//! The agent trusts the kernel and its firmware tables, the trust store, and root. It also trusts the clock. For the
//! dates of staples, the clock may be wrong by [`CLOCK_SKEW`](eic_core::verification::CLOCK_SKEW) seconds.

// Tests may panic: a panic is a failed test. `.clippy.toml` allows more for tests.
#![cfg_attr(test, allow(clippy::string_slice, clippy::arithmetic_side_effects, clippy::unnecessary_wraps))]

mod advice;
pub mod capture;
pub mod cli;
pub mod commands;
pub mod config;
mod confinement;
mod doctor;
mod environment;
mod explain;
mod host_keys;
mod instance_facts;
pub mod layout;
mod metadata;
mod outcome;
mod placement;
mod reach;
mod rules_test;
mod run_memory;
mod run_user;
mod sessions;
mod settings;
mod sshd_setup;
mod verify;
mod whoami;
