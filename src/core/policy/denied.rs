//! Why the rules deny a key.

use alloc::string::String;
use core::fmt;

use crate::key_options::{LineError, Release};
use crate::reason::Reason;

/// The rules deny the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The number of the rule that decided, from 1. `None` if no rule matched.
    pub number: Option<usize>,
    /// The rule's name, printable. Empty if no rule matched.
    pub rule: String,
    /// The principal that pushed the key, printable.
    pub principal: String,
    /// Why.
    pub cause: DenialCause,
}

/// Why the rules deny a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenialCause {
    /// The rule denies every key that it matches.
    Rule {
        /// The names of rules before it that allow keys for the login name, printable.
        allowing: String,
    },
    /// No rule matches.
    Default {
        /// The names of rules that allow keys for the login name, printable.
        allowing: String,
    },
    /// The rule allows the key at other hours.
    Hours {
        /// The hours of the rule.
        allowed: String,
        /// The local time.
        now: String,
    },
    /// The local time is unknown.
    ZoneUnknown {
        /// The hours of the rule, with their time zone.
        allowed: String,
        /// Why the time there is unknown.
        why: String,
    },
    /// The key was pushed too long ago. Both values are in seconds.
    Age {
        /// The largest age that the rule allows.
        most: u64,
        /// The age of the key.
        age: u64,
    },
    /// sshd would ignore the key, because it does not know an option of the rule.
    OptionsUnsupported {
        /// The oldest release that knows the options.
        needed: Release,
        /// The installed release. `None` if it is unknown.
        installed: Option<Release>,
    },
    /// sshd would refuse the key, because the `expiry-time` of the options is in the past. Holds its value.
    OptionsExpired(String),
    /// The options for the line cannot be made.
    Line(LineError),
}

impl Denied {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self.cause {
            DenialCause::Rule { .. } => Reason::DeniedByRule,
            DenialCause::Default { .. } => Reason::DeniedByDefault,
            DenialCause::Hours { .. } => Reason::OutsideHours,
            DenialCause::ZoneUnknown { .. } => Reason::TimeZoneUnknown,
            DenialCause::Age { .. } => Reason::PushTooOld,
            DenialCause::OptionsUnsupported { .. } => Reason::OptionsUnsupported,
            DenialCause::OptionsExpired(_) => Reason::OptionsExpired,
            DenialCause::Line(LineError::NoValue(_)) => Reason::OptionValueMissing,
            DenialCause::Line(LineError::TooLong(_)) => Reason::LineTooLong,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            DenialCause::Default { .. } => {
                f.write_str("no rule of this instance matches, and [policy] default is deny")
            }
            cause if self.number.is_none() => write!(f, "[keys]{cause}"),
            cause => write!(f, "{} (a rule of this instance){cause}", self.rule),
        }?;
        write!(f, ", pushed by {}", self.principal)?;
        match &self.cause {
            DenialCause::Default { allowing } if allowing.is_empty() => {
                f.write_str("; no rule allows keys for this user")
            }
            DenialCause::Rule { allowing } | DenialCause::Default { allowing } if !allowing.is_empty() => {
                write!(f, "; rules that allow keys for this user: {allowing}")
            }
            _ => Ok(()),
        }
    }
}

/// The end of a sentence that begins with the rule.
impl fmt::Display for DenialCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { .. } | Self::Default { .. } => Ok(()),
            Self::Hours { allowed, now } => write!(f, " allows the key {allowed}, now it is {now}"),
            Self::ZoneUnknown { allowed, why } => {
                write!(f, " allows the key {allowed}, and the time there is unknown: {why}")
            }
            Self::Age { most, age } => {
                write!(f, " allows the key for {most} s after the push, that was {age} s ago")
            }
            Self::OptionsUnsupported { needed, installed: Some(installed) } => {
                write!(f, " has options that need {needed} or later, this instance has {installed}")
            }
            Self::OptionsUnsupported { needed, installed: None } => {
                write!(f, " has options that need {needed} or later, the release of this instance is unknown")
            }
            Self::OptionsExpired(end) => write!(f, " has options whose expiry-time is in the past: {end}"),
            Self::Line(error) => write!(f, " has {error}"),
        }
    }
}
