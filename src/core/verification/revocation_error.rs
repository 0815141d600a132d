//! Why no staple vouches for a certificate.

use alloc::string::String;
use core::fmt;

use crate::reason::Reason;
use crate::time::Timestamp;

/// Why no staple vouches for a certificate. Ordered: if several staples fail, the greatest error is reported.
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
    /// thisUpdate is longer ago than an answer about such a certificate may be, in days, beyond the allowance.
    TooOld(Timestamp, u64, Timestamp),
    /// Two of its instants contradict each other; holds how.
    Dates(&'static str, Timestamp, Timestamp),
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
            Self::Responder(why) => write!(f, "its OCSP staple is signed by a responder that may not: {why}"),
            Self::BadSignature => f.write_str("its OCSP staple's signature does not verify"),
            Self::NoNextUpdate => f.write_str("its OCSP staple has no nextUpdate"),
            Self::NotYetValid(this_update, now) => {
                write!(f, "its OCSP staple holds from {this_update}, now {now}; is the clock right?")
            }
            Self::Stale(next_update, now) => {
                write!(f, "its OCSP staple held until {next_update}, now {now}; is the clock right?")
            }
            Self::TooOld(this_update, days, now) => write!(
                f,
                "its OCSP staple is of {this_update}, expected one of the last {days} days, now {now}; is the clock right?"
            ),
            Self::Dates(how, one, other) => {
                write!(f, "its OCSP staple contradicts itself: {how} ({one}, {other})")
            }
            Self::Unknown => f.write_str("its OCSP responder does not know it"),
            Self::Revoked(since) => write!(f, "revoked since {since}"),
        }
    }
}
