//! Rules, or patterns in them, that can never match, and patterns that are probably a mistake.
//!
//! A run ignores such a rule, and does not refuse the settings file. If it refused all keys because of the rule, an
//! upgrade of the agent could lock people out. So only `config` and `doctor` report the rule.
//!
//! | file | holds |
//! | --- | --- |
//! | [`forms`] | whether any text of a form can match a pattern |
//! | [`values`] | the forms of principals, accounts, login names and key algorithms |
//! | [`overlap`] | rules whose limits do not apply to some of their keys |
//! | [`mod@replaced`] | options of `[keys]` that a rule replaces |
//! | [`mod@unusable`] | rules that allow no key on this machine |

mod forms;
mod overlap;
mod replaced;
mod unusable;
mod values;

use std::fmt;

use eic_core::identity::Domain;
use eic_core::policy::{Action, Glob, Rule};
use eic_core::text::{MAX_SHOWN, printable};
use eic_login::config::{Origin, Settings, Sourced};
use serde::Serialize;

use self::forms::{Form, Set};
pub(crate) use self::replaced::{replaced, words as words_of_replaced};
pub(crate) use self::unusable::unusable;
use self::values::Mistake;
pub(crate) use self::values::{
    doubt as doubt_principal, key_type as check_key_type, principal as check_principal,
};

/// Maximum number of problems that are reported.
const MAX_PROBLEMS: usize = 50;

/// Maximum number of comparisons of two patterns. A file of 256 KiB can have more pairs.
const MAX_COMPARISONS: usize = 1_000_000;

/// A rule, or a pattern of it, that can never match or is probably a mistake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RuleProblem {
    /// The line of the rule.
    pub(crate) line: usize,
    /// The rule, or a list of it, such as `rule 1.principals`.
    pub(crate) key: String,
    /// Why, and what would match.
    pub(crate) what: String,
}

impl fmt::Display for RuleProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.line, self.key, self.what)
    }
}

/// Everything in the rules that can never match, or that matches none of the callers that it names.
pub(crate) fn problems(settings: &Settings) -> Vec<RuleProblem> {
    let domain = settings.domain.value.as_ref();
    let mut problems = Vec::new();
    let mut comparisons = 0;
    for (index, Sourced { value: rule, origin }) in settings.rules.iter().enumerate() {
        let line = if let Origin::File(line) = origin { *line } else { 0 };
        let number = index.saturating_add(1);
        let mut add = |list: &str, what: String| {
            let key =
                if list.is_empty() { format!("rule {number}") } else { format!("rule {number}.{list}") };
            problems.push(RuleProblem { line, key, what });
        };
        let before = settings.rules.iter().take(index).map(|before| &before.value);
        check(rule, domain, before, &mut comparisons, &mut add);
        if problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    problems.truncate(MAX_PROBLEMS);
    problems
}

/// What can match, but is probably a mistake.
pub(crate) fn doubts(settings: &Settings) -> Vec<RuleProblem> {
    let domain = settings.domain.value.as_ref();
    let doubts = settings.rules.iter().enumerate().flat_map(|(index, Sourced { value: rule, origin })| {
        let line = if let Origin::File(line) = origin { *line } else { 0 };
        rule.principals.iter().filter_map(move |pattern| {
            let why = doubt_principal(pattern, domain)?;
            let shown = printable(pattern.as_str(), MAX_SHOWN);
            Some(RuleProblem {
                line,
                key: format!("rule {}.principals", index.saturating_add(1)),
                what: format!("\"{shown}\" is probably a mistake: {why}"),
            })
        })
    });
    let all = doubts.chain(overlap::overlaps(settings)).chain(nothing_allowed(settings));
    all.take(MAX_PROBLEMS).collect()
}

/// A default of deny without a rule that allows.
fn nothing_allowed(settings: &Settings) -> Option<RuleProblem> {
    let Sourced { value: default, origin } = &settings.default_action;
    let has_allow = settings.rules.iter().any(|rule| rule.value.action == Action::Allow);
    (*default == Action::Deny && !has_allow).then(|| RuleProblem {
        line: if let Origin::File(line) = origin { *line } else { 0 },
        key: "policy.default".to_owned(),
        what: "no rule allows a key, so the agent refuses every pushed key".to_owned(),
    })
}

/// Judges the value of a pattern.
type Judge<'j> = &'j dyn Fn(&Glob) -> Result<(), Mistake>;

fn check<'r>(
    rule: &Rule,
    domain: Option<&Domain>,
    before: impl Iterator<Item = &'r Rule>,
    comparisons: &mut usize,
    add: &mut impl FnMut(&str, String),
) {
    let lists: [(&str, &[Glob], Judge<'_>); 4] = [
        ("users", &rule.users, &values::user),
        ("principals", &rule.principals, &|pattern| values::principal(pattern, domain)),
        ("accounts", &rule.accounts, &values::account),
        ("key_types", &rule.key_types, &values::key_type),
    ];
    let mut is_dead = false;
    for (name, patterns, judge) in lists {
        let mut dead = 0_usize;
        for (pattern, mistake) in patterns.iter().filter_map(|pattern| Some((pattern, judge(pattern).err()?)))
        {
            dead = dead.saturating_add(usize::from(mistake.is_certain));
            let shown = printable(pattern.as_str(), MAX_SHOWN);
            let is_all = mistake.is_certain && dead == patterns.len();
            let effect = if is_all { effect(rule, name) } else { "" };
            add(name, format!("\"{shown}\" {}{effect}", mistake.what));
        }
        is_dead |= dead > 0 && dead == patterns.len();
    }
    if is_dead {
        return;
    }
    if !has_principal_of_account(rule, domain) {
        add(
            "accounts",
            format!("no principal of this rule belongs to these accounts{}", effect(rule, "accounts")),
        );
        return;
    }
    for (index, earlier) in before.enumerate() {
        match covers(earlier, rule, comparisons) {
            Some(false) => {}
            Some(true) => {
                let number = index.saturating_add(1);
                let name = printable(&earlier.name, MAX_SHOWN);
                add(
                    "",
                    format!(
                        "never decides: rule {number} (\"{name}\") matches the same keys before it; move it above rule {number}, or remove it"
                    ),
                );
                return;
            }
            None => {
                add("", "not compared with the rules before it: there are too many patterns".to_owned());
                return;
            }
        }
    }
}

/// The consequence for keys, if no pattern of a list can match. An unknown value matches every list of a rule that
/// denies.
fn effect(rule: &Rule, list: &str) -> &'static str {
    match (rule.action, list) {
        (Action::Allow, _) => "; so the rule allows no key",
        (Action::Deny, "principals" | "accounts") => "; so the rule denies no key of a known principal",
        (Action::Deny, _) => "; so the rule denies no key",
    }
}

/// Whether any principal of the rule can belong to one of its accounts. Accounts with wildcards are not compared.
fn has_principal_of_account(rule: &Rule, domain: Option<&Domain>) -> bool {
    let is_plain = |account: &Glob| !account.as_str().contains(['*', '?']);
    if rule.principals.is_empty() || rule.accounts.is_empty() || !rule.accounts.iter().all(is_plain) {
        return true;
    }
    let forms: Vec<_> = rule.accounts.iter().map(|account| Form::default().text(account.as_str())).collect();
    let any = Form::default().times(Set::Digit, 12);
    // For long lists, this only checks whether a principal of the rule can belong to any account at all.
    if forms.len().saturating_mul(rule.principals.len()) > 10_000 {
        return rule.principals.iter().any(|principal| values::can_be_caller(principal, domain, &any));
    }
    rule.principals
        .iter()
        .any(|principal| forms.iter().any(|account| values::can_be_caller(principal, domain, account)))
}

/// Whether each key that matches `later` also matches `earlier`. `None` if that takes too many comparisons.
fn covers(earlier: &Rule, later: &Rule, comparisons: &mut usize) -> Option<bool> {
    let mut all = true;
    for (wide, narrow, is_always_known) in [
        (&earlier.users, &later.users, true),
        (&earlier.principals, &later.principals, false),
        (&earlier.accounts, &later.accounts, false),
        (&earlier.key_types, &later.key_types, true),
    ] {
        all = all && list_covers(wide, narrow, is_always_known, (earlier.action, later.action), comparisons)?;
    }
    Some(all)
}

/// Whether each value that matches `narrow` matches `wide`. An unknown value matches an empty list, and every list of a
/// rule that denies.
fn list_covers(
    wide: &[Glob],
    narrow: &[Glob],
    is_always_known: bool,
    (earlier, later): (Action, Action),
    comparisons: &mut usize,
) -> Option<bool> {
    if wide.is_empty() {
        return Some(true);
    }
    let unknown_fits_later = narrow.is_empty() || later == Action::Deny;
    if !is_always_known && unknown_fits_later && earlier == Action::Allow {
        return Some(false);
    }
    let every = [Glob::new("*")];
    let narrow = if narrow.is_empty() { every.as_slice() } else { narrow };
    *comparisons = comparisons.saturating_add(wide.len().saturating_mul(narrow.len()));
    if *comparisons > MAX_COMPARISONS {
        return None;
    }
    Some(narrow.iter().all(|narrow| wide.iter().any(|wide| pattern_covers(wide, narrow))))
}

/// Whether each text that matches `narrow` also matches `wide`. `false` may be wrong, `true` never is. If the patterns
/// differ, this treats `narrow` as a text. If `narrow` has a `*` and `wide` has a `?`, the answer is `false`,
/// because the `*` can be more than one character.
fn pattern_covers(wide: &Glob, narrow: &Glob) -> bool {
    let can_mislead = wide.as_str().contains('?') && narrow.as_str().contains('*');
    wide == narrow || (!can_mislead && wide.matches(narrow.as_str()))
}

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod tests;
