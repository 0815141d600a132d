//! The sockets of the log, which the test reads.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// How long a line may take from its writer to the test. Both run on this machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// `/dev/log`: the lines of sshd and of the agent.
pub(crate) struct Syslog(Socket);

/// The journal's native socket: the agent's events, with their fields.
pub(crate) struct Journal(Socket);

/// A thread reads the socket all the time. If the queue were full, syslog(3) in sshd would wait, and the login with
/// it.
struct Socket {
    path: &'static str,
    seen: Arc<Mutex<Vec<String>>>,
}

/// The test sends this mark. When it has arrived, everything that was sent before has been read.
const MARK: &str = "that is all";

impl Socket {
    fn bind(path: &'static str) -> Self {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        let socket = UnixDatagram::bind(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&seen);
        // The thread ends with the test's process, which is the first process of the private instance.
        thread::spawn(move || {
            let mut buffer = vec![0; 1 << 18];
            while let Ok(length) = socket.recv(&mut buffer) {
                kept.lock().unwrap().push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            }
        });
        Self { path, seen }
    }

    /// Everything that was sent so far. Datagrams keep their order, so the mark comes last.
    fn seen(&self) -> Vec<String> {
        UnixDatagram::unbound().unwrap().send_to(MARK.as_bytes(), self.path).unwrap();
        self.wait_for(MARK);
        let mut seen = self.seen.lock().unwrap();
        seen.retain(|line| line != MARK);
        seen.clone()
    }

    fn wait_for(&self, part: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(found) = self.seen.lock().unwrap().iter().find(|line| line.contains(part)) {
                return found.clone();
            }
            assert!(started.elapsed() < TIMEOUT, "no {part} in {:#?}", self.seen.lock().unwrap());
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Syslog {
    pub(crate) fn bind() -> Self {
        Self(Socket::bind("/dev/log"))
    }

    /// The agent's lines so far. The prefix `<86>eic-agent[PID]: ` is checked and removed.
    pub(crate) fn agent_lines(&self) -> Vec<String> {
        self.0
            .seen()
            .iter()
            .filter_map(|line| {
                let rest = line.strip_prefix("<86>eic-agent[")?;
                let (pid, message) = rest.split_once("]: ")?;
                assert!(pid.bytes().all(|b| b.is_ascii_digit()), "{line}");
                Some(message.to_owned())
            })
            .collect()
    }

    /// The lines of sshd so far, with their prefixes.
    pub(crate) fn sshd_lines(&self) -> Vec<String> {
        let mut lines = self.0.seen();
        lines.retain(|line| line.contains(" sshd"));
        lines
    }

    /// Waits for a line of the agent or of sshd that contains `part`.
    pub(crate) fn wait_for(&self, part: &str) -> String {
        self.0.wait_for(part)
    }

    pub(crate) fn clear(&self) {
        self.0.seen();
        self.0.seen.lock().unwrap().clear();
    }
}

impl Journal {
    pub(crate) fn bind() -> Self {
        Self(Socket::bind("/run/systemd/journal/socket"))
    }

    /// All events so far, by field.
    pub(crate) fn events(&self) -> Vec<BTreeMap<String, String>> {
        let fields = |event: &String| {
            event
                .lines()
                .map(|line| line.split_once('=').unwrap())
                .map(|(k, v)| (k.into(), v.into()))
                .collect()
        };
        self.0.seen().iter().map(fields).collect()
    }
}
