//! The judgement, pure: evidence, expectations and an instant in, accepted and refused keys out.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::evidence::chain::SignerChain;
use crate::evidence::key_bundle::{Claims, EntryError, KeyBundle, KeyEntry, UnreadableEntry};
use crate::evidence::ocsp::{OcspError, OcspStaple};
use crate::evidence::public_key::PublicKey;
use crate::fingerprint::Fingerprint;
use crate::identity::{InstanceId, SignerName};
use crate::key_options::LinePrefix;
use crate::order;
use crate::policy::{Denied, PermittedKey, Policy};
use crate::reason::Reason;
use crate::time::Timestamp;
use crate::verification::{
    Budget, KeyError, RevocationError, RevocationPolicy, SignerError, SignerPath, TrustAnchors, VerifiedKey,
    VerifiedSigner,
};

/// All that was sent, untrusted, and the anchors to judge it by.
#[derive(Debug)]
pub struct Evidence {
    /// What proves the signer.
    pub signer: SignerEvidence,
    /// The pushed keys.
    pub keys: KeyBundle,
}

/// What proves the signer, untrusted, and the anchors to judge it by.
#[derive(Debug)]
pub struct SignerEvidence {
    /// The signer's certificates.
    pub chain: SignerChain,
    /// The staples, in any order and under any names.
    pub staples: Vec<OcspStaple>,
    /// What was served as a staple and cannot be read as one.
    pub unreadable_staples: Vec<OcspError>,
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
    /// This instance's own rules.
    pub policy: Policy,
    /// What a certificate of the path without a staple means.
    pub revocation: RevocationPolicy,
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
    /// Proven, asked for, and permitted.
    Accepted(PermittedKey),
    /// Proven, but not the key that is asked for: no refusal, and nothing to report.
    NotOffered(VerifiedKey),
    /// Not proven, or not permitted.
    Refused(Refusal),
}

/// An entry that was not proven, or whose key is not permitted.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub error: RefusalError,
    /// What the entry says of itself.
    pub claims: Claims,
}

/// Why an entry was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalError {
    /// It cannot be read.
    Entry(EntryError),
    /// It can be read, and does not hold.
    Key(KeyError),
    /// It holds, and a rule of this instance denies the key.
    Policy(Denied),
}

impl RefusalError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Entry(error) => error.reason(),
            Self::Key(error) => error.reason(),
            Self::Policy(_) => Denied::reason(),
        }
    }
}

impl core::fmt::Display for RefusalError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Entry(error) => error.fmt(f),
            Self::Key(error) => error.fmt(f),
            Self::Policy(denied) => denied.fmt(f),
        }
    }
}

/// Judges the evidence as of `now`, within `budget`.
///
/// The signer is proven first; without a proven signer there is no decision about any key. Then each
/// entry is judged by itself: a bad one is one refusal and changes nothing for the next.
pub fn decide(
    evidence: &Evidence,
    expected: &Expectations,
    now: Timestamp,
    budget: &Budget,
) -> Result<Decision, SignerError> {
    prove_signer(None, &evidence.signer, expected, now, budget)
        .map(|signer| decide_under(signer, &evidence.keys, expected, budget))
}

/// Proves the signer of the evidence as of `now`, within `budget`: along `path`, where that of the expected signer is
/// known already, and by a search where it is not or does not hold.
pub fn prove_signer(
    path: Option<&SignerPath>,
    evidence: &SignerEvidence,
    expected: &Expectations,
    now: Timestamp,
    budget: &Budget,
) -> Result<VerifiedSigner, SignerError> {
    let known = path.filter(|path| *path.name() == expected.signer);
    let along =
        known.and_then(|path| path.verify_staples(&evidence.staples, expected.revocation, now, budget));
    let signer = along.map_or_else(
        || {
            VerifiedSigner::establish(
                &evidence.chain,
                &evidence.anchors,
                &evidence.staples,
                &expected.signer,
                expected.revocation,
                now,
                budget,
            )
            .map_err(|error| error.prefer_parse_error(&evidence.unreadable_staples))
        },
        Ok,
    )?;
    // A staple that is there decides, also one that cannot be read.
    if let (Some(unstapled), Some(error)) = (signer.unstapled().next(), evidence.unreadable_staple()) {
        let error = RevocationError::Unreadable(error.to_string());
        return Err(SignerError::Revocation(unstapled.subject().to_owned(), error));
    }
    Ok(signer)
}

impl SignerEvidence {
    /// The first staple that cannot be read, or vouches for nothing.
    fn unreadable_staple(&self) -> Option<&OcspError> {
        self.unreadable_staples.first().or_else(|| self.staples.iter().find_map(OcspStaple::defect))
    }
}

/// Judges the entries under a proven signer, within `budget`.
///
/// Where the budget does not last for all signatures, the entries that may be accepted come first: those for the offered
/// key and this instance that have not expired.
pub fn decide_under(
    signer: VerifiedSigner,
    keys: &KeyBundle,
    expected: &Expectations,
    budget: &Budget,
) -> Decision {
    let entries = keys.entries().iter().enumerate();
    let (first, others): (Vec<_>, Vec<_>) = entries.partition(|(_, entry)| {
        entry.as_ref().is_ok_and(|entry| {
            expected.is_asked_for(entry.key()) && signer.check_claims(entry, &expected.instance).is_ok()
        })
    });
    let verdicts = first
        .into_iter()
        .chain(others)
        .map(|(place, entry)| (place, decide_entry(entry.as_ref(), &signer, expected, budget)))
        .collect();
    let verdicts =
        order::by_key(verdicts, |(place, _)| *place).into_iter().map(|(_, verdict)| verdict).collect();
    Decision { signer, verdicts }
}

fn decide_entry(
    entry: Result<&KeyEntry, &UnreadableEntry>,
    signer: &VerifiedSigner,
    expected: &Expectations,
    budget: &Budget,
) -> Verdict {
    match entry {
        Err(unreadable) => {
            Verdict::refused(RefusalError::Entry(unreadable.error.clone()), &unreadable.claims)
        }
        Ok(entry) => match signer.verify_key(entry, &expected.instance, budget) {
            Ok(key) => apply_policy(key, expected),
            Err(error) => Verdict::refused(RefusalError::Key(error), &entry.claims),
        },
    }
}

impl Expectations {
    /// Whether this key is the offered one, or every key is asked for.
    fn is_asked_for(&self, key: &PublicKey) -> bool {
        self.offered.as_ref().is_none_or(|offered| offered == key.fingerprint())
    }
}

fn apply_policy(key: VerifiedKey, expected: &Expectations) -> Verdict {
    if !expected.is_asked_for(key.key()) {
        return Verdict::NotOffered(key);
    }
    match expected.policy.permit(key) {
        Ok(permitted) => Verdict::Accepted(permitted),
        Err((denied, key)) => Verdict::refused(RefusalError::Policy(denied), key.claims()),
    }
}

impl Verdict {
    fn refused(error: RefusalError, claims: &Claims) -> Self {
        Self::Refused(Refusal { error, claims: claims.clone() })
    }
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
    pub fn accepted(&self) -> impl Iterator<Item = &PermittedKey> {
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

/// The `authorized_keys` lines of these keys: `[OPTIONS ]ALGORITHM BASE64`.
pub fn authorized_keys<'k>(keys: impl IntoIterator<Item = &'k PermittedKey>, prefix: &LinePrefix) -> String {
    let mut lines = String::new();
    for key in keys {
        let key = key.verified();
        lines.push_str(&prefix.of(key.claims()));
        lines.push_str(&key.key().to_string());
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests;
