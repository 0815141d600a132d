//! `[keys] session = "wrapper"`: sessions of a real sshd with and without the wrapper.

mod clients;
mod hindered;
mod startup;
mod values;
mod whoami;

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::documents::block;
use crate::wiring::{agent, lay_out};
use crate::world::{Key, Sshd, UNHURRIED, World};

/// The settings, as the documentation shows them.
pub(super) fn wrapper() -> &'static str {
    block("docs/settings.md", "[keys]\nsession")
}

pub(super) const CALLER: &str = "arn:aws:sts::123456789012:assumed-role/Admin/alice";

/// Shells of login users on this machine. `tests/setup ci` installs all of them.
pub(super) fn shells() -> Vec<&'static str> {
    let all = ["/bin/sh", "/bin/bash", "/usr/bin/zsh", "/usr/bin/fish", "/bin/tcsh", "/bin/ksh", "/bin/mksh"];
    all.into_iter().filter(|shell| is_installed(shell)).collect()
}

/// Whether this machine has the program. With `CI=true`, it must.
pub(super) fn is_installed(program: &str) -> bool {
    let found = Path::new(program).exists();
    if !found {
        eprintln!("NOT RUN: {program} is not installed");
        assert_ne!(env::var("CI").as_deref(), Ok("true"), "every test must run under CI=true: {program}");
    }
    found
}

/// Sets the login shell of a user in `/etc/passwd`.
pub(super) fn set_shell(user: &str, shell: &str) {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let of_user = |line: &str| {
        if line.starts_with(&format!("{user}:")) {
            format!("{}:{shell}\n", line.rsplit_once(':').unwrap().0)
        } else {
            format!("{line}\n")
        }
    };
    fs::write("/etc/passwd", accounts.lines().map(of_user).collect::<String>()).unwrap();
}

/// A configuration of sshd with these lines before all others.
pub(super) fn sshd_config(world: &World, first: &str) -> String {
    let host = world.path("etc/host");
    if !host.exists() {
        Key::ed25519(world, "host");
    }
    format!(
        "HostKey {}\nListenAddress 127.0.0.1\nUsePAM no\nPasswordAuthentication no\nMaxStartups 100\n\
         AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f\nAuthorizedKeysCommandUser eic-agent\n\
         X11Forwarding yes\nAcceptEnv EIC_* LANG\n{first}",
        host.display(),
        world.agent().display()
    )
}

pub(super) const SFTP: &str = "Subsystem sftp /usr/lib/openssh/sftp-server\n";

/// Starts sshd with the usual configuration and these lines, and lets root record what sshd does with sessions.
///
/// A run of the agent checks the machine for at most a second, whatever its time limit is. So that a busy machine cannot
/// change the result, sshd and all that it starts get a processor first, if the machine lets root set this.
pub(super) fn start(world: &World, lines: &str) -> Sshd {
    lay_out(&sshd_config(world, lines), &[]);
    let sshd = Sshd::listen(&[]);
    let _ = Command::new("renice").args(["-n", "-15", "-p", &sshd.pid().to_string()]).output();
    let config = agent(world, &["config"]);
    assert_eq!(config.status, Some(0), "{}", config.err);
    sshd
}

/// The result of a client: its exit status and its outputs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) status: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

/// Runs a client with this input.
pub(super) fn run(command: &mut Command, input: &[u8]) -> Said {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { status: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Runs ssh with these options and this command.
pub(super) fn ssh(key: &Key, options: &[&str], command: &[&str], input: &[u8]) -> Said {
    run(World::ssh_command(&[key]).args(options).arg("ec2-user@127.0.0.1").args(command), input)
}
