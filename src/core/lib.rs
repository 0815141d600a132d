//! The pure half of `eic-agent`: judges what EC2 Instance Connect pushed to this instance.
//!
//! Functions take bytes and an instant and return values. Nothing here reads a file, the network, the environment or
//! the clock, starts a process or a thread, or logs: the crate is `no_std`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`evidence`] | bytes to parsed, untrusted values |
//! | [`verification`] | untrusted values to proof types |
//! | [`policy`] | this instance's own rules over proven keys |
//! | [`decision`] | evidence, expectations and an instant to accepted and refused keys; `authorized_keys` lines, from permitted keys only |
//! | [`key_options`] | the options before a key on its line |
//! | [`identity`], [`fingerprint`], [`time`], [`reason`], [`text`] | names, instants and reasons; untrusted text escaped |
//! | [`sessions`] | logins found in the log; only a `TrustedPush` counts as verified |
//! | [`audit_line`] | what the writer and the reader of our log lines share |
//! | [`order`] | one sort for all types |
//!
//! Of EC2 Instance Connect's keys, sshd receives a [`policy::PermittedKey`] and no other. Only [`policy::Policy::permit`] makes one, from a
//! [`verification::VerifiedKey`], which only a [`verification::VerifiedSigner`] makes. So the compiler keeps the order
//! of the checks.

#![cfg_attr(not(test), no_std)]
// Beyond what clippy.toml grants tests: a test that stops half-way has failed, which is its purpose.
#![cfg_attr(test, allow(clippy::string_slice, clippy::arithmetic_side_effects, clippy::unnecessary_wraps))]

extern crate alloc;

pub mod audit_line;
pub mod decision;
pub mod evidence;
pub mod fingerprint;
pub mod identity;
pub mod key_options;
pub mod order;
pub mod policy;
pub mod reason;
pub mod sessions;
pub mod text;
pub mod time;
pub mod verification;
