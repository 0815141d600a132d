//! Runs other programs of this system with a time limit.

use std::fs::File;
use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Search path for programs that are named without a folder.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// Maximum number of bytes that are read from each of a program's two outputs.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// Runs the program in `/` with a clean environment and returns its output.
///
/// Reads at most [`MAX_BYTES`] of each output, and then closes the pipe. A program that runs longer than
/// `allowed` is killed. That is an error of kind [`io::ErrorKind::TimedOut`].
pub fn output_with_timeout(program: &mut Command, allowed: Duration) -> io::Result<Output> {
    let mut child = start(program, Stdio::null())?;
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
        // The thread sends the result right after its `wait`. So while there is no result, the process id still
        // belongs to the child.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("timed out after {} s", allowed.as_secs())))
    })
}

fn start(program: &mut Command, input: Stdio) -> io::Result<Child> {
    // The current folder may belong to another user, and sshd resolves relative names against it.
    program.env_clear().env("PATH", PATH).env("LC_ALL", "C").current_dir("/");
    program.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

/// Limit of unread output: at most `PIECES` pieces of at most `PIECE` bytes.
const PIECES: usize = 4;
const PIECE: usize = 64 * 1024;

/// A running program whose output is read while it runs. The length of the output is unlimited.
#[derive(Debug)]
pub struct StreamingChild {
    child: Child,
    pieces: Receiver<io::Result<Vec<u8>>>,
    piece: io::Cursor<Vec<u8>>,
    errors: JoinHandle<Vec<u8>>,
    timeout: Duration,
}

/// Starts the program in `/` with a clean environment, for reading. If the program prints nothing for `timeout`,
/// the read is an error of kind [`io::ErrorKind::TimedOut`].
pub fn listen(program: &mut Command, input: Option<File>, timeout: Duration) -> io::Result<StreamingChild> {
    let mut child = start(program, input.map_or_else(Stdio::null, Stdio::from))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (sender, pieces) = sync_channel(PIECES);
    std::thread::Builder::new().spawn(move || {
        let Some(mut out) = out else { return };
        loop {
            let mut piece = vec![0; PIECE];
            let read = out.read(&mut piece).map(|length| {
                piece.truncate(length);
                piece
            });
            let is_last = read.as_ref().map_or(true, Vec::is_empty);
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    })?;
    let errors = std::thread::Builder::new().spawn(move || head(err))?;
    Ok(StreamingChild { child, pieces, piece: io::Cursor::default(), errors, timeout })
}

impl Read for StreamingChild {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.piece.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        match self.pieces.recv_timeout(self.timeout) {
            Ok(piece) => {
                self.piece = io::Cursor::new(piece?);
                self.piece.read(buffer)
            }
            // The reader thread has sent everything and has ended.
            Err(RecvTimeoutError::Disconnected) => Ok(0),
            Err(RecvTimeoutError::Timeout) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no output for {} s", self.timeout.as_secs()),
            )),
        }
    }
}

impl StreamingChild {
    /// Waits for the program to end. Returns its exit status and its standard error. Read all output first.
    pub fn end(mut self) -> io::Result<(ExitStatus, Vec<u8>)> {
        let status = self.child.wait()?;
        Ok((status, self.errors.join().unwrap_or_default()))
    }

    /// Kills the program before it has ended. Returns its standard error.
    #[must_use]
    pub fn stop(mut self) -> Vec<u8> {
        // The kill fails if the program runs as root and this process has dropped root. Then the program ends
        // when it writes to the closed pipe.
        let killed = self.child.kill();
        drop(self.pieces);
        if killed.is_err() {
            return Vec::new();
        }
        let _ = self.child.wait();
        self.errors.join().unwrap_or_default()
    }
}

fn head(source: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(source) = source {
        // Output from before a read error is still useful.
        let _ = source.take(MAX_BYTES).read_to_end(&mut bytes);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_output_is_read_while_the_program_runs() {
        let minute = Duration::from_secs(60);
        let script = |text| listen(Command::new("sh").args(["-c", text]), None, minute).unwrap();
        let mut speaker = script("head -c 3000000 /dev/zero; echo why >&2; exit 4");
        assert_eq!(io::copy(&mut speaker, &mut io::sink()).unwrap(), 3_000_000);
        let (status, errors) = speaker.end().unwrap();
        assert_eq!((status.code(), errors), (Some(4), b"why\n".to_vec()));
        let mut endless = listen(&mut Command::new("yes"), None, minute).unwrap();
        endless.read_exact(&mut vec![0; 100_000]).unwrap();
        assert_eq!(endless.stop(), b"");
        let mut silent = listen(Command::new("sleep").arg("600"), None, Duration::from_millis(50)).unwrap();
        assert_eq!(silent.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(silent.stop(), b"");
        let file = File::open("/proc/self/status").unwrap();
        let mut said = String::new();
        listen(&mut Command::new("cat"), Some(file), minute).unwrap().read_to_string(&mut said).unwrap();
        assert!(said.starts_with("Name:"), "{said}");
    }

    #[test]
    fn program_that_hangs_is_killed() {
        let said = output_with_timeout(
            Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]),
            Duration::from_secs(60),
        );
        let said = said.unwrap();
        assert_eq!(
            (said.stdout, said.stderr, said.status.code()),
            (b"out\n".into(), b"err\n".into(), Some(3))
        );
        let loud = output_with_timeout(&mut Command::new("yes"), Duration::from_secs(60)).unwrap();
        assert_eq!((loud.stdout.len(), loud.status.success()), (1024 * 1024, false));
        let late =
            output_with_timeout(Command::new("sleep").arg("600"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        assert_eq!(
            output_with_timeout(&mut Command::new("/does/not/exist"), Duration::from_secs(1))
                .unwrap_err()
                .kind(),
            io::ErrorKind::NotFound
        );
    }
}
