//! libpam's judgement of a whole stack (`libpam/pam_dispatch.c`).

use super::answer::Answer;
use super::rules::{Action, Rule};

/// The answers that are tried for a module whose answer is unknown. The usual controls treat every other answer like
/// `perm_denied`, apart from `new_authtok_reqd`.
const TRIED: [Answer; 4] = [Answer::Success, Answer::PermDenied, Answer::UserUnknown, Answer::Ignore];

/// Maximum number of modules whose answers are tried. Each multiplies the work by four.
const MAX_UNKNOWN: usize = 4;

/// The result of the account step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    /// The answer, and the index of the rule that it is from. The index is `None` if no rule decided.
    Refused(Answer, Option<usize>),
    /// The rules whose answers decide, and are unknown.
    Unknown(Vec<usize>),
}

/// Judges a stack. `answers` has one answer for each rule. `None` is an unknown answer.
pub(super) fn judge(rules: &[Rule], answers: &[Option<Answer>]) -> Outcome {
    let mut outcomes = Vec::new();
    let mut reached = Vec::new();
    collect(rules, &mut answers.to_vec(), &mut reached, &mut outcomes);
    let Some(first) = outcomes.first() else { return Outcome::Unknown(reached) };
    let is_good = |outcome: &Outcome| *outcome == Outcome::Good;
    if outcomes.iter().all(is_good) {
        return Outcome::Good;
    }
    if reached.is_empty() {
        return first.clone();
    }
    // A refusal is certain only if the login is refused whatever the unknown modules answer. The reported rule must be one
    // whose answer is known.
    let known =
        |outcome: &&Outcome| matches!(outcome, Outcome::Refused(_, Some(rule)) if !reached.contains(rule));
    match outcomes.iter().find(known) {
        Some(refused) if !outcomes.iter().any(is_good) && reached.len() <= MAX_UNKNOWN => refused.clone(),
        _ => Outcome::Unknown(reached),
    }
}

/// Collects the outcomes for all answers that unknown modules may give.
fn collect(
    rules: &[Rule],
    answers: &mut Vec<Option<Answer>>,
    reached: &mut Vec<usize>,
    outcomes: &mut Vec<Outcome>,
) {
    match dispatch(rules, answers) {
        Ok(outcome) => outcomes.push(outcome),
        Err(rule) => {
            if !reached.contains(&rule) {
                reached.push(rule);
            }
            if reached.len() > MAX_UNKNOWN {
                return;
            }
            for tried in TRIED {
                if let Some(answer) = answers.get_mut(rule) {
                    *answer = Some(tried);
                }
                collect(rules, answers, reached, outcomes);
            }
            if let Some(answer) = answers.get_mut(rule) {
                *answer = None;
            }
        }
    }
}

/// libpam's impression of a stack so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Impression {
    Undefined,
    Positive(Answer, usize),
    Negative(Answer, usize),
}

/// Walks through the stack as libpam does. The error is the first rule whose answer is needed and unknown.
fn dispatch(rules: &[Rule], answers: &[Option<Answer>]) -> Result<Outcome, usize> {
    let mut impression = Impression::Undefined;
    // The impression at the beginning of each open substack.
    let mut outer: Vec<Impression> = vec![impression];
    let mut at = 0;
    while let Some(rule) = rules.get(at) {
        let level = rule.level;
        outer.truncate(level.saturating_add(1));
        while outer.len() <= level {
            outer.push(impression);
        }
        let Some(module) = &rule.module else {
            at = at.saturating_add(1);
            continue;
        };
        let answer = answers.get(at).copied().flatten().ok_or(at)?;
        let accepts = matches!(impression, Impression::Undefined | Impression::Positive(Answer::Success, _));
        let mut ends = false;
        match module.action(answer) {
            Action::Ok | Action::Done if accepts => {
                impression = Impression::Positive(answer, at);
                ends = module.action(answer) == Action::Done;
            }
            Action::Done => ends = matches!(impression, Impression::Positive(..)),
            Action::Ok | Action::Ignore => {}
            Action::Bad | Action::Die => {
                if !matches!(impression, Impression::Negative(..)) {
                    impression = Impression::Negative(answer, at);
                }
                ends = module.action(answer) == Action::Die;
            }
            Action::Reset => impression = outer.get(level).copied().unwrap_or(Impression::Undefined),
            Action::Jump(count) => match skipped(rules, at, count) {
                Some(last) => at = last,
                None => impression = Impression::Negative(answer, at),
            },
        }
        if ends {
            while rules.get(at.saturating_add(1)).is_some_and(|next| next.level >= level) {
                at = at.saturating_add(1);
            }
        }
        at = at.saturating_add(1);
    }
    Ok(match impression {
        Impression::Positive(Answer::Success, _) => Outcome::Good,
        Impression::Positive(answer, rule) | Impression::Negative(answer, rule) => {
            Outcome::Refused(answer, Some(rule))
        }
        Impression::Undefined => Outcome::Refused(Answer::PermDenied, None),
    })
}

/// The index of the last of the `count` rules after `at`. A substack counts as one rule. `None` if there are fewer.
fn skipped(rules: &[Rule], mut at: usize, count: usize) -> Option<usize> {
    let level = rules.get(at)?.level;
    for _ in 0..count {
        let next = at.saturating_add(1);
        rules.get(next).filter(|rule| rule.level >= level)?;
        at = next;
        while rules.get(at.saturating_add(1)).is_some_and(|rule| rule.level > level) {
            at = at.saturating_add(1);
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::super::rules;
    use super::*;

    /// Judges the rules of this text. The name of a module is its answer: `success`, `denied`, … Every other name means an
    /// unknown answer.
    fn judged(name: &str, text: &str) -> Outcome {
        let root = std::env::temp_dir().join(format!("eic-agent-stack-{name}-{}", std::process::id()));
        let folder = root.join("etc/pam.d");
        std::fs::create_dir_all(&folder).unwrap();
        for (index, part) in text.split("---\n").enumerate() {
            std::fs::write(folder.join(["sshd", "sub"][index]), part).unwrap();
        }
        let rules = rules::read(&root, "sshd").unwrap();
        std::fs::remove_dir_all(root).unwrap();
        let answers: Vec<_> = rules
            .iter()
            .map(|rule| {
                Some(match rule.module.as_ref()?.name() {
                    "success" => Answer::Success,
                    "denied" => Answer::PermDenied,
                    "reqd" => Answer::NewAuthtokReqd,
                    "expired" => Answer::AcctExpired,
                    "ignore" => Answer::Ignore,
                    _ => return None,
                })
            })
            .collect();
        judge(&rules, &answers)
    }

    #[test]
    fn stacks_are_judged_as_linux_pam_judges_them() {
        use Answer as A;
        let debian = |module: &str| {
            format!(
                "account required ignore\naccount [success=1 new_authtok_reqd=done default=ignore] {module}\n\
                 account requisite denied\naccount required success\n"
            )
        };
        for (name, text, outcome) in [
            ("debian-good", debian("success"), Outcome::Good),
            ("debian-reqd", debian("reqd"), Outcome::Refused(A::NewAuthtokReqd, Some(1))),
            ("debian-expired", debian("expired"), Outcome::Refused(A::PermDenied, Some(2))),
            ("debian-unknown", debian("mystery"), Outcome::Unknown(vec![1])),
            ("empty-stack", "account required ignore\n".into(), Outcome::Refused(A::PermDenied, None)),
            (
                "sufficient",
                "account required success\naccount sufficient success\naccount required denied\n".into(),
                Outcome::Good,
            ),
            (
                "failed-first",
                "account required expired\naccount sufficient success\naccount required mystery\n".into(),
                Outcome::Refused(A::AcctExpired, Some(0)),
            ),
            (
                "unknown-first",
                "account required mystery\naccount required expired\n".into(),
                Outcome::Refused(A::AcctExpired, Some(1)),
            ),
            ("unknown", "account required success\naccount required mystery\n".into(), Outcome::Unknown(vec![1])),
            (
                "optional",
                "account required success\naccount optional mystery\n".into(),
                Outcome::Good,
            ),
            (
                "substack",
                "account substack sub\naccount required success\n---\naccount sufficient success\naccount required denied\n".into(),
                Outcome::Good,
            ),
            (
                "substack-jump",
                "account [success=1 default=bad] success\naccount substack sub\naccount required success\n---\naccount required denied\naccount required denied\n".into(),
                Outcome::Good,
            ),
            (
                "far-jump",
                "account [success=3 default=bad] success\naccount required success\n".into(),
                Outcome::Refused(A::Success, Some(0)),
            ),
            (
                "reset",
                "account required success\naccount [default=reset] success\n".into(),
                Outcome::Refused(A::PermDenied, None),
            ),
        ] {
            assert_eq!(judged(name, &text), outcome, "{name}");
        }
        let many = "account required mystery\n".repeat(6);
        assert!(matches!(judged("many", &many), Outcome::Unknown(_)));
    }
}
