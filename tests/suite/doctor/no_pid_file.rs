//! An sshd without a pid file: its last reading of the files is not known after they change.

use std::fs;

use eic_emulator::Config;
use serde_json::Value;

use super::sound::ask;
use super::wired;
use crate::wiring::{CONFIG, agent};
use crate::world::{BOB, Key, Sshd, World, on_an_instance, test_path};

/// Whether a pushed key logs in.
fn logs_in(world: &World, key: &Key) -> bool {
    world.emulator.push("ec2-user", &key.line(), BOB);
    let is_in = world.ssh("ec2-user", &[key]).ok;
    world.emulator.clear_keys();
    is_in
}

fn verdict(report: &Value, id: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|check| check["id"] == id).unwrap()["verdict"].as_str().unwrap().to_owned()
}

/// Before and after the reload, the files are the same and the logins differ. So no command may predict the login.
#[test]
fn reload_of_a_server_without_a_pid_file_is_not_guessed() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (first, _log) = wired(world);
        drop(first);
        let base = fs::read_to_string(CONFIG).unwrap().replace("PidFile /run/sshd.pid", "PidFile none");
        let key = Key::ed25519(world, "no-pid");
        let mut faults = Vec::new();
        for (name, before, after) in [
            ("key logins off", "", "PubkeyAuthentication no\n"),
            ("key logins on", "PubkeyAuthentication no\n", ""),
            ("user denied", "", "DenyUsers ec2-user\n"),
            ("no sessions", "", "MaxSessions 0\n"),
            ("algorithm refused", "", "PubkeyAcceptedAlgorithms rsa-sha2-512\n"),
            ("second method", "", "AuthenticationMethods publickey,password\n"),
            ("another command", "", "AuthorizedKeysCommand /usr/bin/env %u\n"),
            ("command again", "AuthorizedKeysCommand /usr/bin/env %u\n", ""),
        ] {
            fs::write(CONFIG, format!("{before}{base}")).unwrap();
            let sshd = Sshd::listen(&[]);
            fs::write(CONFIG, format!("{after}{base}")).unwrap();
            for is_reloaded in [false, true] {
                if is_reloaded {
                    sshd.reload();
                }
                let is_in = logs_in(world, &key);
                let mut expect = |what: &str, is_met: bool, said: &str| {
                    if !is_met {
                        faults.push(format!("{name}, reloaded {is_reloaded}, login {is_in}: {what}: {said}"));
                    }
                };
                let ran = agent(world, &["status", "--json"]);
                let report: Value = serde_json::from_str(&ran.out).unwrap();
                let is_open = ran.status == Some(1) && report["known"] == false;
                expect("status", is_open, &report["problems"].to_string());
                let (_, report) = ask(world, "ec2-user");
                expect("doctor", report["login"] == "not-known", &report.to_string());
                expect("doctor", verdict(&report, "command") == "skipped", &report.to_string());
                let explained = agent(world, &["explain", "--json", "ec2-user"]);
                let explained: Value = serde_json::from_str(&explained.out).unwrap();
                expect("explain", explained["sshd"]["asks"] == false, &explained["sshd"].to_string());
            }
            drop(sshd);
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    });
}

/// With a pid file, the missing reload is certain, and it comes before a fault in the files.
#[test]
fn fault_in_files_that_sshd_has_not_read_is_not_the_cause() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (sshd, _log) = wired(world);
        let base = fs::read_to_string(CONFIG).unwrap();
        let key = Key::ed25519(world, "pid");
        fs::write(CONFIG, format!("DenyUsers ec2-user\n{base}")).unwrap();
        assert!(logs_in(world, &key));
        let (_, report) = ask(world, "ec2-user");
        assert_eq!(
            (&report["login"], &report["cause"]),
            (&"not-known".into(), &"command".into()),
            "{report:#}"
        );
        assert_eq!(verdict(&report, "access"), "fail", "{report:#}");
        sshd.reload();
        assert!(!logs_in(world, &key));
        let (_, report) = ask(world, "ec2-user");
        assert_eq!((&report["login"], &report["cause"]), (&"fails".into(), &"access".into()), "{report:#}");
    });
}
