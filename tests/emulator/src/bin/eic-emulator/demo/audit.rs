//! Reads the agent's audit lines from the log of this machine.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::child::{Interrupt, run};

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";
/// The files to which syslog daemons write the facility `authpriv`.
const FILES: [&str; 4] = ["/var/log/auth.log", "/var/log/secure", "/var/log/messages", "/var/log/syslog"];
/// How long the demo waits for a line of the agent to appear in the log.
const TIMEOUT: Duration = Duration::from_secs(10);
const IDENT: &str = "eic-agent";

/// The most symbolic links that the demo follows.
const MAX_LINKS: usize = 8;

/// The source of the audit lines.
pub(crate) enum Audit {
    /// systemd's journal, after this cursor.
    Journal(Option<String>),
    /// The files of a syslog daemon, each with its length at the start of the demo.
    Files(Vec<(PathBuf, u64)>),
    /// The machine has no log daemon, so the demo listens on the log socket.
    Own(OwnSocket),
}

impl Audit {
    pub(crate) fn open(interrupt: &Interrupt) -> io::Result<Self> {
        if is_read(Path::new(JOURNAL)) {
            return Ok(Self::Journal(journal_cursor(interrupt)?));
        }
        if is_read(Path::new(SYSLOG)) {
            let lengths = FILES.iter().filter_map(|file| {
                std::fs::metadata(file).ok().map(|metadata| (PathBuf::from(file), metadata.len()))
            });
            return Ok(Self::Files(lengths.collect()));
        }
        OwnSocket::bind(Path::new(SYSLOG)).map(Self::Own)
    }

    /// The source as the screen shows it.
    pub(crate) fn source(&self) -> String {
        match self {
            Self::Journal(_) => format!("journalctl -t {IDENT}"),
            Self::Files(files) => {
                let names: Vec<_> = files.iter().map(|(file, _)| file.display().to_string()).collect();
                format!("this machine's syslog ({})", names.join(", "))
            }
            Self::Own(_) => {
                format!("{SYSLOG}; the demo listens there, because this machine has no log daemon")
            }
        }
    }

    /// Waits for `count` lines that contain `text`. After [`TIMEOUT`] it returns the lines that have arrived.
    pub(crate) fn lines_with(
        &self,
        text: &str,
        count: usize,
        interrupt: &Interrupt,
    ) -> io::Result<Vec<String>> {
        let start = Instant::now();
        loop {
            let mut lines = self.lines(interrupt)?;
            lines.retain(|line| line.contains(text));
            if lines.len() >= count || start.elapsed() > TIMEOUT {
                return Ok(lines);
            }
            interrupt.pause()?;
        }
    }

    fn lines(&self, interrupt: &Interrupt) -> io::Result<Vec<String>> {
        match self {
            Self::Journal(cursor) => journal_lines(cursor.as_deref(), interrupt),
            Self::Files(files) => Ok(files.iter().flat_map(|(file, from)| new_lines(file, *from)).collect()),
            Self::Own(socket) => Ok(socket.lines()),
        }
    }
}

/// Whether a daemon reads what is written to the socket.
fn is_read(socket: &Path) -> bool {
    UnixDatagram::unbound().and_then(|own| own.connect(socket)).is_ok()
}

/// The target of a chain of symbolic links, which need not exist. A stopped log daemon can leave /dev/log as a dangling
/// link. The demo binds its socket at the target, because programs that open the link then reach the socket.
fn end_of_links(path: &Path) -> io::Result<PathBuf> {
    let mut end = path.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&end) {
            Ok(next) => end = end.parent().unwrap_or(Path::new("/")).join(next),
            Err(_) => return Ok(end),
        }
    }
    Err(io::Error::other(format!("{}: a chain of more than {MAX_LINKS} links; remove it", path.display())))
}

/// Makes the missing folders above `path`. Returns the folders that it made, innermost first.
fn make_folders_above(path: &Path) -> io::Result<Vec<PathBuf>> {
    let missing: Vec<_> =
        path.ancestors().skip(1).take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
    for folder in missing.iter().rev() {
        std::fs::create_dir(folder)?;
    }
    Ok(missing)
}

/// The cursor of the last entry in the journal.
fn journal_cursor(interrupt: &Interrupt) -> io::Result<Option<String>> {
    let mut command = Command::new("journalctl");
    let finished = run(command.args(["--quiet", "--lines=1", "--show-cursor", "--output=cat"]), interrupt)?;
    Ok(finished.stdout.lines().find_map(|line| line.strip_prefix("-- cursor: ")).map(str::to_owned))
}

fn journal_lines(cursor: Option<&str>, interrupt: &Interrupt) -> io::Result<Vec<String>> {
    let mut command = Command::new("journalctl");
    command.args(["--quiet", "--no-pager", "--output=json"]);
    // Never pass both options. Some releases of journalctl search for the cursor among the matching lines only, and
    // then omit the first matching line.
    match cursor {
        Some(cursor) => command.args(["--after-cursor", cursor]),
        None => command.args(["-t", IDENT]),
    };
    let finished = run(&mut command, interrupt)?;
    Ok(finished.stdout.lines().filter_map(journal_line).collect())
}

/// The journal entry in syslog's format, if the agent wrote it.
fn journal_line(json: &str) -> Option<String> {
    let entry: Value = serde_json::from_str(json).ok()?;
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let pid = text("_PID").or(text("SYSLOG_PID"))?;
    let message = text("MESSAGE")?;
    (text("SYSLOG_IDENTIFIER") == Some(IDENT)).then(|| format!("{IDENT}[{pid}]: {message}"))
}

fn new_lines(file: &Path, from: u64) -> Vec<String> {
    let bytes = std::fs::read(file).unwrap_or_default();
    let new = usize::try_from(from).ok().and_then(|from| bytes.get(from..)).unwrap_or_default();
    String::from_utf8_lossy(new).lines().filter_map(own_part).collect()
}

/// The part of a syslog line from the program name on, if the agent wrote the line.
fn own_part(line: &str) -> Option<String> {
    line.find(&format!("{IDENT}[")).map(|start| line[start..].trim_end_matches(['\n', '\0']).to_owned())
}

/// A socket at /dev/log that exists while the demo runs.
pub(crate) struct OwnSocket {
    path: PathBuf,
    /// The folders that the demo made for the socket, innermost first.
    folders: Vec<PathBuf>,
    lines: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl OwnSocket {
    fn bind(path: &Path) -> io::Result<Self> {
        let place = end_of_links(path)?;
        let failed = |error: io::Error| {
            let what = format!(
                "{}: {error}; no log daemon reads this socket; start the log daemon or remove the file",
                place.display()
            );
            io::Error::new(error.kind(), what)
        };
        let folders = make_folders_above(&place).map_err(failed)?;
        let socket = match UnixDatagram::bind(&place) {
            Ok(socket) => socket,
            Err(error) => {
                remove_folders(&folders);
                return Err(failed(error));
            }
        };
        let path = place.as_path();
        let (lines, stop) = (Arc::new(Mutex::default()), Arc::new(AtomicBool::new(false)));
        let mut own = Self {
            path: path.to_owned(),
            folders,
            lines: Arc::clone(&lines),
            stop: Arc::clone(&stop),
            reader: None,
        };
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        own.reader = Some(std::thread::spawn(move || receive(&socket, &lines, &stop)));
        Ok(own)
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Removes the folders that are empty. Another program may use the others by now.
fn remove_folders(folders: &[PathBuf]) {
    for folder in folders {
        let _ = std::fs::remove_dir(folder);
    }
}

fn receive(socket: &UnixDatagram, lines: &Mutex<Vec<String>>, stop: &AtomicBool) {
    let mut datagram = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        // After a timeout, check the flag again.
        let Ok(length) = socket.recv(&mut datagram) else { continue };
        let line = own_part(&String::from_utf8_lossy(&datagram[..length]));
        lines.lock().unwrap_or_else(PoisonError::into_inner).extend(line);
    }
}

impl Drop for OwnSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        remove_folders(&self.folders);
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use eic_emulator::directory::TempDir;

    use super::*;

    #[test]
    fn dangling_link_is_followed_and_kept() {
        let folder = TempDir::new("eic-demo-log").unwrap();
        let (link, end) = (folder.path().join("log"), folder.path().join("run/journal/dev-log"));
        std::os::unix::fs::symlink("run/journal/dev-log", &link).unwrap();
        assert!(!is_read(&link));
        let own = OwnSocket::bind(&link).unwrap();
        assert!(is_read(&link) && end.exists());
        let agent = UnixDatagram::unbound().unwrap();
        agent.send_to(b"<86>Jan  1 00:00:00 eic-agent[7]: Providing", &link).unwrap();
        let start = Instant::now();
        while own.lines().is_empty() && start.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(own.lines(), ["eic-agent[7]: Providing"]);
        drop(own);
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("run/journal/dev-log"));
        assert!(!folder.path().join("run").exists(), "the demo removes the folders that it made");
    }

    #[test]
    fn error_for_an_unread_socket_names_it_and_the_remedy() {
        let folder = TempDir::new("eic-demo-log").unwrap();
        let socket = folder.path().join("log");
        drop(UnixDatagram::bind(&socket).unwrap());
        assert!(socket.exists() && !is_read(&socket));
        let error = OwnSocket::bind(&socket).err().unwrap().to_string();
        assert!(error.contains("start the log daemon or remove the file"), "{error}");
        assert!(error.contains(&socket.display().to_string()), "{error}");
        std::fs::remove_file(&socket).unwrap();
        std::os::unix::fs::symlink("log", &socket).unwrap();
        assert!(OwnSocket::bind(&socket).err().unwrap().to_string().contains("more than 8 links"));
    }

    #[test]
    fn lines_of_other_programs_are_dropped() {
        let json = |ident| format!(r#"{{"SYSLOG_IDENTIFIER":"{ident}","_PID":"7","MESSAGE":"Providing"}}"#);
        assert_eq!(journal_line(&json("eic-agent")).as_deref(), Some("eic-agent[7]: Providing"));
        assert_eq!(journal_line(&json("sshd")), None);
        assert_eq!(
            own_part("<86>Jan  1 00:00:00 eic-agent[7]: Providing\n").as_deref(),
            Some("eic-agent[7]: Providing")
        );
        assert_eq!(own_part("Jan  1 00:00:00 host sshd[7]: Accepted"), None);
    }

    #[test]
    fn own_socket_is_removed_at_the_end() {
        let directory = eic_emulator::directory::TempDir::new("eic-demo-log").unwrap();
        let path = directory.path().join("log");
        let socket = OwnSocket::bind(&path).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(b"<86>Jan  1 00:00:00 eic-agent[7]: one", &path).unwrap();
        sender.send_to(b"<86>Jan  1 00:00:00 other[7]: two", &path).unwrap();
        let start = Instant::now();
        while socket.lines().is_empty() && start.elapsed() < 6 * TIMEOUT {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(socket.lines(), ["eic-agent[7]: one"]);
        drop(socket);
        assert!(!path.exists());
    }
}
