//! One connection, with the operations that a misbehaving server needs.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{setsockopt, sockopt};

/// Signals that the server stops. Every wait inside the server then ends.
#[derive(Debug, Default)]
pub struct StopSignal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

impl StopSignal {
    /// Ends every current and later wait.
    pub fn stop(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Whether the server stops.
    pub fn is_stopped(&self) -> bool {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `duration`. Returns false early if the server stops.
    pub fn wait(&self, duration: Duration) -> bool {
        let until = Instant::now() + duration;
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            stopped = self.changed.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }
}

/// A connection that a fault controls. The server closes it when the fault's function returns.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    stop: Arc<StopSignal>,
    /// The connection's number on its server, from 1.
    pub connection: u64,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, stop: Arc<StopSignal>, connection: u64) -> Self {
        Self { stream, stop, connection }
    }

    /// Sends these bytes.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends the bytes one by one, with a pause after each.
    pub fn drip(&mut self, bytes: &[u8], interval: Duration) -> io::Result<()> {
        for byte in bytes {
            self.send(&[*byte])?;
            self.pause(interval)?;
        }
        Ok(())
    }

    /// Sends the same bytes repeatedly until the client closes the connection or the server stops.
    pub fn flood(&mut self, bytes: &[u8]) -> io::Result<()> {
        while !self.stop.is_stopped() {
            self.send(bytes)?;
        }
        Ok(())
    }

    /// Waits for `duration`. Fails if the server stops during the wait.
    pub fn pause(&self, duration: Duration) -> io::Result<()> {
        if self.stop.wait(duration) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
    }

    /// Sends nothing until the client closes the connection or the server stops.
    pub fn hold(&mut self) -> io::Result<()> {
        self.stream.set_read_timeout(None)?;
        let mut sink = [0; 1024];
        while self.stream.read(&mut sink)? > 0 {}
        Ok(())
    }

    /// Closes the server's direction. The client then reads an end of file.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Makes the following close send a reset (RST) instead of a FIN.
    pub fn reset(&self) -> io::Result<()> {
        let at_once = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        Ok(setsockopt(&self.stream, sockopt::Linger, &at_once)?)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}
