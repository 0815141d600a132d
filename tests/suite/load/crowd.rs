//! Many clients at once.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::world::{BOB, Key, Login, World};

/// Another address of a client. sshd counts its failures separately (`PerSourcePenalties`, from 9.8).
const ELSEWHERE: &str = "127.0.0.66";

/// The first uid of the accounts that [`accounts`] creates.
const FIRST_UID: usize = 70_000;

/// Creates `count` accounts that can log in by key. Each login uses its own account, which identifies its requests.
pub(super) fn accounts(count: usize) -> Vec<String> {
    let names: Vec<_> = (0..count).map(|number| format!("load{number:05}")).collect();
    let (mut passwd, mut shadow) = (String::new(), String::new());
    for (number, name) in names.iter().enumerate() {
        let uid = FIRST_UID + number;
        writeln!(passwd, "{name}:x:{uid}:{uid}::/:/bin/sh").unwrap();
        writeln!(shadow, "{name}:*:19000:0:99999:7:::").unwrap();
    }
    for (file, lines) in [("/etc/passwd", passwd), ("/etc/shadow", shadow)] {
        fs::OpenOptions::new().append(true).open(file).unwrap().write_all(lines.as_bytes()).unwrap();
    }
    names
}

/// Clients that log in at the same time, each with its own key.
pub(super) struct Crowd<'w> {
    world: &'w World,
    keys: Vec<Key>,
}

pub(super) struct Attempts {
    pub(super) logins: Vec<Attempt>,
    pub(super) took: Duration,
    pub(super) at_once: usize,
}

/// One login, with its user.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) user: String,
    pub(super) outcome: Login,
}

impl<'w> Crowd<'w> {
    pub(super) fn new(world: &'w World, clients: usize) -> Self {
        Self {
            world,
            keys: (0..clients).map(|number| Key::ed25519(world, &format!("client-{number}"))).collect(),
        }
    }

    pub(super) fn key(&self, client: usize) -> &Key {
        &self.keys[client]
    }

    /// Each client takes the next user, pushes its key for that user, and logs in with the real ssh. The clients stop
    /// when every user has logged in once.
    pub(super) fn log_in(&self, users: &[String]) -> Attempts {
        let next = AtomicUsize::new(0);
        let logins = Mutex::new(Vec::new());
        let started = Instant::now();
        thread::scope(|scope| {
            for key in &self.keys {
                scope.spawn(|| {
                    while let Some(user) = users.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.world.emulator.push(user, &key.line(), BOB);
                        let outcome = self.world.ssh(user, &[key]);
                        logins.lock().unwrap().push(Attempt { user: user.clone(), outcome });
                    }
                });
            }
        });
        Attempts {
            logins: logins.into_inner().unwrap(),
            took: started.elapsed(),
            at_once: self.keys.len().min(users.len()),
        }
    }
}

impl World {
    /// Offers all of these keys, one after another on one connection, from [`ELSEWHERE`].
    pub(super) fn offer(&self, user: &str, keys: &[Key]) -> Login {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-b", ELSEWHERE, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no"]);
        for key in keys {
            ssh.arg("-i").arg(key.file());
        }
        let started = Instant::now();
        let output = ssh.arg(format!("{user}@127.0.0.1")).arg("true").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Login { ok: output.status.success(), took: started.elapsed(), said }
    }
}
