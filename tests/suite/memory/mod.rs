//! What a run remembers for the next: fewer requests, and the same logins as without it.

mod bad_files;
mod evidence;
mod explained;
mod folder;
mod machine;
mod odd_files;
mod slow;
mod tokens;
mod told;
mod writers;

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use eic_emulator::pki::{CertStatus, Hierarchy, KeyPool};
use eic_emulator::{Config, Emulator, Entry};
use eic_login::memory::{FOLDER, NAME, Record};

use crate::documents::block;
use crate::world::{BOB, INSTANCE, Key, Run, Sshd, Syslog, World, on_an_instance, test_path};

const USERS: &str = "/latest/meta-data/managed-ssh-keys/active-keys/";
const SIGNER: &str = "/latest/meta-data/managed-ssh-keys/signer-cert/";

/// Makes the folder as the package does.
pub(crate) fn make_folder(world: &World) {
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

/// A second metadata service with the same signer, at the IPv6 address. It has the key of this line for `ec2-user`.
fn second_service(world: &World, line: &str) -> Emulator {
    let hierarchy = Some((*world.emulator.hierarchy()).clone());
    let config = Config { imds: "[fd00:ec2::254]:80".parse().unwrap(), hierarchy, ..Config::default() };
    let second = Emulator::start(config).unwrap();
    second.push("ec2-user", line.trim_end(), BOB);
    second
}

fn keys_of(user: &str) -> String {
    format!("{USERS}{user}/")
}

/// Replaces the file. The agent's user owns the new one.
fn write_bytes(world: &World, bytes: &[u8]) {
    let _ = fs::remove_file(file());
    fs::write(file(), bytes).unwrap();
    belong_to(world, "eic-agent", 0o600);
}

fn belong_to(world: &World, user: &str, mode: u32) {
    let uid = world.uid(user);
    chown(file(), Some(uid), Some(uid)).unwrap();
    fs::set_permissions(file(), fs::Permissions::from_mode(mode)).unwrap();
}

/// Settings without the memory, and with one that lasts longer than a test.
const WITHOUT: &str = "[imds]\nremember = 0\n";
const LASTING: &str = "[imds]\nremember = 300\n";

/// Makes the folder, pushes a key and runs the agent once. Returns the line that sshd gets, and the content of the file.
fn filled(world: &World) -> (String, Vec<u8>) {
    make_folder(world);
    world.configure(LASTING);
    let (_, line) = push(world, "ec2-user", "key");
    assert_eq!(run(world, "ec2-user").0, line);
    (line, fs::read(file()).unwrap())
}

/// A run, and the paths that it requested.
struct Ran {
    run: Run,
    paths: Vec<String>,
}

impl Ran {
    fn keys(&self) -> String {
        self.run.keys()
    }

    fn said(&self) -> String {
        format!("{:?}: {} in {:?}: {:?}", self.keys(), self.run.notes(), self.run.took, self.paths)
    }
}

/// Two runs in the same state.
struct Compared {
    without: Ran,
    with: Ran,
}

/// Runs the agent without the memory, and then with the memory and this content of the file. `settings` apply to both.
fn compare(world: &World, kept: &[u8], settings: &str, arguments: &[&str]) -> Compared {
    compare_after(|| (), world, kept, settings, arguments)
}

/// Like [`compare`]. Calls `prepare` before each run.
fn compare_after(
    prepare: impl Fn(),
    world: &World,
    kept: &[u8],
    settings: &str,
    arguments: &[&str],
) -> Compared {
    let run = |memory: &str| {
        prepare();
        world.configure(&format!("{memory}{settings}"));
        world.emulator.take_requests();
        let run = world.run_as("eic-agent", arguments);
        let paths = world.emulator.take_requests().into_iter().map(|request| request.path).collect();
        Ran { run, paths }
    };
    let without = run(WITHOUT);
    write_bytes(world, kept);
    Compared { without, with: run(LASTING) }
}

/// The record without its evidence, as a run without a key leaves it.
fn token_alone(kept: &[u8]) -> Vec<u8> {
    let mut record = Record::parse(kept).unwrap();
    record.evidence = None;
    record.to_bytes().unwrap()
}

/// Replaces the signer by one that is trusted too. Pushes a key that the new signer signs, and returns its line.
fn replace_signer(world: &World) -> String {
    let name = world.emulator.signer_name();
    let other = Hierarchy::of_family(&KeyPool::shared(), "other", &name, world.emulator.now());
    world.trust(&format!("{}{}", world.emulator.ca_pem(), other.anchor_pem()));
    world.emulator.set_hierarchy(other);
    world.emulator.clear_keys();
    push(world, "ec2-user", "new").1
}

/// Runs a shell line as the agent's user. In it, `$A` is the agent with its arguments.
fn in_shell(world: &World, line: &str) -> Output {
    let uid = world.uid("eic-agent").to_string();
    Command::new("setpriv")
        .args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--", "sh", "-c", line])
        .env("A", format!("{} authorized-keys --timeout 60 ec2-user", world.agent().display()))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The agent for the user `ec2-user` as a process of the agent's user. Its output goes into a pipe.
fn beside(world: &World, user: &str) -> Command {
    let uid = world.uid("eic-agent").to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"]).arg(world.agent());
    command.args(["authorized-keys", "--timeout", "60", user]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
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
        let line = replace_signer(world);
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
