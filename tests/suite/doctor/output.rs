//! The output of `doctor`: JSON of the documented shape, and text for people.

use std::fs;
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use super::sound::{have_it_read, verdicts};
use super::{NO_SSHD, edited, mode, wired, with};
use crate::documents::assert_screen;
use crate::screens::words;
use crate::wiring::{CONFIG, OURS, agent};
use crate::world::{World, installed, on_an_instance, test_path};

/// The Python package `jsonschema` validates the report.
#[test]
fn json_report_matches_its_schema() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = wired(world);
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/schema/doctor.schema.json");
        let file = world.path("etc/report.json");
        let validate = |report: &str| {
            fs::write(&file, report).unwrap();
            let program = "import json, sys, jsonschema\n\
                           schema, report = (json.load(open(name)) for name in sys.argv[1:])\n\
                           jsonschema.Draft202012Validator.check_schema(schema)\n\
                           jsonschema.Draft202012Validator(schema).validate(report)";
            let python = installed("python3");
            let ran = Command::new(python).args(["-c", program, schema]).arg(&file).output().unwrap();
            (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
        };
        for arguments in [&["doctor", "--json"][..], &["doctor", "--json", "--user", "ec2-user"]] {
            let (valid, said) = validate(&agent(world, arguments).out);
            assert!(valid, "{said}");
        }
        with("DenyUsers ec2-user\n")(world);
        let broken = agent(world, &["doctor", "--json", "--user", "ec2-user"]).out;
        assert!(broken.contains("\"fail\"") && validate(&broken).0);
        for (from, to) in [
            ("\"fail\"", "\"broken\""),
            ("\"schema_version\": 2", "\"schema_version\": 1"),
            ("\"why\"", "\"because\""),
        ] {
            assert!(!validate(&broken.replace(from, to)).0, "{to} must not match the schema");
        }
    });
}

#[test]
fn text_report_names_cause_and_fix_and_works_without_root() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = wired(world);
        let ran = agent(world, &["doctor"]);
        assert_eq!(ran.status, Some(0), "{}", ran.out);
        assert!(ran.out.contains("skipped  access         no login name; add --user USER\n"), "{}", ran.out);
        assert!(ran.out.ends_with("\nNo fault was found.\n"), "{}", ran.out);

        with("DenyUsers ec2-user\n")(world);
        have_it_read();
        let ran = agent(world, &["doctor", "--user", "ec2-user"]);
        assert_eq!(ran.status, Some(1), "{}", ran.out);
        let seen = "DenyUsers contains ec2-user (/etc/ssh/sshd_config:1)";
        assert!(ran.out.contains(&format!("FAIL     access         {seen}\n")), "{}", ran.out);
        assert!(
            ran.out.contains("fix:  remove ec2-user from DenyUsers, then: sudo kill -HUP "),
            "{}",
            ran.out
        );
        assert!(
            words(&ran.out)
                .contains(&format!("Most likely cause of a refused login: access: {seen} Do this first")),
            "{}",
            ran.out
        );
        assert!(!ran.out.contains('\u{1b}'), "no colour without a terminal");

        // Only root can read this configuration, so `sshd -T` works for root alone. Without root, `doctor` skips
        // these checks and gives no false verdict.
        let report = as_nobody(world);
        for check in report["checks"].as_array().unwrap() {
            if NO_SSHD.contains(&check["id"].as_str().unwrap()) {
                assert_eq!(check["verdict"], "skipped", "{check:#}");
                assert!(check["seen"].as_str().unwrap().contains("run with sudo"), "{check:#}");
            }
        }
        let told = verdicts(&report);
        for id in ["openssh", "unit-override", "shell", "selinux", "log"] {
            assert_eq!(told[id], "ok", "{report:#}");
        }

        // If all users may read the configuration, `doctor` skips only the checks that need root.
        for file in [CONFIG, OURS] {
            mode(Path::new(file), 0o644);
        }
        let report = as_nobody(world);
        let told = verdicts(&report);
        for (id, verdict) in
            [("command", "skipped"), ("account", "skipped"), ("command-path", "ok"), ("access", "fail")]
        {
            assert_eq!(told[id], verdict, "{report:#}");
        }
        assert!(report.to_string().contains("run with sudo to see what the running sshd was started with"));
        edited("/etc/passwd", "/home/ec2-user:/bin/sh", "/home/ec2-user:/bin/nosuch")(world);
        for (readable, verdict) in [(0o644, "fail"), (0o600, "skipped")] {
            mode(Path::new(CONFIG), readable);
            assert_eq!(verdicts(&as_nobody(world))["shell"], verdict);
        }
    });
}

fn as_nobody(world: &World) -> Value {
    let ran = Command::new("setpriv")
        .args(["--reuid=nobody", "--clear-groups"])
        .arg(world.agent())
        .args(["doctor", "--json", "--user", "ec2-user"])
        .output()
        .unwrap();
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn screen_of_troubleshooting_md_is_what_doctor_prints() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = wired(world);
        fs::write("/etc/ssh/sshd_config.d/05-site.conf", "AuthorizedKeysCommand /usr/bin/id %u\n").unwrap();
        have_it_read();
        let printed = agent(world, &["doctor", "--user", "ec2-user"]);
        assert_eq!(printed.status, Some(1), "{}", printed.out);
        // The path of the agent differs from the document's. `assert_screen` accepts another release of OpenSSH.
        let printed = printed.out.replace(&world.agent().display().to_string(), "/usr/bin/eic-agent");
        assert_screen("docs/troubleshooting.md", "ok       openssh        OpenSSH", &printed);
    });
}
