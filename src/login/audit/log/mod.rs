//! The log sockets: journald's and syslog's. Sending never blocks.

mod journal;
mod syslog;

use std::io;

pub(in crate::audit) use journal::JournalSocket;
pub(in crate::audit) use syslog::SyslogSocket;

/// An event: its line, and the same content as fields for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::audit) struct LogEvent {
    /// The log line.
    pub(in crate::audit) message: String,
    /// Names and values of the journal fields.
    pub(in crate::audit) fields: Vec<(&'static str, String)>,
}

/// The result of sending an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) enum SendStatus {
    /// The event is in the daemon's queue.
    Queued,
    /// The daemon's queue is full.
    QueueFull,
    /// No daemon listens.
    NoDaemon,
}

impl SendStatus {
    fn of(sent: io::Result<()>) -> Self {
        match sent {
            Ok(()) => Self::Queued,
            // A full queue of a Unix datagram socket gives EAGAIN. ENOBUFS means that the kernel has too little
            // memory.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Self::QueueFull,
            Err(error) if error.raw_os_error() == Some(nix::Error::ENOBUFS as i32) => Self::QueueFull,
            Err(_) => Self::NoDaemon,
        }
    }
}
