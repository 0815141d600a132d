//! Width and colours of what people read. JSON and CSV do not pass through here.

use std::ffi::OsStr;
use std::io::{self, IsTerminal as _, Write, stderr, stdout};

use eic_host::terminal::columns;
use serde::Serialize;

use crate::advice::Reader;

/// Width of text that goes to a file or a pipe, or to a terminal of unknown width.
const DEFAULT_WIDTH: usize = 80;

/// Longer lines are hard to read, and narrower columns break most lines.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=100;

/// The text of a table's last column begins at most this many characters into the line. Wider gaps after that are part
/// of the text.
const LAST_COLUMN: usize = 40;

/// Programs at the beginning of a command. A command that fits on one line is not split, so that it can be copied.
const PROGRAMS: [&str; 4] = ["sudo", "aws", "chmod", "systemctl"];

/// The width of text for standard output.
#[must_use]
pub fn width() -> usize {
    columns(stdout()).map_or(DEFAULT_WIDTH, clamped)
}

fn clamped(width: usize) -> usize {
    width.clamp(*WIDTHS.start(), *WIDTHS.end())
}

/// A document as JSON.
pub(crate) fn json(document: &impl Serialize) -> String {
    without_error_codes(&format!("{:#}\n", serde_json::json!(document)))
}

/// Fits a report for people into the width of standard output.
pub(crate) fn fit_report(text: &str) -> String {
    fit(&for_reader(text), width())
}

/// Fits a report of one fact per line, if a person reads it. In a pipe or the journal, each fact stays one line.
pub(crate) fn fit_for_terminal(text: &str) -> String {
    if stdout().is_terminal() { fit_report(text) } else { for_reader(text) }
}

/// Standard error. On a terminal, its lines are fitted; elsewhere, each message stays one line.
pub struct Notes {
    /// Columns of a line. `None` if standard error is no terminal.
    width: Option<usize>,
    /// The beginning of a line whose end was not written yet.
    line: Vec<u8>,
}

impl Notes {
    /// Notes for this process's standard error.
    #[must_use]
    pub fn new() -> Self {
        let width = stderr().is_terminal().then(|| columns(stderr()).map_or(DEFAULT_WIDTH, clamped));
        Self { width, line: Vec::new() }
    }
}

impl Default for Notes {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Notes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        if let Some(end) = self.line.iter().rposition(|byte| *byte == b'\n') {
            let rest = self.line.split_off(end.saturating_add(1));
            let lines = std::mem::replace(&mut self.line, rest);
            let text = for_reader(&String::from_utf8_lossy(&lines));
            let text = self.width.map_or_else(|| text.clone(), |width| fit(&text, width));
            stderr().write_all(text.as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        stderr().flush()
    }
}

/// Whether standard output shows colours: it is a terminal, `NO_COLOR` is empty (no-color.org), and `TERM` names a
/// terminal with colours.
pub(crate) fn has_colours() -> bool {
    stdout().is_terminal() && allows_colours(std::env::var_os("NO_COLOR"), std::env::var_os("TERM"))
}

fn allows_colours(no_color: Option<impl AsRef<OsStr>>, term: Option<impl AsRef<OsStr>>) -> bool {
    let is_forbidden = no_color.is_some_and(|value| !value.as_ref().is_empty());
    let is_dumb = term.is_none_or(|term| ["", "dumb"].iter().any(|dumb| term.as_ref() == *dumb));
    !is_forbidden && !is_dumb
}

/// The text without Rust's error codes, such as ` (os error 2)`. The operating system's own tools do not print them.
pub(crate) fn without_error_codes(text: &str) -> String {
    const CODE: &str = " (os error ";
    let mut parts = text.split(CODE);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(')') {
            Some((code, rest)) if code.bytes().all(|byte| byte.is_ascii_digit()) => plain.push_str(rest),
            _ => {
                plain.push_str(CODE);
                plain.push_str(part);
            }
        }
    }
    plain
}

/// Adapts the text to its reader: removes error codes, and removes `sudo` if root reads it at a root shell.
pub(crate) fn for_reader(text: &str) -> String {
    let text = without_error_codes(text);
    Reader::detect().adapt(&text)
}

/// Fits every line of `text` into `width` columns, without breaking a word. The rest of a long line is indented to its
/// last table column.
#[must_use]
pub fn fit(text: &str, width: usize) -> String {
    let mut fitted = String::with_capacity(text.len());
    for line in text.lines() {
        fit_line(line, width, &mut fitted);
        fitted.push('\n');
    }
    fitted
}

fn fit_line(line: &str, width: usize, fitted: &mut String) {
    if length(line) <= width {
        fitted.push_str(line);
        return;
    }
    let begin = begin_of_last_column(line);
    let (head, mut rest) = line.split_at_checked(begin).unwrap_or((line, ""));
    let indent = if head.trim().is_empty() { length(head).saturating_add(4) } else { length(head) };
    fitted.push_str(head);
    let mut used = length(head);
    let mut is_first = true;
    while !rest.is_empty() {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        let is_command = PROGRAMS.contains(&word) && indent.saturating_add(length(rest)) <= width;
        let needed = if is_command { length(rest) } else { length(word) };
        if is_first {
            is_first = false;
        } else if used.saturating_add(needed).saturating_add(1) > width {
            fitted.push('\n');
            fitted.extend(std::iter::repeat_n(' ', indent));
            used = indent;
        } else {
            fitted.push(' ');
            used = used.saturating_add(1);
        }
        fitted.push_str(word);
        used = used.saturating_add(length(word));
        rest = after;
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// The byte at which the text of the last table column begins: after the indentation, or after the last gap of two or
/// more blanks before [`LAST_COLUMN`].
fn begin_of_last_column(line: &str) -> usize {
    let mut begin = line.len().saturating_sub(line.trim_start_matches(' ').len());
    let mut blanks = 0_usize;
    for (at, c) in line.char_indices().skip(begin).take_while(|(at, _)| *at <= LAST_COLUMN) {
        if c == ' ' {
            blanks = blanks.saturating_add(1);
        } else {
            if blanks >= 2 {
                begin = at;
            }
            blanks = 0;
        }
    }
    begin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_at_blanks_and_indented_to_their_column() {
        assert_eq!(fit("short line\n\n  indented\n", 20), "short line\n\n  indented\n");
        assert_eq!(fit("one two three four five", 12), "one two\n    three\n    four\n    five\n");
        assert_eq!(
            fit("ok    name  one two three", 18),
            "ok    name  one\n            two\n            three\n"
        );
        assert_eq!(fit("  --json  Print one document", 20), "  --json  Print one\n          document\n");
        let word = "x".repeat(30);
        assert_eq!(fit(&format!("a {word} b"), 20), format!("a\n    {word}\n    b\n"));
    }

    #[test]
    fn command_that_fits_on_a_line_is_not_split() {
        assert_eq!(
            fit("take it out, then: sudo kill -HUP 17", 30),
            "take it out, then:\n    sudo kill -HUP 17\n"
        );
        assert_eq!(fit("then: sudo one two three", 16), "then: sudo one\n    two three\n");
    }

    #[test]
    fn codes_of_errors_are_left_out() {
        assert_eq!(without_error_codes("/x: No such file (os error 2); y"), "/x: No such file; y");
        for text in ["plain", "a (os error x) b", "a (os error 2"] {
            assert_eq!(without_error_codes(text), text);
        }
    }

    #[test]
    fn colours_obey_no_color_and_dumb_terminals() {
        for (no_color, term, expected) in [
            (None, Some("xterm"), true),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (None, Some("dumb"), false),
            (None, Some(""), false),
            (None, None, false),
        ] {
            assert_eq!(allows_colours(no_color, term), expected, "{no_color:?} {term:?}");
        }
    }
}
