//! One OpenSSH public key, as it stands on a line.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use data_encoding::BASE64;
use ssh_key::Algorithm;
use ssh_key::public::KeyData;

use super::key_check;
use crate::fingerprint::Fingerprint;
use crate::reason::Reason;

/// Longest key line, in characters: the API's own limit for `SSHPublicKey` (`SendSSHPublicKey`).
pub const MAX_KEY_CHARACTERS: usize = 4096;

/// Longest algorithm name, in bytes (RFC 4251 section 6).
const MAX_ALGORITHM: usize = 64;

/// What OpenSSH calls its algorithms where a person reads it. Older releases (Amazon Linux 2 has 7.4) take these for
/// the names of keys, in capitals or not (`sshkey_type_from_name`).
const SHORT_NAMES: [&str; 7] = ["rsa1", "rsa", "dsa", "ecdsa", "ed25519", "ecdsa-sk", "ed25519-sk"];

/// Options of an `authorized_keys` line, which sshd reads in any case (OpenSSH auth-options.c). A line that begins with
/// one is no key to sshd but an option before a key.
const OPTIONS: [&str; 22] = [
    "agent-forwarding",
    "cert-authority",
    "command",
    "environment",
    "expiry-time",
    "from",
    "no-agent-forwarding",
    "no-port-forwarding",
    "no-pty",
    "no-touch-required",
    "no-user-rc",
    "no-x11-forwarding",
    "permitlisten",
    "permitopen",
    "port-forwarding",
    "principals",
    "pty",
    "restrict",
    "tunnel",
    "user-rc",
    "verify-required",
    "x11-forwarding",
];

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
            core::str::from_utf8(line).map_err(|_| PublicKeyError::Malformed("the line is not UTF-8"))?;
        let characters = line.chars().count();
        if characters > MAX_KEY_CHARACTERS {
            return Err(PublicKeyError::TooLong(characters));
        }
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let algorithm = words
            .next()
            .filter(|name| is_algorithm_name(name))
            .ok_or(PublicKeyError::Malformed("the line does not begin with the name of a key algorithm"))?;
        if OPTIONS.iter().any(|option| option.eq_ignore_ascii_case(algorithm)) {
            return Err(PublicKeyError::Malformed("the line begins with an option of authorized_keys"));
        }
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
            let key = key.ok_or(PublicKeyError::Malformed("the key's body is not a key of its algorithm"))?;
            if let Some(fault) = key_check::fault(key.key_data()) {
                return Err(PublicKeyError::Malformed(fault));
            }
            if let Some(fingerprint) = without_final_nul(&blob, key.key_data()) {
                return Ok(Self { algorithm: algorithm.to_owned(), fingerprint, blob });
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

/// The fingerprint of a security key whose application ends with a NUL. OpenSSH reads the application as a C string and
/// writes it without the NUL (sshkey.c, `sshkey_serialize_sk`), and that is what it hashes. None for other keys.
fn without_final_nul(blob: &[u8], key: &KeyData) -> Option<Fingerprint> {
    let application = match key {
        KeyData::SkEcdsaSha2NistP256(key) => key.application(),
        KeyData::SkEd25519(key) => key.application(),
        _ => return None,
    };
    let name = application.strip_suffix('\0')?;
    // It is the last part: a length of four bytes, then the name.
    let before = blob.len().checked_sub(application.len())?.checked_sub(4)?;
    let length = u32::try_from(name.len()).ok()?.to_be_bytes();
    Some(Fingerprint::of(&[blob.get(..before)?, &length, name.as_bytes()].concat()))
}

/// Reads base64 with its padding at the end alone. `data-encoding` takes several encodings in a row for one, which sshd
/// refuses.
fn canonical_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == text)
}

/// A name of RFC 4251 section 6 in the characters that are in use; above all no quote, comma or equals
/// sign, with which an option of an `authorized_keys` line could begin. A line that begins with a digit was once a key of
/// protocol 1.
fn is_algorithm_name(word: &str) -> bool {
    (1..=MAX_ALGORITHM).contains(&word.len())
        && word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'@' | b'+'))
}

/// The algorithm that a key's wire form begins with: a length of four bytes, then the name.
fn named_algorithm(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests;
