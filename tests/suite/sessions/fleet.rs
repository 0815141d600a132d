//! A bucket for the fleet's report, with what the real agent exports and what the emulated CloudTrail records.
//!
//! `EIC_FLEET_BUCKET` names the folder that gets the files. `tests/fleet/test_report.py` runs the report on it.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use eic_emulator::Config;
use serde_json::{Value, json};

use super::export_state::{STATE, make_folder};
use super::exports::{lines, of_kind};
use super::{push_expired, ran};
use crate::wiring::agent;
use crate::world::{INSTANCE, Journald, Key, Sshd, World, on_an_instance, test_path, until};

/// The records of CloudTrail with this name.
fn records(world: &World, name: &str) -> Vec<Value> {
    let mut command = world.client("aws");
    let attribute = format!("AttributeKey=EventName,AttributeValue={name}");
    command.args(["cloudtrail", "lookup-events", "--lookup-attributes", &attribute, "--output", "json"]);
    let found: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let events = found["Events"].as_array().unwrap().iter();
    events.map(|event| serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap()).collect()
}

/// Writes a file of the bucket.
fn store(bucket: &Path, path: &str, text: &str) {
    let file = bucket.join(path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

#[test]
fn real_exports_and_records_make_a_bucket_for_the_report() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let bucket = env::var_os("EIC_FLEET_BUCKET").map_or_else(|| world.path("etc/bucket"), PathBuf::from);
        let journal = Journald::start(world);
        make_folder(world);
        let _sshd = Sshd::with_pam(world, "");
        let [used, unused, old, own] = ["used", "unused", "old", "own"].map(|name| Key::ed25519(world, name));
        // A login with a pushed key, a push that sshd never asks for, a refused key, and a login with an own key.
        for key in [&used, &unused] {
            let pushed = world.aws_push("AKIAEXAMPLEALICE", INSTANCE, "ec2-user", key);
            assert!(pushed.status.success(), "{pushed:?}");
        }
        assert!(world.ssh("ec2-user", &[&used]).ok);
        push_expired(world, "ubuntu", &old);
        world.authorize("admin", &own);
        assert!(world.ssh("admin", &[&own]).ok);
        journal.wait_for("session closed for user admin");

        let mut text = String::new();
        until("both sessions are exported", || {
            text += &ran(world, &["--jsonl", "--all", "--state", STATE]).out;
            let ids: BTreeSet<_> = of_kind(&lines(world, &text), "session")
                .iter()
                .map(|line| line["id"].clone().to_string())
                .collect();
            ids.len() == 2
        });
        let exported = lines(world, &text);
        let coverage = exported.last().unwrap();
        let at = coverage["covered_to"].as_str().unwrap();
        let name =
            format!("day={}/123456789012_us-east-1_{INSTANCE}_{}Z", &at[..10], at[11..19].replace(':', ""));
        store(&bucket, &format!("exports/sessions/{name}.jsonl"), &text);
        let doctor: Value = serde_json::from_str(&agent(world, &["doctor", "--json"]).out).unwrap();
        store(&bucket, &format!("exports/doctor/{name}.json"), &format!("{doctor}\n"));

        let pushes = records(world, "SendSSHPublicKey");
        assert_eq!(pushes.len(), 2, "{pushes:#?}");
        let folder = format!("AWSLogs/123456789012/CloudTrail/us-east-1/{}", at[..10].replace('-', "/"));
        store(&bucket, &format!("{folder}/records.json"), &json!({ "Records": pushes }).to_string());
    });
}
