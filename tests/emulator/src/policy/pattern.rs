//! Texts of a policy: literals, the wildcards `*` and `?`, and policy variables such as `${aws:username}` (IAM User
//! Guide, "IAM policy elements: Variables and tags").

use super::Context;
use super::keys::is_known;

/// The longest text, in characters. It bounds the work of a comparison. An ARN has at most 2048.
const LONGEST: usize = 2048;
/// The most variables in a text. They bound its length after they are replaced.
const VARIABLES: usize = 16;

/// A text of a policy, ready for comparisons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Character(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// The key of a variable, and its default.
    Variable(String, Option<String>),
}

/// What has a meaning in a text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Syntax {
    pub(super) wildcards: bool,
    /// Policies of the version 2008-10-17 have no variables.
    pub(super) variables: bool,
}

impl Pattern {
    /// Reads a text. The error completes a sentence that begins with the place.
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, String> {
        if text.chars().count() > LONGEST {
            return Err(format!("is longer than {LONGEST} characters"));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(inside) = rest.strip_prefix("${").filter(|_| syntax.variables) {
                let (variable, after) = inside
                    .split_once('}')
                    .ok_or_else(|| format!("has a variable without an end: {text:?}"))?;
                parts.push(read_variable(variable)?);
                rest = after;
                continue;
            }
            parts.push(match first {
                '*' if syntax.wildcards => Part::Many,
                '?' if syntax.wildcards => Part::One,
                other => Part::Character(other),
            });
            rest = &rest[first.len_utf8()..];
        }
        if parts.iter().filter(|part| matches!(part, Part::Variable(..))).count() > VARIABLES {
            return Err(format!("has more than {VARIABLES} variables"));
        }
        Ok(Self(parts))
    }

    /// Whether a value is this text. `context` gives the values of variables. A text with a variable that has neither a
    /// value nor a default is no value's text.
    pub(super) fn matches(&self, value: &str, context: &Context, fold_case: bool) -> bool {
        let Some(pattern) = self.resolve(context) else { return false };
        let value: Vec<char> = value.chars().collect();
        glob(&pattern, &value, fold_case)
    }

    /// Like [`matches`](Self::matches) for ARNs: each of the six parts between colons is compared by itself.
    pub(super) fn matches_arn(&self, value: &str, context: &Context) -> bool {
        let Some(pattern) = self.resolve(context) else { return false };
        let mut patterns = pattern.splitn(6, |part| *part == Part::Character(':'));
        let mut values = value.splitn(6, ':');
        loop {
            match (patterns.next(), values.next()) {
                (None, None) => return true,
                (Some(pattern), Some(value)) => {
                    if !glob(pattern, &value.chars().collect::<Vec<_>>(), false) {
                        return false;
                    }
                }
                _ => return false,
            }
        }
    }

    /// Whether each variable has a value or a default.
    pub(super) fn has_values(&self, context: &Context) -> bool {
        self.0.iter().all(|part| match part {
            Part::Variable(key, default) => default.is_some() || context.get(key).is_some(),
            _ => true,
        })
    }

    /// Replaces variables by their values. A value has no wildcards.
    fn resolve(&self, context: &Context) -> Option<Vec<Part>> {
        let mut resolved = Vec::with_capacity(self.0.len());
        for part in &self.0 {
            match part {
                Part::Variable(key, default) => {
                    let value = context.get(key).or(default.as_deref())?;
                    resolved.extend(value.chars().map(Part::Character));
                }
                other => resolved.push(other.clone()),
            }
        }
        Some(resolved)
    }
}

/// The inside of `${…}`: a key, a key with a default, or one of the characters that need it.
fn read_variable(inside: &str) -> Result<Part, String> {
    if let "*" | "?" | "$" = inside {
        return Ok(Part::Character(inside.chars().next().unwrap_or('$')));
    }
    let (key, default) = match inside.split_once(',') {
        Some((key, default)) => {
            let default = default.trim().strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
            let default = default.ok_or_else(|| format!("has a default without quotes: ${{{inside}}}"))?;
            (key.trim(), Some(default.to_owned()))
        }
        None => (inside, None),
    };
    if !is_known(key) {
        return Err(format!("has a variable that the emulator does not know: ${{{inside}}}"));
    }
    Ok(Part::Variable(key.to_lowercase(), default))
}

/// Compares with wildcards. After a difference, it continues one character behind the last `*`. An earlier `*` need not
/// take more, so the work is at most the product of the two lengths.
fn glob(pattern: &[Part], value: &[char], fold_case: bool) -> bool {
    let is_same = |part: &Part, character: char| match part {
        Part::Character(own) if fold_case => own.to_lowercase().eq(character.to_lowercase()),
        Part::Character(own) => *own == character,
        Part::One => true,
        Part::Many | Part::Variable(..) => false,
    };
    let (mut at, mut read) = (0, 0);
    let mut retry = None;
    while read < value.len() {
        match pattern.get(at) {
            Some(Part::Many) => {
                retry = Some((at, read));
                at += 1;
            }
            Some(part) if is_same(part, value[read]) => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((many, from)) = retry else { return false };
                retry = Some((many, from + 1));
                (at, read) = (many + 1, from + 1);
            }
        }
    }
    pattern.get(at..).unwrap_or_default().iter().all(|part| *part == Part::Many)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const ALL: Syntax = Syntax { wildcards: true, variables: true };

    fn matches(pattern: &str, value: &str) -> bool {
        Pattern::parse(pattern, ALL).unwrap().matches(value, &Context::default(), false)
    }

    /// The definition, without regard to the time that it takes.
    fn naive(pattern: &[char], value: &[char]) -> bool {
        match (pattern.split_first(), value.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => (0..=value.len()).any(|taken| naive(rest, &value[taken..])),
            (Some(('?', pattern)), Some((_, value))) => naive(pattern, value),
            (Some((own, pattern)), Some((other, value))) => own == other && naive(pattern, value),
            _ => false,
        }
    }

    #[test]
    fn wildcards_agree_with_their_definition() {
        // Every pattern of at most five of these characters, with every value of at most five.
        let words = |alphabet: &[char]| {
            let mut all = vec![String::new()];
            let mut last = all.clone();
            for _ in 0..5 {
                last =
                    last.iter().flat_map(|word| alphabet.iter().map(move |c| format!("{word}{c}"))).collect();
                all.extend(last.clone());
            }
            all
        };
        let values: Vec<Vec<char>> = words(&['a', 'b']).iter().map(|word| word.chars().collect()).collect();
        let mut matched = 0;
        for pattern in words(&['a', 'b', '*', '?']) {
            let parsed = Pattern::parse(&pattern, ALL).unwrap();
            let characters: Vec<char> = pattern.chars().collect();
            for value in &values {
                let expected = naive(&characters, value);
                matched += u32::from(expected);
                assert_eq!(glob(&parsed.0, value, false), expected, "{pattern} {value:?}");
            }
        }
        assert!(matched > 1000, "{matched}");
    }

    #[test]
    fn hostile_wildcards_take_no_time() {
        let start = Instant::now();
        let pattern = "*a".repeat(LONGEST / 2);
        assert!(!matches(&pattern, &("a".repeat(4000) + "b")));
        assert!(!matches(&("*".repeat(LONGEST - 1) + "b"), &"a".repeat(8000)));
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(Pattern::parse(&"a".repeat(LONGEST + 1), ALL).is_err());
        assert!(Pattern::parse(&"${aws:username}".repeat(VARIABLES + 1), ALL).is_err());
    }

    #[test]
    fn variables_have_the_values_of_the_request() {
        let context = Context::default().with("aws:username", "a*").with("aws:PrincipalTag/Team", "red");
        for (text, value, expected) in [
            ("${aws:username}", "a*", true),
            ("${aws:username}", "ab", false),
            ("${AWS:UserName}-?", "a*-1", true),
            ("x/${aws:PrincipalTag/team}/*", "x/red/1", true),
            ("${aws:PrincipalTag/none}", "", false),
            ("${aws:PrincipalTag/none, 'blue'}", "blue", true),
            ("${aws:username, 'blue'}", "blue", false),
            ("${*}${?}${$}", "*?$", true),
            ("${*}", "a", false),
            ("a$b", "a$b", true),
        ] {
            let pattern = Pattern::parse(text, ALL).unwrap();
            assert_eq!(pattern.matches(value, &context, false), expected, "{text} {value}");
        }
        for bad in ["${aws:username", "${}", "${aws:usernam}", "${s3:prefix}", "${aws:username, blue}"] {
            assert!(Pattern::parse(bad, ALL).is_err(), "{bad}");
        }
        let literal = Pattern::parse("${aws:username}*", Syntax::default()).unwrap();
        assert!(literal.matches("${aws:username}*", &context, false));
    }

    #[test]
    fn case_is_folded_only_on_demand() {
        let pattern = Pattern::parse("Straße-Ä*", ALL).unwrap();
        assert!(pattern.matches("sTRAßE-äx", &Context::default(), true));
        assert!(!pattern.matches("sTRAßE-äx", &Context::default(), false));
    }

    #[test]
    fn arn_is_compared_part_by_part() {
        let like = |pattern: &str, value: &str| {
            Pattern::parse(pattern, ALL).unwrap().matches_arn(value, &Context::default())
        };
        let user = "arn:aws:iam::123456789012:user/team/alice";
        assert!(like("arn:aws:iam::*:user/*", user) && like("arn:*:iam:*:1?3456789012:*", user));
        assert!(!like("arn:*", user) && !like("*", user) && !like("arn:aws:iam::*:role/*", user));
        assert!(!like("arn:aws:*:user/*", user), "a wildcard does not cross a colon");
        assert!(like("arn:aws:x:::a:b*", "arn:aws:x:::a:b:c"), "the last part may have colons");
    }
}
