//! The emulator's API, with AWS's own clients: policies, refused pushes with AWS's messages, and signatures. The emulator's
//! own tests cover each error and each operator of a policy.

mod policies;
mod principals;
mod signatures;

use std::process::Output;

use eic_emulator::policy::Policy;
use serde_json::{Value, json};

use crate::world::World;

/// What a refused command of the AWS CLI prints.
fn error_of(output: &Output) -> String {
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

/// `aws ec2-instance-connect send-ssh-public-key` for `ec2-user`, with these other options. It does not try again.
fn push(world: &World, user: &str, key: &str, options: &[&str]) -> Output {
    world
        .client("aws")
        .env("AWS_MAX_ATTEMPTS", "1")
        .args(["ec2-instance-connect", "send-ssh-public-key", "--instance-os-user", user])
        .args(["--ssh-public-key", key])
        .args(options)
        .output()
        .unwrap()
}

fn policy(statements: &Value) -> Policy {
    Policy::parse(&json!({ "Version": "2012-10-17", "Statement": statements }).to_string()).unwrap()
}
