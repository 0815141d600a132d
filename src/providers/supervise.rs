//! One provider's supervisor: a process of its own, under the provider's user.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Runs `command` in a process group of its own and ends the group when `allowed` has passed, so that a
/// provider that hangs leaves nothing behind. Gives the status to exit with: the provider's, or as a shell
/// tells of a signal.
pub fn supervise(command: &[OsString], allowed: Duration) -> io::Result<u8> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut child = Command::new(program).args(arguments).stdin(Stdio::null()).process_group(0).spawn()?;
    let group = i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)?;
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new().spawn(move || {
        let _ = sender.send(child.wait());
    })?;
    let ended = receiver.recv_timeout(allowed);
    // Also what the provider itself has left running.
    let _ = killpg(group, Signal::SIGKILL);
    let status = match ended {
        Ok(status) => status?,
        Err(_) => receiver.recv().map_err(io::Error::other)??,
    };
    let code = status.code().or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}
