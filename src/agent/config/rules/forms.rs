//! Whether any text of a form can match a pattern.
//!
//! A form is a sequence of characters from given sets. The answer is exact: pattern and form are compared
//! step by step. There is no list of known mistakes.

use eic_core::policy::Glob;

/// Characters that are rare in paths of IAM.
const RARE: &str = ":{}[]\x7f";

/// A set of characters.
#[derive(Clone, Copy)]
pub(super) enum Set {
    One(char),
    Digit,
    /// Names of IAM: `[\w+=,.@-]` (IAM API reference, `UserName`, `RoleSessionName`).
    Name,
    /// Paths of IAM: from `!` to DEL (IAM API reference, `Path`).
    Path,
    /// Paths of IAM without `:{}[]` and DEL. Users with one of these in their path are rare, so a pattern with one of these is
    /// probably a mistake.
    UsualPath,
    /// The first character of a login name (EC2 Instance Connect API reference, `InstanceOSUser`).
    UserFirst,
    /// A further character of a login name.
    User,
    /// The last character of a login name.
    UserLast,
}

impl Set {
    fn has(self, c: char) -> bool {
        match self {
            Self::One(one) => c == one,
            Self::Digit => c.is_ascii_digit(),
            Self::Name => c.is_ascii_alphanumeric() || "_+=,.@-".contains(c),
            Self::Path => matches!(c, '!'..='\x7f'),
            Self::UsualPath => c.is_ascii_graphic() && !RARE.contains(c),
            Self::UserFirst => c.is_ascii_alphabetic() || c == '_',
            Self::User => c.is_ascii_alphanumeric() || "@._-".contains(c),
            Self::UserLast => c.is_ascii_alphanumeric() || "$_-".contains(c),
        }
    }
}

/// One position of a form.
#[derive(Clone, Copy)]
struct Place {
    set: Set,
    /// Whether the character may be missing.
    is_optional: bool,
    /// Whether the character may be repeated.
    is_repeated: bool,
}

/// A form of text.
#[derive(Clone, Default)]
pub(super) struct Form(Vec<Place>);

impl Form {
    pub(super) fn text(mut self, text: &str) -> Self {
        self.0.extend(text.chars().map(|c| Place {
            set: Set::One(c),
            is_optional: false,
            is_repeated: false,
        }));
        self
    }

    pub(super) fn then(mut self, other: &Self) -> Self {
        self.0.extend(&other.0);
        self
    }

    /// Exactly `count` characters.
    pub(super) fn times(mut self, set: Set, count: usize) -> Self {
        self.0.extend(std::iter::repeat_n(Place { set, is_optional: false, is_repeated: false }, count));
        self
    }

    /// At most `count` characters.
    pub(super) fn up_to(mut self, set: Set, count: usize) -> Self {
        self.0.extend(std::iter::repeat_n(Place { set, is_optional: true, is_repeated: false }, count));
        self
    }

    /// One or more characters.
    pub(super) fn some(mut self, set: Set) -> Self {
        self.0.push(Place { set, is_optional: false, is_repeated: true });
        self
    }

    /// Whether any text of this form matches the pattern.
    pub(super) fn can_match(&self, pattern: &Glob) -> bool {
        let pattern: Vec<char> = pattern.as_str().chars().collect();
        let width = pattern.len().saturating_add(1);
        // The positions in the pattern that are reachable after the characters of the form up to `place`.
        let mut reached = vec![false; width];
        set(&mut reached, 0);
        skip_stars(&pattern, &mut reached);
        for place in &self.0 {
            let mut next = step(&pattern, &reached, place.set);
            if place.is_repeated {
                // Each round reaches at least one new position in the pattern, or is the last.
                loop {
                    let again = step(&pattern, &next, place.set);
                    let is_new = again.iter().zip(&next).any(|(again, next)| *again && !*next);
                    if !is_new {
                        break;
                    }
                    merge(&mut next, &again);
                }
            }
            if place.is_optional {
                merge(&mut next, &reached);
            }
            reached = next;
        }
        reached.last().copied().unwrap_or(false)
    }
}

fn set(positions: &mut [bool], at: usize) {
    if let Some(position) = positions.get_mut(at) {
        *position = true;
    }
}

fn merge(into: &mut [bool], from: &[bool]) {
    for (into, from) in into.iter_mut().zip(from) {
        *into |= *from;
    }
}

/// The positions that one more character of `allowed` reaches.
fn step(pattern: &[char], reached: &[bool], allowed: Set) -> Vec<bool> {
    let mut next = vec![false; reached.len()];
    for (at, wanted) in pattern.iter().enumerate() {
        if !reached.get(at).copied().unwrap_or(false) {
            continue;
        }
        let to = if *wanted == '*' { at } else { at.saturating_add(1) };
        if "*?".contains(*wanted) || allowed.has(*wanted) {
            set(&mut next, to);
        }
    }
    skip_stars(pattern, &mut next);
    next
}

/// A star also matches the empty text.
fn skip_stars(pattern: &[char], reached: &mut [bool]) {
    for (at, wanted) in pattern.iter().enumerate() {
        if *wanted == '*' && reached.get(at).copied().unwrap_or(false) {
            set(reached, at.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pattern_can_match_only_texts_of_the_form() {
        let form =
            || Form::default().text("a").times(Set::Digit, 2).text(":").some(Set::Name).up_to(Set::Name, 1);
        for (pattern, can) in [
            ("*", true),
            ("a12:x", true),
            ("a??:*", true),
            ("a*:*", true),
            ("*x", true),
            ("????x", true),
            ("a*", true),
            ("*:*:*", false),
            ("a1:x", false),
            ("a123:x", false),
            ("a12:", false),
            ("a12", false),
            ("a[0-9]*", false),
            ("b*", false),
            ("????", false),
            ("", false),
            ("*{x}", false),
        ] {
            assert_eq!(form().can_match(&Glob::new(pattern)), can, "{pattern}");
        }
    }

    #[test]
    fn long_pattern_takes_bounded_time() {
        let started = std::time::Instant::now();
        let form = Form::default().text("arn:").some(Set::Path).text("/").some(Set::Path);
        assert!(form.can_match(&Glob::new(&format!("arn:{}/x", "*a".repeat(2000)))));
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    }
}
