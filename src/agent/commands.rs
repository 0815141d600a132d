//! Runs the subcommand that the command line names.

use std::io::Write;

use eic_login::Clock;
use eic_login::providers::supervise;
use eic_login::session_wrapper::session;
use nix::sys::stat::{Mode, umask};

use crate::cli::{Cli, Command};
use crate::outcome::Outcome;
use crate::{
    capture, config, confinement, doctor, explain, host_keys, placement, reach, rules_test, sessions,
    sshd_setup, verify, whoami,
};

/// Whether this is one of the commands that inspect or change sshd's setup.
const fn is_by_hand(command: &Command) -> bool {
    matches!(
        command,
        Command::Doctor(_)
            | Command::Explain(_)
            | Command::HostKeys(_)
            | Command::Enable(_)
            | Command::Disable(_)
            | Command::Status(_)
    )
}

/// Runs a command. The result goes to `out`, and messages for people go to `notes`.
pub fn run(cli: &Cli, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    if is_by_hand(&cli.command) {
        // These commands write files and start programs, and the caller's umask must not matter for that. sshd also
        // forbids write access by the group and by others (OpenSSH sshd.c).
        let _ = umask(Mode::from_bits_truncate(0o022));
    }
    let clock = Clock::start();
    match &cli.command {
        Command::AuthorizedKeys(arguments) => eic_login::run::run(&arguments.run(), clock, out, notes).into(),
        Command::Verify(arguments) => verify::run(arguments, clock.started(), out, notes),
        Command::Doctor(arguments) => doctor::run(arguments, clock, out, notes),
        Command::Explain(arguments) => explain::run(arguments, clock, out, notes),
        Command::Capture(arguments) => capture::run(arguments, clock, out, notes),
        Command::Sessions(arguments) => sessions::run(arguments, clock.started(), out, notes),
        Command::Whoami(arguments) => whoami::run(arguments, clock.started(), out, notes),
        Command::HostKeys(arguments) => host_keys::run(arguments, out, notes),
        Command::Config(arguments) => config::run(arguments, out, notes),
        Command::Rules(arguments) => rules_test::run(arguments, clock.started(), out, notes),
        Command::Enable(arguments) => sshd_setup::enable(arguments, out, notes),
        Command::Disable(_) => sshd_setup::disable(out, notes),
        Command::Status(arguments) => sshd_setup::status(arguments, out, notes),
        Command::Confinement => confinement::run(out, notes),
        Command::Reach(arguments) => reach::run(arguments, out, notes),
        Command::Answers(arguments) => reach::run_answers(arguments),
        Command::RunAs(arguments) => reach::run_as(arguments, notes),
        Command::Connects(arguments) => reach::run_connects(arguments),
        Command::Placement => placement::run(clock, out, notes),
        Command::Session(arguments) => {
            let _ = writeln!(notes, "eic-agent: {}", session::run(&arguments.run()));
            Outcome::Undecided
        }
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
