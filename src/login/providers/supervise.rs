//! One provider's supervisor: a process of its own, under the provider's user.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _, parent_id};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often the supervisor looks whether anybody still waits for the answer.
const LOOK: Duration = Duration::from_millis(100);

/// How long after the deadline a provider is ended by us: by then, whoever waits for it has said that it was late
/// and is gone. Were both to end at once, the log might have our kill for the reason.
const SLACK: Duration = Duration::from_secs(2);

/// How long a group that was killed may take to be gone.
const LAST: Duration = Duration::from_secs(1);

/// Runs `program`, called as the first of `command`, in a process group of its own, and ends the group when
/// `allowed` is well past or whoever started us is gone, so that a provider that hangs leaves nothing behind.
/// Gives the status to exit with: the provider's, or as a shell tells of a signal.
pub fn supervise(program: &Path, command: &[OsString], allowed: Duration) -> io::Result<u8> {
    let Some((name, arguments)) = command.split_first() else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = parent_id();
    let mut command = Command::new(program);
    command.arg0(name).args(arguments).stdin(Stdio::null()).process_group(0);
    // The waiting thread comes first: a provider that nobody waits for must not be started.
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
    // Also what the provider itself has left running.
    let _ = killpg(group, Signal::SIGKILL);
    let ended = ended.or_else(|| wait(&receiver, parent_id(), LAST));
    ended.unwrap_or(Err(io::ErrorKind::TimedOut.into())).map(status_of)
}

enum ChildEvent {
    Started(u32),
    Ended(io::Result<ExitStatus>),
}

/// Waits for the end; none when the time is over or the parent is another one than it was.
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
