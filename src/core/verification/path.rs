//! Verifies the signer's certificate: its name, its path to a trust anchor, and that it is not revoked.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::EndEntityCert;

use super::anchors::TrustAnchors;
use super::budget::Budget;
use super::primitives::contents;
use super::revocation::{self, RevocationPolicy, StapleFacts, Subject};
use super::revocation_error::RevocationError;
use super::search::{Root, search_each};
use super::signer_error::SignerError;
use super::signer_key;
use crate::evidence::chain::{Certificate, SignerChain};
use crate::evidence::ocsp::OcspStaple;
use crate::identity::SignerName;
use crate::time::Timestamp;

/// A signer whose certificate has the right name and a path to a trust anchor, with a fresh staple for every
/// certificate of the path. Under [`RevocationPolicy::WhenStapled`], staples may be missing. Only
/// [`VerifiedSigner::establish`] and [`SignerPath::verify_staples`] make one.
#[derive(Debug)]
pub struct VerifiedSigner {
    leaf: CertificateDer<'static>,
    /// Bits of the leaf's RSA key.
    key_bits: usize,
    path: Vec<PathCertificate>,
    anchor: String,
    now: Timestamp,
}

/// A certificate of the path and its staple.
#[derive(Debug, Clone)]
pub struct PathCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// Its staple; `None` if there was no staple and the policy is [`RevocationPolicy::WhenStapled`].
    pub staple: Option<StapleFacts>,
}

impl VerifiedSigner {
    /// Verifies the signer's name, its path and the staples. The path search also checks the staples, so it tries
    /// another path if a certificate of the first path has no good staple.
    pub fn establish(
        chain: &SignerChain,
        anchors: &TrustAnchors,
        staples: &[OcspStaple],
        name: &SignerName,
        policy: RevocationPolicy,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Self, SignerError> {
        let (path, root) = search_each(chain, anchors, name, now, budget, &|certificate, issuer| {
            check_revocation(certificate, issuer, staples, policy, now, budget)
        })?;
        let path =
            path.into_iter().map(|(certificate, staple)| PathCertificate { certificate, staple }).collect();
        Self::on(path, root.subject, now)
            .ok_or_else(|| SignerError::Untrusted("the path is empty".to_owned(), anchors.count()))
    }

    fn on(path: Vec<PathCertificate>, anchor: String, now: Timestamp) -> Option<Self> {
        let leaf = path.first()?.certificate.der().clone();
        let key_info = EndEntityCert::try_from(&leaf).ok()?.subject_public_key_info();
        let key_bits = signer_key::size(contents(&key_info))?;
        Some(Self { leaf, key_bits, path, anchor, now })
    }

    /// The path, the signer's own certificate first, without the trust anchor.
    #[must_use]
    pub fn path(&self) -> &[PathCertificate] {
        &self.path
    }

    /// The certificates of the path without a staple. There are none unless the policy is
    /// [`RevocationPolicy::WhenStapled`].
    pub fn unstapled(&self) -> impl Iterator<Item = &Certificate> {
        self.path.iter().filter(|step| step.staple.is_none()).map(|step| &step.certificate)
    }

    /// The subject of the trust anchor in which the path ends.
    #[must_use]
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// The instant for which all checks were made.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    pub(super) const fn leaf(&self) -> &CertificateDer<'static> {
        &self.leaf
    }

    pub(super) const fn key_bits(&self) -> usize {
        self.key_bits
    }
}

/// The path that [`VerifiedSigner::establish`] would try first. Everything except the staples has been verified. So
/// the caller knows which staples to request. Only [`SignerPath::find`] makes one.
#[derive(Debug)]
pub struct SignerPath {
    name: SignerName,
    /// Each certificate with its issuer. The signer's certificate is first.
    steps: Vec<(Certificate, TrustAnchor<'static>)>,
    root: Root,
}

impl SignerPath {
    /// Searches for the path at `now`. If this fails, do not request staples: they cannot change the result.
    pub fn find(
        chain: &SignerChain,
        anchors: &TrustAnchors,
        name: &SignerName,
        now: Timestamp,
        budget: &Budget,
    ) -> Result<Self, SignerError> {
        let (steps, root) =
            search_each(chain, anchors, name, now, budget, &|_, issuer| Ok(issuer.to_owned()))?;
        Ok(Self { name: name.clone(), steps, root })
    }

    /// The signer's name.
    #[must_use]
    pub const fn name(&self) -> &SignerName {
        &self.name
    }

    /// The certificates of the path without the trust anchor. The signer's certificate is first.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.steps.iter().map(|(certificate, _)| certificate)
    }

    /// Returns the signer if a staple vouches for every certificate at `now`, which may be later than the instant of
    /// the search. Under [`RevocationPolicy::WhenStapled`], staples may be missing.
    ///
    /// `None` is inconclusive. Call [`VerifiedSigner::establish`] to try other paths and to get the error. This
    /// function checks only the staples and the dates again, because nothing else changes with time.
    #[must_use]
    pub fn verify_staples(
        &self,
        staples: &[OcspStaple],
        policy: RevocationPolicy,
        now: Timestamp,
        budget: &Budget,
    ) -> Option<VerifiedSigner> {
        let dates = self.certificates().map(Certificate::validity).chain([self.root.validity]);
        if dates.into_iter().any(|(from, until)| now < from || until < now) {
            return None;
        }
        let certificates = self.steps.iter().enumerate().map(|(place, (certificate, issuer))| {
            let subject = EndEntityCert::try_from(certificate.der()).ok()?;
            let subject = (&*subject, Subject::at(place));
            let staple = check_revocation(subject, issuer, staples, policy, now, budget).ok()?;
            Some(PathCertificate { certificate: certificate.clone(), staple })
        });
        let path = certificates.collect::<Option<_>>()?;
        // The evidence beyond the limit may contain a revocation.
        let signer = VerifiedSigner::on(path, self.root.subject.clone(), now);
        signer.filter(|_| !budget.is_exceeded())
    }
}

/// The staple that vouches for a certificate; `None` if there is no staple and the policy allows that.
fn check_revocation(
    subject: (&webpki::Cert<'_>, Subject),
    issuer: &TrustAnchor<'_>,
    staples: &[OcspStaple],
    policy: RevocationPolicy,
    now: Timestamp,
    budget: &Budget,
) -> Result<Option<StapleFacts>, RevocationError> {
    match (revocation::check(subject, issuer, staples, now, budget), policy) {
        (Ok(staple), _) => Ok(Some(staple)),
        (Err(RevocationError::Missing(_)), RevocationPolicy::WhenStapled) => Ok(None),
        (Err(error), _) => Err(error),
    }
}
