//! What the settings say about keys that are proven.

use eic_core::identity::LoginName;
use eic_core::key_options::LinePrefix;
use eic_core::policy::{Hours, Policy, ZoneName, Zones};

use super::Settings;

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

    /// The rules, for this user. `zones` is the data of the time zones.
    #[must_use]
    pub fn policy(&self, user: Option<LoginName>, zones: Zones) -> Policy {
        let rules = self.rules.iter().map(|rule| rule.value.clone()).collect();
        Policy { rules, default: self.default_action.value, user, zones }
    }

    /// The options before each key.
    #[must_use]
    pub fn line_prefix(&self) -> LinePrefix {
        LinePrefix { options: self.options.value.clone(), environment: self.environment.value }
    }
}
