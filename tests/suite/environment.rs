//! `[keys] environment = true`: the environment that a session gets, and the report of each command about it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use crate::wiring::{agent, lay_out};
use crate::world::{
    BOB, Key, Sshd, Syslog, UNHURRIED, World, on_an_instance, on_an_instance_for, test_path, until,
};

const CONFIG: &str = "/etc/ssh/sshd_config";
const DROP_INS: &str = "/etc/ssh/sshd_config.d";
const RECORD: &str = "/var/lib/eic-agent/sshd-environment.json";
const SETTINGS: &str = "[keys]\nenvironment = true\n";

/// A configuration of sshd without `PermitUserEnvironment`. The command runs as `user`.
fn base(world: &World, user: &str) -> String {
    let host = Key::ed25519(world, "host");
    format!(
        "HostKey {}\nListenAddress 127.0.0.1\nUsePAM no\nPasswordAuthentication no\n\
         AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f\nAuthorizedKeysCommandUser {user}\n",
        host.file().display(),
        world.agent().display()
    )
}

fn set_mode(path: &str, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether a login succeeds. It must succeed exactly if the session gets the variables.
fn logs_in(world: &World, key: &Key) -> bool {
    world.emulator.push("ec2-user", &key.line(), BOB);
    let login = world.ssh_run("ec2-user", &[key], "env");
    let has = |name: &str| login.said.lines().any(|line| line.starts_with(name));
    assert_eq!(login.ok, has("EIC_PRINCIPAL=") && has("EIC_REQUEST_ID="), "{}", login.said);
    login.ok
}

/// Checks that every command gives the same result as a login.
fn all_say(world: &World, key: &Key, logs_in: bool, reason: &str, words: &str) {
    world.emulator.push("ec2-user", &key.line(), BOB);
    let config = agent(world, &["config"]);
    assert_eq!(config.status, Some(i32::from(!logs_in)), "config: {}", config.err);
    let explain = agent(world, &["explain", "ec2-user", "--json"]);
    let explained: Value = serde_json::from_str(&explain.out).unwrap();
    // Keys of earlier logins are given too.
    assert_eq!(explained["keys_given"].as_u64().unwrap() > 0, logs_in, "explain: {explained:#}");
    let doctor = agent(world, &["doctor", "--user", "ec2-user", "--json"]);
    let report: Value = serde_json::from_str(&doctor.out).unwrap();
    let check = |id: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["id"] == id).unwrap().clone()
    };
    let settings = check("settings");
    assert_eq!(settings["verdict"], if logs_in { "ok" } else { "fail" }, "doctor: {report:#}");
    assert_eq!(check("answer")["verdict"] == "ok", logs_in, "doctor: {report:#}");
    let status = agent(world, &["status"]);
    assert_eq!(status.status, Some(i32::from(!logs_in)), "status: {}{}", status.out, status.err);
    let enable = agent(world, &["enable"]);
    assert_eq!(enable.status, Some(0), "enable: {}{}", enable.out, enable.err);
    if !logs_in {
        let said = explained["error"].as_str().unwrap().to_owned();
        for said in [&said, &settings["seen"].as_str().unwrap().to_owned(), &status.err, &enable.out] {
            assert!(said.contains(reason) && said.contains(words), "{said}");
        }
        assert!(config.err.contains(words), "{}", config.err);
    }
}

#[test]
fn every_command_reports_the_environment_that_a_login_gets() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        let base = base(world, "eic-agent");
        lay_out(&base, &[]);
        world.configure_unhurried(SETTINGS);
        let mut sshd = Sshd::listen(&[]);
        let mut unknown = 0;
        for mode in [0o600, 0o644] {
            for (line, permits) in [
                ("PermitUserEnvironment no\n", false),
                ("PermitUserEnvironment yes\n", true),
                ("PermitUserEnvironment EIC_*\n", true),
                ("permituserenvironment LANG,EIC_*\n", true),
                ("PermitUserEnvironment EIC_PRINCIPAL\n", false),
                ("PermitUserEnvironment EIC_*,!EIC_REQUEST_ID\n", false),
                ("PermitUserEnvironment LANG,LC_*\n", false),
                ("", false),
            ] {
                // The mode of the file only decides whether sshd can answer the agent's user. So the lists of
                // variables are tested with one mode only.
                if mode == 0o644 && line.contains(',') {
                    continue;
                }
                drop(sshd);
                fs::write(CONFIG, format!("{base}{line}")).unwrap();
                set_mode(CONFIG, mode);
                let _ = fs::remove_file(RECORD);
                sshd = Sshd::listen(&[]);
                // No command of root has written a record yet. So the agent's user must query sshd, which answers
                // only from OpenSSH 9.3 on and only if the file is readable.
                syslog.clear();
                let before = logs_in(world, &key);
                let said = syslog.agent_lines().join("\n");
                if said.contains("environment-unknown: keys.environment: ") {
                    assert!(!before && said.contains("run: sudo eic-agent config"), "{said}");
                    unknown += 1;
                } else {
                    assert!(mode == 0o644 && before == permits, "{line}{said}");
                }
                let config = agent(world, &["config"]);
                assert_eq!(config.status, Some(i32::from(!permits)), "{line}: {}", config.err);
                assert!(Path::new(RECORD).is_file());
                assert_eq!(logs_in(world, &key), permits, "{line}");
                all_say(world, &key, permits, "settings-invalid", "expected PermitUserEnvironment EIC_*");
            }
        }
        assert!(unknown >= 8, "sshd never answers for a file of mode 0600");
    });
}

#[test]
fn run_as_root_queries_sshd_and_ignores_the_record() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        let base = base(world, "root");
        world.configure_unhurried(SETTINGS);
        for (line, permits) in
            [("PermitUserEnvironment no\n", false), ("PermitUserEnvironment EIC_*\n", true)]
        {
            lay_out(&format!("{base}{line}"), &[]);
            let sshd = Sshd::listen(&[]);
            syslog.clear();
            assert_eq!(logs_in(world, &key), permits, "without a record: {:?}", syslog.agent_lines());
            all_say(world, &key, permits, "settings-invalid", "expected PermitUserEnvironment EIC_*");
            // A run as root ignores the earlier record.
            fs::write(CONFIG, format!("{base}{}", if permits { "" } else { "PermitUserEnvironment yes\n" }))
                .unwrap();
            sshd.reload();
            assert_eq!(logs_in(world, &key), !permits, "{:?}", syslog.agent_lines());
        }
    });
}

/// A change after the record was written.
struct Stale {
    name: &'static str,
    change: fn(),
    /// A part of the message of the next run.
    says: &'static str,
    undo: fn(),
}

#[test]
fn outdated_record_is_not_used() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        world.configure_unhurried(SETTINGS);
        world.emulator.push("ec2-user", &key.line(), BOB);
        let base = base(world, "eic-agent");
        let include = format!("Include {DROP_INS}/*.conf /etc/ssh/later.conf\nPidFile none\n");
        lay_out(&format!("{include}{base}"), &[("50-site.conf", "PermitUserEnvironment EIC_*\n")]);
        // On RHEL, the agent's user may not even search this folder.
        set_mode(&format!("{DROP_INS}/50-site.conf"), 0o600);
        set_mode(DROP_INS, 0o700);
        let sshd = Sshd::listen(&[]);
        let config = agent(world, &["config"]);
        let advice = format!(
            "this user may not look into {DROP_INS}; run: sudo chmod go+x {DROP_INS}; then: sudo eic-agent config"
        );
        assert!(config.status == Some(1) && config.err.contains(&advice), "{}", config.err);
        assert!(!logs_in(world, &key));
        set_mode(DROP_INS, 0o711);
        let renew = || {
            let config = agent(world, &["config"]);
            assert_eq!(config.status, Some(0), "{}", config.err);
            let run = world.run_as("eic-agent", &["ec2-user"]);
            assert!(run.status() == Some(0) && run.keys().starts_with("environment="), "{run:?}");
        };
        let refuses = |what: &str, words: &str| {
            let run = world.run_as("eic-agent", &["ec2-user"]);
            assert!(run.status() == Some(1) && run.keys().is_empty(), "{what}: {run:?}");
            let notes = run.notes();
            assert!(notes.contains("environment-unknown: keys.environment: "), "{what}: {notes}");
            assert!(notes.contains(words), "{what}: {notes}");
        };
        renew();
        assert!(logs_in(world, &key));
        let nothing: fn() = || {};
        let kinds: [Stale; 16] = [
            Stale {
                name: "main file grew",
                change: || append(CONFIG, "# x\n"),
                says: "sshd_config has changed",
                undo: nothing,
            },
            Stale {
                name: "main file replaced",
                change: || replace(CONFIG),
                says: "sshd_config has changed",
                undo: nothing,
            },
            Stale {
                name: "main file's mode",
                change: || set_mode(CONFIG, 0o644),
                says: "sshd_config has changed",
                undo: nothing,
            },
            Stale {
                name: "times put back",
                change: || touch_back(CONFIG),
                says: "sshd_config has changed",
                undo: nothing,
            },
            Stale {
                name: "drop-in edited",
                change: || flip(&format!("{DROP_INS}/50-site.conf")),
                says: "50-site.conf has changed",
                undo: || {
                    flip(&format!("{DROP_INS}/50-site.conf"));
                },
            },
            Stale {
                name: "drop-in added",
                change: || write("/etc/ssh/sshd_config.d/10-a.conf", "# x\n"),
                says: "sshd_config.d has changed",
                undo: nothing,
            },
            Stale {
                name: "drop-in removed",
                change: || fs::remove_file("/etc/ssh/sshd_config.d/10-a.conf").unwrap(),
                says: "10-a.conf has changed",
                undo: nothing,
            },
            Stale {
                name: "named file appeared",
                change: || write("/etc/ssh/later.conf", "# x\n"),
                says: "later.conf has changed",
                undo: nothing,
            },
            Stale {
                name: "named file became a link",
                change: || link("/etc/ssh/later.conf"),
                says: "later.conf has changed",
                undo: nothing,
            },
            Stale {
                name: "folder closed",
                change: || set_mode(DROP_INS, 0o700),
                says: "may not look into /etc/ssh/sshd_config.d",
                undo: || set_mode(DROP_INS, 0o711),
            },
            Stale {
                name: "record gone",
                change: || fs::remove_file(RECORD).unwrap(),
                says: "there is no record",
                undo: nothing,
            },
            Stale {
                name: "record writable",
                change: || set_mode(RECORD, 0o666),
                says: "cannot be trusted",
                undo: nothing,
            },
            Stale {
                name: "record another's",
                change: || chown(RECORD, Some(60100), None).unwrap(),
                says: "it belongs to uid 60100",
                undo: nothing,
            },
            Stale {
                name: "record a link",
                change: || link(RECORD),
                says: "is not a regular file",
                undo: nothing,
            },
            Stale {
                name: "record malformed",
                change: || write(RECORD, "{\"version\": 1}"),
                says: "does not have the form",
                undo: nothing,
            },
            Stale {
                name: "record too long",
                change: || write(RECORD, &" ".repeat(600_000)),
                says: "larger than",
                undo: nothing,
            },
        ];
        for Stale { name, change, says, undo } in kinds {
            change();
            refuses(name, says);
            undo();
            renew();
        }
        // A record that is a pipe blocks no run. A record in a folder that others may write is not trusted.
        fs::remove_file(RECORD).unwrap();
        assert!(Command::new("mkfifo").arg(RECORD).status().unwrap().success());
        set_mode(RECORD, 0o644);
        refuses("record a pipe", "not a regular file");
        renew();
        set_mode("/var/lib/eic-agent", 0o777);
        refuses("folder writable", "expected /var/lib/eic-agent to be writable by its owner only");
        let config = agent(world, &["config"]);
        assert!(config.status == Some(1) && config.err.contains("/var/lib/eic-agent"), "{}", config.err);
        set_mode("/var/lib/eic-agent", 0o755);
        renew();
        // The file can change within the same clock tick in which the record is written.
        for round in 0..10 {
            renew();
            flip(&format!("{DROP_INS}/50-site.conf"));
            refuses("changed at once", "50-site.conf has changed");
            flip(&format!("{DROP_INS}/50-site.conf"));
            assert!(!logs_in(world, &key), "round {round}");
        }
        renew();
        // `disable` leaves no record.
        fs::remove_file(format!("{RECORD}.moved")).unwrap();
        drop(sshd);
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert!(!Path::new("/var/lib/eic-agent").exists());
    });
}

fn write(path: &str, text: &str) {
    fs::write(path, text).unwrap();
}

fn append(path: &str, text: &str) {
    let before = fs::read_to_string(path).unwrap();
    fs::write(path, format!("{before}{text}")).unwrap();
}

/// Replaces the file with another one of the same content.
fn replace(path: &str) {
    let fresh = format!("{path}.fresh");
    fs::copy(path, &fresh).unwrap();
    fs::rename(fresh, path).unwrap();
}

/// Changes the value and keeps the length. A second call undoes the change.
fn flip(path: &str) {
    let before = fs::read_to_string(path).unwrap();
    let after = if before.contains("EIC_*") {
        before.replace("EIC_*", "XXX_*")
    } else {
        before.replace("XXX_*", "EIC_*")
    };
    fs::write(path, after).unwrap();
}

/// Changes the content, and keeps the length and the modification time.
fn touch_back(path: &str) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let text = fs::read_to_string(path).unwrap();
    fs::write(path, text.replace("# x", "# y")).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

/// Moves the file, and puts a link to it at its path.
fn link(path: &str) {
    let elsewhere = format!("{path}.moved");
    fs::rename(path, &elsewhere).unwrap();
    symlink(&elsewhere, path).unwrap();
}

#[test]
fn record_of_a_server_with_another_command_line_is_not_used() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure_unhurried(SETTINGS);
        let base = base(world, "eic-agent");
        lay_out(&format!("{base}PermitUserEnvironment EIC_*\n"), &[]);
        let refuses = |words: &str| {
            syslog.clear();
            assert!(!logs_in(world, &key));
            let said = syslog.agent_lines().join("\n");
            assert!(said.contains("environment-unknown") && said.contains(words), "{said}");
        };
        let sshd = Sshd::listen(&[]);
        assert_eq!(agent(world, &["config"]).status, Some(0));
        assert!(logs_in(world, &key));
        drop(sshd);
        // The first value of the command line wins over every file.
        let sshd = Sshd::listen(&["-o", "PermitUserEnvironment no"]);
        refuses("another PermitUserEnvironment on its command line");
        assert_eq!(agent(world, &["config"]).status, Some(1));
        syslog.clear();
        assert!(!logs_in(world, &key));
        assert!(syslog.agent_lines().join("\n").contains("settings-invalid"));
        all_say(world, &key, false, "settings-invalid", "expected PermitUserEnvironment EIC_*");
        drop(sshd);
        fs::write("/etc/ssh/other", format!("{base}PermitUserEnvironment no\n")).unwrap();
        let sshd = Sshd::listen(&[]);
        assert_eq!(agent(world, &["config"]).status, Some(0));
        assert!(logs_in(world, &key));
        drop(sshd);
        let sshd = Sshd::listen(&["-f", "/etc/ssh/other"]);
        refuses("this login's sshd reads /etc/ssh/other");
        drop(sshd);
        // A configuration that the running sshd has not read does not count.
        fs::write(CONFIG, format!("{base}PermitUserEnvironment no\n")).unwrap();
        let sshd = Sshd::listen(&["-o", "PidFile=/run/sshd.pid"]);
        // sshd writes its pid file after it listens. The times of files have the resolution of a clock tick.
        let number = sshd.pid().to_string();
        until("sshd has written its number", || {
            fs::read_to_string("/run/sshd.pid").is_ok_and(|said| said.trim() == number)
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::write(CONFIG, format!("{base}PermitUserEnvironment EIC_*\n")).unwrap();
        let config = agent(world, &["config"]);
        let words =
            "sshd_config was changed after sshd had read it; reload sshd, then run: sudo eic-agent config";
        assert!(config.status == Some(1) && config.err.contains(words), "{}", config.err);
        assert!(!logs_in(world, &key));
        sshd.reload();
        assert_eq!(agent(world, &["config"]).status, Some(0));
        assert!(logs_in(world, &key));
    });
}
