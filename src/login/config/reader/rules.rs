//! The rules of the settings file.

use eic_core::key_options::RuleOptions;
use eic_core::policy::{Action, Glob, Hours, KEY_LIFETIME, Limits, Rule, ZoneName};
use toml::de::DeValue;

use super::section::{Faults, Section};
use super::{action, words};
use crate::config::values::{TextList, WholeSeconds, shown};

/// Maximum number of rules. Each key is compared with all of them.
const MAX_RULES: usize = 1000;

/// Maximum number of different time zones. A run reads the data of each.
const MAX_ZONES: usize = 16;

/// Reads the rules, in order. Each has its line.
pub(super) fn read(root: &mut Section<'_>, faults: &mut Faults) -> Vec<(Rule, usize)> {
    let Some((value, offset)) = root.take("rule") else { return Vec::new() };
    let DeValue::Array(array) = value.into_inner() else {
        faults.add(offset, "rule", "expected [[rule]], a table in double brackets".to_owned());
        return Vec::new();
    };
    if array.len() > MAX_RULES {
        faults.add(offset, "rule", format!("expected at most {MAX_RULES} rules, got {}", array.len()));
        return Vec::new();
    }
    let mut rules = Vec::new();
    let mut zones = Vec::new();
    for (index, value) in array.into_iter().enumerate() {
        let number = index.saturating_add(1);
        let offset = value.span().start;
        let DeValue::Table(table) = value.into_inner() else {
            faults.add(offset, &format!("rule {number}"), "expected a table".to_owned());
            continue;
        };
        let mut section = Section { name: format!("rule {number}"), table };
        let name = section.text("name", faults, |text| match text.trim() {
            "" => Err("expected a name, got nothing".to_owned()),
            name => Ok(name.to_owned()),
        });
        let action = section.text("action", faults, action);
        let is_deny = matches!(action, Some((Action::Deny, _)));
        let limits = limits(&mut section, (is_deny, offset), &mut zones, faults);
        let rule = Rule {
            name: name.map_or_else(|| format!("#{number}"), |(name, _)| name),
            action: action.map_or(Action::Deny, |(action, _)| action),
            users: globs(&mut section, "users", faults, PatternKind::User),
            principals: globs(&mut section, "principals", faults, PatternKind::Principal),
            accounts: globs(&mut section, "accounts", faults, PatternKind::Account),
            key_types: globs(&mut section, "key_types", faults, PatternKind::KeyType),
            limits,
        };
        if action.is_none() && !section.had_fault("action", faults) {
            faults.add(
                offset,
                &format!("rule {number}.action"),
                "expected \"allow\" or \"deny\", got nothing".to_owned(),
            );
        }
        section.nothing_else(
            &[
                "name",
                "action",
                "users",
                "principals",
                "accounts",
                "key_types",
                "options",
                "hours",
                "days",
                "time_zone",
                "max_age",
            ],
            faults,
        );
        rules.push((rule, faults.line(offset)));
    }
    rules
}

/// Reads the limits of a rule. A rule that denies has none.
fn limits(
    section: &mut Section<'_>,
    (is_deny, offset): (bool, usize),
    zones: &mut Vec<ZoneName>,
    faults: &mut Faults,
) -> Limits {
    const LIMITS: [&str; 5] = ["options", "hours", "days", "time_zone", "max_age"];
    if is_deny {
        for name in LIMITS {
            section.refuse(
                name,
                "expected this only in a rule that allows: it limits what the rule allows",
                faults,
            );
        }
    }
    let options = section.text("options", faults, |text| RuleOptions::parse(text).map_err(words));
    let max_age = section.checked("max_age", faults, |WholeSeconds(seconds)| match u64::try_from(seconds) {
        Ok(seconds @ 1..=KEY_LIFETIME) => Ok(seconds),
        _ => Err(format!("expected 1 to {KEY_LIFETIME} seconds, got {seconds}")),
    });
    Limits {
        hours: hours(section, offset, zones, faults),
        max_age: max_age.map(|(seconds, _)| seconds),
        options: options.map(|(options, _)| options),
    }
}

fn hours(
    section: &mut Section<'_>,
    start: usize,
    zones: &mut Vec<ZoneName>,
    faults: &mut Faults,
) -> Option<Hours> {
    // Each list is checked alone, so that a fault names its line.
    let utc = || ZoneName::parse("UTC");
    let not_empty = |list: &[String], what: &str| {
        if list.is_empty() {
            Err(format!("expected at least one, got []; remove the line for {what}"))
        } else {
            Ok(())
        }
    };
    let spans = section.checked("hours", faults, |TextList(spans)| {
        not_empty(&spans, "all of the day")?;
        Hours::parse(&spans, &[], utc()?).map(|_| spans)
    });
    let days = section.checked("days", faults, |TextList(days)| {
        not_empty(&days, "every day")?;
        Hours::parse(&[], &days, utc()?).map(|_| days)
    });
    let zone = section.offset("time_zone");
    let is_wanted = spans.is_some() || days.is_some();
    let named = section.text("time_zone", faults, |name| {
        let zone = ZoneName::parse(name)?;
        if !zones.contains(&zone) {
            if zones.len() >= MAX_ZONES {
                return Err(format!("expected at most {MAX_ZONES} different time zones in the file"));
            }
            zones.push(zone.clone());
        }
        Ok(zone)
    });
    let spans = spans.map(|(spans, _)| spans).unwrap_or_default();
    let days = days.map(|(days, _)| days).unwrap_or_default();
    match (named, zone) {
        (Some((zone, _)), _) if is_wanted => Hours::parse(&spans, &days, zone).ok(),
        (Some(_), Some(offset)) => {
            if !["hours", "days"].iter().any(|name| section.had_fault(name, faults)) {
                let key = section.key("time_zone");
                faults.add(offset, &key, "expected hours or days in the same rule".to_owned());
            }
            None
        }
        (None, None) if is_wanted => {
            let key = section.key("time_zone");
            let what = "expected the time zone of hours and days, such as Europe/Berlin or UTC, got nothing";
            faults.add(start, &key, what.to_owned());
            None
        }
        _ => None,
    }
}

/// Reads patterns. A text that is not written as a pattern of its kind is a fault, for example `role/Demo` as a
/// principal. A pattern that is written correctly but matches nothing is no fault: `config` and `doctor` report it.
fn globs(section: &mut Section<'_>, name: &str, faults: &mut Faults, kind: PatternKind) -> Vec<Glob> {
    let globs = section.checked(name, faults, |TextList(patterns)| {
        if let Some(dead) = patterns.iter().find(|pattern| !kind.can_match(pattern)) {
            return Err(format!("expected {}, got {}", kind.words(), shown(dead)));
        }
        if patterns.is_empty() {
            return Err("expected at least one pattern, got []; remove the line to match all".to_owned());
        }
        Ok(patterns.iter().map(|pattern| Glob::new(pattern)).collect())
    });
    globs.map(|(globs, _)| globs).unwrap_or_default()
}

/// The attribute that a pattern is compared with.
#[derive(Clone, Copy)]
enum PatternKind {
    User,
    Principal,
    Account,
    KeyType,
}

impl PatternKind {
    fn can_match(self, pattern: &str) -> bool {
        let made_of = |extra: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "*?".contains(c) || extra.contains(c);
            !pattern.is_empty() && pattern.chars().all(fits)
        };
        match self {
            Self::User => made_of("@._-$"),
            Self::Principal => pattern.starts_with("arn:") || pattern.starts_with(['*', '?']),
            Self::Account => {
                !pattern.is_empty() && pattern.chars().all(|c| c.is_ascii_digit() || "*?".contains(c))
            }
            Self::KeyType => {
                let known = ["ssh-", "sk-", "ecdsa-", "*", "?"];
                made_of("@._-+")
                    && (known.iter().any(|start| pattern.starts_with(start)) || pattern.contains('@'))
            }
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::User => "a login name or a pattern, such as root or adm*",
            Self::Principal => "an ARN or a pattern, such as arn:aws:sts::*:assumed-role/Admin/*",
            Self::Account => "twelve digits or a pattern, such as 1234*",
            Self::KeyType => "a key algorithm or a pattern, such as ssh-ed25519 or sk-*",
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::tests::read;

    #[test]
    fn limits_of_another_form_are_refused() {
        let zone = "expected the name of a time zone, such as Europe/Berlin or UTC, got ";
        let needs = "expected the time zone of hours and days, such as Europe/Berlin or UTC, got nothing";
        for (lines, fault) in [
            ("hours = [\"8-18\"]\ntime_zone = \"UTC\"", "3: rule 1.hours: expected HH:MM-HH:MM, such as 08:00-18:00 or 22:00-06:00, got \"8-18\"".to_owned()),
            ("hours = []\ntime_zone = \"UTC\"", "3: rule 1.hours: expected at least one, got []; remove the line for all of the day".to_owned()),
            ("days = [\"Mo\"]\ntime_zone = \"UTC\"", "3: rule 1.days: expected a day or days, such as Sat or Mon-Fri (Mon, Tue, Wed, Thu, Fri, Sat, Sun), got \"Mo\"".to_owned()),
            ("days = [\"Mon\"]", format!("1: rule 1.time_zone: {needs}")),
            ("hours = [\"08:00-18:00\"]", format!("1: rule 1.time_zone: {needs}")),
            ("time_zone = \"UTC\"", "3: rule 1.time_zone: expected hours or days in the same rule".to_owned()),
            ("days = [\"Mon\"]\ntime_zone = \"../x\"", format!("4: rule 1.time_zone: {zone}\"../x\"")),
            ("max_age = 0", "3: rule 1.max_age: expected 1 to 60 seconds, got 0".to_owned()),
            ("max_age = 61", "3: rule 1.max_age: expected 1 to 60 seconds, got 61".to_owned()),
        ] {
            let faults = read(&format!("[[rule]]\naction = \"allow\"\n{lines}\n")).map(|_| ()).unwrap_err();
            assert_eq!(faults, [fault], "{lines}");
        }
        for line in [
            "options = \"pty\"",
            "hours = [\"08:00-18:00\"]",
            "days = [\"Mon\"]",
            "time_zone = \"UTC\"",
            "max_age = 9",
        ] {
            let faults = read(&format!("[[rule]]\naction = \"deny\"\n{line}\n")).map(|_| ()).unwrap_err();
            assert!(
                faults.len() == 1 && faults[0].contains("expected this only in a rule that allows"),
                "{faults:?}"
            );
        }
        let rule = |number: usize| {
            format!("[[rule]]\naction = \"allow\"\ndays = [\"Mon\"]\ntime_zone = \"Etc/GMT+{number}\"\n")
        };
        let rules = |count: usize| (0..count).map(rule).collect::<String>();
        assert!(read(&format!("{}{}", rules(16), rule(3))).is_ok());
        let faults = read(&rules(17)).map(|_| ()).unwrap_err();
        assert_eq!(faults, ["68: rule 17.time_zone: expected at most 16 different time zones in the file"]);
        let faults = read("[policy]\ndefault = \"drop\"\n").map(|_| ()).unwrap_err();
        assert_eq!(faults, ["2: policy.default: expected \"allow\" or \"deny\", got \"drop\""]);
    }
}
