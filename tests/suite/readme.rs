//! What the README says is run as it stands there.

use std::path::Path;
use std::process::Command;

use eic_agent::reason::Reason;
use eic_emulator::Config;

use crate::world::{BOB, Key, on_an_instance};

const README: &str = include_str!("../../README.md");

/// The fenced block that begins with `start`.
pub(crate) fn block(start: &str) -> &'static str {
    let blocks = README.split("\n```").map(|block| block.split_once('\n').map_or("", |(_, text)| text));
    let mut found = blocks.filter(|text| text.starts_with(start));
    found.next().unwrap_or_else(|| panic!("README.md has no block that begins with {start}"))
}

#[test]
fn the_recipe_that_saves_and_judges_evidence_works() {
    let test = "readme::the_recipe_that_saves_and_judges_evidence_works";
    on_an_instance(test, Config::default(), |world| {
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

#[test]
fn every_reason_is_explained() {
    for reason in Reason::ALL {
        assert!(README.contains(&format!("`{reason}`")), "README.md does not explain {reason}");
    }
}

#[test]
fn every_option_is_listed() {
    let help =
        Command::new(env!("CARGO_BIN_EXE_eic-agent")).args(["authorized-keys", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let words = help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
    let options: std::collections::BTreeSet<_> = words.filter(|word| *word != "--help").collect();
    for option in &options {
        assert!(README.contains(&format!("| `{option} ")), "README.md does not list {option}");
    }
    assert_eq!(options.len(), 7, "{options:?}");
}

#[test]
fn the_files_that_it_names_are_there() {
    let links = README.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    for link in links.filter(|link| !link.contains("://")) {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(), "{link}");
    }
}
