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

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

pub use self::denied::{DenialCause, Denied};
pub use self::glob::Glob;
pub use self::hours::Hours;
pub use self::rule::{Action, KEY_LIFETIME, Limits, Rule};
pub use self::zone::{Zone, ZoneName, Zones};
use crate::identity::LoginName;
use crate::key_options::{KeyPrefix, LinePrefix, NotWrapped, Release, SessionStart, Values};
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
/// let forged = eic_core::policy::PermittedKey { key: todo!(), rule: None, prefix: todo!() };
/// ```
#[derive(Debug)]
pub struct PermittedKey {
    key: VerifiedKey,
    rule: Option<String>,
    prefix: KeyPrefix,
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

    /// The options on the key's line, with a space at their end. Empty if there are none.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix.options
    }

    /// Whether sessions with the key have the wrapper.
    #[must_use]
    pub const fn is_wrapped(&self) -> bool {
        self.prefix.is_wrapped
    }

    /// Why sessions with the key have no wrapper, although the settings ask for one. `None` otherwise.
    #[must_use]
    pub const fn not_wrapped(&self) -> Option<&NotWrapped> {
        self.prefix.not_wrapped.as_ref()
    }
}

/// Maximum number of rules that a denial names as alternatives.
const MAX_NAMES: usize = 3;

/// The rules, and what they are applied to besides the key.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The rules in order. The first rule that matches decides.
    pub rules: Vec<Rule>,
    /// What to do with a key that no rule matches.
    pub default: Action,
    /// The login name. `None` if there is no login, for example if `verify` checks files.
    pub user: Option<LoginName>,
    /// The options of `[keys]`, for the line of every key.
    pub prefix: LinePrefix,
    /// What the rules depend on.
    pub machine: MachineFacts,
}

/// What the verdict and the line depend on besides the push. The caller reads it, if a rule or `[keys]` needs it.
#[derive(Debug, Clone, Default)]
pub struct MachineFacts {
    /// The time zones of the rules.
    pub zones: Zones,
    /// The installed release of OpenSSH. `None` if it is unknown.
    pub release: Option<Release>,
    /// How sessions of the user start.
    pub session: SessionStart,
}

/// What [`Policy::judge`] allows.
#[derive(Debug, Clone)]
pub struct Permission<'p> {
    /// The rule that allows the key, with its number from 1. `None` if no rule matches.
    pub rule: Option<(usize, &'p Rule)>,
    /// The options on the key's line, and how its sessions start.
    pub prefix: KeyPrefix,
}

/// What the rules judge: the values of a push that the signer signed.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'s> {
    /// The principal that pushed the key, and the id of its request.
    pub values: Values<'s>,
    /// The key's algorithm.
    pub key_type: &'s str,
    /// The instant at which the key expires.
    pub expires: Timestamp,
}

impl<'s> Subject<'s> {
    fn of(key: &'s VerifiedKey) -> Self {
        Self {
            values: Values {
                // An empty value names no one, like an absent one.
                principal: key.claims().principal.as_deref().filter(|value| !value.is_empty()),
                request_id: key.claims().request_id.as_deref().filter(|value| !value.is_empty()),
            },
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
            Ok(Permission { rule, prefix }) => {
                let rule = rule.map(|(_, rule)| printable(&rule.name, MAX_SHOWN));
                Ok(PermittedKey { key, rule, prefix })
            }
            Err(denied) => Err((denied, key)),
        }
    }

    /// Whether a key with these values is allowed as of `now`, by which rule, and with which options. This proves nothing
    /// about a key, and gives none.
    pub fn judge(&self, subject: &Subject<'_>, now: Timestamp) -> Result<Permission<'_>, Denied> {
        let user = self.user.as_ref();
        let rules = (1_usize..).zip(&self.rules);
        let rule = rules.into_iter().find(|(_, rule)| rule.matches(subject, user));
        let cause = match rule {
            Some((number, rule)) if rule.action == Action::Deny => {
                Some(DenialCause::Rule { allowing: self.allowing(number.saturating_sub(1)) })
            }
            Some((_, rule)) => rule.limits.exceeded(subject, now, &self.machine),
            None if self.default == Action::Deny => {
                Some(DenialCause::Default { allowing: self.allowing(usize::MAX) })
            }
            None => None,
        };
        let options = rule.and_then(|(_, rule)| rule.limits.options.as_ref());
        let prefix = match cause {
            Some(cause) => Err(cause),
            // sshd would refuse such a key, and the log would say that the agent handed it over.
            None => match self.prefix.expired(options, now).filter(|_| self.has_options_of_rules()) {
                Some(end) => Err(DenialCause::OptionsExpired(end.to_owned())),
                None => self
                    .prefix
                    .of_session(options, &subject.values, &self.machine.session)
                    .map_err(DenialCause::Line),
            },
        };
        prefix.map(|prefix| Permission { rule, prefix }).map_err(|cause| Denied {
            number: rule.map(|(number, _)| number),
            rule: rule.map_or_else(String::new, |(_, rule)| printable(&rule.name, MAX_SHOWN)),
            principal: printable(subject.values.principal.unwrap_or("an unknown principal"), MAX_SHOWN),
            cause,
        })
    }

    /// The names of the first of these rules that allow keys for the login name.
    fn allowing(&self, rules: usize) -> String {
        let allow = |rule: &&Rule| rule.action == Action::Allow && rule.is_for(self.user.as_ref());
        let mut rules = self.rules.iter().take(rules).filter(allow);
        let names: Vec<_> =
            rules.by_ref().take(MAX_NAMES).map(|rule| printable(&rule.name, MAX_SHOWN)).collect();
        let more = if rules.next().is_some() { ", ..." } else { "" };
        format!("{}{more}", names.join(", "))
    }

    /// Whether keys can have different options.
    fn has_options_of_rules(&self) -> bool {
        self.rules.iter().any(|rule| rule.limits.options.is_some())
    }
}

#[cfg(test)]
mod tests;
