//! What `doctor` says about the memory, and what runs then do.

use std::process::Command;

use eic_emulator::Config;
use eic_login::memory::FOLDER;
use serde_json::Value;

use super::{keys_of, run};
use crate::doctor::memory::{Runs, STATES, fresh};
use crate::wiring::agent;
use crate::world::{World, on_an_instance, test_path};

/// The check `memory`, as this user sees it. Without sshd, no check runs the agent.
fn check(world: &World) -> Value {
    let ran = agent(world, &["doctor", "--json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "memory").unwrap().clone()
}

/// Whether a run uses a remembered token.
fn is_warm(world: &World) -> bool {
    let (_, paths) = run(world, "ec2-user");
    match paths.len() {
        1 => assert_eq!(paths, [keys_of("ec2-user")]),
        2 => assert_eq!(paths[1], keys_of("ec2-user")),
        _ => panic!("{paths:?}"),
    }
    paths.len() == 1
}

#[test]
fn doctor_says_of_each_state_what_runs_do() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let mut faults = Vec::new();
        for state in STATES {
            world.configure_unhurried("");
            let _ = std::fs::remove_file("/etc/tmpfiles.d/eic-agent.conf");
            fresh(world);
            (state.make)(world);
            let check = check(world);
            let text = |name: &str| check[name].as_str().unwrap_or_default();
            let seen = crate::doctor::shows(text("seen"), state.seen);
            if text("verdict") != state.verdict || !seen || !text("fix").contains(state.fix) {
                faults.push(format!("{}: {check:#}", state.name));
            }
            let runs = [is_warm(world), is_warm(world), is_warm(world)];
            let expected = match state.runs {
                Runs::Warm => [true, true, true],
                Runs::ColdThenWarm => [false, true, true],
                Runs::ColdTwice => [false, false, true],
                Runs::Cold => [false, false, false],
            };
            if runs != expected {
                faults.push(format!("{}: warm runs: {runs:?}", state.name));
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    });
}

#[test]
fn read_only_folder_is_reported_and_not_used() {
    on_an_instance(test_path!(), Config::default(), |world| {
        for is_empty in [true, false] {
            fresh(world);
            assert!(is_empty || !is_warm(world));
            let mount = |words: &[&str]| {
                assert!(Command::new("mount").args(words).status().unwrap().success(), "{words:?}");
            };
            mount(&["--bind", FOLDER, FOLDER]);
            mount(&["-o", "remount,bind,ro", FOLDER]);
            let check = check(world);
            assert_eq!(check["verdict"], "warn", "{check:#}");
            assert!(check["seen"].as_str().unwrap().contains("Read-only file system"), "{check:#}");
            assert!(!is_warm(world) && !is_warm(world), "empty: {is_empty}");
            assert!(Command::new("umount").arg(FOLDER).status().unwrap().success());
        }
    });
}

#[test]
fn other_user_is_told_only_what_that_user_can_see() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let as_ubuntu = || {
            let uid = world.uid("ubuntu").to_string();
            let mut command = Command::new("setpriv");
            command.args(["--reuid", &uid, "--clear-groups"]).arg(world.agent());
            let ran = command.args(["doctor", "--json"]).output().unwrap();
            let report: Value = serde_json::from_slice(&ran.stdout).unwrap();
            let checks = report["checks"].as_array().unwrap();
            let check = checks.iter().find(|check| check["id"] == "memory").unwrap();
            (check["verdict"].as_str().unwrap().to_owned(), check["seen"].as_str().unwrap().to_owned())
        };
        let (verdict, seen) = as_ubuntu();
        assert_eq!((verdict.as_str(), seen.contains("there is no folder")), ("warn", true), "{seen}");
        fresh(world);
        let hidden = ("skipped".to_owned(), "run with sudo to see what runs remember".to_owned());
        assert_eq!(as_ubuntu(), hidden);
        assert!(!is_warm(world) && is_warm(world));
        assert_eq!(as_ubuntu(), hidden);
    });
}
