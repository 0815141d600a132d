//! A key line.

use data_encoding::BASE64;
use eic_core::evidence::public_key::{MAX_KEY_CHARACTERS, PublicKey};
use eic_core::fingerprint::Fingerprint;

use super::assert_printable;

/// Property: the printed form of a key parses to the same key, and consists of the first two words of the input.
pub fn run(input: &[u8]) {
    let key = match PublicKey::parse(input) {
        Ok(key) => key,
        Err(error) => {
            assert_printable(&error.to_string());
            return assert_printable(error.reason().as_str());
        }
    };
    let shown = key.to_string();
    assert_printable(&shown);
    assert!(shown.len() <= MAX_KEY_CHARACTERS);
    assert_eq!(PublicKey::parse(shown.as_bytes()).as_ref(), Ok(&key));

    let line = std::str::from_utf8(input).unwrap();
    let mut came = line.split([' ', '\t']).filter(|word| !word.is_empty());
    let words: Vec<_> = shown.split(' ').collect();
    let [algorithm, body] = words.as_slice() else { panic!("expected two words: {shown:?}") };
    assert_eq!((came.next(), came.next()), (Some(*algorithm), Some(*body)));
    assert_eq!(key.algorithm(), *algorithm);
    assert!(!algorithm.contains("-cert-v0"), "a certificate: {shown}");

    let blob = BASE64.decode(body.as_bytes()).unwrap();
    assert_eq!(blob.get(4..4 + algorithm.len()), Some(algorithm.as_bytes()));
    // OpenSSH hashes a security key's application without a NUL at its end.
    if !(algorithm.starts_with("sk-") && blob.ends_with(b"\0")) {
        assert_eq!(*key.fingerprint(), Fingerprint::of(&blob));
    }
}
