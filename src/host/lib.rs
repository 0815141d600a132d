//! Access to this machine for `eic-agent`. This crate does not judge evidence, does not query the metadata
//! service and does not parse the command line. Callers pass values in.
//!
//! | module | holds |
//! | --- | --- |
//! | [`files`], [`stdout`], [`clock`] | bounded reads; standard output; the system clock |
//! | [`ownership`] | sshd's rule for trusted files |
//! | [`privileges`] | the change of this process's user |
//! | [`reach`] | whether a user can use a path |
//! | [`accounts`] | users, from `/etc/passwd` or the name service |
//! | [`process`] | other programs, run with a time limit |
//! | [`instance`] | EC2 detection, and the instance id |
//! | [`terminal`] | the width of a terminal |
//! | [`trust_store`] | the files that hold the root certificates |
//! | [`sshd`] | sshd: its effective configuration, its files, its processes |

// Allowed in tests in addition to the exceptions in clippy.toml: a panic is how a test fails.
#![cfg_attr(test, allow(clippy::string_slice, clippy::arithmetic_side_effects, clippy::unnecessary_wraps))]

pub mod accounts;
pub mod clock;
pub mod files;
pub mod instance;
pub mod ownership;
pub mod privileges;
pub mod process;
pub mod reach;
pub mod sshd;
pub mod stdout;
pub mod terminal;
pub mod trust_store;
