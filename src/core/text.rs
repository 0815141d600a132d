//! Foreign text made fit to log and to show.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// Longest piece of foreign text that is repeated in a log line or on a terminal, in characters.
pub const MAX_SHOWN: usize = 256;

/// `text` with everything that is not printable ASCII escaped (`\x1b`, `\u{e9}`), cut after `limit` characters.
///
/// A log line is one line of ASCII: whatever a caller ARN or a metadata answer holds, it can neither start
/// a line of its own nor move a terminal's cursor. The backslash itself is escaped, so that the original
/// can be told from the escape.
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

/// [`printable`] for bytes of unknown encoding: what is not UTF-8 shows as `\u{fffd}`.
#[must_use]
pub fn printable_bytes(bytes: &[u8], limit: usize) -> String {
    // Four bytes a character at most; the cut keeps the conversion bounded.
    let head = bytes.get(..limit.saturating_mul(4).saturating_add(4)).unwrap_or(bytes);
    printable(&String::from_utf8_lossy(head), limit)
}

/// `text` as one line of printable ASCII. Unlike with [`printable`], a backslash stays as it is, so that
/// what was made printable already is not escaped again.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.split('\\').map(|part| printable(part, usize::MAX)).collect::<Vec<_>>().join("\\")
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
    fn what_is_printable_already_stays() {
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
