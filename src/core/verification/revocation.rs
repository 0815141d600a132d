//! Is a certificate of the path vouched for by a fresh staple?

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

/// What a certificate without a staple means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevocationPolicy {
    /// It is not believed.
    #[default]
    Require,
    /// It is believed. For the day that the service ends its staples: one that is there still decides.
    WhenStapled,
}

/// The staple that vouched for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StapleFacts {
    /// When the responder made it.
    pub produced_at: Timestamp,
    /// From when it holds.
    pub this_update: Timestamp,
    /// Until when it holds.
    pub next_update: Timestamp,
    /// Who signed it, as it says.
    pub responder: Responder,
}

const DAY: u64 = 86_400;

/// Which certificate of the path is judged: so long ago an answer about it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The signer's own.
    Signer,
    /// An authority's.
    Authority,
}

impl Subject {
    /// That of a certificate at this place of a path.
    pub(super) const fn at(place: usize) -> Self {
        if place == 0 { Self::Signer } else { Self::Authority }
    }

    /// In days. The CA/Browser Forum's Baseline Requirements (section 4.9.10) let an answer about a subscriber's
    /// certificate hold for ten days, and have one about an authority's renewed every twelve months. Amazon Trust Services
    /// is bound to them. Five weeks are more than three times the ten days.
    const fn max_age(self) -> u64 {
        match self {
            Self::Signer => 35,
            Self::Authority => 366,
        }
    }
}

/// Looks for a staple that says `good` of `certificate`, is fresh at `now` and signed as RFC 6960 section
/// 4.2.2.2 demands. The staple is found by the CertID inside it, never by the name it was served under.
///
/// Of all answers that are signed so, the worst status decides, `revoked` before `unknown` before `good`, whatever else
/// is wrong with that answer: its dates, its extensions, what follows it.
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

/// Judges an answer whose signature is good. None where it neither vouches nor says anything against the certificate.
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

/// RFC 6960 section 4.2.2.1: thisUpdate and nextUpdate are the interval in which the answer is known to hold, and
/// producedAt is when it was signed (section 2.4): not before it was known, and not after it ended. Gives nextUpdate.
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

/// RFC 6960 section 4.2.2.2: signed by the issuer's own key, or by a responder whose certificate the
/// issuer signed directly and marked with id-kp-OCSPSigning. The responder is the one the staple names.
fn check_signature(
    staple: &OcspStaple,
    issuer: &TrustAnchor<'_>,
    issuer_key: Option<&[u8]>,
    now: Timestamp,
    budget: &Budget,
) -> Result<(), RevocationError> {
    let mut failure = RevocationError::Responder("it is neither the issuer nor sent along");
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
    // With the issuer as the only anchor and no intermediates, the one path there can be is "signed by the
    // issuer directly"; the usage is demanded, not merely respected where it is present.
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

/// Whether the ResponderID of a staple names this subject (contents of a Name) and key (RFC 6960 section 4.2.1).
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

/// Equal, where a serial number may have been written with or without its sign octet.
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

/// The key's bits out of the contents of a SubjectPublicKeyInfo: what OCSP hashes.
fn public_key_bits(key_info: &[u8]) -> Option<&[u8]> {
    let mut parts = SliceReader::new(key_info).ok()?;
    parts.tlv_bytes().ok()?;
    BitStringRef::decode(&mut parts).ok()?.as_bytes()
}
