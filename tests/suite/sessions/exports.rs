//! `sessions --jsonl`: the lines of an export, and the instance that each export names.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use eic_emulator::{Config, Entry, Fault};
use serde_json::{Value, json};

use super::{ALICE, offer_only, push_expired, ran, report, wait_for_ends};
use crate::wiring::agent;
use crate::world::{BOB, INSTANCE, Journald, Key, Sshd, World, installed, on_an_instance, test_path};

const DOCUMENT: &str = "dynamic/instance-identity/document";

/// The lines of an export. All have the documented shape.
pub(super) fn export(world: &World, arguments: &[&str]) -> Vec<Value> {
    let ran = ran(world, &[&["--jsonl"], arguments].concat());
    assert!(
        matches!(ran.status, Some(0 | 1)) && ran.err.is_empty(),
        "{:?}: {}{}",
        ran.status,
        ran.out,
        ran.err
    );
    lines(world, &ran.out)
}

/// Parses the lines, and validates each by the Python package `jsonschema`.
pub(super) fn lines(world: &World, text: &str) -> Vec<Value> {
    assert!(text.ends_with('\n') && text.is_ascii(), "{text}");
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/schema/sessions-event.schema.json");
    let file = world.path("etc/events.jsonl");
    fs::write(&file, text).unwrap();
    let program = "import json, sys, jsonschema\n\
                   schema = json.load(open(sys.argv[1]))\n\
                   jsonschema.Draft202012Validator.check_schema(schema)\n\
                   validator = jsonschema.Draft202012Validator(schema)\n\
                   for line in open(sys.argv[2]): validator.validate(json.loads(line))";
    let said = Command::new(installed("python3")).args(["-c", program, schema]).arg(&file).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of a kind.
pub(super) fn of_kind<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter(|line| line["kind"] == kind).collect()
}

pub(super) fn ids(lines: &[Value]) -> Vec<&str> {
    let events = lines.iter().filter(|line| line["kind"] != "coverage");
    events.map(|line| line["id"].as_str().unwrap()).collect()
}

/// The instance of each of the three exports. They must agree.
fn instance(world: &World) -> Value {
    let sessions = report(world, &[])["instance"].clone();
    let doctor: Value = serde_json::from_str(&agent(world, &["doctor", "--json"]).out).unwrap();
    assert_eq!(doctor["instance"], sessions);
    let lines = export(world, &[]);
    for name in sessions.as_object().unwrap().keys() {
        assert_eq!(lines.last().unwrap()[name], sessions[name], "{name}");
    }
    sessions
}

#[test]
fn exports_name_their_instance_and_nothing_that_is_not_known() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().replace('-', "");
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim().to_owned();
        let line = ["-p", "authpriv.info", "-t", "sshd", "Server listening"];
        assert!(Command::new("logger").args(line).status().unwrap().success());
        journal.wait_for("Server listening");
        let known = json!({
            "instance_id": INSTANCE, "instance_id_from": "firmware", "account": "123456789012",
            "region": "us-east-1", "zone": "us-east-1a", "image_id": "ami-0123456789abcdef0",
            "host_name": host, "boot_id": boot, "not_known": null,
        });
        assert_eq!(instance(world), known);

        let with = |changed: &[(&str, Value)]| {
            let mut known = known.clone();
            for (name, value) in changed {
                known[*name] = value.clone();
            }
            known
        };
        let unknown = ["account", "region", "zone", "image_id"].map(|name| (name, Value::Null));
        let document = |text: &str| world.emulator.set_item(DOCUMENT, text);
        for (text, words) in [
            (r#"{"accountId":"123456789012","instanceId":"i-00000000"}"#, "about another instance"),
            (r#"{"accountId":"123456789012"}"#, "about another instance"),
            ("<html>", "not what the metadata service sends"),
            (&"{".repeat(20_000), "expected at most 16384 bytes"),
        ] {
            document(text);
            let mut seen = instance(world);
            let why = seen["not_known"].take();
            assert!(why.as_str().unwrap().contains(words), "{text}: {why}");
            assert_eq!(seen, with(&unknown), "{text}");
        }
        document(&json!({"accountId": "'; DROP", "instanceId": INSTANCE, "region": "us-east-1"}).to_string());
        let parts = ["account", "zone", "image_id"].map(|name| (name, Value::Null));
        assert_eq!(instance(world), with(&parts));
        world.emulator.remove_item(DOCUMENT);
        assert_eq!(instance(world)["not_known"], "metadata has no instance identity document");

        // Metadata that never answers takes the time of a login at most.
        world.emulator.inject(Fault::everywhere().delay(Duration::from_secs(60)));
        let started = Instant::now();
        let seen = report(world, &[])["instance"].clone();
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        assert!(seen["not_known"].as_str().unwrap().starts_with("metadata-timeout: "), "{seen}");
        assert_eq!((&seen["instance_id"], &seen["account"]), (&json!(INSTANCE), &Value::Null));
        world.emulator.clear_faults();

        // Under Xen, only metadata knows the id. Outside EC2, nothing is asked.
        world.emulator.set_item(DOCUMENT, json!({"instanceId": INSTANCE}).to_string());
        world.become_xen();
        let seen = report(world, &[])["instance"].clone();
        assert_eq!((&seen["instance_id"], &seen["instance_id_from"]), (&json!(INSTANCE), &json!("metadata")));
        fs::remove_file("/sys/hypervisor/uuid").unwrap();
        world.emulator.take_requests();
        let seen = instance(world);
        assert_eq!((&seen["instance_id"], &seen["boot_id"]), (&Value::Null, &json!(boot)));
        assert_eq!(seen["not_known"], "this is not an EC2 instance");
        assert!(world.emulator.take_requests().is_empty());
    });
}

#[test]
fn files_that_are_named_may_be_of_another_instance() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let file = world.path("etc/log");
        let text = format!(
            "2026-03-01T00:00:00Z web-7 sshd[77]: Accepted password for moe from 192.0.2.5 port 4000 ssh2\n\
             2026-03-01T00:00:01Z web-7 eic-agent[9]: Refusing ssh key from EC2 Instance Connect for user moe: \
             expired: x; fingerprint: SHA256:{}; request-id: r; IAM principal: {ALICE}\n",
            "A".repeat(43)
        );
        fs::write(&file, text).unwrap();
        world.emulator.take_requests();
        let lines = export(world, &["--all", file.to_str().unwrap()]);
        assert!(world.emulator.take_requests().is_empty());
        assert_eq!(lines.len(), 3);
        for line in &lines[..2] {
            let seen = (&line["instance_id"], &line["boot_id"], &line["host_name"]);
            assert_eq!(seen, (&Value::Null, &Value::Null, &json!("web-7")), "{line}");
        }
        assert_eq!(lines[2]["not_known"], "the files may be from another machine");
        let [session, refusal] = ["session", "refusal"].map(|kind| of_kind(&lines, kind)[0]);
        assert_eq!((&session["user"], &session["final"]), (&json!("moe"), &json!(false)));
        assert_eq!((&refusal["reason"], &refusal["user"]), (&json!("expired"), &json!("moe")));
    });
}

#[test]
fn real_journal_is_exported_with_the_same_ids_each_time() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let [alices, bobs, old, own] = ["alice", "bob", "old", "own"].map(|name| Key::ed25519(world, name));
        let alices_push = world.emulator.push("ec2-user", &alices.line(), ALICE);
        assert!(world.ssh("ec2-user", &[&alices]).ok);
        world.emulator.push("ec2-user", &bobs.line(), BOB);
        let bob = world.ssh_stay("ec2-user", &bobs);
        push_expired(world, "ubuntu", &old);
        world.authorize("admin", &own);
        assert!(world.ssh("admin", &[&own]).ok);
        wait_for_ends(world, 2);

        let first = export(world, &["--all"]);
        let sessions = of_kind(&first, "session");
        let of = |key: &Key| *sessions.iter().find(|line| line["fingerprint"] == key.fingerprint()).unwrap();
        let push = &of(&alices)["pushes"][0];
        assert_eq!((&push["principal"], &push["request_id"]), (&json!(ALICE), &json!(alices_push)));
        assert_eq!((&push["verified"], &of(&alices)["final"]), (&json!(true), &json!(true)));
        assert_eq!((&of(&bobs)["state"], &of(&bobs)["final"]), (&json!("open"), &json!(false)));
        assert_eq!(of(&own)["pushes"], json!([]));
        let refusals = of_kind(&first, "refusal");
        assert!(refusals.iter().all(|line| line["reason"] == "expired" && line["user"] == "ubuntu"));
        assert!(!refusals.is_empty() && refusals[0]["attributed"] == true);
        let coverage = first.last().unwrap();
        assert_eq!((&coverage["kind"], &coverage["sessions"]), (&json!("coverage"), &json!(3)));
        assert!(
            first
                .iter()
                .all(|line| line["instance_id"] == INSTANCE && line["boot_id"] == coverage["boot_id"])
        );
        assert_eq!(of_kind(&export(world, &[]), "session").len(), 2, "only sessions with pushed keys");

        journal.rotate();
        assert_eq!(ids(&export(world, &["--all"])), ids(&first));
        bob.leave();
        wait_for_ends(world, 3);
        let after = export(world, &["--all"]);
        let mut sorted = [ids(&after), ids(&first)];
        for ids in &mut sorted {
            ids.sort_unstable();
        }
        assert_eq!(sorted[0], sorted[1]);
        assert!(sorted[0].windows(2).all(|pair| pair[0] != pair[1]));
        // For ten seconds, the line about the key of a login by other means can come.
        let pushed = |line: &&&Value| line["pushes"] != json!([]);
        let sessions = of_kind(&after, "session");
        assert!(sessions.iter().filter(pushed).all(|line| line["final"] == true), "{after:#?}");
    });
}

/// The longest principal, every character that an ARN allows, and characters that it does not.
#[test]
fn hostile_principals_are_exported_as_text() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let arn = |name: &str| format!("arn:aws:sts::123456789012:assumed-role/Admin/{name}");
        let allowed = arn("aZ09+=,.@_-/a:*");
        let longest = arn(&"a".repeat(2048 - arn("").len()));
        for (number, (caller, shown)) in [
            (arn("a\u{1b}[31m\u{7}"), arn("a\\x1b[31m\\x07")),
            (arn("\u{202e}\u{2028}é\"\\{}"), arn("\\u{202e}\\u{2028}\\xe9\"\\\\{}")),
            (arn("a b; allowed by rule: x"), arn("a b; allowed by rule: x")),
            (allowed.clone(), allowed),
            (longest.clone(), longest),
        ]
        .into_iter()
        .enumerate()
        {
            let key = Key::ed25519(world, &format!("key{number}"));
            let entry = Entry::new(key.line()).timestamp(world.emulator.now() + 60).instance(INSTANCE);
            let entry = entry.caller(&caller).request(&format!("r-{number}"));
            world.emulator.set_entries("ec2-user", entry.sign(&world.emulator.hierarchy().leaf_key));
            assert!(world.ssh("ec2-user", &[&key]).ok, "{shown}");
            journal.wait_for_lines(number + 1, "session closed for user ec2-user");
            let lines = export(world, &[]);
            let line = lines.iter().find(|line| line["fingerprint"] == key.fingerprint()).unwrap();
            assert_eq!(line["pushes"][0]["principal"], shown);
        }
        offer_only(world, "ec2-user", &Key::ed25519(world, "last"));
    });
}
