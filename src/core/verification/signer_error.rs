//! Why a signer is refused.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use core::fmt;

use super::budget::{MAX_NAME_COMPARISONS, MAX_PATHS, MAX_SIGNATURE_CHECKS};
use super::revocation_error::RevocationError;
use crate::evidence::ocsp::OcspError;
use crate::identity::SignerName;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;

/// Why a signer is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignerError {
    /// No certificate of the bundle has the signer's name as its only common name.
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
        /// The dNSNames of the extension.
        came: String,
    },
    /// The signer's key is not an RSA key of the required size and exponent; holds what it is.
    Key(String),
    /// A keyUsage extension forbids the use of the certificate; holds its subject and the missing usage.
    KeyUsage(String, &'static str),
    /// A name constraint does not allow the signer; holds the subject of the certificate that has the constraint.
    Constrained(String),
    /// The root certificate of the path is outside its validity; holds its subject, the start, the end and the
    /// current instant.
    AnchorValidity(String, Timestamp, Timestamp, Timestamp),
    /// The root certificate of the path may not issue the certificates below it; holds its subject and why.
    Anchor(String, &'static str),
    /// The evidence takes more work than [`Budget`](super::Budget) allows.
    TooCostly,
    /// No fresh staple vouches for a certificate; holds its subject and why.
    Revocation(String, RevocationError),
    /// A certificate of the path expired at the first instant. The second is the current instant.
    Expired(Timestamp, Timestamp),
    /// A certificate of the path is not valid before the first instant. The second is the current instant.
    NotYetValid(Timestamp, Timestamp),
    /// No path leads to a trust anchor; holds webpki's error and the number of anchors.
    Untrusted(String, usize),
}

impl SignerError {
    /// The stable name of this refusal.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Name { .. } | Self::AlternativeName { .. } => Reason::SignerNameMismatch,
            Self::Key(_) => Reason::SignerKeyUnsuitable,
            Self::KeyUsage(..) => Reason::SignerKeyUsage,
            Self::Constrained(_) => Reason::SignerConstrained,
            Self::AnchorValidity(_, from, _, now) if *now < *from => Reason::SignerNotYetValid,
            Self::AnchorValidity(..) | Self::Expired(..) => Reason::SignerExpired,
            Self::NotYetValid(..) => Reason::SignerNotYetValid,
            Self::Revocation(_, error) => error.reason(),
            Self::Anchor(..) | Self::Untrusted(..) => Reason::SignerUntrusted,
            Self::TooCostly => Reason::SignerTooCostly,
        }
    }

    /// Converts webpki's error.
    pub(super) fn of_path(error: &webpki::Error, anchors: usize, now: Timestamp) -> Self {
        match error {
            webpki::Error::CertExpired { not_after, .. } => {
                Self::Expired(Timestamp::from_unix(not_after.as_secs()), now)
            }
            webpki::Error::CertNotValidYet { not_before, .. } => {
                Self::NotYetValid(Timestamp::from_unix(not_before.as_secs()), now)
            }
            webpki::Error::NameConstraintViolation => {
                Self::Constrained("a certificate of the signer's path".to_owned())
            }
            webpki::Error::RequiredEkuNotFoundContext(_) | webpki::Error::EmptyEkuExtension => {
                Self::KeyUsage(
                    "a certificate of the signer's path".to_owned(),
                    "serverAuth (extended key usage)",
                )
            }
            other => Self::Untrusted(printable(&other.to_string(), MAX_SHOWN), anchors),
        }
    }

    /// If a staple is missing and another staple cannot be read, the unreadable staple is the likely cause. Report
    /// that instead.
    #[must_use]
    pub(crate) fn prefer_parse_error(self, unreadable: &[OcspError]) -> Self {
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
                write!(f, "expected {expected} among the alternative names, got {came}")
            }
            Self::KeyUsage(subject, lacks) => write!(f, "the keyUsage of \"{subject}\" lacks {lacks}"),
            Self::Key(came) => write!(
                f,
                "expected an RSA key of 2,048 to 4,096 bits with the exponent 65537 in the signer's certificate, got {came}"
            ),
            Self::Anchor(subject, why) => {
                write!(f, "the root certificate \"{subject}\" may not vouch for the signer: {why}")
            }
            Self::TooCostly => write!(
                f,
                "expected at most {MAX_SIGNATURE_CHECKS} signature checks, {MAX_PATHS} paths and {MAX_NAME_COMPARISONS} comparisons of names for the signer's certificates and staples, got evidence that takes more; does another program answer instead of the metadata service?"
            ),
            Self::Constrained(subject) => {
                write!(f, "a name constraint of \"{subject}\" does not allow the signer's name")
            }
            Self::AnchorValidity(subject, from, until, now) => write!(
                f,
                "the root certificate \"{subject}\" is valid from {from} until {until}, now {now}; is the clock right, and are the CA certificates up to date?"
            ),
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
