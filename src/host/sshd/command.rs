//! The words of an `AuthorizedKeysCommand`, and whose command it is.

use std::path::{Path, PathBuf};

/// Names of the older shell implementation's commands. Called by one of these, the agent is `authorized-keys`, so that
/// an `sshd_config` that names them goes on working.
pub const AUTHORIZED_KEYS_NAMES: [&str; 2] = ["eic_run_authorized_keys", "eic_curl_authorized_keys"];

/// Amazon's shell implementation, by the paths of its packages: Debian and Ubuntu, Amazon Linux and RHEL.
const AMAZONS: [&str; 2] = ["/usr/share/ec2-instance-connect/", "/opt/aws/bin/"];

/// Whose command sshd runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandOwner {
    /// None is set.
    Nobody,
    /// This program.
    Ours,
    /// Amazon's shell implementation, or one of our links in its place.
    Amazons,
    /// Another one.
    Other,
}

/// Whose `command` is, for the program that lies at `own`.
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

/// Whether a command that stands between our marks is this program's, wherever it lies or lay and whatever it
/// is called.
#[must_use]
pub fn is_agents(command: &str) -> bool {
    is_subcommand(&split(command))
}

/// The same command of this program's, with the program at `own`; none where its words are quoted, so that
/// they cannot be taken as they stand.
#[must_use]
pub fn moved(command: &str, own: &Path) -> Option<String> {
    let (_, rest) = command.trim_matches([' ', '\t']).split_once([' ', '\t'])?;
    rest.trim_start()
        .starts_with("authorized-keys")
        .then(|| format!("{} {}", own.display(), rest.trim_start()))
}

/// Whether `program` is `own`, links followed; by its name where it is no more there.
#[must_use]
pub fn leads_to(program: &Path, own: &Path) -> bool {
    program == own || program.canonicalize().is_ok_and(|real| real == own)
}

/// Whether this program is Amazon's, by its path.
#[must_use]
pub(crate) fn is_amazons(program: &Path) -> bool {
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_plain = !program.components().any(|part| part == std::path::Component::ParentDir);
    is_plain
        && AUTHORIZED_KEYS_NAMES.contains(&name)
        && AMAZONS.iter().any(|folder| program.starts_with(folder))
}

/// Our own command line; what sshd expands is `%u`, the login name, and `%f`, the offered key's fingerprint.
#[must_use]
pub fn plain(own: &Path) -> String {
    format!("{} authorized-keys %u %f", own.display())
}

/// Why a command cannot be asked beside ours.
#[derive(Debug, PartialEq, Eq)]
pub enum NotChainable {
    /// `--` is what separates providers from each other, so none can have it as an argument.
    Separator,
    /// A quotation mark is open, or nothing is there.
    Unreadable,
    /// sshd expands tokens in arguments and not in a program's name, and an argument is what it becomes.
    Percent,
}

impl std::fmt::Display for NotChainable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Separator => "it has an argument \"--\", which separates providers; put it into a script",
            Self::Percent => "the program's name has a \"%\"; call it by another",
            Self::Unreadable => "its words cannot be told apart; put it into a script",
        })
    }
}

/// Our command line with `other` asked as well, run as `user` where that is another than sshd's.
pub fn chained(own: &Path, other: &str, user: Option<&str>) -> Result<String, NotChainable> {
    let words = split(other);
    // What sshd said and is not UTF-8 has lost its bytes on the way.
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
    // A command without arguments is given the login name (sshd_config(5), AuthorizedKeysCommand).
    let argument = if words.len() == 1 { " %u" } else { "" };
    Ok(format!(
        "{} authorized-keys{user} %u %f -- {}{argument}",
        own.display(),
        other.trim_matches([' ', '\t'])
    ))
}

/// The words of a command as sshd takes them apart (OpenSSH misc.c, `argv_split`): white space separates,
/// single and double quotes and backslashes keep together.
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

/// What a backslash can stand before: a quotation mark, another backslash, and outside of quotes a space.
const fn escapes(next: char, quote: Option<char>) -> bool {
    matches!(next, '"' | '\'' | '\\') || (next == ' ' && quote.is_none())
}

/// Whether every quotation mark is closed.
fn is_balanced(command: &str) -> bool {
    // A word that an open quotation mark began would swallow this one.
    split(&format!("{command} end")).last().is_some_and(|word| word == "end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_as_sshd_does() {
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
