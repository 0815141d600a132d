//! The log sockets of this machine: the journal's own, and syslog's. Sending never waits.

mod journal;
mod syslog;

use std::io;

pub(in crate::audit) use journal::JournalSocket;
pub(in crate::audit) use syslog::SyslogSocket;

/// An event: its line, and the same again in fields for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::audit) struct LogEvent {
    /// The line.
    pub(in crate::audit) message: String,
    /// Names and values.
    pub(in crate::audit) fields: Vec<(&'static str, String)>,
}

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) enum SendStatus {
    /// It is in the daemon's queue.
    Queued,
    /// The queue is full.
    QueueFull,
    /// No daemon listens.
    NoDaemon,
}

impl SendStatus {
    fn of(sent: io::Result<()>) -> Self {
        match sent {
            Ok(()) => Self::Queued,
            // A full queue of a Unix datagram socket is EAGAIN; ENOBUFS is the kernel short of memory.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::QueueFull,
            Err(error) if error.raw_os_error() == Some(nix::Error::ENOBUFS as i32) => Self::QueueFull,
            Err(_) => Self::NoDaemon,
        }
    }
}
