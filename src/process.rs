//! Other programs of this system, asked within a bound.

use std::io;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where programs that are named without a folder are looked for.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs the program with nothing of our environment, and gives what it said; one that has not ended after
/// `allowed` is killed, which is an error of kind [`io::ErrorKind::TimedOut`].
pub fn ask(program: &mut Command, allowed: Duration) -> io::Result<Output> {
    program.env_clear().env("PATH", PATH).env("LC_ALL", "C");
    let child = program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new().spawn(move || {
        let _ = sender.send(child.wait_with_output());
    })?;
    receiver.recv_timeout(allowed).unwrap_or_else(|_| {
        // It was not waited for yet, so the number is still its own.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end after {} s", allowed.as_secs())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_ended() {
        let said =
            ask(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]), Duration::from_secs(60));
        let said = said.unwrap();
        assert_eq!(
            (said.stdout, said.stderr, said.status.code()),
            (b"out\n".into(), b"err\n".into(), Some(3))
        );
        let late = ask(Command::new("sleep").arg("600"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            ask(&mut Command::new("/does/not/exist"), Duration::from_secs(1)).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
