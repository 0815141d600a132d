//! Lines that a real journald loses.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use eic_emulator::Config;
use serde_json::Value;

use super::{ALICE, as_user, ids, is_valid, push, ran, report, session, told};
use crate::world::{
    Journald, Key, Sshd, UNHURRIED, World, installed, on_an_instance, put_into_unit, test_path, until,
};

/// The interval of journald's rate limit, in seconds. It is longer than the time from the key command to the login.
const INTERVAL: u64 = 20;

/// A program that waits for a line on its input. Then it writes the given number of messages to the log, prints
/// `written`, and runs until its input ends.
const WRITER: &str = "import socket, sys\n\
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n\
    log.connect('/dev/log')\n\
    sys.stdin.readline()\n\
    for number in range(int(sys.argv[1])):\n\
    \x20   log.send(f'<13>other: {sys.argv[2]} {number}'.encode())\n\
    print('written', flush=True)\n\
    sys.stdin.read()\n";

/// Writes lines from a unit, and waits until journald has read them. journald only knows the unit of a process that
/// still exists.
fn write_from(journal: &Journald, unit: &str, lines: usize, words: &str) {
    let mut child = Command::new(installed("python3"))
        .args(["-c", WRITER, &lines.to_string(), words])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    put_into_unit(child.id(), unit);
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let mut said = [0; 8];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    // The mark comes after these lines, from another unit.
    let mark = format!("mark of {}", child.id());
    // The rate limit may drop the mark too, until the next interval begins.
    until("journald has read the lines", || {
        assert!(Command::new("logger").args(["-t", "mark", &mark]).status().unwrap().success());
        sleep(Duration::from_millis(500));
        journal.cat().contains(&mark)
    });
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// A command for sshd. The agent logs its keys first. Then another process of sshd's unit writes more than journald
/// accepts. The command waits until journald has read these lines.
fn noisy_command(world: &World) -> String {
    fs::write(world.path("bin/writer"), WRITER).unwrap();
    let script = format!(
        "keys=$('{agent}' authorized-keys {UNHURRIED} \"$@\")\n\
         end=$(mktemp -u); mkfifo \"$end\" \"$end.said\"\n\
         '{python}' '{writer}' 200 noise <\"$end\" >\"$end.said\" &\n\
         exec 3>\"$end\"; echo go >&3; read -r said <\"$end.said\"\n\
         groups=$(cat /run/test-control-groups)/system.slice\n\
         mkdir -p $groups/mark.service\n\
         sh -c \"echo 0 >$groups/mark.service/cgroup.procs; logger -t mark 'mark $$'\"\n\
         until journalctl -q -o cat -t mark | grep -qx \"mark $$\"; do sleep 0.1; done\n\
         exec 3>&-; wait; rm \"$end\" \"$end.said\"\n\
         printf '%s\\n' \"$keys\"",
        agent = world.agent().display(),
        python = installed("python3").display(),
        writer = world.path("bin/writer").display()
    );
    world.script("noisy", &script).display().to_string()
}

/// An instance on which journald drops sshd's lines about a login.
struct Noisy {
    journal: Journald,
    _sshd: Sshd,
}

impl Noisy {
    fn start(world: &World) -> Self {
        // journald multiplies the burst by up to six, depending on the free space.
        let settings = format!("RateLimitIntervalSec={INTERVAL}s\nRateLimitBurst=5\n");
        let journal = Journald::with(world, &settings);
        let command = noisy_command(world);
        let settings = format!("AuthorizedKeysCommand {command} %u %f\nAuthorizedKeysCommandUser root\n");
        Self { journal, _sshd: Sshd::with_pam(world, &settings) }
    }

    /// Logs in by `login` with a fresh key, such that the journal contains no line of sshd's about this key.
    fn log_in<T>(&self, world: &World, login: impl Fn(&Key) -> T) -> (Key, T) {
        // On a busy machine, the interval can end before the login, and then no line is dropped.
        for tries in 0..5 {
            let key = Key::ed25519(world, &format!("key{tries}"));
            world.emulator.clear_keys();
            world.emulator.push("ec2-user", &key.line(), ALICE);
            let came = login(&key);
            if !self.journal.cat().contains(&format!("ED25519 {}", key.fingerprint())) {
                return (key, came);
            }
        }
        panic!("no line is dropped: {}", self.journal.cat());
    }
}

#[test]
fn login_that_the_rate_limit_dropped_is_reported() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let noisy = Noisy::start(world);
        let (key, ()) = noisy.log_in(world, |key| {
            let login = world.ssh("ec2-user", &[key]);
            assert!(login.ok, "{login:?}");
        });
        let journal = &noisy.journal;
        // journald reports the loss when it accepts the first line of the next interval.
        let mut waited = 0;
        while !journal.cat().contains("messages from ssh.service") {
            waited += 1;
            assert!(waited < 100, "{}", journal.cat());
            sleep(Duration::from_secs(1));
            write_from(journal, "ssh.service", 1, "after");
        }

        let shown = report(world, &[]);
        is_valid(world, &shown).unwrap();
        let unused = shown["unused"].as_array().unwrap();
        assert!(unused.iter().any(|unused| unused["fingerprint"] == key.fingerprint()), "{shown:#}");
        assert_eq!(shown["complete"], false, "{shown:#}");
        let warning = warning(&shown, "rate-limit");
        assert!(warning.contains("lines of ssh.service"), "{warning}");
    });
}

#[test]
fn open_login_without_a_line_is_reported() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let noisy = Noisy::start(world);
        let (_, login) = noisy.log_in(world, |key| world.ssh_stay("ec2-user", key));
        let journal = &noisy.journal;
        // journald reports lost lines with the next line of sshd's unit, which may never come.
        sleep(Duration::from_secs(7));
        assert!(!journal.cat().contains("messages from ssh.service"), "{}", journal.cat());
        let shown = report(world, &["--open"]);
        is_valid(world, &shown).unwrap();
        assert_eq!((&shown["sessions"], &shown["complete"]), (&serde_json::json!([]), &false.into()));
        assert!(warning(&shown, "open-not-in-log").contains("1 session "), "{shown:#}");
        login.leave();
    });
}

fn warning(report: &Value, id: &str) -> String {
    let warnings = report["warnings"].as_array().unwrap();
    let found = warnings.iter().find(|warning| warning["id"] == id);
    found.unwrap_or_else(|| panic!("{id}: {report:#}"))["seen"].as_str().unwrap().to_owned()
}

#[test]
fn loss_in_a_unit_without_our_lines_is_not_reported() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::with(world, "RateLimitIntervalSec=2s\nRateLimitBurst=5\n");
        let _sshd = Sshd::with_pam(world, "");
        let key = Key::ed25519(world, "alice");
        world.emulator.push("ec2-user", &key.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &key);
        write_from(&journal, "web.service", 200, "page");
        until("journald reports the loss", || {
            sleep(Duration::from_secs(1));
            write_from(&journal, "web.service", 1, "last");
            journal.cat().contains("messages from web.service")
        });
        let shown = report(world, &[]);
        let (ids, is_complete) = told(&shown);
        assert!(is_complete && !ids.contains(&"rate-limit"), "{shown:#}");
        assert_eq!(push(session(&shown, &key)).0, ALICE);
        alice.leave();
    });
}

#[test]
fn damaged_or_missing_journal_file_is_reported() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let [alices, bobs] = ["alice", "bob"].map(|name| Key::ed25519(world, name));
        world.emulator.push("ec2-user", &alices.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &alices);
        journal.wait_for(&alices.fingerprint());
        until("alice's login", || report(world, &[])["sessions"].as_array().unwrap().len() == 1);
        journal.rotate();
        world.emulator.push("ec2-user", &bobs.line(), ALICE);
        let bob = world.ssh_stay("ec2-user", &bobs);
        until("bob's login", || report(world, &[])["sessions"].as_array().unwrap().len() == 2);

        // journalctl leaves out a file that was cut, prints a note, and succeeds.
        let archives = journal.archives();
        let archive = archives.first().expect("an archive");
        let whole = fs::read(archive).unwrap();
        OpenOptions::new().write(true).open(archive).unwrap().set_len(4096).unwrap();
        let shown = report(world, &[]);
        is_valid(world, &shown).unwrap();
        assert_eq!((shown["sessions"].as_array().unwrap().len(), &shown["complete"]), (1, &false.into()));
        let seen = warning(&shown, "journal-damaged");
        assert!(seen.contains("system@"), "{seen}");
        fs::write(archive, whole).unwrap();
        assert!(!ids(&report(world, &[])).contains(&"journal-damaged"));

        // No line reports files that journald removed. Only the first entry and the open sessions show the loss.
        sleep(Duration::from_secs(7));
        journal.vacuum();
        journal.vacuum();
        let shown = report(world, &["--open"]);
        assert_eq!((&shown["sessions"], &shown["complete"]), (&serde_json::json!([]), &false.into()));
        assert!(warning(&shown, "open-before-log").contains("2 sessions"), "{shown:#}");
        let shown = report(world, &["--since", "1h"]);
        assert!(ids(&shown).contains(&"log-begins-later"), "{shown:#}");
        bob.leave();
        // journald may be too late to attribute the line about that end.
        until("bob's end", || {
            let shown = report(world, &[]);
            ids(&shown).iter().any(|id| matches!(*id, "beginning-rotated-away" | "unattributed"))
        });
        let shown = report(world, &[]);
        assert_eq!(shown["complete"], false);
        let said = ran(world, &[]);
        assert_eq!(said.status, Some(1), "{}", said.out);
        alice.leave();
    });
}

#[test]
fn users_journal_file_does_not_extend_the_covered_time() {
    on_an_instance(test_path!(), Config::default(), |world| {
        // journald gives each user a file only if the journal is on the disk (journald.conf(5), `SplitMode`).
        fs::create_dir_all("/run/systemd/journal").unwrap();
        fs::write("/run/systemd/journal/flushed", "").unwrap();
        let journal = Journald::with(world, "Storage=persistent\n");
        as_user(world, "ubuntu", "logger -t sshd first; logger first of all");
        journal.wait_for("first of all");
        sleep(Duration::from_secs(10));
        let since =
            Command::new("date").args(["-u", "-d", "-5 seconds", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
        let since = String::from_utf8(since.stdout).unwrap();
        journal.rotate();
        // The system's older lines are gone. The user's are not.
        let archives = journal.archives();
        let is_systems = |path: &&std::path::PathBuf| path.to_string_lossy().contains("/system@");
        let systems: Vec<_> = archives.iter().filter(is_systems).collect();
        assert!(!systems.is_empty() && systems.len() < archives.len(), "{archives:?}");
        for archive in systems {
            fs::remove_file(archive).unwrap();
        }
        assert!(journal.cat().contains("first of all"));
        let _sshd = Sshd::with_pam(world, "");
        let key = Key::ed25519(world, "alice");
        world.emulator.push("ec2-user", &key.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &key);
        until("alice's login", || report(world, &[])["sessions"].as_array().unwrap().len() == 1);
        let shown = report(world, &["--since", since.trim()]);
        assert!(ids(&shown).contains(&"log-begins-later"), "{shown:#}");
        assert_eq!(shown["complete"], false);
        alice.leave();
    });
}

#[test]
fn time_without_journald_is_reported() {
    on_an_instance(test_path!(), Config::default(), |world: &World| {
        let mut journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let key = Key::ed25519(world, "alice");
        world.emulator.push("ec2-user", &key.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &key);
        until("alice's login", || report(world, &[])["sessions"].as_array().unwrap().len() == 1);
        journal.without(|| {
            let shown = report(world, &[]);
            assert!(warning(&shown, "journald-away").contains("1 times"), "{shown:#}");
            sleep(Duration::from_secs(6));
        });
        let shown = report(world, &[]);
        assert_eq!((&shown["complete"], push(session(&shown, &key)).0), (&false.into(), ALICE));
        assert!(warning(&shown, "journald-away").contains(" s at the longest"), "{shown:#}");
        alice.leave();
    });
}
