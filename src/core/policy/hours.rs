//! Days and hours of a time zone.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::zone::{LocalTime, ZoneName};
use crate::text::{MAX_SHOWN, printable};

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Days and hours at which a rule allows keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// From and until, in minutes since midnight. If `until` is not later than `from`, the time ends on the next day.
    spans: Vec<(u16, u16)>,
    /// The days on which a span can begin, from Monday.
    days: [bool; 7],
    zone: ZoneName,
    /// The days and hours as they were written.
    shown: String,
}

impl Hours {
    /// Parses lists of the settings: `["08:00-18:00"]` and `["Mon-Fri", "Sun"]`. An empty list means all of the day, or
    /// every day.
    pub fn parse(hours: &[String], days: &[String], zone: ZoneName) -> Result<Self, String> {
        let spans: Result<Vec<_>, _> = hours.iter().map(|text| span(text)).collect();
        let spans = if hours.is_empty() { [(0, DAY)].to_vec() } else { spans? };
        let mut on = [days.is_empty(); 7];
        for text in days {
            for (is_on, is_named) in on.iter_mut().zip(range(text)?) {
                *is_on |= is_named;
            }
        }
        let days = if days.is_empty() { "daily".to_owned() } else { days.join(",") };
        let shown = [&[days], hours].concat().join(" ");
        Ok(Self { spans, days: on, zone, shown })
    }

    /// The time zone.
    #[must_use]
    pub const fn zone(&self) -> &ZoneName {
        &self.zone
    }

    /// Whether this local time is within the hours. A span begins on one of the days. Its end is no part of it.
    pub(super) fn contain(&self, time: LocalTime) -> bool {
        let is_on = |day: u8| self.days.get(usize::from(day)).copied().unwrap_or(false);
        let yesterday = time.day.checked_sub(1).unwrap_or(6);
        self.spans.iter().any(|&(from, until)| {
            if from < until {
                is_on(time.day) && (from..until).contains(&time.minute)
            } else {
                (is_on(time.day) && time.minute >= from) || (is_on(yesterday) && time.minute < until)
            }
        })
    }
}

/// For example `Mon-Fri 08:00-18:00 Europe/Berlin`.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.shown, self.zone)
    }
}

impl fmt::Display for LocalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = DAYS.get(usize::from(self.day)).copied().unwrap_or_default();
        write!(f, "{day} {:02}:{:02}", self.minute / 60, self.minute % 60)
    }
}

fn span(text: &str) -> Result<(u16, u16), String> {
    let read = || {
        let (from, until) = text.split_once('-')?;
        let (from, until) = (minute(from)?, minute(until)?);
        (from != until && from < DAY).then_some((from, until))
    };
    read().ok_or_else(|| {
        let shown = printable(text, MAX_SHOWN);
        format!("expected HH:MM-HH:MM, such as 08:00-18:00 or 22:00-06:00, got \"{shown}\"")
    })
}

/// `HH:MM`, at most 24:00.
fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
        if is_number { digits.parse::<u16>().ok() } else { None }
    };
    let minute = number(minute).filter(|minute| *minute < 60)?;
    let minutes = number(hour)?.checked_mul(60)?.checked_add(minute)?;
    (minutes <= DAY).then_some(minutes)
}

/// `Mon`, or `Mon-Fri`. `Fri-Mon` is four days.
fn range(text: &str) -> Result<[bool; 7], String> {
    let day = |name: &str| DAYS.iter().position(|day| *day == name);
    let read = || {
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (day(first)?, day(last)?),
            None => (day(text)?, day(text)?),
        };
        let mut days = [false; 7];
        for (at, is_on) in days.iter_mut().enumerate() {
            *is_on = if first <= last { (first..=last).contains(&at) } else { at >= first || at <= last };
        }
        Some(days)
    };
    read().ok_or_else(|| {
        let shown = printable(text, MAX_SHOWN);
        format!("expected a day or days, such as Sat or Mon-Fri ({}), got \"{shown}\"", DAYS.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::zone::Zones;
    use crate::policy::{Zone, zone::tests::file_of};
    use crate::time::Timestamp;

    fn parse(hours: &[&str], days: &[&str]) -> Result<Hours, String> {
        let list = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        Hours::parse(&list(hours), &list(days), ZoneName::parse("Europe/Berlin").unwrap())
    }

    fn at(text: &str) -> LocalTime {
        let (day, time) = text.split_once(' ').unwrap();
        let day = DAYS.iter().position(|name| *name == day).unwrap();
        LocalTime { day: u8::try_from(day).unwrap(), minute: minute(time).unwrap() }
    }

    #[test]
    fn time_is_within_a_span_that_begins_on_one_of_the_days() {
        for (hours, days, within, outside) in [
            (
                &["08:00-18:00"][..],
                &["Mon-Fri"][..],
                &["Mon 08:00", "Fri 17:59"][..],
                &["Mon 07:59", "Fri 18:00", "Sat 09:00"][..],
            ),
            (&["08:00-12:00", "13:00-17:00"], &[], &["Sun 08:00", "Sun 13:00"], &["Sun 12:00", "Sun 12:59"]),
            // The night of Friday ends on Saturday.
            (
                &["22:00-06:00"],
                &["Fri"],
                &["Fri 22:00", "Fri 23:59", "Sat 00:00", "Sat 05:59"],
                &["Fri 05:00", "Fri 21:59", "Sat 06:00", "Sat 22:00"],
            ),
            (&["22:00-06:00"], &["Sun"], &["Mon 05:59"], &["Sun 05:59"]),
            (&[], &["Sat", "Mon"], &["Sat 00:00", "Sat 23:59", "Mon 12:00"], &["Sun 00:00", "Fri 23:59"]),
            (&[], &["Fri-Mon"], &["Fri 00:00", "Sun 12:00", "Mon 23:59"], &["Tue 00:00", "Thu 23:59"]),
            (&["10:00-24:00"], &["Sun"], &["Sun 23:59"], &["Mon 00:00"]),
            (&["10:00-00:00"], &["Sun"], &["Sun 23:59"], &["Mon 00:00", "Sun 00:00"]),
            (&["00:00-24:00"], &[], &["Mon 00:00", "Sun 23:59"], &[]),
        ] {
            let parsed = parse(hours, days).unwrap();
            for time in within {
                assert!(parsed.contain(at(time)), "{parsed} {time}");
            }
            for time in outside {
                assert!(!parsed.contain(at(time)), "{parsed} {time}");
            }
        }
        assert_eq!(
            parse(&["08:00-18:00"], &["Mon-Fri", "Sun"]).unwrap().to_string(),
            "Mon-Fri,Sun 08:00-18:00 Europe/Berlin"
        );
        assert_eq!(parse(&["08:00-18:00"], &[]).unwrap().to_string(), "daily 08:00-18:00 Europe/Berlin");
    }

    #[test]
    fn texts_of_another_form_are_refused() {
        for bad in [
            "",
            "8-18",
            "8:00-18:00",
            "08:00",
            "08:00-08:00",
            "08:00-24:01",
            "24:00-08:00",
            "08:60-09:00",
            "+8:00-09:00",
            "08:00-18:00 ",
            "08:00-18:00-19:00",
            "08:00 - 18:00",
            "08:00:00-18:00:00",
        ] {
            assert!(parse(&[bad], &[]).unwrap_err().starts_with("expected HH:MM-HH:MM"), "{bad}");
        }
        for bad in ["", "mon", "Monday", "Mon-", "-Fri", "Mon-Fri-Sun", "Mon,Fri", "1-5", "*"] {
            assert!(parse(&[], &[bad]).unwrap_err().starts_with("expected a day or days"), "{bad}");
        }
    }

    #[test]
    fn hours_follow_summer_time() {
        let berlin = ZoneName::parse("Europe/Berlin").unwrap();
        let data = Zone::parse(&file_of("CET-1CEST,M3.5.0,M10.5.0/3"));
        let zones = Zones::new([(berlin.clone(), data)].to_vec());
        for (instant, local) in [
            ("2025-01-31T23:30:00Z", "Sat 00:30"),
            ("2025-03-30T00:59:59Z", "Sun 01:59"),
            ("2025-03-30T01:00:00Z", "Sun 03:00"),
            ("2025-10-26T00:59:59Z", "Sun 02:59"),
            ("2025-10-26T01:00:00Z", "Sun 02:00"),
            ("2100-07-01T12:00:00Z", "Thu 14:00"),
        ] {
            let now: Timestamp = instant.parse().unwrap();
            assert_eq!(zones.local_time(&berlin, now).unwrap().to_string(), local, "{instant}");
        }
    }
}
