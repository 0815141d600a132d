//! The signer's certificate bundle: PEM, with the signer's certificate first. It may contain other certificates.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::oid::Oid;
use x509_parser::extensions::{GeneralName, KeyUsage, ParsedExtension};
use x509_parser::oid_registry::{
    OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME, OidRegistry,
};
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{X509Name, X509Version};

use crate::evidence::structure;
use crate::identity::SignerName;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;

/// Maximum size of the bundle, in bytes. AWS's bundle has 6,966.
pub const MAX_CHAIN_BYTES: usize = 128 * 1024;

/// Maximum number of certificates that are read. AWS's bundle has four, and webpki follows at most eight levels.
/// Further certificates are ignored.
pub const MAX_CERTIFICATES: usize = 32;

/// Maximum size of a certificate, in bytes. AWS's certificates have 1,500.
const MAX_CERTIFICATE_BYTES: usize = 4 * 1024;

/// Some editors write this mark before UTF-8 text. OpenSSL skips it, too.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Removes a leading byte order mark.
pub(crate) fn without_mark(pem: &[u8]) -> &[u8] {
    pem.strip_prefix(BYTE_ORDER_MARK).unwrap_or(pem)
}

/// Extensions that this crate checks itself. webpki does not check keyUsage. It also does not compare the common name
/// with alternative names or name constraints.
const JUDGED_EXTENSIONS: [Oid<'static>; 3] =
    [OID_X509_EXT_SUBJECT_ALT_NAME, OID_X509_EXT_KEY_USAGE, OID_X509_EXT_NAME_CONSTRAINTS];

/// A certificate and the parsed fields that are judged. Untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    der: CertificateDer<'static>,
    subject: String,
    serial: String,
    common_names: Vec<String>,
    dns_names: Option<Vec<String>>,
    may_sign_data: Option<bool>,
    may_sign_certificates: Option<bool>,
    constraints: usize,
    names: usize,
    authority: Authority,
    not_before: Timestamp,
    not_after: Timestamp,
}

/// Restrictions on issuing that matter if the certificate is a trust anchor: basicConstraints (RFC 5280 section
/// 4.2.1.9) and unknown critical extensions. webpki checks all other certificates of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Authority {
    is_ca: bool,
    path_length: Option<u32>,
    has_unknown_critical: bool,
}

/// Why the signer's bundle is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainError {
    /// It contains no PEM certificate; holds its size in bytes.
    Empty(usize),
    /// It contains no readable certificate; holds the parser's error for the first one.
    Unreadable(String),
    /// Larger than [`MAX_CHAIN_BYTES`]; holds its size in bytes.
    TooLarge(usize),
}

impl ChainError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        Reason::SignerMalformed
    }
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(size) => {
                write!(f, "expected PEM certificates, the signer's first; got {size} bytes without one")
            }
            Self::Unreadable(why) => write!(f, "no certificate of the signer's bundle can be read: {why}"),
            Self::TooLarge(size) => {
                write!(f, "expected a signer bundle of at most {MAX_CHAIN_BYTES} bytes, got {size}")
            }
        }
    }
}

/// The certificates of the bundle, in order. There is at least one. Untrusted.
#[derive(Debug, Clone)]
pub struct SignerChain {
    certificates: Vec<Certificate>,
}

impl SignerChain {
    /// Reads PEM. Text between the blocks, blocks of other kinds and unreadable certificates are ignored, because the
    /// path may not need them.
    pub fn parse(pem: &[u8]) -> Result<Self, ChainError> {
        if pem.len() > MAX_CHAIN_BYTES {
            return Err(ChainError::TooLarge(pem.len()));
        }
        let mut first_error = None;
        let mut certificates: Vec<Certificate> = Vec::new();
        for der in CertificateDer::pem_slice_iter(without_mark(pem)).flatten() {
            if certificates.len() >= MAX_CERTIFICATES {
                break;
            }
            // A repeated certificate only adds work to the search.
            if der.len() > MAX_CERTIFICATE_BYTES || certificates.iter().any(|known| known.der == der) {
                continue;
            }
            match Certificate::parse(der) {
                Ok(certificate) => certificates.push(certificate),
                Err(why) => {
                    first_error.get_or_insert(why);
                }
            }
        }
        match (certificates.is_empty(), first_error) {
            (false, _) => Ok(Self { certificates }),
            (true, Some(why)) => Err(ChainError::Unreadable(why)),
            (true, None) => Err(ChainError::Empty(pem.len())),
        }
    }

    /// The certificates whose only common name is `name`, in order.
    pub fn named<'c>(&'c self, name: &SignerName) -> impl Iterator<Item = &'c Certificate> {
        self.certificates.iter().filter(move |certificate| certificate.common_names == [name.as_str()])
    }

    /// Every certificate of the bundle, in order.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }
}

/// Formats a name. It uses an empty OID registry, because building the parser's full registry takes longer than
/// reading all certificates of a chain. Usual attributes still have their abbreviations. The others have their OIDs.
fn shown(name: &X509Name<'_>) -> String {
    name.to_string_with_registry(&OidRegistry::default()).unwrap_or_else(|error| format!("({error})"))
}

impl Certificate {
    /// Reads one certificate. The error is the parser's message.
    pub fn parse(der: CertificateDer<'static>) -> Result<Self, String> {
        structure::check(&der).map_err(|error| error.to_string())?;
        let (rest, x509) =
            X509Certificate::from_der(&der).map_err(|error| printable(&error.to_string(), MAX_SHOWN))?;
        if !rest.is_empty() {
            return Err("bytes follow the certificate".to_owned());
        }
        let mut dns_names = None;
        let mut key_usage = None;
        let (mut names, mut constraints) = (0_usize, 0_usize);
        // Before version 3, certificates have no extensions. Such a certificate counts as an authority, because it is
        // an anchor only if the trust store contains it.
        let mut authority = Authority {
            is_ca: x509.version() != X509Version::V3,
            path_length: None,
            has_unknown_critical: false,
        };
        for extension in x509.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::SubjectAlternativeName(san) => {
                    let dns = san.general_names.iter().filter_map(|name| match name {
                        GeneralName::DNSName(name) => Some((*name).to_owned()),
                        _ => None,
                    });
                    dns_names.get_or_insert_with(Vec::new).extend(dns);
                    names = names.saturating_add(san.general_names.len());
                }
                ParsedExtension::KeyUsage(usage) => key_usage = Some(*usage),
                ParsedExtension::NameConstraints(of) => {
                    let lists = [&of.permitted_subtrees, &of.excluded_subtrees];
                    let listed = lists.into_iter().flatten().map(Vec::len).sum::<usize>();
                    // An empty extension counts as one constraint.
                    constraints = constraints.saturating_add(listed.max(1));
                }
                ParsedExtension::BasicConstraints(of) => {
                    authority.is_ca = of.ca;
                    authority.path_length = of.path_len_constraint;
                }
                // Refuse the certificate if one of these three extensions cannot be read, because its restrictions
                // are unknown. webpki handles all other extensions and refuses unknown critical ones.
                ParsedExtension::ParseError { error } if JUDGED_EXTENSIONS.contains(&extension.oid) => {
                    return Err(printable(&format!("extension {}: {error}", extension.oid), MAX_SHOWN));
                }
                _ => authority.has_unknown_critical |= extension.critical,
            }
        }
        let common_names = x509
            .subject()
            .iter_common_name()
            .map(|name| name.as_str().map_or_else(|_| "(not text)".to_owned(), str::to_owned))
            .collect();
        let validity = x509.validity();
        Ok(Self {
            subject: printable(&shown(x509.subject()), MAX_SHOWN),
            serial: printable(&x509.raw_serial_as_string(), MAX_SHOWN),
            common_names,
            dns_names,
            may_sign_data: key_usage.as_ref().map(KeyUsage::digital_signature),
            may_sign_certificates: key_usage.as_ref().map(KeyUsage::key_cert_sign),
            constraints,
            names,
            authority,
            not_before: instant(validity.not_before.timestamp()),
            not_after: instant(validity.not_after.timestamp()),
            der,
        })
    }

    /// The certificate in DER, as received.
    #[must_use]
    pub const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The subject, with unprintable characters escaped.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The serial number in hex, `08:0b:...`.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// Every common name of the subject, in order.
    #[must_use]
    pub fn common_names(&self) -> &[String] {
        &self.common_names
    }

    /// The dNSNames of the subject alternative name extension; `None` if there is no such extension.
    #[must_use]
    pub fn dns_names(&self) -> Option<&[String]> {
        self.dns_names.as_deref()
    }

    /// False if a keyUsage extension lacks digitalSignature (RFC 5280 section 4.2.1.3).
    #[must_use]
    pub(crate) fn may_sign_data(&self) -> bool {
        self.may_sign_data.unwrap_or(true)
    }

    /// False if a keyUsage extension lacks keyCertSign (RFC 5280 section 4.2.1.3).
    #[must_use]
    pub(crate) fn may_sign_certificates(&self) -> bool {
        self.may_sign_certificates.unwrap_or(true)
    }

    /// Whether the certificate has a nameConstraints extension (RFC 5280 section 4.2.1.10).
    #[must_use]
    pub(crate) const fn constrains_names(&self) -> bool {
        self.constraints > 0
    }

    /// The number of subtrees in nameConstraints.
    pub(crate) const fn constraints(&self) -> usize {
        self.constraints
    }

    /// The number of alternative names, of all kinds.
    pub(crate) const fn names(&self) -> usize {
        self.names
    }

    /// Why this trusted root may not issue certificates; `None` if it may.
    ///
    /// RFC 5280 section 6.1.1 treats a root as a name and a key. This check also applies the restrictions in the
    /// root's own certificate: an unknown critical extension, a missing `cA`, or a keyUsage without keyCertSign.
    #[must_use]
    pub fn anchor_fault(&self) -> Option<&'static str> {
        if self.authority.has_unknown_critical {
            Some("it has an unknown critical extension")
        } else if !self.authority.is_ca {
            Some("its basicConstraints do not make it an authority")
        } else if !self.may_sign_certificates() {
            Some("its keyUsage lacks keyCertSign")
        } else {
            None
        }
    }

    /// The pathLenConstraint: how many certificates may be between this root and the signer's certificate.
    pub(crate) const fn path_length(&self) -> Option<u32> {
        self.authority.path_length
    }

    /// First and last instant of validity.
    #[must_use]
    pub const fn validity(&self) -> (Timestamp, Timestamp) {
        (self.not_before, self.not_after)
    }

    /// The name under which the metadata service normally serves this certificate's staple: the SHA-1 of the
    /// certificate in upper-case hex. The name only helps to find the staple. It proves nothing.
    #[must_use]
    pub fn staple_name(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, &self.der);
        data_encoding::HEXUPPER.encode(digest.as_ref())
    }

    /// The name that the service used before: the SHA-256 of the certificate in upper-case hex.
    #[must_use]
    pub fn sha256_name(&self) -> String {
        data_encoding::HEXUPPER.encode(ring::digest::digest(&ring::digest::SHA256, &self.der).as_ref())
    }
}

/// Reads an instant before 1970 as 1970. No check depends on the difference.
fn instant(unix: i64) -> Timestamp {
    Timestamp::from_unix(u64::try_from(unix).unwrap_or(0))
}

#[cfg(test)]
mod tests;
