//! Why a signer is not believed.

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
    /// The signer's key is no RSA key of the usual kind; holds what it is.
    Key(String),
    /// A keyUsage extension forbids what the certificate (its subject) was used for.
    KeyUsage(String, &'static str),
    /// A name constraint of the path (in the certificate with this subject) stands against the signer.
    Constrained(String),
    /// The root certificate (its subject) that the path ends in is valid from and until, judged at.
    AnchorValidity(String, Timestamp, Timestamp, Timestamp),
    /// The root certificate (its subject) that the path ends in may not issue what is below it; holds why.
    Anchor(String, &'static str),
    /// The evidence takes more work than [`Budget`](super::Budget) allows.
    TooCostly,
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

    /// What webpki's error means for the signer.
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

    /// Where a staple is missing and one that was served cannot be read, that one is the likely cause.
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
                write!(f, "expected the alternative name {expected} beside the common name, got {came}")
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
                "expected at most {MAX_SIGNATURE_CHECKS} signature checks, {MAX_PATHS} paths and {MAX_NAME_COMPARISONS} comparisons of names for the signer's certificates and staples, got evidence that takes more; is something else answering in place of the metadata service?"
            ),
            Self::Constrained(subject) => {
                write!(f, "a name constraint of \"{subject}\" does not let it vouch for the signer's name")
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
