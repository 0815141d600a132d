//! Is a certificate of the path vouched for by a fresh staple?

use std::fmt;

use ring::digest::{self, digest};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::{EndEntityCert, KeyUsage};
use x509_cert::der::asn1::BitStringRef;
use x509_cert::der::{Decode as _, Encode as _, Reader as _, SliceReader};

use super::CLOCK_SKEW;
use super::primitives::{SIGNATURE_ALGORITHMS, contents, is_signed_by, sequence, unix_time};
use crate::evidence::chain::Certificate;
use crate::evidence::ocsp::{Answer, CertId, IssuerHash, OcspStaple, Responder, ResponderId, Status};
use crate::reason::Reason;
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

/// Why no staple vouches for a certificate. Ordered: where several staples fail, the greatest is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevocationError {
    /// None of the staples is about it; holds how many there were.
    Missing(usize),
    /// None is about it, and one that was served cannot be read; holds why.
    Unreadable(String),
    /// The signer of the staple is neither the issuer nor a responder that the issuer named.
    Responder(&'static str),
    /// The staple's signature does not verify.
    BadSignature,
    /// No nextUpdate.
    NoNextUpdate,
    /// thisUpdate is later than now, beyond the allowance.
    NotYetValid(Timestamp, Timestamp),
    /// nextUpdate has passed, beyond the allowance.
    Stale(Timestamp, Timestamp),
    /// The responder does not know the certificate.
    Unknown,
    /// Revoked, since the given instant.
    Revoked(Timestamp),
}

impl RevocationError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Missing(_) => Reason::StapleMissing,
            Self::Unreadable(_) => Reason::StapleMalformed,
            Self::Responder(_) => Reason::StapleResponder,
            Self::BadSignature => Reason::StapleBadSignature,
            Self::NoNextUpdate => Reason::StapleNoNextUpdate,
            Self::NotYetValid(..) => Reason::StapleNotYetValid,
            Self::Stale(..) => Reason::StapleStale,
            Self::Unknown => Reason::StapleUnknown,
            Self::Revoked(_) => Reason::SignerRevoked,
        }
    }
}

impl fmt::Display for RevocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(seen) => {
                write!(f, "expected an OCSP staple for it, got {seen} for other certificates")
            }
            Self::Unreadable(why) => {
                write!(f, "expected an OCSP staple for it, got one that cannot be read: {why}")
            }
            Self::Responder(why) => write!(f, "its OCSP staple is signed by a responder that may not: {why}"),
            Self::BadSignature => f.write_str("its OCSP staple's signature does not verify"),
            Self::NoNextUpdate => f.write_str("its OCSP staple has no nextUpdate"),
            Self::NotYetValid(this_update, now) => {
                write!(f, "its OCSP staple holds from {this_update}, now {now}; is the clock right?")
            }
            Self::Stale(next_update, now) => {
                write!(f, "its OCSP staple held until {next_update}, now {now}; is the clock right?")
            }
            Self::Unknown => f.write_str("its OCSP responder does not know it"),
            Self::Revoked(since) => write!(f, "revoked since {since}"),
        }
    }
}

/// Looks for a staple that says `good` of `certificate`, is fresh at `now` and signed as RFC 6960 section
/// 4.2.2.2 demands. The staple is found by the CertID inside it, never by the name it was served under.
///
/// A signed `revoked` decides, whatever other staples say and however old it is: revocation is for good.
pub(super) fn check(
    certificate: &webpki::Cert<'_>,
    issuer: &TrustAnchor<'_>,
    staples: &[OcspStaple],
    now: Timestamp,
) -> Result<StapleFacts, RevocationError> {
    let key = public_key_bits(&issuer.subject_public_key_info);
    let ids =
        [IssuerHash::Sha1, IssuerHash::Sha256].map(|hash| cert_id(hash, certificate.serial(), issuer, key));
    let mut good = None;
    let mut failure = RevocationError::Missing(staples.len());
    for staple in staples {
        let about = |answer: &&Answer| ids.iter().flatten().any(|id| same(id, &answer.subject));
        let answers: Vec<_> = staple.answers.iter().filter(about).collect();
        if answers.is_empty() {
            continue;
        }
        if let Err(error) = check_signature(staple, issuer, key, now) {
            failure = failure.max(error);
            continue;
        }
        for answer in answers {
            match judge(answer, staple, now) {
                Ok(facts) => good = Some(facts),
                Err(revoked @ RevocationError::Revoked(_)) => return Err(revoked),
                Err(other) => failure = failure.max(other),
            }
        }
    }
    good.ok_or(failure)
}

/// Judges an answer whose signature is good.
fn judge(answer: &Answer, staple: &OcspStaple, now: Timestamp) -> Result<StapleFacts, RevocationError> {
    // RFC 6960 section 4.2.2.1: the interval in which the answer is known to hold.
    if answer.this_update > now.later(CLOCK_SKEW) {
        return Err(RevocationError::NotYetValid(answer.this_update, now));
    }
    if let Status::Revoked(since) = answer.status {
        return Err(RevocationError::Revoked(since));
    }
    let next_update = answer.next_update.ok_or(RevocationError::NoNextUpdate)?;
    if next_update.later(CLOCK_SKEW) < now {
        return Err(RevocationError::Stale(next_update, now));
    }
    if answer.status != Status::Good {
        return Err(RevocationError::Unknown);
    }
    Ok(StapleFacts {
        produced_at: staple.produced_at,
        this_update: answer.this_update,
        next_update,
        responder: staple.responder(),
    })
}

/// RFC 6960 section 4.2.2.2: signed by the issuer's own key, or by a responder whose certificate the
/// issuer signed directly and marked with id-kp-OCSPSigning. The responder is the one the staple names.
fn check_signature(
    staple: &OcspStaple,
    issuer: &TrustAnchor<'_>,
    issuer_key: Option<&[u8]>,
    now: Timestamp,
) -> Result<(), RevocationError> {
    let mut failure = RevocationError::Responder("it is neither the issuer nor sent along");
    if is_named(&staple.responder, &issuer.subject, issuer_key) {
        if is_signed_by(&staple.signed, &issuer.subject_public_key_info) {
            return Ok(());
        }
        failure = RevocationError::BadSignature;
    }
    for der in &staple.certificates {
        let Ok(responder) = EndEntityCert::try_from(der) else { continue };
        let key_info = responder.subject_public_key_info();
        let contents = contents(&key_info);
        if !is_named(&staple.responder, responder.subject(), public_key_bits(contents)) {
            continue;
        }
        match check_delegation(der, &responder, issuer, now) {
            Ok(()) if is_signed_by(&staple.signed, contents) => return Ok(()),
            Ok(()) => failure = RevocationError::BadSignature,
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn check_delegation(
    der: &CertificateDer<'static>,
    responder: &EndEntityCert<'_>,
    issuer: &TrustAnchor<'_>,
    now: Timestamp,
) -> Result<(), RevocationError> {
    // With the issuer as the only anchor and no intermediates, the one path there can be is "signed by the
    // issuer directly"; the usage is demanded, not merely respected where it is present.
    responder
        .verify_for_usage(
            SIGNATURE_ALGORITHMS,
            std::slice::from_ref(issuer),
            &[],
            unix_time(now),
            KeyUsage::required(ID_KP_OCSP_SIGNING),
            None,
            None,
        )
        .map_err(|error| RevocationError::Responder(delegation_fault(&error)))?;
    match Certificate::parse(der.clone()) {
        Ok(certificate) if certificate.may_sign_data() => Ok(()),
        _ => Err(RevocationError::Responder("its keyUsage lacks digitalSignature")),
    }
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

/// Whether a ResponderID names this subject (contents of a Name) and key (RFC 6960 section 4.2.1).
fn is_named(responder: &ResponderId, subject: &[u8], key: Option<&[u8]>) -> bool {
    match responder {
        ResponderId::ByName(name) => name.to_der().is_ok_and(|name| name == sequence(subject)),
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
