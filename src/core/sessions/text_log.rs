//! Lines of `auth.log` and `secure`, as rsyslog, syslog-ng and `journalctl -o short…` write them.
//!
//! Any user can write such a line through `/dev/log`, with any name and process id. So this module never makes a
//! [`TrustedPush`](super::writer::TrustedPush).

use alloc::vec;
use alloc::vec::Vec;

use ::time::OffsetDateTime;

use super::event::{Event, Moment, Push};
use super::header::{Header, Stamp, seconds};
use super::losses::of_text;
use super::message::{begins_with_us, of_agent, of_sshd, tells_of_us, wraps_us};
use super::writer::Attribution;
use crate::audit_line::IDENT;
use crate::order;

const DAY: i64 = 86_400;
const WEEK: i64 = 7 * DAY;
const MICROS: i64 = 1_000_000;

/// Tolerance for clocks, in microseconds. Several machines, or several threads of a daemon, can write to one file.
const JITTER: u64 = 5_000_000;

/// The time zone of stamps without a zone: offsets in seconds east of UTC, with the instants from which they apply.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    changes: Vec<(i64, i64)>,
}

impl Zone {
    /// Makes a zone from its changes. A change is an instant in seconds since 1970, and the offset from then on.
    /// Without any change, the zone is UTC.
    #[must_use]
    pub fn new(changes: Vec<(i64, i64)>) -> Self {
        Self { changes: order::by(changes, Ord::cmp) }
    }

    /// Parses the output of `zdump -v`. Each line has an instant after the file name, and ends with `gmtoff=SECONDS`.
    #[must_use]
    pub fn of_zdump(said: &str) -> Self {
        Self::new(said.lines().filter_map(zdump_line).collect())
    }

    /// Parses the output of `date +%z` (`+0530`). Such a zone has no changes.
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

    /// Whether any change is known.
    #[must_use]
    pub fn changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The instant of a local time. If clocks were set back and the local time occurred twice, this is the later
    /// instant.
    fn instant(&self, local: i64) -> i64 {
        let fits = |(since, offset): &&(i64, i64)| local.saturating_sub(*offset) >= *since;
        // Before the first known change, that change's offset is the best guess.
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

/// A line that reports an event.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The moment of the line.
    pub at: Moment,
    /// The host name of the machine that wrote the line.
    pub host: &'a str,
    /// The event.
    pub event: Event,
}

/// The kind of a line.
#[derive(Debug, PartialEq, Eq)]
pub enum LineKind<'a> {
    /// The line reports an event.
    Line(Line<'a>),
    /// The line does not matter here.
    Other,
    /// The line contains words of a login or a pushed key, but its form is unknown.
    Unknown,
}

/// Reads the lines of one file in order.
#[derive(Debug)]
pub struct TextLog {
    zone: Zone,
    /// The modification time of the file, in seconds since 1970. No stamp is more than a day later (in local time).
    written: i64,
    last: Option<i64>,
    highest: u64,
    /// The largest step back of the stamps, in microseconds.
    stepped_back: u64,
    years_unsure: bool,
    is_known: bool,
}

impl TextLog {
    /// Makes a reader of a file with the modification time `written`, in seconds since 1970.
    #[must_use]
    pub const fn new(zone: Zone, written: i64) -> Self {
        Self { zone, written, last: None, highest: 0, stepped_back: 0, years_unsure: false, is_known: false }
    }

    /// Parses the next line.
    pub fn parse_line<'l>(&mut self, line: &'l str) -> LineKind<'l> {
        let Some(header) = Header::of(line) else {
            return if tells_of_us(line) { LineKind::Unknown } else { LineKind::Other };
        };
        self.is_known = true;
        let Header { stamp, host, ident, pid, message } = header;
        let event = match ident {
            "sshd" | "sshd-session" | "sshd-auth" => {
                pid.and_then(|pid| of_sshd(pid, message, Attribution::Text, Attribution::Text))
            }
            IDENT => of_agent(message, Push::Unverified),
            _ => of_text(ident, message).map(Event::GapCount),
        };
        // Other programs may pass on a line of sshd. The messages of sshd and the agent themselves can contain text of
        // a client, such as a login name, so only their beginning counts.
        let may_be_login = match ident {
            "sshd" | "sshd-session" | "sshd-auth" | IDENT => begins_with_us(message),
            _ => wraps_us(ident, message),
        };
        match event {
            Some(event) => match self.instant(stamp) {
                Some(at) => LineKind::Line(Line { at, host, event }),
                None => LineKind::Unknown,
            },
            None if may_be_login => LineKind::Unknown,
            None => LineKind::Other,
        }
    }

    /// Whether the beginning of a line shows that the line does not matter here.
    #[must_use]
    pub fn is_other(beginning: &str) -> bool {
        Header::of(beginning).is_some_and(|header| {
            !matches!(header.ident, "sshd" | "sshd-session" | "sshd-auth" | IDENT)
                && !wraps_us(header.ident, header.message)
        })
    }

    /// The moment of a line with any content.
    pub fn instant_of(&mut self, line: &str) -> Option<Moment> {
        self.instant(Header::of(line)?.stamp)
    }

    /// Whether any line so far had a known form.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.is_known
    }

    /// The largest step back of the stamps, in seconds.
    #[must_use]
    pub const fn stepped_back(&self) -> u64 {
        self.stepped_back / 1_000_000
    }

    /// Whether the years of stamps without a year are uncertain: the file spans several years, or the clock was set
    /// back by weeks.
    #[must_use]
    pub const fn years_unsure(&self) -> bool {
        self.years_unsure
    }

    fn instant(&mut self, stamp: Stamp<'_>) -> Option<Moment> {
        let micros = match stamp {
            Stamp::Instant(micros) => micros,
            Stamp::Local(month, day, clock) => {
                let local = self.without_a_year(month, day, clock)?;
                self.last = Some(local);
                self.zone.instant(local).checked_mul(MICROS)?
            }
        };
        let wall = u64::try_from(micros).ok()?;
        let back = self.highest.saturating_sub(wall);
        if back > JITTER {
            self.stepped_back = self.stepped_back.max(back);
        }
        self.highest = self.highest.max(wall);
        Some(Moment { wall, monotonic: None })
    }

    /// Finds the year of a stamp, and returns the local time. The clock may have been set back by up to a week. So the
    /// year is the first one in which the stamp is not more than a week earlier than the previous line. The result is
    /// never later than the file.
    fn without_a_year(&mut self, month: &str, day: &str, clock: &str) -> Option<i64> {
        let end = self.written.saturating_add(DAY);
        let near = self.last.unwrap_or(self.written);
        let year = OffsetDateTime::from_unix_timestamp(near).ok()?.year();
        // Not every year has a 29th of February.
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
