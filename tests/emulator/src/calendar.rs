//! Converts Unix seconds to a civil date in UTC, for DER, HTTP, XML and signatures.

/// A civil date and time in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year, Gregorian.
    pub year: i64,
    /// Month, 1 to 12.
    pub month: i64,
    /// Day of the month, 1 to 31.
    pub day: i64,
    /// Hour, 0 to 23.
    pub hour: i64,
    /// Minute, 0 to 59.
    pub minute: i64,
    /// Second, 0 to 59.
    pub second: i64,
    /// Days since Sunday, 0 to 6.
    pub weekday: usize,
}

impl Civil {
    /// The date of an instant in Unix seconds.
    pub fn from_unix(instant: i64) -> Self {
        let days = instant.div_euclid(86_400);
        let second = instant.rem_euclid(86_400);
        // Years start in March here, which makes the leap day the last day of a year. An era is 400 years.
        let from_march = days + 719_468;
        let era = from_march.div_euclid(146_097);
        let day_of_era = from_march.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * march_month + 2) / 5 + 1,
            hour: second / 3600,
            minute: second / 60 % 60,
            second: second % 60,
            weekday: usize::try_from((days + 4).rem_euclid(7)).expect("a remainder of seven"),
        }
    }
}

/// An HTTP `Date` (RFC 9110, 5.6.7).
pub fn http_date(instant: i64) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Civil { year, month, day, hour, minute, second, weekday } = Civil::from_unix(instant);
    let month = MONTHS[usize::try_from(month - 1).expect("a month from 1 to 12")];
    format!("{}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT", DAYS[weekday])
}

/// An RFC 3339 instant in UTC, as in AWS's XML responses.
pub fn rfc3339(instant: i64) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_unix(instant);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.000Z")
}

/// An instant in the basic format of ISO 8601, as in `X-Amz-Date`: `20250130T120000Z`.
pub fn basic(instant: i64) -> String {
    let Civil { year, month, day, hour, minute, second, .. } = Civil::from_unix(instant);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Reads an instant in the format of [`basic`]. `None` if the text has another format or names no date.
pub fn from_basic(text: &str) -> Option<i64> {
    let number = |range| text.get::<std::ops::Range<usize>>(range)?.parse::<u16>().ok().map(i64::from);
    let (year, month, day) = (number(0..4)?, number(4..6)?, number(6..8)?);
    let (hour, minute, second) = (number(9..11)?, number(11..13)?, number(13..15)?);
    // As in `from_unix`, years start in March.
    let (from_march, march_month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let year_days = from_march * 365 + from_march / 4 - from_march / 100 + from_march / 400;
    let days = year_days + (153 * march_month + 2) / 5 + day - 1 - 719_468;
    let instant = days * 86_400 + hour * 3600 + minute * 60 + second;
    // The text of a date that does not exist is the text of another instant.
    (basic(instant) == text).then_some(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants_have_their_dates() {
        assert_eq!(http_date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(4_107_542_399), "2100-02-28T23:59:59.000Z");
        assert_eq!(rfc3339(4_107_542_400), "2100-03-01T00:00:00.000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.000Z");
    }

    #[test]
    fn basic_format_is_read_as_it_is_written() {
        for instant in [0, 951_782_400, 1_738_238_400, 4_107_542_399, 4_107_542_400] {
            assert_eq!(from_basic(&basic(instant)), Some(instant));
        }
        assert_eq!(from_basic("20250130T120001Z"), Some(1_738_238_401));
        for bad in [
            "",
            "20250130",
            "20250230T120000Z",
            "20251330T120000Z",
            "20250130T250000Z",
            "20250130T12000é",
            "20250130T120000",
            "20250130T120000Zx",
            "+0250130T120000Z",
        ] {
            assert_eq!(from_basic(bad), None, "{bad}");
        }
    }
}
