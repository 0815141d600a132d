//! The words of an `AuthorizedKeysCommand`, and the owner of its program.

use std::path::{Path, PathBuf};

/// Command names of the older shell implementation. Under these names, the agent runs as `authorized-keys`. So an
/// `sshd_config` that contains them continues to work.
pub const AUTHORIZED_KEYS_NAMES: [&str; 2] = ["eic_run_authorized_keys", "eic_curl_authorized_keys"];

/// Folders of Amazon's shell implementation in its packages: Debian and Ubuntu; Amazon Linux and RHEL.
const AMAZONS: [&str; 2] = ["/usr/share/ec2-instance-connect/", "/opt/aws/bin/"];

/// The owner of the command that sshd runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandOwner {
    /// No command is set.
    Nobody,
    /// This program.
    Ours,
    /// Amazon's shell implementation, or the agent's link at its path.
    Amazons,
    /// Another program.
    Other,
}

/// The owner of `command`. `own` is the path of this program.
#[must_use]
pub fn command_owner(command: Option<&str>, own: &Path) -> CommandOwner {
    let Some(command) = command else { return CommandOwner::Nobody };
    let words = split(command);
    let Some(program) = words.first().map(PathBuf::from) else { return CommandOwner::Nobody };
    if is_amazons(&program) {
        CommandOwner::Amazons
    } else if leads_to(&program, own) && is_subcommand(&words) {
        CommandOwner::Ours
    } else {
        CommandOwner::Other
    }
}

fn is_subcommand(words: &[String]) -> bool {
    words.get(1).is_some_and(|word| word == "authorized-keys")
}

/// Whether a command between the agent's marks runs this program. The path and the name of the program do not
/// matter.
#[must_use]
pub fn is_agents(command: &str) -> bool {
    is_subcommand(&split(command))
}

/// The same command of this program, with the program at `own`. Returns `None` if the program's name or the
/// subcommand is quoted.
#[must_use]
pub fn moved(command: &str, own: &Path) -> Option<String> {
    let (_, rest) = command.trim_matches([' ', '\t']).split_once([' ', '\t'])?;
    rest.trim_start()
        .starts_with("authorized-keys")
        .then(|| format!("{} {}", own.display(), rest.trim_start()))
}

/// Whether `program` is `own` after links are followed. If the file does not exist, only the paths are compared.
#[must_use]
pub fn leads_to(program: &Path, own: &Path) -> bool {
    program == own || program.canonicalize().is_ok_and(|real| real == own)
}

/// Whether this program is Amazon's, judged by its path.
#[must_use]
pub(crate) fn is_amazons(program: &Path) -> bool {
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_plain = !program.components().any(|part| part == std::path::Component::ParentDir);
    is_plain
        && AUTHORIZED_KEYS_NAMES.contains(&name)
        && AMAZONS.iter().any(|folder| program.starts_with(folder))
}

/// The agent's own command line. sshd expands `%u` to the login name and `%f` to the fingerprint of the offered
/// key.
#[must_use]
pub fn plain(own: &Path) -> String {
    format!("{} authorized-keys %u %f", own.display())
}

/// Why a command cannot run as a provider of the agent.
#[derive(Debug, PartialEq, Eq)]
pub enum NotChainable {
    /// An argument is `--`. It separates providers, so a provider cannot have it as an argument.
    Separator,
    /// A quotation mark is not closed, the command is empty, or it is not UTF-8.
    Unreadable,
    /// The program's name contains `%`. sshd expands tokens in arguments but not in the program's name. As a
    /// provider, the name would be an argument.
    Percent,
}

impl std::fmt::Display for NotChainable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Separator => "it has an argument \"--\", which separates providers; put it into a script",
            Self::Percent => "the program's name has a \"%\"; use a link with another name",
            Self::Unreadable => "it cannot be split into words; put it into a script",
        })
    }
}

/// The agent's command line with `other` as a provider. `user` is the provider's user, if it differs from sshd's.
pub fn chained(own: &Path, other: &str, user: Option<&str>) -> Result<String, NotChainable> {
    let words = split(other);
    // A replacement character means that sshd's output was not UTF-8. Some bytes of the command are then unknown.
    if words.is_empty() || !is_balanced(other) || other.contains(char::REPLACEMENT_CHARACTER) {
        return Err(NotChainable::Unreadable);
    }
    if words.first().is_some_and(|program| program.contains('%')) {
        return Err(NotChainable::Percent);
    }
    if words.iter().any(|word| word == "--") {
        return Err(NotChainable::Separator);
    }
    let user = user.map_or_else(String::new, |user| format!(" --provider-user {user}"));
    // sshd passes the login name to a command without arguments (sshd_config(5), AuthorizedKeysCommand).
    let argument = if words.len() == 1 { " %u" } else { "" };
    Ok(format!(
        "{} authorized-keys{user} %u %f -- {}{argument}",
        own.display(),
        other.trim_matches([' ', '\t'])
    ))
}

/// Splits a command into words as sshd does (OpenSSH misc.c, `argv_split`): white space separates words, except
/// after a backslash or inside single or double quotes.
#[must_use]
pub fn split(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = command.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if characters.peek().is_some_and(|next| escapes(*next, quote)) => {
                word.get_or_insert_default().extend(characters.next());
            }
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            ' ' | '\t' if quote.is_none() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Characters that a backslash escapes: quotation marks, a backslash, and outside of quotes a space.
const fn escapes(next: char, quote: Option<char>) -> bool {
    matches!(next, '"' | '\'' | '\\') || (next == ' ' && quote.is_none())
}

/// Whether every quotation mark is closed.
fn is_balanced(command: &str) -> bool {
    // After an open quotation mark, the added word would not be a word of its own.
    split(&format!("{command} end")).last().is_some_and(|word| word == "end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_sshd_does() {
        for (command, words) in [
            ("/bin/a %u  %f", vec!["/bin/a", "%u", "%f"]),
            ("\"/opt/my keys/a\" 'b c'd", vec!["/opt/my keys/a", "b cd"]),
            (r#"/a\ b \"c "d\"e" '' "#, vec!["/a b", "\"c", "d\"e", ""]),
            (r"/a\b", vec![r"/a\b"]),
            ("  ", vec![]),
        ] {
            assert_eq!(split(command), words, "{command}");
        }
    }

    #[test]
    fn commands_have_owners() {
        let own = Path::new("/usr/bin/env").canonicalize().unwrap();
        for (command, expected) in [
            (None, CommandOwner::Nobody),
            (Some("/usr/bin/env authorized-keys %u %f"), CommandOwner::Ours),
            (Some("\"/usr/bin/env\" authorized-keys --timeout 3 %u %f -- /bin/x"), CommandOwner::Ours),
            (Some("/usr/bin/env verify"), CommandOwner::Other),
            (Some("/usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f"), CommandOwner::Amazons),
            (Some("/opt/aws/bin/eic_curl_authorized_keys %u %f"), CommandOwner::Amazons),
            (Some("/opt/aws/bin/other %u"), CommandOwner::Other),
            (Some("/opt/aws/bin/../../site/eic_run_authorized_keys %u"), CommandOwner::Other),
            (Some("/usr/bin/sss_ssh_authorizedkeys"), CommandOwner::Other),
        ] {
            assert_eq!(command_owner(command, &own), expected, "{command:?}");
        }
    }

    #[test]
    fn own_command_is_known_by_any_path() {
        let line = "/opt/x/eic-agent authorized-keys --timeout 3 %u %f -- /bin/y";
        assert!(is_agents(line) && is_agents("/bin/eic authorized-keys %u") && !is_agents("/bin/y %u"));
        let here = |line: &str| moved(line, Path::new("/usr/bin/eic-agent"));
        let expected = "/usr/bin/eic-agent authorized-keys --timeout 3 %u %f -- /bin/y".to_owned();
        assert_eq!(here(line), Some(expected));
        assert_eq!(here("/x\tauthorized-keys %u").unwrap(), "/usr/bin/eic-agent authorized-keys %u");
        assert_eq!(here("\"/my x\" authorized-keys %u"), None);
    }

    #[test]
    fn foreign_command_is_chained_with_its_arguments() {
        let own = Path::new("/usr/bin/eic-agent");
        for (other, user, expected) in [
            ("/bin/sss", Some("nobody"), "--provider-user nobody %u %f -- /bin/sss %u"),
            ("/bin/userdbctl ssh-authorized-keys %u", None, "%u %f -- /bin/userdbctl ssh-authorized-keys %u"),
            ("\"/my keys/x\" 'a b'", None, "%u %f -- \"/my keys/x\" 'a b'"),
        ] {
            let line = chained(own, other, user).unwrap();
            assert_eq!(line, format!("/usr/bin/eic-agent authorized-keys {expected}"));
            assert_eq!(command_owner(Some(&line), own), CommandOwner::Ours);
        }
        assert_eq!(chained(own, "/bin/x -- %u", None), Err(NotChainable::Separator));
        assert_eq!(chained(own, "/bin/100%z/keys %u", None), Err(NotChainable::Percent));
        assert_eq!(chained(own, "/bin/caf\u{fffd} %u", None), Err(NotChainable::Unreadable));
        assert_eq!(chained(own, "/bin/x \"%u", None), Err(NotChainable::Unreadable));
        assert_eq!(chained(own, " ", None), Err(NotChainable::Unreadable));
    }
}
