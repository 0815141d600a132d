//! The keywords of sshd's configuration that the agent knows, and the parser of configuration lines.

use std::borrow::Cow;
use std::fmt;

/// White space between the words of a line (OpenSSH misc.c, `WHITESPACE`).
const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];

macro_rules! keywords {
    ($($keyword:ident),+ $(,)?) => {
        /// A keyword of `sshd_config(5)`.
        ///
        /// sshd accepts keywords in any case (OpenSSH servconf.c, `parse_token`). It prints them in lower case up
        /// to 10.3, and in mixed case since 10.4. Only [`Keyword::parse`] converts text to a keyword, so no
        /// comparison depends on the case.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each is documented in sshd_config(5) under its own name")]
        pub enum Keyword {
            $($keyword),+
        }

        impl Keyword {
            /// Every keyword, with the spelling of `sshd_config(5)`.
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$keyword, stringify!($keyword))),+];

            const fn name(self) -> &'static str {
                match self {
                    $(Self::$keyword => stringify!($keyword)),+
                }
            }
        }
    };
}

keywords! {
    AllowGroups,
    AllowUsers,
    AuthenticationMethods,
    AuthorizedKeysCommand,
    AuthorizedKeysCommandUser,
    ChrootDirectory,
    DebianBanner,
    DenyGroups,
    DenyUsers,
    ForceCommand,
    HostKey,
    HostKeyAgent,
    HostKeyAlgorithms,
    Include,
    LoginGraceTime,
    Match,
    MaxAuthTries,
    MaxSessions,
    PAMServiceName,
    PerSourceMaxStartups,
    PermitRootLogin,
    PermitUserEnvironment,
    PidFile,
    Port,
    PubkeyAcceptedAlgorithms,
    PubkeyAcceptedKeyTypes,
    PubkeyAuthentication,
    RefuseConnection,
    RequiredRSASize,
    RevokedKeys,
    UsePAM,
}

/// The spelling of `sshd_config(5)`.
impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Keyword {
    /// Parses a keyword in any case. Returns `None` if the agent does not know the keyword.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| name.eq_ignore_ascii_case(word)).map(|(keyword, _)| *keyword)
    }

    /// Parses a line of sshd's configuration, or an `-o` option, into keyword and value. Returns `None` for a
    /// comment and for a keyword that the agent does not know.
    ///
    /// The rules are sshd's (OpenSSH servconf.c, `process_server_config_line_depth`): white space or one `=` ends
    /// the keyword, and the keyword may be in double quotes.
    #[must_use]
    pub fn of_line(line: &str) -> Option<(Self, &str)> {
        let line = line.trim_end_matches([' ', '\t', '\r', '\n', '\u{c}']);
        let (mut word, mut value) = token(line)?;
        if word.is_empty() {
            (word, value) = token(value)?;
        }
        Some((Self::parse(&word)?, value))
    }

    /// Whether these bytes contain the keyword in any case, also as part of a longer word.
    #[must_use]
    pub fn is_in(self, bytes: &[u8]) -> bool {
        let name = self.name().as_bytes();
        bytes.windows(name.len()).any(|part| part.eq_ignore_ascii_case(name))
    }
}

/// Splits a text into its first word and the rest after the separator (OpenSSH misc.c, `strdelim`). Returns `None`
/// if a quotation mark is not closed. The word is empty if the text begins with a separator.
fn token(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let is_end = |c: char| WHITE.contains(&c) || matches!(c, '"' | '=');
    let Some(end) = text.find(is_end) else { return Some((text.into(), "")) };
    let (word, rest) = text.split_at_checked(end)?;
    if let Some(quoted) = rest.strip_prefix('"') {
        let (quoted, rest) = quoted.split_once('"')?;
        return Some((format!("{word}{quoted}").into(), rest.trim_start_matches(WHITE)));
    }
    if let Some(rest) = rest.strip_prefix('=') {
        return Some((word.into(), rest.trim_start_matches(WHITE)));
    }
    let rest = rest.trim_start_matches(WHITE);
    let rest = rest.strip_prefix('=').map_or(rest, |rest| rest.trim_start_matches(WHITE));
    Some((word.into(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_in_any_case() {
        for (keyword, name) in Keyword::ALL {
            assert_eq!(keyword.to_string(), *name);
            for written in [(*name).to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase()] {
                assert_eq!(Keyword::parse(&written), Some(*keyword), "{written}");
            }
        }
        for other in ["", "Ciphers", "AllowUsers ", "AllowUsersX", "\u{ff21}llowUsers"] {
            assert_eq!(Keyword::parse(other), None, "{other}");
        }
    }

    #[test]
    fn lines_are_parsed_as_by_sshd() {
        let command = Keyword::AuthorizedKeysCommand;
        for (line, expected) in [
            ("AuthorizedKeysCommand /x %u", Some((command, "/x %u"))),
            ("\tauthorizedkeyscommand \t /x\r", Some((command, "/x"))),
            ("AUTHORIZEDKEYSCOMMAND=/x", Some((command, "/x"))),
            ("AuthorizedKeysCommand = /x", Some((command, "/x"))),
            ("AuthorizedKeysCommand == /x", Some((command, "= /x"))),
            ("AuthorizedKeysCommand  =/x=y", Some((command, "/x=y"))),
            ("=AuthorizedKeysCommand /x", Some((command, "/x"))),
            ("\"AuthorizedKeysCommand\" /x", Some((command, "/x"))),
            ("AuthorizedKeys\"Command\"/x", Some((command, "/x"))),
            ("AuthorizedKeysCommand\r/x", Some((command, "/x"))),
            ("AuthorizedKeysCommand /x\u{a0}", Some((command, "/x\u{a0}"))),
            ("AuthorizedKeysCommand", Some((command, ""))),
            ("AuthorizedKeysCommandUser y", Some((Keyword::AuthorizedKeysCommandUser, "y"))),
            ("# AuthorizedKeysCommand /x", None),
            ("#AuthorizedKeysCommand /x", None),
            ("\"AuthorizedKeysCommand /x", None),
            ("AuthorizedKeysCommand/x", None),
            ("  ", None),
            ("", None),
        ] {
            assert_eq!(Keyword::of_line(line), expected, "{line:?}");
        }
    }

    #[test]
    fn keyword_is_found_anywhere_in_bytes() {
        let command = Keyword::AuthorizedKeysCommand;
        for text in
            ["AuthorizedKeysCommand", "-o\"authorizedKEYScommand=/x\"", "\u{e9}AuthorizedKeysCommandUser"]
        {
            assert!(command.is_in(text.as_bytes()), "{text}");
        }
        for text in ["", "AuthorizedKeys Command", "AuthorizedKeysComman"] {
            assert!(!command.is_in(text.as_bytes()), "{text}");
        }
    }
}
