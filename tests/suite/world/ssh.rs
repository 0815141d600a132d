//! The real sshd, the real ssh, and keys by the real ssh-keygen.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::World;

/// This file contains the path of the private instance's control groups, for helpers that start a daemon in one.
pub(super) const GROUPS: &str = "/run/test-control-groups";

/// How long a busy machine may take until the condition of a test holds.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Waits until the condition holds.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < TIMEOUT, "not yet: {what}");
        sleep(Duration::from_millis(10));
    }
}

/// Puts a process and its later children into a unit of systemd, if this instance has control groups.
pub(crate) fn put_into_unit(pid: u32, unit: &str) {
    let Ok(root) = fs::read_to_string(GROUPS) else { return };
    let group = Path::new(&root).join("system.slice").join(unit);
    fs::create_dir_all(&group).unwrap();
    fs::write(group.join("cgroup.procs"), pid.to_string()).unwrap();
}

pub(crate) struct Key {
    file: PathBuf,
}

impl Key {
    pub(crate) fn new(world: &World, name: &str, kind: &[&str]) -> Self {
        let file = world.path("etc").join(name);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-N", "", "-C", "a comment", "-f"])
            .arg(&file)
            .arg("-t")
            .args(kind)
            .status()
            .unwrap();
        assert!(made.success());
        Self { file }
    }

    /// The ed25519 key of this name. Creates it if it does not exist.
    fn once(world: &World, name: &str) -> Self {
        let file = world.path("etc").join(name);
        if file.exists() { Self { file } } else { Self::ed25519(world, name) }
    }

    pub(crate) fn ed25519(world: &World, name: &str) -> Self {
        Self::new(world, name, &["ed25519"])
    }

    /// The file of the public half, for `aws --ssh-public-key file://...`.
    pub(crate) fn public_file(&self) -> PathBuf {
        self.file.with_extension("pub")
    }

    /// The line of the public half, with its comment.
    pub(crate) fn line(&self) -> String {
        fs::read_to_string(self.public_file()).unwrap().trim_end().to_owned()
    }

    /// `ALGORITHM BASE64`, the line that sshd gets.
    pub(crate) fn bare_line(&self) -> String {
        self.line().split(' ').take(2).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn fingerprint(&self) -> String {
        let shown = Command::new("ssh-keygen").arg("-lf").arg(self.public_file()).output().unwrap();
        String::from_utf8(shown.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }
}

/// The line that lets a client fail as often as it likes. From release 9.8 on, sshd refuses an address for some time after
/// failed logins (`PerSourcePenalties`). Empty for older releases, which do not know the keyword. `host_key` is any host
/// key: sshd checks a configuration only with one.
pub(crate) fn without_penalties(host_key: &Path) -> &'static str {
    let line = "PerSourcePenalties no\n";
    let mut asked = Command::new("/usr/sbin/sshd");
    asked.args(["-t", "-f", "/dev/null", "-o", line.trim_end(), "-h"]).arg(host_key);
    if asked.output().unwrap().status.success() { line } else { "" }
}

/// Options of a run whose result must not depend on time, so that a busy machine cannot change it.
pub(crate) const UNHURRIED: &str = "--timeout 60";

/// A running sshd on port 22; stopped when dropped.
pub(crate) struct Sshd {
    child: Child,
    /// The listening sockets at the last check.
    waits_at: RefCell<BTreeSet<String>>,
}

impl Sshd {
    /// Starts sshd with the agent, as the documentation configures it.
    pub(crate) fn start(world: &World) -> Self {
        let command =
            format!("AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f", world.agent().display());
        Self::with(world, &format!("{command}\nAuthorizedKeysCommandUser eic-agent\n"))
    }

    /// Like [`Sshd::start`], with PAM, which logs the end of a session, and with sshd's default log level.
    pub(crate) fn with_pam(world: &World, settings: &str) -> Self {
        let rules =
            "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_unix.so\n";
        fs::write("/etc/pam.d/sshd", rules).unwrap();
        let command =
            format!("AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f", world.agent().display());
        // If a setting occurs twice, sshd uses the first.
        let first = format!("{settings}UsePAM yes\nLogLevel INFO\n");
        Self::of(world, &first, &format!("{command}\nAuthorizedKeysCommandUser eic-agent\n"))
    }

    pub(crate) fn with(world: &World, settings: &str) -> Self {
        Self::of(world, "", settings)
    }

    fn of(world: &World, first: &str, settings: &str) -> Self {
        let host_key = Key::once(world, "host");
        let config = world.path("etc/sshd_config");
        let base = format!(
            "{first}ListenAddress 127.0.0.1:22\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nLogLevel VERBOSE\nLoginGraceTime 600\n{settings}",
            host_key.file().display()
        );
        fs::write(&config, base).unwrap();
        Self::listen(&["-f", config.to_str().unwrap()])
    }

    /// Starts sshd with these arguments. Without `-f`, it reads the configuration in `/etc/ssh`.
    pub(crate) fn listen(arguments: &[&str]) -> Self {
        Self::listen_in(Path::new("/"), arguments)
    }

    /// Like [`Sshd::listen`], started in this folder.
    pub(crate) fn listen_in(folder: &Path, arguments: &[&str]) -> Self {
        let before = listeners();
        let child = Command::new("/usr/sbin/sshd")
            .arg("-D")
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .spawn()
            .expect("sshd is installed");
        put_into_unit(child.id(), "ssh.service");
        let sshd = Self { child, waits_at: RefCell::new(before) };
        sshd.wait_until_it_listens();
        sshd
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Makes sshd read its configuration again, as `systemctl reload` does, and waits until it listens.
    pub(crate) fn reload(&self) {
        // A test may have sent SIGHUP by itself before.
        self.waits_at.replace(listeners());
        let told = Command::new("kill").arg("-HUP").arg(self.pid().to_string()).status().unwrap();
        assert!(told.success());
        self.wait_until_it_listens();
    }

    /// Waits until sshd listens at a socket that it did not have before. On SIGHUP, sshd closes the old one, executes
    /// itself again, reads its configuration, and opens a new one (sshd.c, `sighup_restart`).
    pub(crate) fn wait_until_it_listens(&self) {
        // From release 8.2 on, sshd first listens, and then replaces its command line with its state.
        let is_titled = || {
            let line = fs::read(format!("/proc/{}/cmdline", self.pid())).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(" [listener] ")
        };
        until("sshd listens", || {
            let now = listeners();
            !now.is_empty() && now.is_disjoint(&self.waits_at.borrow()) && is_titled()
        });
        self.waits_at.replace(listeners());
        assert!(TcpStream::connect("127.0.0.1:22").is_ok());
    }
}

impl Drop for Sshd {
    /// Waits until no process has the listening sockets: a child that sshd has just forked for a connection still has them
    /// for a moment. Then the next sshd can listen.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let started = Instant::now();
        while !listeners().is_disjoint(&self.waits_at.borrow()) && started.elapsed() < TIMEOUT {
            sleep(Duration::from_millis(2));
        }
    }
}

/// The inodes of this instance's sockets that listen on port 22 (`proc_pid_net(5)`).
fn listeners() -> BTreeSet<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|file| fs::read_to_string(file).unwrap_or_default());
    let rows = tables.iter().flat_map(|table| table.lines());
    let inode = |row: &str| {
        let fields: Vec<_> = row.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(":0016") && *fields.get(3)? == "0A";
        listens.then(|| fields.get(9).map(ToString::to_string))?
    };
    rows.filter_map(inode).collect()
}

/// A login that stays until [`Stay::leave`].
pub(crate) struct Stay(Child);

impl Stay {
    /// Ends the session as a person does, and waits until ssh has ended.
    pub(crate) fn leave(mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The result of an attempt to log in.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) ok: bool,
    pub(crate) took: Duration,
    pub(crate) said: String,
}

impl World {
    /// Logs in with the real ssh, offers these keys in this order, and compares the output of `id -un` with the user.
    pub(crate) fn ssh(&self, user: &str, keys: &[&Key]) -> Login {
        let mut login = self.ssh_run(user, keys, "id -un");
        login.ok &= login.said.trim() == user;
        login
    }

    /// Logs in and stays. The login is complete when this function returns.
    pub(crate) fn ssh_stay(&self, user: &str, key: &Key) -> Stay {
        let mut command = Self::ssh_command(&[key]);
        command.arg(format!("{user}@127.0.0.1")).arg("echo in; cat");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert_eq!(&said, b"in\n");
        Stay(child)
    }

    pub(crate) fn ssh_run(&self, user: &str, keys: &[&Key], what: &str) -> Login {
        let mut command = Self::ssh_command(keys);
        let started = Instant::now();
        let output = command
            .arg(format!("{user}@127.0.0.1"))
            .arg(what)
            .stdin(Stdio::null())
            .output()
            .expect("ssh is installed");
        let took = started.elapsed();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let ok = output.status.success();
        Login { ok, took, said: format!("{said}{}", String::from_utf8_lossy(&output.stderr)) }
    }

    pub(crate) fn ssh_command(keys: &[&Key]) -> Command {
        let mut command = Command::new("ssh");
        command.args([
            "-F",
            "none",
            "-o",
            "BatchMode=yes",
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "LogLevel=ERROR",
        ]);
        command.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]);
        for key in keys {
            command.arg("-i").arg(key.file());
        }
        command
    }

    /// Puts a key into the user's own `authorized_keys`.
    pub(crate) fn authorize(&self, user: &str, key: &Key) {
        let home = self.path("home").join(user);
        let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&home).unwrap());
        let file = home.join(".ssh/authorized_keys");
        fs::write(&file, key.line()).unwrap();
        chown(&file, Some(owner), Some(owner)).unwrap();
    }
}
