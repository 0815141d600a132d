//! Other programs of this system, asked within a bound.

use std::io::{self, Read};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Where programs that are named without a folder are looked for.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Most that is taken of what a program prints, in bytes, on each of its two outputs.
const MAX_BYTES: u64 = 1024 * 1024;

/// Runs the program with nothing of our environment, and gives what it said; one that has not ended after
/// `allowed` is killed, which is an error of kind [`io::ErrorKind::TimedOut`]. One that says too much gets
/// no reader for the rest.
pub fn ask(program: &mut Command, allowed: Duration) -> io::Result<Output> {
    program.env_clear().env("PATH", PATH).env("LC_ALL", "C");
    let mut child = program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new().spawn(move || {
        let aside = std::thread::Builder::new().spawn(move || head(err));
        let stdout = head(out);
        let stderr = aside.ok().and_then(|aside| aside.join().ok()).unwrap_or_default();
        let _ = sender.send(child.wait().map(|status| Output { status, stdout, stderr }));
    })?;
    receiver.recv_timeout(allowed).unwrap_or_else(|_| {
        // It was not waited for yet, so the number is still its own.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end after {} s", allowed.as_secs())))
    })
}

fn head(source: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(source) = source {
        // What came before a fault is worth having.
        let _ = source.take(MAX_BYTES).read_to_end(&mut bytes);
    }
    bytes
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
        let loud = ask(&mut Command::new("yes"), Duration::from_secs(60)).unwrap();
        assert_eq!((loud.stdout.len(), loud.status.success()), (1024 * 1024, false));
        let late = ask(Command::new("sleep").arg("600"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            ask(&mut Command::new("/does/not/exist"), Duration::from_secs(1)).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
