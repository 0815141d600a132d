//! Logs and queries that must not look like "nothing happened".

use std::fs;

use eic_emulator::Config;
use serde_json::Value;

use super::{ALICE, ids, is_valid, logged_login, push, ran, report, session};
use crate::world::{Journald, Key, Sshd, World, on_an_instance, test_path, until};

#[test]
fn disconnect_line_ends_a_session_of_an_sshd_without_pam() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let key = Key::ed25519(world, "alice");
        let _sshd = Sshd::with_pam(world, "UsePAM no\n");
        world.emulator.push("ec2-user", &key.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &key);
        journal.wait_for(&key.fingerprint());
        let shown = report(world, &[]);
        assert_eq!(session(&shown, &key)["state"], "open", "{shown:#}");
        alice.leave();
        journal.wait_for("Disconnected from user ec2-user");
        until("the process is gone", || session(&report(world, &[]), &key)["state"] != "open");
        let shown = report(world, &[]);
        let gone = session(&shown, &key);
        assert_eq!(
            (push(gone).0, &gone["state"], &gone["end_attributed"], gone["seconds"].is_u64()),
            (ALICE, &"closed".into(), &false.into(), true),
            "{shown:#}"
        );
        is_valid(world, &shown).unwrap();
        assert!(ids(&shown).contains(&"ends-by-users") && !ids(&shown).contains(&"no-ends"), "{shown:#}");

        // Another user cannot end a session of somebody else, and cannot move its end without being noticed.
        let port = gone["port"].to_string();
        let line = format!("Disconnected from user ec2-user 127.0.0.1 port {port}");
        super::as_user(world, "ubuntu", &format!("logger -p authpriv.info -t sshd '{line}'"));
        until("the forged line", || {
            let shown = report(world, &[]);
            shown["disbelieved"] != serde_json::json!([])
                || (session(&shown, &key)["state"] == "unknown" && ids(&shown).contains(&"ends-contradict"))
        });
    });
}

#[test]
fn query_that_nothing_can_match_is_an_error() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _journal = Journald::start(world);
        for (arguments, words) in [
            (&["--since", "2h", "--until", "3h"][..], "expected --since before --until"),
            (&["--since", "2026-01-02", "--until", "2026-01-01"], "expected --since before --until"),
            (&["--principal", ""], "got nothing"),
            (&["--principal", "[a-z"], "brackets are not sets"),
            (&["--principal", "alice"], "expected the ARN of a caller"),
            (
                &["--principal", "arn:aws:iam::123456789012:role/Admin"],
                "expected \"arn:aws:sts::123456789012:assumed-role/Admin/*\"",
            ),
            (&["--principal", "arn:aws:iam::*:role/Admin"], "matches no role"),
            (&["--user", ""], "expected a login name"),
        ] {
            let said = ran(world, arguments);
            assert_eq!((said.status, said.out.as_str()), (Some(2), ""), "{arguments:?}: {}", said.err);
            assert!(said.err.contains(words), "{arguments:?}: {}", said.err);
        }
        // IAM allows such a path.
        for pattern in ["arn:aws:iam::*:user/[team]/*", "*{Admin,Dev}*", "*:b/bob"] {
            let shown = report(world, &["--principal", pattern]);
            assert!(ids(&shown).contains(&"principal-unlikely"), "{shown:#}");
            is_valid(world, &shown).unwrap();
        }
    });
}

#[test]
fn user_that_neither_the_machine_nor_its_log_knows_is_reported() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_journal, _key) = logged_login(world);
        let unknown = |arguments: &[&str]| {
            let shown = report(world, arguments);
            (ids(&shown).contains(&"unknown-user"), shown["complete"].clone())
        };
        let later = report(world, &["--since", "2999-01-01", "--user", "nobody-here"]);
        is_valid(world, &later).unwrap();
        assert_eq!((ids(&later).contains(&"since-in-future"), &later["complete"]), (true, &false.into()));
        assert_eq!(unknown(&["--user", "ec2-uesr"]), (true, false.into()));
        assert!(!unknown(&["--user", "ec2-user"]).0);
        assert!(!unknown(&["--user", "ubuntu"]).0, "the machine knows this user, who did not log in");
        // The log still contains the name of a removed user.
        let file =
            write(world, &["Nov 21 10:00:00 h sshd[7]: Accepted password for gone from ::1 port 1 ssh2"]);
        assert!(!unknown(&["--user", "gone", &file]).0);
        assert!(unknown(&["--user", "never", &file]).0);
    });
}

fn write(world: &World, lines: &[&str]) -> String {
    let file = world.path("etc/unread");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn first_line_of_unknown_form_is_named() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let login = "Accepted publickey for moe from 192.0.2.5 port 4000 ssh2: ED25519 SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let other = "Nov 21 10:00:00 h cron[7]: x";
        for (line, is_named) in [
            (format!("web-1  | Nov 21 10:00:00 h sshd[77]: {login}"), true),
            (format!("{{\"ident\":\"sshd\",\"message\":\"{login}\"}}"), true),
            (format!("Nov 21 10:00:00 h collector[7]: h sshd[77]: {login}"), true),
            (format!("Nov 21 10:00:00 h sshd[77]: {}", &login[..login.len() - 5]), true),
            (format!("Sat 2026-11-21 10:00:00 CET h sshd[77]: {login}"), true),
            (format!("junk{}", "x".repeat(70_000)), false),
        ] {
            let file = write(world, &[other, &line]);
            let said = ran(world, &["--json", &file]);
            let shown: Value = serde_json::from_str(&said.out).unwrap();
            assert_eq!((said.status, &shown["complete"]), (Some(1), &false.into()), "{line:.60}");
            let seen = |id: &str| {
                let warnings = shown["warnings"].as_array().unwrap();
                let found = warnings.iter().find(|one| one["id"] == id);
                found.map(|one| one["seen"].as_str().unwrap().to_owned()).unwrap_or_default()
            };
            if is_named {
                let named = seen("unknown-format");
                assert!(named.starts_with("1 lines") && named.contains(&format!("{file}:2: ")), "{named}");
            } else {
                assert!(seen("unreadable").starts_with("1 lines"), "{shown:#}");
            }
        }
        // A long line of another program does not matter.
        let long = format!("Nov 21 10:00:00 h app[7]: {}", "x".repeat(70_000));
        assert_eq!(ids(&report(world, &[&write(world, &[other, &long])])), ["text-log"]);
    });
}
