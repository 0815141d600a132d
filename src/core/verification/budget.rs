//! Limits the work of one decision.
//!
//! An attacker may send the evidence, and the evidence determines how many signatures must be verified. ring needs
//! more than a millisecond for a P-384 signature. So the number of checks is limited, in addition to the size of the
//! evidence. The signatures of entries have their own limit, so many entries cannot cause the signer to be refused.

use alloc::vec::Vec;
// webpki shares algorithms between threads, so the counter needs a lock. `core` has no lock.
extern crate std;
use self::std::sync::{Mutex, PoisonError};

use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

use crate::evidence::key_bundle::MAX_ENTRIES;

/// Maximum number of signatures that one decision verifies for certificates, responders' certificates and staples.
///
/// AWS's bundle takes six: four certificates under three roots, and one staple for each of the two certificates on
/// the path. Further cross-signed roots and a responder's certificate in each staple would make it twelve.
pub(crate) const MAX_SIGNATURE_CHECKS: usize = 48;

/// Maximum number of paths that one decision tries. Each path is tried again after each further staple, at most twenty
/// times. AWS's bundle has three paths under three roots. More cross-signed roots may make a dozen paths.
pub(crate) const MAX_PATHS: usize = 256;

/// Maximum number of comparisons of a name with a name constraint. webpki has the same limit for one search. AWS's
/// bundle takes none.
pub(crate) const MAX_NAME_COMPARISONS: usize = 250_000;

/// Maximum number of entry signatures that one decision verifies with a 2,048-bit key, which is the size of AWS's
/// keys. It allows one check for each entry that is read. A check with a longer key takes longer, so fewer checks are
/// allowed.
pub(crate) const MAX_ENTRY_CHECKS: usize = MAX_ENTRIES;

/// The key size to which [`MAX_ENTRY_CHECKS`] applies, in bits.
const USUAL_BITS: usize = 2048;

/// Maximum work for the signatures of entries, in the unit of [`entry_work`].
const MAX_ENTRY_WORK: u64 = entry_work(USUAL_BITS).saturating_mul(MAX_ENTRY_CHECKS as u64);

/// The relative work of one check with an RSA key of this size. The exponent is 65537, so each check multiplies
/// seventeen times. The work of a multiplication grows with the square of the key size.
const fn entry_work(bits: usize) -> u64 {
    (bits as u64).saturating_mul(bits as u64)
}

/// The work that was spent, and the result of every signature check so far. A repeated check uses the stored result
/// and counts only once.
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

/// One signature check: its result and all the input on which the result depends.
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

    /// Whether a limit was exceeded. The unread evidence may contain a revocation, so no result counts any more.
    #[must_use]
    pub(crate) fn is_exceeded(&self) -> bool {
        self.with(|spent| spent.exceeded)
    }

    /// Counts one more path with this many name comparisons. Returns whether it may be tried.
    pub(super) fn allows_path(&self, comparisons: usize) -> bool {
        self.with(|spent| {
            spent.paths = spent.paths.saturating_add(1);
            spent.comparisons = spent.comparisons.saturating_add(comparisons);
            spent.exceeded |= spent.paths > MAX_PATHS || spent.comparisons > MAX_NAME_COMPARISONS;
            !spent.exceeded
        })
    }

    /// How many entry signatures were allowed.
    #[cfg(test)]
    #[must_use]
    pub(crate) fn entry_checks(&self) -> usize {
        self.with(|spent| spent.entry_checks)
    }

    /// Counts one more entry signature with an RSA key of this size. Returns whether it may be verified. If not, only
    /// this entry is refused.
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

/// A signature algorithm whose checks count against a budget.
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
