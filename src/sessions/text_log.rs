//! Lines of `auth.log` and `secure`, as rsyslog and syslog-ng write them:
//! `Nov 21 17:37:28 HOST IDENT[PID]: MESSAGE`, or with an RFC 3339 stamp.
//!
//! Anybody can write such a line through `/dev/log`, under any name and pid: nothing here can make a
//! [`TrustedPush`](super::journal::TrustedPush).

use ::time::format_description::well_known::Rfc3339;
use ::time::{Date, Month, OffsetDateTime};

use super::event::{Event, Moment, Push};
use super::message::{of_agent, of_sshd};
use crate::audit::IDENT;
use crate::order;

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;
const MICROS: i64 = 1_000_000;

/// Clocks of machines that write into one file, and of threads of one daemon, differ by so much.
const JITTER: u64 = 5_000_000;

/// What the time zone of stamps that do not name one is, in seconds east of UTC, and since when.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    changes: Vec<(i64, i64)>,
}

impl Zone {
    /// UTC until the first of these changes, each an instant in seconds since 1970 and the offset from then on.
    #[must_use]
    pub fn new(changes: Vec<(i64, i64)>) -> Self {
        Self { changes: order::by(changes, Ord::cmp) }
    }

    /// The zone of `zdump -v`: lines that end in `gmtoff=SECONDS`, their instant after the file's name.
    #[must_use]
    pub fn of_zdump(said: &str) -> Self {
        Self::new(said.lines().filter_map(zdump_line).collect())
    }

    /// The zone that never changes of `date +%z`: `+0530`.
    #[must_use]
    pub fn of_date(said: &str) -> Option<Self> {
        let (sign, digits) = said.split_at_checked(1)?;
        let (hours, minutes) = digits.split_at_checked(2)?;
        let seconds = hours.parse::<i64>().ok()?.checked_mul(3600)?;
        let seconds = minutes.parse::<i64>().ok()?.checked_mul(60)?.checked_add(seconds)?;
        let offset = match sign {
            "+" => seconds,
            "-" => seconds.checked_neg()?,
            _ => return None,
        };
        Some(Self::new(vec![(i64::MIN, offset)]))
    }

    /// Whether it is known ever to change.
    #[must_use]
    pub fn changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The instant of a local time: the later one, where clocks were put back and it came twice.
    fn instant(&self, local: i64) -> i64 {
        let fits = |(since, offset): &&(i64, i64)| local.saturating_sub(*offset) >= *since;
        // Before the first change that is known, its own offset is the best guess.
        let change = self.changes.iter().rev().find(fits).or(self.changes.first());
        local.saturating_sub(change.map_or(0, |(_, offset)| *offset))
    }
}

/// `FILE  Sun Mar  8 07:00:00 2026 UT = Sun Mar  8 03:00:00 2026 EDT isdst=1 gmtoff=-14400`
fn zdump_line(line: &str) -> Option<(i64, i64)> {
    let (line, offset) = line.rsplit_once(" gmtoff=")?;
    let (universal, _) = line.split_once(" UT = ")?;
    let mut words = universal.split_whitespace().rev();
    let year = words.next()?.parse().ok()?;
    let (clock, day, month) = (words.next()?, words.next()?, words.next()?);
    Some((seconds(year, month, day, clock)?, offset.trim().parse().ok()?))
}

/// A line that is about us.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When.
    pub at: Moment,
    /// The machine that wrote it.
    pub host: &'a str,
    /// What it tells.
    pub event: Event,
}

/// Reads the lines of one file, from its first.
#[derive(Debug)]
pub struct TextLog {
    zone: Zone,
    /// Not later than when it was last written.
    written: i64,
    last: Option<i64>,
    highest: u64,
    /// By how many microseconds the stamps went back at most.
    stepped_back: u64,
    years_unsure: bool,
}

impl TextLog {
    /// A reader of a file that was last written at `written`, in seconds since 1970.
    #[must_use]
    pub const fn new(zone: Zone, written: i64) -> Self {
        Self { zone, written, last: None, highest: 0, stepped_back: 0, years_unsure: false }
    }

    /// What a line tells of us; none where it is about something else.
    pub fn read<'l>(&mut self, line: &'l str) -> Option<Line<'l>> {
        let (stamp, rest) = split_stamp(line)?;
        let (host, rest) = rest.split_once(' ')?;
        let (tag, message) = rest.split_once(": ")?;
        let (ident, pid) = match tag.split_once('[') {
            Some((ident, pid)) => (ident, pid.strip_suffix(']')?.parse().ok()),
            None => (tag, None),
        };
        let event = match ident {
            "sshd" | "sshd-session" => of_sshd(pid?, message),
            IDENT => of_agent(message, Push::Unverified),
            _ => None,
        }?;
        let at = self.instant(stamp)?;
        Some(Line { at, host, event })
    }

    /// When a line was written, whatever it is about.
    pub fn instant_of(&mut self, line: &str) -> Option<Moment> {
        let (stamp, _) = split_stamp(line)?;
        self.instant(stamp)
    }

    /// By how many seconds the stamps went back at most.
    #[must_use]
    pub const fn stepped_back(&self) -> u64 {
        self.stepped_back / 1_000_000
    }

    /// Whether the stamps, which name no year, are of more than one, or the clock was set back by weeks.
    #[must_use]
    pub const fn years_unsure(&self) -> bool {
        self.years_unsure
    }

    fn instant(&mut self, stamp: &str) -> Option<Moment> {
        let micros = if stamp.starts_with(|c: char| c.is_ascii_digit()) {
            let instant = rfc3339(stamp)?;
            i64::try_from(instant.unix_timestamp_nanos().checked_div(1000)?).ok()?
        } else {
            let local = self.without_a_year(stamp)?;
            self.last = Some(local);
            self.zone.instant(local).checked_mul(MICROS)?
        };
        let wall = u64::try_from(micros).ok()?;
        let back = self.highest.saturating_sub(wall);
        if back > JITTER {
            self.stepped_back = self.stepped_back.max(back);
        }
        self.highest = self.highest.max(wall);
        Some(Moment { wall, monotonic: None })
    }

    /// A stamp as local time: the first one after the line before, give or take a week in which the clock may have
    /// been set back; but never later than the file.
    fn without_a_year(&mut self, stamp: &str) -> Option<i64> {
        let (month, rest) = stamp.split_once(' ')?;
        let (day, clock) = rest.trim_start().split_once(' ')?;
        let end = self.written.saturating_add(DAY);
        let near = self.last.unwrap_or(self.written);
        let year = OffsetDateTime::from_unix_timestamp(near).ok()?.year();
        // The 29th of February is not in every year.
        let years = (-8..=8_i32).filter_map(|ahead| seconds(year.checked_add(ahead)?, month, day, clock));
        let years: Vec<_> = years.filter(|local| *local <= end).collect();
        let after = self.last.map(|last| last.saturating_sub(WEEK));
        let next = after.and_then(|after| years.iter().copied().filter(|local| *local >= after).min());
        if after.is_some() && next.is_none() {
            self.years_unsure = true;
        }
        next.or_else(|| years.into_iter().max())
    }
}

/// An instant of RFC 3339, or with the offset of `journalctl -o short-iso`, which has no colon.
fn rfc3339(stamp: &str) -> Option<OffsetDateTime> {
    let minutes = stamp.len().checked_sub(2)?;
    let has_colon = stamp.get(minutes.checked_sub(1)?..minutes) == Some(":");
    let is_offset = stamp.get(minutes.checked_sub(3)?..)?.starts_with(['+', '-']);
    if has_colon || !is_offset {
        return OffsetDateTime::parse(stamp, &Rfc3339).ok();
    }
    let (instant, minutes) = stamp.split_at_checked(minutes)?;
    OffsetDateTime::parse(&format!("{instant}:{minutes}"), &Rfc3339).ok()
}

/// The stamp and what follows it: 15 characters, or one word.
fn split_stamp(line: &str) -> Option<(&str, &str)> {
    if line.starts_with(|c: char| c.is_ascii_digit()) {
        return line.split_once(' ');
    }
    let (stamp, rest) = line.split_at_checked(15)?;
    Some((stamp, rest.strip_prefix(' ')?))
}

/// Seconds from 1970 to `Mon DD HH:MM:SS` of that year.
fn seconds(year: i32, month: &str, day: &str, clock: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = MONTHS.iter().position(|name| *name == month)?.checked_add(1)?;
    let month = Month::try_from(u8::try_from(number).ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, day.parse().ok()?).ok()?;
    let mut parts = clock.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // A leap second is the next minute's first.
    let time = date.with_hms(hour, minute, second.min(59)).ok()?;
    Some(time.assume_utc().unix_timestamp())
}
