//! This machine, as `eic-agent` needs to know it. Nothing here judges evidence, speaks to the metadata service or knows
//! the command line: values are passed in.
//!
//! | module | holds |
//! | --- | --- |
//! | [`files`], [`stdout`], [`clock`] | reads without waiting; one write; the instant |
//! | [`ownership`] | sshd's rule for files that it trusts |
//! | [`accounts`] | users and groups of `/etc/passwd` |
//! | [`process`] | other programs of the system, run within a bound |
//! | [`instance`] | EC2 detection, and the instance id |
//! | [`trust_store`] | the files that the roots are read from |
//! | [`sshd`] | this machine's sshd: its effective configuration, its files, its processes |

// Beyond what clippy.toml grants tests: a test that stops half-way has failed, which is its purpose.
#![cfg_attr(test, allow(clippy::string_slice, clippy::arithmetic_side_effects, clippy::unnecessary_wraps))]

pub mod accounts;
pub mod clock;
pub mod files;
pub mod instance;
pub mod ownership;
pub mod process;
pub mod sshd;
pub mod stdout;
pub mod trust_store;
