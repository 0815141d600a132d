//! Rules that allow no key on this machine, because of their limits.

use eic_core::key_options::Release;
use eic_core::policy::{MachineFacts, Rule};
use eic_host::clock;
use eic_login::config::{Origin, Settings, Sourced};

use super::RuleProblem;
use crate::settings;

/// The rules that allow no key, because a run cannot use the data of their time zone, or because sshd would ignore or refuse
/// each of their keys. Call this without root's rights: a run reads the data without them.
pub(crate) fn unusable(settings: &Settings) -> Vec<RuleProblem> {
    let machine = settings::machine_facts(settings, None);
    let problems = |(index, Sourced { value: rule, origin }): (usize, &Sourced<Rule>)| {
        let line = if let Origin::File(line) = origin { *line } else { 0 };
        let number = index.saturating_add(1);
        let found = [
            ("time_zone", without_time_zone(rule, &machine)),
            ("options", unsupported(rule, &machine)),
            ("options", expired(rule, settings)),
        ];
        let problem = move |(list, what): (&str, Option<String>)| {
            let what = format!("{}; so the rule allows no key", what?);
            Some(RuleProblem { line, key: format!("rule {number}.{list}"), what })
        };
        found.into_iter().filter_map(problem).collect::<Vec<_>>()
    };
    settings.rules.iter().enumerate().flat_map(problems).collect()
}

fn without_time_zone(rule: &Rule, machine: &MachineFacts) -> Option<String> {
    let zone = rule.limits.hours.as_ref()?.zone();
    let (_, why) = machine.zones.missing().find(|(missing, _)| *missing == zone)?;
    Some(format!("the time in {zone} is unknown: {why}; correct the name, or install the package tzdata"))
}

fn unsupported(rule: &Rule, machine: &MachineFacts) -> Option<String> {
    let needed = rule.limits.options.as_ref()?.options().needs();
    if needed <= Release::OLDEST {
        return None;
    }
    match machine.release {
        Some(release) if release >= needed => None,
        Some(release) => Some(format!("needs {needed} or later, this instance has {release}")),
        None => Some(format!("needs {needed} or later, the release of this instance is unknown")),
    }
}

fn expired(rule: &Rule, settings: &Settings) -> Option<String> {
    let options = rule.limits.options.as_ref()?;
    let is_over = settings.line_prefix().has_expired(Some(options), clock::now());
    is_over.then(|| "expiry-time is in the past".to_owned())
}
