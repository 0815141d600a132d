//! What sshd does with sessions, as far as it decides whether a session can have the wrapper, and the record of that
//! ([`crate::sshd::record`]).

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::sshd::command::split;
use crate::sshd::environment::source::ConfigSource;
use crate::sshd::keyword::Keyword;
use crate::sshd::last_read::Unread;
use crate::sshd::listener::Listener;
use crate::sshd::pattern_list;
use crate::sshd::printed::EffectiveConfig;
use crate::sshd::record::{RecordError, RecordedServer, check_sources, has_sound_sources, load, write};
use crate::sshd::sources::{Setting, Sources};

/// Path of the record. Only root can write there.
pub const PLACE: &str = "/var/lib/eic-agent/sshd-session.json";

/// The recorded keywords.
pub const KEYWORDS: [Keyword; 5] = [
    Keyword::AuthenticationMethods,
    Keyword::ChrootDirectory,
    Keyword::ForceCommand,
    Keyword::Include,
    Keyword::Match,
];

/// Version of the record's format.
const VERSION: u32 = 1;

/// Paths of sftp-server on supported distributions.
const SFTP_SERVERS: [&str; 5] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/ssh/sftp-server",
    "/usr/libexec/sftp-server",
];

/// The installed sftp-server. It does the same as `internal-sftp`, which only sshd itself can run.
#[must_use]
pub fn sftp_server() -> Option<&'static str> {
    SFTP_SERVERS.into_iter().find(|path| Path::new(path).is_file())
}

/// A setting with which some sessions cannot have the wrapper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hindrance {
    kind: HindranceKind,
    /// The criteria of the `Match` around it. Empty if it is for all logins.
    criteria: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum HindranceKind {
    /// The wrapper does not exist below the new root directory.
    Chroot,
    /// sshd refuses a login with two keys whose commands differ (OpenSSH auth-options.c, `sshauthopt_merge`).
    TwoKeys,
}

/// What sshd does with sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionFacts {
    hindrances: Vec<Hindrance>,
}

impl SessionFacts {
    /// Judges what sshd printed, its files, and the `-o` options on its command line. The error says why the files do not
    /// show it.
    pub fn of(printed: &EffectiveConfig, sources: &Sources, options: &[String]) -> Result<Self, String> {
        if let Some(insecure) = sources.insecure.first() {
            return Err(insecure.seen());
        }
        if let Some(unclear) = sources.unclear.first() {
            return Err(format!("sshd may read a line differently: {unclear}"));
        }
        let on_line = || options.iter().filter_map(|option| Keyword::of_line(option));
        if on_line().any(|(keyword, _)| matches!(keyword, Keyword::Include | Keyword::Match)) {
            return Err("the command line of sshd has an Include or a Match".to_owned());
        }
        let on_line = on_line();
        let on_line = on_line.map(|(keyword, value)| (keyword, value.to_owned(), String::new()));
        let in_files = sources.others.iter().map(|(keyword, setting)| {
            (*keyword, setting.value.clone(), sources.criteria(setting).to_owned())
        });
        let as_printed = KEYWORDS.into_iter().flat_map(|keyword| {
            printed.values(keyword).map(move |value| (keyword, value.to_owned(), String::new()))
        });
        let all: Vec<_> = on_line.chain(in_files).collect();
        // sshd prints the value of a line that was found, or a default.
        let is_set = |keyword: &Keyword, value: &str| {
            let mut same = all.iter().filter(|(known, ..)| known == keyword);
            same.any(|(_, known, _)| known.trim().eq_ignore_ascii_case(value))
        };
        let is_default = |(keyword, value, _): &(Keyword, String, String)| {
            !is_set(keyword, value) && !value.eq_ignore_ascii_case("none")
        };
        let defaults: Vec<_> = as_printed.filter(is_default).collect();
        let all: Vec<_> = all.into_iter().chain(defaults).collect();
        // With a command of sshd itself, there is no wrapper in these sessions anyway. `none` would lift that command.
        let lifts = all.iter().any(|(keyword, value, _)| {
            *keyword == Keyword::ForceCommand && value.trim().eq_ignore_ascii_case("none")
        });
        let has_own_command = |criteria: &str| {
            let mut commands = all.iter().filter(|(keyword, ..)| *keyword == Keyword::ForceCommand);
            !lifts && commands.any(|(_, _, within)| within == criteria)
        };
        let mut hindrances = Vec::new();
        for (keyword, value, criteria) in &all {
            let kind = match keyword {
                Keyword::ChrootDirectory if !value.trim().eq_ignore_ascii_case("none") => {
                    HindranceKind::Chroot
                }
                Keyword::AuthenticationMethods if needs_two_keys(value) => HindranceKind::TwoKeys,
                _ => continue,
            };
            let hindrance = Hindrance { kind, criteria: criteria.clone() };
            let is_harmless = kind == HindranceKind::Chroot && has_own_command(criteria);
            if !is_harmless && !hindrances.contains(&hindrance) {
                hindrances.push(hindrance);
            }
        }
        Ok(Self { hindrances })
    }

    /// Why sessions of this user have no wrapper. `None` if they can have one.
    #[must_use]
    pub fn hindrance(&self, user: &str) -> Option<String> {
        let found = self.hindrances.iter().find(|hindrance| may_apply(&hindrance.criteria, user))?;
        let criteria = match found.criteria.trim() {
            "" => String::new(),
            criteria => format!(" (Match {criteria})"),
        };
        Some(match found.kind {
            HindranceKind::Chroot => format!("ChrootDirectory of sshd may apply{criteria}"),
            HindranceKind::TwoKeys => format!("AuthenticationMethods of sshd may need two keys{criteria}"),
        })
    }
}

impl Sources {
    /// The criteria of the `Match` around a setting, and of those around its file. Empty outside of every `Match`.
    fn criteria(&self, setting: &Setting) -> &str {
        let place = setting.block.checked_sub(1);
        let condition = place.and_then(|place| self.conditions.get(place));
        condition.map_or("", |condition| condition.value.trim())
    }
}

/// Whether one of these lists of methods names public keys twice.
fn needs_two_keys(value: &str) -> bool {
    let is_key = |method: &&str| method.trim_matches('"').starts_with("publickey");
    value.split_whitespace().any(|list| list.split(',').filter(is_key).count() > 1)
}

/// Whether a `Match` may apply to logins of `user`. Only the criterion `User` can exclude it: groups may come from a
/// directory, and the rest depends on the connection.
fn may_apply(criteria: &str, user: &str) -> bool {
    let mut words = split(criteria).into_iter().filter(|word| word != "=");
    while let Some(word) = words.next() {
        let (criterion, value) = match word.split_once('=') {
            Some((criterion, value)) => (criterion.to_ascii_lowercase(), Some(value.to_owned())),
            None => (word.to_ascii_lowercase(), None),
        };
        if matches!(criterion.as_str(), "all" | "invalid-user") {
            continue;
        }
        let value = value.filter(|value| !value.is_empty()).or_else(|| words.next()).unwrap_or_default();
        if criterion == "user" && !pattern_list::matches(&value, user) {
            return false;
        }
    }
    true
}

/// The running server at the time of the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerProcess {
    pid: u32,
    /// When the process was started, in ticks since the boot.
    started: u64,
}

impl ServerProcess {
    fn of(pid: u32) -> Option<Self> {
        crate::sshd::process::started_ticks(pid).map(|started| Self { pid, started })
    }
}

/// The record file's content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRecord {
    version: u32,
    subject: RecordedServer,
    /// The server that had read the sources. `None` if no server ran.
    server: Option<ServerProcess>,
    facts: SessionFacts,
    sources: Vec<ConfigSource>,
}

impl SessionRecord {
    /// Creates a record. The server of `subject`, if one runs, must have read the sources as they are now.
    #[must_use]
    pub fn new(subject: RecordedServer, facts: SessionFacts, sources: Vec<ConfigSource>) -> Self {
        let server = subject.pid().and_then(ServerProcess::of);
        Self { version: VERSION, subject: subject.stored(), server, facts, sources }
    }

    /// The recorded facts, for logins at this server. They count only if the server has read the files of the record as
    /// they are now: it is the server of the record, or it was started after the last change.
    ///
    /// `server` is `None` for commands that people run if no server can be seen. Then the files alone count.
    pub fn facts(place: &Path, server: Option<&Listener>) -> Result<SessionFacts, RecordError> {
        let record: Self = load(place)?;
        if record.version != VERSION || !has_sound_sources(&record.sources) {
            return Err(RecordError::Malformed(place.to_owned()));
        }
        if let Some(listener) = server {
            record.subject.check(&RecordedServer::of(&KEYWORDS, listener))?;
        }
        check_sources(&record.sources)?;
        if let Some(path) = server.and_then(|listener| record.unread(listener.pid)) {
            return Err(RecordError::NotRead(path));
        }
        Ok(record.facts)
    }

    /// A source that may have changed after this server read it.
    fn unread(&self, pid: u32) -> Option<PathBuf> {
        if self.server.is_some() && self.server == ServerProcess::of(pid) {
            return None;
        }
        let paths: Vec<_> = self.sources.iter().map(|source| source.path().to_owned()).collect();
        Unread::among(pid, None, &paths).map(|unread| unread.path)
    }

    /// Writes the record atomically. An equal record is not written again.
    pub fn write(&self, place: &Path) -> Result<(), RecordError> {
        write(self, place)
    }
}

#[cfg(test)]
mod tests;
