//! `rules test` compared with runs of the agent: a table of rules and principals.

use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use super::{CONTRACTOR, DEPLOY, around, contractors, push};
use crate::world::{Key, World, on_an_instance, test_path};

/// What `rules test` prints, with its exit status.
fn rules_test(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(world.agent()).args(["rules", "test"]).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn rules_test_predicts_the_line_of_a_run() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        let deny = "[policy]\ndefault = \"deny\"\n";
        let forced = "options = 'restrict,command=\"run %{session} %{role} %{account} %{request_id}\"'";
        let settings = [
            String::new(),
            deny.to_owned(),
            contractors("max_age = 30"),
            format!("{deny}{}", contractors(forced)),
            format!(
                "[keys]\noptions = \"pty\"\nenvironment = false\n{}",
                contractors("options = \"no-pty\"")
            ),
            format!("{}{deny}", contractors(&around("Asia/Tokyo", 0, 2))),
            contractors(&around("Asia/Tokyo", 3, 5)),
            contractors("days = [\"Mon\"]\ntime_zone = \"Nowhere/Land\""),
            format!(
                "{}{}",
                contractors("options = 'command=\"echo %{role}\"'"),
                contractors("").replace("allow", "deny").replace("Contractor", "Deploy")
            ),
        ];
        let hostile = "arn:aws:sts::123456789012:assumed-role/Contractor/\" $(id) %{role}";
        let bob = "arn:aws:iam::123456789012:user/x:assumed-role/Contractor/bob";
        for settings in &settings {
            world.configure(settings);
            for (caller, age) in [(CONTRACTOR, 0), (CONTRACTOR, 40), (DEPLOY, 0), (hostile, 0), (bob, 0)] {
                let at = world.emulator.now();
                push(world, "ec2-user", &key, caller, age);
                let run = world.run(&["ec2-user"]);
                let age = age.to_string();
                let at = at.to_string();
                let asked = [
                    "--user",
                    "ec2-user",
                    "--principal",
                    caller,
                    "--age",
                    &age,
                    "--at",
                    &at,
                    "--request-id",
                    "r-1",
                    "--json",
                ];
                let (status, said, _) = rules_test(world, &asked);
                let report: Value = serde_json::from_str(&said).unwrap();
                let line = report["line"].as_str().unwrap_or_default();
                let base64 = key.bare_line();
                let base64 = base64.split_once(' ').unwrap().1;
                let expected = run.keys().trim_end().replace(base64, "KEY");
                assert_eq!(line, expected, "{settings}{caller} {age}");
                assert_eq!(status, Some(i32::from(line.is_empty())), "{said}");
                if let Some(reason) = report["reason"].as_str() {
                    let detail = report["detail"].as_str().unwrap();
                    // A busy machine may make the key some seconds older.
                    let detail = detail
                        .split(" ago")
                        .next()
                        .unwrap()
                        .trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ' || c == 's');
                    assert!(
                        run.notes().contains(&format!("refused: {reason}: {detail}")),
                        "{}\n{said}",
                        run.notes()
                    );
                }
            }
        }
    });
}

#[test]
fn rules_test_shows_the_deciding_rule_and_refuses_bad_input() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let ask = |more: &[&str]| {
            rules_test(world, &[&["--user", "root", "--principal", CONTRACTOR], more].concat())
        };
        let (status, said, _) = ask(&["--at", "2025-02-01T03:00:00Z"]);
        assert_eq!(status, Some(0));
        assert_eq!(
            said,
            "at        2025-02-01T03:00:00Z\nrule      none matches: [policy] default decides\nallowed   ssh-ed25519 KEY\n"
        );
        world.configure(&contractors("hours = [\"08:00-18:00\"]\ntime_zone = \"UTC\""));
        let (status, said, _) = ask(&["--at", "2025-02-01T03:00:00Z"]);
        assert_eq!(status, Some(1));
        assert!(said.contains("rule      1 \"contractors\", line 1\ndenied    outside-hours: contractors (a rule of this instance) allows the key daily 08:00-18:00 UTC, now it is Sat 03:00, pushed by "), "{said}");
        assert_eq!(ask(&["--at", "2025-02-01T08:00:00Z"]).0, Some(0));
        // A push that names no principal, another key type, notes, and bad input.
        assert!(rules_test(world, &["--user", "root", "--principal", ""]).1.contains("none matches"));
        let (_, said, _) = rules_test(
            world,
            &[
                "--user",
                "root",
                "--principal",
                "arn:aws:iam::*:role/Demo",
                "--key-type",
                "ssh-ed448",
                "--age",
                "59",
            ],
        );
        assert_eq!(said.matches("\nnote      ").count(), 2, "{said}");
        let (status, said, _) = ask(&["--age", "60", "--at", "2025-02-01T08:00:00Z"]);
        assert_eq!(status, Some(1));
        assert!(said.contains("denied    expired: a key expires 60 s after the push"), "{said}");
        for bad in [&["--user", "a b"][..], &["--at", "noon"], &["--age", "-1"]] {
            assert_eq!(ask(bad).0, Some(2), "{bad:?}");
        }
        world.configure("[policy]\ndefault = 3\n");
        let (status, said, err) = ask(&[]);
        assert!(
            status == Some(1)
                && said.is_empty()
                && err.contains("settings-invalid: /etc/eic-agent.toml:2: policy.default"),
            "{err}"
        );
    });
}

#[test]
fn option_of_keys_that_a_rule_replaces_is_named_before_a_login_shows_it() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        let keys = "[keys]\noptions = 'from=\"198.51.100.0/24\",permitopen=\"a:1\",pty'\n";
        let words = "these options of [keys], which do not apply to the keys of this rule: ";
        for (rule, replaced) in [
            ("from=\"127.0.0.1\",permitopen=\"a:1\"", "from=\"198.51.100.0/24\""),
            ("from=\"127.0.0.1\",permitopen=\"b:2\"", "from=\"198.51.100.0/24\",permitopen=\"a:1\""),
            ("no-pty,environment=\"A=1\"", ""),
        ] {
            world.configure(&format!("{keys}{}", contractors(&format!("options = '{rule}'"))));
            push(world, "ec2-user", &key, CONTRACTOR, 0);
            let line = world.run(&["ec2-user"]).keys();
            let config = Command::new(world.agent()).arg("config").output().unwrap();
            let config = (config.status.code(), String::from_utf8(config.stderr).unwrap());
            let (status, test, _) = rules_test(world, &["--user", "ec2-user", "--principal", CONTRACTOR]);
            assert_eq!((status, config.0), (Some(0), Some(0)), "this is no fault: {test}{}", config.1);
            for said in [&test, &config.1] {
                assert_eq!(said.contains(&format!("{words}{replaced}\n")), !replaced.is_empty(), "{said}");
                assert_eq!(said.contains(words), !replaced.is_empty(), "{said}");
            }
            for option in ["from=\"198.51.100.0/24\"", "permitopen=\"a:1\""] {
                let is_gone = !line.contains(option);
                assert_eq!(is_gone, replaced.contains(option), "{option}: {line}");
            }
        }
    });
}
