//! One rule: what it matches, and the limits of a rule that allows.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::denied::DenialCause;
use super::glob::Glob;
use super::hours::Hours;
use super::{MachineFacts, Subject};
use crate::identity::{LoginName, account_of};
use crate::key_options::{Release, RuleOptions};
use crate::time::Timestamp;

/// Seconds between a push and the key's expiry. The push signs only the expiry. EC2 Instance Connect removes a key after 60
/// seconds (`SendSSHPublicKey`, EC2 Instance Connect API reference), so the age of a key is computed from this value.
pub const KEY_LIFETIME: u64 = 60;

/// One rule: lists of patterns, and the action for a key that matches all lists. A list matches if it is empty, or if
/// one of its patterns matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The rule's name in the log.
    pub name: String,
    /// What to do with a key that matches.
    pub action: Action,
    /// Login names.
    pub users: Vec<Glob>,
    /// ARNs of the principals that pushed the key.
    pub principals: Vec<Glob>,
    /// Account ids of those principals.
    pub accounts: Vec<Glob>,
    /// Key algorithms, such as `ssh-ed25519`.
    pub key_types: Vec<Glob>,
    /// The limits of a rule that allows. They are no part of the match: a key that matches and exceeds a limit is denied.
    pub limits: Limits,
}

/// The action of a rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Action {
    /// The agent gives the key to sshd.
    #[default]
    Allow,
    /// The agent refuses the key.
    Deny,
}

/// What a rule that allows a key limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Days and hours at which the key is handed to sshd.
    pub hours: Option<Hours>,
    /// The largest age of the key, in seconds since the push.
    pub max_age: Option<u64>,
    /// Options on the key's line.
    pub options: Option<RuleOptions>,
}

impl Limits {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The first limit that a key with these values exceeds.
    pub(super) fn exceeded(
        &self,
        subject: &Subject<'_>,
        now: Timestamp,
        machine: &MachineFacts,
    ) -> Option<DenialCause> {
        if let Some(hours) = &self.hours {
            match machine.zones.local_time(hours.zone(), now) {
                Ok(time) if hours.contain(time) => {}
                Ok(time) => {
                    return Some(DenialCause::Hours { allowed: hours.to_string(), now: time.to_string() });
                }
                Err(why) => {
                    return Some(DenialCause::ZoneUnknown { allowed: hours.to_string(), why });
                }
            }
        }
        let age = KEY_LIFETIME.saturating_sub(now.seconds_until(subject.expires));
        if let Some(most) = self.max_age.filter(|most| age > *most) {
            return Some(DenialCause::Age { most, age });
        }
        let needed = self.options.as_ref()?.options().needs();
        let is_old = needed > Release::OLDEST && machine.release.is_none_or(|release| release < needed);
        is_old.then_some(DenialCause::OptionsUnsupported { needed, installed: machine.release })
    }
}

impl Rule {
    /// Whether the rule decides about a key with these values that is pushed for `user`.
    #[must_use]
    pub fn matches(&self, subject: &Subject<'_>, user: Option<&LoginName>) -> bool {
        self.fits(&self.users, user.map(LoginName::as_str))
            && self.fits(&self.principals, subject.values.principal)
            && self.fits(&self.accounts, subject.values.principal.and_then(account_of))
            && self.fits(&self.key_types, Some(subject.key_type))
    }

    /// Whether the rule can decide about a key that is pushed for `user`.
    #[must_use]
    pub fn is_for(&self, user: Option<&LoginName>) -> bool {
        user.is_none() || self.fits(&self.users, user.map(LoginName::as_str))
    }

    /// An unknown value never matches an "allow" rule, and always matches a "deny" rule.
    fn fits(&self, patterns: &[Glob], value: Option<&str>) -> bool {
        match value {
            _ if patterns.is_empty() => true,
            Some(value) => patterns.iter().any(|pattern| pattern.matches(value)),
            None => self.action == Action::Deny,
        }
    }
}
