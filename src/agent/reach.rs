//! The hidden subcommands `reach`, `run-as` and `connects`: root runs this program as another user, with all groups of that
//! user. And `answers`, which reads files in a process of its own, because a silent file server blocks the reader.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eic_core::audit_line::IDENT;
use eic_host::files::head_of_regular;
use eic_host::privileges::become_user;
use eic_host::process::output_with_timeout;
use eic_host::reach::{Obstacle, Use, try_path};
use eic_host::stdout::write_once;

use crate::cli::{AnswersArgs, ConnectsArgs, ReachArgs, RunAsArgs, UserIds};
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

/// How long a file system may take to answer.
const SILENCE: Duration = Duration::from_secs(5);

/// Maximum number of bytes of a file that `answers` reads. The largest file of roots has some hundred kilobytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Maximum number of files of a folder that `answers` reads.
const MAX_FILES: usize = 1000;

/// `answers`: reads each file, and each file of a folder. An error is an answer, too.
pub(super) fn run_answers(arguments: &AnswersArgs) -> Outcome {
    for path in &arguments.paths {
        let _ = head_of_regular(path, MAX_BYTES);
        let files = std::fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
        for file in files.take(MAX_FILES) {
            let _ = head_of_regular(&file.path(), MAX_BYTES);
        }
    }
    Outcome::Done
}

/// The first of these paths whose file system is silent. Another process tries it, because a process that waits for a
/// silent file server can neither continue nor change its user.
pub(super) fn silent(paths: &[PathBuf]) -> Option<Obstacle> {
    let is_silent = |paths: &[PathBuf]| {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(IDENT).arg("answers").arg("--").args(paths);
        output_with_timeout(&mut command, SILENCE)
            .is_err_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
    };
    if paths.is_empty() || !is_silent(paths) {
        return None;
    }
    let found = match paths {
        [only] => Some(only),
        many => many.iter().find(|path| is_silent(std::slice::from_ref(*path))),
    };
    found.map(|path| silence_of(path))
}

/// The words about a path that is silent.
pub(super) fn silence_of(path: &Path) -> Obstacle {
    Obstacle::silent(path, SILENCE)
}
