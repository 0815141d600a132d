//! Text as man(7) source.

/// Text that roff prints as it stands. Every `-` is the ASCII one, so that what is copied from a page works.
pub fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for line in text.split_inclusive('\n') {
        // At the start of a line these two make a request of it.
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

/// Text to be filled, `code` in it bold.
pub fn prose(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces.map(|(index, piece)| if index % 2 == 0 { escape(piece) } else { bold(piece) }).collect()
}

/// Bold: what is typed as it stands.
pub fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escape(text))
}

/// Italic: what stands for something else.
pub fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escape(text))
}

/// What is written about a term, further in.
pub fn tagged(term: &str, text: &str) -> String {
    format!(".TP\n{term}\n{text}\n")
}

/// Lines that stay as they are.
pub fn literal(lines: &str) -> String {
    format!(".PP\n.RS 4\n.nf\n{}\n.fi\n.RE\n", escape(lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_for_a_request() {
        assert_eq!(escape(".TH\n'x \\n"), "\\&.TH\n\\&\\(aqx \\en");
        assert_eq!(prose("`--keys` or -"), "\\fB\\-\\-keys\\fR or \\-");
    }
}
