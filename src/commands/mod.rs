//! The subcommands, one file each: the only place where the steps are put in order.

mod authorized_keys;
mod gather;
mod verify;

use std::io::Write;
use std::time::SystemTime;

use crate::cli::{Cli, Command};
use crate::time::Timestamp;

/// How a run ended; `main` makes the exit status of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Finished, with or without a key. Status 0.
    Done,
    /// No decision could be made (`verify`: no key was accepted). Status 1.
    Undecided,
    /// The command line is wrong, or an input that it names cannot be read. Status 2.
    Usage,
}

/// Runs a command: what is asked for goes to `out`, what a person should read to `notes`.
pub fn run(cli: &Cli, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    // The one reading of the clock: everything in this run is judged at this instant.
    let now = Timestamp::from(SystemTime::now());
    match &cli.command {
        Command::AuthorizedKeys(arguments) => authorized_keys::run(arguments, now, out, notes),
        Command::Verify(arguments) => verify::run(arguments, now, out, notes),
    }
}
