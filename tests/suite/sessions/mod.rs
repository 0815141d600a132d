//! `sessions`: real daemons log real logins, and the report must show who logged in.

mod corpus;
mod export_state;
mod exports;
mod fleet;
mod forged;
mod journal;
mod limits;
mod losses;
mod no_log;
mod text;
mod unread;

use std::fs;
use std::process::Command;

use eic_emulator::Entry;
use serde_json::Value;

use crate::wiring::{Ran, agent};
use crate::world::{INSTANCE, Journald, Key, Sshd, World, installed, until};

const ALICE: &str = "arn:aws:sts::123456789012:assumed-role/Admin/alice@example.com";
const CAROL: &str = "arn:aws:iam::210987654321:user/carol";

/// The report as JSON. The exit status must agree with its field `complete`.
pub(crate) fn report(world: &World, arguments: &[&str]) -> Value {
    let ran = ran(world, &[arguments, &["--json"]].concat());
    let report: Value =
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}{}", ran.out, ran.err));
    let status = i32::from(report["complete"] != true);
    assert_eq!((ran.status, ran.err.as_str()), (Some(status), ""), "{}", ran.out);
    report
}

/// The ids of the warnings, and whether the report is complete. On a busy machine, a process can end before journald
/// checks it. Lines that could not be attributed for this reason are accepted.
fn told(report: &Value) -> (Vec<&str>, bool) {
    let is_slow = report["unattributed"] != 0;
    let ids = ids(report).into_iter().filter(|id| *id != "unattributed").collect();
    (ids, report["complete"] == true || is_slow)
}

fn ran(world: &World, arguments: &[&str]) -> Ran {
    agent(world, &[&["sessions"], arguments].concat())
}

/// Whether the report has the documented shape, by the Python package `jsonschema`.
pub(crate) fn is_valid(world: &World, report: &Value) -> Result<(), String> {
    let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/schema/sessions.schema.json");
    let file = world.path("etc/sessions.json");
    fs::write(&file, report.to_string()).unwrap();
    let program = "import json, sys, jsonschema\n\
                   schema, report = (json.load(open(name)) for name in sys.argv[1:])\n\
                   jsonschema.Draft202012Validator.check_schema(schema)\n\
                   jsonschema.Draft202012Validator(schema).validate(report)";
    let said = Command::new(installed("python3")).args(["-c", program, schema]).arg(&file).output().unwrap();
    if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
}

/// The session of this key.
pub(crate) fn session<'r>(report: &'r Value, key: &Key) -> &'r Value {
    let sessions = report["sessions"].as_array().unwrap();
    let found: Vec<_> =
        sessions.iter().filter(|session| session["fingerprint"] == key.fingerprint()).collect();
    assert_eq!(found.len(), 1, "{}: {report:#}", key.fingerprint());
    found[0]
}

/// The one push of a session or key.
fn push(session: &Value) -> (&str, &str, &str, bool) {
    let push = match session.get("pushes") {
        Some(pushes) => {
            assert_eq!(pushes.as_array().unwrap().len(), 1, "{session:#}");
            &pushes[0]
        }
        None => session,
    };
    let text = |name: &str| push[name].as_str().unwrap_or_default();
    (text("principal"), text("account"), text("request_id"), push["verified"].as_bool().unwrap())
}

fn ids(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|warning| warning["id"].as_str().unwrap()).collect()
}

/// Waits until this number of sessions have ended. sshd logs an end after the client has left, and its process ends after
/// that line. Until then, the session is open.
fn wait_for_ends(world: &World, count: usize) {
    until("the sessions have ended", || {
        let shown = report(world, &["--all"]);
        let sessions = shown["sessions"].as_array().unwrap();
        sessions.iter().filter(|session| session["state"] == "closed").count() >= count
    });
}

/// Logs one finished login as `ec2-user`, with a pushed key of Alice.
fn logged_login(world: &World) -> (Journald, Key) {
    let journal = Journald::start(world);
    let _sshd = Sshd::with_pam(world, "");
    let key = Key::ed25519(world, "alice");
    world.emulator.push("ec2-user", &key.line(), ALICE);
    assert!(world.ssh("ec2-user", &[&key]).ok);
    journal.wait_for("session closed for user ec2-user");
    (journal, key)
}

/// Offers a key that cannot be used, because its owner has forgotten the passphrase.
fn offer_only(world: &World, user: &str, key: &Key) {
    let locked = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", "forgotten", "-f"])
        .arg(key.file())
        .output()
        .unwrap();
    assert!(locked.status.success(), "{locked:?}");
    assert!(!world.ssh(user, &[key]).ok, "a locked key must not log in");
}

/// Pushes a key that has expired, and tries to log in with it.
fn push_expired(world: &World, user: &str, key: &Key) {
    let entry = Entry::new(key.line())
        .timestamp(world.emulator.now() - 1)
        .instance(INSTANCE)
        .caller(CAROL)
        .request("r-expired");
    world.emulator.set_entries(user, entry.sign(&world.emulator.hierarchy().leaf_key));
    assert!(!world.ssh(user, &[key]).ok);
}

/// Runs a script as another user of the machine, who can write to the log.
fn as_user(world: &World, user: &str, script: &str) {
    let uid = world.uid(user).to_string();
    let said = Command::new("setpriv")
        .args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "sh", "-euc", script])
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
}
