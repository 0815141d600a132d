//! Inserts the agent's lines at the top of an sshd configuration file, and removes them again.
//!
//! At the top, the lines come before every setting that could override them, and before any `Match`. Removal
//! deletes only the marks and the agent's settings between them. Lines that an administrator wrote between the
//! marks stay.

use super::command::is_agents;
use super::keyword::Keyword;

/// First line of the agent's block.
const BEGIN: &str = "# >>> eic-agent: written by `eic-agent enable`, taken out by `eic-agent disable`";

/// Last line of the agent's block.
const END: &str = "# <<< eic-agent";

/// The two settings in the agent's block.
const SETTINGS: [Keyword; 2] = [Keyword::AuthorizedKeysCommand, Keyword::AuthorizedKeysCommandUser];

/// The agent's block for this pair of values.
#[must_use]
pub fn lines(command: &str, user: &str) -> String {
    format!("{BEGIN}\nAuthorizedKeysCommand {command}\nAuthorizedKeysCommandUser {user}\n{END}\n")
}

/// Returns `content` with the agent's block on top. An existing block is replaced.
#[must_use]
pub fn put_in(content: &[u8], lines: &str) -> Vec<u8> {
    let rest = take_out(content);
    let mut whole = lines.as_bytes().to_vec();
    whole.extend_from_slice(rest.as_deref().unwrap_or(content));
    whole
}

/// Returns `content` without the agent's block, or `None` if it has no block. Every other byte stays, also between
/// the marks. The settings stay too if an administrator changed the command between the marks to another program.
#[must_use]
pub fn take_out(content: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Vec::with_capacity(content.len());
    let mut found = false;
    // `inside`: between the marks. `closes`: an end mark follows. An administrator may have deleted the end mark.
    let (mut inside, mut closes, mut is_ours) = (false, false, false);
    let mut remaining = content;
    while let Some(line) = remaining.split_inclusive(|byte| *byte == b'\n').next() {
        let text = line.trim_ascii();
        remaining = remaining.get(line.len()..).unwrap_or_default();
        if text == BEGIN.as_bytes() {
            (found, inside, closes) = (true, true, has_line(remaining, END));
            is_ours = command_between(remaining).is_none_or(|command| is_agents(&command));
        } else if inside && text == END.as_bytes() {
            inside = false;
        } else if inside && is_ours && setting(text).is_some_and(|(keyword, _)| SETTINGS.contains(&keyword)) {
            // Omitted from `rest`.
        } else {
            // Without an end mark, the block ends at the first line that is not one of the agent's settings.
            inside = inside && closes;
            rest.extend_from_slice(line);
        }
    }
    found.then_some(rest)
}

/// Whether `command` is set between the agent's marks.
#[must_use]
pub fn holds(content: &[u8], command: &str) -> bool {
    let mut remaining = content;
    while let Some(line) = remaining.split_inclusive(|byte| *byte == b'\n').next() {
        remaining = remaining.get(line.len()..).unwrap_or_default();
        let is_begin = line.trim_ascii() == BEGIN.as_bytes();
        if is_begin && command_between(remaining).is_some_and(|found| found == command) {
            return true;
        }
    }
    false
}

/// The first command before the end mark.
fn command_between(content: &[u8]) -> Option<String> {
    let lines = content.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut before_end = lines.take_while(|line| *line != END.as_bytes());
    before_end.find_map(|line| {
        let (keyword, value) = setting(line)?;
        (keyword == Keyword::AuthorizedKeysCommand).then_some(value)
    })
}

fn has_line(content: &[u8], wanted: &str) -> bool {
    content.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == wanted.as_bytes())
}

fn setting(line: &[u8]) -> Option<(Keyword, String)> {
    let line = String::from_utf8_lossy(line).into_owned();
    Keyword::of_line(&line).map(|(keyword, value)| (keyword, value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> String {
        lines("/usr/bin/eic-agent authorized-keys %u %f", "eic-agent")
    }

    #[test]
    fn lines_put_in_are_taken_out_exactly() {
        for content in [
            "",
            "\n",
            "Port 22",
            "Port 22\n\n# end\n",
            "a\r\nb\r\n",
            "AuthorizedKeysCommand /bin/x\nMatch all\n  AuthorizedKeysCommandUser y\n",
            "\u{feff}\0\n",
        ] {
            let with = put_in(content.as_bytes(), &ours());
            assert!(with.starts_with(ours().as_bytes()) && with.ends_with(content.as_bytes()));
            assert_eq!(take_out(&with).as_deref(), Some(content.as_bytes()), "{content:?}");
            assert_eq!(put_in(&with, &ours()), with, "once, not twice");
            assert_eq!(take_out(content.as_bytes()), None, "{content:?}");
        }
        let not_utf8 = b"Banner \xff\xfe\n";
        assert_eq!(take_out(&put_in(not_utf8, &ours())).as_deref(), Some(&not_utf8[..]));
    }

    #[test]
    fn foreign_lines_are_kept() {
        let block = "AuthorizedKeysCommand /usr/bin/eic-agent authorized-keys %u %f\nAuthorizedKeysCommandUser eic-agent\n";
        for (before, after) in [
            // An option that the administrator added to the agent's own line is removed with the line.
            (
                format!(
                    "{BEGIN}\nauthorizedkeyscommand=/usr/bin/eic-agent authorized-keys --timeout 3 %u\n{END}\n"
                ),
                "",
            ),
            (
                format!("{BEGIN}\n{block}PermitRootLogin no\n{END}\nPort 22\n"),
                "PermitRootLogin no\nPort 22\n",
            ),
            (format!("Port 1\n{BEGIN}\n{block}{END}\nPort 2\n"), "Port 1\nPort 2\n"),
            // An administrator replaced the agent's command.
            (
                format!(
                    "{BEGIN}\nAuthorizedKeysCommand /opt/site/keys %u\nAuthorizedKeysCommandUser site\n{END}\nPort 22\n"
                ),
                "AuthorizedKeysCommand /opt/site/keys %u\nAuthorizedKeysCommandUser site\nPort 22\n",
            ),
            // The end mark is gone.
            (
                format!("{BEGIN}\n{block}Port 2\nAuthorizedKeysCommand /bin/mine\n"),
                "Port 2\nAuthorizedKeysCommand /bin/mine\n",
            ),
            // Without a begin mark, the agent's lines cannot be distinguished from an administrator's.
            (format!("{block}{END}\n"), "-"),
            // Two blocks.
            (format!("{BEGIN}\n{block}{END}\n{BEGIN}\n{block}{END}\nPort 3"), "Port 3"),
            // An editor that writes CRLF.
            (format!("{BEGIN}\r\n{block}{END}\r\nPort 4\r\n"), "Port 4\r\n"),
        ] {
            let expected = (after != "-").then(|| after.as_bytes().to_vec());
            assert_eq!(take_out(before.as_bytes()), expected, "{before}");
        }
    }

    #[test]
    fn our_own_command_is_found_between_the_marks() {
        let content = format!("Port 1\n{}AuthorizedKeysCommand /bin/other\n", ours());
        assert!(holds(content.as_bytes(), "/usr/bin/eic-agent authorized-keys %u %f"));
        assert!(!holds(content.as_bytes(), "/bin/other") && !holds(b"", "/bin/other"));
    }
}
