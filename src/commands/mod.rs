//! The subcommands, one file each: the only place where the steps are put in order.

mod authorized_keys;
mod capture;
mod config;
mod confinement;
mod doctor;
mod environment;
mod explain;
mod gather;
mod lost;
mod openssh;
mod placement;
mod replay;
mod sessions;
mod stapling;
mod tokens;
mod verify;
mod wiring;

use std::io::Write;
use std::time::{Instant, SystemTime};

use nix::sys::stat::{Mode, umask};

use crate::cli::{Cli, Command};
use crate::providers::supervise;
use crate::time::Timestamp;

/// How a run ended; `main` makes the exit status of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Finished, with or without a key. Status 0.
    Done,
    /// No decision could be made (`verify`: no key was accepted; `config`: a fault). Status 1.
    Undecided,
    /// The command line is wrong, or an input that it names cannot be read. Status 2.
    Usage,
    /// Another command is in force and was left alone (`enable`). Status 3.
    LeftAlone,
    /// What a supervised provider ended with.
    Provider(u8),
}

impl Outcome {
    /// The status to exit with.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Undecided => 1,
            Self::Usage => 2,
            Self::LeftAlone => 3,
            Self::Provider(status) => status,
        }
    }
}

/// The clock of a run, read once: the instant of the judgement is that reading and the time since, so that
/// a key does not outlive its minute while metadata is slow.
#[derive(Debug, Clone, Copy)]
struct Clock {
    started: Timestamp,
    since: Instant,
}

impl Clock {
    fn now(&self) -> Timestamp {
        self.started.later(self.since.elapsed().as_secs())
    }
}

/// Whether this is one of the commands about sshd that root runs by hand.
const fn is_by_hand(command: &Command) -> bool {
    matches!(
        command,
        Command::Doctor(_)
            | Command::Explain(_)
            | Command::Enable(_)
            | Command::Disable(_)
            | Command::Status(_)
    )
}

/// Runs a command: what is asked for goes to `out`, what a person should read to `notes`.
pub fn run(cli: &Cli, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    if is_by_hand(&cli.command) {
        // What the caller's shell takes from new files is the caller's; what is run below has sshd's own umask.
        let _ = umask(Mode::from_bits_truncate(0o022));
    }
    let clock = Clock { started: Timestamp::from(SystemTime::now()), since: Instant::now() };
    match &cli.command {
        Command::AuthorizedKeys(arguments) => authorized_keys::run(arguments, clock, out, notes),
        Command::Verify(arguments) => verify::run(arguments, clock.started, out, notes),
        Command::Doctor(arguments) => doctor::run(arguments, clock, out, notes),
        Command::Explain(arguments) => explain::run(arguments, clock, out, notes),
        Command::Capture(arguments) => capture::run(arguments, clock, out, notes),
        Command::Sessions(arguments) => sessions::run(arguments, clock.started, out, notes),
        Command::Config(arguments) => config::run(arguments, out, notes),
        Command::Enable(arguments) => wiring::enable(arguments, out, notes),
        Command::Disable(_) => wiring::disable(out, notes),
        Command::Status(arguments) => wiring::status(arguments, out, notes),
        Command::Confinement => confinement::run(out, notes),
        Command::Placement => placement::run(clock, out, notes),
        Command::Supervise(arguments) => {
            match supervise(&arguments.program, &arguments.command, arguments.timeout) {
                Ok(status) => Outcome::Provider(status),
                Err(error) => {
                    let _ = writeln!(notes, "eic-agent: {error}");
                    Outcome::Provider(127)
                }
            }
        }
    }
}
