//! The values of options, as sshd parses them (OpenSSH auth-options.c). sshd silently drops a key with an invalid
//! value.

use core::net::IpAddr;

use ::time::{Date, Month, OffsetDateTime, Time};

use super::Release;
use crate::time::Timestamp;

/// The kind of value that an option takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OptionValue {
    /// Any text.
    Text,
    /// `NAME=VALUE`.
    Environment,
    /// `YYYYMMDD[HHMM[SS]]`; since OpenSSH 9.1 also with a `Z` for UTC.
    Expiry,
    /// Host patterns and CIDR blocks, separated by commas.
    From,
    /// `HOST:PORT`.
    Open,
    /// `[HOST:]PORT`.
    Listen,
    /// `any` or `N[:N]`.
    Tunnel,
}

impl OptionValue {
    /// Describes a valid value in the error message.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Text => "some text",
            Self::Environment => {
                "NAME=VALUE, with a name of letters, digits and _ that does not begin with EIC_"
            }
            Self::Expiry => "a date, YYYYMMDD[HHMM[SS]][Z]",
            Self::From => "host patterns and CIDR blocks separated by commas, without bits beyond the mask",
            Self::Open => "HOST:PORT, the port from 1 to 65535 or *",
            Self::Listen => "[HOST:]PORT, the port from 1 to 65535 or *",
            Self::Tunnel => "any, or a device number",
        }
    }

    /// The oldest release that accepts this value. `None` if no release does.
    pub(super) fn check(self, value: &str) -> Option<Release> {
        let sound = match self {
            Self::Text => true,
            Self::Environment => is_environment(value),
            Self::Expiry => return expiry(value),
            Self::From => value.split(',').all(is_host_pattern),
            Self::Open => value.rsplit_once(':').is_some_and(|(host, port)| is_host(host) && is_port(port)),
            Self::Listen => value
                .rsplit_once(':')
                .map_or_else(|| is_port(value), |(host, port)| is_host(host) && is_port(port)),
            Self::Tunnel => {
                value == "any" || value.split(':').count() <= 2 && value.split(':').all(is_device)
            }
        };
        sound.then_some(Release::OLDEST)
    }
}

/// Refuses names that begin with `EIC_`, because the agent sets these variables. sshd uses the first of two
/// definitions, and the one of the settings comes first.
fn is_environment(value: &str) -> bool {
    let Some((name, _)) = value.split_once('=') else { return false };
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && !name.starts_with("EIC_") && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn expiry(value: &str) -> Option<Release> {
    let is_utc = value.ends_with('Z');
    moment(value).map(|_| if is_utc { Release(9, 1) } else { Release(7, 7) })
}

/// The latest instant that a valid value of `expiry-time` can mean. Without `Z`, it is a local time, and local time is
/// less than a day behind UTC.
pub(super) fn latest_end(value: &str) -> Option<Timestamp> {
    const DAY: u64 = 86_400;
    let seconds = moment(value)?.unix_timestamp();
    let end = Timestamp::from_unix(u64::try_from(seconds).unwrap_or(0));
    Some(if value.ends_with('Z') { end } else { end.later(DAY) })
}

/// Reads `YYYYMMDD[HHMM[SS]][Z]` as UTC.
fn moment(value: &str) -> Option<OffsetDateTime> {
    let digits = value.strip_suffix('Z').unwrap_or(value);
    let number = |from: usize, to: usize| digits.get(from..to).and_then(|part| part.parse::<u16>().ok());
    let small = |from: usize| number(from, from.saturating_add(2)).and_then(|n| u8::try_from(n).ok());
    if !digits.bytes().all(|b| b.is_ascii_digit()) || !matches!(digits.len(), 8 | 12 | 14) {
        return None;
    }
    let month = Month::try_from(small(4)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, small(6)?).ok()?;
    let mut time = Time::MIDNIGHT;
    if digits.len() > 8 {
        let seconds = if digits.len() == 14 { small(12)? } else { 0 };
        time = Time::from_hms(small(8)?, small(10)?, seconds).ok()?;
    }
    Some(OffsetDateTime::new_utc(date, time))
}

/// `[!]PATTERN` or `[!]ADDRESS/BITS` (match.c, addrmatch.c). sshd refuses the key if the address has bits beyond the
/// mask.
fn is_host_pattern(pattern: &str) -> bool {
    let pattern = pattern.strip_prefix('!').unwrap_or(pattern);
    if pattern.is_empty() || pattern.contains([' ', '\t']) {
        return false;
    }
    let Some((address, bits)) = pattern.split_once('/') else { return true };
    let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u32>()) else { return false };
    let (number, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32_u32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let Some(free) = width.checked_sub(bits) else { return false };
    let beyond = u128::MAX.checked_shl(free).map_or(number, |mask| number & !mask);
    beyond == 0
}

/// A host name or an address. An IPv6 address must be in brackets.
fn is_host(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    !bare.is_empty()
        && !bare.contains([' ', '\t', '[', ']', '/'])
        && (bare.len() < host.len() || !bare.contains(':'))
}

fn is_port(port: &str) -> bool {
    port == "*" || port.parse::<u16>().is_ok_and(|port| port > 0) && port.bytes().all(|b| b.is_ascii_digit())
}

fn is_device(number: &str) -> bool {
    number == "any" || number.parse::<u32>().is_ok_and(|number| number < 0x7fff_fffe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_sshd_reads() {
        for (kind, good, bad) in [
            (
                OptionValue::Environment,
                &["A=", "LANG=C.UTF-8", "_x1=a=b"][..],
                &["FOO", "=x", "A B=x", "1A=x", "EIC_PRINCIPAL=x", ""][..],
            ),
            (
                OptionValue::Expiry,
                &["20300101", "203001012359", "20300101235959", "20300101Z"],
                &["", "tomorrow", "2030010", "20301332", "20300230", "203001012460", "20300101z", "+0300101"],
            ),
            (
                OptionValue::From,
                &[
                    "127.0.0.1",
                    "*.example.com",
                    "10.0.0.0/8,!10.1.0.0/16",
                    "2001:db8::/32",
                    "0.0.0.0/0",
                    "::/0",
                    "10.1.2.3/32",
                ],
                &["", "a,,b", "127.0.0.1/33", "127.0.0.1/8", "127.0.0.1 ", "2001:db8::1/32", "host/8", "!"],
            ),
            (
                OptionValue::Open,
                &["localhost:80", "*:443", "[::1]:22", "h:*"],
                &["", "localhost", ":80", "localhost:99999", "a:1:2", "h:0", "h:http"],
            ),
            (OptionValue::Listen, &["8080", "localhost:8080", "*:*"], &["", "x:y", "0", "a:b:1"]),
            (OptionValue::Tunnel, &["any", "0", "3:4"], &["", "x", "1:2:3", "-1"]),
        ] {
            for good in good {
                assert!(kind.check(good).is_some(), "{kind:?} {good:?}");
            }
            for bad in bad {
                assert!(kind.check(bad).is_none(), "{kind:?} {bad:?}");
            }
        }
        assert_eq!(OptionValue::Expiry.check("20300101"), Some(Release(7, 7)));
        assert_eq!(OptionValue::Expiry.check("20300101Z"), Some(Release(9, 1)));
    }
}
