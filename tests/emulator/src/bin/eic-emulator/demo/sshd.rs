//! A private sshd on loopback, with its own host key, configuration and log.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eic_emulator::directory::{make_public_directory, write_public};

use super::child::{Finished, Group, Interrupt, run};
use super::machine::require_program;

/// How long the demo waits until sshd listens.
const TIMEOUT: Duration = Duration::from_secs(60);
const NO_SEPARATION_DIRECTORY: &str = "Missing privilege separation directory: ";

/// The running sshd. Dropping the value stops it.
pub(crate) struct Sshd {
    _process: Group,
    _separation: Option<MadeDirectory>,
    ssh: PathBuf,
    log: PathBuf,
    known_hosts: PathBuf,
    pub(crate) port: u16,
}

/// A key pair made for the demo.
pub(crate) struct KeyPair {
    private: PathBuf,
    /// `algorithm base64 comment`.
    pub(crate) public: String,
    pub(crate) fingerprint: String,
}

impl KeyPair {
    pub(crate) fn make(directory: &Path, name: &str, interrupt: &Interrupt) -> io::Result<Self> {
        let keygen = require_program("ssh-keygen")?;
        let private = directory.join(name);
        let mut command = Command::new(&keygen);
        command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&private);
        succeed("ssh-keygen", run(&mut command, interrupt)?)?;
        let listed = succeed("ssh-keygen", run(Command::new(keygen).arg("-lf").arg(&private), interrupt)?)?;
        let fingerprint = listed.split(' ').nth(1).unwrap_or_default().to_owned();
        let public = std::fs::read_to_string(private.with_extension("pub"))?.trim().to_owned();
        Ok(Self { private, public, fingerprint })
    }

    /// The file with the public half.
    pub(crate) fn public_file(&self) -> PathBuf {
        self.private.with_extension("pub")
    }
}

fn succeed(program: &str, finished: Finished) -> io::Result<String> {
    if finished.success {
        return Ok(finished.stdout);
    }
    Err(io::Error::other(format!("{program}: {}", finished.stderr.trim())))
}

impl Sshd {
    /// Starts sshd. Only `user` may log in, and only with keys that the command `agent` prints.
    pub(crate) fn start(
        directory: &Path,
        agent: &[String],
        user: &str,
        interrupt: &Interrupt,
    ) -> io::Result<Self> {
        let sshd = require_program("sshd")?;
        let ssh = require_program("ssh")?;
        let host_key = KeyPair::make(directory, "host_key", interrupt)?;
        // The port was free a moment ago. If another program takes it now, sshd reports that and the demo fails.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let config = directory.join("sshd_config");
        write_public(&config, configuration(port, &host_key.private, agent, user).as_bytes())?;
        let known_hosts = directory.join("known_hosts");
        write_public(&known_hosts, format!("[127.0.0.1]:{port} {}\n", host_key.public).as_bytes())?;

        let separation = separation_directory(&sshd, &config, interrupt)?;
        let log = directory.join("sshd.log");
        let mut command = Command::new(sshd);
        command.args(["-D", "-f"]).arg(config).arg("-E").arg(&log);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Group::spawn(&mut command)?;
        let start = Instant::now();
        while !read(&log).contains("Server listening on") {
            if process.is_finished()? || start.elapsed() > TIMEOUT {
                return Err(io::Error::other(format!("sshd does not start: {}", read(&log).trim())));
            }
            interrupt.pause()?;
        }
        Ok(Self { _process: process, _separation: separation, ssh, log, known_hosts, port })
    }

    /// Logs in with a key and runs a command. `proxy` is a `ProxyCommand`.
    pub(crate) fn log_in(
        &self,
        user: &str,
        key: &KeyPair,
        proxy: Option<&str>,
        remote: &str,
        interrupt: &Interrupt,
    ) -> io::Result<Finished> {
        let mut command = Command::new(&self.ssh);
        command.args(["-F", "/dev/null", "-p", &self.port.to_string(), "-i"]).arg(&key.private);
        for option in
            ["IdentitiesOnly=yes", "IdentityAgent=none", "BatchMode=yes", "StrictHostKeyChecking=yes"]
        {
            command.args(["-o", option]);
        }
        command.arg("-o").arg(format!("UserKnownHostsFile={}", self.known_hosts.display()));
        command.args(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "ConnectTimeout=60"]);
        if let Some(proxy) = proxy {
            command.arg("-o").arg(format!("ProxyCommand={proxy}"));
        }
        run(command.arg(format!("{user}@127.0.0.1")).arg(remote), interrupt)
    }

    /// The path of `ssh`.
    pub(crate) fn client(&self) -> &Path {
        &self.ssh
    }

    /// The whole log of sshd.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }
}

fn configuration(port: u16, host_key: &Path, agent: &[String], user: &str) -> String {
    format!(
        "ListenAddress 127.0.0.1:{port}\n\
         HostKey {}\n\
         PidFile none\n\
         UsePAM no\n\
         AllowUsers {user}\n\
         PermitRootLogin prohibit-password\n\
         AuthenticationMethods publickey\n\
         AuthorizedKeysFile none\n\
         AuthorizedKeysCommand {} %u %f\n\
         AuthorizedKeysCommandUser root\n\
         LogLevel VERBOSE\n",
        host_key.display(),
        agent.join(" ").replace('%', "%%"),
    )
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(file).unwrap_or_default()).into_owned()
}

/// A directory that the demo made and removes again.
struct MadeDirectory(PathBuf);

impl Drop for MadeDirectory {
    fn drop(&mut self) {
        // If the directory is not empty, another sshd uses it now, and it stays.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Makes the privilege separation directory if sshd reports it missing. Debian's sshd needs /run/sshd, which only its
/// unit makes.
fn separation_directory(
    sshd: &Path,
    config: &Path,
    interrupt: &Interrupt,
) -> io::Result<Option<MadeDirectory>> {
    let mut made = None;
    for _ in 0..2 {
        let tested = run(Command::new(sshd).arg("-t").arg("-f").arg(config), interrupt)?;
        if tested.success {
            return Ok(made);
        }
        let missing = tested.stderr.lines().find_map(|line| line.strip_prefix(NO_SEPARATION_DIRECTORY));
        let Some(missing) = missing.map(|path| PathBuf::from(path.trim())).filter(|_| made.is_none()) else {
            return Err(io::Error::other(format!("sshd -t: {}", tested.stderr.trim())));
        };
        make_public_directory(&missing)?;
        made = Some(MadeDirectory(missing));
    }
    Err(io::Error::other("sshd still reports a missing privilege separation directory"))
}
