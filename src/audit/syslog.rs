//! syslog over `/dev/log`, for systems without the journal.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr};

use super::{Event, IDENT, Taken};

/// Facility `authpriv` (10), severity `info` (6): RFC 5424 section 6.2.1.
const PRIORITY: u8 = 10 * 8 + 6;

#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
}

/// A connection to the daemon. Neither kind ever waits.
enum Socket {
    Datagram(UnixDatagram),
    /// Where an older daemon listens on one.
    Stream(UnixStream),
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
        Taken::of(self.connect().and_then(|socket| socket.send(line(event))))
    }

    fn connect(&self) -> io::Result<Socket> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.path) {
            Ok(()) => Ok(Socket::Datagram(socket)),
            Err(error) if error.raw_os_error() == Some(nix::Error::EPROTOTYPE as i32) => {
                // std's connect would wait while the daemon accepts nobody.
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
    /// Sends the whole line, or fails.
    fn send(self, line: String) -> io::Result<()> {
        let mut bytes = line.into_bytes();
        let sent = match &self {
            Self::Datagram(socket) => socket.send(&bytes)?,
            Self::Stream(socket) => {
                // A NUL ends a line of a stream, as in syslog(3).
                bytes.push(0);
                // No second write for a rest: the connection is new, so what does not fit now will not fit soon.
                (&mut &*socket).write(&bytes)?
            }
        };
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

/// `<PRI>eic-agent[PID]: MESSAGE`, the form of RFC 3164 without a time stamp: the daemon stamps what it
/// receives, and needs to know nothing of our time zone.
fn line(event: &Event) -> String {
    format!("<{PRIORITY}>{IDENT}[{}]: {}", std::process::id(), event.message)
}
