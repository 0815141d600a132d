//! The agent logs each key that it prints, for any user and in any kind of log. With `[audit] required = true`, it
//! prints no key that it cannot log.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use eic_emulator::{Config, Entry};

use crate::failures::assert_undecided;
use crate::metadata::{USER, pushed};
use crate::world::{INSTANCE, Journal, Journald, Key, Sshd, Syslog, World, on_an_instance, test_path, until};

/// Serves one entry for another instance, and one good one.
fn serve_a_bad_key_and_a_good_one(world: &World) -> Key {
    let key = Key::ed25519(world, "key");
    let signer = &world.emulator.hierarchy().leaf_key;
    let until = world.emulator.now() + 600;
    let mut bundle = Entry::new(key.line()).timestamp(until).instance("i-00000000").sign(signer);
    bundle.extend(Entry::new(key.line()).timestamp(until).instance(INSTANCE).sign(signer));
    world.emulator.set_entries(USER, bundle);
    key
}

#[test]
fn every_run_logs_the_keys_that_it_prints_and_its_chosen_inputs() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journal::bind();
        let key = serve_a_bad_key_and_a_good_one(world);
        let ca = world.path("etc/ca.pem").to_str().unwrap().to_owned();
        let endpoint = "http://169.254.169.254".to_owned();
        fs::write("/etc/other.toml", "").unwrap();
        let mut seen = 0;
        for (options, inputs) in [
            (vec![], None),
            (vec!["--timeout", "30"], None),
            (vec!["--imds-endpoint", &endpoint], Some(format!("--imds-endpoint {endpoint}"))),
            (vec!["--ca-file", &ca], Some(format!("--ca-file {ca}"))),
            (vec!["--config", "/etc/other.toml"], Some("--config /etc/other.toml".to_owned())),
            (vec!["--sysfs", "/sys/"], Some("--sysfs /sys/".to_owned())),
        ] {
            for user in ["root", "eic-agent", "ubuntu"] {
                let run = world.run_as(user, &[options.as_slice(), &[USER]].concat());
                assert_eq!(run.keys(), format!("{}\n", key.bare_line()), "{user} {options:?}: {run:?}");
                let events = journal.events();
                let [provided, refused] = &events[seen..] else { panic!("{user} {options:?}: {events:#?}") };
                assert_eq!(
                    (provided["EIC_EVENT"].as_str(), refused["EIC_EVENT"].as_str()),
                    ("provided", "refused")
                );
                for event in [provided, refused] {
                    assert_eq!(event.get("EIC_INPUTS"), inputs.as_ref(), "{user} {options:?}: {event:#?}");
                    let tail = inputs.as_ref().map(|inputs| format!("; chosen inputs: {inputs}"));
                    assert!(tail.is_none_or(|tail| event["MESSAGE"].ends_with(&tail)), "{event:#?}");
                }
                let start = format!(
                    "Providing ssh key from EC2 Instance Connect with fingerprint: {}",
                    key.fingerprint()
                );
                assert!(provided["MESSAGE"].starts_with(&start), "{provided:#?}");
                seen = events.len();
            }
        }
    });
}

#[test]
fn run_in_a_user_namespace_is_logged_with_its_real_uid() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journald = Journald::start(world);
        let key = pushed(world, "key");
        let uid = world.uid("ubuntu").to_string();
        let said = Command::new("setpriv")
            .args([
                "--reuid",
                &uid,
                "--regid",
                &uid,
                "--clear-groups",
                "unshare",
                "--user",
                "--map-root-user",
            ])
            .arg(world.agent())
            .args(["authorized-keys", "--timeout", "60", USER])
            .output()
            .unwrap();
        let notes = String::from_utf8_lossy(&said.stderr).into_owned();
        // The run may fail, because the namespace does not contain the agent's user. It may also succeed.
        assert!(said.stdout.is_empty() || said.stdout.starts_with(key.bare_line().as_bytes()), "{said:?}");
        journald.wait_for("from EC2 Instance Connect");
        let entries = Command::new("journalctl")
            .args(["--quiet", "-o", "json", "SYSLOG_IDENTIFIER=eic-agent"])
            .output()
            .unwrap();
        let entries = String::from_utf8_lossy(&entries.stdout).into_owned();
        assert!(entries.lines().count() >= 1, "{notes}");
        for entry in entries.lines() {
            let entry: serde_json::Value = serde_json::from_str(entry).unwrap();
            assert_eq!(entry["_UID"], uid.as_str(), "{entry:#}");
        }
    });
}

#[test]
fn required_log_that_fails_withholds_every_key() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        let line = format!("{}\n", key.bare_line());
        let refused = |case: &str| assert_undecided(&world.run(&[USER]), "audit-unavailable", case);
        let given = |case: &str| assert_eq!(world.run(&[USER]).keys(), line, "{case}");
        given("no log, and none is required");
        world.configure("[audit]\nrequired = true\n");
        refused("no log");
        symlink("/run/systemd/journal/dev-log", "/dev/log").unwrap();
        refused("a link that leads nowhere");
        fs::remove_file("/dev/log").unwrap();
        drop(UnixDatagram::bind("/dev/log").unwrap());
        refused("a socket without a reader");
        fs::remove_file("/dev/log").unwrap();
        fs::write("/dev/log", "").unwrap();
        refused("a file");
        fs::remove_file("/dev/log").unwrap();

        let stuck = UnixDatagram::bind("/dev/log").unwrap();
        fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).unwrap();
        given("a queue with room");
        let full = UnixDatagram::unbound().unwrap();
        full.set_nonblocking(true).unwrap();
        while full.send_to(b"x", "/dev/log").is_ok() {}
        refused("a full queue");
        drop(stuck);
        fs::remove_file("/dev/log").unwrap();

        let stream = UnixListener::bind("/dev/log").unwrap();
        fs::set_permissions("/dev/log", fs::Permissions::from_mode(0o666)).unwrap();
        given("a stream");
        drop(stream);
        refused("a stream without a reader");
        fs::remove_file("/dev/log").unwrap();

        // The journal's socket has no reader. Later, syslog is available instead.
        fs::create_dir_all("/run/systemd/journal").unwrap();
        drop(UnixDatagram::bind("/run/systemd/journal/socket").unwrap());
        refused("the journal has gone");
        let syslog = Syslog::bind();
        given("syslog instead of the journal");
        assert!(syslog.agent_lines()[0].starts_with("Providing ssh key"));
    });
}

#[test]
fn login_without_the_required_log_is_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = Sshd::start(world);
        let key = pushed(world, "key");
        world.configure_unhurried("[audit]\nrequired = true\n");
        assert!(!world.ssh(USER, &[&key]).ok, "no log");
        let explain = |key: &Key| {
            let words = ["explain", USER, &key.fingerprint()];
            let said = Command::new(world.agent()).args(words).output().unwrap();
            String::from_utf8(said.stdout).unwrap()
        };
        assert!(explain(&key).contains("withheld     audit-unavailable: "), "{}", explain(&key));
        let doctor = Command::new(world.agent()).args(["doctor", "--json"]).output().unwrap();
        let report: serde_json::Value = serde_json::from_slice(&doctor.stdout).unwrap();
        let log = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "log").unwrap();
        assert_eq!(log["verdict"], "fail", "{log}");
        let syslog = Syslog::bind();
        world.emulator.push(USER, &key.line(), crate::world::BOB);
        let login = world.ssh(USER, &[&key]);
        assert!(login.ok, "{login:?}");
        syslog.wait_for("Providing ssh key");
        assert!(!explain(&key).contains("withheld"));
    });
}

/// A control group that journald takes for sshd's unit. Removed when dropped.
struct Unit(PathBuf);

impl Unit {
    /// Creates the group below `/sys/fs/cgroup`, where the private instance has its control groups.
    fn new() -> Self {
        let slice = Path::new("/sys/fs/cgroup")
            .join(format!("eic{}.slice", fs::read_to_string(UUIDS).unwrap().trim()));
        let unit = slice.join("ssh.service");
        fs::create_dir_all(&unit).unwrap();
        fs::create_dir_all("/run/systemd/units").unwrap();
        Self(unit)
    }

    /// Sets a limit as systemd does. journald reads `LogRateLimitIntervalSec=` and `LogRateLimitBurst=` of a unit
    /// from such links.
    fn limit(what: &str, value: &str) {
        let link = format!("/run/systemd/units/log-rate-limit-{what}:ssh.service");
        let _ = fs::remove_file(&link);
        symlink(value, link).unwrap();
    }

    /// Runs the agent in the unit `times` times. Each run prints one key.
    fn run(&self, world: &World, times: usize) {
        let script = "echo 0 >\"$0/cgroup.procs\"; exec \"$@\"";
        for _ in 0..times {
            let said = Command::new("sh")
                .args(["-c", script])
                .arg(&self.0)
                .arg(world.agent())
                .args(["authorized-keys", "--timeout", "60", USER])
                .output()
                .unwrap();
            assert!(said.status.success() && !said.stdout.is_empty(), "{said:?}");
        }
    }
}

/// A source of unique names for private instances: the kernel gives each reader a new UUID.
const UUIDS: &str = "/proc/sys/kernel/random/uuid";

impl Drop for Unit {
    fn drop(&mut self) {
        until("the control group is empty", || fs::remove_dir(&self.0).is_ok());
        let _ = fs::remove_dir(self.0.parent().unwrap());
    }
}

#[test]
fn line_above_the_units_limit_is_dropped_unless_the_documented_drop_in_exempts_it() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journald = Journald::start(world);
        let unit = Unit::new();
        pushed(world, "key");
        world.configure("[audit]\nrequired = true\n");
        let lines = || journald.cat().lines().filter(|line| line.starts_with("Providing ssh key")).count();
        // journald multiplies the burst if there is much free space. If the process ends before journald checks it,
        // journald does not count the line for the unit.
        Unit::limit("burst", "1");
        Unit::limit("interval", "3600000000");
        let kept = (1..=20).find_map(|round| {
            unit.run(world, 12);
            let mark = format!("end of round {round}.");
            Command::new("logger").arg(&mark).status().unwrap();
            journald.wait_for(&mark);
            Some(lines()).filter(|kept| *kept < round * 12)
        });
        let kept = kept.expect("a line above the limit is dropped");

        // The manual page advises LogRateLimitIntervalSec=1us, for which systemd creates such a link.
        Unit::limit("interval", "1");
        unit.run(world, 12);
        until("no line is dropped", || lines() == kept + 12);
    });
}
