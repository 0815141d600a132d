//! `eic-emulator run`.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use eic_emulator::Emulator;
use eic_emulator::directory::TempDir;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use super::ready::Ready;
use super::serve::{Options, ready};

#[derive(Args)]
pub(crate) struct Run {
    /// Use the emulator that runs with `serve --state DIR` [default: one for this command]
    #[arg(long, value_name = "DIR", conflicts_with = "options")]
    attach: Option<PathBuf>,
    /// The user whose access key the command gets: any name [default: demo], or a section of the credentials file
    /// [default: default]
    #[arg(long = "as", value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    options: Options,
    /// The command with its arguments
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(self) -> io::Result<ExitCode> {
        let mut words = self.command.iter();
        let program = words.next().ok_or_else(|| io::Error::other("there is no command"))?;
        let failed = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", program.to_string_lossy()))
        };
        let mut command = Command::new(program);
        command.args(words);
        let user = self.user.as_deref();
        if let Some(directory) = &self.attach {
            Ready::read(directory)?.prepare(&mut command, user)?;
            return Err(failed(command.exec()));
        }
        let directory = TempDir::new("eic-emulator")?;
        let credentials = self.options.credentials_file()?;
        let emulator = Emulator::start(self.options.config(None)?)?;
        ready(&emulator, directory.path(), credentials.as_deref())?.prepare(&mut command, user)?;
        // The terminal sends these signals to the command, too. The emulator waits for its end.
        for signal in [SIGINT, SIGQUIT] {
            signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
        }
        let mut signals = Signals::new([SIGHUP, SIGTERM])?;
        let mut child = command.spawn().map_err(failed)?;
        let pid = Pid::from_raw(i32::try_from(child.id()).map_err(io::Error::other)?);
        let handle = signals.handle();
        let passing = std::thread::spawn(move || {
            for signal in signals.forever() {
                // An error means that the command has just ended.
                let _ = Signal::try_from(signal).and_then(|signal| kill(pid, signal));
            }
        });
        let status = child.wait()?;
        handle.close();
        drop(passing.join());
        Ok(exit_code(status))
    }
}

/// The status as a shell reports it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let number = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(number).map_or(ExitCode::FAILURE, ExitCode::from)
}
