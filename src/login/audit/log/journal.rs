//! The journal's native protocol: one datagram of `FIELD=value` lines (systemd.io, "Native Journal Protocol").

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use eic_core::audit_line::IDENT;

use super::{LogEvent, SendStatus};

/// `LOG_INFO` and `LOG_AUTHPRIV` (RFC 5424 section 6.2.1).
const PRIORITY: &str = "6";
const FACILITY: &str = "10";

/// journald's socket for native messages.
#[derive(Debug)]
pub(in crate::audit) struct JournalSocket {
    path: PathBuf,
}

impl JournalSocket {
    /// Uses the socket at this path.
    pub(in crate::audit) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The path, if a daemon listens on the socket. Sends nothing.
    pub(in crate::audit) fn is_there(&self) -> Option<&Path> {
        let connected = UnixDatagram::unbound().and_then(|socket| socket.connect(&self.path));
        connected.is_ok().then_some(&self.path)
    }

    /// Sends the event to journald without blocking.
    pub(in crate::audit) fn send(&self, event: &LogEvent) -> SendStatus {
        SendStatus::of(UnixDatagram::unbound().and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to(&datagram(event), &self.path).map(|_| ())
        }))
    }
}

fn datagram(event: &LogEvent) -> Vec<u8> {
    let pid = std::process::id().to_string();
    let common = [
        ("MESSAGE", event.message.as_str()),
        ("PRIORITY", PRIORITY),
        ("SYSLOG_FACILITY", FACILITY),
        ("SYSLOG_IDENTIFIER", IDENT),
        ("SYSLOG_PID", pid.as_str()),
    ];
    let own = event.fields.iter().map(|(name, value)| (*name, value.as_str()));
    let mut text = String::new();
    for (name, value) in common.into_iter().chain(own) {
        // The values are printable ASCII already. A newline would start another field.
        text.push_str(name);
        text.push('=');
        text.extend(value.chars().filter(|c| !c.is_control()));
        text.push('\n');
    }
    text.into_bytes()
}
