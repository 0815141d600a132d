//! Escapes untrusted text for logs and terminals.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Longest untrusted text in a log line or on a terminal, in characters.
pub const MAX_SHOWN: usize = 256;

/// Escapes all characters of `text` that are not printable ASCII (`\x1b`, `\u{e9}`), and cuts it after `limit`
/// characters.
///
/// A log line is one line of ASCII. So a caller ARN or a metadata answer can neither start a new line nor move a
/// terminal's cursor. The backslash is escaped too, so that the escaping is unambiguous.
#[must_use]
pub fn printable(text: &str, limit: usize) -> String {
    let mut shown = String::with_capacity(text.len().min(limit));
    for (count, c) in text.chars().enumerate() {
        if count >= limit {
            shown.push_str("...");
            break;
        }
        match c {
            '\\' => shown.push_str("\\\\"),
            ' '..='~' => shown.push(c),
            _ if u32::from(c) < 0x100 => {
                let _ = write!(shown, "\\x{:02x}", u32::from(c));
            }
            _ => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    shown
}

/// [`printable`] for bytes of unknown encoding. Invalid UTF-8 becomes `\u{fffd}`.
#[must_use]
pub fn printable_bytes(bytes: &[u8], limit: usize) -> String {
    // A character has at most four bytes. The cut bounds the work of the conversion.
    let head = bytes.get(..limit.saturating_mul(4).saturating_add(4)).unwrap_or(bytes);
    printable(&String::from_utf8_lossy(head), limit)
}

/// Makes `text` one line of printable ASCII. Unlike [`printable`], it keeps backslashes, so that text from
/// [`printable`] is not escaped again.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.split('\\').map(|part| printable(part, usize::MAX)).collect::<Vec<_>>().join("\\")
}

/// Cuts printable ASCII text after `limit` characters.
#[must_use]
pub fn cut(text: String, limit: usize) -> String {
    match text.get(..limit) {
        Some(head) if head.len() < text.len() => format!("{head}..."),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_left_alone() {
        let arn = "arn:aws:sts::123456789012:assumed-role/Admin/someone@example.com";
        assert_eq!(printable(arn, MAX_SHOWN), arn);
    }

    #[test]
    fn control_and_foreign_characters_are_escaped() {
        assert_eq!(printable("a\nb\x1b[31m\u{202e}\\é", 99), "a\\x0ab\\x1b[31m\\u{202e}\\\\\\xe9");
        assert_eq!(printable_bytes(b"\xff\0", 9), "\\u{fffd}\\x00");
    }

    #[test]
    fn printable_text_is_not_escaped_again() {
        let once = printable("a\n\\b", 99);
        assert_eq!(one_line(&once), once);
        assert_eq!(one_line("x\u{1b}y\n"), "x\\x1by\\x0a");
    }

    #[test]
    fn long_text_is_cut() {
        assert_eq!(printable("abcdef", 3), "abc...");
        assert_eq!(printable_bytes("x".repeat(100_000).as_bytes(), 5), "xxxxx...");
    }
}
