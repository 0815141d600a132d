//! The lines of sshd's configuration that the agent and every release of sshd parse in the same way.
//!
//! Releases differ in quotation marks, comments, carriage returns and long lines (OpenSSH servconf.c and misc.c,
//! 7.4 to 10.5: `strdelim`, `argv_split`, `load_server_config`). A line outside of this grammar is ambiguous. This
//! module only finds such lines; [`Keyword::of_line`] parses them.

use std::fmt;
use std::path::PathBuf;

use eic_core::text::{MAX_SHOWN, printable_bytes};

use super::keyword::Keyword;

/// Longest line in bytes, without the newline. The buffer of OpenSSH 7.4 is no larger (servconf.c,
/// `load_server_config`).
const MAX_LINE: usize = 4094;

/// The keywords that decide which command runs for which user.
const DECIDING: [Keyword; 4] =
    [Keyword::AuthorizedKeysCommand, Keyword::AuthorizedKeysCommandUser, Keyword::Match, Keyword::Include];

/// Why sshd may parse a line differently than the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// A NUL byte. sshd joins the next line to this one.
    Nul,
    /// A line of this many bytes.
    Long(usize),
    /// A control character other than a tab.
    Control(u8),
    /// The keyword does not consist of letters and digits, or no blank or `=` follows it.
    NotPlain,
    /// The value of a deciding keyword does not have the expected form, which is given.
    Value(Keyword, &'static str),
    /// A deciding keyword in a position where it should have no meaning.
    Mentioned(Keyword),
    /// More levels, files or bytes than the limit.
    TooMany(&'static str, usize),
    /// A file name that may or may not match a pattern.
    Name(String),
    /// A file that cannot be read completely, and why.
    Unreadable(String),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nul => f.write_str("expected text, got a NUL byte, which joins two lines"),
            Self::Long(bytes) => write!(f, "expected at most {MAX_LINE} bytes in a line, got {bytes}"),
            Self::Control(byte) => write!(f, "expected no control character, got \\x{byte:02x}"),
            Self::NotPlain => f.write_str("expected a keyword of letters and digits and then a blank or ="),
            Self::Value(keyword, expected) => write!(f, "expected {expected} as the value of {keyword}"),
            Self::Mentioned(keyword) => {
                write!(f, "expected {keyword} only as a keyword at the start of a line")
            }
            Self::TooMany(what, limit) => write!(f, "expected at most {limit} {what}"),
            Self::Name(name) => write!(f, "expected names of printable ASCII, got {name}"),
            Self::Unreadable(why) => f.write_str(why),
        }
    }
}

/// A line or file that sshd may parse differently than the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unclear {
    /// The file.
    pub file: PathBuf,
    /// The line number, from 1. `None` if the whole file is meant.
    pub line: Option<usize>,
    /// The reason.
    pub why: Doubt,
    /// Whether it may set an `AuthorizedKeysCommand` that the agent does not see.
    pub may_set_command: bool,
}

impl fmt::Display for Unclear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.file.display(), self.why),
            None => write!(f, "{}: {}", self.file.display(), self.why),
        }
    }
}

/// Checks one line, without its newline.
pub(super) fn check(line: &[u8]) -> Result<(), Doubt> {
    if line.contains(&0) {
        return Err(Doubt::Nul);
    }
    if line.len() > MAX_LINE {
        return Err(Doubt::Long(line.len()));
    }
    let line = trim(line.strip_suffix(b"\r").unwrap_or(line));
    if line.is_empty() || line.starts_with(b"#") {
        return Ok(());
    }
    if let Some(byte) = line.iter().find(|byte| byte.is_ascii_control() && **byte != b'\t') {
        return Err(Doubt::Control(*byte));
    }
    let end = line.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(line.len());
    let (word, rest) = line.split_at_checked(end).unwrap_or((line, &[]));
    if word.is_empty() || !matches!(rest.first(), None | Some(b' ' | b'\t' | b'=')) {
        return Err(Doubt::NotPlain);
    }
    let rest = trim(rest);
    let value = trim(rest.strip_prefix(b"=").unwrap_or(rest));
    let keyword = std::str::from_utf8(word).ok().and_then(Keyword::parse);
    match keyword.filter(|keyword| DECIDING.contains(keyword)) {
        Some(keyword) => check_value(keyword, value),
        // A deciding keyword has no meaning inside the value of another keyword, so it should not appear there.
        None => DECIDING
            .into_iter()
            .find(|keyword| keyword.is_in(before_comment(line)))
            .map_or(Ok(()), |keyword| Err(Doubt::Mentioned(keyword))),
    }
}

fn check_value(keyword: Keyword, value: &[u8]) -> Result<(), Doubt> {
    let is_free_of = |bytes: &[u8]| !value.iter().any(|byte| bytes.contains(byte));
    let (is_good, expected) = match keyword {
        Keyword::AuthorizedKeysCommand => (
            std::str::from_utf8(value).is_ok()
                && is_free_of(b"#")
                && (value.starts_with(b"/") || value.eq_ignore_ascii_case(b"none")),
            "none or an absolute path and its arguments, in UTF-8 without #,",
        ),
        Keyword::AuthorizedKeysCommandUser => (
            value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.@%$+-".contains(byte)),
            "one plain name",
        ),
        Keyword::Include => (
            value
                .split(|byte| matches!(byte, b' ' | b'\t'))
                .filter(|word| !word.is_empty())
                .all(is_plain_pattern),
            "absolute paths of plain characters, with * and ? in the last part only,",
        ),
        // `Match` matters here only because it starts a block.
        _ => (is_free_of(b"\"'\\#"), "criteria without quotation marks, backslashes and #"),
    };
    if is_good && !value.is_empty() && !value.starts_with(b"=") {
        Ok(())
    } else {
        Err(Doubt::Value(keyword, expected))
    }
}

/// Whether every release takes a pattern literally, and glob(3) interprets only `*` and `?` in it.
fn is_plain_pattern(word: &[u8]) -> bool {
    let unquoted = word.strip_prefix(b"\"").and_then(|word| word.strip_suffix(b"\"")).unwrap_or(word);
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/_.,:@+-*?".contains(byte);
    let last = unquoted.iter().rposition(|byte| *byte == b'/').unwrap_or_default();
    let folder = unquoted.get(..last).unwrap_or_default();
    unquoted.starts_with(b"/")
        && unquoted.iter().all(is_plain)
        && !folder.iter().any(|byte| matches!(byte, b'*' | b'?'))
        && last.saturating_add(1) < unquoted.len()
}

/// The line up to a comment. Every release starts a comment at a `#` that begins a word.
fn before_comment(line: &[u8]) -> &[u8] {
    let begins = line.windows(2).position(|pair| matches!(pair, [b' ' | b'\t', b'#']));
    begins.and_then(|end| line.get(..end)).unwrap_or(line)
}

/// Removes blanks on both sides.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Returns a doubt if a file name has other characters than printable ASCII. It is then uncertain whether a pattern
/// matches the name.
pub(super) fn odd_name(name: &[u8]) -> Option<Doubt> {
    let is_plain = name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (!is_plain).then(|| Doubt::Name(printable_bytes(name, MAX_SHOWN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_every_release_parses_alike_are_accepted() {
        for line in [
            "",
            " \t",
            "\r",
            "# Match \"x\" \\",
            "\t#Include x",
            "Port 22",
            "Port=22\r",
            "UsePAM = yes",
            "Ciphers",
            "Banner \"/etc/my banner\"",
            "AllowUsers a b # Match",
            "Subsystem sftp internal-sftp -f AUTH",
            "AuthorizedKeysCommand /usr/bin/x %u 'a b' \"c\"",
            "authorizedkeyscommand=none",
            "AuthorizedKeysCommand /x\u{a0}",
            "AuthorizedKeysCommandUser %u",
            "Match User *,!root Address 10.0.0.0/8",
            "match all",
            "Include /etc/ssh/sshd_config.d/*.conf",
            "Include /a /b/?.c",
            "Include \"/etc/x\"",
            "AuthorizedPrincipalsCommand /x",
            "PermitUserEnvironment no",
        ] {
            assert_eq!(check(line.as_bytes()), Ok(()), "{line:?}");
        }
        assert_eq!(check("x".repeat(MAX_LINE).as_bytes()), Ok(()));
    }

    #[test]
    fn every_other_line_is_ambiguous() {
        for (line, words) in [
            (&b"Port\x0022"[..], "NUL"),
            (b"# a\0", "NUL"),
            (b"Port\r22", "\\x0d"),
            (b"Port 22\r\r", "\\x0d"),
            (b"Port 22\x0c", "\\x0c"),
            (b"\"Port\" 22", "letters and digits"),
            (b"Port\"\" 22", "letters and digits"),
            (b"=Port 22", "letters and digits"),
            (b"\xef\xbb\xbfPort 22", "letters and digits"),
            (b"Match\xc2\xa0User x", "letters and digits"),
            (b"AuthorizedKeysCommand", "value of AuthorizedKeysCommand"),
            (b"AuthorizedKeysCommand == /x", "value of AuthorizedKeysCommand"),
            (b"AuthorizedKeysCommand \"/x\"", "value of AuthorizedKeysCommand"),
            (b"AuthorizedKeysCommand /x #y", "value of AuthorizedKeysCommand"),
            (b"AuthorizedKeysCommand /x \xff", "value of AuthorizedKeysCommand"),
            (b"AuthorizedKeysCommandUser a b", "value of AuthorizedKeysCommandUser"),
            (b"AuthorizedKeysCommandUser \"a\"", "value of AuthorizedKeysCommandUser"),
            (b"Match User \"a b\"", "value of Match"),
            (b"Match User a # b", "value of Match"),
            (b"Include x", "value of Include"),
            (b"Include /a /b[c]", "value of Include"),
            (b"Include /a\\*", "value of Include"),
            (b"Include /a/*/b", "value of Include"),
            (b"Include /a/", "value of Include"),
            (b"Include \"/a", "value of Include"),
            (b"Banner /Include", "Include only as a keyword"),
            (b"AuthorizedKeysCommandRunAs x", "only as a keyword"),
        ] {
            let doubt = check(line).unwrap_err().to_string();
            assert!(doubt.contains(words), "{:?}: {doubt}", String::from_utf8_lossy(line));
        }
        assert_eq!(check(&[b'#'; MAX_LINE + 1]), Err(Doubt::Long(MAX_LINE + 1)));
    }
}
