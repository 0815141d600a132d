//! Fingerprints of OpenSSH keys.

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::identity::MalformedName;

/// The fingerprint of an OpenSSH key: `SHA256:` and the unpadded base64 of the SHA-256 of the key blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a key blob (the key's wire form).
    #[must_use]
    pub fn of(blob: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, blob);
        Self(format!("SHA256:{}", data_encoding::BASE64_NOPAD.encode(digest.as_ref())))
    }

    /// Reads a fingerprint as sshd passes it for `%f`. `None` for another hash (`MD5:...` under `FingerprintHash md5`).
    ///
    /// The agent then cannot filter the keys by fingerprint. That is safe, because sshd compares the keys itself.
    #[must_use]
    pub fn offered(text: &str) -> Option<Self> {
        let digest = text.strip_prefix("SHA256:")?;
        Some(Self(format!("SHA256:{}", digest.trim_end_matches('='))))
    }

    /// `SHA256:...`
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads a fingerprint that a user typed: `SHA256:` and 43 characters of base64.
impl core::str::FromStr for Fingerprint {
    type Err = MalformedName;

    fn from_str(text: &str) -> Result<Self, MalformedName> {
        let offered = Self::offered(text).filter(|offered| {
            let digest = offered.0.trim_start_matches("SHA256:").as_bytes();
            data_encoding::BASE64_NOPAD.decode(digest).is_ok_and(|digest| digest.len() == 32)
        });
        offered.ok_or_else(|| MalformedName::new("a fingerprint, SHA256: and 43 characters of base64", text))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sha256_fingerprints_of_an_offer_are_read() {
        assert_eq!(Fingerprint::offered("MD5:16:27:ac"), None);
        assert_eq!(Fingerprint::offered("ssh-ed25519"), None);
        let empty = Fingerprint::of(b"");
        assert_eq!(empty.as_str(), "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU");
        assert_eq!(empty.to_string(), empty.as_str());
        assert_eq!(Fingerprint::offered("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), Some(empty));
    }

    #[test]
    fn typed_fingerprint_must_be_complete() {
        assert!("SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU".parse::<Fingerprint>().is_ok());
        for bad in ["", "foo", "MD5:aa", "sha256:x", "SHA256:", "SHA256:AAAA", "SHA256:!!"] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
