//! Is the signer's certificate what it must be: the right name, on a path to a trust anchor, unrevoked?

use std::cell::RefCell;
use std::fmt;

use rustls::pki_types::{CertificateDer, SignatureVerificationAlgorithm, TrustAnchor};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};

use super::anchors::TrustAnchors;
use super::revocation::{self, RevocationError, StapleFacts, unix_time};
use crate::evidence::chain::{Certificate, SignerChain};
use crate::evidence::ocsp::{OcspError, OcspStaple};
use crate::identity::SignerName;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;

/// The signature algorithms of certificates and staples: RSA of 2,048 to 8,192 bits, and ECDSA on P-256 and
/// P-384. No SHA-1 (RFC 9155), no smaller RSA (NIST SP 800-131A); nothing that Amazon's roots do not use.
pub(super) static SIGNATURE_ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
];

/// A signer whose certificate has the right name and a path to a trust anchor on which a fresh staple
/// vouches for every certificate. Made by [`VerifiedSigner::establish`] alone.
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
    /// Its staple.
    pub staple: StapleFacts,
}

/// Why a signer is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerError {
    /// No certificate of the bundle has the signer's name as its one common name.
    Name {
        /// The name that was expected.
        expected: SignerName,
        /// The common names of the bundle's first certificate.
        came: String,
    },
    /// The common name is right, but the subject alternative name extension lacks it.
    AlternativeName {
        /// The name that was expected.
        expected: SignerName,
        /// The dNSNames that stand there.
        came: String,
    },
    /// A keyUsage extension forbids what the certificate (its subject) was used for.
    KeyUsage(String, &'static str),
    /// A name constraint of the path (in the certificate with this subject) stands against the signer.
    Constrained(String),
    /// The root certificate (its subject) that the path ends in is outside its validity.
    AnchorValidity(String, Timestamp, Timestamp),
    /// No fresh staple vouches for a certificate (its subject).
    Revocation(String, RevocationError),
    /// A certificate of the path expired at the first instant, judged at the second.
    Expired(Timestamp, Timestamp),
    /// A certificate of the path is valid from the first instant on, judged at the second.
    NotYetValid(Timestamp, Timestamp),
    /// No path to any of the trust anchors; holds the verifier's word and how many there are.
    Untrusted(String, usize),
}

impl SignerError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Name { .. } | Self::AlternativeName { .. } => Reason::SignerNameMismatch,
            Self::KeyUsage(..) => Reason::SignerKeyUsage,
            Self::Constrained(_) => Reason::SignerConstrained,
            Self::AnchorValidity(..) | Self::Expired(..) => Reason::SignerExpired,
            Self::NotYetValid(..) => Reason::SignerNotYetValid,
            Self::Revocation(_, error) => error.reason(),
            Self::Untrusted(..) => Reason::SignerUntrusted,
        }
    }

    /// Where a staple is missing and one that was served cannot be read, that one is the likely cause.
    #[must_use]
    pub fn blame_unreadable(self, unreadable: &[OcspError]) -> Self {
        match (self, unreadable.first()) {
            (Self::Revocation(subject, RevocationError::Missing(_)), Some(error)) => {
                Self::Revocation(subject, RevocationError::Unreadable(error.to_string()))
            }
            (other, _) => other,
        }
    }
}

impl fmt::Display for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { expected, came } => {
                write!(f, "expected a certificate with the one common name {expected}, got {came}")
            }
            Self::AlternativeName { expected, came } => {
                write!(f, "expected the alternative name {expected} beside the common name, got {came}")
            }
            Self::KeyUsage(subject, lacks) => write!(f, "the keyUsage of \"{subject}\" lacks {lacks}"),
            Self::Constrained(subject) => {
                write!(f, "a name constraint of \"{subject}\" does not let it vouch for the signer's name")
            }
            Self::AnchorValidity(subject, expires, now) => {
                write!(
                    f,
                    "the root certificate \"{subject}\" is not valid: until {expires}, now {now}; update the CA certificates"
                )
            }
            Self::Revocation(subject, error) => write!(f, "\"{subject}\": {error}"),
            Self::Expired(expired, now) => {
                write!(
                    f,
                    "a certificate of the signer's path expired {expired}, now {now}; is the clock right?"
                )
            }
            Self::NotYetValid(from, now) => {
                write!(
                    f,
                    "a certificate of the signer's path is valid from {from}, now {now}; is the clock right?"
                )
            }
            Self::Untrusted(why, anchors) => {
                write!(
                    f,
                    "no path from the signer's certificate to any of {anchors} trusted roots ({why}); are the CA certificates up to date?"
                )
            }
        }
    }
}

impl VerifiedSigner {
    /// Proves the signer: `name` and path, and inside the path search every certificate's staple, so that
    /// a second path is tried when the first has a certificate without a good one.
    pub fn establish(
        chain: &SignerChain,
        anchors: &TrustAnchors,
        staples: &[OcspStaple],
        name: &SignerName,
        now: Timestamp,
    ) -> Result<Self, SignerError> {
        let leaf = named_leaf(chain, name)?;
        let (path, anchor) = search(leaf, chain, anchors, now, |certificate, issuer| {
            revocation::check(certificate, issuer, staples, now)
        })?;
        let path =
            path.into_iter().map(|(certificate, staple)| PathCertificate { certificate, staple }).collect();
        Ok(Self { leaf: leaf.der().clone(), path, anchor, now })
    }

    /// The path, the signer's own certificate first, without the trust anchor.
    #[must_use]
    pub fn path(&self) -> &[PathCertificate] {
        &self.path
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

/// The certificates of the path that [`VerifiedSigner::establish`] would try first, whose staples are thus
/// worth asking for. Everything but revocation is checked, so an error here saves those requests.
pub fn certificates_to_staple(
    chain: &SignerChain,
    anchors: &TrustAnchors,
    name: &SignerName,
    now: Timestamp,
) -> Result<Vec<Certificate>, SignerError> {
    let (path, _) = search(named_leaf(chain, name)?, chain, anchors, now, |_, _| Ok(()))?;
    Ok(path.into_iter().map(|(certificate, ())| certificate).collect())
}

/// The certificate that carries the signer's name: its subject has exactly one common name, equal to it;
/// where it has a subject alternative name extension, one of the dNSNames there is equal to it too.
///
/// Both are compared whole. A wildcard is no name of the signer.
fn named_leaf<'c>(chain: &'c SignerChain, name: &SignerName) -> Result<&'c Certificate, SignerError> {
    let leaf = chain.end_entity(name).ok_or_else(|| SignerError::Name {
        expected: name.clone(),
        came: list(chain.certificates().first().map(Certificate::common_names).unwrap_or_default()),
    })?;
    if let Some(names) = leaf.dns_names() {
        if !names.iter().any(|dns| dns.eq_ignore_ascii_case(name.as_str())) {
            return Err(SignerError::AlternativeName { expected: name.clone(), came: list(names) });
        }
    }
    if !leaf.may_sign_data() {
        return Err(SignerError::KeyUsage(leaf.subject().to_owned(), "digitalSignature"));
    }
    Ok(leaf)
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { printable(&names.join(", "), MAX_SHOWN) }
}

/// Each certificate of a path with what was found for it, and the subject of its anchor.
type Found<T> = (Vec<(Certificate, T)>, String);

/// Searches a path from `leaf` to one of `anchors` (RFC 5280 section 6, by webpki), on which `vouch` has no
/// objection to any certificate, given its issuer.
fn search<T>(
    leaf: &Certificate,
    chain: &SignerChain,
    anchors: &TrustAnchors,
    now: Timestamp,
    vouch: impl Fn(&webpki::Cert<'_>, &TrustAnchor<'_>) -> Result<T, RevocationError>,
) -> Result<Found<T>, SignerError> {
    let others: Vec<_> = chain.certificates().iter().map(|certificate| certificate.der().clone()).collect();
    // webpki carries no error of ours and no result out of its search, so both are kept here.
    let refusal = RefCell::new(None);
    let found = RefCell::new(None);
    let consider = |path: &VerifiedPath<'_>| match judge_path(leaf, anchors, path, now, &vouch) {
        Ok(good) => {
            found.replace(Some(good));
            Ok(())
        }
        Err(error) => {
            refusal.borrow_mut().get_or_insert(error);
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
        (Err(error), None, _) => Err(path_error(&error, anchors.count(), now)),
        (Ok(()), None, None) => {
            Err(SignerError::Untrusted("the path was not judged".to_owned(), anchors.count()))
        }
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
    let roots = anchors.certificates_of(anchor);
    let root_subject = roots.first().map_or("a trusted root", Certificate::subject).to_owned();

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
            return Err(SignerError::Constrained(root_subject));
        }
    }
    // To webpki an anchor is a name and a key; to the operator's trust store it is a certificate.
    let validities: Vec<_> = roots.iter().map(Certificate::validity).collect();
    if !validities.iter().any(|&(from, until)| from <= now && now <= until) {
        if let Some(&(_, until)) = validities.last() {
            return Err(SignerError::AnchorValidity(root_subject, until, now));
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
    Ok((checked, root_subject))
}

fn path_error(error: &webpki::Error, anchors: usize, now: Timestamp) -> SignerError {
    match error {
        webpki::Error::CertExpired { not_after, .. } => {
            SignerError::Expired(Timestamp::from_unix(not_after.as_secs()), now)
        }
        webpki::Error::CertNotValidYet { not_before, .. } => {
            SignerError::NotYetValid(Timestamp::from_unix(not_before.as_secs()), now)
        }
        webpki::Error::NameConstraintViolation => {
            SignerError::Constrained("a certificate of the signer's path".to_owned())
        }
        webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => {
            SignerError::KeyUsage(
                "a certificate of the signer's path".to_owned(),
                "serverAuth (extended key usage)",
            )
        }
        other => SignerError::Untrusted(printable(&other.to_string(), MAX_SHOWN), anchors),
    }
}
