//! Pushes a key with the AWS CLI, or with a direct API call if the CLI is missing or fails.

use std::io;
use std::path::Path;
use std::process::Command;

use eic_emulator::Emulator;
use eic_emulator::http::client;
use eic_emulator::location::region_of;
use serde_json::{Value, json};

use super::child::{Interrupt, run};
use super::machine::find_program;
use super::sshd::KeyPair;
use crate::ready::remove_own_settings;

/// The access key of the caller `user/demo`.
const ACCESS_KEY: &str = "AKIAEXAMPLEDEMO";

/// How the key was pushed, and the request ID of the service.
pub(crate) struct Pushed {
    pub(crate) how: String,
    pub(crate) request_id: String,
}

/// Pushes the key for `user`.
pub(crate) fn push(
    emulator: &Emulator,
    key: &KeyPair,
    user: &str,
    interrupt: &Interrupt,
) -> io::Result<Pushed> {
    let Some(aws) = find_program("aws") else {
        let how = "a direct API call, because this machine has no AWS CLI".to_owned();
        return with_own_client(emulator, key, user, how);
    };
    match with_aws_cli(&aws, emulator, key, user, interrupt)? {
        Ok(pushed) => Ok(pushed),
        Err(complaint) => {
            let how = format!("a direct API call, because the AWS CLI failed: {complaint}");
            with_own_client(emulator, key, user, how)
        }
    }
}

fn with_aws_cli(
    aws: &Path,
    emulator: &Emulator,
    key: &KeyPair,
    user: &str,
    interrupt: &Interrupt,
) -> io::Result<Result<Pushed, String>> {
    let config = emulator.config();
    let (url, region) = (emulator.api_url(), region_of(&config.zone));
    let mut command = Command::new(aws);
    command.args([
        "ec2-instance-connect",
        "send-ssh-public-key",
        "--endpoint-url",
        &url,
        "--region",
        &region,
    ]);
    command.args(["--instance-id", &config.instance_id, "--instance-os-user", user, "--output", "json"]);
    command.arg("--ssh-public-key").arg(format!("file://{}", key.public_file().display()));
    // The user's own AWS settings and proxy must not affect a call to an endpoint on loopback.
    remove_own_settings(&mut command);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", "not-checked");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env("AWS_PAGER", "").env("AWS_MAX_ATTEMPTS", "1").env("AWS_EC2_METADATA_DISABLED", "true");
    let finished = match run(&mut command, interrupt) {
        Ok(finished) => finished,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
        Err(error) => return Ok(Err(error.to_string())),
    };
    let last_words =
        || finished.stderr.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason given");
    Ok(match request_id(&finished.stdout) {
        Some(request_id) if finished.success => {
            Ok(Pushed { how: "aws ec2-instance-connect send-ssh-public-key".to_owned(), request_id })
        }
        _ => Err(last_words().to_owned()),
    })
}

fn with_own_client(emulator: &Emulator, key: &KeyPair, user: &str, how: String) -> io::Result<Pushed> {
    let config = emulator.config();
    let body = json!({
        "InstanceId": config.instance_id,
        "InstanceOSUser": user,
        "SSHPublicKey": key.public,
    });
    let scope = format!("20250101/{}/ec2-instance-connect/aws4_request", region_of(&config.zone));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/{scope}, SignedHeaders=host, Signature=not-checked"
    );
    let headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("X-Amz-Target", "AWSEC2InstanceConnectService.SendSSHPublicKey"),
        ("Authorization", &authorization),
    ];
    let body = body.to_string();
    let received = client::send(&emulator.api_url(), "POST", "/", &headers, body.as_bytes())?;
    request_id(&received.body)
        .map(|request_id| Pushed { how, request_id })
        .ok_or_else(|| io::Error::other(format!("SendSSHPublicKey: {}", received.body)))
}

fn request_id(answer: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    answer.get("RequestId")?.as_str().map(str::to_owned)
}
