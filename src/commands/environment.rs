//! `[keys] environment = true`: whether sessions will really have the variables. Every command decides it here.
//!
//! A run that sshd starts as root asks sshd. Any other run uses the record that root left, since sshd may not answer
//! it. If there is no record, it tries to ask sshd. A run that cannot find out hands out no key.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use super::wiring;
use crate::config::Settings;
use crate::ownership;
use crate::privileges::PrivilegesError;
use crate::reason::Reason;
use crate::sshd::environment::Permitted;
use crate::sshd::environment::record::{PLACE, Record, RecordError, Subject};
use crate::sshd::environment::source::{Source, SourceError};
use crate::sshd::keyword::Keyword;
use crate::sshd::listener::{Listener, unread};
use crate::sshd::server::{Effective, Server};
use crate::sshd::trace::{Question, Trace};
use crate::text::{MAX_SHOWN, one_line, printable};

/// How long root waits until the files that sshd reads have kept still for long enough.
const SETTLING: Duration = Duration::from_secs(3);

/// How long it waits at least before it asks again.
const MOMENT: Duration = Duration::from_millis(50);

/// Why no key is handed out although the settings are sound.
#[derive(Debug)]
pub(super) enum EnvironmentError {
    /// sshd would leave a variable out; holds its `PermitUserEnvironment`.
    NotPermitted(String),
    /// It cannot be found out; holds why, and what to do.
    Unknown(String, String),
}

impl EnvironmentError {
    /// The stable name of this failure.
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::NotPermitted(_) => Reason::SettingsInvalid,
            Self::Unknown(..) => Reason::EnvironmentUnknown,
        }
    }

    /// What to do.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::NotPermitted(_) => {
                "set PermitUserEnvironment EIC_* in sshd_config, have sshd read it, then run: sudo eic-agent config"
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

/// What root found out before it gave its rights up, for [`decide`].
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The sshd that logins go to, where root looked for it.
    subject: Option<Subject>,
    /// What sshd permits, where the run itself is root's.
    permitted: Option<Permitted>,
    /// Why there is no new record, and what to do.
    unwritten: Option<(String, &'static str)>,
}

/// The sshd that started this run; `None` if no sshd did, or if it is not known which.
fn own_sshd() -> Result<Option<Subject>, EnvironmentError> {
    match Listener::above() {
        Some(listener) if !listener.is_clear => Err(EnvironmentError::Unknown(
            format!("the command line of the running sshd (pid {}) cannot be told apart", listener.pid),
            "put its settings into sshd_config".to_owned(),
        )),
        above => Ok(above.as_ref().map(Subject::of)),
    }
}

/// For a run that sshd starts: if the run is root's, it asks sshd. Otherwise it does nothing.
pub(super) fn ask_as_root() -> Option<Permitted> {
    if !nix::unistd::Uid::effective().is_root() {
        return None;
    }
    let subject = own_sshd().ok()?.unwrap_or_default();
    // Another user may have started this under a process that calls itself sshd: root reads no file of theirs.
    ownership::check(subject.config()).ok()?;
    ask(Question::Test, &subject).ok()
}

/// For a command that a person runs, or the unit: as root, asks sshd and renews the record. For another user,
/// [`decide`] finds out later. `user` is the user whose logins are meant, if it is known.
pub(super) fn look(settings: &Settings, user: Option<&str>) -> Before {
    if !settings.environment.value || !nix::unistd::Uid::effective().is_root() {
        return Before::default();
    }
    match ask_and_record(user) {
        Ok(before) => before,
        Err(why) => Before { unwritten: Some(why), ..Before::default() },
    }
}

fn ask_and_record(user: Option<&str>) -> Result<Before, (String, &'static str)> {
    let machine = wiring::Machine::look().map_err(|why| (why.to_string(), RENEW))?;
    if let Some(unclear) = machine.unclear() {
        return Err((unclear, RENEW));
    }
    let pid = machine.listener.as_ref().map(|listener| listener.pid);
    let subject = Subject::new(&machine.config, machine.options(), pid);
    let (trace, sources) = ask_until_settled(&machine, user)?;
    let permitted = permitted(&trace)
        .ok_or_else(|| ("sshd does not say what PermitUserEnvironment is".to_owned(), RENEW))?;
    // As root it asks sshd itself, and goes by nothing else.
    let is_run_as_root = Effective::of(&trace.printed).user.as_deref() == Some("root");
    let record = Record::new(subject.clone(), &permitted, sources);
    let written = record.write(Path::new(PLACE));
    Ok(Before {
        subject: Some(subject),
        permitted: is_run_as_root.then_some(permitted),
        unwritten: written.err().map(|error| (error.to_string(), RENEW)),
    })
}

/// What sshd says and what it read. Nothing may have changed while sshd read it: either the last change is older than
/// the question, or the sources were the same before and after it. The running server must have read it as well. If it
/// was told to reload just now, this waits for it.
fn ask_until_settled(
    machine: &wiring::Machine,
    user: Option<&str>,
) -> Result<(Trace, Vec<Source>), (String, &'static str)> {
    let ask = || -> Result<_, (String, &'static str)> {
        let trace = machine.server.trace(Question::Test, &machine.config, machine.options(), user);
        let trace = trace.map_err(|error| (format!("{}: {error}", machine.config.display()), RENEW))?;
        let sources = Source::all(&trace, &machine.config).map_err(|error| (error.to_string(), RENEW))?;
        Ok((trace, sources))
    };
    let pid = machine.listener.as_ref().map(|listener| listener.pid);
    let started = Instant::now();
    let mut asked_at = SystemTime::now();
    let (mut trace, mut sources) = ask()?;
    loop {
        let unsettled = sources.iter().map(|source| source.unsettled(asked_at)).max().unwrap_or_default();
        let unread = unread_source(&trace, &sources, pid);
        if unsettled.is_zero() && unread.is_none() {
            return Ok((trace, sources));
        }
        if started.elapsed() > SETTLING {
            return Err(unread.map_or_else(
                || ("sshd's configuration changes all the time".to_owned(), RENEW),
                |path| (NotRead(path).to_string(), RELOAD),
            ));
        }
        std::thread::sleep(unsettled.max(MOMENT));
        asked_at = SystemTime::now();
        let (again, after) = ask()?;
        if unread.is_none() && after == sources && unread_source(&again, &after, pid).is_none() {
            return Ok((again, after));
        }
        (trace, sources) = (again, after);
    }
}

/// What the running server has not read since it was changed.
fn unread_source(trace: &Trace, sources: &[Source], pid: Option<u32>) -> Option<PathBuf> {
    let pid_file = Path::new(trace.printed.value(Keyword::PidFile)?);
    unread(pid?, pid_file, sources.iter().map(Source::path)).map(Path::to_owned)
}

fn permitted(trace: &Trace) -> Option<Permitted> {
    trace.printed.values(Keyword::PermitUserEnvironment).next().map(Permitted::of)
}

/// Whether sessions will have the variables that the settings ask for; always, if they ask for none. Call it
/// without root's rights, since the run has to find it out without them; `kept` says why they could not be given up.
pub(super) fn decide(
    settings: &Settings,
    before: &Before,
    kept: Option<&PrivilegesError>,
) -> Result<(), EnvironmentError> {
    if !settings.environment.value {
        return Ok(());
    }
    if let (Some(kept), None) = (kept, &before.permitted) {
        return Err(EnvironmentError::Unknown(kept.to_string(), "create that user".to_owned()));
    }
    // Not the sshd that this command was started under: logins may go to another.
    let found = before.permitted.clone().map_or_else(|| find(before.subject.as_ref()), Ok);
    found.and_then(|found| judge(&found)).map_err(|error| match (error, &before.unwritten) {
        // What kept root from a new record comes before what is wrong with the old one.
        (EnvironmentError::Unknown(..), Some((unwritten, remedy))) => {
            let remedy =
                if *remedy == RENEW { format!("mend that, then {RENEW}") } else { (*remedy).to_owned() };
            EnvironmentError::Unknown(unwritten.clone(), remedy)
        }
        (error, _) => error,
    })
}

/// A file or folder that the running server has not read since it was changed.
#[derive(Debug)]
struct NotRead(PathBuf);

impl std::fmt::Display for NotRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} was changed after sshd had read it", self.0.display())
    }
}

/// What has a running server read its files, and makes a new record.
const RELOAD: &str = "reload sshd, then run: sudo eic-agent config";

/// What makes a new record.
const RENEW: &str = "run: sudo eic-agent config";

/// The decision of a run whose settings ask for the variables. `asked` is what sshd told it as root.
pub(super) fn decide_run(asked: Option<&Permitted>) -> Result<(), EnvironmentError> {
    match asked {
        Some(permitted) => judge(permitted),
        None => judge(&find(own_sshd()?.as_ref())?),
    }
}

fn judge(permitted: &Permitted) -> Result<(), EnvironmentError> {
    if permitted.has_ours() {
        Ok(())
    } else {
        Err(EnvironmentError::NotPermitted(permitted.as_str().to_owned()))
    }
}

/// By the record, or else by sshd, where it answers a user that is not root.
fn find(subject: Option<&Subject>) -> Result<Permitted, EnvironmentError> {
    let error = match Record::permitted(Path::new(PLACE), subject) {
        Ok(permitted) => return Ok(permitted),
        Err(error) => error,
    };
    ask(Question::Print, &subject.cloned().unwrap_or_default()).map_err(|not_read| match not_read {
        Some(not_read) => EnvironmentError::Unknown(not_read.to_string(), RELOAD.to_owned()),
        None => EnvironmentError::Unknown(error.to_string(), remedy(&error)),
    })
}

/// sshd's answer, if sshd saw everything that it would see as root and the running server has read the same. If the
/// running server has not, the error holds what it has not read.
fn ask(question: Question, subject: &Subject) -> Result<Permitted, Option<NotRead>> {
    let server = Server::find().ok().flatten().ok_or(None)?;
    let trace = server.trace(question, subject.config(), subject.options(), None);
    let trace = trace.map_err(|_| None)?;
    let sources = Source::all(&trace, subject.config()).map_err(|_| None)?;
    if sources.iter().any(|source| source.check_readable().is_err()) {
        return Err(None);
    }
    if let Some(path) = unread_source(&trace, &sources, subject.pid()) {
        return Err(Some(NotRead(path)));
    }
    permitted(&trace).ok_or(None)
}

/// What to do about a record that counts as none.
fn remedy(error: &RecordError) -> String {
    match error {
        RecordError::Source(SourceError::Hidden(folder)) => {
            format!(
                "run: sudo chmod go+x {}; then: sudo eic-agent config",
                printable(&folder.to_string_lossy(), MAX_SHOWN)
            )
        }
        RecordError::OtherConfig(..) => {
            "set environment = false, or have one sshd only ask eic-agent".to_owned()
        }
        _ => RENEW.to_owned(),
    }
}
