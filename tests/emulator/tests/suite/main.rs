//! The emulator as its users see it: over the network, and through openssl's eyes.

mod api;
mod faults;
mod imds;
mod openssl;

use eic_emulator::Emulator;
use eic_emulator::http::client::{Received, send};

/// An ed25519 public key of 32 sevens.
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

/// Asks for a token that is good for a minute.
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

/// Gets an item below `/latest/meta-data/` with a token of its own.
fn item(emulator: &Emulator, path: &str) -> Received {
    get(emulator, &token(emulator), &format!("/latest/meta-data/{path}"))
}
