//! Did the signer sign this key, for this instance, and until when?

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

/// A key that the signer signed for this instance and that has not expired. Only [`VerifiedSigner::verify_key`] makes one.
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

    /// What the signer says of the push: signed.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The instant from which the key no longer counts.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Why a readable entry is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The signature is not the signer's over this entry.
    BadSignature,
    /// Signed for the instance that it names, which is not this one.
    WrongInstance {
        /// What the entry says.
        signed_for: String,
        /// What this instance is.
        instance: InstanceId,
    },
    /// Expired at the first instant, judged at the second.
    Expired(Timestamp, Timestamp),
    /// Not looked at: the signatures of other entries took all the work that there is for them.
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
                "expected entries whose signatures take no more work than {MAX_ENTRY_CHECKS} checks with an RSA key of 2,048 bits, got more, and this one was not checked"
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
    /// Proves one entry: the signature first, so that everything else is judged on signed values.
    ///
    /// There is no clock here: the instant is the one that the signer itself was judged at. The check is paid from
    /// `budget`; without it the entry is refused as [`KeyError::Unchecked`].
    pub fn verify_key(
        &self,
        entry: &KeyEntry,
        instance: &InstanceId,
        budget: &Budget,
    ) -> Result<VerifiedKey, KeyError> {
        if !budget.allows_entry(self.key_bits()) {
            return Err(KeyError::Unchecked);
        }
        // RSASSA-PSS with SHA-256, MGF1-SHA-256 and a salt of 32 bytes: ring takes no other salt length.
        EndEntityCert::try_from(self.leaf())
            .and_then(|leaf| {
                leaf.verify_signature(RSA_PSS_2048_8192_SHA256_LEGACY_KEY, &entry.signed, &entry.signature)
            })
            .map_err(|_| KeyError::BadSignature)?;
        self.check_claims(entry, instance)?;
        Ok(VerifiedKey { key: entry.key.clone(), claims: entry.claims.clone(), expires: entry.expires })
    }

    /// Whether the entry says that it is for this instance and has not expired. It proves nothing where the entry's
    /// signature was not verified before.
    pub(crate) fn check_claims(&self, entry: &KeyEntry, instance: &InstanceId) -> Result<(), KeyError> {
        if entry.instance != instance.as_str() {
            return Err(KeyError::WrongInstance {
                signed_for: printable(&entry.instance, MAX_SHOWN),
                instance: instance.clone(),
            });
        }
        // `#Timestamp` is the instant of expiry: the key counts as long as that is later than now.
        if entry.expires <= self.now() {
            return Err(KeyError::Expired(entry.expires, self.now()));
        }
        Ok(())
    }
}
