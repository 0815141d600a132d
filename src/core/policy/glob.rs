//! Patterns of rules.

use alloc::borrow::ToOwned;
use alloc::string::String;

/// A pattern: `*` matches any number of characters, `?` matches exactly one. It is case-sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Makes a pattern from its text in the settings.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.to_owned())
    }

    /// The text of the pattern.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern matches the whole of `text`.
    ///
    /// Only the last star is retried. So the work is at most the product of the two lengths.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let mut pattern = self.0.chars();
        let mut rest = text.chars();
        // The retry position after a mismatch: the pattern after the last star, and the text that the star has not
        // consumed.
        let mut retry = None;
        loop {
            let (mut pattern_ahead, mut rest_ahead) = (pattern.clone(), rest.clone());
            let fits = match (pattern_ahead.next(), rest_ahead.next()) {
                (Some('*'), _) => {
                    retry = Some((pattern_ahead.clone(), rest.clone()));
                    rest_ahead = rest.clone();
                    true
                }
                (Some('?'), Some(_)) => true,
                (Some(wanted), Some(came)) => wanted == came,
                (None, None) => return true,
                _ => false,
            };
            if fits {
                (pattern, rest) = (pattern_ahead, rest_ahead);
                continue;
            }
            let Some((after_star, mut eaten)) = retry.take() else { return false };
            if eaten.next().is_none() {
                return false;
            }
            retry = Some((after_star.clone(), eaten.clone()));
            (pattern, rest) = (after_star, eaten);
        }
    }
}
