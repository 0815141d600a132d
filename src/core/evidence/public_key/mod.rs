//! Parses one OpenSSH public key from its line.

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

/// Maximum length of a key line, in characters. It is the API's limit for `SSHPublicKey` (`SendSSHPublicKey`).
pub const MAX_KEY_CHARACTERS: usize = 4096;

/// Maximum length of an algorithm name, in bytes (RFC 4251 section 6).
const MAX_ALGORITHM: usize = 64;

/// Short algorithm names that OpenSSH shows to people. Older releases (Amazon Linux 2 has 7.4) also accept them as
/// key types, in any case (`sshkey_type_from_name`).
const SHORT_NAMES: [&str; 7] = ["rsa1", "rsa", "dsa", "ecdsa", "ed25519", "ecdsa-sk", "ed25519-sk"];

/// Options of an `authorized_keys` line. sshd reads them in any case (OpenSSH auth-options.c). If a line begins with
/// one of them, sshd reads an option and not a key.
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
/// The comment and the spacing of the original line are dropped. So the output contains only this key.
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
    /// Reads `ALGORITHM BASE64 [COMMENT]`, the form of an `authorized_keys` line without options (sshd(8),
    /// "`AUTHORIZED_KEYS` FILE FORMAT").
    ///
    /// If `ssh-key` knows the algorithm, the key is parsed completely and must encode to the same bytes. A key of
    /// another algorithm is kept unchanged if its body begins with the same algorithm name. sshd decides whether it
    /// supports that algorithm.
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
        // An older OpenSSH maps this name to one of its algorithms and would read a different key.
        if SHORT_NAMES.iter().any(|short| short.eq_ignore_ascii_case(algorithm)) {
            return Err(PublicKeyError::Malformed("the line begins with the short name of a key algorithm"));
        }
        // This names a signature algorithm. OpenSSH drops the prefix and would read a different key.
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

    /// The length of an RSA key's modulus, in bits. `None` for other algorithms.
    #[must_use]
    pub fn rsa_bits(&self) -> Option<usize> {
        let key = ssh_key::PublicKey::from_bytes(&self.blob).ok()?;
        let modulus = key.key_data().rsa()?.n.as_positive_bytes()?;
        let zeros = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
        modulus.len().checked_mul(8)?.checked_sub(zeros)
    }

    /// The key's SHA-256 fingerprint.
    #[must_use]
    pub const fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }
}

/// Writes `ALGORITHM BASE64`.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, BASE64.encode(&self.blob))
    }
}

/// The fingerprint of a security key whose application name ends with a NUL; `None` for other keys. OpenSSH reads the
/// name as a C string, writes it without the NUL (sshkey.c, `sshkey_serialize_sk`) and hashes the result.
fn without_final_nul(blob: &[u8], key: &KeyData) -> Option<Fingerprint> {
    let application = match key {
        KeyData::SkEcdsaSha2NistP256(key) => key.application(),
        KeyData::SkEd25519(key) => key.application(),
        _ => return None,
    };
    let name = application.strip_suffix('\0')?;
    // The application is the last field: a length of four bytes, then the name.
    let before = blob.len().checked_sub(application.len())?.checked_sub(4)?;
    let length = u32::try_from(name.len()).ok()?.to_be_bytes();
    Some(Fingerprint::of(&[blob.get(..before)?, &length, name.as_bytes()].concat()))
}

/// Reads base64 with padding only at the end. `data-encoding` also accepts several concatenated encodings, which sshd
/// refuses.
fn canonical_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.as_bytes()).ok().filter(|bytes| BASE64.encode(bytes) == text)
}

/// Whether this is an algorithm name (RFC 4251 section 6) that consists only of characters that existing names use.
/// Quotes, commas and equals signs are refused, because an option of an `authorized_keys` line could contain them. A
/// digit at the start is refused, because a key line of SSH protocol 1 begins with a digit.
fn is_algorithm_name(word: &str) -> bool {
    (1..=MAX_ALGORITHM).contains(&word.len())
        && word.starts_with(|first: char| first.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'@' | b'+'))
}

/// The algorithm name at the start of a key's wire form: a length of four bytes, then the name.
fn named_algorithm(blob: &[u8]) -> Option<&[u8]> {
    let (length, rest) = blob.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests;
