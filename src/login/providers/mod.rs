//! Providers: other commands of the AuthorizedKeysCommand kind. sshd runs only one command, so the agent runs them.
//!
//! Each provider runs under a supervisor. The supervisor is this program with the provider's user. It can still
//! kill the provider after the run has dropped root's privileges.

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

/// `_PATH_STDPATH` of the C library, which sshd sets for a command.
const STANDARD_PATH: &str = "/usr/bin:/bin:/usr/sbin:/sbin";

/// Maximum number of providers.
const MAX_PROVIDERS: usize = 8;

/// Maximum number of bytes of one provider's output: room for some thousand keys.
pub(crate) const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// The command line of one provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provider {
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// A provider that was started.
#[derive(Debug)]
pub struct StartedProvider {
    provider: Provider,
    answer: Result<Child, ProviderError>,
}

/// A provider whose output is being read.
#[derive(Debug)]
pub struct PendingProvider {
    provider: Provider,
    answer: Result<OutputReader, ProviderError>,
}

/// How the output is read.
#[derive(Debug)]
enum OutputReader {
    /// By a separate thread.
    Aside(Receiver<Finished>),
    /// By the thread that collects it.
    Here(Child),
}

/// The end of a provider: its output, whether the output was cut at the limit, and its exit status.
#[derive(Debug)]
struct Finished {
    printed: Vec<u8>,
    cut: bool,
    status: io::Result<ExitStatus>,
}

/// An error of a provider. The run logs it.
#[derive(Debug)]
pub enum ProviderError {
    /// The program violates sshd's rule for programs that it runs.
    Insecure(Insecure),
    /// The provider's user does not exist.
    NoUser(String),
    /// There are more than eight providers.
    TooMany,
    /// It could not be started.
    NotStarted(io::Error),
    /// It ended with a status other than 0. As in sshd, its output is ignored.
    Status(String),
    /// It had not ended by the deadline. Its output is ignored.
    Timeout(Duration),
    /// It printed more than the limit. The complete lines before the limit are used.
    TooLarge,
}

impl ProviderError {
    /// The stable reason of this failure.
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
            Self::TooMany => write!(f, "at most {MAX_PROVIDERS} providers are run"),
            Self::NotStarted(error) => write!(f, "cannot be started: {error}"),
            Self::Status(status) => write!(f, "ended with {status}; its keys are left out"),
            Self::Timeout(allowed) => {
                write!(f, "had not ended after {} s; its keys are left out", allowed.as_secs_f32())
            }
            Self::TooLarge => write!(f, "printed more than {MAX_ANSWER_BYTES} bytes; the rest is left out"),
        }
    }
}

/// The providers on a command line. `--` separates them.
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
    /// The path of the program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// Starts all providers concurrently. Their output waits in pipes until `listen` is called.
///
/// If this process is root, the providers run as `user`. Otherwise they run as the user of this process, which sshd
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
        // Run the checked path: a link could lead to another file by the time of the exec.
        let checked = ownership::check(&self.program).map_err(ProviderError::Insecure)?;
        // Do not use the path of this program: a package upgrade may be replacing it.
        let mut command = Command::new("/proc/self/exe");
        command.arg0("eic-agent").arg("supervise").arg(allowed.as_secs_f64().to_string()).arg(checked);
        command.arg("--").arg(&self.program).args(&self.arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        // As sshd does. A person may run this in another user's folder.
        command.current_dir("/");
        if let Some(Account { uid, gid, name, home, .. }) = account {
            // std drops the supplementary groups when it changes the user.
            command.gid(*gid).uid(*uid);
            // As sshd does (OpenSSH misc.c, `subprocess`). A person may run this by hand.
            command.env_clear().env("PATH", STANDARD_PATH);
            command.env("USER", name).env("LOGNAME", name).env("HOME", home);
        }
        command.spawn().map_err(ProviderError::NotStarted)
    }
}

impl StartedProvider {
    /// Starts to read the output on a separate thread, which is confined like this one. If no thread can be
    /// created, `collect` reads the output, and only the alarm limits the time.
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
                // The receiver may no longer exist.
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
        // After a read error, the exit status decides whether the output counts.
        let _ = output.by_ref().take(limit).read_to_end(&mut printed);
        // Discard the rest, so that the provider can end normally.
        cut = io::copy(&mut output, &mut io::sink()).is_ok_and(|rest| rest > 0);
    }
    Finished { printed, cut, status: child.wait() }
}

impl PendingProvider {
    /// The path of the provider's program.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.provider.program
    }

    /// Waits for the output until `deadline`. Returns complete lines, and an error for the log.
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

/// Ends the output with a newline. A partial line would join with the first line of the next provider.
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
    fn separators_split_providers() {
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
