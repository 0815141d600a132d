//! The supervisor of one provider: its own process, with the provider's user.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _, parent_id};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Interval at which the supervisor checks that its parent still exists.
const LOOK: Duration = Duration::from_millis(100);

/// Time after the deadline at which the supervisor kills the provider. By then, the run has logged the timeout and
/// ended. If both happened at once, the log might give the supervisor's kill as the reason.
const SLACK: Duration = Duration::from_secs(2);

/// Time limit for the end of a killed process group.
const LAST: Duration = Duration::from_secs(1);

/// Runs `program` in its own process group, with the first word of `command` as its name. Kills the group two
/// seconds after `allowed`, or when the parent process is gone. So a provider that hangs leaves no process behind.
///
/// Returns the exit status: the provider's, or 128 plus the signal's number as in a shell.
pub fn supervise(program: &Path, command: &[OsString], allowed: Duration) -> io::Result<u8> {
    let Some((name, arguments)) = command.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = parent_id();
    let mut command = Command::new(program);
    command.arg0(name).args(arguments).stdin(Stdio::null()).process_group(0);
    // Create the waiting thread first. Without it, the provider must not start.
    let (sender, receiver) = sync_channel(2);
    std::thread::Builder::new().spawn(move || match command.spawn() {
        Ok(mut child) => {
            let _ = sender.send(ChildEvent::Started(child.id()));
            let _ = sender.send(ChildEvent::Ended(child.wait()));
        }
        Err(error) => {
            let _ = sender.send(ChildEvent::Ended(Err(error)));
        }
    })?;
    let group = match receiver.recv().map_err(io::Error::other)? {
        ChildEvent::Started(id) => Pid::from_raw(i32::try_from(id).map_err(io::Error::other)?),
        ChildEvent::Ended(ended) => return ended.map(status_of),
    };
    let ended = wait(&receiver, parent, allowed.saturating_add(SLACK));
    // This also ends processes that the provider has left running.
    let _ = killpg(group, Signal::SIGKILL);
    let ended = ended.or_else(|| wait(&receiver, parent_id(), LAST));
    ended.unwrap_or(Err(io::ErrorKind::TimedOut.into())).map(status_of)
}

enum ChildEvent {
    Started(u32),
    Ended(io::Result<ExitStatus>),
}

/// Waits for the end. Returns `None` if the time is over or the parent has changed.
fn wait(receiver: &Receiver<ChildEvent>, parent: u32, allowed: Duration) -> Option<io::Result<ExitStatus>> {
    let end = Instant::now().checked_add(allowed)?;
    loop {
        let remaining = end.saturating_duration_since(Instant::now());
        match receiver.recv_timeout(remaining.min(LOOK)) {
            Ok(ChildEvent::Ended(ended)) => return Some(ended),
            Ok(ChildEvent::Started(_)) => {}
            Err(RecvTimeoutError::Timeout) if !remaining.is_zero() && parent_id() == parent => {}
            Err(_) => return None,
        }
    }
}

fn status_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| signal.saturating_add(128)));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
