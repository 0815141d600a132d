//! Verifies the SSH keys that EC2 Instance Connect pushed to this instance, without I/O.
//!
//! Functions take bytes and an instant and return values. This crate does not read files, the network, the environment
//! or the clock. It does not start processes or threads, and it does not log. The crate is `no_std`.
//!
//! | module | holds |
//! | --- | --- |
//! | [`evidence`] | parsers: bytes to untrusted values |
//! | [`verification`] | untrusted values to proof types |
//! | [`policy`] | this instance's own rules for verified keys |
//! | [`decision`] | from evidence, expectations and an instant to accepted and refused keys; writes `authorized_keys` lines for permitted keys only |
//! | [`key_options`] | the options before a key on its line |
//! | [`identity`], [`fingerprint`], [`time`], [`reason`], [`text`] | names, instants and reasons; escapes untrusted text |
//! | [`instance_facts`] | what an export says about its instance |
//! | [`sessions`] | logins found in the log; only a `TrustedPush` counts as verified |
//! | [`audit_line`] | the format of our log lines, shared by the writer and the reader |
//! | [`order`] | one sort for all types |
//!
//! sshd receives only keys of the type [`policy::PermittedKey`] from EC2 Instance Connect. Only
//! [`policy::Policy::permit`] makes one, from a [`verification::VerifiedKey`]. Only a [`verification::VerifiedSigner`]
//! makes a `VerifiedKey`. So the compiler enforces the order of the checks.

#![cfg_attr(not(test), no_std)]
// Allowed in tests in addition to the exceptions in clippy.toml: a panic is how a test fails.
#![cfg_attr(test, allow(clippy::string_slice, clippy::arithmetic_side_effects, clippy::unnecessary_wraps))]

extern crate alloc;

pub mod audit_line;
pub mod decision;
pub mod evidence;
pub mod fingerprint;
pub mod identity;
pub mod instance_facts;
pub mod key_options;
pub mod order;
pub mod policy;
pub mod reason;
pub mod sessions;
pub mod text;
pub mod time;
pub mod verification;
