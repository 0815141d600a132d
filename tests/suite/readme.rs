//! What the README says is run as it stands there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use eic_core::reason::Reason;
use eic_emulator::Config;

use crate::world::{BOB, INSTANCE, Journald, Key, Sshd, on_an_instance, test_path, until};

const README: &str = include_str!("../../README.md");

/// The fenced block that begins with `start`.
pub(crate) fn block(start: &str) -> &'static str {
    let blocks = README.split("\n```").map(|block| block.split_once('\n').map_or("", |(_, text)| text));
    let mut found = blocks.filter(|text| text.starts_with(start));
    found.next().unwrap_or_else(|| panic!("README.md has no block that begins with {start}"))
}

#[test]
fn recipe_that_saves_and_judges_evidence_works() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), BOB);
        let output = Command::new("sh")
            .args(["-euc", block("T=$(curl")])
            .current_dir(world.path("etc"))
            .env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{}\n", key.bare_line()));
        assert!(said.contains(&format!("key {}: accepted, until ", key.fingerprint())), "{said}");
        assert_eq!(said.matches("    staple good, ").count(), 2, "{said}");
    });
}

/// From the instance's log to the record of the push: the whole way that an auditor goes.
#[test]
fn recipe_that_finds_a_push_in_cloudtrail_works() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let keys = ["alice", "bob"].map(|name| (name, Key::ed25519(world, name)));
        for (name, key) in &keys {
            let access_key = format!("AKIAEXAMPLE{}", name.to_uppercase());
            assert!(world.aws_push(&access_key, INSTANCE, "ec2-user", key).status.success());
            let stay = world.ssh_stay("ec2-user", key);
            std::thread::sleep(std::time::Duration::from_millis(1500));
            stay.leave();
        }
        until("both ends", || journal.cat().matches("session closed for user ec2-user").count() == 2);
        world.script("sudo", "exec \"$@\"");
        let run_to = |statuses: &[i32], block: &str| {
            let mut command = world.with_clients(Command::new("sh"));
            let output = command.args(["-euc", block]).current_dir(world.path("etc")).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            let status = output.status.code().unwrap();
            assert!(statuses.contains(&status) && said.is_empty(), "{status}: {said}");
            let output = String::from_utf8(output.stdout).unwrap();
            eprintln!("{output}");
            output
        };
        let run = |block: &str| run_to(&[0], block);
        // journald may be too late to see who wrote of an end; and this log does not reach back for 30 days.
        run_to(&[0, 1], "sudo eic-agent sessions");
        run_to(&[1], block("sudo eic-agent sessions --since 30d --json"));
        let found = run(block("jq -r '.sessions[].pushes[]"));
        let found: Vec<serde_json::Value> =
            serde_json::Deserializer::from_str(&found).into_iter().map(Result::unwrap).collect();
        let who: BTreeSet<_> = found.iter().map(|event| event["who"].as_str().unwrap()).collect();
        assert_eq!(
            who,
            ["alice", "bob"]
                .map(|name| format!("arn:aws:iam::123456789012:user/{name}"))
                .iter()
                .map(String::as_str)
                .collect()
        );
        for event in &found {
            assert_eq!(
                (&event["instance"], &event["as"]),
                (&INSTANCE.into(), &"ec2-user".into()),
                "{event:#}"
            );
        }
        assert_eq!(found.len(), 2);
        let table = run(block("jq -r '.sessions[] | [.start"));
        assert_eq!(table.lines().count(), 2, "{table}");
    });
}

#[test]
fn every_reason_is_explained_in_readme() {
    for reason in Reason::ALL {
        assert!(README.contains(&format!("`{reason}`")), "README.md does not explain {reason}");
    }
}

#[test]
fn every_option_is_listed_in_readme() {
    let help =
        Command::new(env!("CARGO_BIN_EXE_eic-agent")).args(["authorized-keys", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
    let options: BTreeSet<_> = words.filter(|word| *word != "--help").collect();
    for option in &options {
        assert!(README.contains(&format!("| `{option} ")), "README.md does not list {option}");
    }
    assert_eq!(options.len(), 7, "{options:?}");
}

#[test]
fn files_that_docs_code_md_names_exist() {
    let code = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/code.md")).unwrap();
    let named: Vec<_> = code.split('`').skip(1).step_by(2).filter(|text| text.starts_with("src/")).collect();
    assert!(named.len() > 15, "has the form of docs/code.md changed? {named:?}");
    for path in named {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(), "{path}");
    }
}

#[test]
fn files_that_readme_names_exist() {
    let links = README.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for link in links.filter(|link| !link.contains("://")) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(), "{link}");
    }
}
