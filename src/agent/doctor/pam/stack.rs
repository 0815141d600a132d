//! libpam's judgement of a whole stack (`libpam/pam_dispatch.c`).

use std::collections::HashSet;

use super::answer::Answer;
use super::rules::{Action, Module, Rule};

/// Maximum number of states of libpam that are examined. Each rule adds few of them.
const MAX_STATES: usize = 20_000;

/// The result of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Good,
    /// The answer, and the index of the rule that it is from. The index is `None` if no rule decided.
    Refused(Answer, Option<usize>),
    /// The rules whose answers decide, and are unknown.
    Unknown(Vec<usize>),
}

/// Judges a stack. `answers` has the answers that each rule may give. A rule with one answer is known.
pub(super) fn judge(rules: &[Rule], answers: &[Vec<Answer>]) -> Outcome {
    let Some(walked) = walk(rules, answers) else { return Outcome::Unknown(unknown(answers)) };
    let outcomes = &walked.outcomes;
    let is_good = |outcome: &Outcome| *outcome == Outcome::Good;
    if outcomes.iter().all(is_good) {
        return Outcome::Good;
    }
    if let [outcome] = outcomes.as_slice() {
        return outcome.clone();
    }
    // A refusal is certain only if the login is refused whatever the unknown modules answer. The reported rule must be one
    // whose answer is known.
    let known = |outcome: &&Outcome| matches!(outcome, Outcome::Refused(_, Some(rule)) if !walked.reached.contains(rule));
    match outcomes.iter().find(known) {
        Some(refused) if !outcomes.iter().any(is_good) => refused.clone(),
        _ => Outcome::Unknown(deciding(rules, answers, walked.reached)),
    }
}

/// The rules with more than one answer.
fn unknown(answers: &[Vec<Answer>]) -> Vec<usize> {
    (0..).zip(answers).filter(|(_, answers)| answers.len() > 1).map(|(rule, _)| rule).collect()
}

/// The unknown rules that still decide when all other unknown rules succeed. If none does, all reached rules.
fn deciding(rules: &[Rule], answers: &[Vec<Answer>], reached: Vec<usize>) -> Vec<usize> {
    let decides = |rule: &usize| {
        let others = (0..).zip(answers).map(|(index, answers)| match answers.len() {
            0 | 1 => answers.clone(),
            _ if index == *rule => answers.clone(),
            _ => vec![Answer::Success],
        });
        let others: Vec<_> = others.collect();
        walk(rules, &others).is_none_or(|walked| walked.outcomes.len() > 1)
    };
    let found: Vec<_> = reached.iter().copied().filter(decides).collect();
    if found.is_empty() { reached } else { found }
}

/// What libpam may do.
struct Walked {
    /// The different results.
    outcomes: Vec<Outcome>,
    /// The rules that it may reach and that have more than one answer.
    reached: Vec<usize>,
}

/// libpam's impression of a stack so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Impression {
    Undefined,
    Positive(Answer, usize),
    Negative(Answer, usize),
}

/// What libpam knows when it comes to a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    at: usize,
    impression: Impression,
    /// The impression at the beginning of each open substack.
    outer: Vec<Impression>,
}

/// Walks through the stack as libpam does, for all answers that the modules may give. `None` if there are too many states.
fn walk(rules: &[Rule], answers: &[Vec<Answer>]) -> Option<Walked> {
    let impression = Impression::Undefined;
    let mut open = vec![State { at: 0, impression, outer: vec![impression] }];
    let mut seen: HashSet<State> = open.iter().cloned().collect();
    let mut walked = Walked { outcomes: Vec::new(), reached: Vec::new() };
    while let Some(mut state) = open.pop() {
        let Some(rule) = rules.get(state.at) else {
            let outcome = outcome(state.impression);
            if !walked.outcomes.contains(&outcome) {
                walked.outcomes.push(outcome);
            }
            continue;
        };
        state.outer.truncate(rule.level.saturating_add(1));
        while state.outer.len() <= rule.level {
            state.outer.push(state.impression);
        }
        let next: Vec<_> = match (&rule.module, answers.get(state.at)) {
            (Some(module), Some(answers)) => {
                if answers.len() > 1 && !walked.reached.contains(&state.at) {
                    walked.reached.push(state.at);
                }
                answers.iter().map(|answer| after(rules, module, *answer, &state)).collect()
            }
            _ => vec![State { at: state.at.saturating_add(1), ..state }],
        };
        for state in next {
            if seen.insert(state.clone()) {
                open.push(state);
            }
        }
        if seen.len() > MAX_STATES {
            return None;
        }
    }
    Some(walked)
}

/// The state after this answer of the module that the state is at.
fn after(rules: &[Rule], module: &Module, answer: Answer, state: &State) -> State {
    let State { mut at, mut impression, ref outer } = *state;
    let level = outer.len().saturating_sub(1);
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
    State { at: at.saturating_add(1), impression, outer: outer.clone() }
}

const fn outcome(impression: Impression) -> Outcome {
    match impression {
        Impression::Positive(Answer::Success, _) => Outcome::Good,
        Impression::Positive(answer, rule) | Impression::Negative(answer, rule) => {
            Outcome::Refused(answer, Some(rule))
        }
        Impression::Undefined => Outcome::Refused(Answer::PermDenied, None),
    }
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
    use super::super::answer::Step;
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
        let rules = rules::read(&root, "sshd", Step::Account).unwrap();
        std::fs::remove_dir_all(root).unwrap();
        let answers: Vec<_> = rules
            .iter()
            .map(|rule| {
                let Some(module) = &rule.module else { return Vec::new() };
                vec![match module.name() {
                    "success" => Answer::Success,
                    "denied" => Answer::PermDenied,
                    "reqd" => Answer::NewAuthtokReqd,
                    "expired" => Answer::AcctExpired,
                    "ignore" => Answer::Ignore,
                    "session" => return Answer::ALL_BUT_PASSWORD.to_vec(),
                    _ => return Answer::ALL.to_vec(),
                }]
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
                Outcome::Unknown(vec![1]),
            ),
            (
                "sufficient-unknown",
                "account required success\naccount sufficient mystery\n".into(),
                Outcome::Unknown(vec![1]),
            ),
            (
                "optional-without-password",
                "account required success\naccount optional session\naccount sufficient session\n".into(),
                Outcome::Good,
            ),
            (
                "listed",
                "account required success\naccount [default=ignore service_err=bad] mystery\n".into(),
                Outcome::Unknown(vec![1]),
            ),
            (
                "many-optional",
                format!("{}account required success\n", "account optional session\n".repeat(40)),
                Outcome::Good,
            ),
            (
                "deciding",
                "account required success\naccount optional session\naccount required session\n".into(),
                Outcome::Unknown(vec![2]),
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
        let many = "account required mystery\n".repeat(60);
        assert!(matches!(judged("many", &many), Outcome::Unknown(_)));
    }
}
