//! Why no staple vouches for a certificate.

use alloc::string::String;
use core::fmt;

use crate::reason::Reason;
use crate::time::Timestamp;

/// Why no staple vouches for a certificate. The variants are ordered: if several staples fail, the greatest error is
/// reported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RevocationError {
    /// No staple is about this certificate; holds the number of staples.
    Missing(usize),
    /// A staple that may be about this certificate cannot be read, or has a defect; holds why.
    Unreadable(String),
    /// The signer of the staple is neither the issuer nor a responder that the issuer authorized; holds why.
    Responder(&'static str),
    /// The staple's signature does not verify.
    BadSignature,
    /// The staple has no nextUpdate.
    NoNextUpdate,
    /// thisUpdate (first) is later than now (second) by more than [`CLOCK_SKEW`](super::CLOCK_SKEW).
    NotYetValid(Timestamp, Timestamp),
    /// nextUpdate (first) is earlier than now (second) by more than [`CLOCK_SKEW`](super::CLOCK_SKEW).
    Stale(Timestamp, Timestamp),
    /// thisUpdate (first) is too long before now (third). The second value is the maximum age in days, without
    /// [`CLOCK_SKEW`](super::CLOCK_SKEW).
    TooOld(Timestamp, u64, Timestamp),
    /// Two dates contradict each other; holds how, and both dates.
    Dates(&'static str, Timestamp, Timestamp),
    /// The responder does not know the certificate.
    Unknown,
    /// The certificate is revoked since this instant.
    Revoked(Timestamp),
}

impl RevocationError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Missing(_) => Reason::StapleMissing,
            Self::Unreadable(_) | Self::Dates(..) => Reason::StapleMalformed,
            Self::Responder(_) => Reason::StapleResponder,
            Self::BadSignature => Reason::StapleBadSignature,
            Self::NoNextUpdate => Reason::StapleNoNextUpdate,
            Self::NotYetValid(..) => Reason::StapleNotYetValid,
            Self::Stale(..) | Self::TooOld(..) => Reason::StapleStale,
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
            Self::Responder(why) => {
                write!(f, "its OCSP staple is signed by an unauthorized responder: {why}")
            }
            Self::BadSignature => f.write_str("its OCSP staple's signature does not verify"),
            Self::NoNextUpdate => f.write_str("its OCSP staple has no nextUpdate"),
            Self::NotYetValid(this_update, now) => {
                write!(f, "its OCSP staple is valid from {this_update}, now {now}; is the clock right?")
            }
            Self::Stale(next_update, now) => {
                write!(f, "its OCSP staple was valid until {next_update}, now {now}; is the clock right?")
            }
            Self::TooOld(this_update, days, now) => write!(
                f,
                "its OCSP staple is dated {this_update}, expected one of the last {days} days, now {now}; is the clock right?"
            ),
            Self::Dates(how, one, other) => {
                write!(f, "its OCSP staple contradicts itself: {how} ({one}, {other})")
            }
            Self::Unknown => f.write_str("its OCSP responder does not know it"),
            Self::Revoked(since) => write!(f, "revoked since {since}"),
        }
    }
}
