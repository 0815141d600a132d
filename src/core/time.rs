//! Instants. The program reads the clock once per run, and passes the instant to the functions of this crate.

use core::fmt;
use core::str::FromStr;

use ::time::format_description::well_known::Rfc3339;
use ::time::{Date, Month, OffsetDateTime, Time, Weekday};

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

    /// Reads an HTTP `Date` of the form that servers must send: `Thu, 30 Jan 2025 12:00:00 GMT` (IMF-fixdate, RFC 9110,
    /// section 5.6.7).
    ///
    /// `None` for any other text, a wrong day of the week, or a year before 1970. The obsolete forms of that section
    /// are not read.
    ///
    /// Every field has a fixed offset, so this reads exactly 29 bytes. The RFC 2822 parser of the `time` crate also
    /// accepts nested comments of unbounded depth (RUSTSEC-2026-0009).
    #[must_use]
    pub fn of_http_date(text: &str) -> Option<Self> {
        let [weekday, day, month, year, hour, minute, second] = http_date_fields(text)?;
        let month = (1_u8..).zip(HTTP_MONTHS).find(|(_, name)| *name == month)?.0;
        let date =
            Date::from_calendar_date(number(year)?, Month::try_from(month).ok()?, number(day)?).ok()?;
        if http_name(date.weekday()) != weekday {
            return None;
        }
        // Unix time has no leap seconds. `:60` is the second after `:59`.
        let (second, leap) = if second == "60" { (59, 1) } else { (number(second)?, 0) };
        let time = Time::from_hms(number(hour)?, number(minute)?, second).ok()?;
        let instant = OffsetDateTime::new_utc(date, time);
        Some(Self(u64::try_from(instant.unix_timestamp()).ok()?).later(leap))
    }

    /// This instant plus `seconds`. Saturates at the largest value.
    #[must_use]
    pub const fn later(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Whole seconds from this instant until `other`; 0 if `other` is not later.
    #[must_use]
    pub const fn seconds_until(self, other: Self) -> u64 {
        other.0.saturating_sub(self.0)
    }
}

/// The months of an HTTP date, in order. They are case-sensitive (RFC 9110, section 5.6.7).
const HTTP_MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Length of an HTTP date, in bytes.
const HTTP_DATE_BYTES: usize = 29;

/// The variable parts of an HTTP date. `None` if the text between them is wrong.
fn http_date_fields(text: &str) -> Option<[&str; 7]> {
    if text.len() != HTTP_DATE_BYTES {
        return None;
    }
    let (weekday, rest) = text.split_at_checked(3)?;
    let (day, rest) = rest.strip_prefix(", ")?.split_at_checked(2)?;
    let (month, rest) = rest.strip_prefix(' ')?.split_at_checked(3)?;
    let (year, rest) = rest.strip_prefix(' ')?.split_at_checked(4)?;
    let (hour, rest) = rest.strip_prefix(' ')?.split_at_checked(2)?;
    let (minute, rest) = rest.strip_prefix(':')?.split_at_checked(2)?;
    let (second, rest) = rest.strip_prefix(':')?.split_at_checked(2)?;
    (rest == " GMT").then_some([weekday, day, month, year, hour, minute, second])
}

/// The name of a day in an HTTP date.
const fn http_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "Mon",
        Weekday::Tuesday => "Tue",
        Weekday::Wednesday => "Wed",
        Weekday::Thursday => "Thu",
        Weekday::Friday => "Fri",
        Weekday::Saturday => "Sat",
        Weekday::Sunday => "Sun",
    }
}

/// Accepts digits only. `parse` alone would accept a sign too.
fn number<T: FromStr>(digits: &str) -> Option<T> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// RFC 3339 in UTC, e.g. `2025-01-30T12:00:00Z`. Instants after the year 9999 are shown as `@SECONDS`.
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

/// The text is neither an RFC 3339 instant nor Unix seconds.
#[derive(Debug, PartialEq, Eq)]
pub struct NotATimestamp;

impl fmt::Display for NotATimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected RFC 3339 (2025-01-30T12:00:00Z) or seconds since 1970 (1738238400)")
    }
}

impl core::error::Error for NotATimestamp {}

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
    fn http_date_of_the_fixed_form_is_read() {
        for (text, seconds) in [
            ("Thu, 30 Jan 2025 12:00:00 GMT", 1_738_238_400),
            // The example of RFC 9110.
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            // A real leap second.
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
        ] {
            assert_eq!(Timestamp::of_http_date(text), Some(Timestamp::from_unix(seconds)), "{text}");
        }
    }

    #[test]
    fn http_date_of_any_other_form_is_refused() {
        let nested = format!("{}Thu, 30 Jan 2025 12:00:00 GMT", "(".repeat(100_000));
        for bad in [
            "",
            nested.as_str(),
            "(a comment)Thu, 30 Jan 2025 12:00:00 GMT",
            "Thu, 30 Jan 2025",
            "2025-01-30T12:00:00Z",
            "Wed, 30 Jan 2025 12:00:00 GMT",
            "thu, 30 Jan 2025 12:00:00 GMT",
            "Thu, 30 JAN 2025 12:00:00 GMT",
            "Thu, 30 Jan 2025 12:00:00 gmt",
            "Thu, 30 Jan 2025 12:00:00 UTC",
            "Thu, 30 Jan 2025 13:00:00 +0100",
            "Thu, 30 Jan 2025 12:00:00 GMT ",
            " Thu, 30 Jan 2025 12:00:00 GMT",
            "Thu, 30\tJan 2025 12:00:00 GMT",
            "Thu, +3 Jan 2025 12:00:00 GMT",
            "Thu, 30 Jan 25 12:00:00 GMT  ",
            "Fri, 30 Feb 2024 12:00:00 GMT",
            "Thu, 30 Jan 2025 24:00:00 GMT",
            "Thu, 30 Jan 2025 12:60:00 GMT",
            "Thu, 30 Jan 2025 12:00:61 GMT",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            // Obsolete forms, which senders must not generate.
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            // 29 bytes long, but with characters of two bytes.
            "Thu, 30 J\u{e4}n 2025 12:00:0 GMT",
            "\u{e9}\u{e9}, 30 Jan 2025 12:00:0 GMT",
        ] {
            assert_eq!(Timestamp::of_http_date(bad), None, "{}", bad.get(..64).unwrap_or(bad));
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
