//! Moves bytes between the client's frames and the instance, in one thread and with bounded memory.
//!
//! Each direction holds one message at most. While it waits for its receiver, its sender is not read.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tungstenite::{Bytes, Error, Message, WebSocket};

use super::connection::{BUDGET, Client, finish};

/// The longest message of a client. AWS CLI 2 sends at most 65,000 bytes in a frame.
const LONGEST_MESSAGE: usize = 64 * 1024;
/// The most bytes of the instance in one message. It is less than rustls buffers.
const CHUNK: usize = 16 * 1024;
/// The pause after a budget of bytes that carry no data, such as empty frames.
const PAUSE: Duration = Duration::from_millis(100);
/// How many budgets of such bytes may follow each other. AWS CLI 2 sends empty frames without a pause when its input
/// has ended. With this number, the instance has six seconds to answer.
const IDLE_BUDGETS: u32 = 64;
/// How long the client has to answer a close frame.
const CLOSING: Duration = Duration::from_secs(5);

/// A tunnel.
pub(super) struct Relay {
    client: WebSocket<Client>,
    target: TcpStream,
    /// A part of a message that the instance has not received.
    to_target: Bytes,
    /// Whether the client has not received everything.
    to_client: bool,
    /// The end of the wait for the client's close frame.
    closing: Option<Instant>,
    ends: Instant,
    stall: Duration,
    /// When a receiver last took bytes.
    received: Instant,
    /// Whether data moved since the budget was full.
    is_busy: bool,
    idle_budgets: u32,
    /// The client is not read before this instant.
    resumes: Instant,
}

/// The end of a tunnel, for `?`.
struct Ended;

impl Relay {
    pub(super) fn new(
        mut client: Client,
        early: Vec<u8>,
        target: TcpStream,
        duration: Duration,
        stall: Duration,
    ) -> io::Result<Self> {
        client.sock.relay()?;
        target.set_nonblocking(true)?;
        target.set_nodelay(true)?;
        let now = Instant::now();
        Ok(Self {
            client: websocket(client, early),
            target,
            to_target: Bytes::new(),
            to_client: false,
            closing: None,
            ends: now + duration,
            stall,
            received: now,
            is_busy: true,
            idle_budgets: 0,
            resumes: now,
        })
    }

    /// Ends a tunnel that has no target. The client shows the reason.
    pub(super) fn close(client: Client, early: Vec<u8>, reason: &'static str) -> io::Result<()> {
        let mut client = websocket(client, early);
        drop(client.close(Some(CloseFrame { code: CloseCode::Error, reason: reason.into() })));
        finish(client.get_mut())
    }

    /// Moves bytes until one side ends, or a limit is reached.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            let now = Instant::now();
            match self.turn(now) {
                Ok(true) => {}
                Ok(false) => self.wait(now)?,
                Err(Ended) => break,
            }
        }
        drop(self.target.shutdown(Shutdown::Both));
        finish(self.client.get_mut())
    }

    /// Moves what can move now. False if there was nothing.
    fn turn(&mut self, now: Instant) -> Result<bool, Ended> {
        self.check_limits(now)?;
        let mut moved = self.write_target(now)?;
        moved |= self.flush_client(now)?;
        if self.reads_client(now) {
            moved |= self.read_client(now)?;
        }
        if self.reads_target() {
            moved |= self.read_target(now)?;
        }
        Ok(moved)
    }

    fn check_limits(&mut self, now: Instant) -> Result<(), Ended> {
        let is_stuck = self.to_client || !self.to_target.is_empty();
        if self.closing.is_some_and(|end| now >= end) || is_stuck && now >= self.received + self.stall {
            return Err(Ended);
        }
        if now >= self.ends {
            self.say_goodbye(CloseCode::Normal, "The tunnel has reached its longest duration", now);
        }
        Ok(())
    }

    fn reads_client(&self, now: Instant) -> bool {
        self.to_target.is_empty() && now >= self.resumes
    }

    fn reads_target(&self) -> bool {
        !self.to_client && self.closing.is_none()
    }

    fn write_target(&mut self, now: Instant) -> Result<bool, Ended> {
        if self.to_target.is_empty() {
            return Ok(false);
        }
        match self.target.write(&self.to_target) {
            Ok(0) => Err(Ended),
            Ok(written) => {
                drop(self.to_target.split_to(written));
                self.received = now;
                Ok(true)
            }
            Err(error) if is_for_later(&error) => Ok(false),
            Err(_) => {
                self.say_goodbye(CloseCode::Normal, "", now);
                Ok(true)
            }
        }
    }

    fn flush_client(&mut self, now: Instant) -> Result<bool, Ended> {
        if !self.to_client {
            return Ok(false);
        }
        let before = self.client.get_ref().sock.written;
        let result = self.client.flush();
        let moved = self.client.get_ref().sock.written != before;
        if moved {
            self.received = now;
        }
        match result {
            Ok(()) => {
                self.to_client = false;
                Ok(true)
            }
            Err(Error::Io(error)) if is_for_later(&error) => Ok(moved),
            Err(_) => Err(Ended),
        }
    }

    fn read_client(&mut self, now: Instant) -> Result<bool, Ended> {
        match self.client.read() {
            Ok(Message::Binary(data)) if !data.is_empty() => {
                self.data_moved();
                if self.closing.is_none() {
                    self.to_target = data;
                    self.received = now;
                }
            }
            // The library answers a ping.
            Ok(Message::Ping(_)) => self.has_sent(now),
            Ok(Message::Binary(_) | Message::Pong(_) | Message::Frame(_)) => {}
            Ok(Message::Text(_)) => self.say_goodbye(CloseCode::Unsupported, "Send binary frames", now),
            Ok(Message::Close(_)) => {
                self.closing.get_or_insert(now + CLOSING);
                self.has_sent(now);
            }
            Err(Error::Io(error)) if is_for_later(&error) => return self.refill(now),
            Err(Error::Capacity(_)) if self.closing.is_none() => {
                self.say_goodbye(CloseCode::Size, "The frame is too long", now);
                return self.leave(now);
            }
            Err(Error::Protocol(_)) if self.closing.is_none() => {
                self.say_goodbye(CloseCode::Protocol, "The frame is not valid", now);
                return self.leave(now);
            }
            Err(_) => return Err(Ended),
        }
        Ok(true)
    }

    /// The client's bytes cannot be read any more, so the tunnel does not wait for its close frame.
    fn leave(&mut self, now: Instant) -> Result<bool, Ended> {
        self.flush_client(now)?;
        Err(Ended)
    }

    /// Gives a used budget back: at once if data moved, or else after a pause.
    fn refill(&mut self, now: Instant) -> Result<bool, Ended> {
        let budget = &mut self.client.get_mut().sock.budget;
        if *budget > 0 {
            return Ok(false);
        }
        *budget = BUDGET;
        if std::mem::take(&mut self.is_busy) {
            return Ok(true);
        }
        self.idle_budgets += 1;
        if self.idle_budgets > IDLE_BUDGETS {
            self.say_goodbye(CloseCode::Policy, "Too many frames without data", now);
            return self.leave(now);
        }
        self.resumes = now + PAUSE;
        Ok(false)
    }

    fn data_moved(&mut self) {
        (self.is_busy, self.idle_budgets) = (true, 0);
    }

    fn read_target(&mut self, now: Instant) -> Result<bool, Ended> {
        let mut chunk = [0; CHUNK];
        match self.target.read(&mut chunk) {
            Ok(0) => self.say_goodbye(CloseCode::Normal, "", now),
            Ok(read) => {
                self.data_moved();
                let data = Bytes::copy_from_slice(chunk.get(..read).unwrap_or_default());
                let sent = self.client.send(Message::Binary(data));
                self.sent(sent, now)?;
            }
            Err(error) if is_for_later(&error) => return Ok(false),
            Err(_) => self.say_goodbye(CloseCode::Normal, "", now),
        }
        Ok(true)
    }

    fn sent(&mut self, result: Result<(), Error>, now: Instant) -> Result<(), Ended> {
        match result {
            Ok(()) => Ok(()),
            Err(Error::Io(error)) if is_for_later(&error) => {
                self.has_sent(now);
                Ok(())
            }
            Err(_) => Err(Ended),
        }
    }

    /// The client may not have received everything.
    fn has_sent(&mut self, now: Instant) {
        if !self.to_client {
            (self.to_client, self.received) = (true, now);
        }
    }

    /// Sends a close frame, and stops the instance's direction. A second call has no effect.
    fn say_goodbye(&mut self, code: CloseCode, reason: &'static str, now: Instant) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some(now + CLOSING);
        self.to_target = Bytes::new();
        drop(self.target.shutdown(Shutdown::Both));
        // An error means that the client cannot take the frame now, or has gone.
        drop(self.client.close(Some(CloseFrame { code, reason: reason.into() })));
        self.has_sent(now);
    }

    /// Waits until something can move, or a limit is reached.
    fn wait(&self, now: Instant) -> io::Result<()> {
        let mut until = self.closing.unwrap_or(self.ends);
        if self.to_client || !self.to_target.is_empty() {
            until = until.min(self.received + self.stall);
        }
        if self.resumes > now {
            until = until.min(self.resumes);
        }
        // A descriptor of which nothing is wanted is left out. It would report a hang-up again and again.
        let mut wanted = Vec::new();
        let client = flags(self.reads_client(now), self.to_client);
        if !client.is_empty() {
            wanted.push(PollFd::new(self.client.get_ref().sock.as_fd(), client));
        }
        let target = flags(self.reads_target(), !self.to_target.is_empty());
        if !target.is_empty() {
            wanted.push(PollFd::new(self.target.as_fd(), target));
        }
        // The next millisecond, so that the limit has passed after the wait.
        let left = until.saturating_duration_since(now) + Duration::from_millis(1);
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut wanted, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn websocket(client: Client, early: Vec<u8>) -> WebSocket<Client> {
    let config = WebSocketConfig::default()
        .read_buffer_size(CHUNK)
        .write_buffer_size(0)
        .max_write_buffer_size(2 * LONGEST_MESSAGE)
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE));
    WebSocket::from_partially_read(client, early, Role::Server, Some(config))
}

fn flags(read: bool, write: bool) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::POLLIN, read);
    flags.set(PollFlags::POLLOUT, write);
    flags
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
