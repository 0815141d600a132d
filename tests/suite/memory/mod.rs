//! What a run remembers for the next: fewer requests, and the same logins as without it.

mod bad_files;
mod explained;
mod folder;
mod told;

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use eic_emulator::pki::{CertStatus, Hierarchy, KeyPool};
use eic_emulator::{Config, Entry};
use eic_login::memory::{FOLDER, NAME, Record};

use crate::documents::block;
use crate::world::{BOB, INSTANCE, Key, Sshd, Syslog, World, on_an_instance, test_path};

const USERS: &str = "/latest/meta-data/managed-ssh-keys/active-keys/";
const SIGNER: &str = "/latest/meta-data/managed-ssh-keys/signer-cert/";

/// Makes the folder as the package does.
fn make_folder(world: &World) {
    fs::DirBuilder::new().mode(0o700).create(FOLDER).unwrap();
    let uid = world.uid("eic-agent");
    chown(FOLDER, Some(uid), Some(uid)).unwrap();
}

fn file() -> PathBuf {
    PathBuf::from(FOLDER).join(NAME)
}

fn record() -> Option<Record> {
    Record::parse(&fs::read(file()).ok()?)
}

/// Pushes a key for the user. Returns the line that sshd gets.
fn push(world: &World, user: &str, name: &str) -> (Key, String) {
    let key = Key::ed25519(world, name);
    world.emulator.push(user, &key.line(), BOB);
    let line = format!("{}\n", key.bare_line());
    (key, line)
}

/// Runs the agent as sshd does. Returns the keys, and the paths that it requested.
fn run(world: &World, user: &str) -> (String, Vec<String>) {
    run_as(world, "eic-agent", &[user])
}

fn run_as(world: &World, run_user: &str, arguments: &[&str]) -> (String, Vec<String>) {
    world.emulator.take_requests();
    let run = world.run_as(run_user, arguments);
    let paths = world.emulator.take_requests().into_iter().map(|request| request.path).collect();
    (run.keys(), paths)
}

fn keys_of(user: &str) -> String {
    format!("{USERS}{user}/")
}

#[test]
fn second_run_requests_only_the_keys() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        let (_, line) = push(world, "ec2-user", "key");
        let (keys, first) = run(world, "ec2-user");
        assert_eq!((keys.as_str(), first.len()), (line.as_str(), 7), "{first:?}");
        for _ in 0..3 {
            let (keys, paths) = run(world, "ec2-user");
            assert_eq!((keys, paths), (line.clone(), vec![keys_of("ec2-user")]));
        }
        // The evidence serves every user.
        let (_, line) = push(world, "ubuntu", "other");
        assert_eq!(run(world, "ubuntu"), (line, vec![keys_of("ubuntu")]));
        // Root becomes the same user.
        let (_, paths) = run_as(world, "root", &["ubuntu"]);
        assert_eq!(paths, [keys_of("ubuntu")]);
    });
}

#[test]
fn login_without_a_key_requests_only_the_keys() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!((keys.as_str(), paths.len()), ("", 2));
        assert!(record().is_some_and(|record| record.token.is_some() && record.evidence.is_none()));
        assert_eq!(run(world, "ec2-user"), (String::new(), vec![keys_of("ec2-user")]));
        // The next key needs no token.
        let (_, line) = push(world, "ec2-user", "key");
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!((keys, paths.len()), (line, 6));
        // A later run without a key keeps the evidence.
        assert_eq!(run(world, "ubuntu").1, [keys_of("ubuntu")]);
        assert!(record().is_some_and(|record| record.evidence.is_some()));
    });
}

#[test]
fn replaced_signer_costs_requests_and_no_login() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        let (_, old) = push(world, "ec2-user", "old");
        assert_eq!(run(world, "ec2-user").0, old);
        let name = world.emulator.signer_name();
        let other = Hierarchy::of_family(&KeyPool::shared(), "other", &name, world.emulator.now());
        let trusted = format!("{}{}", world.emulator.ca_pem(), other.anchor_pem());
        world.trust(&trusted);
        world.emulator.set_hierarchy(other);
        // The next push is signed by the new signer.
        world.emulator.clear_keys();
        let (_, line) = push(world, "ec2-user", "new");
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!(keys, line, "{paths:?}");
        assert_eq!(paths.first(), Some(&keys_of("ec2-user")));
        assert_eq!(paths.len(), 6, "{paths:?}");
        assert_eq!(run(world, "ec2-user"), (line, vec![keys_of("ec2-user")]));
    });
}

#[test]
fn revocation_is_seen_when_the_memory_ends() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        world.configure(block("docs/settings.md", "[imds]"));
        let (_, line) = push(world, "ec2-user", "key");
        assert_eq!(run(world, "ec2-user").0, line);
        let now = world.emulator.now();
        let hierarchy = world.emulator.hierarchy();
        let revoked =
            hierarchy.staple(0, now).status(CertStatus::Revoked { at: now - 60, reason: None }).build();
        world.emulator.set_staples(vec![revoked, hierarchy.staple(1, now).build()]);
        assert_eq!(run(world, "ec2-user").0, line, "within the time of the memory");
        world.configure("[imds]\nremember = 1\n");
        sleep(Duration::from_millis(1100));
        let syslog = Syslog::bind();
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!(keys, "", "{paths:?}");
        let lines = syslog.agent_lines();
        assert!(lines.iter().any(|line| line.contains("signer-revoked")), "{lines:?}");
        assert!(paths.len() >= 7, "{paths:?}");
    });
}

#[test]
fn entry_with_a_bad_signature_is_refused_and_the_memory_stays() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        push(world, "ubuntu", "good");
        assert_eq!(run(world, "ubuntu").1.len(), 7);
        let key = Key::ed25519(world, "bad");
        let entry =
            Entry::new(key.line()).timestamp(world.emulator.now() + 60).instance(INSTANCE).caller(BOB);
        let foreign = KeyPool::shared().get("foreign");
        world.emulator.set_entries("ec2-user", entry.request("r-1").sign(&foreign));
        let syslog = Syslog::bind();
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!(keys, "");
        // Region, domain and chain show that the signer is still the same.
        assert!(paths.len() == 4 && paths.iter().any(|path| path == SIGNER), "{paths:?}");
        let lines = syslog.agent_lines();
        assert!(lines.iter().any(|line| line.contains("bad-signature")), "{lines:?}");
        assert_eq!(run(world, "ubuntu").1, [keys_of("ubuntu")], "other users are not affected");
    });
}

#[test]
fn token_that_the_service_no_longer_accepts_is_replaced() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        let (_, line) = push(world, "ec2-user", "key");
        run(world, "ec2-user");
        world.emulator.invalidate_tokens();
        let (keys, paths) = run(world, "ec2-user");
        let token = "/latest/api/token".to_owned();
        assert_eq!((keys, paths), (line.clone(), vec![keys_of("ec2-user"), token, keys_of("ec2-user")]));
        assert_eq!(run(world, "ec2-user"), (line, vec![keys_of("ec2-user")]));
    });
}

#[test]
fn pinned_region_and_domain_hold_for_remembered_evidence() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        let (_, line) = push(world, "ec2-user", "key");
        assert_eq!(run(world, "ec2-user").0, line);
        world.configure("[trust]\nregion = \"eu-west-1\"\n");
        let syslog = Syslog::bind();
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!(keys, "", "{paths:?}");
        assert!(paths.len() > 1, "a refusal needs fresh evidence: {paths:?}");
        let lines = syslog.agent_lines();
        assert!(lines.iter().any(|line| line.contains("signer-name-mismatch")), "{lines:?}");
        world.configure("[trust]\nregion = \"us-east-1\"\ndomain = \"amazonaws.com\"\n");
        assert_eq!(run(world, "ec2-user"), (line, vec![keys_of("ec2-user")]));
    });
}

#[test]
fn nothing_is_remembered_without_the_setting_or_for_other_users() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_, line) = push(world, "ec2-user", "key");
        for _ in 0..2 {
            let (keys, paths) = run(world, "ec2-user");
            assert_eq!((keys, paths.len()), (line.clone(), 7), "there is no folder");
        }
        make_folder(world);
        world.configure("[imds]\nremember = 0\n");
        assert_eq!(run(world, "ec2-user").1.len(), 7);
        assert!(!file().exists());
        world.configure("");
        for user in ["provider", "nobody"] {
            assert_eq!(run_as(world, user, &["ec2-user"]).1.len(), 7, "{user}");
            assert!(!file().exists(), "{user}");
        }
    });
}

#[test]
fn instance_under_xen_asks_for_its_id_too() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        world.become_xen();
        let (_, line) = push(world, "ec2-user", "key");
        assert_eq!(run(world, "ec2-user").1.len(), 8);
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!(
            (keys, paths),
            (line, vec![keys_of("ec2-user"), "/latest/meta-data/instance-id/".to_owned()])
        );
    });
}

#[test]
fn fifty_logins_one_after_another_take_at_most_120_requests() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        let _sshd = Sshd::start(world);
        let (key, _) = push(world, "ec2-user", "key");
        world.emulator.take_requests();
        let logins = 50;
        for _ in 0..logins {
            assert!(world.ssh("ec2-user", &[&key]).ok);
        }
        let requests = world.emulator.take_requests().len();
        println!("{logins} logins: {requests} requests");
        // On a busy machine, fifty logins may take minutes, and each minute needs the evidence again.
        assert!(requests <= 2 * logins + 6 * 4, "{requests}");
    });
}
