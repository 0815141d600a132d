//! What clients send to the endpoint, compared field by field with the wire format. The matrix of OpenSSH releases does the
//! same with AWS CLI 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use eic_emulator::directory::TempDir;
use eic_emulator::location::ENDPOINT_ID;
use serde_json::json;

use super::script;
use crate::world::installed;

const NAME: &str = "eice-0123456789abcdef0.b7e151c6.ec2-instance-connect-endpoint.us-east-1.test";
const ADDRESS: &str = "10.11.12.13";
const SECRET: &str = "+/secret/+";

/// Runs a client under `wire.py`.
fn compare(authority: &Path, seconds: &str, token: Option<&str>, client: &[&str]) -> Output {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/tunnel/wire.py");
    let mut command = Command::new(installed("python3"));
    command.arg("-B").arg(program).args([NAME, ENDPOINT_ID, ADDRESS, seconds]).arg(authority).args(client);
    command.env("AWS_ACCESS_KEY_ID", if token.is_some() { "ASIAEXAMPLE" } else { "AKIAEXAMPLE" });
    command.env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_DEFAULT_REGION", "us-east-1");
    command.env_remove("AWS_SESSION_TOKEN").env("SSL_CERT_FILE", authority);
    command.envs(token.map(|token| ("AWS_SESSION_TOKEN", token)));
    command.output().unwrap()
}

fn emulator() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_eic-agent")).with_file_name("eic-emulator")
}

#[test]
fn independent_client_sends_the_fields_of_the_wire_format() {
    let folder = TempDir::new("wire").unwrap();
    let authority = folder.path().join("ca.pem");
    let (python, script) = (installed("python3"), script());
    let client = [python.to_str().unwrap(), "-B", script.to_str().unwrap(), ENDPOINT_ID, NAME, ADDRESS, "22"];
    for (seconds, token) in
        [("0", None), ("60", None), ("3600", Some("FwoGZXIvYXdzE////wEaDP+a b~c=*%25&x=="))]
    {
        let words = if seconds == "0" { client.to_vec() } else { [&client[..], &[seconds]].concat() };
        let output = compare(&authority, seconds, token, &words);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        assert!(said.lines().filter(|line| line.starts_with("ok ")).count() >= 30, "{said}");
    }
    // A difference is seen.
    let output = compare(&authority, "60", None, &client);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("DIFFERS maxTunnelDuration: None"), "{said}");
}

#[test]
fn client_of_the_emulator_sends_the_fields_of_the_wire_format() {
    let folder = TempDir::new("wire").unwrap();
    let authority = folder.path().join("ca.pem");
    // The client reads these values of a running emulator. Here, they name the other endpoint.
    let ready = |place: &str| {
        json!({
            "api": format!("http://{place}"), "proxy": format!("http://{place}"), "ca_file": authority,
            "endpoint_id": ENDPOINT_ID, "endpoint": NAME, "region": "us-east-1", "secret_key": SECRET,
        })
    };
    fs::write(folder.path().join("emulator.json"), ready("PLACE").to_string()).unwrap();
    let text = format!(
        "sed -i \"s/PLACE/$WIRE/g\" emulator.json; exec {} open-tunnel --attach . --as x --private-ip-address {ADDRESS}",
        emulator().display()
    );
    let folder = folder.path().display();
    let key = "AKIAEXAMPLEX";
    let text = format!("cd {folder}; {text}");
    let mut command = Command::new(installed("python3"));
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/tunnel/wire.py");
    command
        .arg("-B")
        .arg(program)
        .args([NAME, ENDPOINT_ID, ADDRESS, "0"])
        .arg(&authority)
        .args(["sh", "-c", &text]);
    command
        .env("AWS_ACCESS_KEY_ID", key)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .env("AWS_DEFAULT_REGION", "us-east-1");
    let output = command.env_remove("AWS_SESSION_TOKEN").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // With the nonce, two tunnels in one second have different signatures. AWS CLI 2 has none.
    let differs: Vec<_> = said.lines().filter(|line| !line.starts_with("ok ")).collect();
    let said = format!("{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(differs, ["DIFFERS no other parameter: ['X-Amz-Nonce']"], "{said}");
    assert!(said.contains("the client's exit status: 0"), "{said}");
}
