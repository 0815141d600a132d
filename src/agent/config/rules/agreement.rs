//! What the linter says about random patterns, compared with the matcher on random principals.

use std::path::Path;

use eic_login::config::CommandLine;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Names of IAM: `[\w+=,.@-]`.
const NAME: &str = "[A-Za-z0-9_+=,.@-]{1,6}";

/// The ARN of a caller, as the service can sign it. A path of IAM has any character from `!` to DEL.
fn arn() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        Just(String::new()),
        "[!-\x7f]{1,8}/",
        "[a-c:{}\\[\\]\x7f/]{1,6}/",
        select(vec!["x:role/", "a:b/", "x:assumed-role/", "{a,b}/", "[a]/", "x:sts::1/"])
            .prop_map(str::to_owned),
    ];
    let resource = prop_oneof![
        (NAME, NAME).prop_map(|(role, session)| ("sts", format!("assumed-role/{role}/{session}"))),
        NAME.prop_map(|name| ("sts", format!("federated-user/{name}"))),
        (path, NAME).prop_map(|(path, name)| ("iam", format!("user/{path}{name}"))),
        Just(("iam", "root".to_owned())),
    ];
    let partition = select(vec!["aws", "aws-cn", "aws-us-gov", "aws-eusc"]);
    (partition, "[0-9]{12}", resource).prop_map(|(partition, account, (service, resource))| {
        format!("arn:{partition}:{service}::{account}:{resource}")
    })
}

/// A pattern that matches the text: some of its parts became stars or question marks.
fn pattern_of(text: String) -> impl Strategy<Value = (String, String)> {
    let length = text.chars().count();
    vec((0..=length, 0_usize..12, any::<bool>()), 0..6).prop_map(move |cuts| {
        let mut pattern: Vec<Option<char>> = text.chars().map(Some).collect();
        for (from, count, is_star) in cuts {
            for (index, place) in pattern.iter_mut().skip(from).take(count).enumerate() {
                *place = if is_star && index > 0 { None } else { Some(if is_star { '*' } else { '?' }) };
            }
        }
        // Each run of removed characters needs a star. A later cut may have replaced it, so add it again.
        let mut shown = String::new();
        for place in pattern {
            match place {
                Some(c) => shown.push(c),
                None if shown.ends_with('*') => {}
                None => shown.push('*'),
            }
        }
        (shown, text.clone())
    })
}

fn rules_of(list: &str, pattern: &str) -> Option<(Vec<String>, Vec<String>)> {
    let quoted: Vec<_> = pattern.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
    let quoted = quoted.concat();
    let text = format!("[[rule]]\naction = \"deny\"\n{list} = [\"{quoted}\"]\n");
    let settings = Settings::of_text(&CommandLine::default(), Path::new("/x"), &text).ok()?;
    let words = |list: Vec<RuleProblem>| list.iter().map(ToString::to_string).collect();
    Some((words(problems(&settings)), words(doubts(&settings))))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn pattern_that_matches_a_caller_is_never_said_to_match_none((pattern, arn) in arn().prop_flat_map(pattern_of)) {
        prop_assert!(Glob::new(&pattern).matches(&arn), "{pattern} {arn}");
        if let Some((problems, doubts)) = rules_of("principals", &pattern) {
            prop_assert!(!problems.concat().contains("never"), "{pattern} matches {arn}: {problems:?}");
            // If the linter reports a pattern, it may match only callers with a rare path.
            if !problems.is_empty() || !doubts.is_empty() {
                let path = arn.split_once(":user/").and_then(|(_, rest)| rest.rsplit_once('/'));
                let is_rare = path.is_some_and(|(path, _)| path.contains([':', '{', '}', '[', ']', '\x7f']));
                prop_assert!(is_rare, "{pattern} matches {arn}: {problems:?} {doubts:?}");
            }
        }
    }

    #[test]
    fn random_pattern_that_matches_a_caller_is_never_said_to_match_none(
        parts in vec(select(vec![
            "*", "?", "*", ":", "/", "arn:aws:", "iam::", "sts::", "123456789012", "user/", "role/", "root",
            "assumed-role/", "federated-user/", "group/", "a", "b", "{a}", "[b]", "bob", ":b/", "\x7f",
        ]), 1..7),
        arns in vec(arn(), 20),
    ) {
        let pattern = parts.concat();
        let matched = arns.iter().find(|arn| Glob::new(&pattern).matches(arn));
        if let (Some((problems, _)), Some(arn)) = (rules_of("principals", &pattern), matched) {
            prop_assert!(!problems.concat().contains("never"), "{pattern} matches {arn}: {problems:?}");
        }
    }

    #[test]
    fn account_and_login_name_that_match_are_never_said_to_match_none(
        (account, account_text) in "[0-9]{12}".prop_flat_map(pattern_of),
        (user, user_text) in "[A-Za-z_][A-Za-z0-9@._-]{0,30}[A-Za-z0-9$_-]?".prop_flat_map(pattern_of),
    ) {
        for (list, pattern, text) in [("accounts", account, account_text), ("users", user, user_text)] {
            prop_assert!(Glob::new(&pattern).matches(&text), "{pattern} {text}");
            let (problems, _) = rules_of(list, &pattern).unwrap_or_default();
            prop_assert!(problems.is_empty(), "{pattern} matches {text}: {problems:?}");
        }
    }
}
