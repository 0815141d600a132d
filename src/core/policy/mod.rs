//! This instance's own rules over proven keys: who of those that IAM lets push may come in here, and as whom.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::identity::LoginName;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable};
use crate::verification::VerifiedKey;

/// A proven key that no rule denies. What sshd is given is made of these alone; [`Policy::permit`] is the
/// only constructor. It can be named, but not made by hand:
///
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
    /// The proven key.
    #[must_use]
    pub const fn verified(&self) -> &VerifiedKey {
        &self.key
    }

    /// The name of the rule that allows it, printable; none where no rule is about it.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}

/// The rules, and whom they are asked about.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// In order; the first that matches decides. Where none does, the key is permitted.
    pub rules: Vec<Rule>,
    /// Who logs in; none where nobody does, as in an audit of files.
    pub user: Option<LoginName>,
}

/// One rule: an action, and what a key must be for it. An empty list says nothing; a list says that one of
/// its patterns matches; all lists that say something must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The name that the log calls it by.
    pub name: String,
    /// What to do with a key that matches.
    pub action: Action,
    /// Login names.
    pub users: Vec<Glob>,
    /// ARNs of the principal that pushed the key.
    pub principals: Vec<Glob>,
    /// Accounts of that principal.
    pub accounts: Vec<Glob>,
    /// Key algorithms, `ssh-ed25519`.
    pub key_types: Vec<Glob>,
}

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The key is handed over.
    Allow,
    /// The key is refused.
    Deny,
}

/// A pattern: `*` stands for any characters, also none, `?` for any one. Upper and lower case differ.
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
    /// Asks the rules about a proven key; everything that they look at was signed.
    #[expect(clippy::result_large_err, reason = "no error on its way up: the key goes back to the judge")]
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

    /// What is not known cannot earn anybody an "allow", and cannot save anybody from a "deny".
    fn fits(&self, patterns: &[Glob], value: Option<&str>) -> bool {
        match value {
            _ if patterns.is_empty() => true,
            Some(value) => patterns.iter().any(|pattern| pattern.matches(value)),
            None => self.action == Action::Deny,
        }
    }
}

/// The account in `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE` (IAM User Guide, "IAM identifiers").
pub(crate) fn account_of(arn: &str) -> Option<&str> {
    let mut parts = arn.split(':');
    (parts.next()? == "arn").then_some(())?;
    parts.nth(3).filter(|account| !account.is_empty())
}

impl Glob {
    /// A pattern as it stands in the settings.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// The pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `text` fits. The work is bounded by the product of the two lengths: only the
    /// last star is ever tried again.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut pattern = self.0.chars();
        let mut rest = text.chars();
        // Where to go on when the text stops fitting: after the last star, with one more character eaten.
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
