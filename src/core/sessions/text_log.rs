//! Lines of `auth.log` and `secure`, as rsyslog, syslog-ng and `journalctl -o short…` write them.
//!
//! Anybody can write such a line through `/dev/log`, under any name and pid: nothing here can make a
//! [`TrustedPush`](super::writer::TrustedPush).

use alloc::vec;
use alloc::vec::Vec;

use ::time::OffsetDateTime;

use super::event::{Event, Moment, Push};
use super::header::{Header, Stamp, seconds};
use super::losses::of_text;
use super::message::{begins_with_us, of_agent, of_sshd, tells_of_us};
use super::writer::Attribution;
use crate::audit_line::IDENT;
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

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub enum LineKind<'a> {
    /// One about us.
    Line(Line<'a>),
    /// One about something else.
    Other,
    /// It holds words of a login or of a pushed key, in a form that is not known.
    Unknown,
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
    is_known: bool,
}

impl TextLog {
    /// A reader of a file that was last written at `written`, in seconds since 1970.
    #[must_use]
    pub const fn new(zone: Zone, written: i64) -> Self {
        Self { zone, written, last: None, highest: 0, stepped_back: 0, years_unsure: false, is_known: false }
    }

    /// What a line tells of us.
    pub fn parse_line<'l>(&mut self, line: &'l str) -> LineKind<'l> {
        let Some(header) = Header::of(line) else {
            return if tells_of_us(line) { LineKind::Unknown } else { LineKind::Other };
        };
        self.is_known = true;
        let Header { stamp, host, ident, pid, message } = header;
        let event = match ident {
            "sshd" | "sshd-session" => {
                pid.and_then(|pid| of_sshd(pid, message, Attribution::Text, Attribution::Text))
            }
            IDENT => of_agent(message, Push::Unverified),
            _ => of_text(ident, message).map(Event::GapCount),
        };
        let is_ours = matches!(ident, "sshd" | "sshd-session" | IDENT);
        match event {
            Some(event) => match self.instant(stamp) {
                Some(at) => LineKind::Line(Line { at, host, event }),
                None => LineKind::Unknown,
            },
            None if is_ours && begins_with_us(message) => LineKind::Unknown,
            None => LineKind::Other,
        }
    }

    /// When a line was written, whatever it is about.
    pub fn instant_of(&mut self, line: &str) -> Option<Moment> {
        self.instant(Header::of(line)?.stamp)
    }

    /// Whether any line so far was one of such a log.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.is_known
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

    /// A stamp as local time: the first one after the line before, give or take a week in which the clock may have
    /// been set back; but never later than the file.
    fn without_a_year(&mut self, month: &str, day: &str, clock: &str) -> Option<i64> {
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
