//! What one judgement may spend on certificates and staples before a proof.
//!
//! The evidence determines how many signatures there are to verify, and its sender may be an attacker. A P-384
//! signature takes ring more than a millisecond, so the number of checks is bounded, not the size of the evidence alone.
//! The signatures of entries have a bound of their own, so that a flood of entries cannot refuse the signer.

use alloc::vec::Vec;
// webpki shares an algorithm between threads, so its count needs a lock, and `core` has none.
extern crate std;
use self::std::sync::{Mutex, PoisonError};

use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use crate::evidence::key_bundle::MAX_ENTRIES;

/// Most signatures of certificates, responders' certificates and staples that one judgement verifies.
///
/// Amazon's bundle takes six: four certificates under three roots, and a staple for each of the two that lie on the
/// path. Other authorities above, and a responder's certificate for each staple, would make it twelve.
pub(crate) const MAX_SIGNATURE_CHECKS: usize = 48;

/// Most paths that one judgement tries. A path is tried again each time that a further staple has come, twenty times at
/// most: of Amazon's bundle, three paths under three roots. With more cross-signed roots there may be a dozen.
pub(crate) const MAX_PATHS: usize = 256;

/// Most comparisons of a name with a name constraint: as many as webpki makes in one search. Amazon's bundle takes none.
pub(crate) const MAX_NAME_COMPARISONS: usize = 250_000;

/// Most signatures of entries that one judgement verifies with a key of 2,048 bits, as AWS's signers have: one for each
/// entry that is read. A check with a longer key takes longer, so there are fewer of them.
pub(crate) const MAX_ENTRY_CHECKS: usize = MAX_ENTRIES;

/// Bits of the key that [`MAX_ENTRY_CHECKS`] counts with.
const USUAL_BITS: usize = 2048;

/// Most work for the signatures of entries. The unit is that of [`entry_work`].
const MAX_ENTRY_WORK: u64 = entry_work(USUAL_BITS).saturating_mul(MAX_ENTRY_CHECKS as u64);

/// The work of one check with an RSA key of so many bits: seventeen products of two numbers of that length (the exponent
/// is 65537), each of which takes as many steps as the square of the length.
const fn entry_work(bits: usize) -> u64 {
    (bits as u64).saturating_mul(bits as u64)
}

/// What is left of the bounds, and the result of every signature check so far: a signature that is seen again, in
/// another search or beside another staple, costs nothing.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    checks: Vec<SignatureCheck>,
    paths: usize,
    comparisons: usize,
    exceeded: bool,
    entry_checks: usize,
    entry_work: u64,
}

/// One signature check: all that its result depends on.
#[derive(Debug)]
struct SignatureCheck {
    algorithms: [AlgorithmIdentifier; 2],
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
    is_valid: bool,
}

impl Budget {
    /// How many signatures have been verified.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn signature_checks(&self) -> usize {
        self.with(|spent| spent.checks.len())
    }

    /// Whether a bound was passed. What was left unread may have been a revocation, so nothing is believed any more.
    #[must_use]
    pub(crate) fn is_exceeded(&self) -> bool {
        self.with(|spent| spent.exceeded)
    }

    /// Whether one more path may be tried, on which so many names are compared with constraints.
    pub(super) fn allows_path(&self, comparisons: usize) -> bool {
        self.with(|spent| {
            spent.paths = spent.paths.saturating_add(1);
            spent.comparisons = spent.comparisons.saturating_add(comparisons);
            spent.exceeded |= spent.paths > MAX_PATHS || spent.comparisons > MAX_NAME_COMPARISONS;
            !spent.exceeded
        })
    }

    /// How many signatures of entries were allowed to be verified.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn entry_checks(&self) -> usize {
        self.with(|spent| spent.entry_checks)
    }

    /// Whether the signature of one more entry may be verified, with an RSA key of so many bits. Where it may not, the
    /// entry is refused, and nothing else.
    pub(super) fn allows_entry(&self, bits: usize) -> bool {
        self.with(|spent| {
            let work = spent.entry_work.saturating_add(entry_work(bits));
            let is_allowed = work <= MAX_ENTRY_WORK;
            if is_allowed {
                spent.entry_work = work;
                spent.entry_checks = spent.entry_checks.saturating_add(1);
            }
            is_allowed
        })
    }

    fn verify(
        &self,
        algorithm: &dyn SignatureVerificationAlgorithm,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> bool {
        let algorithms = [algorithm.public_key_alg_id(), algorithm.signature_alg_id()];
        self.with(|spent| {
            let known = spent.checks.iter().find(|check| {
                check.algorithms == algorithms
                    && check.signature == signature
                    && check.key == key
                    && check.message == message
            });
            if let Some(check) = known {
                return check.is_valid;
            }
            if spent.checks.len() >= MAX_SIGNATURE_CHECKS {
                spent.exceeded = true;
                return false;
            }
            let is_valid = algorithm.verify_signature(key, message, signature).is_ok();
            let (key, message, signature) = (key.to_vec(), message.to_vec(), signature.to_vec());
            spent.checks.push(SignatureCheck { algorithms, key, message, signature, is_valid });
            is_valid
        })
    }

    fn with<T>(&self, what: impl FnOnce(&mut Spent) -> T) -> T {
        what(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A signature algorithm whose checks are paid from a budget.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted<'b> {
    pub(super) algorithm: &'static dyn SignatureVerificationAlgorithm,
    pub(super) budget: &'b Budget,
}

impl SignatureVerificationAlgorithm for Counted<'_> {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let is_valid = self.budget.verify(self.algorithm, public_key, message, signature);
        is_valid.then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}
