//! The judgement, pure: evidence, expectations and an instant in, accepted and refused keys out.

use crate::evidence::chain::SignerChain;
use crate::evidence::key_bundle::{Claims, EntryError, KeyBundle};
use crate::evidence::ocsp::{OcspError, OcspStaple};
use crate::identity::{Fingerprint, InstanceId, SignerName};
use crate::reason::Reason;
use crate::time::Timestamp;
use crate::verification::{KeyError, SignerError, TrustAnchors, VerifiedKey, VerifiedSigner};

/// All that was sent, untrusted, and the anchors to judge it by.
#[derive(Debug)]
pub struct Evidence {
    /// The signer's certificates.
    pub chain: SignerChain,
    /// The staples, in any order and under any names.
    pub staples: Vec<OcspStaple>,
    /// What was served as a staple and cannot be read as one.
    pub unreadable_staples: Vec<OcspError>,
    /// The pushed keys.
    pub keys: KeyBundle,
    /// The roots that this instance trusts.
    pub anchors: TrustAnchors,
}

/// What the evidence must be about.
#[derive(Debug)]
pub struct Expectations {
    /// Who must have signed.
    pub signer: SignerName,
    /// Which instance the keys must have been pushed to.
    pub instance: InstanceId,
    /// The one key that is asked for; all keys where none is named.
    pub offered: Option<Fingerprint>,
}

/// What became of each entry, in the order of the bundle, under a signer that was proven.
#[must_use = "a decision that nobody acts on lets nobody in"]
#[derive(Debug)]
pub struct Decision {
    signer: VerifiedSigner,
    verdicts: Vec<Verdict>,
}

/// What became of one entry.
#[derive(Debug)]
pub enum Verdict {
    /// Proven, and asked for.
    Accepted(VerifiedKey),
    /// Proven, but not the key that is asked for: no refusal, and nothing to report.
    NotOffered(VerifiedKey),
    /// Not proven.
    Refused(Refusal),
}

/// An entry that was not proven.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub error: RefusalError,
    /// What the entry says of itself.
    pub claims: Claims,
}

/// Why an entry was not proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalError {
    /// It cannot be read.
    Entry(EntryError),
    /// It can be read, and does not hold.
    Key(KeyError),
}

impl RefusalError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Entry(error) => error.reason(),
            Self::Key(error) => error.reason(),
        }
    }
}

impl std::fmt::Display for RefusalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Entry(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
        }
    }
}

/// Judges the evidence as of `now`.
///
/// The signer is proven first; without a proven signer there is no decision about any key. Then each
/// entry is judged by itself: a bad one is one refusal and changes nothing for the next.
pub fn decide(evidence: &Evidence, expected: &Expectations, now: Timestamp) -> Result<Decision, SignerError> {
    let signer = VerifiedSigner::establish(
        &evidence.chain,
        &evidence.anchors,
        &evidence.staples,
        &expected.signer,
        now,
    )
    .map_err(|error| error.blame_unreadable(&evidence.unreadable_staples))?;
    let mut verdicts = Vec::with_capacity(evidence.keys.entries().len());
    for entry in evidence.keys.entries() {
        verdicts.push(match entry {
            Err(unreadable) => Verdict::Refused(Refusal {
                error: RefusalError::Entry(unreadable.error.clone()),
                claims: unreadable.claims.clone(),
            }),
            Ok(entry) => match signer.verify_key(entry, &expected.instance) {
                Ok(key)
                    if expected.offered.as_ref().is_none_or(|offered| offered == key.key().fingerprint()) =>
                {
                    Verdict::Accepted(key)
                }
                Ok(key) => Verdict::NotOffered(key),
                Err(error) => Verdict::Refused(Refusal {
                    error: RefusalError::Key(error),
                    claims: entry.claims.clone(),
                }),
            },
        });
    }
    Ok(Decision { signer, verdicts })
}

impl Decision {
    /// The signer that everything was judged under.
    #[must_use]
    pub const fn signer(&self) -> &VerifiedSigner {
        &self.signer
    }

    /// What became of each entry, in the order of the bundle.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The keys to hand over, in the order of the bundle.
    pub fn accepted(&self) -> impl Iterator<Item = &VerifiedKey> {
        self.verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Accepted(key) => Some(key),
            _ => None,
        })
    }

    /// The entries that were refused, in the order of the bundle.
    pub fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Refused(refusal) => Some(refusal),
            _ => None,
        })
    }
}
