//! Other running servers. Each has its own configuration and port, and is judged by itself.

use std::fmt;
use std::path::PathBuf;

use eic_host::sshd::listener::Listener;
use eic_host::sshd::server::CONFIG;
use eic_host::sshd::sockets::listening_ports;
use serde::Serialize;

use crate::advice::Reader;

use super::{Inspection, SshdState, shown};

/// Maximum number of other servers that are judged.
const MAX_SERVERS: usize = 8;

/// A running server that `enable` does not configure.
#[derive(Debug, Serialize)]
pub(crate) struct OtherServer {
    pid: u32,
    config: PathBuf,
    ports: Vec<u16>,
    /// Its `AuthorizedKeysCommand`. `None` if it is not set, or is unknown.
    command: Option<String>,
    user: Option<String>,
    /// Whether it runs this program.
    in_use: bool,
    /// Why it does not, or why this is unknown.
    problems: Vec<String>,
}

impl OtherServer {
    pub(crate) fn all(machine: &SshdState) -> Vec<Self> {
        machine.others.iter().take(MAX_SERVERS).map(|listener| Self::of(machine, listener)).collect()
    }

    fn of(machine: &SshdState, listener: &Listener) -> Self {
        let mut server = Self {
            pid: listener.pid,
            config: listener.config.clone().unwrap_or_else(|| CONFIG.into()),
            ports: listening_ports(listener.pid),
            command: None,
            user: None,
            in_use: false,
            problems: Vec::new(),
        };
        if let Err(why) = server.inspect(machine, listener) {
            server.problems.push(why);
        }
        server.in_use = server.problems.is_empty();
        server
    }

    fn inspect(&mut self, machine: &SshdState, listener: &Listener) -> Result<(), String> {
        let state = machine.of_other(listener.clone()).map_err(String::from)?;
        let inspection = Inspection::of(state, None).map_err(String::from)?;
        inspection.wired(|wired| {
            self.command.clone_from(&wired.running.command);
            self.user.clone_from(&wired.running.user);
            self.problems.extend(wired.faults()?.iter().map(ToString::to_string));
            Ok::<(), String>(())
        })?;
        self.problems.extend(inspection.machine.unclear());
        Ok(())
    }

    /// Changes the commands in its problems for this reader.
    pub(super) fn adapt(&mut self, reader: Reader) {
        for problem in &mut self.problems {
            *problem = reader.adapt(problem);
        }
    }

    /// For example `sshd (pid 88, port 2222, /etc/ssh/other_config)`.
    pub(super) fn name(&self) -> String {
        let ports: Vec<_> = self.ports.iter().map(u16::to_string).collect();
        let ports = match ports.len() {
            0 => String::new(),
            1 => format!(" port {},", ports.concat()),
            _ => format!(" ports {},", ports.join(" and ")),
        };
        format!("sshd (pid {},{ports} {})", self.pid, self.config.display())
    }
}

impl fmt::Display for OtherServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.first() {
            Some(problem) => write!(f, "{}: {problem}", self.name()),
            None => write!(f, "{}: in use, {}", self.name(), shown(self.command.as_deref())),
        }
    }
}
