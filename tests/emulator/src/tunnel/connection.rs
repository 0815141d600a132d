//! The client's connection below TLS, with limits of time and of bytes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};
use rustls::{ServerConnection, StreamOwned};

/// TLS over the client's connection.
pub(super) type Client = StreamOwned<ServerConnection, Connection>;

/// How many bytes a client may send without a pause unless they carry data. A message of the longest size, in TLS, is
/// shorter.
pub(super) const BUDGET: usize = 128 * 1024;
/// How long the end of a connection waits for bytes that are still under way.
const LINGER: Duration = Duration::from_secs(1);
/// How often the end of a connection reads: 8 MiB, more than the kernel's buffer has.
const LINGER_READS: usize = 512;
/// A client that has vanished answers no probe, and the kernel then ends the connection: seconds until the first probe,
/// between probes, and their number.
const PROBES: (u32, u32, u32) = (60, 20, 3);

/// A connection that first has a deadline, and then a budget.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    /// The deadline of blocking calls. `None` after [`relay`](Self::relay).
    until: Option<Instant>,
    /// How many bytes may still be read. Without a budget, a read would block.
    pub(super) budget: usize,
    /// How many bytes were written.
    pub(super) written: u64,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, until: Instant) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        setsockopt(&stream, sockopt::KeepAlive, &true)?;
        setsockopt(&stream, sockopt::TcpKeepIdle, &PROBES.0)?;
        setsockopt(&stream, sockopt::TcpKeepInterval, &PROBES.1)?;
        setsockopt(&stream, sockopt::TcpKeepCount, &PROBES.2)?;
        Ok(Self { stream, until: Some(until), budget: 0, written: 0 })
    }

    /// The first byte, which stays unread. `None` means that the client has sent none and closed.
    pub(super) fn peek(&self) -> io::Result<Option<u8>> {
        self.stream.set_read_timeout(Some(self.time_left()?))?;
        let mut first = [0];
        Ok((self.stream.peek(&mut first)? > 0).then_some(first[0]))
    }

    /// From here on, calls do not block, and a budget limits reading.
    pub(super) fn relay(&mut self) -> io::Result<()> {
        self.until = None;
        self.budget = BUDGET;
        self.stream.set_nonblocking(true)
    }

    /// Closes this direction, and reads what the client has sent. If bytes were unread, the client would lose the last
    /// answer.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        self.stream.set_nonblocking(false)?;
        let until = Instant::now() + LINGER;
        let mut sink = [0; 16 * 1024];
        for _ in 0..LINGER_READS {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.stream.set_read_timeout(Some(left))?;
            if self.stream.read(&mut sink)? == 0 {
                break;
            }
        }
        Ok(())
    }

    fn time_left(&self) -> io::Result<Duration> {
        let left = self.until.map_or(LINGER, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// Ends TLS and the connection.
pub(super) fn finish(client: &mut Client) -> io::Result<()> {
    client.conn.send_close_notify();
    client.flush()?;
    client.sock.end()
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.until.is_some() {
            self.stream.set_read_timeout(Some(self.time_left()?))?;
            return self.stream.read(buffer);
        }
        if self.budget == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let room = buffer.len().min(self.budget);
        let read = self.stream.read(buffer.get_mut(..room).unwrap_or_default())?;
        self.budget = self.budget.saturating_sub(read);
        Ok(read)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.until.is_some() {
            self.stream.set_write_timeout(Some(self.time_left()?))?;
        }
        let written = self.stream.write(bytes)?;
        self.written = self.written.saturating_add(u64::try_from(written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
