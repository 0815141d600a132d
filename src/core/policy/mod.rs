//! This instance's rules for verified keys. They restrict whose keys may log in, as which user, when, and how soon after
//! the push.
//!
//! | file | holds |
//! | --- | --- |
//! | `rule` | one rule: what it matches, and its limits |
//! | `hours` | days and hours of a time zone |
//! | `zone` | names and data of time zones |
//! | `denied` | why a key is denied |
//! | `glob` | patterns |

mod denied;
mod glob;
mod hours;
mod rule;
mod zone;

use alloc::string::String;
use alloc::vec::Vec;

pub use self::denied::{DenialCause, Denied};
pub use self::glob::Glob;
pub use self::hours::Hours;
pub(crate) use self::rule::account_of;
pub use self::rule::{Action, KEY_LIFETIME, Limits, Rule};
pub use self::zone::{Zone, ZoneName, Zones};
use crate::identity::LoginName;
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;
use crate::verification::VerifiedKey;

/// A verified key that no rule denies. sshd receives only permitted keys.
///
/// [`Policy::permit`] is the only constructor. Other code can name the type but cannot construct it:
/// ```
/// fn named(_: &eic_core::policy::PermittedKey) {}
/// ```
///
/// ```compile_fail,E0451
/// let forged = eic_core::policy::PermittedKey { key: todo!(), rule: None };
/// ```
#[derive(Debug)]
pub struct PermittedKey {
    key: VerifiedKey,
    rule: Option<String>,
}

impl PermittedKey {
    /// The verified key.
    #[must_use]
    pub const fn verified(&self) -> &VerifiedKey {
        &self.key
    }

    /// The name of the rule that allows the key, printable. `None` if no rule matched.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}

/// The rules, and what they are applied to besides the key.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The rules in order. The first rule that matches decides.
    pub rules: Vec<Rule>,
    /// What to do with a key that no rule matches.
    pub default: Action,
    /// The login name. `None` if there is no login, for example if `verify` checks files.
    pub user: Option<LoginName>,
    /// The time zones of the rules.
    pub zones: Zones,
}

/// What the rules judge: the values of a push that the signer signed.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'s> {
    /// The ARN of the principal that pushed the key.
    pub principal: Option<&'s str>,
    /// The key's algorithm.
    pub key_type: &'s str,
    /// The instant at which the key expires.
    pub expires: Timestamp,
}

impl<'s> Subject<'s> {
    fn of(key: &'s VerifiedKey) -> Self {
        Self {
            principal: key.claims().principal.as_deref(),
            key_type: key.key().algorithm(),
            expires: key.expires(),
        }
    }
}

impl Policy {
    /// Applies the rules to a verified key as of `now`. The rules use only claims that the signer signed, the login name
    /// and the time.
    #[expect(
        clippy::result_large_err,
        reason = "the caller reports the refused key, so the error contains it"
    )]
    pub fn permit(&self, key: VerifiedKey, now: Timestamp) -> Result<PermittedKey, (Denied, VerifiedKey)> {
        match self.judge(&Subject::of(&key), now) {
            Ok(rule) => {
                let rule = rule.map(|(_, rule)| printable(&rule.name, MAX_SHOWN));
                Ok(PermittedKey { key, rule })
            }
            Err(denied) => Err((denied, key)),
        }
    }

    /// The rule that allows a key with these values as of `now`, with its place from 0. `None`: no rule matches, and the
    /// default is to allow. This proves nothing about a key, and gives none.
    pub fn judge(&self, subject: &Subject<'_>, now: Timestamp) -> Result<Option<(usize, &Rule)>, Denied> {
        let user = self.user.as_ref();
        let deciding = self.rules.iter().enumerate().find(|(_, rule)| rule.matches(subject, user));
        let cause = match deciding {
            Some((_, rule)) if rule.action == Action::Deny => Some(DenialCause::Rule),
            Some((_, rule)) => rule.limits.exceeded(subject, now, &self.zones),
            None if self.default == Action::Deny => Some(DenialCause::Default),
            None => None,
        };
        match cause {
            None => Ok(deciding),
            Some(cause) => {
                let principal = subject.principal.unwrap_or("an unknown principal");
                Err(Denied {
                    number: deciding.map(|(place, _)| place.saturating_add(1)),
                    rule: deciding.map_or_else(String::new, |(_, rule)| printable(&rule.name, MAX_SHOWN)),
                    principal: printable(principal, MAX_SHOWN),
                    cause,
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
