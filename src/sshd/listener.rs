//! The running server: what its own command line says wins over every file, and stays through a reload.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::files::head_of_regular;

/// Most of a command line that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// sshd's options that take a value (OpenSSH sshd.c).
const WITH_VALUE: &str = "bcCEfghkopu";

/// sshd's options that take none.
const WITHOUT_VALUE: &str = "46DdeGiqrRTtV";

/// A running server and the options that it was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its process.
    pub pid: u32,
    /// The configuration that it was told to read (`-f`).
    pub config: Option<PathBuf>,
    /// The settings that it was told (`-o`), in order.
    pub options: Vec<String>,
}

impl Listener {
    /// The server that accepts connections, if one runs on the same root as we do: in a chroot, those of
    /// the machine around it are none of ours. Of several, one that reads the usual configuration.
    #[must_use]
    pub fn find() -> Option<Self> {
        let own_root = fs::metadata("/").ok().map(|root| (root.dev(), root.ino()));
        let mut found: Vec<_> = fs::read_dir("/proc")
            .ok()?
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let root = fs::metadata(entry.path().join("root")).ok().map(|root| (root.dev(), root.ino()));
                // Only root may look; others see no difference, and look at what there is.
                if root.is_some() && root != own_root {
                    return None;
                }
                Self::read(pid, &head_of_regular(&entry.path().join("cmdline"), MAX_BYTES).ok()?)
            })
            .collect();
        found.sort_by_key(|listener| (listener.config.is_some(), listener.pid));
        found.into_iter().next()
    }

    /// Whether its own command line sets `AuthorizedKeysCommand`, or its user.
    #[must_use]
    pub fn sets_command(&self) -> bool {
        self.options
            .iter()
            .any(|option| option.trim_start().to_ascii_lowercase().starts_with("authorizedkeyscommand"))
    }

    /// Reads a process' command line; none where it is no listening sshd.
    ///
    /// From 8.2, sshd writes its state over it: `sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups`,
    /// with plain spaces between the arguments. Before, they are as they were given.
    fn read(pid: u32, cmdline: &[u8]) -> Option<Self> {
        let text = |bytes: &[u8]| OsStr::from_bytes(bytes).to_string_lossy().into_owned();
        let mut words: Vec<String>;
        let end = cmdline.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        let cmdline = cmdline.get(..end).unwrap_or_default();
        if let Some(title) = cmdline.strip_prefix(b"sshd: ") {
            let title = text(title);
            let (arguments, _) = title.split_once(" [listener]")?;
            words = arguments.split(' ').map(str::to_owned).collect();
            words = join_values(words);
        } else {
            words = cmdline.split(|byte| *byte == 0).map(text).collect();
        }
        let mut words = words.into_iter();
        let program = words.next()?;
        if Path::new(&program).file_name() != Some(OsStr::new("sshd")) {
            return None;
        }
        Self::of_arguments(pid, words)
    }

    /// The arguments as getopt(3) reads them. None for an sshd that is asked something (`-t`, `-T`, `-G`) or
    /// serves one connection of inetd's (`-i`).
    fn of_arguments(pid: u32, mut words: impl Iterator<Item = String>) -> Option<Self> {
        let mut listener = Self { pid, config: None, options: Vec::new() };
        while let Some(word) = words.next() {
            let Some(letters) = word.strip_prefix('-') else { break };
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                if matches!(letter, 't' | 'T' | 'G' | 'i' | 'V') {
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
                    _ => {}
                }
                break;
            }
        }
        Some(listener)
    }
}

/// Joins to an `-o` the words that follow it, up to the next that looks like an option of sshd's own.
fn join_values(words: Vec<String>) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut in_value = false;
    for word in words {
        match joined.last_mut() {
            Some(value) if in_value && value != "-o" && !is_option(&word) => {
                value.push(' ');
                value.push_str(&word);
            }
            previous => {
                in_value = word.starts_with("-o") || previous.is_some_and(|previous| previous == "-o");
                joined.push(word);
            }
        }
    }
    joined
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
mod tests {
    use super::*;

    fn read(cmdline: &str) -> Option<(Option<PathBuf>, Vec<String>)> {
        let listener = Listener::read(7, cmdline.as_bytes())?;
        Some((listener.config, listener.options))
    }

    fn options(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn command_lines_of_old_and_new_releases_are_read() {
        let amazons = [
            "AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f",
            "AuthorizedKeysCommandUser ec2-instance-connect",
        ];
        for (cmdline, expected) in [
            ("/usr/sbin/sshd\0-D\0", Some((None, vec![]))),
            (
                "/usr/sbin/sshd\0-D\0-f\0/etc/other\0-oCiphers=a,b\0",
                Some((Some("/etc/other".into()), options(&["Ciphers=a,b"]))),
            ),
            ("sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups\0\0\0", Some((None, vec![]))),
            (
                "sshd: /usr/sbin/sshd -D -o AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f -o AuthorizedKeysCommandUser ec2-instance-connect [listener] 0 of 10-100 startups",
                Some((None, options(&amazons))),
            ),
            (
                "sshd: /usr/sbin/sshd -D -oCiphers=a -De -f /x y [listener] 1 of 2",
                Some((Some("/x".into()), options(&["Ciphers=a"]))),
            ),
            ("sshd: ec2-user [priv]", None),
            ("sshd: ec2-user@pts/0", None),
            ("/usr/sbin/sshd\0-T\0-C\0user=x", None),
            ("/usr/sbin/sshd\0-i", None),
            ("/usr/bin/vi\0sshd", None),
            ("", None),
            ("/usr/sbin/sshd\0-f", None),
        ] {
            assert_eq!(read(cmdline), expected, "{cmdline:?}");
        }
        assert!(
            Listener::read(1, format!("/usr/sbin/sshd\0-o\0{}\0", amazons[0]).as_bytes())
                .unwrap()
                .sets_command()
        );
        assert!(!Listener::read(1, b"/usr/sbin/sshd\0-oPort=22").unwrap().sets_command());
    }
}
