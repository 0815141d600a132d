//! What `explain` says about the memory, and what the next run then does. `capture` does not use it.

use std::fs;

use eic_emulator::pki::{CertStatus, Hierarchy, KeyPool};
use eic_emulator::{Config, Entry};
use serde_json::Value;

use super::{file, keys_of, make_folder, push, run};
use crate::doctor::enabled;
use crate::wiring::{agent, lay_out};
use crate::world::{BOB, INSTANCE, Key, Syslog, World, on_an_instance, test_path};

/// The names that `explain` has for the requests of a run.
const NAMES: &[(&str, &str)] = &[
    ("/latest/api/token", "token"),
    ("/latest/meta-data/instance-id/", "instance-id"),
    ("/latest/meta-data/placement/region/", "region"),
    ("/latest/meta-data/services/domain/", "domain"),
    ("/latest/meta-data/managed-ssh-keys/signer-cert/", "signer-cert"),
];

/// `explain` for this user, and with a fingerprint.
fn explain(world: &World, arguments: &[&str]) -> Value {
    let ran = agent(world, &[&["explain", "--json"], arguments].concat());
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err))
}

/// Compares what `explain` says with the next run. Returns what it says, and the keys of the run.
fn compare(world: &World, what: &str) -> (Value, String) {
    let report = explain(world, &["ec2-user"]);
    let told = report["next_run"]["requests"].as_array().unwrap_or_else(|| panic!("{what}: {report:#}"));
    let mut told: Vec<_> = told.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    let (keys, paths) = run(world, "ec2-user");
    let mut names: Vec<_> = paths
        .iter()
        .map(|path| {
            let name = NAMES.iter().find(|(known, _)| known == path);
            let other = if *path == keys_of("ec2-user") { "keys" } else { "staples" };
            name.map_or(other, |(_, name)| *name).to_owned()
        })
        .collect();
    for list in [&mut told, &mut names] {
        list.sort();
        list.dedup();
    }
    assert_eq!(told, names, "{what}: {report:#}\n{paths:?}");
    (report, keys)
}

fn wire(world: &World) {
    lay_out("UsePAM no\n", &[]);
    assert_eq!(agent(world, &["enable"]).status, Some(0));
    world.configure("[imds]\nremember = 300\ntimeout = 20\n");
}

#[test]
fn explain_says_what_the_next_run_requests() {
    on_an_instance(test_path!(), Config::default(), |world| {
        wire(world);
        let same = |what: &str| {
            let (report, keys) = compare(world, what);
            assert_eq!(report["next_run"].get("differs"), None, "{what}: {report:#}");
            assert_eq!(report["keys_given"], Value::from(keys.lines().count()), "{what}: {report:#}");
            report["next_run"]["memory"].as_str().unwrap().to_owned()
        };
        assert_eq!(same("no record, no key"), "nothing is remembered yet in /run/eic-agent");
        assert!(same("a token, no key").starts_with("in use: the token, "));
        let (key, line) = push(world, "ec2-user", "key");
        same("a token");
        assert!(same("all").starts_with("in use: the signer's evidence, "));
        // A key that is not offered costs one request.
        let other = Key::ed25519(world, "other");
        let report = explain(world, &["ec2-user", &other.fingerprint()]);
        assert_eq!(report["next_run"]["requests"], Value::from(vec!["keys"]));
        let report = explain(world, &["ec2-user", &key.fingerprint()]);
        assert_eq!(
            (&report["keys_given"], &report["next_run"]["requests"]),
            (&Value::from(1), &Value::from(vec!["keys"]))
        );

        world.configure("[imds]\nremember = 300\ntimeout = 20\n[trust]\nregion = \"eu-west-1\"\n");
        assert_eq!(compare(world, "another pin").1, "");
        world.configure("[imds]\nremember = 300\ntimeout = 20\n[trust]\nregion = \"us-east-1\"\n");
        assert_eq!(compare(world, "a right pin").1, line);
        world.configure("[imds]\nremember = 0\ntimeout = 20\n");
        assert_eq!(same("no memory by the settings"), "none: [imds] remember is 0");
        world.configure("[imds]\nremember = 300\ntimeout = 20\n");
        world.become_xen();
        same("another instance id");
        same("an instance under Xen");

        // The text report has it too.
        let text = agent(world, &["explain", "ec2-user"]).out;
        assert!(text.contains("\nmemory       in use: the signer's evidence, "), "{text}");
        assert!(text.contains("\nnext run     requests keys, instance-id\n"), "{text}");
    });
}

#[test]
fn explain_says_that_remembered_evidence_gives_another_result() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_sshd, _log) = (enabled(world), Syslog::bind());
        world.configure("[imds]\nremember = 300\ntimeout = 20\n");
        let (key, line) = push(world, "ec2-user", "key");
        assert_eq!(run(world, "ec2-user").0, line);
        let (now, hierarchy) = (world.emulator.now(), world.emulator.hierarchy());
        let revoked =
            hierarchy.staple(0, now).status(CertStatus::Revoked { at: now - 60, reason: None }).build();
        world.emulator.set_staples(vec![revoked, hierarchy.staple(1, now).build()]);
        let (report, keys) = compare(world, "revoked meanwhile");
        assert_eq!(
            (&report["judgement"]["signer"]["reason"], &report["keys_given"]),
            (&Value::from("signer-revoked"), &Value::from(0))
        );
        let differs = report["next_run"]["differs"].as_str().unwrap();
        assert!(differs.contains("300 s old, a run accepts 1 of these keys with it, and not 0"), "{differs}");
        assert_eq!(keys, line);
        // `doctor` does not say that a login fails, because it does not fail yet.
        assert!(world.ssh("ec2-user", &[&key]).ok);
        let ran = agent(world, &["doctor", "--json", "--user", "ec2-user"]);
        let doctor: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(doctor["login"], "not-known", "{doctor:#}");
        let staples = doctor["checks"].as_array().unwrap().iter().find(|check| check["id"] == "staples");
        assert_eq!(staples.unwrap()["verdict"], "fail", "{doctor:#}");

        fs::remove_file(file()).unwrap();
        let (report, keys) = compare(world, "revoked, no memory");
        assert_eq!((report["next_run"].get("differs"), keys.as_str()), (None, ""));
        assert!(!world.ssh("ec2-user", &[&key]).ok);
    });
}

#[test]
fn explain_follows_the_run_to_a_replaced_signer() {
    on_an_instance(test_path!(), Config::default(), |world| {
        wire(world);
        let (_, old) = push(world, "ec2-user", "old");
        assert_eq!(run(world, "ec2-user").0, old);
        // An entry of another signer costs one request, and the memory is kept.
        let key = Key::ed25519(world, "bad");
        let entry =
            Entry::new(key.line()).timestamp(world.emulator.now() + 600).instance(INSTANCE).caller(BOB);
        let foreign = KeyPool::shared().get("foreign");
        world.emulator.set_entries("ec2-user", entry.request("r-1").sign(&foreign));
        let (report, keys) = compare(world, "a bad signature");
        assert_eq!((report["next_run"].get("differs"), keys.as_str()), (None, ""));

        let name = world.emulator.signer_name();
        let other = Hierarchy::of_family(&KeyPool::shared(), "other", &name, world.emulator.now());
        world.trust(&format!("{}{}", world.emulator.ca_pem(), other.anchor_pem()));
        world.emulator.set_hierarchy(other);
        world.emulator.clear_keys();
        let (_, line) = push(world, "ec2-user", "new");
        let (report, keys) = compare(world, "another signer");
        assert_eq!((report["next_run"].get("differs"), report["keys_given"].as_u64()), (None, Some(1)));
        assert_eq!(keys, line);
    });
}

#[test]
fn capture_requests_everything_and_leaves_the_memory_alone() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        world.configure("[imds]\ntimeout = 20\n");
        push(world, "ec2-user", "key");
        run(world, "ec2-user");
        let before = fs::read(file()).unwrap();
        world.emulator.take_requests();
        let saved = world.path("home/capture.json");
        let ran = agent(world, &["capture", saved.to_str().unwrap(), "--user", "ec2-user"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        let paths: Vec<_> = world.emulator.take_requests().into_iter().map(|request| request.path).collect();
        for (path, _) in NAMES {
            assert!(paths.iter().any(|asked| asked == path), "{path}: {paths:?}");
        }
        assert_eq!(fs::read(file()).unwrap(), before);
        let token = super::record().unwrap().token.unwrap().value;
        let saved = fs::read_to_string(saved).unwrap();
        assert!(!saved.contains(std::str::from_utf8(&token).unwrap()));
        assert!(!agent(world, &["doctor", "--json"]).out.contains(std::str::from_utf8(&token).unwrap()));
    });
}
