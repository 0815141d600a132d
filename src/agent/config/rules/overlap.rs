//! Rules whose limits do not apply to some of the keys that they match.

use eic_core::policy::{Action, Glob, Rule};
use eic_core::text::{MAX_SHOWN, printable};
use eic_login::config::{Origin, Settings, Sourced};

use super::{RuleProblem, covers};

/// Maximum number of steps. One step compares two characters of two patterns.
const MAX_STEPS: usize = 20_000_000;

/// Each rule with limits, of which an earlier rule with other limits decides about some keys. If one of the two rules
/// matches all keys of the other, this is no mistake: a special rule comes before a general one. (If the general rule comes
/// first, the special rule never decides, which is reported elsewhere.)
pub(super) fn overlaps(settings: &Settings) -> Vec<RuleProblem> {
    let mut steps = 0;
    let mut found = Vec::new();
    for (index, Sourced { value: later, origin }) in settings.rules.iter().enumerate() {
        if later.action == Action::Deny || later.limits.is_empty() {
            continue;
        }
        let before = settings.rules.iter().take(index).map(|rule| &rule.value).enumerate();
        let overlap = before.into_iter().find(|(_, earlier)| {
            earlier.action == Action::Allow
                && earlier.limits != later.limits
                && overlap(earlier, later, &mut steps)
                && !is_special(earlier, later)
        });
        let Some((place, earlier)) = overlap else { continue };
        let (number, first) = (index.saturating_add(1), place.saturating_add(1));
        let name = printable(&earlier.name, MAX_SHOWN);
        found.push(RuleProblem {
            line: if let Origin::File(line) = origin { *line } else { 0 },
            key: format!("rule {number}"),
            what: format!(
                "some keys match rule {first} (\"{name}\") before it; the limits of rule {number} do not apply to them"
            ),
        });
    }
    found
}

/// Whether one of the rules matches all keys of the other.
fn is_special(earlier: &Rule, later: &Rule) -> bool {
    covers(later, earlier, &mut 0) == Some(true) || covers(earlier, later, &mut 0) == Some(true)
}

/// Whether a key can match both rules. `false` if that takes too many steps.
fn overlap(one: &Rule, other: &Rule, steps: &mut usize) -> bool {
    let lists = [
        (&one.users, &other.users),
        (&one.principals, &other.principals),
        (&one.accounts, &other.accounts),
        (&one.key_types, &other.key_types),
    ];
    lists.into_iter().all(|(one, other)| {
        let mut meet = |one: &Glob, other: &Glob| meet(one, other, steps);
        one.is_empty() || other.is_empty() || one.iter().any(|one| other.iter().any(|other| meet(one, other)))
    })
}

/// Whether a text can match both patterns.
fn meet(one: &Glob, other: &Glob, steps: &mut usize) -> bool {
    let [one, other] = [one, other].map(|pattern| pattern.as_str().chars().collect::<Vec<_>>());
    *steps = steps.saturating_add(one.len().saturating_add(1).saturating_mul(other.len().saturating_add(1)));
    if *steps > MAX_STEPS {
        return false;
    }
    // For each rest of `other`: whether a text matches it and the rest of `one`. The rests of `one` become longer.
    let mut shorter: Vec<bool> = Vec::new();
    for rest in (0..=one.len()).rev() {
        let first = one.get(rest).copied();
        let mut row = vec![false; other.len().saturating_add(1)];
        for at in (0..=other.len()).rev() {
            let second = other.get(at).copied();
            let of = |row: &[bool], at: usize| row.get(at).copied().unwrap_or(false);
            let after = at.saturating_add(1);
            let meets = match (first, second) {
                (None, None) => true,
                // A star matches nothing, or one more character of a text.
                (Some('*'), Some(_)) | (Some(_), Some('*')) => of(&shorter, at) || of(&row, after),
                (Some('*'), None) => of(&shorter, at),
                (None, Some('*')) => of(&row, after),
                (Some(first), Some(second)) => {
                    (first == second || first == '?' || second == '?') && of(&shorter, after)
                }
                (Some(_), None) | (None, Some(_)) => false,
            };
            if let Some(place) = row.get_mut(at) {
                *place = meets;
            }
        }
        shorter = row;
    }
    shorter.first().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_if_a_text_matches_both() {
        for (one, other, can) in [
            ("", "", true),
            ("*", "", true),
            ("a*", "*b", true),
            ("a*", "b*", false),
            ("a?c", "?b?", true),
            ("a?c", "abcd", false),
            ("*a*", "b", false),
            ("*a*", "*b*", true),
            ("a*b*c", "a?c", true),
            ("a*b*c", "axc", false),
            ("**", "x", true),
            ("arn:*:assumed-role/Deploy/*", "arn:*:assumed-role/Admin/*", true),
            ("arn:aws:sts::1:assumed-role/Deploy/*", "arn:aws:sts::1:assumed-role/Admin/*", false),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                assert_eq!(meet(&Glob::new(one), &Glob::new(other), &mut 0), can, "{one} {other}");
            }
        }
        assert!(
            !meet(&Glob::new(&"*a".repeat(3000)), &Glob::new(&"*a".repeat(3000)), &mut 0),
            "too many steps"
        );
    }
}
