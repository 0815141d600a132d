//! Which file and line of sshd's configuration says what.
//!
//! sshd alone knows what is in force, and is asked; this only tells where that stands, so that a message can
//! name it. A file is read as `sshd_config(5)` says, as far as these settings need it.

use std::path::{Path, PathBuf};

use super::command::split;
use super::keyword::Keyword;
use super::place::{PlaceError, read};
use crate::order;
use crate::ownership::Insecure;
use crate::policy::Glob;
use crate::text::{MAX_SHOWN, printable};

/// Deepest `Include` in an included file; sshd's own limit (OpenSSH servconf.c, `SERVCONF_MAX_DEPTH`).
const MAX_DEPTH: usize = 16;

/// Most files that are read.
const MAX_FILES: usize = 1000;

/// Where an `Include` without a folder looks.
const FOLDER: &str = "/etc/ssh";

/// A line of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The value, as it stands there.
    pub value: String,
    /// The `Match` that it is subject to.
    pub within: Option<String>,
    /// Which `Match` that is, by its number; 0 where none is.
    block: usize,
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// What was found, in the order in which sshd reads it.
#[derive(Debug, Default)]
pub struct Sources {
    /// Every file that was read.
    pub files: Vec<PathBuf>,
    /// Why files that are included were not read: somebody else than root could change them.
    pub insecure: Vec<Insecure>,
    /// Every `AuthorizedKeysCommand`.
    pub commands: Vec<Setting>,
    /// Every `AuthorizedKeysCommandUser`.
    pub users: Vec<Setting>,
    /// Every pattern of an `Include`.
    pub includes: Vec<Setting>,
    /// Every other setting that the agent knows.
    others: Vec<(Keyword, Setting)>,
    /// How many `Match` there were.
    blocks: usize,
}

impl Sources {
    /// Reads `config` and what it includes.
    #[must_use]
    pub fn read(config: &Path) -> Self {
        let mut sources = Self::default();
        sources.file(config, (None, 0), 0);
        sources
    }

    /// Where `value` stands as a command outside of every `Match`, or inside one where it is only there.
    #[must_use]
    pub fn of_command(&self, value: &str) -> Option<&Setting> {
        let is_none = |text: &str| text.eq_ignore_ascii_case("none");
        let mut same = self.commands.iter().filter(|command| {
            let set = command.value.trim();
            set == value.trim() || (is_none(set) && is_none(value.trim()))
        });
        same.clone().find(|command| command.within.is_none()).or_else(|| same.next())
    }

    /// Where `keyword` gets `value` outside of every `Match`, or inside one where it is only there. Of a list, where a
    /// part of it stands that has `value` among its words.
    #[must_use]
    pub fn of(&self, keyword: Keyword, value: &str) -> Option<&Setting> {
        let is_same = |setting: &Setting| {
            setting.value.trim().eq_ignore_ascii_case(value)
                || split(&setting.value).iter().any(|w| w == value)
        };
        let own = self.others.iter().filter(|(known, _)| *known == keyword).map(|(_, setting)| setting);
        let mut same = own.filter(|setting| is_same(setting));
        same.clone().find(|setting| setting.within.is_none()).or_else(|| same.next())
    }

    /// The first line with `keyword` outside of every `Match`, or inside one.
    #[must_use]
    pub fn first(&self, keyword: Keyword, is_conditional: bool) -> Option<&Setting> {
        let mut own = self.others.iter().filter(|(known, _)| *known == keyword).map(|(_, setting)| setting);
        own.find(|setting| setting.within.is_some() == is_conditional)
    }

    /// The commands that hold only for logins that a `Match` is about.
    pub fn conditional(&self) -> impl Iterator<Item = &Setting> {
        self.commands.iter().filter(|command| command.within.is_some())
    }

    /// Whether `file` is, or would be, read for every login: an `Include` outside of every `Match` fits it.
    #[must_use]
    pub fn would_read(&self, file: &Path) -> bool {
        let folder_is_there = file.parent().is_some_and(Path::is_dir);
        let mut unconditional = self.includes.iter().filter(|include| include.within.is_none());
        folder_is_there && unconditional.any(|include| fits(Path::new(&include.value), file))
    }

    /// The commands of a `Match` that names no user for them: what is in force outside runs them.
    pub fn without_user(&self) -> impl Iterator<Item = &Setting> {
        let is_none = |setting: &Setting| setting.value.trim().eq_ignore_ascii_case("none");
        let has_user = |command: &Setting| self.users.iter().any(|user| user.block == command.block);
        self.conditional().filter(move |command| !is_none(command) && !has_user(command))
    }

    /// Reads a file; a `Match` that it is included in reaches into it, and its own end with it.
    fn file(&mut self, file: &Path, within: (Option<&str>, usize), depth: usize) {
        if depth > MAX_DEPTH || self.files.len() >= MAX_FILES {
            return;
        }
        let content = match read(file) {
            Ok(Some(content)) => content,
            Ok(None) | Err(PlaceError::Unreadable(..)) => return,
            Err(PlaceError::Insecure(insecure)) => return self.insecure.push(insecure),
        };
        self.files.push(file.to_owned());
        let (within, mut block) = within;
        let mut within = within.map(str::to_owned);
        for (number, line) in (1..).zip(String::from_utf8_lossy(&content).lines()) {
            let Some((keyword, value)) = Keyword::of_line(line) else { continue };
            let setting = |value: &str| Setting {
                file: file.to_owned(),
                line: number,
                value: value.to_owned(),
                within: within.clone(),
                block,
            };
            match keyword {
                Keyword::Match => {
                    within = Some(printable(value, MAX_SHOWN));
                    self.blocks = self.blocks.saturating_add(1);
                    block = self.blocks;
                }
                Keyword::AuthorizedKeysCommand => self.commands.push(setting(value)),
                Keyword::AuthorizedKeysCommandUser => self.users.push(setting(value)),
                Keyword::Include => {
                    for pattern in split(value) {
                        let pattern = Path::new(FOLDER).join(pattern);
                        self.includes.push(setting(&pattern.to_string_lossy()));
                        for included in expand(&pattern) {
                            self.file(&included, (within.as_deref(), block), depth.saturating_add(1));
                        }
                    }
                }
                keyword => self.others.push((keyword, setting(value))),
            }
        }
    }
}

/// Whether a pattern fits a path, part by part: `*` and `?` do not cross a `/`.
fn fits(pattern: &Path, path: &Path) -> bool {
    let parts = |path: &Path| -> Vec<String> {
        path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect()
    };
    let (patterns, parts) = (parts(pattern), parts(path));
    patterns.len() == parts.len()
        && patterns.iter().zip(&parts).all(|(pattern, part)| fits_name(pattern, part))
}

/// A name that begins with a dot fits only a pattern that does (glob(7)).
fn fits_name(pattern: &str, name: &str) -> bool {
    (!name.starts_with('.') || pattern.starts_with('.')) && Glob::new(&without_sets(pattern)).matches(name)
}

/// `[…]` stands for one of some characters; here for any one, which can only find more files than sshd does.
fn without_sets(pattern: &str) -> String {
    let mut simple = String::new();
    let mut rest = pattern;
    while let Some((before, set)) = rest.split_once('[') {
        // A `]` that comes first is one of the characters.
        let skipped = set.strip_prefix(['!', '^']).unwrap_or(set);
        let skipped = skipped.strip_prefix(']').unwrap_or(skipped);
        let Some((_, after)) = skipped.split_once(']') else { break };
        simple.push_str(before);
        simple.push('?');
        rest = after;
    }
    simple.push_str(rest);
    simple
}

/// The files that a pattern stands for, in the order of their names, as glob(3) gives them.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str();
        let text = part.to_string_lossy();
        if !text.contains(['*', '?', '[']) {
            for path in &mut found {
                path.push(part);
            }
            continue;
        }
        found = found.iter().flat_map(|folder| matching(folder, &text)).take(MAX_FILES).collect();
    }
    found.retain(|path| path.exists());
    found
}

fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let names = entries.map(|entry| entry.file_name());
    let names = names.filter(|name| fits_name(pattern, &name.to_string_lossy())).collect();
    order::by(names, Ord::cmp).into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn settings_are_found_where_they_stand() {
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

        let sources = Sources::read(&main);
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
        assert_eq!(shown(&sources.commands), expected, "and a file that includes itself has an end");
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
    fn patterns_find_at_least_what_glob_does() {
        for (pattern, name, fits) in [
            ("[a]*.cfg", "a1.cfg", true),
            ("[!a]x", "bx", true),
            ("[]x]y", "]y", true),
            ("a[b", "a[b", true),
            ("*.conf", ".x.conf", false),
            ("[ab].conf", "abc.conf", false),
        ] {
            assert_eq!(fits_name(pattern, name), fits, "{pattern} {name}");
        }
    }
}
