//! `capture`: saves all answers of the metadata service in one file.

pub mod document;
mod fetch;
pub(crate) mod replay;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use eic_core::audit_line::IDENT;
use eic_core::text::one_line;
use eic_host::instance::Machine;
use eic_login::Clock;
use eic_login::config::CommandLine;
use eic_login::privileges::give_up_root;
use nix::fcntl::OFlag;

use crate::cli;
use crate::outcome::Outcome;
use crate::settings;

pub(crate) use fetch::{CaptureRequest, Fetched, fetch, milliseconds};

pub(super) fn run(
    arguments: &cli::CaptureArgs,
    clock: Clock,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    match capture(arguments, clock) {
        Ok(said) => {
            let _ = writeln!(out, "{}", one_line(&said));
            Outcome::Done
        }
        Err(why) => {
            let _ = writeln!(notes, "{IDENT}: {}", one_line(&why));
            Outcome::Undecided
        }
    }
}

fn capture(arguments: &cli::CaptureArgs, clock: Clock) -> Result<String, String> {
    let settings = settings::resolve(&CommandLine::default()).map_err(|error| error.to_string())?;
    // Another cloud's service may answer at the metadata address.
    let machine = Machine::detect(Path::new("/sys"));
    if machine == Machine::NotEc2 {
        return Err("this machine is not an EC2 instance: there is nothing to capture".to_owned());
    }
    // Create the file while we may still be root. Answers from the network are read without root's rights.
    let file = make(&arguments.file).map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    let fetched = give_up_root().map(|()| {
        fetch(&CaptureRequest {
            endpoints: &settings.endpoints(),
            allowed: settings.timeout.value,
            machine: &machine,
            users: &arguments.user,
            now: clock.started(),
        })
    });
    let filled =
        fetched.map_err(|error| error.to_string()).and_then(|fetched| fill(file, arguments, fetched));
    filled.inspect_err(|_| {
        // This can fail, because after root's rights are given up the directory may not be writable.
        let _ = std::fs::remove_file(&arguments.file);
    })?
}

/// Writes the file. The inner error means that the service gave no token. The file is written then too, and contains
/// that error.
fn fill(
    mut file: File,
    arguments: &cli::CaptureArgs,
    fetched: Fetched,
) -> Result<Result<String, String>, String> {
    let capture = if arguments.redact { fetched.capture.redact() } else { fetched.capture };
    let text = capture.to_json().map_err(|error| error.to_string())?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| format!("{}: {error}", arguments.file.display()))?;
    if let Some(error) = fetched.refused {
        let file = arguments.file.display();
        return Ok(Err(format!("{}: {error}; {file} contains this error", error.reason())));
    }
    let users: Vec<_> = replay::users(&capture).iter().map(ToString::to_string).collect();
    let of = if users.is_empty() { "no keys".to_owned() } else { format!("keys of {}", users.join(", ")) };
    Ok(Ok(format!("wrote {}: {} items, {of}", arguments.file.display(), capture.items.len())))
}

/// Creates a file that only its owner can read. Fails if the path exists, also as a symbolic link.
fn make(path: &Path) -> std::io::Result<File> {
    let flags = OFlag::O_NOFOLLOW.bits();
    OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)
}
