//! One OpenSSH public key, as it stands on a line.

use std::fmt;

use data_encoding::BASE64;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Mpint};

use crate::fingerprint::Fingerprint;
use crate::reason::Reason;

/// Longest key line, in characters: the API's own limit for `SSHPublicKey` (`SendSSHPublicKey`).
pub const MAX_KEY_CHARACTERS: usize = 4096;

/// Longest algorithm name, in bytes (RFC 4251 section 6).
const MAX_ALGORITHM: usize = 64;

/// What OpenSSH calls its algorithms where a person reads it. Older releases (Amazon Linux 2 has 7.4) take these for
/// the names of keys, in capitals or not (`sshkey_type_from_name`).
const SHORT_NAMES: [&str; 7] = ["rsa1", "rsa", "dsa", "ecdsa", "ed25519", "ecdsa-sk", "ed25519-sk"];

/// A public key: an algorithm and its wire form (RFC 4253 section 6.6).
///
/// Only the two are kept. Comment and spacing of the line that it came from are gone, so that what is
/// printed is this key and nothing that merely stood beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: String,
    blob: Vec<u8>,
    fingerprint: Fingerprint,
}

/// Why a line is not one public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKeyError {
    /// Longer than [`MAX_KEY_CHARACTERS`]; holds the length.
    TooLong(usize),
    /// Not `ALGORITHM BASE64 [COMMENT]`; holds what is wrong.
    Malformed(&'static str),
    /// An OpenSSH certificate.
    Certificate,
}

impl PublicKeyError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::TooLong(_) => Reason::KeyTooLong,
            Self::Malformed(_) => Reason::KeyMalformed,
            Self::Certificate => Reason::KeyIsCertificate,
        }
    }
}

impl fmt::Display for PublicKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(length) => {
                write!(f, "the key line has {length} characters, at most {MAX_KEY_CHARACTERS} are allowed")
            }
            Self::Malformed(what) => write!(f, "expected an OpenSSH public key, but {what}"),
            Self::Certificate => f.write_str("expected a plain public key, got an OpenSSH certificate"),
        }
    }
}

impl PublicKey {
    /// Reads `ALGORITHM BASE64 [COMMENT]`, the form of an `authorized_keys` line without options
    /// (sshd(8), "`AUTHORIZED_KEYS` FILE FORMAT").
    ///
    /// Keys of the algorithms that `ssh-key` knows are parsed whole and must encode to the very bytes that
    /// came. A key of another algorithm is carried through as it is, as long as its body begins with the
    /// same name: sshd decides whether it knows it.
    pub fn parse(line: &[u8]) -> Result<Self, PublicKeyError> {
        let line =
            std::str::from_utf8(line).map_err(|_| PublicKeyError::Malformed("the line is not UTF-8"))?;
        let characters = line.chars().count();
        if characters > MAX_KEY_CHARACTERS {
            return Err(PublicKeyError::TooLong(characters));
        }
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let algorithm = words
            .next()
            .filter(|name| is_algorithm_name(name))
            .ok_or(PublicKeyError::Malformed("the line does not begin with the name of a key algorithm"))?;
        if algorithm.contains("-cert-v0") {
            return Err(PublicKeyError::Certificate);
        }
        // To an older OpenSSH another name of an algorithm that it knows: another key than ours.
        if SHORT_NAMES.iter().any(|short| short.eq_ignore_ascii_case(algorithm)) {
            return Err(PublicKeyError::Malformed("the line begins with the short name of a key algorithm"));
        }
        // The name of a signature, which OpenSSH reads as the key type without the prefix: another key than ours.
        if algorithm.starts_with("webauthn-") {
            return Err(PublicKeyError::Malformed("webauthn-... names a signature, not a key"));
        }
        let blob = words
            .next()
            .and_then(canonical_base64)
            .ok_or(PublicKeyError::Malformed("no base64 follows the algorithm"))?;
        if named_algorithm(&blob) != Some(algorithm.as_bytes()) {
            return Err(PublicKeyError::Malformed("the key's body names another algorithm than the line"));
        }
        if matches!(Algorithm::new(algorithm), Ok(known) if !matches!(known, Algorithm::Other(_))) {
            let parsed = ssh_key::PublicKey::from_bytes(&blob).ok();
            let key = parsed.filter(|key| key.to_bytes().as_deref() == Ok(blob.as_slice()));
            if !key.is_some_and(|key| is_plain(key.key_data())) {
                return Err(PublicKeyError::Malformed("the key's body is not a key of its algorithm"));
            }
        }
        Ok(Self { algorithm: algorithm.to_owned(), fingerprint: Fingerprint::of(&blob), blob })
    }

    /// The algorithm's name, e.g. `ssh-ed25519`.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key's SHA-256 fingerprint.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// `ALGORITHM BASE64`, encoded anew.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, BASE64.encode(&self.blob))
    }
}

/// Numbers that are not negative, and points in the long form: OpenSSH reads nothing else (`sshbuf_get_bignum2`,
/// `sshbuf_get_ec`).
fn is_plain(key: &KeyData) -> bool {
    let positive = |numbers: &[&Mpint]| numbers.iter().all(|number| number.as_positive_bytes().is_some());
    let uncompressed = |point: &[u8]| point.first() == Some(&0x04);
    match key {
        KeyData::Rsa(key) => positive(&[&key.e, &key.n]),
        KeyData::Dsa(key) => positive(&[&key.p, &key.q, &key.g, &key.y]),
        KeyData::Ecdsa(key) => uncompressed(key.as_sec1_bytes()),
        KeyData::SkEcdsaSha2NistP256(key) => uncompressed(key.ec_point().as_bytes()),
        _ => true,
    }
}

/// Reads base64 with its padding at the end alone. `data-encoding` takes several encodings in a row for one, which sshd
/// refuses.
fn canonical_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == text)
}

/// A name of RFC 4251 section 6 in the characters that are in use; above all no quote, comma or equals
/// sign, with which an option of an `authorized_keys` line could begin.
fn is_algorithm_name(word: &str) -> bool {
    (1..=MAX_ALGORITHM).contains(&word.len())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'@' | b'+'))
}

/// The algorithm that a key's wire form begins with: a length of four bytes, then the name.
fn named_algorithm(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn opaque(name: &str, inner: &str) -> String {
        let mut blob = u32::try_from(inner.len()).unwrap().to_be_bytes().to_vec();
        blob.extend(inner.as_bytes());
        blob.extend(b"\0\0\0\x03key");
        format!("{name} {}", BASE64.encode(&blob))
    }

    #[test]
    fn comment_and_spacing_are_dropped() {
        for line in [ED25519.to_owned(), format!("{ED25519} a comment"), ED25519.replace(' ', " \t ")] {
            let key = PublicKey::parse(line.as_bytes()).unwrap();
            assert_eq!(key.to_string(), ED25519);
            assert_eq!(key.algorithm(), "ssh-ed25519");
        }
        let key = PublicKey::parse(ED25519.as_bytes()).unwrap();
        assert_eq!(key.fingerprint().as_str(), "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ");
    }

    #[test]
    fn an_algorithm_nobody_knows_is_carried_through() {
        for name in ["ssh-future@example.com", "ssh-future448"] {
            let line = opaque(name, name);
            assert_eq!(PublicKey::parse(line.as_bytes()).unwrap().to_string(), line);
        }
    }

    #[test]
    fn what_is_not_one_key_is_refused() {
        let truncated = &ED25519[..ED25519.len() - 8];
        let padded = format!("{ED25519}AAAA");
        let renamed = opaque("ssh-future", "ssh-future448");
        let padded_inside = {
            let blob = BASE64.decode(&opaque("ssh-future", "ssh-future").as_bytes()[11..]).unwrap();
            format!("ssh-future {}{}", BASE64.encode(&blob[..4]), BASE64.encode(&blob[4..]))
        };
        let option = format!("command=\"id\" {ED25519}");
        let from = format!("restrict {ED25519}");
        let bad = [
            "",
            " ",
            "ssh-ed25519",
            "ssh-ed25519 !!!!",
            "ssh-ed25519 AAAA",
            truncated,
            &padded,
            &padded_inside,
            &renamed,
            &option,
            &from,
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti",
        ];
        for line in bad {
            let refused = PublicKey::parse(line.as_bytes()).unwrap_err();
            assert_eq!(refused.reason(), Reason::KeyMalformed, "{line:?}");
        }
        assert_eq!(PublicKey::parse(b"\xff").unwrap_err().reason(), Reason::KeyMalformed);
    }

    #[test]
    fn names_of_signatures_are_no_keys() {
        let name = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
        let refused = PublicKey::parse(opaque(name, name).as_bytes()).unwrap_err();
        assert_eq!(refused.reason(), Reason::KeyMalformed);
    }

    #[test]
    fn short_names_are_no_names_of_keys() {
        for name in ["ED25519", "rsa", "Ecdsa-Sk"] {
            let refused = PublicKey::parse(opaque(name, name).as_bytes()).unwrap_err();
            assert_eq!(refused.reason(), Reason::KeyMalformed, "{name}");
        }
    }

    #[test]
    fn numbers_and_points_are_as_openssh_reads_them() {
        let wire = |parts: &[&[u8]]| {
            let part = |part: &&[u8]| [&u32::try_from(part.len()).unwrap().to_be_bytes(), *part].concat();
            let name = String::from_utf8(parts[0].to_vec()).unwrap();
            format!("{name} {}", BASE64.encode(&parts.iter().flat_map(part).collect::<Vec<_>>()))
        };
        let point = |form: u8, size: usize| [vec![form], vec![7; size]].concat();
        let curve: [&[u8]; 2] = [b"ecdsa-sha2-nistp256", b"nistp256"];
        let hardware: [&[u8]; 2] = [b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256"];
        for (line, is_good) in [
            (wire(&[b"ssh-rsa", &[1, 0, 1], &[0x45; 256]]), true),
            (wire(&[b"ssh-rsa", &[1, 0, 1], &[0xc5; 256]]), false),
            (wire(&[b"ssh-rsa", &[0x81], &[0x45; 256]]), false),
            (wire(&[b"ssh-dss", &[7; 128], &[7; 20], &[7; 128], &[7; 128]]), true),
            (wire(&[b"ssh-dss", &[7; 128], &[7; 20], &[7; 128], &[0x87; 128]]), false),
            (wire(&[curve[0], curve[1], &point(4, 64)]), true),
            (wire(&[curve[0], curve[1], &point(2, 32)]), false),
            (wire(&[hardware[0], hardware[1], &point(4, 64), b"ssh:"]), true),
            (wire(&[hardware[0], hardware[1], &point(3, 32), b"ssh:"]), false),
        ] {
            assert_eq!(PublicKey::parse(line.as_bytes()).is_ok(), is_good, "{line}");
        }
    }

    #[test]
    fn certificates_are_refused_by_name() {
        let name = "ssh-ed25519-cert-v01@openssh.com";
        assert_eq!(PublicKey::parse(opaque(name, name).as_bytes()), Err(PublicKeyError::Certificate));
    }

    /// No quote, comma or equals sign: with those, an option of the line could begin.
    #[test]
    fn the_name_of_an_algorithm_is_short_and_plain() {
        let longest = "a".repeat(MAX_ALGORITHM);
        for name in ["a", "Az09-._@+", &longest] {
            let line = opaque(name, name);
            assert_eq!(PublicKey::parse(line.as_bytes()).unwrap().algorithm(), name);
        }
        let odd = "!\"#$%&'()*,/:;<=>?[\\]^`{|}~\u{7f}\u{e9}".chars().map(|c| format!("ssh{c}future"));
        for name in odd.chain(["a".repeat(MAX_ALGORITHM + 1)]) {
            let refused = PublicKey::parse(opaque(&name, &name).as_bytes()).unwrap_err();
            assert!(
                refused.to_string().contains("begin with the name of a key algorithm"),
                "{name}: {refused}"
            );
        }
    }

    #[test]
    fn a_refusal_says_what_came() {
        let name = "ssh-rsa-cert-v01@openssh.com";
        for (line, words) in [
            (opaque(name, name), "expected a plain public key, got an OpenSSH certificate"),
            ("x".repeat(4097), "the key line has 4097 characters, at most 4096 are allowed"),
            ("ssh-rsa !".into(), "expected an OpenSSH public key, but no base64 follows the algorithm"),
        ] {
            assert_eq!(PublicKey::parse(line.as_bytes()).unwrap_err().to_string(), words);
        }
    }

    #[test]
    fn the_limit_is_the_apis() {
        let at_limit = format!("{ED25519} {}", "c".repeat(MAX_KEY_CHARACTERS - ED25519.len() - 1));
        assert!(PublicKey::parse(at_limit.as_bytes()).is_ok());
        let over = format!("{at_limit}c");
        assert_eq!(PublicKey::parse(over.as_bytes()), Err(PublicKeyError::TooLong(MAX_KEY_CHARACTERS + 1)));
    }
}
