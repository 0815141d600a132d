//! The settings `[keys] environment` and `session`, in the commands that the systemd unit or a person runs. As root, these
//! commands renew the records of the environment variables that sshd permits, and of what sshd does with sessions. Runs as
//! another user read these records.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use eic_core::audit_line::IDENT;
use eic_core::text::{MAX_SHOWN, one_line, printable};
use eic_host::reach::{Reach, Subject, Use};
use eic_host::sshd::environment::PermittedVariables;
use eic_host::sshd::environment::record::{KEYWORDS, PLACE, Record};
use eic_host::sshd::environment::source::ConfigSource;
use eic_host::sshd::keyword::Keyword;
use eic_host::sshd::last_read::Unread;
use eic_host::sshd::listener::Listener;
use eic_host::sshd::record::RecordedServer;
use eic_host::sshd::server::EffectiveCommand;
use eic_host::sshd::session::{self, SessionFacts, SessionRecord};
use eic_host::sshd::sources::Sources;
use eic_host::sshd::trace::{ConfigTrace, QueryMode};
use eic_login::config::{SessionForm, Settings};
use eic_login::environment::{
    EnvironmentError, NotRead, RELOAD, RENEW, check, find, permitted, unread_source,
};
use eic_login::privileges::PrivilegesError;
use eic_login::session_wrapper;

use crate::advice::Fix;
use crate::sshd_setup;

/// How long root waits for sshd's configuration to stay unchanged.
const SETTLING: Duration = Duration::from_secs(3);

/// Remedy if the time of sshd's last reload is unknown.
const RESTART: &str = "restart sshd, then run: sudo eic-agent config";

/// Shortest wait between two queries of sshd.
const MOMENT: Duration = Duration::from_millis(50);

/// Results of the checks as root, before root's rights were given up. [`decide`] needs them.
#[derive(Debug, Default)]
pub(super) struct EnvironmentBefore {
    /// The sshd that serves logins, if root searched for it.
    subject: Option<RecordedServer>,
    /// What sshd permits. Set only if sshd runs the agent as root.
    permitted: Option<PermittedVariables>,
    /// Why the record of the variables was not renewed, and what to do.
    unwritten: Option<(String, &'static str)>,
    /// The same for the record of what sshd does with sessions.
    session_unwritten: Option<(String, &'static str)>,
    /// The server that accepts logins, if root found it.
    listener: Option<Listener>,
}

impl EnvironmentBefore {
    /// The server that accepts logins, if root found it.
    pub(super) const fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }
}

/// As root, queries sshd and renews the records that the settings need. For other users this does nothing, and
/// [`decide`] reads the record.
/// `user` is the login name to query sshd about, if it is known.
pub(super) fn renew_record(settings: &Settings, user: Option<&str>) -> EnvironmentBefore {
    let is_wrapped = settings.session.value == SessionForm::Wrapper;
    if !(settings.environment.value || is_wrapped) || !nix::unistd::Uid::effective().is_root() {
        return EnvironmentBefore::default();
    }
    match ask_and_record(settings, user) {
        Ok(before) => before,
        Err(why) => EnvironmentBefore {
            unwritten: Some(why.clone()).filter(|_| settings.environment.value),
            session_unwritten: Some(why).filter(|_| is_wrapped),
            ..EnvironmentBefore::default()
        },
    }
}

fn ask_and_record(
    settings: &Settings,
    user: Option<&str>,
) -> Result<EnvironmentBefore, (String, &'static str)> {
    let machine = sshd_setup::SshdState::detect().map_err(|why| (why.to_string(), RENEW))?;
    if let Some(unclear) = machine.unclear() {
        return Err((unclear, RENEW));
    }
    let pid = machine.listener.as_ref().map(|listener| listener.pid);
    let (trace, sources) = ask_until_settled(&machine, user)?;
    let session_unwritten = match settings.session.value {
        SessionForm::Wrapper => record_sessions(&machine, &trace, &sources).err(),
        SessionForm::Plain => None,
    };
    let before = EnvironmentBefore {
        session_unwritten,
        listener: machine.listener.clone(),
        ..EnvironmentBefore::default()
    };
    if !settings.environment.value {
        return Ok(before);
    }
    let subject = RecordedServer::new(&KEYWORDS, &machine.config, machine.options(), pid);
    let permitted = permitted(&trace)
        .ok_or_else(|| ("sshd does not say what PermitUserEnvironment is".to_owned(), RENEW))?;
    // A run as root queries sshd itself, and does not read the record.
    let is_run_as_root = EffectiveCommand::of(&trace.printed).user.as_deref() == Some("root");
    let record = Record::new(subject.clone(), &permitted, sources);
    let written = record.write(Path::new(PLACE));
    Ok(EnvironmentBefore {
        subject: Some(subject),
        permitted: is_run_as_root.then_some(permitted),
        unwritten: written.err().map(|error| (error.to_string(), RENEW)),
        ..before
    })
}

/// Renews the record of what sshd does with sessions.
fn record_sessions(
    machine: &sshd_setup::SshdState,
    trace: &ConfigTrace,
    sources: &[ConfigSource],
) -> Result<(), (String, &'static str)> {
    let pid = machine.listener.as_ref().map(|listener| listener.pid);
    let server = RecordedServer::new(&session::KEYWORDS, &machine.config, machine.options(), pid);
    let files = Sources::read(&machine.config);
    let facts = SessionFacts::of(&trace.printed, &files, machine.options());
    let facts = facts.map_err(|why| (why, RENEW))?;
    // The server in memory counts: a file that says otherwise may not have been read yet.
    let pid_file = trace.printed.value(Keyword::PidFile).map(Path::new);
    if let Some(unread) = pid.and_then(|pid| Unread::find(pid, pid_file, &files)) {
        let remedy = if unread.is_certain { RELOAD } else { RESTART };
        return Err((NotRead(unread.path).to_string(), remedy));
    }
    let record = SessionRecord::new(server, facts, sources.to_vec());
    record.write(Path::new(session::PLACE)).map_err(|error| (error.to_string(), RENEW))
}

/// Why it is unknown what sshd does with sessions, so that they have no wrapper. `None` if it is known, or if the settings
/// do not ask for the wrapper. Call this without root's rights, as in a login.
pub(super) fn undecided_sessions(settings: &Settings, before: &EnvironmentBefore) -> Option<String> {
    if settings.session.value == SessionForm::Plain {
        return None;
    }
    let why = match &before.session_unwritten {
        Some((why, remedy)) if *remedy == RENEW => format!("{why}; correct that, then {RENEW}"),
        Some((why, remedy)) => format!("{why}; {remedy}"),
        None => {
            let facts = SessionRecord::facts(Path::new(session::PLACE), before.listener.as_ref());
            session_wrapper::unknown(&facts.err()?)
        }
    };
    Some(format!("keys.session: sessions have no wrapper: {}", one_line(&why)))
}

/// What a `ForceCommand` of sshd means for the wrapper.
pub(super) fn replaces_wrapper(command: &str) -> String {
    let command = printable(command, MAX_SHOWN);
    format!("ForceCommand of sshd replaces the wrapper: sessions run {command}, without the principal")
}

/// Queries sshd, and returns its configuration and the files that it read. The result counts only if no file changed
/// while sshd read it: the last change is older than the query, or the files are the same before and after the query.
/// The running server must also have read these files. Otherwise this function tries again, until [`SETTLING`] is over.
fn ask_until_settled(
    machine: &sshd_setup::SshdState,
    user: Option<&str>,
) -> Result<(ConfigTrace, Vec<ConfigSource>), (String, &'static str)> {
    let ask = || -> Result<_, (String, &'static str)> {
        let trace = machine.server.trace(QueryMode::Test, &machine.config, machine.options(), user);
        let trace = trace.map_err(|error| (format!("{}: {error}", machine.config.display()), RENEW))?;
        let sources =
            ConfigSource::all(&trace, &machine.config).map_err(|error| (error.to_string(), RENEW))?;
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

/// Why this process cannot read the record, and what to do. `None` if it can, or if there is no record.
fn closed_record() -> Option<(String, String)> {
    let Reach::No(obstacle) = Reach::of(&Subject::current(IDENT)?, Path::new(PLACE), Use::Read) else {
        return None;
    };
    (!obstacle.is_missing()).then(|| (obstacle.seen(), Fix::of(&obstacle, "the record").to_string()))
}

/// Checks that sessions get the variables that the settings require. `Ok` if the settings require none. Call this
/// without root's rights, as in a login. `kept` is the error if root's rights could not be given up.
pub(super) fn decide(
    settings: &Settings,
    before: &EnvironmentBefore,
    kept: Option<&PrivilegesError>,
) -> Result<(), EnvironmentError> {
    if !settings.environment.value {
        return Ok(());
    }
    if let (Some(kept), None) = (kept, &before.permitted) {
        return Err(EnvironmentError::Unknown(kept.to_string(), format!("after that, {RENEW}")));
    }
    // Use the sshd that serves logins. This command may have been started under another sshd.
    let found = before.permitted.clone().map_or_else(|| find(before.subject.as_ref()), Ok);
    found.and_then(|found| check(&found)).map_err(|error| match (error, &before.unwritten) {
        // If the record could not be renewed, report that instead of the fault of the old record.
        (EnvironmentError::Unknown(..), Some((unwritten, remedy))) => {
            let remedy =
                if *remedy == RENEW { format!("correct that, then {RENEW}") } else { (*remedy).to_owned() };
            EnvironmentError::Unknown(unwritten.clone(), remedy)
        }
        // If this user cannot read the record, a new record does not help. Report that instead.
        (EnvironmentError::Unknown(seen, remedy), None) => match closed_record() {
            Some((seen, remedy)) => EnvironmentError::Unknown(seen, remedy),
            None => EnvironmentError::Unknown(seen, remedy),
        },
        (error, _) => error,
    })
}
