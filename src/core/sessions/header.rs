//! The header of a line in a text log: all that precedes the message.
//!
//! | form | written by |
//! | --- | --- |
//! | `Nov 21 17:37:28 HOST IDENT[PID]: MESSAGE` | rsyslog and syslog-ng in the traditional format (RFC 3164), `journalctl`; with a fraction, `-o short-precise` |
//! | `2026-11-21T17:37:28.5+01:00 HOST IDENT[PID]: MESSAGE` | rsyslog by default; with an offset without a colon, `-o short-iso` |
//! | `1795282648.5 HOST IDENT[PID]: MESSAGE` | `-o short-unix` |
//! | `Sat 2026-11-21 17:37:28 UTC HOST IDENT[PID]: MESSAGE` | `-o short-full`, on a machine whose zone is UTC |
//! | `1 2026-11-21T17:37:28Z HOST IDENT PID ID DATA MESSAGE` | RFC 5424 |
//!
//! A priority (`<86>`) can precede each form. A length (RFC 6587, section 3.4.1) can precede the priority. Other forms
//! are not supported: a stamp of local time with a year, a stamp that counts from the start of the machine, and the
//! prefixes of container logs.

use alloc::format;

use ::time::format_description::well_known::Rfc3339;
use ::time::{Date, Month, OffsetDateTime};

const MICROS: i64 = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp<'l> {
    /// Microseconds since 1970.
    Instant(i64),
    /// Month, day and time of day, in the machine's zone and without a year.
    Local(&'l str, &'l str, &'l str),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header<'l> {
    pub(super) stamp: Stamp<'l>,
    pub(super) host: &'l str,
    pub(super) ident: &'l str,
    pub(super) pid: Option<u32>,
    pub(super) message: &'l str,
}

impl<'l> Header<'l> {
    /// Splits a line. `None` if the line has another form.
    pub(super) fn of(line: &'l str) -> Option<Self> {
        // A crash of the machine can leave zero bytes before a line. A shipper can leave a carriage return after it.
        let line = line.trim_start_matches('\0').trim_end_matches('\r');
        let line = without_priority(without_length(line));
        if let Some(rest) = line.strip_prefix("1 ") {
            return Self::of_rfc5424(rest);
        }
        let (stamp, rest) = stamp(line)?;
        let (host, rest) = rest.split_once(' ')?;
        let (tag, message) = rest.split_once(": ").or_else(|| Some((rest.strip_suffix(':')?, "")))?;
        let (ident, pid) = match tag.split_once('[') {
            Some((ident, pid)) => (ident, pid.strip_suffix(']')?.parse().ok()),
            None => (tag, None),
        };
        let is_word = |text: &str| !text.is_empty() && !text.contains(' ');
        // A line without a host name has the tag at this position, which ends with a colon.
        let is_header = is_word(host) && !host.ends_with(':') && is_word(ident);
        is_header.then_some(Self { stamp, host, ident: program(ident), pid, message: message.trim_start() })
    }

    /// Parses RFC 5424, section 6, from the time stamp on.
    fn of_rfc5424(rest: &'l str) -> Option<Self> {
        let mut words = rest.splitn(6, ' ');
        let stamp = Stamp::Instant(rfc3339(words.next()?)?);
        let (host, ident, pid, _, rest) =
            (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        let message = match rest.strip_prefix('-') {
            Some(message) => message,
            None => after_data(rest)?,
        };
        // rsyslog keeps the space that precedes the message in RFC 3164, so there can be two.
        let message = message.trim_start();
        let message = message.strip_prefix('\u{feff}').unwrap_or(message);
        Some(Self { stamp, host, ident: program(ident), pid: pid.parse().ok(), message })
    }
}

/// The text after the structured data `[ID NAME="VALUE"…]…`. A value can contain `\"`, `\\` and `\]`.
fn after_data(text: &str) -> Option<&str> {
    let (mut is_quoted, mut is_escaped, mut depth) = (false, false, 0_u32);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b'[' => depth = depth.checked_add(1)?,
            b']' => depth = depth.checked_sub(1)?,
            _ if depth == 0 => return text.get(at..).filter(|_| at > 0),
            _ => {}
        }
    }
    (depth == 0 && !is_quoted).then_some("")
}

/// The name of a program that may have logged its path.
fn program(ident: &str) -> &str {
    ident.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(ident)
}

/// The line without its length (RFC 6587, section 3.4.1: `120 <86>1 ...`).
fn without_length(line: &str) -> &str {
    match line.split_once(' ') {
        Some((length, rest)) if rest.starts_with('<') && length.bytes().all(|b| b.is_ascii_digit()) => rest,
        _ => line,
    }
}

/// The line without its priority (RFC 5424, section 6.2.1).
fn without_priority(line: &str) -> &str {
    let priority = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    match priority {
        Some((number, rest)) if matches!(number.parse::<u8>(), Ok(0..=191)) => rest,
        _ => line,
    }
}

fn stamp(line: &str) -> Option<(Stamp<'_>, &str)> {
    let (first, rest) = line.split_once(' ')?;
    if first.starts_with(|c: char| c.is_ascii_digit()) {
        let instant = rfc3339(first).or_else(|| unix(first))?;
        return Some((Stamp::Instant(instant), rest));
    }
    if first.len() != 3 {
        return None;
    }
    let (second, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    let (clock, rest) = rest.split_once(' ')?;
    if second.len() > 2 {
        // `Sat 2026-11-21 17:37:28 UTC`
        let (zone, rest) = rest.split_once(' ')?;
        let instant = matches!(zone, "UTC" | "GMT").then(|| rfc3339(&format!("{second}T{clock}Z")))??;
        return Some((Stamp::Instant(instant), rest));
    }
    // The fraction of a second is not needed.
    let whole = clock.split('.').next().unwrap_or_default();
    seconds(2024, first, second, whole)?;
    Some((Stamp::Local(first, second, whole), rest))
}

/// `1795282648.123456`
fn unix(stamp: &str) -> Option<i64> {
    let (whole, fraction) = stamp.split_once('.')?;
    let is_fraction = fraction.len() == 6 && fraction.bytes().all(|b| b.is_ascii_digit());
    let whole = whole.parse::<i64>().ok().filter(|_| is_fraction)?;
    whole.checked_mul(MICROS)?.checked_add(fraction.parse().ok()?)
}

/// Parses an instant of RFC 3339, also with an offset without a colon as `journalctl -o short-iso` writes it. The
/// result is in microseconds since 1970.
fn rfc3339(stamp: &str) -> Option<i64> {
    let minutes = stamp.len().checked_sub(2)?;
    let has_colon = stamp.get(minutes.checked_sub(1)?..minutes) == Some(":");
    let is_offset = stamp.get(minutes.checked_sub(3)?..)?.starts_with(['+', '-']);
    let instant = if has_colon || !is_offset {
        OffsetDateTime::parse(stamp, &Rfc3339).ok()?
    } else {
        let (instant, minutes) = stamp.split_at_checked(minutes)?;
        OffsetDateTime::parse(&format!("{instant}:{minutes}"), &Rfc3339).ok()?
    };
    i64::try_from(instant.unix_timestamp_nanos().checked_div(1000)?).ok()
}

/// Seconds since 1970 for `Mon DD HH:MM:SS` in this year, as UTC.
pub(super) fn seconds(year: i32, month: &str, day: &str, clock: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number = MONTHS.iter().position(|name| *name == month)?.checked_add(1)?;
    let month = Month::try_from(u8::try_from(number).ok()?).ok()?;
    let date = Date::from_calendar_date(year, month, day.parse().ok()?).ok()?;
    let mut parts = clock.split(':').map(|part| part.parse::<u8>().ok());
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // A leap second counts as the second before it.
    let time = date.with_hms(hour, minute, second.min(59)).ok()?;
    Some(time.assume_utc().unix_timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T17:37:28Z
    const AT: i64 = 1_795_282_648;

    #[test]
    fn every_form_is_read() {
        let local = Stamp::Local("Nov", "21", "17:37:28");
        let instant = Stamp::Instant(AT * MICROS);
        let half = Stamp::Instant(AT * MICROS + 500_000);
        for (line, stamp) in [
            ("Nov 21 17:37:28 h sshd[77]: words", local),
            ("<86>Nov 21 17:37:28 h sshd[77]: words", local),
            ("Nov 21 17:37:28.123456 h sshd[77]: words", local),
            ("Nov  1 17:37:28 h sshd[77]: words", Stamp::Local("Nov", "1", "17:37:28")),
            ("2026-11-21T17:37:28Z h sshd[77]: words", instant),
            ("<0>2026-11-21T18:37:28.5+01:00 h sshd[77]: words", half),
            ("2026-11-21T18:37:28+0100 h sshd[77]: words", instant),
            ("2026-11-21T18:37:28.500000+0100 h sshd[77]: words", half),
            ("1795282648.500000 h sshd[77]: words", half),
            ("Sat 2026-11-21 17:37:28 UTC h sshd[77]: words", instant),
            ("<86>1 2026-11-21T18:37:28+01:00 h sshd 77 - - words", instant),
            ("1 2026-11-21T17:37:28Z h sshd 77 ID - \u{feff}words", instant),
            ("<86>1 2026-11-21T17:37:28Z h sshd 77 - [a@1 b=\"] \\\" \"][c] words", instant),
            ("<86>1 2026-11-21T17:37:28Z h sshd 77 - -  words", instant),
            ("63 <86>1 2026-11-21T17:37:28Z h /usr/sbin/sshd 77 - - words\r", instant),
            ("\0\0<86>Nov 21 17:37:28 h /usr/sbin/sshd[77]:  words", local),
        ] {
            let header = Header { stamp, host: "h", ident: "sshd", pid: Some(77), message: "words" };
            assert_eq!(Header::of(line), Some(header), "{line}");
        }
        let nil = Header::of("<86>1 2026-11-21T17:37:28Z h sshd - - -").unwrap();
        assert_eq!((nil.pid, nil.message), (None, ""));
    }

    #[test]
    fn other_forms_are_not_known() {
        for line in [
            "",
            "words",
            "sshd[77]: words",
            "Nov 21 17:37:28 sshd[77]: words: more words",
            "[   12.345678] h sshd[77]: words",
            "web-1  | Nov 21 17:37:28 h sshd[77]: words",
            "2026-11-21T17:37:28Z stdout F Nov 21 17:37:28 h sshd[77]: words",
            "Sat 2026-11-21 17:37:28 CET h sshd[77]: words",
            "2026-11-21 17:37:28 h sshd[77]: words",
            "<192>Nov 21 17:37:28 h sshd[77]: words",
            "<x>Nov 21 17:37:28 h sshd[77]: words",
            "authpriv.info Nov 21 17:37:28 h sshd[77]: words",
            "<86>1 - h sshd 77 - - words",
            "<86>1 2026-11-21T17:37:28Z h sshd 77 - [a b=\"c\" words",
            "<86>1 2026-11-21T17:37:28Z h sshd 77 - words",
            "{\"log\":\"Nov 21 17:37:28 h sshd[77]: words\"}",
        ] {
            assert_eq!(Header::of(line), None, "{line}");
        }
    }
}
