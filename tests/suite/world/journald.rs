//! The real daemons that keep a log: systemd-journald, and rsyslog.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{World, mount};

const PATIENCE: Duration = Duration::from_secs(20);

/// A running daemon; stopped when dropped.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    fn start(program: &str, arguments: &[&str], listens: &str) -> Self {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; tests/setup installs it"));
        let daemon = Self(child);
        until(&format!("{program} listens on {listens}"), || {
            UnixDatagram::unbound().unwrap().connect(listens).is_ok()
        });
        daemon
    }
}

/// Waits until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "not yet: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// systemd's own journal, with all that is in it.
pub(crate) struct Journald {
    _daemon: Daemon,
}

impl Journald {
    pub(crate) fn start(_world: &World) -> Self {
        mount(&["-t", "tmpfs", "tmpfs", "/var/log"]);
        // It tells the unit of whoever writes, and does not start where it cannot ask.
        fs::create_dir_all("/sys/fs/cgroup").unwrap();
        mount(&["-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]);
        fs::create_dir_all("/run/systemd/journal").unwrap();
        // The machine's may be an image's, which has none.
        fs::write("/etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n").unwrap();
        let places = ["/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald"];
        let program = places.into_iter().find(|place| Path::new(place).exists());
        let program = program.expect("systemd-journald; tests/setup installs it");
        let daemon = Daemon::start(program, &[], "/run/systemd/journal/dev-log");
        symlink("/run/systemd/journal/dev-log", "/dev/log").unwrap();
        Self { _daemon: daemon }
    }

    /// Waits until some entry's message holds `part`.
    pub(crate) fn wait_for(&self, part: &str) {
        until(part, || self.cat().contains(part));
    }

    /// Every message.
    pub(crate) fn cat(&self) -> String {
        journalctl(&["--output=cat"])
    }

    pub(crate) fn rotate(&self) {
        journalctl(&["--rotate"]);
    }
}

fn journalctl(arguments: &[&str]) -> String {
    let said = Command::new("journalctl").args(["--quiet", "--no-pager"]).args(arguments).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// rsyslog, writing every line to `/var/log/auth.log` as distributions do now, and to `/var/log/old` as they did.
pub(crate) struct Rsyslog {
    daemon: Daemon,
}

const RSYSLOG: &str = r#"
global(workDirectory="/var/log")
module(load="imuxsock")
auth,authpriv.* action(type="omfile" file="/var/log/auth.log" template="RSYSLOG_FileFormat" fileOwner="root")
auth,authpriv.* action(type="omfile" file="/var/log/old" template="RSYSLOG_TraditionalFileFormat")
"#;

impl Rsyslog {
    pub(crate) fn start(world: &World) -> Self {
        mount(&["-t", "tmpfs", "tmpfs", "/var/log"]);
        let config = world.path("etc/rsyslog.conf");
        fs::write(&config, RSYSLOG).unwrap();
        let arguments = ["-n", "-i", "/run/rsyslogd.pid", "-f", config.to_str().unwrap()];
        Self { daemon: Daemon::start("/usr/sbin/rsyslogd", &arguments, "/dev/log") }
    }

    pub(crate) fn wait_for(&self, part: &str) {
        until(part, || {
            ["auth.log", "old"].iter().all(|name| {
                fs::read_to_string(Path::new("/var/log").join(name)).unwrap_or_default().contains(part)
            })
        });
    }

    /// As logrotate does: the file gets another name, and rsyslog makes a new one with the next line after it is told.
    pub(crate) fn rotate(&self) {
        fs::rename("/var/log/auth.log", "/var/log/auth.log.1").unwrap();
        let pid = self.daemon.0.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        until("a new file", || {
            let mark = ["-p", "authpriv.info", "-t", "mark", "rotated"];
            assert!(Command::new("logger").args(mark).status().unwrap().success());
            Path::new("/var/log/auth.log").exists()
        });
    }
}
