//! The hidden subcommands `reach`, `run-as` and `connects`: root runs this program as another user, with all groups of that
//! user.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use eic_core::audit_line::IDENT;
use eic_host::privileges::become_user;
use eic_host::reach::{Use, try_path};
use eic_host::stdout::write_once;

use crate::cli::{ConnectsArgs, ReachArgs, RunAsArgs, UserIds};
use crate::outcome::Outcome;

/// `reach`: tries to use a path as that user, and prints what stopped it as JSON.
pub(super) fn run(arguments: &ReachArgs, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    let Some(need) = Use::parse(&arguments.need) else { return Outcome::Usage };
    let said = become_one(&arguments.user).map(|()| try_path(&arguments.path, need));
    let written = said.and_then(|tried| {
        let text = serde_json::to_string(&tried).map_err(|error| error.to_string())?;
        write_once(text.as_bytes(), out).map_err(|error| error.to_string())
    });
    match written {
        Ok(()) => Outcome::Done,
        Err(why) => refused(&why, notes),
    }
}

/// `run-as`: becomes that user, and then becomes the program.
pub(super) fn run_as(arguments: &RunAsArgs, notes: &mut impl Write) -> Outcome {
    let Some((program, words)) = arguments.command.split_first() else { return Outcome::Usage };
    if let Err(why) = become_one(&arguments.user) {
        return refused(&why, notes);
    }
    let error = Command::new(program).args(words).exec();
    refused(&format!("cannot be run: {error}"), notes)
}

fn refused(why: &str, notes: &mut impl Write) -> Outcome {
    let _ = writeln!(notes, "{IDENT}: {why}");
    Outcome::Undecided
}

fn become_one(user: &UserIds) -> Result<(), String> {
    become_user(user.uid, user.gid, &user.groups.0)
}

/// `connects`: whether one of these addresses accepts a connection. Nothing is sent, and nothing is read.
pub(super) fn run_connects(arguments: &ConnectsArgs) -> Outcome {
    if arguments.addresses.iter().any(connects) { Outcome::Done } else { Outcome::Undecided }
}

/// Timeout of one connect. The service is a hop away at most, and the kernel repeats a lost packet after a second.
const TIMEOUT: Duration = Duration::from_millis(1200);

/// Whether this address accepts a connection.
pub(super) fn connects(address: &SocketAddr) -> bool {
    TcpStream::connect_timeout(address, TIMEOUT).is_ok()
}
