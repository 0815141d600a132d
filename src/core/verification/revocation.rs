//! Checks that a fresh staple vouches for a certificate of the path.

use alloc::string::ToString;
use alloc::vec::Vec;

use ring::digest::{self, digest};
use rustls::pki_types::TrustAnchor;
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::der::asn1::BitStringRef;
use x509_cert::der::{Decode as _, Reader as _, SliceReader};

use super::CLOCK_SKEW;
use super::budget::Budget;
use super::primitives::{algorithms, as_dyn, contents, is_signed_by, sequence, unix_time};
use super::revocation_error::RevocationError;
use crate::evidence::ocsp::{
    CertId, IssuerHash, OcspAnswer, OcspError, OcspStaple, Responder, ResponderId, RevocationStatus,
};
use crate::time::Timestamp;

/// id-kp-OCSPSigning (RFC 6960 section 4.2.2.2), the contents of the OBJECT IDENTIFIER.
const ID_KP_OCSP_SIGNING: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];

/// What happens to a certificate without a staple.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationPolicy {
    /// The certificate is refused.
    #[default]
    Require,
    /// The certificate is accepted. This is for the case that the service stops serving staples. A staple that is
    /// served must still be good.
    WhenStapled,
}

/// Facts about the staple that vouched for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StapleFacts {
    /// When the responder signed it.
    pub produced_at: Timestamp,
    /// When its validity begins.
    pub this_update: Timestamp,
    /// When its validity ends.
    pub next_update: Timestamp,
    /// The signer's identity, as the staple claims it.
    pub responder: Responder,
}

const DAY: u64 = 86_400;

/// Which certificate of the path is judged. This determines the maximum age of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The signer's certificate.
    Signer,
    /// An authority's certificate.
    Authority,
}

impl Subject {
    /// The kind of the certificate with this index on a path. The signer's certificate has index 0.
    pub(super) const fn at(place: usize) -> Self {
        if place == 0 { Self::Signer } else { Self::Authority }
    }

    /// The maximum age of an answer, in days. The CA/Browser Forum's Baseline Requirements (section 4.9.10) bind
    /// Amazon Trust Services. An answer about a subscriber's certificate may be valid for at most ten days. An answer
    /// about an authority must be renewed every twelve months. The agent allows 35 days for the signer's certificate,
    /// which is more than three times ten days, and 366 days for an authority.
    const fn max_age(self) -> u64 {
        match self {
            Self::Signer => 35,
            Self::Authority => 366,
        }
    }
}

/// Finds a staple with the status `good` for `certificate` that is fresh at `now` and is signed as RFC 6960 section
/// 4.2.2.2 requires. A staple matches by the CertID inside it, never by the name under which it was served.
///
/// Of all answers with a valid signature, the worst status decides: `revoked`, then `unknown`, then `good`. A
/// `revoked` or `unknown` answer counts even if its dates, its extensions or the bytes after it are wrong.
pub(super) fn check(
    (certificate, subject): (&webpki::Cert<'_>, Subject),
    issuer: &TrustAnchor<'_>,
    staples: &[OcspStaple],
    now: Timestamp,
    budget: &Budget,
) -> Result<StapleFacts, RevocationError> {
    let key = public_key_bits(&issuer.subject_public_key_info);
    let in_use = |hash: &IssuerHash| {
        staples.iter().flat_map(|staple| &staple.answers).any(|answer| answer.subject.hash == *hash)
    };
    let hashes = IssuerHash::ALL.into_iter().filter(in_use);
    let ids: Vec<_> = hashes.filter_map(|hash| cert_id(hash, certificate.serial(), issuer, key)).collect();
    let mut good = None;
    let mut failure = RevocationError::Missing(staples.len());
    for staple in staples {
        let about = |answer: &&OcspAnswer| ids.iter().any(|id| same(id, &answer.subject));
        let answers: Vec<_> = staple.answers.iter().filter(about).collect();
        if answers.is_empty() {
            continue;
        }
        if let Err(error) = check_signature(staple, issuer, key, now, budget) {
            failure = failure.max(error);
            continue;
        }
        for answer in answers {
            match check_answer(answer, staple, subject, now) {
                Ok(Some(facts)) => good = Some(facts),
                Ok(None) => {}
                Err(error) => failure = failure.max(error),
            }
        }
    }
    match failure {
        RevocationError::Unknown | RevocationError::Revoked(_) => Err(failure),
        _ => good.ok_or(failure),
    }
}

/// Checks an answer whose signature is valid. Returns `None` if the status is `good` but the answer may not vouch.
fn check_answer(
    answer: &OcspAnswer,
    staple: &OcspStaple,
    subject: Subject,
    now: Timestamp,
) -> Result<Option<StapleFacts>, RevocationError> {
    match answer.status {
        RevocationStatus::Revoked(since) => return Err(RevocationError::Revoked(since)),
        RevocationStatus::Unknown => return Err(RevocationError::Unknown),
        RevocationStatus::Good => {}
    }
    if !answer.may_vouch {
        return Ok(None);
    }
    let critical = answer.has_unknown_critical.then_some(&OcspError::CriticalExtension);
    if let Some(defect) = critical.or(staple.defect.as_ref()) {
        return Err(RevocationError::Unreadable(defect.to_string()));
    }
    let next_update = check_dates(answer, staple.produced_at, subject, now)?;
    Ok(Some(StapleFacts {
        produced_at: staple.produced_at,
        this_update: answer.this_update,
        next_update,
        responder: staple.responder(),
    }))
}

/// Checks the dates and returns nextUpdate. The answer is valid from thisUpdate until nextUpdate (RFC 6960 section
/// 4.2.2.1). producedAt is the time of the signature (section 2.4). It must not be before thisUpdate or after
/// nextUpdate.
fn check_dates(
    answer: &OcspAnswer,
    produced_at: Timestamp,
    subject: Subject,
    now: Timestamp,
) -> Result<Timestamp, RevocationError> {
    let this_update = answer.this_update;
    if this_update > now.later(CLOCK_SKEW) {
        return Err(RevocationError::NotYetValid(this_update, now));
    }
    let next_update = answer.next_update.ok_or(RevocationError::NoNextUpdate)?;
    if next_update.later(CLOCK_SKEW) < now {
        return Err(RevocationError::Stale(next_update, now));
    }
    let days = subject.max_age();
    if this_update.later(days.saturating_mul(DAY)).later(CLOCK_SKEW) < now {
        return Err(RevocationError::TooOld(this_update, days, now));
    }
    if next_update < this_update {
        return Err(RevocationError::Dates("nextUpdate is before thisUpdate", next_update, this_update));
    }
    if produced_at > now.later(CLOCK_SKEW) {
        return Err(RevocationError::Dates("producedAt is in the future", produced_at, now));
    }
    if produced_at.later(CLOCK_SKEW) < this_update {
        return Err(RevocationError::Dates("producedAt is before thisUpdate", produced_at, this_update));
    }
    if produced_at > next_update.later(CLOCK_SKEW) {
        return Err(RevocationError::Dates("producedAt is after nextUpdate", produced_at, next_update));
    }
    Ok(next_update)
}

/// Checks the signature (RFC 6960 section 4.2.2.2). The staple names its responder. This is either the issuer itself,
/// or a responder whose certificate the issuer signed directly and marked with id-kp-OCSPSigning.
fn check_signature(
    staple: &OcspStaple,
    issuer: &TrustAnchor<'_>,
    issuer_key: Option<&[u8]>,
    now: Timestamp,
    budget: &Budget,
) -> Result<(), RevocationError> {
    let mut failure =
        RevocationError::Responder("it is not the issuer, and the staple does not contain its certificate");
    if is_named(staple, &issuer.subject, issuer_key) {
        if is_signed_by(&staple.signed, &issuer.subject_public_key_info, budget) {
            return Ok(());
        }
        failure = RevocationError::BadSignature;
    }
    for certificate in &staple.certificates {
        let Ok(responder) = EndEntityCert::try_from(&certificate.der) else { continue };
        let key_info = responder.subject_public_key_info();
        let contents = contents(&key_info);
        if !is_named(staple, responder.subject(), public_key_bits(contents)) {
            continue;
        }
        match check_delegation(&responder, certificate.may_sign_data, issuer, now, budget) {
            Ok(()) if is_signed_by(&staple.signed, contents, budget) => return Ok(()),
            Ok(()) => failure = RevocationError::BadSignature,
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn check_delegation(
    responder: &EndEntityCert<'_>,
    may_sign_data: bool,
    issuer: &TrustAnchor<'_>,
    now: Timestamp,
    budget: &Budget,
) -> Result<(), RevocationError> {
    // The issuer is the only anchor and there are no intermediates. So the only possible path is a certificate that
    // the issuer signed directly. `required` refuses a certificate without the extended key usage.
    responder
        .verify_for_usage(
            &as_dyn(&algorithms(budget)),
            core::slice::from_ref(issuer),
            &[],
            unix_time(now),
            KeyUsage::required(ID_KP_OCSP_SIGNING),
            None,
            None,
        )
        .map_err(|error| RevocationError::Responder(delegation_fault(&error)))?;
    may_sign_data.then_some(()).ok_or(RevocationError::Responder("its keyUsage lacks digitalSignature"))
}

const fn delegation_fault(error: &webpki::Error) -> &'static str {
    match error {
        webpki::Error::UnknownIssuer => "the issuer did not sign its certificate",
        webpki::Error::CertExpired { .. } => "its certificate has expired",
        webpki::Error::CertNotValidYet { .. } => "its certificate is not valid yet",
        webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => {
            "its certificate is not marked for OCSP signing"
        }
        _ => "its certificate does not verify",
    }
}

/// Whether the ResponderID of a staple matches this subject (contents of a Name) or this key (RFC 6960 section
/// 4.2.1).
fn is_named(staple: &OcspStaple, subject: &[u8], key: Option<&[u8]>) -> bool {
    match &staple.responder {
        ResponderId::ByName(_) => {
            staple.responder_name.as_ref().is_some_and(|name| *name == sequence(subject))
        }
        ResponderId::ByKey(hash) => {
            key.is_some_and(|key| digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, key).as_ref() == hash.as_bytes())
        }
    }
}

/// The CertID of the certificate with `serial` from this issuer (RFC 6960 section 4.1.1).
fn cert_id(hash: IssuerHash, serial: &[u8], issuer: &TrustAnchor<'_>, key: Option<&[u8]>) -> Option<CertId> {
    let algorithm = match hash {
        IssuerHash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        IssuerHash::Sha256 => &digest::SHA256,
        IssuerHash::Sha384 => &digest::SHA384,
        IssuerHash::Sha512 => &digest::SHA512,
    };
    Some(CertId {
        hash,
        issuer_name: digest(algorithm, &sequence(&issuer.subject)).as_ref().to_vec(),
        issuer_key: digest(algorithm, key?).as_ref().to_vec(),
        serial: serial.to_vec(),
    })
}

/// Compares two CertID values. The serial numbers may differ in a leading zero octet (the sign).
fn same(one: &CertId, other: &CertId) -> bool {
    fn digits(serial: &[u8]) -> &[u8] {
        let zeros = serial.iter().take_while(|&&octet| octet == 0).count();
        serial.get(zeros..).unwrap_or_default()
    }
    one.hash == other.hash
        && one.issuer_name == other.issuer_name
        && one.issuer_key == other.issuer_key
        && digits(&one.serial) == digits(&other.serial)
}

/// The bits of the key in the contents of a SubjectPublicKeyInfo. OCSP hashes these bits.
fn public_key_bits(key_info: &[u8]) -> Option<&[u8]> {
    let mut parts = SliceReader::new(key_info).ok()?;
    parts.tlv_bytes().ok()?;
    BitStringRef::decode(&mut parts).ok()?.as_bytes()
}
