//! syslog over `/dev/log`, for systems without the journal.

use std::fmt::Display;
use std::io::{self, Write};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};

use eic_core::audit_line::IDENT;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr};
use syslog::{Facility, LogFormat, Severity};

use super::{LogEvent, SendStatus};

/// The socket of a syslog daemon.
#[derive(Debug)]
pub(in crate::audit) struct SyslogSocket {
    path: PathBuf,
}

/// A connection to the daemon. Neither kind blocks.
enum Socket {
    Datagram(UnixDatagram),
    /// For older daemons that listen on a stream socket.
    Stream(UnixStream),
}

impl SyslogSocket {
    /// Uses the socket at this path.
    pub(in crate::audit) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The path, if a daemon listens on the socket. Sends nothing.
    pub(in crate::audit) fn is_there(&self) -> Option<&Path> {
        let is_there = match self.connect() {
            Ok(_) => true,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        is_there.then_some(&self.path)
    }

    /// Sends the event without blocking. `syslog(3)` blocks: with it, a daemon that stopped reading would stop
    /// every login.
    pub(in crate::audit) fn send(&self, event: &LogEvent) -> SendStatus {
        SendStatus::of(self.connect().and_then(|socket| socket.send(line(event)?)))
    }

    fn connect(&self) -> io::Result<Socket> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.path) {
            Ok(()) => Ok(Socket::Datagram(socket)),
            Err(error) if error.raw_os_error() == Some(nix::Error::EPROTOTYPE as i32) => {
                // std's connect would block while the daemon accepts no connection.
                let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
                let stream = nix::sys::socket::socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
                nix::sys::socket::connect(stream.as_raw_fd(), &UnixAddr::new(&self.path)?)?;
                Ok(Socket::Stream(UnixStream::from(stream)))
            }
            Err(error) => Err(error),
        }
    }
}

impl Socket {
    /// Sends the whole line, or returns an error.
    fn send(self, mut bytes: Vec<u8>) -> io::Result<()> {
        let sent = match &self {
            Self::Datagram(socket) => socket.send(&bytes)?,
            Self::Stream(socket) => {
                // A NUL ends each line on a stream, as in syslog(3).
                bytes.push(0);
                // Do not write the rest: the connection is new, so its buffer will not have room soon.
                (&mut &*socket).write(&bytes)?
            }
        };
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// `<PRI>eic-agent[PID]: MESSAGE`, the format of RFC 3164 without a time stamp. The daemon adds the time, so the
/// agent does not need the time zone.
#[derive(Clone)]
struct SyslogLine {
    facility: Facility,
    pid: u32,
}

impl<T: Display> LogFormat<T> for SyslogLine {
    fn format<W: Write>(&self, out: &mut W, severity: Severity, message: T) -> syslog::Result<()> {
        let priority = self.facility as u8 | severity as u8;
        write!(out, "<{priority}>{IDENT}[{}]: {message}", self.pid).map_err(syslog::Error::Write)
    }
}

/// Formats an event. The crate's own sender is not used, because it reports success if a stream accepted only a
/// part of the line.
fn line(event: &LogEvent) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let format = SyslogLine { facility: Facility::LOG_AUTHPRIV, pid: std::process::id() };
    match format.format(&mut line, Severity::LOG_INFO, &event.message) {
        Ok(()) => Ok(line),
        Err(syslog::Error::Write(error) | syslog::Error::Io(error)) => Err(error),
        Err(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}
