//! Staples that did not arrive. A failed or late request does not prove that there is no staple.

use eic_core::evidence::chain::{Certificate, SignerChain};
use eic_core::verification::{RevocationError, SignerError, VerifiedSigner};

/// The staples that did not arrive, each with its name and the error. The list of staples has an empty name. A
/// staple for which the service answered 404 is not lost: it does not exist.
#[derive(Debug)]
pub struct LostStaples<E>(Vec<(String, E)>);

impl<E> Default for LostStaples<E> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<E> LostStaples<E> {
    /// Adds a staple by its name, with the error.
    pub fn push(&mut self, name: String, why: E) {
        self.0.push((name, why));
    }

    /// The error of a lost staple that the decision may have needed. It is reported instead of the decision's own
    /// error.
    ///
    /// A certificate without a staple is refused, or accepted if the settings allow it. Any of the lost staples may
    /// have been its staple. If the decision's error is an unreadable staple, only a lost staple named after the
    /// same certificate can be the cause.
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

    /// The first lost staple by name, so that the message does not depend on the order of the answers. The list
    /// comes first, because it could have led to other staples.
    fn first(&self) -> Option<&E> {
        self.0.iter().min_by_key(|(name, _)| name).map(|(_, why)| why)
    }
}
