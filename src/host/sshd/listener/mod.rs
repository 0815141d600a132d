//! The running server. The options on its command line override every file and survive a reload.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use eic_core::order;
use eic_core::text::{MAX_SHOWN, printable_bytes};

use super::keyword::Keyword;
use super::process::ProcFolder;
use super::server::CONFIG;

/// Maximum number of ancestor processes that are checked: sshd's process for the connection, the server, and a
/// script in between. If sshd is further up, for example above a user's shell, it did not start this process as its
/// command.
const MAX_ANCESTORS: usize = 3;

/// sshd's options that take a value (OpenSSH sshd.c).
const WITH_VALUE: &str = "bcCEfghkopu";

/// sshd's options without a value.
const WITHOUT_VALUE: &str = "46DdeGiqrRTtV";

/// A running server, and the options that it was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The process id.
    pub pid: u32,
    /// The configuration file on its command line (`-f`).
    pub config: Option<PathBuf>,
    /// The settings on its command line (`-o`), in order.
    pub options: Vec<String>,
    /// The host keys on its command line (`-h`), in order.
    pub host_keys: Vec<PathBuf>,
    /// Whether the command line can be split into arguments with certainty. If not, it may contain further options.
    pub is_clear: bool,
}

impl Listener {
    /// The servers that accept connections, sorted by process id.
    ///
    /// Any user can name a process `sshd`. So a process counts only if all its user ids are root, if it runs
    /// `program`, and if it sees the same files as this process. A server in a chroot or in its own mount namespace
    /// may read another configuration. Only root can check this. For other users the list is empty.
    #[must_use]
    pub fn all(program: &Path) -> Vec<Self> {
        let Ok(program) = program.canonicalize() else { return Vec::new() };
        let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        let found = processes
            .filter_map(|process| {
                let pid = process.file_name().to_str()?.parse().ok()?;
                let process = ProcFolder::open(&process.path()).ok()?;
                // Check before and after: an sshd process can become its user's program at any moment.
                process.genuine(&program)?;
                let listener = Self::parse(pid, &process.file("cmdline")?)?;
                let parent = process.genuine(&program)?;
                process
                    .sees(listener.config.as_deref().unwrap_or(Path::new(CONFIG)))
                    .then_some((listener, parent))
            })
            .collect();
        let mut found = order::by_key(found, |(listener, _)| listener.pid);
        // The process that serves a connection is a copy of its parent for a moment.
        let pids: Vec<_> = found.iter().map(|(listener, _)| listener.pid).collect();
        found.retain(|(_, parent)| !pids.contains(parent));
        found.into_iter().map(|(listener, _)| listener).collect()
    }

    /// Why it is unknown which file `-f` names, and what to do. `None` if the file is known.
    #[must_use]
    pub fn unknown_config(&self) -> Option<(String, &'static str)> {
        let config = self.config.as_deref()?;
        let started = format!("the running sshd (pid {}) was started with -f {}", self.pid, shown(config));
        if !config.is_absolute() {
            // sshd has changed to / since then (OpenSSH sshd.c). There, a relative name is another file.
            let seen = format!(
                "{started}, expected an absolute path: the agent cannot know which file that is, and a reload would end sshd"
            );
            return Some((seen, "start sshd with an absolute path"));
        }
        (!self.is_clear).then(|| {
            let seen = format!(
                "{started}, but the agent cannot separate its arguments with certainty: the file may have a longer name"
            );
            (seen, "start sshd without a space in its arguments")
        })
    }

    /// The server that runs this process as its command. `None` if there is no such server, or if this user cannot
    /// see its ancestor processes (`proc(5)`, `hidepid`).
    ///
    /// The agent trusts what its ancestors show in /proc, because they already control the arguments of this
    /// process.
    #[must_use]
    pub fn above() -> Option<Self> {
        let mut pid = std::process::id();
        for _ in 0..MAX_ANCESTORS {
            pid = ProcFolder::open(Path::new(&format!("/proc/{pid}"))).ok()?.parent()?;
            let cmdline = ProcFolder::open(Path::new(&format!("/proc/{pid}"))).ok()?.file("cmdline")?;
            if let Some(listener) = Self::parse(pid, &cmdline) {
                return Some(listener);
            }
        }
        None
    }

    /// Whether the command line sets `AuthorizedKeysCommand` or its user.
    #[must_use]
    pub fn sets_command(&self) -> bool {
        let pair = [Keyword::AuthorizedKeysCommand, Keyword::AuthorizedKeysCommandUser];
        pair.iter().any(|keyword| self.sets(*keyword))
    }

    /// Whether one of its `-o` options has this keyword.
    #[must_use]
    pub fn sets(&self, keyword: Keyword) -> bool {
        let mut keywords = self.options.iter().filter_map(|option| Keyword::of_line(option));
        keywords.any(|(known, _)| known == keyword)
    }

    /// Parses the command line of a process. Returns `None` if the process is not a listening sshd.
    ///
    /// Since 8.2, sshd overwrites its command line with its state: `sshd: /usr/sbin/sshd -D [listener] 0 of 10-100
    /// startups`. There, spaces separate the arguments, and the text is cut off if there is no room. Older releases
    /// keep the original command line.
    fn parse(pid: u32, cmdline: &[u8]) -> Option<Self> {
        let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_string_lossy().into_owned();
        let end = cmdline.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        let cmdline = cmdline.get(..end).unwrap_or_default();
        let Some(title) = cmdline.strip_prefix(b"sshd: ") else {
            let mut words = cmdline.split(|byte| *byte == 0).map(text);
            let program = words.next()?;
            let is_sshd = Path::new(&program).file_name() == Some(OsStr::new("sshd"));
            return if is_sshd { Self::of_arguments(pid, words, true) } else { None };
        };
        // If the text was cut off, the rest of the old command line follows it.
        let is_whole = !title.contains(&0);
        let title = text(title).replace('\0', " ");
        // A session process shows the user's name here. It contains no slash.
        let program = title.split(' ').next().unwrap_or_default();
        if !program.starts_with('/') && program != "sshd" {
            return None;
        }
        let arguments = title.split_once(" [listener]").map(|(arguments, _)| arguments);
        let words: Vec<_> = arguments.unwrap_or(&title).split(' ').map(str::to_owned).collect();
        let (words, is_clear) = join_values(words);
        Self::of_arguments(pid, words.into_iter().skip(1), is_clear && is_whole && arguments.is_some())
    }

    /// Parses the arguments like getopt(3). Returns `None` for an sshd that only prints or checks (`-t`, `-T`,
    /// `-G`, `-V`) or that serves one connection (`-i` under inetd, `-R` under another sshd).
    fn of_arguments(pid: u32, mut words: impl Iterator<Item = String>, is_clear: bool) -> Option<Self> {
        let mut listener = Self { pid, config: None, options: Vec::new(), host_keys: Vec::new(), is_clear };
        while let Some(word) = words.next() {
            let Some(letters) = word.strip_prefix('-') else {
                listener.is_clear = false;
                break;
            };
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                if matches!(letter, 't' | 'T' | 'G' | 'i' | 'R' | 'V') {
                    return None;
                }
                if !WITH_VALUE.contains(letter) {
                    continue;
                }
                let attached = letters.as_str();
                let value = if attached.is_empty() { words.next()? } else { attached.to_owned() };
                match letter {
                    'f' => listener.config = Some(value.into()),
                    'o' => listener.options.push(value),
                    'h' => listener.host_keys.push(value.into()),
                    _ => {}
                }
                break;
            }
        }
        // sshd accepts no further arguments (OpenSSH sshd.c, "Extra argument"). So a value contained spaces.
        listener.is_clear &= words.next().is_none();
        Some(listener)
    }
}

fn shown(path: &Path) -> String {
    printable_bytes(path.as_os_str().as_bytes(), MAX_SHOWN)
}

/// Keywords whose value is a command. Its arguments can look like options of sshd.
const COMMANDS: [&str; 4] =
    ["forcecommand", "authorizedkeyscommand", "authorizedprincipalscommand", "subsystem"];

/// Whether this value of `-o` is a command.
fn is_command(value: &str) -> bool {
    let setting = value.strip_prefix("-o").unwrap_or(value).trim_start();
    let keyword = setting.split(['=', ' ', '\t']).next().unwrap_or_default();
    COMMANDS.iter().any(|command| keyword.trim_matches('"').eq_ignore_ascii_case(command))
}

/// Joins the words after an `-o` to its value, up to the next `-o`. The flag is false if one of the words may be an
/// option instead, because a value may contain a word that looks like an option.
fn join_values(words: Vec<String>) -> (Vec<String>, bool) {
    let mut joined: Vec<String> = Vec::new();
    let mut in_value = false;
    let mut is_clear = true;
    for word in words {
        match joined.last_mut() {
            Some(value) if in_value && value == "-o" => joined.push(word),
            Some(value) if in_value && !word.starts_with("-o") => {
                // If the value has no space yet, count a word that looks like an option as an option: usual values such
                // as `Ciphers=a` have no space.
                if is_option(&word) && !value.contains(' ') {
                    in_value = false;
                    is_clear &= !is_command(value);
                    joined.push(word);
                    continue;
                }
                is_clear &= !is_option(&word);
                value.push(' ');
                value.push_str(&word);
            }
            _ => {
                in_value = word.starts_with("-o");
                joined.push(word);
            }
        }
    }
    (joined, is_clear)
}

fn is_option(word: &str) -> bool {
    let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
    let first = letters.next();
    first.is_some_and(|first| {
        WITH_VALUE.contains(first)
            || (WITHOUT_VALUE.contains(first) && letters.all(|letter| WITHOUT_VALUE.contains(letter)))
    })
}

#[cfg(test)]
mod tests;
