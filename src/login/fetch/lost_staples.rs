//! Staples that did not arrive. A request that failed or was late does not prove that there is no staple.

use eic_core::evidence::chain::{Certificate, SignerChain};
use eic_core::verification::{RevocationError, SignerError, VerifiedSigner};

/// The staples that did not come, each with its name and why; the list of all has an empty name. A staple that the
/// service answered with 404 is not lost: it does not exist.
#[derive(Debug)]
pub struct LostStaples<E>(Vec<(String, E)>);

impl<E> Default for LostStaples<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E> LostStaples<E> {
    /// Adds a staple by its name, and why it did not come.
    pub fn push(&mut self, name: String, why: E) {
        self.0.push((name, why));
    }

    /// Why a staple that the judgement may have needed did not arrive. It is reported instead of the judgement's.
    ///
    /// A certificate without a staple (refused, or believed because the settings allow it) may have had any of those that
    /// did not come. A staple that cannot be read is a fault of its own, unless the certificate's own staple is lost.
    #[must_use]
    pub fn cause(&self, judged: Result<&VerifiedSigner, &SignerError>, chain: &SignerChain) -> Option<&E> {
        match judged {
            Ok(signer) => {
                signer.unstapled().next().and_then(|certificate| self.of(certificate).or(self.first()))
            }
            Err(SignerError::Revocation(subject, RevocationError::Missing(_))) => {
                self.of_subject(subject, chain).or(self.first())
            }
            Err(SignerError::Revocation(subject, RevocationError::Unreadable(_))) => {
                self.of_subject(subject, chain)
            }
            Err(_) => None,
        }
    }

    fn of_subject(&self, subject: &str, chain: &SignerChain) -> Option<&E> {
        let mut namesakes =
            chain.certificates().iter().filter(|certificate| certificate.subject() == subject);
        namesakes.find_map(|certificate| self.of(certificate))
    }

    fn of(&self, certificate: &Certificate) -> Option<&E> {
        let names = [certificate.staple_name(), certificate.sha256_name()];
        let is_own = |name: &str| names.iter().any(|own| own.eq_ignore_ascii_case(name));
        self.0.iter().find(|(name, _)| is_own(name)).map(|(_, why)| why)
    }

    /// The first by name, so that what is told does not depend on which request ended first. The list comes first: with
    /// it, there may be others.
    fn first(&self) -> Option<&E> {
        self.0.iter().min_by_key(|(name, _)| name).map(|(_, why)| why)
    }
}
