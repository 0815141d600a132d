//! Searches for a path from the signer's certificate to a root that the instance trusts.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::ControlFlow;

use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::{EndEntityCert, KeyUsage, VerifiedPath, anchor_from_trusted_cert};

use super::anchors::TrustAnchors;
use super::budget::Budget;
use super::candidates::Candidates;
use super::primitives::{algorithms, as_dyn, contents, unix_time};
use super::revocation::Subject;
use super::revocation_error::RevocationError;
use super::signer_error::SignerError;
use super::signer_key;
use crate::evidence::chain::{Certificate, SignerChain};
use crate::identity::SignerName;
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;

/// Checks the revocation of one certificate of a path. The arguments are the certificate with its kind, and its
/// issuer.
pub(super) type RevocationCheck<'v, T> =
    dyn Fn((&webpki::Cert<'_>, Subject), &TrustAnchor<'_>) -> Result<T, RevocationError> + 'v;

/// Each certificate of a path with the result of its revocation check, and the root.
pub(super) type FoundPath<T> = (Vec<(Certificate, T)>, Root);

/// The fields of a root certificate that are reported or checked again.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) subject: String,
    pub(super) validity: (Timestamp, Timestamp),
}

/// Searches for a path from each certificate with the signer's name, and returns the first one.
pub(super) fn search_each<T>(
    chain: &SignerChain,
    anchors: &TrustAnchors,
    name: &SignerName,
    now: Timestamp,
    budget: &Budget,
    check_revocation: &RevocationCheck<'_, T>,
) -> Result<FoundPath<T>, SignerError> {
    let leaves: Vec<_> = chain.named(name).map(|leaf| (leaf, check_leaf(leaf, name))).collect();
    let fit: Vec<_> = leaves.iter().filter(|(_, checked)| checked.is_ok()).map(|(leaf, _)| *leaf).collect();
    let candidates = Candidates::above(&fit, chain.certificates(), anchors.as_slice(), budget);
    let (mut found, mut refusal) = (None, None);
    for (leaf, checked) in leaves {
        match checked.and_then(|()| search(leaf, &candidates, anchors, now, budget, check_revocation)) {
            Ok(good) => {
                found = Some(good);
                break;
            }
            Err(error) => prefer_revocation_error(&mut refusal, error),
        }
    }
    // This applies even if a path was found: the evidence beyond the limit may contain a revocation.
    if budget.is_exceeded() {
        return Err(SignerError::TooCostly);
    }
    found.ok_or_else(|| {
        refusal.unwrap_or_else(|| SignerError::Name {
            expected: name.clone(),
            came: list(chain.certificates().first().map(Certificate::common_names).unwrap_or_default()),
        })
    })
}

/// Checks the signer's certificate itself. The caller has already checked that its only common name is `name`. If it
/// has a subject alternative name extension, one of the dNSNames must also be `name`.
///
/// Names are compared as a whole. Wildcards never match.
fn check_leaf(leaf: &Certificate, name: &SignerName) -> Result<(), SignerError> {
    if let Some(names) = leaf.dns_names() {
        if !names.iter().any(|dns| dns.eq_ignore_ascii_case(name.as_str())) {
            return Err(SignerError::AlternativeName { expected: name.clone(), came: list(names) });
        }
    }
    if !leaf.may_sign_data() {
        return Err(SignerError::KeyUsage(leaf.subject().to_owned(), "digitalSignature"));
    }
    // If webpki cannot read the certificate, the path search refuses it.
    let key_info = EndEntityCert::try_from(leaf.der()).map(|leaf| leaf.subject_public_key_info());
    match key_info.ok().and_then(|key_info| signer_key::fault(contents(&key_info))) {
        Some(came) => Err(SignerError::Key(came)),
        None => Ok(()),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { printable(&names.join(", "), MAX_SHOWN) }
}

/// Searches for a path from `leaf` to one of `anchors` (RFC 5280 section 6, by webpki) on which `check_revocation`
/// accepts every certificate.
fn search<T>(
    leaf: &Certificate,
    candidates: &Candidates<'_>,
    anchors: &TrustAnchors,
    now: Timestamp,
    budget: &Budget,
    check_revocation: &RevocationCheck<'_, T>,
) -> Result<FoundPath<T>, SignerError> {
    let untrusted = |why: webpki::Error| SignerError::of_path(&why, anchors.count(), now);
    let end_entity = EndEntityCert::try_from(leaf.der()).map_err(untrusted)?;
    let (mut found, mut refusal) = (None, None);
    candidates.each_path(leaf, |certificates, anchor| {
        if !budget.allows_path(comparisons(certificates)) {
            return ControlFlow::Break(());
        }
        match prove(&end_entity, certificates, (anchors, anchor), now, budget, check_revocation) {
            Ok(good) => {
                found = Some(good);
                ControlFlow::Break(())
            }
            Err(error) => {
                prefer_revocation_error(&mut refusal, error);
                ControlFlow::Continue(())
            }
        }
    });
    // If no trusted authority signed the leaf, report its other faults first.
    let alone = || {
        let verified = verify(&end_entity, &[], &[], now, budget).map(|_| ());
        untrusted(verified.err().unwrap_or(webpki::Error::UnknownIssuer))
    };
    found.ok_or_else(|| refusal.unwrap_or_else(alone))
}

/// How many comparisons of names with constraints webpki makes on this path. It compares the names of a certificate
/// with the constraints of every certificate above it.
fn comparisons(path: &[&Certificate]) -> usize {
    let mut names = 0_usize;
    let mut comparisons = 0_usize;
    for certificate in path {
        comparisons = comparisons.saturating_add(names.saturating_mul(certificate.constraints()));
        names = names.saturating_add(certificate.names());
    }
    comparisons
}

fn verify<'p>(
    leaf: &'p EndEntityCert<'p>,
    others: &'p [CertificateDer<'p>],
    anchors: &'p [TrustAnchor<'p>],
    now: Timestamp,
    budget: &Budget,
) -> Result<VerifiedPath<'p>, webpki::Error> {
    leaf.verify_for_usage(
        &as_dyn(&algorithms(budget)),
        anchors,
        others,
        unix_time(now),
        // AWS's signer certificates are made for TLS servers. A certificate without an extended key usage extension
        // is accepted.
        KeyUsage::server_auth(),
        None,
        None,
    )
}

/// Verifies one path: these certificates (the signer's first) and the anchor with this index.
fn prove<T>(
    leaf: &EndEntityCert<'_>,
    certificates: &[&Certificate],
    (anchors, place): (&TrustAnchors, usize),
    now: Timestamp,
    budget: &Budget,
    check_revocation: &RevocationCheck<'_, T>,
) -> Result<FoundPath<T>, SignerError> {
    let untrusted = |why: &str| SignerError::Untrusted(why.to_owned(), anchors.count());
    let anchor = anchors.as_slice().get(place).ok_or_else(|| untrusted("there is no such root"))?;
    let others: Vec<_> =
        certificates.iter().skip(1).map(|it| CertificateDer::from(it.der().as_ref())).collect();
    let path = verify(leaf, &others, core::slice::from_ref(anchor), now, budget)
        .map_err(|error| SignerError::of_path(&error, anchors.count(), now))?;
    // webpki may have found a shorter path through the same certificates.
    let proven = core::iter::once(path.end_entity().der())
        .chain(path.intermediate_certificates().map(webpki::Cert::der))
        .map(|der| certificates.iter().copied().find(|it| *it.der() == der))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| untrusted("webpki returned another path"))?;
    // webpki treats an anchor as a name and a key. The operator's trust store contains the root's certificate, so that
    // certificate is also checked.
    let root = anchors.certificate(place).ok_or_else(|| untrusted("the root certificate cannot be read"))?;
    check_path(&proven, &path, &root, now)?;
    ask_each(&proven, &path, check_revocation)
        .map(|steps| (steps, Root { subject: root.subject().to_owned(), validity: root.validity() }))
}

/// Keeps the error to report if several paths fail. A revocation error comes first: its path is otherwise good, and
/// more staples may help. Otherwise the first error is kept.
fn prefer_revocation_error(kept: &mut Option<SignerError>, error: SignerError) {
    let is_revocation = |error: &SignerError| matches!(error, SignerError::Revocation(..));
    if kept.as_ref().is_none_or(|kept| is_revocation(&error) && !is_revocation(kept)) {
        *kept = Some(error);
    }
}

/// Checks what webpki does not: keyUsage, name constraints for a leaf without alternative names, and the root's
/// certificate.
fn check_path(
    certificates: &[&Certificate],
    path: &VerifiedPath<'_>,
    root: &Certificate,
    now: Timestamp,
) -> Result<(), SignerError> {
    let (from, until) = root.validity();
    if now < from || until < now {
        return Err(SignerError::AnchorValidity(root.subject().to_owned(), from, until, now));
    }
    if let Some(why) = root.anchor_fault() {
        return Err(SignerError::Anchor(root.subject().to_owned(), why));
    }
    let authorities = certificates.get(1..).unwrap_or_default();
    let is_short = |most: u32| usize::try_from(most).is_ok_and(|most| authorities.len() <= most);
    if !root.path_length().is_none_or(is_short) {
        return Err(SignerError::Anchor(
            root.subject().to_owned(),
            "its pathLenConstraint allows fewer authorities",
        ));
    }
    // RFC 5280 section 4.2.1.3: if keyUsage is present, it must contain keyCertSign.
    if let Some(authority) = authorities.iter().find(|it| !it.may_sign_certificates()) {
        return Err(SignerError::KeyUsage(authority.subject().to_owned(), "keyCertSign"));
    }
    // webpki compares constraints only with the subject alternative name, because RFC 5280 section 4.2.1.10 defines
    // no host name in a common name. A leaf without that extension would pass every constraint, so it is refused.
    if certificates.first().is_some_and(|leaf| leaf.dns_names().is_none()) {
        let constraining = certificates.iter().find(|certificate| certificate.constrains_names()).copied();
        let root = path.anchor().name_constraints.is_some().then_some(root);
        if let Some(constraining) = constraining.or(root) {
            return Err(SignerError::Constrained(constraining.subject().to_owned()));
        }
    }
    Ok(())
}

/// Calls `check_revocation` for every certificate of a path.
fn ask_each<T>(
    certificates: &[&Certificate],
    path: &VerifiedPath<'_>,
    check_revocation: &RevocationCheck<'_, T>,
) -> Result<Vec<(Certificate, T)>, SignerError> {
    let mut issuers = Vec::new();
    let ders: Vec<_> = path.intermediate_certificates().map(webpki::Cert::der).collect();
    for der in &ders {
        issuers.push(
            anchor_from_trusted_cert(der).map_err(|error| SignerError::Untrusted(error.to_string(), 0))?,
        );
    }
    issuers.push(path.anchor().clone());
    let subjects =
        core::iter::once::<&webpki::Cert<'_>>(path.end_entity()).chain(path.intermediate_certificates());
    let steps = certificates.iter().zip(subjects).zip(&issuers).enumerate();
    steps
        .map(|(place, ((certificate, subject), issuer))| {
            let result = check_revocation((subject, Subject::at(place)), issuer);
            result
                .map(|result| ((*certificate).clone(), result))
                .map_err(|error| SignerError::Revocation(certificate.subject().to_owned(), error))
        })
        .collect()
}
