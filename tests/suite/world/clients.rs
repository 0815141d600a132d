//! The real clients that push keys: AWS CLI 1, `mssh` and boto3, from the Python package index. Its WebSocket client opens
//! tunnels, and its SSH clients log in.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use eic_emulator::DEFAULT_SECRET_KEY;

use super::{INSTANCE, Key, World};

impl World {
    /// `aws ec2-instance-connect send-ssh-public-key`, as the caller with that access key.
    pub(crate) fn aws_push(&self, access_key: &str, instance: &str, user: &str, key: &Key) -> Output {
        self.client("aws")
            .env("AWS_ACCESS_KEY_ID", access_key)
            .args(["ec2-instance-connect", "send-ssh-public-key", "--instance-id", instance])
            .args(["--instance-os-user", user, "--availability-zone", "us-east-1a"])
            .arg("--ssh-public-key")
            .arg(format!("file://{}", key.public_file().display()))
            .output()
            .unwrap()
    }

    /// `mssh USER@INSTANCE id -un`: queries the instance, creates a key, pushes it and logs in.
    pub(crate) fn mssh(&self, user: &str) -> Output {
        self.client("mssh")
            .args([
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "LogLevel=ERROR",
            ])
            .args(["-r", "us-east-1"])
            .arg(format!("{user}@{INSTANCE}"))
            .arg("id -un")
            .output()
            .unwrap()
    }

    /// A client by name, with the environment in which it finds the emulator.
    pub(crate) fn client(&self, name: &str) -> Command {
        self.with_clients(Command::new(installed(name)))
    }

    /// Sets the environment in which a command finds the clients, and the clients find the emulator.
    pub(crate) fn with_clients(&self, mut command: Command) -> Command {
        let folder = installed("aws").parent().unwrap().to_owned();
        let path = format!(
            "{}:{}:{}",
            self.path("bin").display(),
            folder.display(),
            env::var("PATH").unwrap_or_default()
        );
        command
            .env("PATH", path)
            .env("HOME", self.path("etc"))
            .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEALICE")
            .env("AWS_SECRET_ACCESS_KEY", DEFAULT_SECRET_KEY)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL_EC2", self.emulator.api_url())
            .env("AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT", self.emulator.api_url())
            .env("AWS_ENDPOINT_URL_CLOUDTRAIL", self.emulator.api_url())
            .stdin(Stdio::null());
        command
    }
}

/// The path of a client. `make test` installs the clients and sets `EIC_TEST_CLIENTS`. Without that variable, the
/// folder is `target/clients`.
pub(crate) fn installed(name: &str) -> PathBuf {
    let folder = env::var_os("EIC_TEST_CLIENTS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/clients"), PathBuf::from);
    let program = folder.join("bin").join(name);
    assert!(
        program.exists(),
        "{} is not there: `make test` (or tests/setup test) installs it",
        program.display()
    );
    program
}
