//! Tunnels of the emulator's EC2 Instance Connect Endpoint, with independent clients: `websockets` and botocore open the
//! tunnel, the real ssh logs in. The emulator's own tests send it bad input.

mod logins;
mod signature;
mod wire;

use std::path::PathBuf;
use std::process::Command;

use crate::world::{World, installed};

/// The client that opens tunnels.
fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/suite/tunnel/open_tunnel.py")
}

/// The client, without arguments, and without the way to the emulator.
fn client() -> Command {
    let mut command = Command::new(installed("python3"));
    command.arg("-B").arg(script());
    command
}

impl World {
    /// The environment in which a client reaches the endpoint without root, DNS or a hosts file.
    fn with_endpoint(&self, command: &mut Command) {
        command.env("HTTPS_PROXY", self.emulator.proxy_url()).env("SSL_CERT_FILE", self.path("etc/ca.pem"));
    }
}
