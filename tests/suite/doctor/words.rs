//! The words of a check fit each of its failures.

use std::process::{Command, Stdio};

use eic_emulator::Config;
use serde_json::Value;

use super::sound::ask;
use super::{have_it_read, mode, wired, with};
use crate::wiring::agent;
use crate::world::{on_an_instance, test_path};

fn why(report: &Value, id: &str) -> (String, String) {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == id).unwrap();
    (check["verdict"].as_str().unwrap().to_owned(), check["why"].as_str().unwrap().to_owned())
}

#[test]
fn reason_of_a_check_fits_each_of_its_failures() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = wired(world);
        let folder = world.agent().parent().unwrap().to_owned();
        mode(&folder, 0o700);
        let (_, report) = ask(world, "ec2-user");
        mode(&folder, 0o755);
        let (verdict, why_path) = why(&report, "command-path");
        assert_eq!(verdict, "fail", "{report:#}");
        assert!(why_path.contains("its own user can run it"), "{why_path}");

        std::fs::write("/etc/nologin", "").unwrap();
        let (_, report) = ask(world, "ec2-user");
        std::fs::remove_file("/etc/nologin").unwrap();
        let (verdict, nologin) = why(&report, "shell");
        assert!(verdict == "fail" && !nologin.contains("shell"), "{nologin}");

        with("MaxSessions 0\n")(world);
        have_it_read();
        let (_, report) = ask(world, "ec2-user");
        let (verdict, sessions) = why(&report, "shell");
        assert!(verdict == "fail" && !sessions.contains("shell"), "{sessions}");
    });
}

/// Without a terminal, the parser alone would blame the word after the misspelt option.
#[test]
fn misspelt_option_is_named_without_a_terminal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        for words in [&["--timout", "5", "SHA256:x"][..], &["--timout", "5", "u", "SHA256:x"]] {
            let mut command = Command::new(world.agent());
            command.arg("authorized-keys").args(words).stdin(Stdio::null());
            let ran = command.output().unwrap();
            let said = String::from_utf8_lossy(&ran.stderr).into_owned();
            assert_eq!((ran.status.code(), ran.stdout.len()), (Some(2), 0), "{said}");
            assert!(said.contains("'--timout'") && said.contains("'--timeout'"), "{said}");
        }
    });
}

#[test]
fn missing_file_of_roots_is_a_problem_of_status() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_sshd, _log) = wired(world);
        assert_eq!(agent(world, &["status"]).status, Some(0));
        world.configure("[trust]\nca_file = \"/etc/none.pem\"\n");
        let ran = agent(world, &["status"]);
        assert_eq!(ran.status, Some(1), "{}", ran.out);
        assert!(ran.err.contains("trust-store-unusable") && ran.err.contains("/etc/none.pem"), "{}", ran.err);
    });
}

#[test]
fn command_that_no_file_sets_is_not_said_to_be_on_the_command_line() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_sshd, _log) = wired(world);
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        let (_, report) = ask(world, "ec2-user");
        let checks = report["checks"].as_array().unwrap();
        let seen = &checks.iter().find(|check| check["id"] == "command").unwrap()["seen"];
        let seen = seen.as_str().unwrap();
        assert!(seen.contains("the files set none") && !seen.contains("command line"), "{seen}");
    });
}
