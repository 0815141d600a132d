//! The file and line of each setting in sshd's configuration.
//!
//! Only sshd knows the effective configuration, and the agent queries sshd for it. This module finds the line of a
//! setting, so that a message can name it. It parses files by the rules of `sshd_config(5)`, as far as these
//! settings need.

use std::path::{Path, PathBuf};

use super::command::split;
use super::globs::fits;
use super::grammar::Unclear;
use super::keyword::Keyword;
use super::pattern_list;
use crate::ownership::Insecure;

/// A setting in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file.
    pub file: PathBuf,
    /// The line number, from 1.
    pub line: usize,
    /// The value, as written in the file.
    pub value: String,
    /// The `Match` that the line belongs to.
    pub within: Option<String>,
    /// The number of that `Match`, or 0 outside of any `Match`.
    pub(super) block: usize,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// The settings that were found, in the order in which sshd reads them.
#[derive(Debug, Default)]
pub struct Sources {
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    /// Reasons why included files were skipped: users other than root could change them.
    pub insecure: Vec<Insecure>,
    /// Lines that sshd may parse differently.
    pub unclear: Vec<Unclear>,
    /// Every `AuthorizedKeysCommand`.
    pub commands: Vec<Setting>,
    /// Every `AuthorizedKeysCommandUser`.
    pub users: Vec<Setting>,
    /// Every pattern of an `Include`.
    pub includes: Vec<Setting>,
    /// Every other setting that the agent knows.
    pub(super) others: Vec<(Keyword, Setting)>,
    /// Every `Match`. The value has its criteria, and those of a `Match` around the `Include` of its file.
    pub(super) conditions: Vec<Setting>,
    /// The number of `Match` lines.
    pub(super) blocks: usize,
}

impl Sources {
    /// The first command and the first user outside of every `Match`.
    #[must_use]
    pub fn general(&self) -> (Option<&str>, Option<&str>) {
        (
            self.commands
                .iter()
                .find(|setting| setting.within.is_none())
                .map(|setting| setting.value.as_str()),
            self.users.iter().find(|setting| setting.within.is_none()).map(|setting| setting.value.as_str()),
        )
    }

    /// Unclear lines and files that may set an `AuthorizedKeysCommand`.
    pub fn hidden(&self) -> impl Iterator<Item = &Unclear> {
        self.unclear.iter().filter(|unclear| unclear.may_set_command)
    }

    /// The line that sets `value` as a command. Prefers a line outside of every `Match`.
    #[must_use]
    pub fn of_command(&self, value: &str) -> Option<&Setting> {
        let is_none = |text: &str| text.eq_ignore_ascii_case("none");
        let mut same = self
            .commands
            .iter()
            .filter(|command| command.value == value || (is_none(&command.value) && is_none(value)));
        same.clone().find(|command| command.within.is_none()).or_else(|| same.next())
    }

    /// The line that sets `keyword` to `value`. Prefers a line outside of every `Match`. For a list, returns a line
    /// that has `value` among its words.
    #[must_use]
    pub fn of(&self, keyword: Keyword, value: &str) -> Option<&Setting> {
        let is_same = |setting: &Setting| {
            setting.value.eq_ignore_ascii_case(value) || split(&setting.value).iter().any(|w| w == value)
        };
        let own = self.others.iter().filter(|(known, _)| *known == keyword).map(|(_, setting)| setting);
        let mut same = own.filter(|setting| is_same(setting));
        same.clone().find(|setting| setting.within.is_none()).or_else(|| same.next())
    }

    /// The first line with `keyword`: outside of every `Match`, or inside one if `is_conditional` is set.
    #[must_use]
    pub fn first(&self, keyword: Keyword, is_conditional: bool) -> Option<&Setting> {
        let mut own = self.others.iter().filter(|(known, _)| *known == keyword).map(|(_, setting)| setting);
        own.find(|setting| setting.within.is_some() == is_conditional)
    }

    /// The commands inside a `Match`.
    pub fn conditional(&self) -> impl Iterator<Item = &Setting> {
        self.commands.iter().filter(|command| command.within.is_some())
    }

    /// Whether sshd reads `file` for every login, or would if the file existed: an `Include` outside of every
    /// `Match` matches it.
    #[must_use]
    pub fn would_read(&self, file: &Path) -> bool {
        let folder_is_there = file.parent().is_some_and(Path::is_dir);
        let mut unconditional = self.includes.iter().filter(|include| include.within.is_none());
        folder_is_there && unconditional.any(|include| fits(Path::new(&include.value), file))
    }

    /// The commands in a `Match` that sets no user. sshd runs them as the user that is set outside.
    pub fn without_user(&self) -> impl Iterator<Item = &Setting> {
        let is_none = |setting: &Setting| setting.value.eq_ignore_ascii_case("none");
        let has_user = |command: &Setting| self.users.iter().any(|user| user.block == command.block);
        self.conditional().filter(move |command| !is_none(command) && !has_user(command))
    }

    /// Every `Match` of logins as `user` that depends on the connection, for example on the client's address. A `Match`
    /// counts whatever it sets, because it may set a keyword that the agent does not know.
    pub fn of_connections<'s>(&'s self, user: &'s str) -> impl Iterator<Item = &'s Setting> {
        self.conditions.iter().filter(|condition| depends_on_connection(&condition.value, user))
    }

    /// The users in a `Match` that sets no command. sshd runs the command that is set outside as these users.
    pub fn without_command(&self) -> impl Iterator<Item = &Setting> {
        let has_command = |user: &Setting| self.commands.iter().any(|command| command.block == user.block);
        self.users.iter().filter(move |user| user.within.is_some() && !has_command(user))
    }
}

/// Whether a `Match` can apply to `user`, and applies only to some connections (`sshd_config(5)`). Groups are not
/// looked up: the `Match` may apply.
fn depends_on_connection(within: &str, user: &str) -> bool {
    let mut words = split(within).into_iter().filter(|word| word != "=");
    let mut depends = false;
    while let Some(word) = words.next() {
        let (criterion, value) = match word.split_once('=') {
            Some((criterion, value)) => (criterion.to_ascii_lowercase(), Some(value.to_owned())),
            None => (word.to_ascii_lowercase(), None),
        };
        let mut value = || value.clone().or_else(|| words.next()).unwrap_or_default();
        match criterion.as_str() {
            "all" | "invalid-user" => {}
            "group" => drop(value()),
            "user" => {
                if !pattern_list::matches(&value(), user) {
                    return false;
                }
            }
            _ => {
                drop(value());
                depends = true;
            }
        }
    }
    depends
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn settings_are_found_with_their_file_and_line() {
        let folder = std::env::temp_dir().join(format!("eic-agent-sources-{}", std::process::id()));
        let drop_ins = folder.join("d");
        fs::create_dir_all(&drop_ins).unwrap();
        fs::write(
            drop_ins.join("20-b.conf"),
            "authorizedkeyscommand=/b\nMatch User x\nAuthorizedKeysCommand /bx\n",
        )
        .unwrap();
        fs::write(drop_ins.join("10-a.conf"), " AuthorizedKeysCommandUser\t nobody \r\n").unwrap();
        fs::write(drop_ins.join(".hidden.conf"), "AuthorizedKeysCommand /h\n").unwrap();
        fs::write(drop_ins.join("30-c.conf.old"), "AuthorizedKeysCommand /o\n").unwrap();
        let main = folder.join("main");
        let d = drop_ins.display();
        fs::write(&main, format!("# Include /x\nInclude \"{d}/*.conf\"\nAuthorizedKeysCommand = /m %u\nMatch User git\n  AuthorizedKeysCommand /g\nInclude {}\nallowUsers a b\n", main.display())).unwrap();

        let sources = Sources::read_by(&main, false);
        let shown = |settings: &[Setting]| -> Vec<String> {
            settings
                .iter()
                .take(5)
                .map(|setting| {
                    let name = setting.file.file_name().unwrap().to_str().unwrap();
                    format!(
                        "{name}:{} {} {:?}",
                        setting.line,
                        setting.value,
                        setting.within.as_deref().unwrap_or("-")
                    )
                })
                .collect()
        };
        let expected = [
            "20-b.conf:1 /b \"-\"",
            "20-b.conf:3 /bx \"User x\"",
            "main:3 /m %u \"-\"",
            "main:5 /g \"User git\"",
            "20-b.conf:1 /b \"User git\"",
        ];
        assert_eq!(shown(&sources.commands), expected, "an Include of the file itself ends");
        assert_eq!(shown(&sources.users)[0], "10-a.conf:1 nobody \"-\"");
        assert_eq!(sources.of_command("/m %u").unwrap().line, 3);
        assert_eq!(sources.of_command("/g").unwrap().within.as_deref(), Some("User git"));
        assert_eq!(sources.of(Keyword::AllowUsers, "b").unwrap().line, 7);
        assert_eq!(sources.of(Keyword::AllowUsers, "c"), None);
        assert!(sources.would_read(&drop_ins.join("10-eic-agent.conf")));
        assert!(!sources.would_read(&drop_ins.join("10-eic-agent.conf.new")));
        assert!(!sources.would_read(&folder.join("absent/10-eic-agent.conf")));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn criteria_of_the_connection_are_recognized() {
        for (within, depends) in [
            ("User ec2-user", false),
            ("all", false),
            ("Address 10.0.0.0/8", true),
            ("address=10.0.0.0/8", true),
            ("User root Address 10.0.0.0/8", false),
            ("User \"ec2-*,!root\" LocalPort 2222", true),
            ("Group wheel Host *", true),
            ("Group wheel User ec2-user", false),
            ("Group Address", false),
            ("RDomain x", true),
            ("User = ec2-user Address = 10.0.0.0/8", true),
            ("Address 10.0.0.0/8 User ec2-user", true),
        ] {
            assert_eq!(depends_on_connection(within, "ec2-user"), depends, "{within}");
        }
    }
}
