//! The settings that sshd prints.

use super::keyword::Keyword;

/// The effective settings for one connection, as sshd prints them (`sshd -T`, `sshd -G`). Contains only the
/// keywords that the agent knows, with sshd's own spelling of the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig(Vec<(Keyword, String)>);

impl EffectiveConfig {
    /// Parses lines of the form `KEYWORD VALUE`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let settings = text.lines().filter_map(|line| {
            let (word, value) = line.split_once(' ')?;
            Some((Keyword::parse(word)?, value.trim_ascii().to_owned()))
        });
        Self(settings.collect())
    }

    /// The value of a keyword. Returns `None` for `none`. sshd prints `none` for a keyword that is not set. For a
    /// value from a `Match`, sshd keeps the case of the word (OpenSSH servconf.c, `option_clear_or_none`).
    #[must_use]
    pub fn value(&self, keyword: Keyword) -> Option<&str> {
        self.values(keyword).next().filter(|value| !value.eq_ignore_ascii_case("none"))
    }

    /// Every value of a keyword that can have several values.
    pub fn values(&self, keyword: Keyword) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| *known == keyword).map(|(_, value)| value.as_str())
    }
}
