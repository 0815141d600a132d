//! Is the signer's certificate what it must be: the right name, on a path to a trust anchor, unrevoked?

use std::cell::RefCell;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};

use super::anchors::TrustAnchors;
use super::primitives::{SIGNATURE_ALGORITHMS, unix_time};
use super::reach::reachable;
use super::revocation::{self, RevocationError, RevocationPolicy, StapleFacts};
use super::signer_error::SignerError;
use crate::evidence::chain::{Certificate, SignerChain};
use crate::evidence::ocsp::OcspStaple;
use crate::identity::SignerName;
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;

/// A signer whose certificate has the right name and a path to a trust anchor on which a fresh staple
/// vouches for every certificate. Made by [`VerifiedSigner::establish`] and [`SignerPath::vouched`] alone.
#[derive(Debug)]
pub struct VerifiedSigner {
    leaf: CertificateDer<'static>,
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
    ) -> Result<Self, SignerError> {
        let (path, root) = search_each(chain, anchors, name, now, |certificate, issuer| {
            vouch(certificate, issuer, staples, policy, now)
        })?;
        let path =
            path.into_iter().map(|(certificate, staple)| PathCertificate { certificate, staple }).collect();
        Self::on(path, root.subject, now)
            .ok_or_else(|| SignerError::Untrusted("the path is empty".to_owned(), anchors.count()))
    }

    fn on(path: Vec<PathCertificate>, anchor: String, now: Timestamp) -> Option<Self> {
        let leaf = path.first()?.certificate.der().clone();
        Some(Self { leaf, path, anchor, now })
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

/// The certificate of a trust anchor, as far as it is told or judged again.
#[derive(Debug)]
struct Root {
    subject: String,
    validity: (Timestamp, Timestamp),
}

impl SignerPath {
    /// Searches the path, as of `now`. An error here saves the requests for staples.
    pub fn find(
        chain: &SignerChain,
        anchors: &TrustAnchors,
        name: &SignerName,
        now: Timestamp,
    ) -> Result<Self, SignerError> {
        let (steps, root) = search_each(chain, anchors, name, now, |_, issuer| Ok(issuer.to_owned()))?;
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
    pub fn vouched(
        &self,
        staples: &[OcspStaple],
        policy: RevocationPolicy,
        now: Timestamp,
    ) -> Option<VerifiedSigner> {
        let dates = self.certificates().map(Certificate::validity).chain([self.root.validity]);
        if dates.into_iter().any(|(from, until)| now < from || until < now) {
            return None;
        }
        let vouched = self.steps.iter().map(|(certificate, issuer)| {
            let subject = EndEntityCert::try_from(certificate.der()).ok()?;
            let staple = vouch(&subject, issuer, staples, policy, now).ok()?;
            Some(PathCertificate { certificate: certificate.clone(), staple })
        });
        VerifiedSigner::on(vouched.collect::<Option<_>>()?, self.root.subject.clone(), now)
    }
}

/// The staple that vouches for a certificate; none where the policy takes it without.
fn vouch(
    certificate: &webpki::Cert<'_>,
    issuer: &TrustAnchor<'_>,
    staples: &[OcspStaple],
    policy: RevocationPolicy,
    now: Timestamp,
) -> Result<Option<StapleFacts>, RevocationError> {
    match (revocation::check(certificate, issuer, staples, now), policy) {
        (Ok(staple), _) => Ok(Some(staple)),
        (Err(RevocationError::Missing(_)), RevocationPolicy::WhenStapled) => Ok(None),
        (Err(error), _) => Err(error),
    }
}

/// Searches a path from each certificate with the signer's name, until there is one.
fn search_each<T>(
    chain: &SignerChain,
    anchors: &TrustAnchors,
    name: &SignerName,
    now: Timestamp,
    vouch: impl Fn(&webpki::Cert<'_>, &TrustAnchor<'_>) -> Result<T, RevocationError>,
) -> Result<Found<T>, SignerError> {
    let mut refusal = None;
    for leaf in chain.named(name) {
        match check_leaf(leaf, name).and_then(|()| search(leaf, chain, anchors, now, &vouch)) {
            Ok(found) => return Ok(found),
            Err(error) => keep_best(&mut refusal, error),
        }
    }
    Err(refusal.unwrap_or_else(|| SignerError::Name {
        expected: name.clone(),
        came: list(chain.certificates().first().map(Certificate::common_names).unwrap_or_default()),
    }))
}

/// The signer's certificate has exactly one common name, equal to its name, or it would not be here; where
/// it has a subject alternative name extension, one of the dNSNames there is equal to it too.
///
/// Both are compared whole. A wildcard is no name of the signer.
fn check_leaf(leaf: &Certificate, name: &SignerName) -> Result<(), SignerError> {
    if let Some(names) = leaf.dns_names() {
        if !names.iter().any(|dns| dns.eq_ignore_ascii_case(name.as_str())) {
            return Err(SignerError::AlternativeName { expected: name.clone(), came: list(names) });
        }
    }
    if !leaf.may_sign_data() {
        return Err(SignerError::KeyUsage(leaf.subject().to_owned(), "digitalSignature"));
    }
    Ok(())
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { printable(&names.join(", "), MAX_SHOWN) }
}

/// Each certificate of a path with what was found for it, and its anchor.
type Found<T> = (Vec<(Certificate, T)>, Root);

/// Searches a path from `leaf` to one of `anchors` (RFC 5280 section 6, by webpki), on which `vouch` has no
/// objection to any certificate, given its issuer.
fn search<T>(
    leaf: &Certificate,
    chain: &SignerChain,
    anchors: &TrustAnchors,
    now: Timestamp,
    vouch: impl Fn(&webpki::Cert<'_>, &TrustAnchor<'_>) -> Result<T, RevocationError>,
) -> Result<Found<T>, SignerError> {
    let others: Vec<_> = reachable(chain, anchors).map(|certificate| certificate.der().clone()).collect();
    // webpki carries no error of ours and no result out of its search, so both are kept here.
    let refusal = RefCell::new(None);
    let found = RefCell::new(None);
    let consider = |path: &VerifiedPath<'_>| match judge_path(leaf, anchors, path, now, &vouch) {
        Ok(good) => {
            found.replace(Some(good));
            Ok(())
        }
        Err(error) => {
            keep_best(&mut refusal.borrow_mut(), error);
            Err(webpki::Error::UnknownIssuer)
        }
    };
    let searched = EndEntityCert::try_from(leaf.der()).and_then(|end_entity| {
        end_entity
            .verify_for_usage(
                SIGNATURE_ALGORITHMS,
                anchors.as_slice(),
                &others,
                unix_time(now),
                // The service's certificates are made for TLS servers; one without the extension is fine.
                KeyUsage::server_auth(),
                None,
                Some(&consider),
            )
            .map(|_| ())
    });
    match (searched, refusal.into_inner(), found.into_inner()) {
        (Ok(()), _, Some(found)) => Ok(found),
        (_, Some(refusal), _) => Err(refusal),
        (Err(error), None, _) => Err(SignerError::of_path(&error, anchors.count(), now)),
        (Ok(()), None, None) => {
            Err(SignerError::Untrusted("the path was not judged".to_owned(), anchors.count()))
        }
    }
}

/// Of the errors of several paths the one to tell: a path that lacks only a staple is otherwise good, and
/// more staples may help it; then the first.
fn keep_best(kept: &mut Option<SignerError>, error: SignerError) {
    let is_revocation = |error: &SignerError| matches!(error, SignerError::Revocation(..));
    if kept.as_ref().is_none_or(|kept| is_revocation(&error) && !is_revocation(kept)) {
        *kept = Some(error);
    }
}

/// What webpki does not check on a path: keyUsage, names where only the subject has one, the validity of
/// the root, and revocation.
fn judge_path<T>(
    leaf: &Certificate,
    anchors: &TrustAnchors,
    path: &VerifiedPath<'_>,
    now: Timestamp,
    vouch: impl Fn(&webpki::Cert<'_>, &TrustAnchor<'_>) -> Result<T, RevocationError>,
) -> Result<Found<T>, SignerError> {
    let anchor = path.anchor();
    // To webpki an anchor is a name and a key; to the operator's trust store it is a certificate, with dates.
    let Some(root) = anchors.certificate_of(anchor) else {
        return Err(SignerError::Untrusted(
            "the root certificate cannot be read".to_owned(),
            anchors.count(),
        ));
    };
    let (from, until) = root.validity();
    if now < from || until < now {
        return Err(SignerError::AnchorValidity(root.subject().to_owned(), from, until, now));
    }

    let unreadable = |why: String| SignerError::Untrusted(why, anchors.count());
    let parse = |der: CertificateDer<'_>| Certificate::parse(der.into_owned()).map_err(unreadable);
    let mut certificates = vec![leaf.clone()];
    for intermediate in path.intermediate_certificates() {
        let certificate = parse(intermediate.der())?;
        // RFC 5280 section 4.2.1.3: where keyUsage is present, keyCertSign must be asserted.
        if !certificate.may_sign_certificates() {
            return Err(SignerError::KeyUsage(certificate.subject().to_owned(), "keyCertSign"));
        }
        certificates.push(certificate);
    }
    // webpki compares constraints with the subject alternative name only (RFC 5280 section 4.2.1.10 knows
    // no host name in a common name), so a leaf that has none would slip through any of them.
    if leaf.dns_names().is_none() {
        if let Some(constraining) = certificates.iter().find(|certificate| certificate.constrains_names()) {
            return Err(SignerError::Constrained(constraining.subject().to_owned()));
        }
        if anchor.name_constraints.is_some() {
            return Err(SignerError::Constrained(root.subject().to_owned()));
        }
    }
    let mut issuers = Vec::new();
    let ders: Vec<_> = path.intermediate_certificates().map(webpki::Cert::der).collect();
    for der in &ders {
        issuers.push(anchor_from_trusted_cert(der).map_err(|error| unreadable(error.to_string()))?);
    }
    issuers.push(anchor.clone());
    let mut checked = Vec::new();
    let subjects =
        std::iter::once::<&webpki::Cert<'_>>(path.end_entity()).chain(path.intermediate_certificates());
    for ((certificate, subject), issuer) in certificates.into_iter().zip(subjects).zip(&issuers) {
        match vouch(subject, issuer) {
            Ok(result) => checked.push((certificate, result)),
            Err(error) => return Err(SignerError::Revocation(certificate.subject().to_owned(), error)),
        }
    }
    Ok((checked, Root { subject: root.subject().to_owned(), validity: (from, until) }))
}
