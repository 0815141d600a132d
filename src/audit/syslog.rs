//! syslog over `/dev/log`, for systems without the journal.

use std::fmt::Display;
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use syslog::{Facility, LogFormat, Logger, LoggerBackend, Severity};

use super::{Event, IDENT};

#[derive(Debug)]
pub(super) struct Syslog {
    path: PathBuf,
}

impl Syslog {
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Sends the event, or loses it where that would mean waiting: with `syslog(3)`, a daemon that has
    /// stopped reading stops every login.
    pub(super) fn send(&self, event: &Event) {
        let Ok(socket) = UnixDatagram::unbound() else { return };
        if socket.set_nonblocking(true).is_err() || socket.connect(&self.path).is_err() {
            return;
        }
        let format = Line { facility: Facility::LOG_AUTHPRIV, pid: std::process::id() };
        let mut logger = Logger::new(LoggerBackend::Unix(socket), format);
        let _ = logger.info(&event.message);
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
