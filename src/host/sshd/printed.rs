//! What sshd prints of its settings.

use super::keyword::Keyword;

/// Everything that is in force for one connection, as sshd prints it (`sshd -T`, `sshd -G`): the settings that the agent
/// knows, with their values in sshd's own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveConfig(Vec<(Keyword, String)>);

impl EffectiveConfig {
    /// Reads `KEYWORD VALUE` lines.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let settings = text.lines().filter_map(|line| {
            let (word, value) = line.split_once(' ')?;
            Some((Keyword::parse(word)?, value.trim_ascii().to_owned()))
        });
        Self(settings.collect())
    }

    /// The value of a keyword. sshd prints `none` for what is not set, or the word in the case in which a `Match` has
    /// it (OpenSSH servconf.c, `option_clear_or_none`).
    #[must_use]
    pub fn value(&self, keyword: Keyword) -> Option<&str> {
        self.values(keyword).next().filter(|value| !value.eq_ignore_ascii_case("none"))
    }

    /// Every value of a keyword that takes many.
    pub fn values(&self, keyword: Keyword) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| *known == keyword).map(|(_, value)| value.as_str())
    }
}
