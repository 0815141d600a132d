//! Decides for `[keys] environment = true` whether sshd permits the variables in sessions. All commands use this
//! module.
//!
//! A run that sshd starts as root queries sshd. Any other run uses the record that root wrote, because sshd may
//! refuse to answer it. Without a valid record, it tries to query sshd. If the answer is unknown, the run prints no
//! key.

use std::path::{Path, PathBuf};

use eic_core::reason::Reason;
use eic_core::text::{MAX_SHOWN, one_line, printable};
use eic_host::ownership;
use eic_host::sshd::environment::PermittedVariables;
use eic_host::sshd::environment::record::{KEYWORDS, PLACE, Record};
use eic_host::sshd::environment::source::{ConfigSource, ConfigSourceError};
use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::last_read::unread;
use eic_host::sshd::listener::Listener;
use eic_host::sshd::record::{RecordError, RecordedServer};
use eic_host::sshd::server::Server;
use eic_host::sshd::trace::{ConfigTrace, QueryMode};

/// Why no key is printed although the settings are valid.
#[derive(Debug)]
pub enum EnvironmentError {
    /// sshd would omit a variable. Holds the value of `PermitUserEnvironment`.
    NotPermitted(String),
    /// The answer is unknown. Holds the cause and the remedy.
    Unknown(String, String),
}

impl EnvironmentError {
    /// The stable reason of this failure.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NotPermitted(_) => Reason::SettingsInvalid,
            Self::Unknown(..) => Reason::EnvironmentUnknown,
        }
    }

    /// The remedy.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::NotPermitted(_) => {
                "set PermitUserEnvironment EIC_* in sshd_config, reload sshd, then run: sudo eic-agent config"
                    .to_owned()
            }
            Self::Unknown(_, remedy) => remedy.clone(),
        }
    }
}

impl std::fmt::Display for EnvironmentError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotPermitted(value) => write!(
                f,
                "keys.environment: expected PermitUserEnvironment EIC_* in sshd_config, got {}; sshd would leave the variables out; {}",
                printable(value, MAX_SHOWN),
                self.remedy()
            ),
            Self::Unknown(why, remedy) => write!(
                f,
                "keys.environment: it is not known whether sshd permits the variables: {}; {remedy}",
                one_line(why)
            ),
        }
    }
}

/// The sshd that started this run. `None` if no sshd started it, or if the sshd cannot be determined.
fn own_sshd() -> Result<Option<RecordedServer>, EnvironmentError> {
    match Listener::above() {
        Some(listener) if !listener.is_clear => Err(EnvironmentError::Unknown(
            format!("the command line of the running sshd (pid {}) cannot be split into words", listener.pid),
            "put its settings into sshd_config".to_owned(),
        )),
        above => Ok(above.map(|listener| RecordedServer::of(&KEYWORDS, &listener))),
    }
}

/// Queries sshd if this run is root. Otherwise returns `None`.
#[must_use]
pub(crate) fn ask_as_root() -> Option<PermittedVariables> {
    if !nix::unistd::Uid::effective().is_root() {
        return None;
    }
    let subject = own_sshd().ok()?.unwrap_or_default();
    // Another user may have started this run under a process named `sshd`. Root must not read that user's file.
    ownership::check(subject.config()).ok()?;
    query_sshd(QueryMode::Test, &subject).ok()
}

/// The first source that changed after the running server read it.
pub fn unread_source(trace: &ConfigTrace, sources: &[ConfigSource], pid: Option<u32>) -> Option<PathBuf> {
    let pid_file = Path::new(trace.printed.value(Keyword::PidFile)?);
    unread(pid?, pid_file, sources.iter().map(ConfigSource::path)).map(Path::to_owned)
}

/// The value of `PermitUserEnvironment` in a trace. `None` if sshd did not print it.
pub fn permitted(trace: &ConfigTrace) -> Option<PermittedVariables> {
    trace.printed.values(Keyword::PermitUserEnvironment).next().map(PermittedVariables::of)
}

/// A file or folder that changed after the running server read it.
#[derive(Debug)]
pub struct NotRead(pub PathBuf);

impl std::fmt::Display for NotRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was changed after sshd had read it", self.0.display())
    }
}

/// Remedy that makes the running server read its files and writes a new record.
pub const RELOAD: &str = "reload sshd, then run: sudo eic-agent config";

/// Remedy that writes a new record.
pub const RENEW: &str = "run: sudo eic-agent config";

/// Decides for a run whose settings request the variables. `asked` is what sshd printed for root.
pub(crate) fn decide_run(asked: Option<&PermittedVariables>) -> Result<(), EnvironmentError> {
    match asked {
        Some(permitted) => check(permitted),
        None => check(&find(own_sshd()?.as_ref())?),
    }
}

/// Decides for a known value of `PermitUserEnvironment`.
pub fn check(permitted: &PermittedVariables) -> Result<(), EnvironmentError> {
    if permitted.has_ours() {
        Ok(())
    } else {
        Err(EnvironmentError::NotPermitted(permitted.as_str().to_owned()))
    }
}

/// Finds the permitted variables in the record. Without a valid record, queries sshd, which may refuse a user other
/// than root.
pub fn find(subject: Option<&RecordedServer>) -> Result<PermittedVariables, EnvironmentError> {
    let error = match Record::permitted(Path::new(PLACE), subject) {
        Ok(permitted) => return Ok(permitted),
        Err(error) => error,
    };
    query_sshd(QueryMode::Print, &subject.cloned().unwrap_or_default()).map_err(|not_read| match not_read {
        Some(not_read) => EnvironmentError::Unknown(not_read.to_string(), RELOAD.to_owned()),
        None => EnvironmentError::Unknown(error.to_string(), remedy(&error)),
    })
}

/// Queries sshd. The answer counts only if sshd could read everything that it reads as root, and if the running
/// server has read the same files. If the server has not, the error holds the changed file.
fn query_sshd(question: QueryMode, subject: &RecordedServer) -> Result<PermittedVariables, Option<NotRead>> {
    let server = Server::find().ok().flatten().ok_or(None)?;
    let trace = server.trace(question, subject.config(), subject.options(), None);
    let trace = trace.map_err(|_| None)?;
    let sources = ConfigSource::all(&trace, subject.config()).map_err(|_| None)?;
    if sources.iter().any(|source| source.check_readable().is_err()) {
        return Err(None);
    }
    if let Some(path) = unread_source(&trace, &sources, subject.pid()) {
        return Err(Some(NotRead(path)));
    }
    permitted(&trace).ok_or(None)
}

/// The remedy for a record that is not valid.
pub(crate) fn remedy(error: &RecordError) -> String {
    match error {
        RecordError::ConfigSource(ConfigSourceError::Hidden(folder)) => {
            format!(
                "run: sudo chmod go+x {}; then: sudo eic-agent config",
                printable(&folder.to_string_lossy(), MAX_SHOWN)
            )
        }
        RecordError::OtherConfig(..) => {
            "set environment = false, or run eic-agent from one sshd only".to_owned()
        }
        _ => RENEW.to_owned(),
    }
}
