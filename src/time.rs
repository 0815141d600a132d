//! The instant that a run is judged at: read once by the command, passed in everywhere else.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use ::time::OffsetDateTime;
use ::time::format_description::well_known::{Rfc2822, Rfc3339};

/// An instant in whole seconds since the Unix epoch (UTC, no leap seconds).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The instant `seconds` after the Unix epoch.
    #[must_use]
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix(self) -> u64 {
        self.0
    }

    /// Reads an HTTP `Date` (RFC 9110, section 5.6.7).
    #[must_use]
    pub fn of_http_date(text: &str) -> Option<Self> {
        let instant = OffsetDateTime::parse(text, &Rfc2822).ok()?;
        u64::try_from(instant.unix_timestamp()).ok().map(Self)
    }

    /// This instant moved `seconds` later; stays at the end of time where that would overflow.
    #[must_use]
    pub const fn later(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Whole seconds from this instant until `other`, 0 when `other` is not later.
    #[must_use]
    pub const fn seconds_until(self, other: Self) -> u64 {
        other.0.saturating_sub(self.0)
    }
}

/// RFC 3339 in UTC, e.g. `2025-01-30T12:00:00Z`; `@SECONDS` beyond the year 9999.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rfc3339 = i64::try_from(self.0)
            .ok()
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .and_then(|instant| instant.format(&Rfc3339).ok());
        match rfc3339 {
            Some(text) => f.write_str(&text),
            None => write!(f, "@{}", self.0),
        }
    }
}

/// Why a text is not an instant.
#[derive(Debug, PartialEq, Eq)]
pub struct NotATimestamp;

impl fmt::Display for NotATimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected RFC 3339 (2025-01-30T12:00:00Z) or seconds since 1970 (1738238400)")
    }
}

impl std::error::Error for NotATimestamp {}

/// Reads RFC 3339 with any offset, or Unix seconds.
impl FromStr for Timestamp {
    type Err = NotATimestamp;

    fn from_str(text: &str) -> Result<Self, NotATimestamp> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().map(Self).map_err(|_| NotATimestamp);
        }
        let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| NotATimestamp)?;
        u64::try_from(instant.unix_timestamp()).map(Self).map_err(|_| NotATimestamp)
    }
}

/// A clock before 1970 is read as 1970: every certificate is then not yet valid, and nothing is accepted.
impl From<SystemTime> for Timestamp {
    fn from(clock: SystemTime) -> Self {
        Self(clock.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        let noon = Timestamp::from_unix(1_738_238_400);
        assert_eq!("2025-01-30T12:00:00Z".parse(), Ok(noon));
        assert_eq!("2025-01-30T13:00:00+01:00".parse(), Ok(noon));
        assert_eq!("1738238400".parse(), Ok(noon));
        assert_eq!(noon.to_string(), "2025-01-30T12:00:00Z");
    }

    #[test]
    fn http_dates_are_read() {
        let date = Timestamp::of_http_date("Thu, 30 Jan 2025 12:00:00 GMT");
        assert_eq!(date, Some(Timestamp::from_unix(1_738_238_400)));
        for bad in ["", "Thu, 30 Jan 2025", "2025-01-30T12:00:00Z", "Thu, 30 Jan 1969 12:00:00 GMT"] {
            assert_eq!(Timestamp::of_http_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "now", "-1", "0x10", "2025-01-30", "1738238400 ", "99999999999999999999999"] {
            assert_eq!(text.parse::<Timestamp>(), Err(NotATimestamp), "{text:?}");
        }
    }

    #[test]
    fn instants_beyond_the_calendar_are_shown_as_seconds() {
        assert_eq!(Timestamp::from_unix(u64::MAX).to_string(), "@18446744073709551615");
        assert_eq!(Timestamp::from_unix(u64::MAX).later(1).as_unix(), u64::MAX);
    }
}
