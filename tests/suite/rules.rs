//! Rules that can never match: what `config` and `doctor` report, compared with real logins.

use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use crate::wiring::agent;
use crate::world::{Key, Sshd, World, on_an_instance, test_path};

const DEMO: &str = "arn:aws:sts::012345678901:assumed-role/Demo/alice";

fn config(world: &World) -> (i32, String) {
    let output = Command::new(world.agent()).arg("config").output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The texts in quotes after `expected`.
fn advice(said: &str) -> Vec<String> {
    let Some((_, expected)) = said.lines().next().unwrap().split_once("; expected ") else {
        return Vec::new();
    };
    expected.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

fn deny(list: &str, patterns: &[String]) -> String {
    format!("[[rule]]\nname = \"no demo\"\naction = \"deny\"\n{list} = {patterns:?}\n")
}

#[test]
fn rule_that_never_matches_is_reported_with_the_form_that_does() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = Sshd::start(world);
        let key = Key::ed25519(world, "demo");
        world.emulator.push("ec2-user", &key.line(), DEMO);
        for (list, pattern) in [
            ("principals", "arn:aws:iam::012345678901:role/Demo"),
            ("principals", "arn:aws:iam::012345678901:role/team/Demo"),
            ("principals", "arn:aws:sts::*:assumed-role/Demo"),
            ("principals", "arn:aws:sts::*:assumed-role/{Demo,Other}/*"),
            ("principals", "arn:aws:sts::[0-9]*:assumed-role/Demo/*"),
            ("principals", "arn:aws-gov:sts::*:assumed-role/Demo/*"),
            ("principals", "arn:aws:sts:us-east-1:*:assumed-role/Demo/*"),
            ("principals", "arn:aws:sts::12345678901:assumed-role/Demo/*"),
            ("accounts", "12345678901"),
            ("key_types", "sk-ed25519"),
            ("key_types", "ssh-ed448"),
            ("users", "1admin"),
        ] {
            world.configure(&deny(list, &[pattern.to_owned()]));
            let (status, said) = config(world);
            assert_eq!(status, 1, "{pattern}: {said}");
            assert!(
                said.starts_with(&format!(
                    "/etc/eic-agent.toml:1: rule 1.{list}: \"{pattern}\" never matches: "
                )),
                "{pattern}: {said}"
            );
            // `config` fails, but the login still works: the rule denies nothing, and the report says so.
            assert!(world.ssh("ec2-user", &[&key]).ok, "{pattern}");
            assert!(said.contains("so the rule denies no key"), "{pattern}: {said}");

            let better = advice(&said);
            if list == "principals" || list == "accounts" {
                let better: Vec<_> =
                    better.into_iter().map(|text| text.replace("aws-us-gov", "aws")).collect();
                world.configure(&deny(list, &better));
                assert_eq!(config(world), (0, String::new()), "{better:?}");
                assert!(
                    !world.ssh("ec2-user", &[&key]).ok,
                    "{better:?} must deny what {pattern} was meant to"
                );
            }
        }
    });
}

/// In this pattern, the `*` can match a user and a part of its path. So the pattern can match, but no role.
#[test]
fn rule_for_a_role_of_any_account_is_reported_although_a_user_can_match_it() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = Sshd::start(world);
        let pattern = "arn:aws:iam::*:role/Demo";
        let odd = "arn:aws:iam::012345678901:user/x:role/Demo";
        for (caller, is_denied) in [(DEMO, false), (odd, true)] {
            let key = Key::ed25519(world, if is_denied { "odd" } else { "demo" });
            world.emulator.push("ec2-user", &key.line(), caller);
            world.configure(&deny("principals", &[pattern.to_owned()]));
            assert_eq!(world.ssh("ec2-user", &[&key]).ok, !is_denied, "{caller}");
            let (status, said) = config(world);
            let words = format!("\"{pattern}\" matches no role: it matches only users with one of ");
            assert!(status == 1 && said.contains(&words) && !said.contains("never"), "{said}");
            world.configure(&deny("principals", &advice(&said)));
            assert_eq!(config(world), (0, String::new()));
            assert_eq!(world.ssh("ec2-user", &[&key]).ok, is_denied, "the advice denies the role alone");
        }
    });
}

#[test]
fn rule_after_a_catch_all_is_reported_and_decides_nothing() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = Sshd::start(world);
        let key = Key::ed25519(world, "demo");
        world.emulator.push("ec2-user", &key.line(), DEMO);
        let all = "[[rule]]\nname = \"all\"\naction = \"allow\"\n";
        let demo = deny("principals", &["arn:aws:sts::*:assumed-role/Demo/*".to_owned()]);
        world.configure(&format!("{all}{demo}"));
        let (status, said) = config(world);
        assert_eq!(status, 1);
        assert!(
            said.starts_with("/etc/eic-agent.toml:4: rule 2: never decides: rule 1 (\"all\") matches"),
            "{said}"
        );
        assert!(world.ssh("ec2-user", &[&key]).ok);
        // The advice: move it above.
        world.configure(&format!("{demo}{all}"));
        assert_eq!(config(world), (0, String::new()));
        assert!(!world.ssh("ec2-user", &[&key]).ok);
    });
}

#[test]
fn doctor_and_json_report_a_rule_that_never_matches() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = Sshd::start(world);
        let rule = |pattern: &str| world.configure(&deny("principals", &[pattern.to_owned()]));
        let doctor = || {
            let said = agent(world, &["doctor", "--json"]).out;
            let report: Value = serde_json::from_str(&said).unwrap();
            let checks = report["checks"].as_array().unwrap().clone();
            let settings = checks.into_iter().find(|check| check["id"] == "settings").unwrap();
            (settings["verdict"].as_str().unwrap().to_owned(), settings["seen"].as_str().unwrap().to_owned())
        };
        rule("arn:aws:iam::*:role/Demo");
        let (verdict, seen) = doctor();
        assert_eq!(verdict, "warn", "{seen}");
        assert!(seen.contains("rule 1.principals: \"arn:aws:iam::*:role/Demo\" matches no role: "), "{seen}");
        let json: Value = serde_json::from_str(&agent(world, &["config", "--json"]).out).unwrap();
        let problem = &json["rule_problems"][0];
        assert_eq!((&problem["line"], &problem["key"]), (&1.into(), &"rule 1.principals".into()), "{json:#}");
        rule("arn:aws:sts::*:assumed-role/Demo/*");
        assert_eq!(doctor().0, "ok");
        let json: Value = serde_json::from_str(&agent(world, &["config", "--json"]).out).unwrap();
        assert_eq!(json["rule_problems"], serde_json::json!([]));
    });
}

#[test]
fn rule_for_a_path_with_rare_characters_is_probably_a_mistake_and_still_denies() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = Sshd::start(world);
        for (name, path, pattern) in [("one", "[team]", ""), ("two", "a:b", ""), ("three", "a:b", "*:b/bob")]
        {
            let key = Key::ed25519(world, name);
            let bob = format!("arn:aws:iam::012345678901:user/{path}/bob");
            world.emulator.push("ec2-user", &key.line(), &bob);
            let pattern = if pattern.is_empty() { bob.clone() } else { pattern.to_owned() };
            world.configure(&deny("principals", std::slice::from_ref(&pattern)));
            let (status, said) = config(world);
            let words =
                format!("/etc/eic-agent.toml:1: rule 1.principals: \"{pattern}\" is probably a mistake: ");
            assert!(status == 0 && said.starts_with(&words), "{status}: {said}");
            let json: Value = serde_json::from_str(&agent(world, &["config", "--json"]).out).unwrap();
            assert_eq!(json["rule_problems"], serde_json::json!([]), "{json:#}");
            assert_eq!(json["rule_warnings"][0]["key"], "rule 1.principals", "{json:#}");
            assert!(!world.ssh("ec2-user", &[&key]).ok, "the rule matches, so it denies");
            world.configure("");
            assert!(world.ssh("ec2-user", &[&key]).ok, "without the rule, the key is let in");
        }
    });
}
