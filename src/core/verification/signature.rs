//! Verifies that the signer signed a key for this instance, and that the key has not expired.

use alloc::string::String;
use core::fmt;

use webpki::EndEntityCert;
use webpki::ring::RSA_PSS_2048_8192_SHA256_LEGACY_KEY;

use super::budget::{Budget, MAX_ENTRY_CHECKS};
use super::path::VerifiedSigner;
use crate::evidence::key_bundle::{Claims, KeyEntry};
use crate::evidence::public_key::PublicKey;
use crate::identity::InstanceId;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;

/// A key that the signer signed for this instance and that has not expired. Only [`VerifiedSigner::verify_key`] makes
/// one.
#[derive(Debug)]
pub struct VerifiedKey {
    key: PublicKey,
    claims: Claims,
    expires: Timestamp,
}

impl VerifiedKey {
    /// The key.
    #[must_use]
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The claims about the push, which the signer signed.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The instant at which the key expires.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Why a readable entry is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The signature is not the signer's signature of this entry.
    BadSignature,
    /// Signed for another instance.
    WrongInstance {
        /// The instance that the entry names.
        signed_for: String,
        /// This instance.
        instance: InstanceId,
    },
    /// Expired at the first instant, judged at the second.
    Expired(Timestamp, Timestamp),
    /// Not checked: the signatures of other entries used all the work that is allowed.
    Unchecked,
}

impl KeyError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::BadSignature => Reason::BadSignature,
            Self::WrongInstance { .. } => Reason::WrongInstance,
            Self::Expired(..) => Reason::Expired,
            Self::Unchecked => Reason::TooManyEntries,
        }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unchecked => write!(
                f,
                "not checked: the signatures of other entries used up the allowed work ({MAX_ENTRY_CHECKS} checks with an RSA key of 2,048 bits)"
            ),
            Self::BadSignature => f.write_str(
                "expected the signer's RSA-PSS signature (SHA-256, salt 32) over the entry, got another",
            ),
            Self::WrongInstance { signed_for, instance } => {
                write!(f, "signed for \"{signed_for}\", this is {instance}")
            }
            Self::Expired(expired, now) => write!(f, "expired {expired}, now {now}"),
        }
    }
}

impl VerifiedSigner {
    /// Verifies one entry. The signature is checked first, so all other checks use signed values.
    ///
    /// This function reads no clock. It uses the instant for which the signer was verified. The check counts against
    /// `budget`. If the budget does not allow it, the entry is refused as [`KeyError::Unchecked`].
    pub fn verify_key(
        &self,
        entry: &KeyEntry,
        instance: &InstanceId,
        budget: &Budget,
    ) -> Result<VerifiedKey, KeyError> {
        if !budget.allows_entry(self.key_bits()) {
            return Err(KeyError::Unchecked);
        }
        // RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes. ring accepts no other salt length.
        EndEntityCert::try_from(self.leaf())
            .and_then(|leaf| {
                leaf.verify_signature(RSA_PSS_2048_8192_SHA256_LEGACY_KEY, &entry.signed, &entry.signature)
            })
            .map_err(|_| KeyError::BadSignature)?;
        self.check_claims(entry, instance)?;
        Ok(VerifiedKey { key: entry.key.clone(), claims: entry.claims.clone(), expires: entry.expires })
    }

    /// Checks that the entry is for this instance and has not expired. This proves nothing unless the entry's
    /// signature was verified before.
    pub(crate) fn check_claims(&self, entry: &KeyEntry, instance: &InstanceId) -> Result<(), KeyError> {
        if entry.instance != instance.as_str() {
            return Err(KeyError::WrongInstance {
                signed_for: printable(&entry.instance, MAX_SHOWN),
                instance: instance.clone(),
            });
        }
        // `#Timestamp` is the instant of expiry. The key is valid only before that instant.
        if entry.expires <= self.now() {
            return Err(KeyError::Expired(entry.expires, self.now()));
        }
        Ok(())
    }
}
