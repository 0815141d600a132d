//! Adapts the commands in messages to the reader. Messages are written with `sudo`, for an operator who is not root or
//! who runs the agent with sudo. A root shell needs no sudo, and the machine may not have it.

/// Who reads the messages. Call [`Reader::detect`] before root's rights are given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// Root at a root shell, or a service.
    Root,
    /// Another user, also if the agent runs by sudo(8), which sets `SUDO_USER`.
    Operator,
}

impl Reader {
    pub(crate) fn detect() -> Self {
        let by_sudo = std::env::var_os("SUDO_USER").is_some_and(|user| user != "root");
        if nix::unistd::Uid::effective().is_root() && !by_sudo { Self::Root } else { Self::Operator }
    }

    /// The message with commands for this reader.
    pub(crate) fn adapt(self, message: &str) -> String {
        match self {
            Self::Operator => message.to_owned(),
            Self::Root => without_sudo(message),
        }
    }
}

/// Removes `sudo` where a command begins: at the start, after punctuation, or after a word such as `run`. Elsewhere
/// `sudo` is an argument, such as the name of a group. Replaces `sudo -u USER` by `runuser -u USER --`.
fn without_sudo(message: &str) -> String {
    let begins = |word: &str| {
        word.ends_with([':', ';', ',', '(', '&', '`'])
            || ["and", "or", "run", "see", "use", "with"].contains(&word)
    };
    let mut words: Vec<&str> = Vec::new();
    let mut rest = message.split(' ').peekable();
    while let Some(word) = rest.next() {
        let is_command = words.last().is_none_or(|before| begins(before));
        match word.strip_suffix("sudo") {
            Some(mark @ ("" | "`" | "(")) if is_command || !mark.is_empty() => match rest.peek() {
                Some(&"-u") => {
                    // `sudo -u USER PROGRAM` becomes `runuser -u USER -- PROGRAM`.
                    words.push("runuser");
                    words.extend(rest.by_ref().take(2));
                    words.push("--");
                }
                Some(next) if mark.is_empty() && !next.starts_with('-') => {}
                _ => words.push(word),
            },
            _ => words.push(word),
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
            ("a sudo", "a sudo"),
            ("run: sudo", "run: sudo"),
            ("", ""),
        ] {
            assert_eq!(Reader::Root.adapt(message), expected);
            assert_eq!(Reader::Operator.adapt(message), message);
        }
    }
}
