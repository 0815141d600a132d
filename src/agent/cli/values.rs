//! Argument types that `eic-core` does not have.

use eic_core::text::{MAX_SHOWN, printable};
use eic_core::time::{NotATimestamp, Timestamp};

/// A point in time, absolute or as an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// This instant.
    At(Timestamp),
    /// This many seconds before now.
    Ago(u64),
}

impl When {
    /// The absolute instant. An age before 1970 gives 1970.
    #[must_use]
    pub const fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(instant) => instant,
            Self::Ago(seconds) => Timestamp::from_unix(now.as_unix().saturating_sub(seconds)),
        }
    }
}

/// A host name or an address in a client's `known_hosts` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownHost(pub String);

/// Parses a name for `known_hosts` (sshd(8)). A pattern, a list or a marker is refused: such a line would be about other
/// hosts, too.
pub(super) fn parse_known_host(text: &str) -> Result<KnownHost, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || ".-_:[]%".contains(c);
    let is_name = !text.is_empty() && !text.starts_with('-') && text.chars().all(is_part);
    if is_name {
        return Ok(KnownHost(text.to_owned()));
    }
    Err(format!("expected a host name, an address or [HOST]:PORT, got {}", printable(text, MAX_SHOWN)))
}

/// Parses an instant, a day (its beginning in UTC), or an age.
pub(super) fn parse_when(text: &str) -> Result<When, String> {
    let refuse = || {
        let came = printable(text, MAX_SHOWN);
        format!(
            "expected RFC 3339 (2025-01-30T12:00:00Z), a day (2025-01-30), Unix seconds, or a duration, such as 90m, 12h or 30d; got {came}"
        )
    };
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let age = units.iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(*unit)?.parse().ok()?;
        count.checked_mul(*seconds).map(When::Ago)
    });
    let instant = || text.parse().or_else(|_| format!("{text}T00:00:00Z").parse()).map(When::At);
    age.map_or_else(instant, Ok).map_err(|_: NotATimestamp| refuse())
}
