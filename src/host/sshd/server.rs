//! Runs sshd to check a configuration and to print the effective configuration.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{DirBuilder, remove_dir_all};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eic_core::text::{MAX_SHOWN, printable};
use nix::errno::Errno;
use nix::unistd::{Uid, mkdtemp};

use super::keyword::Keyword;
use super::trace::{ConfigTrace, QueryMode};
use crate::ownership::{Insecure, check, check_folder};
use crate::process::{MAX_BYTES, output_with_timeout};

pub use super::printed::EffectiveConfig;

/// Paths of sshd on supported distributions.
const PROGRAMS: [&str; 4] = ["/usr/sbin/sshd", "/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"];

/// sshd's default configuration file, the same on every supported distribution.
pub const CONFIG: &str = "/etc/ssh/sshd_config";

/// Time limit. sshd only reads a few files.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection whose host and addresses no `Match` should name: the addresses are for documentation (RFC 5737). `-T`
/// needs all of them and the local port.
const CONNECTION: &str = "host=host.invalid,addr=192.0.2.1,laddr=192.0.2.2";

/// The first port in a query. If the server does not listen there, another port is used.
const PORT: &str = "22";

/// A user name that no user and no `Match` has.
const NOBODY: &str = "eic-probe.invalid";

/// sshd's standard output and standard error.
pub(super) struct ServerOutput {
    pub(super) printed: String,
    pub(super) complaint: String,
}

/// The installed sshd program.
#[derive(Clone, Debug)]
pub struct Server {
    program: PathBuf,
}

/// The effective settings that concern the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EffectiveCommand {
    /// `AuthorizedKeysCommand`, if set.
    pub command: Option<String>,
    /// `AuthorizedKeysCommandUser`, if set. It may come from another file than the command.
    pub user: Option<String>,
    /// Whether `PubkeyAuthentication` is on.
    pub takes_keys: bool,
}

/// Why sshd returned no result.
#[derive(Debug)]
pub enum ServerError {
    /// sshd could not be run.
    NotRun(io::Error),
    /// sshd needs a host key. The machine has none, and none could be created.
    NoHostKey(io::Error),
    /// sshd reported this error.
    Refused(String),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun(error) => write!(f, "sshd cannot be run: {error}"),
            Self::NoHostKey(error) => {
                write!(f, "sshd needs a host key, and creating one failed: {error}")
            }
            Self::Refused(words) => write!(f, "sshd says: {words}"),
        }
    }
}

impl Server {
    /// Finds the installed sshd. Returns `None` if there is none. Root runs only a program that no other user can
    /// change.
    pub fn find() -> Result<Option<Self>, Insecure> {
        let mut closed = None;
        let found = PROGRAMS.iter().map(PathBuf::from).find(|program| match program.metadata() {
            Ok(status) => status.is_file(),
            Err(error) => {
                let is_absent =
                    [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind());
                if !is_absent {
                    closed.get_or_insert(Insecure::Unreadable(program.clone(), error));
                }
                false
            }
        });
        let Some(program) = found else { return closed.map_or(Ok(None), Err) };
        if Uid::effective().is_root() {
            check(&program)?;
        }
        Ok(Some(Self { program }))
    }

    /// The path of sshd.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Checks whether sshd would start with `config` (`sshd -t`).
    pub fn test(&self, config: &Path) -> Result<(), ServerError> {
        self.run(&["-t".as_ref(), "-f".as_ref(), config.as_os_str()]).map(|_| ())
    }

    /// The effective settings under `config` (`sshd -T`) for a connection that matches no specific `Match`. The `-o`
    /// options in `options` override the file.
    pub fn effective(&self, config: &Path, options: &[String]) -> Result<EffectiveCommand, ServerError> {
        self.printed(config, options, None).map(|printed| EffectiveCommand::of(&printed))
    }

    /// All effective settings for logins of `user`, or without a user for a connection that matches no specific
    /// `Match`. sshd cannot be queried about a name with a comma, so such a name counts as unknown.
    pub fn printed(
        &self,
        config: &Path,
        options: &[String],
        user: Option<&str>,
    ) -> Result<EffectiveConfig, ServerError> {
        let user = user.filter(|user| !user.contains([',', '\0'])).unwrap_or(NOBODY);
        let printed = self.printed_at(config, options, user, PORT)?;
        let first = printed.values(Keyword::Port).next().map(str::to_owned);
        let listens_there = printed.values(Keyword::Port).any(|port| port == PORT);
        match first.filter(|_| !listens_there) {
            Some(port) => self.printed_at(config, options, user, &port),
            None => Ok(printed),
        }
    }

    /// The effective settings for logins of `user`, or without a specific user, and the names of all files that
    /// sshd read. sshd escapes file names that are not printable ASCII. Such a name does not exist as a file.
    pub fn trace(
        &self,
        question: QueryMode,
        config: &Path,
        options: &[String],
        user: Option<&str>,
    ) -> Result<ConfigTrace, ServerError> {
        let user = user.filter(|user| !user.contains([',', '\0'])).unwrap_or(NOBODY);
        let connection = format!("user={user},{CONNECTION},lport={PORT}");
        let option = match question {
            QueryMode::Test => "-T",
            QueryMode::Print => "-G",
        };
        // Debug level 2 prints the file names (OpenSSH servconf.c, `load_server_config` and `sInclude`).
        let mut arguments: Vec<&OsStr> = vec![option.as_ref(), "-ddd".as_ref(), "-C".as_ref()];
        arguments.extend([connection.as_ref(), OsStr::new("-f"), config.as_os_str()]);
        for option in options {
            arguments.extend([OsStr::new("-o"), option.as_ref()]);
        }
        let ServerOutput { printed, complaint: debug } = self.run(&arguments)?;
        // The part that was cut off may have named another file.
        if u64::try_from(debug.len()).is_ok_and(|bytes| bytes >= MAX_BYTES) {
            return Err(ServerError::Refused(format!("more than {MAX_BYTES} bytes of debug messages")));
        }
        Ok(ConfigTrace::of(&printed, &debug))
    }

    fn printed_at(
        &self,
        config: &Path,
        options: &[String],
        user: &str,
        port: &str,
    ) -> Result<EffectiveConfig, ServerError> {
        let connection = format!("user={user},{CONNECTION},lport={port}");
        let mut arguments: Vec<&OsStr> =
            vec!["-T".as_ref(), "-C".as_ref(), connection.as_ref(), "-f".as_ref(), config.as_os_str()];
        for option in options {
            arguments.extend([OsStr::new("-o"), option.as_ref()]);
        }
        self.run(&arguments).map(|said| EffectiveConfig::parse(&said.printed))
    }

    /// Runs sshd. If sshd needs a host key, creates a temporary one. If sshd misses its folder below `/run`,
    /// creates it: a machine has that folder only after sshd was started.
    pub(super) fn run(&self, arguments: &[&OsStr]) -> Result<ServerOutput, ServerError> {
        let mut key = None;
        let mut made = false;
        loop {
            let mut command = Command::new(&self.program);
            command.args(arguments);
            if let Some(HostKey { file, .. }) = &key {
                command.arg("-h").arg(file);
            }
            let said = output_with_timeout(&mut command, TIMEOUT).map_err(ServerError::NotRun)?;
            let complaint = String::from_utf8_lossy(&said.stderr).into_owned();
            if said.status.success() {
                return Ok(ServerOutput {
                    printed: String::from_utf8_lossy(&said.stdout).into_owned(),
                    complaint,
                });
            }
            if key.is_none() && complaint.contains("no hostkeys available") {
                key = Some(HostKey::make().map_err(ServerError::NoHostKey)?);
            } else if made || !make_missing_folder(&complaint) {
                return Err(ServerError::Refused(shown(&complaint)));
            } else {
                made = true;
            }
        }
    }
}

impl EffectiveCommand {
    /// Selects the settings that concern the agent.
    #[must_use]
    pub fn of(printed: &EffectiveConfig) -> Self {
        Self {
            command: printed.value(Keyword::AuthorizedKeysCommand).map(str::to_owned),
            user: printed.value(Keyword::AuthorizedKeysCommandUser).map(str::to_owned),
            takes_keys: printed.value(Keyword::PubkeyAuthentication) != Some("no"),
        }
    }
}

/// A temporary host key in its own folder.
struct HostKey {
    folder: PathBuf,
    file: PathBuf,
}

impl HostKey {
    /// Creates an ECDSA key. Every release and every crypto policy supports ECDSA.
    fn make() -> io::Result<Self> {
        // A folder below /run does not survive a boot. Root uses neither a folder that other users can write nor the
        // folder that TMPDIR names. There, another user could replace the key's folder before ssh-keygen writes
        // into it.
        let places: &[&str] = if Uid::effective().is_root() { &["/run", "/"] } else { &["/tmp"] };
        let is_safe = |place: &Path| !Uid::effective().is_root() || check_folder(place).is_ok();
        let made = places.iter().map(Path::new).filter(|place| is_safe(place));
        let mut made = made.map(|place| mkdtemp(&place.join("eic-agent.XXXXXX")));
        let folder = made.find(Result::is_ok).unwrap_or(Err(Errno::ENOENT))?;
        let key = Self { file: folder.join("host-key"), folder };
        let mut program = Command::new("ssh-keygen");
        let said =
            output_with_timeout(program.args(["-q", "-t", "ecdsa", "-N", "", "-f"]).arg(&key.file), TIMEOUT)
                .map_err(|error| io::Error::new(error.kind(), format!("ssh-keygen: {error}")))?;
        if said.status.success() {
            return Ok(key);
        }
        Err(io::Error::other(format!(
            "no host key can be created: {}",
            shown(&String::from_utf8_lossy(&said.stderr))
        )))
    }
}

impl Drop for HostKey {
    fn drop(&mut self) {
        let _ = remove_dir_all(&self.folder);
    }
}

/// Creates the folder below `/run` that sshd misses, if `complaint` reports that. `/run` is empty at each boot.
/// Another run, or the start of sshd, may have created the folder in the meantime.
fn make_missing_folder(complaint: &str) -> bool {
    let said = complaint.lines().find_map(|line| line.split_once("Missing privilege separation directory: "));
    let Some((_, folder)) = said else { return false };
    let folder = Path::new(folder.trim());
    ["/run", "/var/run"].iter().any(|place| folder.parent() == Some(Path::new(place)))
        && match DirBuilder::new().mode(0o755).create(folder) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
        }
}

/// The first lines of sshd's error messages. Lines about host keys are skipped, because they are no fault here.
fn shown(complaint: &str) -> String {
    let lines =
        complaint.lines().map(str::trim).filter(|line| !line.is_empty() && !line.contains("load host key"));
    let words: Vec<_> = lines.take(3).map(|line| printable(line, MAX_SHOWN)).collect();
    if words.is_empty() { "(no error message)".to_owned() } else { words.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_settings_are_read() {
        let said = "port 22\npubkeyauthentication yes\nauthorizedkeyscommand /bin/a %u  %f\nauthorizedkeyscommanduser none\n";
        let expected =
            EffectiveCommand { command: Some("/bin/a %u  %f".to_owned()), user: None, takes_keys: true };
        let read = |said: &str| EffectiveCommand::of(&EffectiveConfig::parse(said));
        assert_eq!(read(said), expected);
        let nothing = EffectiveCommand { command: None, user: None, takes_keys: false };
        assert_eq!(read("pubkeyauthentication no\nauthorizedkeyscommand none\n"), nothing);
        let lists = EffectiveConfig::parse("allowusers a\nallowusersx c\nallowusers b@x\n");
        assert_eq!(lists.values(Keyword::AllowUsers).collect::<Vec<_>>(), ["a", "b@x"]);
    }

    /// The output format of OpenSSH 10.4 and later.
    #[test]
    fn keywords_in_mixed_case_are_read_like_lower_case() {
        let said = "Port 2222\nPubkeyAuthentication no\nAuthorizedKeysCommand /bin/a %u\nAuthorizedKeysCommandUser b\nAllowUsers c\nAllowUsers d\nPermitUserEnvironment no\nRequiredRSASize 3072\n";
        let mixed = EffectiveConfig::parse(said);
        let small: Vec<_> = said
            .lines()
            .map(|line| line.split_once(' ').unwrap())
            .map(|(keyword, value)| format!("{} {value}\n", keyword.to_ascii_lowercase()))
            .collect();
        assert_eq!(mixed, EffectiveConfig::parse(&small.concat()));
        assert_eq!(mixed.values(Keyword::AllowUsers).collect::<Vec<_>>(), ["c", "d"]);
        assert_eq!(mixed.value(Keyword::PermitUserEnvironment), Some("no"));
        let expected = EffectiveCommand {
            command: Some("/bin/a %u".to_owned()),
            user: Some("b".to_owned()),
            takes_keys: false,
        };
        assert_eq!(EffectiveCommand::of(&mixed), expected);
        let unset = EffectiveConfig::parse("AuthorizedKeysCommand none\nAuthorizedKeysCommandUser NONE\n");
        assert_eq!(
            EffectiveCommand::of(&unset),
            EffectiveCommand { command: None, user: None, takes_keys: true }
        );
    }

    #[test]
    fn complaints_are_short_and_printable() {
        let said = "Unable to load host key: /etc/x\r\n/etc/c: line 5: Bad configuration option: \u{1b}[1m\r\n\r\nb\nc\nd\n";
        assert_eq!(shown(said), "/etc/c: line 5: Bad configuration option: \\x1b[1m; b; c");
        assert_eq!(shown(""), "(no error message)");
        assert!(!make_missing_folder("Missing privilege separation directory: /etc/sshd"));
    }
}
