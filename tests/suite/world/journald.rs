//! The real daemons that keep a log: systemd-journald and rsyslog.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::ssh::{GROUPS, until};
use super::{World, mount};

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

/// Control groups with the names of systemd's units. journald takes the unit of a process from its group. All control
/// groups of a machine are in one tree, so these are below a group of this instance.
struct Units {
    root: PathBuf,
}

impl Units {
    fn make() -> Self {
        fs::create_dir_all("/sys/fs/cgroup").unwrap();
        mount(&["-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]);
        let id = fs::read_to_string("/proc/sys/kernel/random/uuid").unwrap();
        let units = Self { root: Path::new("/sys/fs/cgroup").join(format!("eic-test-{}", id.trim())) };
        // journald takes the group of the first process as the root.
        let init = units.root.join("init.scope");
        fs::create_dir_all(&init).unwrap();
        fs::write(init.join("cgroup.procs"), "1").unwrap();
        fs::write(GROUPS, units.root.as_os_str().as_encoded_bytes()).unwrap();
        units
    }
}

impl Drop for Units {
    fn drop(&mut self) {
        let _ = fs::remove_file(GROUPS);
        let _ = fs::write("/sys/fs/cgroup/cgroup.procs", "1");
        // A group can be removed when it contains no process and no other group, so the inner groups come first.
        let all = Command::new("find").arg(&self.root).args(["-depth", "-type", "d"]).output().unwrap();
        for group in String::from_utf8_lossy(&all.stdout).lines() {
            let _ = fs::remove_dir(group);
        }
    }
}

/// systemd's own journal, with its control groups.
pub(crate) struct Journald {
    daemon: Daemon,
    _units: Units,
}

impl Journald {
    pub(crate) fn start(world: &World) -> Self {
        Self::with(world, "")
    }

    /// Starts journald with these settings, as in journald.conf(5).
    pub(crate) fn with(_world: &World, settings: &str) -> Self {
        mount(&["-t", "tmpfs", "tmpfs", "/var/log"]);
        let units = Units::make();
        fs::create_dir_all("/run/systemd/journal").unwrap();
        fs::create_dir_all("/run/systemd/journald.conf.d").unwrap();
        fs::write("/run/systemd/journald.conf.d/test.conf", format!("[Journal]\n{settings}")).unwrap();
        // The machine may be an image without a machine id.
        fs::write("/etc/machine-id", "3d1219c7c4c5404aaa1f6d2a48adfda4\n").unwrap();
        let daemon = Self::daemon();
        symlink("/run/systemd/journal/dev-log", "/dev/log").unwrap();
        Self { daemon, _units: units }
    }

    fn daemon() -> Daemon {
        let places = ["/usr/lib/systemd/systemd-journald", "/lib/systemd/systemd-journald"];
        let program = places.into_iter().find(|place| Path::new(place).exists());
        let program = program.expect("systemd-journald; tests/setup installs it");
        let listens = "/run/systemd/journal/dev-log";
        // journald only knows the program and the unit of a process that still exists. So on a busy machine, it must not
        // wait for a processor, if the machine lets root set this.
        let ahead = ["--fifo", "1"];
        let is_allowed = Command::new("chrt").args(ahead).arg("true").stderr(Stdio::null()).status();
        if is_allowed.is_ok_and(|status| status.success()) {
            Daemon::start("chrt", &[&ahead[..], &[program]].concat(), listens)
        } else {
            Daemon::start(program, &[], listens)
        }
    }

    /// Sends a signal to journald. After `STOP`, messages wait until `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.daemon.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// Stops journald, calls `meanwhile`, and starts journald again.
    pub(crate) fn without(&mut self, meanwhile: impl FnOnce()) {
        self.signal("TERM");
        assert!(self.daemon.0.wait().unwrap().success());
        meanwhile();
        self.daemon = Self::daemon();
    }

    /// Waits until a message contains `part`.
    pub(crate) fn wait_for(&self, part: &str) {
        self.wait_for_lines(1, part);
    }

    /// Waits until this number of messages contain `part`.
    pub(crate) fn wait_for_lines(&self, count: usize, part: &str) {
        until(part, || self.count(part) >= count);
    }

    /// The number of messages that contain `part`.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.cat().lines().filter(|line| line.contains(part)).count()
    }

    /// All messages that were sent so far.
    pub(crate) fn cat(&self) -> String {
        synchronize();
        journalctl(&["--output=cat"])
    }

    pub(crate) fn rotate(&self) {
        journalctl(&["--rotate"]);
    }

    /// Rotates the journal, and removes archived files.
    pub(crate) fn vacuum(&self) {
        journalctl(&["--rotate"]);
        journalctl(&["--vacuum-files=1"]);
    }

    /// The archived files of the journal.
    pub(crate) fn archives(&self) -> Vec<PathBuf> {
        let folders = ["/run/log/journal", "/var/log/journal"].into_iter();
        let folders = folders.flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten());
        let files = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        let files = files.map(|file| file.path());
        files.filter(|path| path.to_string_lossy().contains('@')).collect()
    }

    /// Entries that were sent so far and have this field, as journald stores them.
    pub(crate) fn entries(&self, field: &str) -> Vec<Value> {
        synchronize();
        let all = journalctl(&["--output=json", field]);
        all.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Waits until journald has stored everything that was sent to one of its sockets. It reads several sockets, so a line can be
/// stored before an older one of another socket.
fn synchronize() {
    journalctl(&["--sync"]);
}

fn journalctl(arguments: &[&str]) -> String {
    let said = Command::new("journalctl").args(["--quiet", "--no-pager"]).args(arguments).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// A running rsyslog. It writes every line to `/var/log/auth.log` in the current format of distributions, and to
/// `/var/log/old` in their former format.
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

    /// Rotates the file as logrotate does: renames it and sends SIGHUP. rsyslog creates the new file with the next
    /// line.
    pub(crate) fn rotate(&self) {
        fs::rename("/var/log/auth.log", "/var/log/auth.log.1").unwrap();
        let pid = self.daemon.0.id().to_string();
        assert!(Command::new("kill").args(["-HUP", &pid]).status().unwrap().success());
        until("rsyslog has created a new file", || {
            let mark = ["-p", "authpriv.info", "-t", "mark", "rotated"];
            assert!(Command::new("logger").args(mark).status().unwrap().success());
            Path::new("/var/log/auth.log").exists()
        });
    }
}
