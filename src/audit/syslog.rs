//! syslog over `/dev/log`, for systems without the journal.

use std::fmt::Display;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr};
use syslog::{Facility, LogFormat, Logger, LoggerBackend, Severity};

use super::{Event, IDENT, Taken};

#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
}

impl Syslog {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where a daemon listens there. Nothing is sent.
    pub(super) fn is_there(&self) -> Option<&Path> {
        let is_there = match self.connect() {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        is_there.then_some(&self.path)
    }

    /// Sends the event without ever waiting: with `syslog(3)`, a daemon that has stopped reading stops every
    /// login.
    pub(super) fn send(&self, event: &Event) -> Taken {
        let backend = match self.connect() {
            Ok(backend) => backend,
            Err(error) => return Taken::of(Err(error)),
        };
        let format = Line { facility: Facility::LOG_AUTHPRIV, pid: std::process::id() };
        match Logger::new(backend, format).info(&event.message) {
            Ok(()) => Taken::Yes,
            Err(syslog::Error::Write(error) | syslog::Error::Io(error)) => Taken::of(Err(error)),
            Err(_) => Taken::No,
        }
    }

    /// A datagram socket, or, where an older daemon listens on one, a stream.
    fn connect(&self) -> io::Result<LoggerBackend> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.path) {
            Ok(()) => Ok(LoggerBackend::Unix(socket)),
            Err(error) if error.raw_os_error() == Some(nix::Error::EPROTOTYPE as i32) => {
                // std's connect would wait while the daemon accepts nobody.
                let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
                let stream = nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
                nix::sys::socket::connect(stream.as_raw_fd(), &UnixAddr::new(&self.path)?)?;
                Ok(LoggerBackend::UnixStream(BufWriter::new(UnixStream::from(stream))))
            }
            Err(error) => Err(error),
        }
    }
}

/// `<PRI>eic-agent[PID]: MESSAGE`, the form of RFC 3164 without a time stamp: the daemon stamps what it
/// receives, and needs to know nothing of our time zone.
#[derive(Clone)]
struct Line {
    facility: Facility,
    pid: u32,
}

impl<T: Display> LogFormat<T> for Line {
    fn format<W: Write>(&self, out: &mut W, severity: Severity, message: T) -> syslog::Result<()> {
        let priority = self.facility as u8 | severity as u8;
        // One write is one datagram.
        let line = format!("<{priority}>{IDENT}[{}]: {message}", self.pid);
        out.write_all(line.as_bytes()).map_err(syslog::Error::Write)
    }
}
