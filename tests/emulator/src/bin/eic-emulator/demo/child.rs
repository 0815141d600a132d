//! Runs other programs, and ends all of them on Ctrl-C.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long one program may run.
const TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);

/// A flag that SIGINT, SIGTERM or SIGHUP sets. Every wait of the demo checks it.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Installs the signal handlers. From then on, these signals only set the flag.
    pub(crate) fn listen() -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        Ok(Self(flag))
    }

    /// Fails if a signal has arrived.
    pub(crate) fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
        }
        Ok(())
    }

    /// Sleeps between two checks of a polled condition.
    pub(crate) fn pause(&self) -> io::Result<()> {
        std::thread::sleep(POLL);
        self.check()
    }
}

/// The result of a program that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) success: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

/// Runs a program to its end. Its standard input is empty.
pub(crate) fn run(command: &mut Command, interrupt: &Interrupt) -> io::Result<Finished> {
    let start = Instant::now();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut group = Group::spawn(command)?;
    let stdout = group.child.stdout.take().map(collect);
    let stderr = group.child.stderr.take().map(collect);
    let status = loop {
        if let Some(status) = group.child.try_wait()? {
            break status;
        }
        if start.elapsed() > TIMEOUT {
            let program = command.get_program().to_string_lossy().into_owned();
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{program} did not end in time")));
        }
        interrupt.pause()?;
    };
    let took = start.elapsed();
    let text = |reader: Option<JoinHandle<Vec<u8>>>| {
        let bytes = reader.and_then(|reader| reader.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Ok(Finished { success: status.success(), stdout: text(stdout), stderr: text(stderr), took })
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // On an error, show the bytes that were read before it.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A program and its children, in their own process group. Ctrl-C on the terminal therefore signals the demo only, and
/// the demo ends its programs in the right order. Dropping the value ends the whole group.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
}

impl Group {
    pub(crate) fn spawn(command: &mut Command) -> io::Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).spawn();
        Ok(Self {
            child: child.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?,
        })
    }

    /// Whether the program has ended.
    pub(crate) fn is_finished(&mut self) -> io::Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    fn signal(&self, signal: Signal) {
        // An error means that the group has already ended.
        let _ = i32::try_from(self.child.id()).map(|id| killpg(Pid::from_raw(id), signal));
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        self.signal(Signal::SIGTERM);
        let start = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if start.elapsed() > Duration::from_secs(2) {
                self.signal(Signal::SIGKILL);
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(POLL);
        }
    }
}
