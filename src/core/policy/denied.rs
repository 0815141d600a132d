//! Why the rules deny a key.

use alloc::string::String;
use core::fmt;

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
    Rule,
    /// No rule matches.
    Default,
    /// The rule allows the key at other hours.
    Hours {
        /// The hours of the rule.
        allowed: String,
        /// The local time.
        now: String,
    },
    /// The local time is unknown.
    ZoneUnknown {
        /// The time zone of the rule.
        zone: String,
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
}

impl Denied {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self.cause {
            DenialCause::Rule => Reason::DeniedByRule,
            DenialCause::Default => Reason::DeniedByDefault,
            DenialCause::Hours { .. } => Reason::OutsideHours,
            DenialCause::ZoneUnknown { .. } => Reason::TimeZoneUnknown,
            DenialCause::Age { .. } => Reason::PushTooOld,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, principal, .. } = self;
        match &self.cause {
            DenialCause::Rule => write!(f, "{rule} (a rule of this instance)"),
            DenialCause::Default => {
                f.write_str("no rule of this instance matches, and [policy] default is deny")
            }
            DenialCause::Hours { allowed, now } => {
                write!(f, "{rule} (a rule of this instance) allows the key {allowed}, now it is {now}")
            }
            DenialCause::ZoneUnknown { zone, why } => {
                write!(
                    f,
                    "{rule} (a rule of this instance) has hours in {zone}, and the time there is unknown: {why}"
                )
            }
            DenialCause::Age { most, age } => write!(
                f,
                "{rule} (a rule of this instance) allows the key for {most} s after the push, that was {age} s ago"
            ),
        }?;
        write!(f, ", pushed by {principal}")
    }
}
