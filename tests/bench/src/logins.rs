//! Measures complete logins from the real ssh to the real sshd: with a pushed key, with a plain `authorized_keys`, and
//! without a key.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::measure::{Pushed, at};
use crate::service::Metadata;
use crate::world::{Key, Sshd, World};

/// The number of logins of each kind.
const PAIRS: usize = 30;

/// The total number of logins, and how many run at once.
const LOGINS: usize = 200;
const AT_ONCE: [usize; 2] = [50, 200];

/// With the default `MaxStartups` of 10:30:100, sshd would drop some of the simultaneous connections.
const ROOM: &str = "MaxStartups 300\nLoginGraceTime 600\n";

/// The users with a pushed key, with an `authorized_keys` file, and without a key.
pub(crate) const PUSHED: &str = "ec2-user";
const PLAIN: &str = "ubuntu";
const NEITHER: &str = "admin";

/// The durations of the logins in milliseconds, in order, by kind.
pub(crate) struct Logins {
    pub(crate) pushed: Vec<f64>,
    pub(crate) plain: Vec<f64>,
    pub(crate) refused: Vec<f64>,
}

/// The result of simultaneous logins.
pub(crate) struct Crowded {
    pub(crate) at_once: usize,
    pub(crate) good: usize,
    /// Milliseconds.
    pub(crate) median: f64,
    pub(crate) longest: f64,
}

/// The sshd settings, as in the documentation.
pub(crate) fn settings(world: &World) -> String {
    let agent = world.agent();
    format!(
        "{ROOM}AuthorizedKeysCommand {} authorized-keys %u %f\nAuthorizedKeysCommandUser eic-agent\n",
        agent.display()
    )
}

pub(crate) fn pairs(world: &World, pushed: &Pushed) -> Logins {
    let _metadata = Metadata::start(world, false, pushed.line());
    let _sshd = start(world);
    authorize(world, PLAIN, &pushed.key);
    let mut logins = Logins { pushed: Vec::new(), plain: Vec::new(), refused: Vec::new() };
    for (user, welcome) in [(PUSHED, true), (PLAIN, true), (NEITHER, false)] {
        assert_eq!(log_in(user, &pushed.key, 0).1, welcome, "the login of {user}");
    }
    for pair in 1..=PAIRS {
        // Alternate the order of the two kinds.
        let (first, second) = if pair % 2 == 0 { (PUSHED, PLAIN) } else { (PLAIN, PUSHED) };
        for user in [first, second, NEITHER] {
            let (took, good) = log_in(user, &pushed.key, pair);
            assert_eq!(good, user != NEITHER, "the login of {user}");
            let kind = match user {
                PUSHED => &mut logins.pushed,
                PLAIN => &mut logins.plain,
                _ => &mut logins.refused,
            };
            kind.push(took.as_secs_f64() * 1e3);
        }
    }
    logins
}

pub(crate) fn crowds(world: &World, pushed: &Pushed) -> Vec<Crowded> {
    let _metadata = Metadata::start(world, false, pushed.line());
    let _sshd = start(world);
    AT_ONCE
        .iter()
        .map(|at_once| {
            eprintln!("bench: {LOGINS} ssh logins, {at_once} at once");
            let (next, seen) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
            thread::scope(|scope| {
                for _ in 0..*at_once {
                    scope.spawn(|| {
                        while next.fetch_add(1, Ordering::Relaxed) < LOGINS {
                            let login = log_in(PUSHED, &pushed.key, 0);
                            seen.lock().expect("no client panics").push(login);
                        }
                    });
                }
            });
            let seen = seen.into_inner().expect("no client panics");
            let mut times: Vec<_> = seen.iter().map(|(took, _)| took.as_secs_f64() * 1e3).collect();
            Crowded {
                at_once: *at_once,
                good: seen.iter().filter(|(_, good)| *good).count(),
                median: at(&mut times, 50),
                longest: at(&mut times, 100),
            }
        })
        .collect()
}

fn start(world: &World) -> Sshd {
    let _ = fs::remove_file(world.path("etc/host"));
    let _ = fs::remove_file(world.path("etc/host.pub"));
    Sshd::with(world, &settings(world))
}

/// Writes the key into the user's `authorized_keys`.
fn authorize(world: &World, user: &str, key: &Key) {
    world.authorize(user, key);
}

/// One login that only runs `true`. Each refused login uses a different client address, because sshd delays an address
/// after too many failures (OpenSSH 9.8 and later).
pub(crate) fn log_in(user: &str, key: &Key, number: usize) -> (Duration, bool) {
    let from = if user == NEITHER { format!("127.0.1.{}", number + 1) } else { "127.0.0.1".to_owned() };
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-b", &from, "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"])
        .args([
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "LogLevel=ERROR",
        ])
        .arg("-i")
        .arg(key.file())
        .arg(format!("{user}@127.0.0.1"))
        .arg("true")
        .stdin(Stdio::null());
    let started = Instant::now();
    let output = ssh.output().expect("ssh is missing");
    (started.elapsed(), output.status.success())
}

impl Logins {
    /// The median difference between a login with a pushed key and the adjacent login with a plain file.
    pub(crate) fn difference(&self) -> f64 {
        let mut differences: Vec<_> =
            self.pushed.iter().zip(&self.plain).map(|(ours, plain)| ours - plain).collect();
        at(&mut differences, 50)
    }

    pub(crate) fn median(times: &[f64]) -> f64 {
        at(&mut times.to_vec(), 50)
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "pairs": self.pushed.len(),
            "pushed_key_median_ms": Self::median(&self.pushed),
            "plain_authorized_keys_median_ms": Self::median(&self.plain),
            "refused_median_ms": Self::median(&self.refused),
            "median_difference_ms": self.difference(),
        })
    }
}

impl Crowded {
    pub(crate) fn json(&self) -> Value {
        json!({
            "logins": LOGINS, "at_once": self.at_once, "succeeded": self.good,
            "median_ms": self.median, "longest_ms": self.longest,
        })
    }
}
