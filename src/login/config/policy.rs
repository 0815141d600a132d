//! What the settings say about keys that are proven.

use eic_core::identity::LoginName;
use eic_core::key_options::{LinePrefix, Release};
use eic_core::policy::{Hours, MachineFacts, Policy, ZoneName};

use super::Settings;

/// How sessions with pushed keys start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionForm {
    /// As sshd starts them.
    #[default]
    Plain,
    /// With the wrapper, which names the caller to the session.
    Wrapper,
}

impl SessionForm {
    /// The value in the settings file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Wrapper => "wrapper",
        }
    }
}

impl Settings {
    /// The time zones whose data the rules for this user need.
    #[must_use]
    pub fn zones(&self, user: Option<&LoginName>) -> Vec<ZoneName> {
        let mut zones: Vec<ZoneName> = Vec::new();
        for rule in self.rules.iter().map(|rule| &rule.value).filter(|rule| rule.is_for(user)) {
            let zone = rule.limits.hours.as_ref().map(Hours::zone).filter(|zone| !zone.is_utc());
            zones.extend(zone.filter(|zone| !zones.contains(zone)).cloned());
        }
        zones
    }

    /// Whether a rule for this user needs a release of OpenSSH that not every machine has.
    #[must_use]
    pub fn needs_release(&self, user: Option<&LoginName>) -> bool {
        let rules = self.rules.iter().map(|rule| &rule.value).filter(|rule| rule.is_for(user));
        rules
            .filter_map(|rule| rule.limits.options.as_ref())
            .any(|options| options.options().needs() > Release::OLDEST)
    }

    /// The rules, for this user.
    #[must_use]
    pub fn policy(&self, user: Option<LoginName>, machine: MachineFacts) -> Policy {
        let rules = self.rules.iter().map(|rule| rule.value.clone()).collect();
        let default = self.default_action.value;
        Policy { rules, default, user, prefix: self.line_prefix(), machine }
    }

    /// The options before each key.
    #[must_use]
    pub fn line_prefix(&self) -> LinePrefix {
        LinePrefix { options: self.options.value.clone(), environment: self.environment.value }
    }
}
