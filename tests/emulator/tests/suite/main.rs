//! Tests of the emulator from outside: over the network, and with openssl as the verifier.

mod api;
mod faults;
mod imds;
mod openssl;
mod policies;
mod principals;
mod program;
mod tunnel;

use eic_emulator::Emulator;
use eic_emulator::http::client::{Received, send};

/// An ed25519 public key of 32 bytes with the value 7.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

/// Requests a token that is valid for a minute.
fn token(emulator: &Emulator) -> String {
    let headers = [("X-aws-ec2-metadata-token-ttl-seconds", "60")];
    let received = send(&emulator.imds_url(), "PUT", "/latest/api/token", &headers, b"").unwrap();
    assert_eq!(received.status, 200);
    received.body
}

/// Gets a metadata path with that token.
fn get(emulator: &Emulator, token: &str, path: &str) -> Received {
    send(&emulator.imds_url(), "GET", path, &[("X-aws-ec2-metadata-token", token)], b"").unwrap()
}

/// Gets an item below `/latest/meta-data/` with a new token.
fn item(emulator: &Emulator, path: &str) -> Received {
    get(emulator, &token(emulator), &format!("/latest/meta-data/{path}"))
}
