//! A sound machine. Each row breaks one link. `doctor`, sshd and a real login are then compared with the row.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::{Login, Row, memory, mode, shows};
use crate::machines::advice::{commands, is_mending, refused_settings, run};
use crate::machines::agreement::Attempt;
use crate::wiring::{CONFIG, OURS, agent};
use crate::world::{BOB, Key, World, until};

/// The sound state: the files that rows change, the verdict of each check, and a key to log in with.
pub(super) struct Sound {
    files: BTreeMap<PathBuf, Vec<u8>>,
    pub(super) checks: BTreeMap<String, String>,
    key: Key,
    /// Is in the `authorized_keys` of `ec2-user`.
    own: Key,
}

/// Where sshd writes its process id.
const PID_FILE: &str = "/run/sshd.pid";

const KEPT: [&str; 5] = [CONFIG, OURS, "/etc/passwd", "/etc/shadow", "/etc/group"];

impl Sound {
    pub(super) fn new(world: &World) -> Self {
        let files = KEPT.iter().map(|file| (PathBuf::from(file), fs::read(file).unwrap())).collect();
        let report = doctor(world);
        for check in report["checks"].as_array().unwrap() {
            assert!(
                check["verdict"] != "warn" && check["verdict"] != "fail",
                "on a sound machine: {check:#}"
            );
            assert_eq!(check["fix"], Value::Null, "{check:#}");
        }
        assert_eq!((&report["cause"], &report["login"]), (&Value::Null, &Value::from("works")));
        let key = Key::ed25519(world, "pushed");
        assert!(log_in(world, "ec2-user", &key).0 && log_in(world, "root", &key).0, "a login works");
        let own = Key::ed25519(world, "own");
        world.authorize("ec2-user", &own);
        Self { files, checks: verdicts(&report), key, own }
    }

    fn own(&self, user: &str) -> Option<&Key> {
        (user == "ec2-user").then_some(&self.own)
    }

    fn restore(&self, world: &World) {
        for (file, content) in &self.files {
            fs::write(file, content).unwrap();
        }
        for path in ["/etc/nologin", "/etc/other.toml", "/etc/ssh/sshd_config.d/05-x.conf"] {
            let _ = fs::remove_file(path);
        }
        for path in ["/etc/systemd/system/ssh.service.d", "/run/systemd", "/sys/fs"] {
            let _ = fs::remove_dir_all(path);
        }
        world.configure_unhurried("");
        // Without a memory of the previous row, a login shows the fault of this row.
        let _ = fs::remove_file("/etc/tmpfiles.d/eic-agent.conf");
        memory::fresh(world);
        mode(&world.path("bin"), 0o755);
        chown(world.agent(), Some(0), None).unwrap();
    }

    /// Breaks one link. Returns every difference from the row: `doctor` must name this link and no other.
    pub(super) fn check(&self, world: &World, row: &Row) -> Vec<String> {
        let broken = (row.breaks)(world);
        if row.is_read {
            have_it_read();
        }
        let (status, report) = ask(world, row.user);
        let mut faults = Vec::new();
        let mut expect = |holds: bool, what: &Value| {
            if !holds {
                faults.push(format!("{}: {what:#}", row.name));
            }
        };
        let fails = row.says.iter().any(|says| says.verdict == "fail");
        expect(status == Some(i32::from(fails)), &Value::from(status));
        let cause = if row.says[0].verdict == "ok" { Value::Null } else { Value::from(row.says[0].check) };
        expect(report["cause"] == cause, &report["cause"]);
        for refused in refused_settings(world, &report) {
            expect(false, &Value::from(refused));
        }
        for check in report["checks"].as_array().unwrap() {
            let text = |name: &str| check[name].as_str().unwrap_or_default();
            let (id, verdict) = (text("id"), text("verdict"));
            if let Some(finding) = row.says.iter().find(|says| says.check == id) {
                let told = shows(text("seen"), finding.seen) && text("fix").contains(finding.fix);
                expect(verdict == finding.verdict && told, check);
            } else if row.follows.contains(&id) {
                expect(verdict == "skipped", check);
            } else {
                expect(verdict == self.checks[id], check);
            }
        }
        let expected = match row.login {
            Login::AsSaid => Some(!fails),
            Login::Refused => Some(false),
            Login::Open | Login::Either => None,
        };
        let attempt =
            Attempt { world, user: row.user, pushed: &self.key, own: self.own(row.user), is_read: false };
        let observed = attempt.observe_with(status, report.clone());
        expect(
            expected.is_none_or(|expected| expected == observed.logs_in()),
            &Value::from(observed.summary()),
        );
        if !matches!(row.login, Login::Either) {
            for contradiction in observed.contradictions() {
                expect(false, &Value::from(contradiction));
            }
        }
        if let Some(report) = tried(world, row, &report) {
            expect(verdicts(&report) == self.checks, &report);
        }
        drop(broken);
        self.restore(world);
        have_it_read();
        faults
    }

    pub(super) fn check_all(&self, world: &World, rows: &[Row]) {
        let faults: Vec<_> = rows.iter().flat_map(|row| self.check(world, row)).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert_eq!(verdicts(&doctor(world)), self.checks, "the machine is sound again");
    }
}

/// Makes the running sshd read its current configuration, and returns whether it did. Does nothing if no sshd with a pid
/// file runs, or if sshd would refuse the configuration.
pub(crate) fn have_it_read() -> bool {
    let Ok(pid) = fs::read_to_string(PID_FILE) else { return false };
    let tested = Command::new("/usr/sbin/sshd").arg("-t").output();
    let is_sound = tested.is_ok_and(|tested| tested.status.success());
    let runs =
        fs::read_to_string(format!("/proc/{}/comm", pid.trim())).is_ok_and(|name| name.trim() == "sshd");
    if !is_sound || !runs {
        return false;
    }
    // sshd removes the file at SIGHUP, and writes it again when it has read its configuration.
    fs::remove_file(PID_FILE).unwrap();
    assert!(Command::new("kill").args(["-HUP", pid.trim()]).status().unwrap().success());
    until("sshd has read its configuration", || fs::read_to_string(PID_FILE).is_ok_and(|now| now == pid));
    true
}

/// Pushes the key and logs in through a new `sshd -i`, which reads the current configuration.
pub(super) fn log_in(world: &World, user: &str, key: &Key) -> (bool, String) {
    world.emulator.push(user, &key.line(), BOB);
    let mut ssh = World::ssh_command(&[key]);
    ssh.args(["-o", "ProxyCommand=/usr/sbin/sshd -i", &format!("{user}@instance"), "id -un"]);
    let ran = ssh.output().unwrap();
    world.emulator.clear_keys();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ran.stdout).trim() == user, format!("{}{}", text(&ran.stdout), text(&ran.stderr)))
}

/// Runs the fix of the row's first finding, if it is a command whose effect is immediate. Returns the report after it.
fn tried(world: &World, row: &Row, report: &Value) -> Option<Value> {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == row.says[0].check).unwrap();
    let commands = commands(check["fix"].as_str()?);
    let command = commands.first().filter(|command| is_mending(command))?;
    run(world, command).unwrap_or_else(|why| panic!("{}: {why}", row.name));
    have_it_read();
    Some(ask(world, row.user).1)
}

pub(super) fn ask(world: &World, user: &str) -> (Option<i32>, Value) {
    let ran = agent(world, &["doctor", "--json", "--user", user]);
    assert_eq!(ran.err, "");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["user"], user);
    (ran.status, report)
}

/// The report on a sound machine.
pub(super) fn doctor(world: &World) -> Value {
    let (status, report) = ask(world, "ec2-user");
    assert_eq!(status, Some(0), "{report:#}");
    report
}

pub(super) fn verdicts(report: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap();
    checks.iter().map(|check| (text(&check["id"]), text(&check["verdict"]))).collect()
}
