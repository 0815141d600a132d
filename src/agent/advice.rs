//! What to do about a fault, and how a message shows it. [`Reader`] adapts the commands to the reader: messages are
//! written with `sudo`, for an operator who is not root or who runs the agent with sudo. A root shell needs no sudo, and
//! the machine may not have it.

use std::fmt;

use eic_host::reach::Obstacle;

/// What to do about a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fix {
    /// A command to run as root.
    Run(String),
    /// Instructions for the operator.
    Do(String),
}

impl Fix {
    /// What to do about an obstacle on the way to `what`.
    pub(crate) fn of(obstacle: &Obstacle, what: &str) -> Self {
        obstacle.command().map_or_else(|| Self::Do(obstacle.advice(what)), Self::Run)
    }
}

/// As a part of a sentence.
impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(command) => write!(f, "run: sudo {command}"),
            Self::Do(words) => f.write_str(words),
        }
    }
}

/// Who reads the messages. Call [`Reader::detect`] before root's rights are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Root at a root shell.
    Root,
    /// Another user, or root by sudo(8), which sets `SUDO_USER`. Also the reader of a service's messages: operators read
    /// them in the journal.
    Operator,
}

impl Reader {
    pub(crate) fn detect() -> Self {
        let by_sudo = std::env::var_os("SUDO_USER").is_some_and(|user| user != "root");
        let is_service = std::env::var_os("JOURNAL_STREAM").is_some();
        let is_root = nix::unistd::Uid::effective().is_root();
        if is_root && !by_sudo && !is_service { Self::Root } else { Self::Operator }
    }

    /// The message with commands for this reader.
    pub(crate) fn adapt(self, message: &str) -> String {
        match self {
            Self::Operator => message.to_owned(),
            Self::Root => without_sudo(message),
        }
    }
}

/// Removes `sudo` where a command begins: at the start of a line, after punctuation, or after a word such as `run`.
/// Elsewhere `sudo` is an argument, such as the name of a group. Replaces `sudo -u USER` by `runuser -u USER --`.
fn without_sudo(message: &str) -> String {
    message.split('\n').map(line_without_sudo).collect::<Vec<_>>().join("\n")
}

fn line_without_sudo(line: &str) -> String {
    let begins = |before: &String| {
        before.ends_with([':', ';', ',', '(', '&', '`'])
            || ["and", "or", "run", "see", "use"].contains(&before.as_str())
    };
    let mut words: Vec<String> = Vec::new();
    let mut rest = line.split(' ').peekable();
    while let Some(word) = rest.next() {
        let is_command = words.iter().rev().find(|before| !before.is_empty()).is_none_or(begins);
        let mark = word.strip_suffix("sudo");
        let mark = mark.filter(|mark| ["`", "("].contains(mark) || (mark.is_empty() && is_command));
        match (mark, rest.peek().copied()) {
            (Some(mark), Some("-u")) => {
                words.push(format!("{mark}runuser"));
                words.extend(rest.by_ref().take(2).map(str::to_owned));
                words.push("--".to_owned());
            }
            (Some(mark), Some(next)) if !next.starts_with('-') => {
                words.push(format!("{mark}{next}"));
                rest.next();
            }
            _ => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_not_told_to_use_sudo() {
        for (message, expected) in [
            ("sudo eic-agent enable", "eic-agent enable"),
            ("x is none; run: sudo eic-agent enable --chain", "x is none; run: eic-agent enable --chain"),
            (
                "sudo systemctl daemon-reload && sudo systemctl restart x",
                "systemctl daemon-reload && systemctl restart x",
            ),
            ("take it out, then: sudo kill -HUP 7", "take it out, then: kill -HUP 7"),
            ("see sudo eic-agent explain moe, and docs", "see eic-agent explain moe, and docs"),
            ("do that; sudo eic-agent config shows it", "do that; eic-agent config shows it"),
            ("sudo -u eic-agent /usr/bin/x a", "runuser -u eic-agent -- /usr/bin/x a"),
            ("sudo usermod -aG sudo moe", "usermod -aG sudo moe"),
            ("run it with sudo to see it", "run it with sudo to see it"),
            ("visudo x; run `sudo c`", "visudo x; run `c`"),
            ("  fix:  sudo a\n        sudo b", "  fix:  a\n        b"),
            ("a sudo", "a sudo"),
            ("run: sudo", "run: sudo"),
            ("", ""),
        ] {
            assert_eq!(Reader::Root.adapt(message), expected);
            assert_eq!(Reader::Operator.adapt(message), message);
        }
    }
}
