//! Is the signer's certificate what it must be: the right name, on a path to a trust anchor, unrevoked?

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

/// A signer whose certificate has the right name and a path to a trust anchor on which a fresh staple
/// vouches for every certificate. Made by [`VerifiedSigner::establish`] and [`SignerPath::verify_staples`] alone.
#[derive(Debug)]
pub struct VerifiedSigner {
    leaf: CertificateDer<'static>,
    /// Bits of the leaf's RSA key.
    key_bits: usize,
    path: Vec<PathCertificate>,
    anchor: String,
    now: Timestamp,
}

/// A certificate of the path, and the staple that vouched for it.
#[derive(Debug, Clone)]
pub struct PathCertificate {
    /// The certificate.
    pub certificate: Certificate,
    /// Its staple; none where there was none, and the policy is [`RevocationPolicy::WhenStapled`].
    pub staple: Option<StapleFacts>,
}

impl VerifiedSigner {
    /// Proves the signer: `name` and path, and inside the path search every certificate's staple, so that
    /// a second path is tried when the first has a certificate without a good one.
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

    /// The certificates of the path for which there was no staple; some only under
    /// [`RevocationPolicy::WhenStapled`].
    pub fn unstapled(&self) -> impl Iterator<Item = &Certificate> {
        self.path.iter().filter(|step| step.staple.is_none()).map(|step| &step.certificate)
    }

    /// The subject of the trust anchor that the path ends in.
    #[must_use]
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// The instant that everything is judged at.
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

/// The path that [`VerifiedSigner::establish`] would try first, on which everything holds but what only staples can
/// tell: so it is known which of them are worth asking for. Made by [`SignerPath::find`] alone.
#[derive(Debug)]
pub struct SignerPath {
    name: SignerName,
    /// Each certificate, the signer's own first, and its issuer.
    steps: Vec<(Certificate, TrustAnchor<'static>)>,
    root: Root,
}

impl SignerPath {
    /// Searches the path, as of `now`. An error here saves the requests for staples.
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

    /// Whose path it is.
    #[must_use]
    pub const fn name(&self) -> &SignerName {
        &self.name
    }

    /// Its certificates, the signer's own first, without the trust anchor.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.steps.iter().map(|(certificate, _)| certificate)
    }

    /// The signer, where a staple vouches for every certificate as of `now`, a later instant than that of the search.
    ///
    /// None says nothing: another path may be the good one, and what is wrong is [`VerifiedSigner::establish`]'s to
    /// tell. What it would check again is only what time can change: the dates.
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
        // What could not be looked at any more may have been a revocation.
        let signer = VerifiedSigner::on(path, self.root.subject.clone(), now);
        signer.filter(|_| !budget.is_exceeded())
    }
}

/// The staple that vouches for a certificate; none where the policy takes it without.
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
