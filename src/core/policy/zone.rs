//! Time zones: their names, their data, and the local time.
//!
//! The data is a file of the time zone database (RFC 9636). The caller reads it. `tz-rs` parses it, and also the rule
//! at its end for later years.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use ::time::OffsetDateTime;
use tz::TimeZone;

use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;

/// Longest name. The longest of the database has 32 characters.
const MAX_NAME: usize = 64;

/// The name of a time zone, such as `Europe/Berlin`. Its parts are names of files and folders: letters, digits, `_`, `+`
/// and `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneName(String);

impl ZoneName {
    /// Checks a name. Does not check whether there is such a time zone.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_part = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_+-".contains(&b))
        };
        if text.len() <= MAX_NAME && text.split('/').all(is_part) {
            return Ok(Self(text.to_owned()));
        }
        let shown = printable(text, MAX_SHOWN);
        Err(format!("expected the name of a time zone, such as Europe/Berlin or UTC, got \"{shown}\""))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is UTC, which needs no data.
    #[must_use]
    pub fn is_utc(&self) -> bool {
        self.0 == "UTC"
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parsed data of a time zone.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// Parses a file of the time zone database.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        TimeZone::from_tz_data(bytes)
            .map(Self)
            .map_err(|error| printable(&format!("no data of a time zone: {error}"), MAX_SHOWN))
    }

    /// Seconds that local time is ahead of UTC at `now`.
    fn offset(&self, now: i64) -> Result<i64, String> {
        let found = self.0.find_local_time_type(now);
        found.map(|kind| i64::from(kind.ut_offset())).map_err(|error| {
            printable(&format!("the data of the time zone does not cover this time: {error}"), MAX_SHOWN)
        })
    }
}

/// The data of each time zone that the rules need, or why there is none.
#[derive(Debug, Clone, Default)]
pub struct Zones(Vec<(ZoneName, Result<Zone, String>)>);

impl Zones {
    /// Collects data that was read.
    #[must_use]
    pub const fn new(zones: Vec<(ZoneName, Result<Zone, String>)>) -> Self {
        Self(zones)
    }

    /// The time zones without data, and why.
    pub fn missing(&self) -> impl Iterator<Item = (&ZoneName, &str)> {
        self.0.iter().filter_map(|(name, zone)| Some((name, zone.as_ref().err()?.as_str())))
    }

    /// The local time in a time zone. The error says why it is unknown.
    pub(super) fn local_time(&self, name: &ZoneName, now: Timestamp) -> Result<LocalTime, String> {
        let unix = i64::try_from(now.as_unix()).unwrap_or(i64::MAX);
        let offset = if name.is_utc() {
            0
        } else {
            let zone = self.0.iter().find(|(of, _)| of == name);
            let (_, zone) = zone.ok_or_else(|| "its data was not read".to_owned())?;
            zone.as_ref().map_err(Clone::clone)?.offset(unix)?
        };
        let local = OffsetDateTime::from_unix_timestamp(unix.saturating_add(offset))
            .map_err(|_| "the clock is beyond the calendar".to_owned())?;
        Ok(LocalTime {
            day: local.weekday().number_days_from_monday(),
            minute: u16::from(local.hour()).saturating_mul(60).saturating_add(u16::from(local.minute())),
        })
    }
}

/// A time of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalTime {
    /// 0 is Monday.
    pub(super) day: u8,
    /// Minutes since midnight.
    pub(super) minute: u16,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file of version 2 (RFC 9636) whose time is only in the rule at its end.
    pub(crate) fn file_of(rule: &str) -> Vec<u8> {
        let block = |version: u8| {
            let counts = [0_u32, 0, 0, 0, 1, 4].map(u32::to_be_bytes).concat();
            [b"TZif".as_slice(), &[version], &[0; 15], &counts, &[0; 6], b"UTC\0"].concat()
        };
        [block(b'2'), block(b'2'), format!("\n{rule}\n").into_bytes()].concat()
    }

    #[test]
    fn name_cannot_leave_the_folder_of_time_zones() {
        for good in
            ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "America/Port-au-Prince"]
        {
            assert_eq!(ZoneName::parse(good).unwrap().as_str(), good);
        }
        let long = "a".repeat(65);
        for bad in [
            "",
            "/",
            "../../etc/passwd",
            "Europe/../../etc/shadow",
            "Europe/",
            "/etc/localtime",
            "Europe//Berlin",
            "Europe/.hidden",
            "-x",
            "a b",
            "Europe/Berlin\n",
            "\u{e9}",
            "a.b",
            long.as_str(),
        ] {
            assert!(ZoneName::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn broken_data_is_an_error() {
        let name = ZoneName::parse("Europe/Berlin").unwrap();
        let good = file_of("CET-1");
        // After the second block and a line feed, the file is one without a rule.
        for end in (0..good.len()).filter(|end| *end != 109) {
            let zones = Zones::new([(name.clone(), Zone::parse(good.get(..end).unwrap()))].to_vec());
            let local = zones.local_time(&name, Timestamp::from_unix(0));
            assert!(local.is_err(), "{end}: {local:?}");
        }
        assert!(Zone::parse(&good).is_ok());
        assert!(Zone::parse(b"not a time zone").unwrap_err().starts_with("no data of a time zone: "));
        let zones = Zones::new([(name.clone(), Err("x".into()))].to_vec());
        assert_eq!(
            zones.missing().map(|(name, why)| (name.as_str(), why)).collect::<Vec<_>>(),
            [("Europe/Berlin", "x")]
        );
    }
}
