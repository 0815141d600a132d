//! Rules whose hours cannot be judged here.

use eic_core::policy::Rule;
use eic_login::config::{Origin, Settings, Sourced};

use super::RuleProblem;
use crate::settings;

/// The rules with hours in a time zone whose data a run cannot use. Call this without root's rights: a run reads the data
/// without them.
pub(crate) fn without_time_zone(settings: &Settings) -> Vec<RuleProblem> {
    let zones = settings::zones(settings, None);
    let problem = |(index, Sourced { value: rule, origin }): (usize, &Sourced<Rule>)| {
        let zone = rule.limits.hours.as_ref()?.zone();
        let (_, why) = zones.missing().find(|(missing, _)| *missing == zone)?;
        Some(RuleProblem {
            line: if let Origin::File(line) = origin { *line } else { 0 },
            key: format!("rule {}.time_zone", index.saturating_add(1)),
            what: format!(
                "the time in {zone} is unknown, so the rule allows no key: {why}; correct the name, or install the package tzdata"
            ),
        })
    };
    settings.rules.iter().enumerate().filter_map(problem).collect()
}
