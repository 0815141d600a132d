//! Other commands of sshd's AuthorizedKeysCommand kind that are asked as well, since sshd runs only one.
//!
//! Each runs under a supervisor, which is this program again under the provider's user: it can end the
//! provider in time also when we have long given root's privileges up.

mod supervise;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eic_core::reason::Reason;
use eic_host::accounts::Account;
use eic_host::ownership::{self, Insecure};

pub use supervise::supervise;

/// `_PATH_STDPATH` of the C library: what sshd gives to a command.
const STANDARD_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// Most providers.
const MAX_PROVIDERS: usize = 8;

/// Most bytes that are taken of one provider's answer: some thousand keys.
pub(crate) const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// One command line of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// A provider that was asked.
#[derive(Debug)]
pub struct StartedProvider {
    provider: Provider,
    answer: Result<Child, ProviderError>,
}

/// A provider whose answer is being read.
#[derive(Debug)]
pub struct PendingProvider {
    provider: Provider,
    answer: Result<OutputReader, ProviderError>,
}

/// Where the answer is read.
#[derive(Debug)]
enum OutputReader {
    /// On a thread of its own.
    Aside(Receiver<Finished>),
    /// By whoever collects it.
    Here(Child),
}

/// How a provider ended: what it printed, whether that was all of it, and its status.
#[derive(Debug)]
struct Finished {
    printed: Vec<u8>,
    cut: bool,
    status: io::Result<ExitStatus>,
}

/// What is worth the log about a provider.
#[derive(Debug)]
pub enum ProviderError {
    /// It does not meet sshd's own rule for what it runs.
    Insecure(Insecure),
    /// The user that it should run as is not there.
    NoUser(String),
    /// More providers than are asked.
    TooMany,
    /// It could not be started.
    NotStarted(io::Error),
    /// It ended with a status other than 0; what it printed does not count, as for sshd.
    Status(String),
    /// It had not ended by the deadline; what it printed does not count.
    Timeout(Duration),
    /// It printed more than is taken; the whole lines up to there count.
    TooLarge,
}

impl ProviderError {
    /// The stable name of this failure.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Insecure(_) => Reason::ProviderInsecure,
            Self::NoUser(_) | Self::TooMany | Self::NotStarted(_) | Self::Status(_) => Reason::ProviderFailed,
            Self::Timeout(_) => Reason::ProviderTimeout,
            Self::TooLarge => Reason::ProviderTooLarge,
        }
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insecure(error) => error.fmt(f),
            Self::NoUser(name) => write!(f, "expected the user {name} in /etc/passwd, got none"),
            Self::TooMany => write!(f, "at most {MAX_PROVIDERS} providers are asked"),
            Self::NotStarted(error) => write!(f, "cannot be started: {error}"),
            Self::Status(status) => write!(f, "ended with {status}; its keys are left out"),
            Self::Timeout(allowed) => {
                write!(f, "had not ended after {} s; its keys are left out", allowed.as_secs_f32())
            }
            Self::TooLarge => write!(f, "printed more than {MAX_ANSWER_BYTES} bytes; the rest is left out"),
        }
    }
}

/// The providers of a command line: `--` stands between them.
#[must_use]
pub fn split(words: &[OsString]) -> Vec<Provider> {
    let commands = words.split(|word| word == OsStr::new("--"));
    commands
        .filter_map(|command| {
            let (program, arguments) = command.split_first()?;
            Some(Provider { program: PathBuf::from(program), arguments: arguments.to_vec() })
        })
        .collect()
}

impl Provider {
    /// The program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// Starts all providers, side by side; what they say waits in the kernel until they are listened to. As `user`
/// when this process is root's; any other can only start them as what it is itself, which is the user that sshd
/// chose.
#[must_use]
pub fn start_all(providers: Vec<Provider>, user: Option<&str>, allowed: Duration) -> Vec<StartedProvider> {
    let is_root = nix::unistd::Uid::effective().is_root();
    let user = user.filter(|_| is_root);
    let account = user.map(|name| Account::find(name).ok_or_else(|| name.to_owned())).transpose();
    let numbered = providers.into_iter().enumerate();
    numbered
        .map(|(number, provider)| {
            let answer = match &account {
                _ if number >= MAX_PROVIDERS => Err(ProviderError::TooMany),
                Err(name) => Err(ProviderError::NoUser(name.clone())),
                Ok(account) => provider.start(account.as_ref(), allowed),
            };
            StartedProvider { provider, answer }
        })
        .collect()
}

impl Provider {
    fn start(&self, account: Option<&Account>, allowed: Duration) -> Result<Child, ProviderError> {
        // What was checked is what is run: by the time of the exec, a link may lead elsewhere.
        let checked = ownership::check(&self.program).map_err(ProviderError::Insecure)?;
        // Not the path of this program: a package may be replacing it at this moment.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("eic-agent").arg("supervise").arg(allowed.as_secs_f64().to_string()).arg(checked);
        command.arg("--").arg(&self.program).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // As sshd does it, also where a person runs this in another user's folder.
        command.current_dir("/");
        if let Some(Account { uid, gid, name, home, .. }) = account {
            // std drops our supplementary groups when it changes the user.
            command.gid(*gid).uid(*uid);
            // As sshd does it (OpenSSH misc.c, `subprocess`), also where a person runs this by hand.
            command.env_clear().env("PATH", STANDARD_PATH);
            command.env("USER", name).env("LOGNAME", name).env("HOME", home);
        }
        command.spawn().map_err(ProviderError::NotStarted)
    }
}

impl StartedProvider {
    /// Begins to read the answer, on a thread of its own, which is confined as this one is by now. Where there
    /// can be none, it is read when it is collected, and the alarm is the watch.
    #[must_use]
    pub fn listen(self) -> PendingProvider {
        PendingProvider { provider: self.provider, answer: self.answer.and_then(OutputReader::begin) }
    }
}

impl OutputReader {
    fn begin(child: Child) -> Result<Self, ProviderError> {
        let (sender, receiver) = sync_channel(1);
        let child = Arc::new(Mutex::new(Some(child)));
        let theirs = Arc::clone(&child);
        let reader = std::thread::Builder::new().name("provider".to_owned()).spawn(move || {
            if let Some(child) = taken(&theirs) {
                // Nobody may be waiting any more.
                let _ = sender.send(finish(child));
            }
        });
        match reader {
            Ok(_) => Ok(Self::Aside(receiver)),
            Err(error) => taken(&child).map(Self::Here).ok_or(ProviderError::NotStarted(error)),
        }
    }
}

fn taken(child: &Mutex<Option<Child>>) -> Option<Child> {
    child.lock().ok().and_then(|mut child| child.take())
}

fn finish(mut child: Child) -> Finished {
    let mut printed = Vec::new();
    let mut cut = false;
    if let Some(mut output) = child.stdout.take() {
        let limit = u64::try_from(MAX_ANSWER_BYTES).unwrap_or(u64::MAX);
        // An answer that breaks off counts by the status that comes with it.
        let _ = output.by_ref().take(limit).read_to_end(&mut printed);
        // The rest is read and thrown away, so that the provider can end by itself.
        cut = io::copy(&mut output, &mut io::sink()).is_ok_and(|rest| rest > 0);
    }
    Finished { printed, cut, status: child.wait() }
}

impl PendingProvider {
    /// The program that was asked.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.provider.program
    }

    /// Waits for the answer, until `deadline` at the latest: whole lines, and what is worth the log.
    #[must_use]
    pub fn collect(self, deadline: Instant, allowed: Duration) -> (Vec<u8>, Option<ProviderError>) {
        let receiver = match self.answer {
            Ok(OutputReader::Aside(receiver)) => receiver,
            Ok(OutputReader::Here(child)) => return finish(child).into_output(),
            Err(error) => return (Vec::new(), Some(error)),
        };
        match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(finished) => finished.into_output(),
            Err(RecvTimeoutError::Timeout) => (Vec::new(), Some(ProviderError::Timeout(allowed))),
            Err(RecvTimeoutError::Disconnected) => {
                (Vec::new(), Some(ProviderError::Status("no status".to_owned())))
            }
        }
    }
}

impl Finished {
    fn into_output(self) -> (Vec<u8>, Option<ProviderError>) {
        let status = match &self.status {
            Ok(status) if status.success() => None,
            Ok(status) => Some(match (status.code(), status.signal()) {
                (Some(code), _) => format!("status {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "an unknown status".to_owned(),
            }),
            Err(error) => Some(error.to_string()),
        };
        match status {
            Some(status) => (Vec::new(), Some(ProviderError::Status(status))),
            None => (whole_lines(self.printed, self.cut), self.cut.then_some(ProviderError::TooLarge)),
        }
    }
}

/// Ends with a line's end: a half line would run into the next provider's first.
fn whole_lines(mut printed: Vec<u8>, cut: bool) -> Vec<u8> {
    if cut {
        let end = printed.iter().rposition(|&b| b == b'\n').map_or(0, |last| last.saturating_add(1));
        printed.truncate(end);
    } else if printed.last().is_some_and(|&b| b != b'\n') {
        printed.push(b'\n');
    }
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect()
    }

    #[test]
    fn separators_stand_between_providers() {
        let split =
            |text| split(&words(text)).into_iter().map(|p| (p.program, p.arguments)).collect::<Vec<_>>();
        assert!(split("").is_empty());
        assert!(split("-- --").is_empty());
        assert_eq!(split("/a x -y"), [("/a".into(), words("x -y"))]);
        assert_eq!(split("/a x -- /b"), [("/a".into(), words("x")), ("/b".into(), words(""))]);
    }

    #[test]
    fn answers_end_with_a_line() {
        assert_eq!(whole_lines(b"a\nb".to_vec(), false), b"a\nb\n");
        assert_eq!(whole_lines(b"a\n".to_vec(), false), b"a\n");
        assert_eq!(whole_lines(Vec::new(), false), b"");
        assert_eq!(whole_lines(b"a\nb".to_vec(), true), b"a\n");
        assert_eq!(whole_lines(b"ab".to_vec(), true), b"");
    }
}
