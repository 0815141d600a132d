//! The fixtures that openssl made in `tests/fixtures`, and the instant at which they are valid.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use eic_core::identity::SignerName;
use eic_core::time::Timestamp;
use eic_core::verification::TrustAnchors;

fn folder() -> PathBuf {
    // This file is part of the fuzzing crate and of the agent's tests, so the path differs.
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [here.join("tests/fixtures"), here.join("../fixtures")];
    folders.into_iter().find(|folder| folder.is_dir()).expect("tests/fixtures exists")
}

/// Reads a file.
pub(super) fn read(name: &str) -> Vec<u8> {
    fs::read(folder().join(name)).unwrap_or_else(|error| panic!("fixture {name}: {error}"))
}

/// Reads every file of a folder.
pub(super) fn read_all(name: &str) -> Vec<Vec<u8>> {
    let entries =
        fs::read_dir(folder().join(name)).unwrap_or_else(|error| panic!("fixtures {name}: {error}"));
    entries.map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

/// The instant at which the fixtures are verified.
pub(super) static AT: LazyLock<Timestamp> = LazyLock::new(|| {
    let instants = String::from_utf8(read("instants")).unwrap();
    instants.lines().find_map(|line| line.strip_prefix("at=")?.parse().ok()).expect("instants has at=")
});

/// The name of the signer in the fixtures.
pub(super) static SIGNER: LazyLock<SignerName> =
    LazyLock::new(|| "managed-ssh-signer.us-east-1.amazonaws.com".parse().unwrap());

/// The only trust anchor.
pub(super) fn anchors() -> TrustAnchors {
    TrustAnchors::from_pem([read("certs/root.pem").as_slice()]).unwrap()
}
