//! The claims of SECURITY.md.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use eic_emulator::Config;

use crate::failures::assert_undecided;
use crate::world::{BOB, Key, Run, Sshd, Syslog, TIMES, UNHURRIED, on_an_instance, test_path};

const SECURITY: &str = include_str!("../../SECURITY.md");

/// Folders that may hold a test's module.
const MODULES: [&str; 5] = ["tests/suite", "src/core", "src/host", "src/login", "src/agent"];

pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The texts between single backquotes in SECURITY.md.
fn quoted() -> impl Iterator<Item = &'static str> {
    // The only fenced block contains no backquotes.
    SECURITY.split('`').skip(1).step_by(2).filter(|text| !text.contains('\n') && !text.is_empty())
}

/// Whether `module::…::name` is a test: the module's file declares the function, with `#[test]` at most four lines
/// before it. A macro such as `proptest!` may enclose the function.
pub(crate) fn is_a_test(path: &str) -> bool {
    let (module, name) = path.rsplit_once("::").unwrap();
    let module = module.replace("::", "/");
    let files = MODULES
        .iter()
        .flat_map(|base| [format!("{base}/{module}.rs"), format!("{base}/{module}/mod.rs")])
        .filter_map(|file| fs::read_to_string(root().join(file)).ok());
    let declared = format!("fn {name}(");
    files.into_iter().any(|text| {
        text.split(&declared).nth(1).is_some()
            && text.split(&declared).next().is_some_and(|before| {
                before.lines().rev().take(4).any(|line| line.trim_start().starts_with("#[test]"))
            })
    })
}

/// Every source file below a folder, or the one file, with its text. Unit tests are left out.
fn sources(place: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut left = vec![root().join(place)];
    while let Some(place) = left.pop() {
        let is_of_tests = place.file_stem().is_some_and(|name| name == "tests");
        if is_of_tests {
            continue;
        }
        if place.is_dir() {
            left.extend(fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()));
        } else if place.extension().is_some_and(|kind| kind == "rs") {
            let text = fs::read_to_string(&place).unwrap();
            let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned();
            found.push((place, product));
        }
    }
    assert!(!found.is_empty(), "{place} has no source");
    found
}

#[test]
fn core_does_no_io() {
    let lib = fs::read_to_string(root().join("src/core/lib.rs")).unwrap();
    assert!(lib.contains("#![cfg_attr(not(test), no_std)]"), "src/core/lib.rs is no longer no_std");
    for (file, text) in sources("src/core") {
        if file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        // Only this module may use the standard library, because it needs a lock.
        let is_budget = file.ends_with("verification/budget.rs");
        let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let (std, expected) = (code.matches("std::").count() + code.matches("extern crate std").count(), 2);
        assert_eq!(
            std,
            if is_budget { expected } else { 0 },
            "{}: std is for the lock alone",
            file.display()
        );
        // The code could also get the time or random numbers from a dependency.
        for name in ["::now(", "now_utc", "SystemRandom", "rand::"] {
            assert!(!code.contains(name), "{} uses {name}", file.display());
        }
    }
    let manifest = fs::read_to_string(root().join("src/core/Cargo.toml")).unwrap();
    let (dependencies, _) = manifest.split_once("[dev-dependencies]").unwrap();
    for name in ["nix", "rustix", "tokio", "reqwest", "syslog", "landlock", "seccompiler", "clap", "eic-"] {
        let named = dependencies.lines().any(|line| line.starts_with(name));
        assert!(!named, "src/core/Cargo.toml depends on {name}, which does I/O");
    }
}

#[test]
fn no_source_calls_the_parser_of_rfc_2822() {
    let excuses = fs::read_to_string(root().join(".deny.toml")).unwrap();
    assert!(excuses.contains("RUSTSEC-2026-0009"), "without this exception, the test has no purpose");
    for place in ["src", "packaging/pages/src", "tests/bench/src", "tests/emulator/src", "tests/fuzz/src"] {
        for (file, text) in sources(place) {
            assert!(!text.contains("Rfc2822"), "{} uses the parser of RUSTSEC-2026-0009", file.display());
        }
    }
}

#[test]
fn files_and_tests_that_security_md_names_exist() {
    let folders = ["src/", "tests/", "packaging/", "systemd/"];
    let (mut files, mut tests) = (0, 0);
    for text in quoted() {
        if folders.iter().any(|folder| text.starts_with(folder))
            || matches!(text, "Cargo.toml" | ".deny.toml")
        {
            assert!(root().join(text).exists(), "SECURITY.md names {text}, which is not there");
            files += 1;
        } else if text.contains("::") && !text.contains(' ') && !text.contains("fd00") {
            assert!(is_a_test(text), "SECURITY.md names {text}, which is no test");
            tests += 1;
        }
    }
    for link in SECURITY.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        assert!(link.contains("://") || root().join(link).exists(), "{link}");
    }
    assert!(
        files > 20 && tests > 40,
        "{files} files and {tests} tests: has the form of SECURITY.md changed?"
    );
    assert!(!is_a_test("logins::provided"), "a helper is no test");
    assert!(!is_a_test("logins::no_such_test"));
}

#[test]
fn crypto_provider_is_not_validated_for_fips() {
    // If this changes, or aws-lc is added, SECURITY.md must change too.
    assert!(!rustls::crypto::ring::default_provider().fips());
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    assert!(!lock.contains("\"aws-lc"), "a second provider is in Cargo.lock");
}

/// Loads the nftables rules of SECURITY.md unchanged.
fn shut_metadata() {
    let rules = SECURITY.split("```\n").nth(1).expect("a fenced block");
    assert!(rules.starts_with("table inet metadata {"), "{rules}");
    let mut nft =
        Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().expect("nft is installed");
    nft.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "{rules}");
}

#[test]
fn firewall_rules_let_only_the_agent_reach_metadata() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        let login_as = |command_user: &str, options: &str| {
            let command = world.agent();
            let settings = format!(
                "AuthorizedKeysCommand {} authorized-keys {options} %u %f\nAuthorizedKeysCommandUser {command_user}\n",
                command.display()
            );
            let _sshd = Sshd::with(world, &settings);
            world.emulator.push("ec2-user", &key.line(), BOB);
            syslog.clear();
            world.ssh("ec2-user", &[&key])
        };
        let login = login_as("ubuntu", UNHURRIED);
        assert!(
            login.ok && is_reached_by("ubuntu"),
            "without the rules, any user reaches metadata: {login:?}"
        );
        shut_metadata();
        for command_user in ["eic-agent", "root"] {
            let login = login_as(command_user, UNHURRIED);
            assert!(login.ok, "{command_user}: {login:?}");
        }
        // The agent repeats a rejected connection until its time is over. On a busy machine, a short time can end
        // during an attempt. The reason is then a different one.
        let is_shut_out = |seconds: &u64| {
            assert!(!login_as("ubuntu", &format!("--timeout {seconds}")).ok);
            let lines = syslog.agent_lines();
            !lines.is_empty() && lines.iter().all(|line| line.contains("ec2-user: metadata-unreachable: "))
        };
        assert!(TIMES.iter().any(is_shut_out), "{:#?}", syslog.agent_lines());
        let is_told = |run: &Run| run.notes().contains("metadata-unreachable");
        let run = world.run_out_of_time("ubuntu", &["ec2-user"], is_told);
        assert_undecided(&run, "metadata-unreachable", "shut out");
        assert!(is_reached_by("root") && is_reached_by("eic-agent"));
        assert!(!is_reached_by("ubuntu") && !is_reached_by("ec2-user"));
    });
}

/// Whether a user gets any answer from metadata. An error for the missing token counts.
fn is_reached_by(user: &str) -> bool {
    let asked = Command::new("setpriv")
        .args([&format!("--reuid={user}"), "--clear-groups", "curl", "--silent", "--max-time", "60"])
        .arg("http://169.254.169.254/latest/meta-data/")
        .output();
    asked.expect("setpriv (util-linux) and curl are installed").status.success()
}
