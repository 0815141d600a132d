//! OCSP staples: responses (RFC 6960) that the metadata service serves for the certificates of the signer's path.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use rustls::pki_types::CertificateDer;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{self, Decode as _, Encode as _};
use x509_ocsp::{
    BasicOcspResponse, CertStatus, OcspGeneralizedTime, OcspResponse, OcspResponseStatus, SingleResponse,
};

use crate::evidence::chain::Certificate;
use crate::evidence::decode_base64;
use crate::evidence::signed::Signed;
use crate::evidence::structure::{self, StructureError};
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;

pub use x509_ocsp::ResponderId;

/// Maximum size of a staple, in bytes as served. AWS's staples have about 700 in base64. A staple with a responder's
/// certificate has 3,500.
pub const MAX_STAPLE_BYTES: usize = 8 * 1024;

/// Maximum number of staples that are read. The metadata service has one for each certificate of its bundle.
pub const MAX_STAPLES: usize = 16;

/// How many answers of a staple may vouch for a certificate. AWS's staples have one answer. In later answers, only
/// the statuses `revoked` and `unknown` count.
const MAX_VOUCHING: usize = 16;

/// How many certificates of a staple are read. A responder needs only one.
const MAX_RESPONDERS: usize = 4;

/// id-pkix-ocsp-basic (RFC 6960 section 4.2.1).
const ID_PKIX_OCSP_BASIC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
/// id-sha1 (RFC 3279 section 2.2.1).
const ID_SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
/// id-sha256 (RFC 5754 section 2.2).
const ID_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// id-sha384 (RFC 5754 section 2.3).
const ID_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
/// id-sha512 (RFC 5754 section 2.4).
const ID_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// One OCSP response: its answers, and the data that is needed to check who signed it. Untrusted.
#[derive(Debug, Clone)]
pub struct OcspStaple {
    pub(crate) signed: Signed,
    pub(crate) responder: ResponderId,
    /// The responder's name in DER; `None` if the staple identifies the responder by its key.
    pub(crate) responder_name: Option<Vec<u8>>,
    pub(crate) certificates: Vec<ResponderCertificate>,
    pub(crate) answers: Vec<OcspAnswer>,
    pub(crate) produced_at: Timestamp,
    /// Why no answer of this staple can vouch for a certificate. The statuses `revoked` and `unknown` still count.
    pub(crate) defect: Option<OcspError>,
}

/// A certificate inside a staple. Untrusted.
///
/// It is parsed only once, because each staple is judged again for every path and whenever another staple has
/// arrived.
#[derive(Debug, Clone)]
pub(crate) struct ResponderCertificate {
    pub(crate) der: CertificateDer<'static>,
    /// False if its keyUsage lacks digitalSignature or the certificate cannot be read.
    pub(crate) may_sign_data: bool,
}

impl ResponderCertificate {
    fn of(certificate: &x509_cert::Certificate) -> der::Result<Self> {
        let der = CertificateDer::from(certificate.to_der()?);
        let may_sign_data = Certificate::parse(der.clone()).is_ok_and(|read| read.may_sign_data());
        Ok(Self { der, may_sign_data })
    }
}

/// The status of one certificate in a staple (SingleResponse, RFC 6960 section 4.2.1).
#[derive(Debug, Clone)]
pub struct OcspAnswer {
    pub(crate) subject: CertId,
    pub(crate) status: RevocationStatus,
    pub(crate) this_update: Timestamp,
    pub(crate) next_update: Option<Timestamp>,
    /// Whether the answer has an unknown critical extension.
    pub(crate) has_unknown_critical: bool,
    /// Whether the status `good` counts. The statuses `revoked` and `unknown` always count.
    pub(crate) may_vouch: bool,
}

/// Which certificate an answer is about (CertID, RFC 6960 section 4.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertId {
    pub(crate) hash: IssuerHash,
    pub(crate) issuer_name: Vec<u8>,
    pub(crate) issuer_key: Vec<u8>,
    pub(crate) serial: Vec<u8>,
}

/// The hash algorithm with which a CertID identifies the issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IssuerHash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl IssuerHash {
    pub(crate) const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Whether an answer with this hash may vouch for a certificate. With any hash, the statuses `revoked` and
    /// `unknown` count.
    const fn may_vouch(self) -> bool {
        matches!(self, Self::Sha1 | Self::Sha256)
    }
}

/// The status that an answer gives (RFC 6960 section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevocationStatus {
    /// Not revoked.
    Good,
    /// Revoked, since the given instant.
    Revoked(Timestamp),
    /// The responder does not know the certificate.
    Unknown,
}

/// Why a staple cannot be read, or cannot vouch for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OcspError {
    /// Larger than [`MAX_STAPLE_BYTES`]; holds the size in bytes.
    TooLarge(usize),
    /// Neither DER nor base64.
    Encoding,
    /// Not the structure of RFC 6960; holds the parser's message.
    Structure(String),
    /// The responder returned an error instead of a response; holds its name.
    NotSuccessful(&'static str),
    /// An unknown critical extension.
    CriticalExtension,
    /// Bytes after the response.
    TrailingBytes,
}

impl OcspError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        Reason::StapleMalformed
    }
}

impl fmt::Display for OcspError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(size) => write!(f, "expected at most {MAX_STAPLE_BYTES} bytes, got {size}"),
            Self::Encoding => f.write_str("expected DER or base64, got neither"),
            Self::Structure(why) => write!(f, "expected an OCSP response (RFC 6960): {why}"),
            Self::NotSuccessful(status) => write!(f, "expected a successful OCSP response, got {status}"),
            Self::CriticalExtension => f.write_str("an unknown critical extension"),
            Self::TrailingBytes => f.write_str("expected nothing after the response, got more bytes"),
        }
    }
}

impl From<StructureError> for OcspError {
    fn from(error: StructureError) -> Self {
        Self::Structure(error.to_string())
    }
}

impl From<der::Error> for OcspError {
    fn from(error: der::Error) -> Self {
        Self::Structure(printable(&error.to_string(), MAX_SHOWN))
    }
}

impl OcspStaple {
    /// Reads a staple: base64 (wrapped or not), as the metadata service serves it, or plain DER.
    pub fn parse(bytes: &[u8]) -> Result<Self, OcspError> {
        if bytes.len() > MAX_STAPLE_BYTES {
            return Err(OcspError::TooLarge(bytes.len()));
        }
        // A DER SEQUENCE begins with 0x30; the base64 of one begins with 'M'.
        if bytes.first() == Some(&0x30) {
            return Self::from_der(bytes);
        }
        Self::from_der(&decode_base64(bytes).ok_or(OcspError::Encoding)?)
    }

    fn from_der(bytes: &[u8]) -> Result<Self, OcspError> {
        let (outer, defect) = first(bytes)?;
        let outer = OcspResponse::from_der(outer)?;
        if let Some(status) = failure(outer.response_status) {
            return Err(OcspError::NotSuccessful(status));
        }
        let inner = outer.response_bytes.ok_or(OcspError::NotSuccessful("no response bytes"))?;
        if inner.response_type != ID_PKIX_OCSP_BASIC {
            return Err(OcspError::Structure("expected the basic response type".to_owned()));
        }
        let (basic_der, inner_defect) = first(inner.response.as_bytes())?;
        let basic = BasicOcspResponse::from_der(basic_der)?;
        let signed = Signed::parse(basic_der)?;
        let data = basic.tbs_response_data;
        let is_critical = has_critical(data.response_extensions.as_deref());
        let critical = is_critical.then_some(OcspError::CriticalExtension);
        let certificates = basic
            .certs
            .unwrap_or_default()
            .iter()
            .take(MAX_RESPONDERS)
            .map(ResponderCertificate::of)
            .collect::<Result<_, _>>()?;
        let responder_name = match &data.responder_id {
            ResponderId::ByName(name) => Some(name.to_der()?),
            ResponderId::ByKey(_) => None,
        };
        Ok(Self {
            signed,
            responder_name,
            responder: data.responder_id,
            certificates,
            answers: data.responses.iter().enumerate().filter_map(OcspAnswer::parse).collect(),
            produced_at: instant(data.produced_at),
            defect: critical.or(defect).or(inner_defect),
        })
    }

    /// Why no answer of this staple can vouch for a certificate, although it was read.
    #[must_use]
    pub(crate) const fn defect(&self) -> Option<&OcspError> {
        self.defect.as_ref()
    }

    /// The signer's identity, as the response claims it.
    #[must_use]
    pub fn responder(&self) -> Responder {
        Responder(self.responder.clone())
    }
}

/// The first element, after a check of its structure. Bytes after it are a defect.
fn first(bytes: &[u8]) -> Result<(&[u8], Option<OcspError>), OcspError> {
    structure::check(bytes)?;
    let (element, rest) = structure::split(bytes).ok_or(StructureError::Malformed)?;
    Ok((element, (!rest.is_empty()).then_some(OcspError::TrailingBytes)))
}

/// The signer's identity that a staple claims: `by name CN=...` or `by key 5af3...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Responder(ResponderId);

impl fmt::Display for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ResponderId::ByName(name) => f.write_str(&printable(&format!("by name {name}"), MAX_SHOWN)),
            ResponderId::ByKey(hash) => {
                write!(f, "by key {}", data_encoding::HEXLOWER.encode(hash.as_bytes()))
            }
        }
    }
}

impl OcspAnswer {
    /// `None` if the hash algorithm of the CertID is unknown, because the answer then matches no certificate.
    fn parse((place, response): (usize, &SingleResponse)) -> Option<Self> {
        let id = &response.cert_id;
        let hash = match id.hash_algorithm.oid {
            ID_SHA1 => IssuerHash::Sha1,
            ID_SHA256 => IssuerHash::Sha256,
            ID_SHA384 => IssuerHash::Sha384,
            ID_SHA512 => IssuerHash::Sha512,
            _ => return None,
        };
        let subject = CertId {
            hash,
            issuer_name: id.issuer_name_hash.as_bytes().to_vec(),
            issuer_key: id.issuer_key_hash.as_bytes().to_vec(),
            serial: id.serial_number.as_bytes().to_vec(),
        };
        let status = match response.cert_status {
            CertStatus::Good(_) => RevocationStatus::Good,
            CertStatus::Revoked(info) => RevocationStatus::Revoked(instant(info.revocation_time)),
            CertStatus::Unknown(_) => RevocationStatus::Unknown,
        };
        Some(Self {
            subject,
            status,
            this_update: instant(response.this_update),
            next_update: response.next_update.map(instant),
            has_unknown_critical: has_critical(response.single_extensions.as_deref()),
            may_vouch: hash.may_vouch() && place < MAX_VOUCHING,
        })
    }
}

fn has_critical(extensions: Option<&[x509_cert::ext::Extension]>) -> bool {
    extensions.unwrap_or_default().iter().any(|extension| extension.critical)
}

fn instant(time: OcspGeneralizedTime) -> Timestamp {
    Timestamp::from_unix(time.0.to_unix_duration().as_secs())
}

/// The name of an error status (RFC 6960 section 4.2.1).
const fn failure(status: OcspResponseStatus) -> Option<&'static str> {
    match status {
        OcspResponseStatus::Successful => None,
        OcspResponseStatus::MalformedRequest => Some("malformedRequest"),
        OcspResponseStatus::InternalError => Some("internalError"),
        OcspResponseStatus::TryLater => Some("tryLater"),
        OcspResponseStatus::SigRequired => Some("sigRequired"),
        OcspResponseStatus::Unauthorized => Some("unauthorized"),
    }
}

#[cfg(test)]
mod tests;
