//! The decision, without I/O: from evidence, expectations and an instant to accepted and refused keys.

mod key_line;

use alloc::borrow::ToOwned;
use alloc::string::ToString;
use alloc::vec::Vec;

pub use self::key_line::{KeyLine, Pushes, authorized_keys};

use crate::evidence::chain::SignerChain;
use crate::evidence::key_bundle::{Claims, EntryError, KeyBundle, KeyEntry, UnreadableEntry};
use crate::evidence::ocsp::{OcspError, OcspStaple};
use crate::evidence::public_key::PublicKey;
use crate::fingerprint::Fingerprint;
use crate::identity::{InstanceId, SignerName};
use crate::order;
use crate::policy::{Denied, PermittedKey, Policy};
use crate::reason::Reason;
use crate::time::Timestamp;
use crate::verification::{
    Budget, KeyError, RevocationError, RevocationPolicy, SignerError, SignerPath, TrustAnchors, VerifiedKey,
    VerifiedSigner,
};

/// The untrusted evidence of one run, and the trust anchors.
#[derive(Debug)]
pub struct Evidence {
    /// The evidence for the signer.
    pub signer: SignerEvidence,
    /// The pushed keys, as the metadata service returned them.
    pub keys: KeyBundle,
}

/// The untrusted evidence for the signer, and the trust anchors.
#[derive(Debug)]
pub struct SignerEvidence {
    /// The signer's certificates.
    pub chain: SignerChain,
    /// The staples, in any order. Their names are not used.
    pub staples: Vec<OcspStaple>,
    /// Errors of the staples that cannot be parsed.
    pub unreadable_staples: Vec<OcspError>,
    /// The roots that this instance trusts.
    pub anchors: TrustAnchors,
}

/// The values that the evidence must match.
#[derive(Debug)]
pub struct Expectations {
    /// The name of the expected signer.
    pub signer: SignerName,
    /// The instance that the keys must be for.
    pub instance: InstanceId,
    /// The fingerprint of the key that the client offers. `None`: all keys.
    pub offered: Option<Fingerprint>,
    /// This instance's rules.
    pub policy: Policy,
    /// How to treat a certificate of the path that has no staple.
    pub revocation: RevocationPolicy,
}

/// The verdict on each entry, in the order of the bundle, under a verified signer.
#[must_use = "a decision has no effect until the caller acts on it"]
#[derive(Debug)]
pub struct Decision {
    signer: VerifiedSigner,
    verdicts: Vec<Verdict>,
}

/// The verdict on one entry.
#[derive(Debug)]
pub enum Verdict {
    /// The key is verified and permitted, and it is the offered key.
    Accepted(PermittedKey),
    /// The key is verified, but it is not the offered key. This is no refusal and is not reported.
    NotOffered(VerifiedKey),
    /// The key is not verified, or not permitted.
    Refused(Refusal),
}

/// An entry that is not verified, or whose key is not permitted.
#[derive(Debug)]
pub struct Refusal {
    /// The cause.
    pub error: RefusalError,
    /// The claims of the entry. They are verified only if the cause is a rule.
    pub claims: Claims,
}

/// Why an entry was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusalError {
    /// The entry cannot be parsed.
    Entry(EntryError),
    /// The entry can be parsed, but its verification fails.
    Key(KeyError),
    /// The entry is verified, but a rule of this instance denies the key.
    Policy(Denied),
}

impl RefusalError {
    /// The stable name of the cause.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Entry(error) => error.reason(),
            Self::Key(error) => error.reason(),
            Self::Policy(denied) => denied.reason(),
        }
    }

    /// Whether the signer signed the claims of the entry: only the instance, the time or a rule caused the refusal.
    #[must_use]
    pub const fn is_of_signed_entry(&self) -> bool {
        matches!(self, Self::Key(KeyError::WrongInstance { .. } | KeyError::Expired(..)) | Self::Policy(_))
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
/// The signer is verified first. Without a verified signer there is no decision about any key. Then each entry is
/// judged independently: an invalid entry is one refusal and does not affect the others.
pub fn decide(
    evidence: &Evidence,
    expected: &Expectations,
    now: Timestamp,
    budget: &Budget,
) -> Result<Decision, SignerError> {
    prove_signer(None, &evidence.signer, expected, now, budget)
        .map(|signer| decide_under(signer, &evidence.keys, expected, budget))
}

/// Verifies the signer as of `now`, within `budget`.
///
/// `path` is a path that an earlier call found. It is tried first if it is for the expected signer. If it fails, or
/// there is no such path, this searches for one.
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
    // A broken staple must not be treated as a missing one, which `WhenStapled` permits.
    if let (Some(unstapled), Some(error)) = (signer.unstapled().next(), evidence.unreadable_staple()) {
        let error = RevocationError::Unreadable(error.to_string());
        return Err(SignerError::Revocation(unstapled.subject().to_owned(), error));
    }
    Ok(signer)
}

impl SignerEvidence {
    /// The first staple that cannot be parsed, or that has a defect and so cannot prove "good".
    fn unreadable_staple(&self) -> Option<&OcspError> {
        self.unreadable_staples.first().or_else(|| self.staples.iter().find_map(OcspStaple::defect))
    }
}

/// Judges the entries under a verified signer, within `budget`.
///
/// The budget may be too small for all signatures. So the entries that can be accepted are checked first: they are for
/// the offered key and for this instance, and have not expired.
pub fn decide_under(
    signer: VerifiedSigner,
    keys: &KeyBundle,
    expected: &Expectations,
    budget: &Budget,
) -> Decision {
    let order = order_of_checks(&signer, keys, expected);
    let verdicts = order
        .into_iter()
        .map(|(place, entry)| (place, decide_entry(entry.as_ref(), &signer, expected, budget)))
        .collect();
    Decision::of(signer, verdicts)
}

/// Judges the entries like [`decide_under`], under a signer that the service may have replaced. Gives the signer back as
/// soon as it did not sign an entry, or the budget ends: another signer may have signed the entries.
pub fn decide_if_signed_by(
    signer: VerifiedSigner,
    keys: &KeyBundle,
    expected: &Expectations,
    budget: &Budget,
) -> Result<Decision, VerifiedSigner> {
    let mut verdicts = Vec::new();
    for (place, entry) in order_of_checks(&signer, keys, expected) {
        let verdict = decide_entry(entry.as_ref(), &signer, expected, budget);
        if verdict.is_unsigned() {
            return Err(signer);
        }
        verdicts.push((place, verdict));
    }
    Ok(Decision::of(signer, verdicts))
}

/// The entries in the order in which they are checked, each with its place in the bundle.
fn order_of_checks<'k>(
    signer: &VerifiedSigner,
    keys: &'k KeyBundle,
    expected: &Expectations,
) -> Vec<(usize, &'k Result<KeyEntry, UnreadableEntry>)> {
    let entries = keys.entries().iter().enumerate();
    let (first, others): (Vec<_>, Vec<_>) = entries.partition(|(_, entry)| {
        entry.as_ref().is_ok_and(|entry| {
            expected.is_asked_for(entry.key()) && signer.check_claims(entry, &expected.instance).is_ok()
        })
    });
    first.into_iter().chain(others).collect()
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
            Ok(key) => apply_policy(key, expected, signer.now()),
            Err(error) => Verdict::refused(RefusalError::Key(error), &entry.claims),
        },
    }
}

impl Expectations {
    /// Whether this key is the offered one, or all keys are wanted.
    fn is_asked_for(&self, key: &PublicKey) -> bool {
        self.offered.as_ref().is_none_or(|offered| offered == key.fingerprint())
    }
}

fn apply_policy(key: VerifiedKey, expected: &Expectations, now: Timestamp) -> Verdict {
    if !expected.is_asked_for(key.key()) {
        return Verdict::NotOffered(key);
    }
    match expected.policy.permit(key, now) {
        Ok(permitted) => Verdict::Accepted(permitted),
        Err((denied, key)) => Verdict::refused(RefusalError::Policy(denied), key.claims()),
    }
}

impl Verdict {
    /// Whether no signature of the entry was verified. Then another signer may have signed it.
    const fn is_unsigned(&self) -> bool {
        matches!(
            self,
            Self::Refused(Refusal {
                error: RefusalError::Key(KeyError::BadSignature | KeyError::Unchecked),
                ..
            })
        )
    }

    fn refused(error: RefusalError, claims: &Claims) -> Self {
        Self::Refused(Refusal { error, claims: claims.clone() })
    }
}

impl Decision {
    /// The verdicts, which may be in any order.
    fn of(signer: VerifiedSigner, verdicts: Vec<(usize, Verdict)>) -> Self {
        let verdicts = order::by_key(verdicts, |(place, _)| *place);
        Self { signer, verdicts: verdicts.into_iter().map(|(_, verdict)| verdict).collect() }
    }

    /// The verified signer of all entries.
    #[must_use]
    pub const fn signer(&self) -> &VerifiedSigner {
        &self.signer
    }

    /// The verdict on each entry, in the order of the bundle.
    #[must_use]
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// The lines for sshd. All pushes of a key whose line would be the same are one line.
    #[must_use]
    pub fn key_lines(&self) -> Vec<KeyLine<'_>> {
        key_line::key_lines(self.accepted())
    }

    /// The keys for sshd, in the order of the bundle. A key that was pushed several times occurs several times.
    pub fn accepted(&self) -> impl Iterator<Item = &PermittedKey> {
        self.verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Accepted(key) => Some(key),
            _ => None,
        })
    }

    /// The refused entries, in the order of the bundle.
    pub fn refused(&self) -> impl Iterator<Item = &Refusal> {
        self.verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::Refused(refusal) => Some(refusal),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
