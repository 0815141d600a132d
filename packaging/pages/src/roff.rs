//! Converts text to man(7) source.

/// Escapes text so that roff prints it unchanged. Every `-` stays an ASCII hyphen, so users can copy commands.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for line in text.split_inclusive('\n') {
        // A line that starts with one of these is a request.
        if line.starts_with(['.', '\'']) {
            escaped.push_str("\\&");
        }
        for character in line.chars() {
            match character {
                '\\' => escaped.push_str("\\e"),
                '-' => escaped.push_str("\\-"),
                '\'' => escaped.push_str("\\(aq"),
                '`' => escaped.push_str("\\(ga"),
                '^' => escaped.push_str("\\(ha"),
                '~' => escaped.push_str("\\(ti"),
                other => escaped.push(other),
            }
        }
    }
    escaped
}

/// Text that roff fills. `code` becomes bold.
pub fn prose(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces.map(|(index, piece)| if index % 2 == 0 { escape(piece) } else { bold(piece) }).collect()
}

/// Bold: text that the user types literally.
pub fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escape(text))
}

/// Italic: a placeholder.
pub fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escape(text))
}

/// A term with an indented description.
pub fn tagged(term: &str, text: &str) -> String {
    format!(".TP\n{term}\n{text}\n")
}

/// Lines that roff does not fill.
pub fn literal(lines: &str) -> String {
    format!(".PP\n.RS 4\n.nf\n{}\n.fi\n.RE\n", escape(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_dots_and_quotes_are_escaped() {
        assert_eq!(escape(".TH\n'x \\n"), "\\&.TH\n\\&\\(aqx \\en");
        assert_eq!(prose("`--keys` or -"), "\\fB\\-\\-keys\\fR or \\-");
    }
}
