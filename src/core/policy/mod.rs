//! This instance's rules for verified keys. They restrict whose keys may log in, and as which user.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::identity::LoginName;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable};
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

/// The rules, and the login name that they are applied to.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The rules in order. The first rule that matches decides. If no rule matches, the key is permitted.
    pub rules: Vec<Rule>,
    /// The login name. `None` if there is no login, for example if `verify` checks files.
    pub user: Option<LoginName>,
}

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
}

/// The action of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The agent gives the key to sshd.
    Allow,
    /// The agent refuses the key.
    Deny,
}

/// A pattern: `*` matches any number of characters, `?` matches exactly one. It is case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

/// A rule denied the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The rule's name.
    pub rule: String,
    /// The principal that pushed the key, printable.
    pub principal: String,
}

impl Denied {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason() -> Reason {
        Reason::DeniedByRule
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (a rule of this instance), pushed by {}", self.rule, self.principal)
    }
}

impl Policy {
    /// Applies the rules to a verified key. The rules use only claims that the signer signed, and the login name.
    #[expect(
        clippy::result_large_err,
        reason = "the caller reports the refused key, so the error contains it"
    )]
    pub fn permit(&self, key: VerifiedKey) -> Result<PermittedKey, (Denied, VerifiedKey)> {
        match self.rules.iter().find(|rule| rule.matches(&key, self.user.as_ref())) {
            Some(rule) if rule.action == Action::Deny => {
                let principal = key.claims().principal.as_deref().unwrap_or("an unknown principal");
                let denied = Denied {
                    rule: printable(&rule.name, MAX_SHOWN),
                    principal: printable(principal, MAX_SHOWN),
                };
                Err((denied, key))
            }
            rule => Ok(PermittedKey { key, rule: rule.map(|rule| printable(&rule.name, MAX_SHOWN)) }),
        }
    }
}

impl Rule {
    fn matches(&self, key: &VerifiedKey, user: Option<&LoginName>) -> bool {
        let principal = key.claims().principal.as_deref();
        self.fits(&self.users, user.map(LoginName::as_str))
            && self.fits(&self.principals, principal)
            && self.fits(&self.accounts, principal.and_then(account_of))
            && self.fits(&self.key_types, Some(key.key().algorithm()))
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

/// The account id in `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE` (IAM User Guide, "IAM identifiers").
pub(crate) fn account_of(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    (parts.next()? == "arn").then_some(())?;
    parts.nth(3).filter(|account| !account.is_empty())
}

impl Glob {
    /// Makes a pattern from its text in the settings.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// The text of the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches the whole of `text`.
    ///
    /// Only the last star is retried. So the work is at most the product of the two lengths.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut pattern = self.0.chars();
        let mut rest = text.chars();
        // The retry position after a mismatch: the pattern after the last star, and the text that the star has not
        // consumed.
        let mut retry = None;
        loop {
            let (mut pattern_ahead, mut rest_ahead) = (pattern.clone(), rest.clone());
            let fits = match (pattern_ahead.next(), rest_ahead.next()) {
                (Some('*'), _) => {
                    retry = Some((pattern_ahead.clone(), rest.clone()));
                    rest_ahead = rest.clone();
                    true
                }
                (Some('?'), Some(_)) => true,
                (Some(wanted), Some(came)) => wanted == came,
                (None, None) => return true,
                _ => false,
            };
            if fits {
                (pattern, rest) = (pattern_ahead, rest_ahead);
                continue;
            }
            let Some((after_star, mut eaten)) = retry.take() else { return false };
            if eaten.next().is_none() {
                return false;
            }
            retry = Some((after_star.clone(), eaten.clone()));
            (pattern, rest) = (after_star, eaten);
        }
    }
}

#[cfg(test)]
mod tests;
