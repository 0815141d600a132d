//! The setting `[keys] environment`, in the commands that the systemd unit or a person runs. As root, these commands
//! renew the record of the environment variables that sshd permits. Runs as another user read that record.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use eic_core::audit_line::IDENT;
use eic_host::reach::{Reach, Subject, Use};
use eic_host::sshd::environment::PermittedVariables;
use eic_host::sshd::environment::record::{PLACE, Record, RecordedServer};
use eic_host::sshd::environment::source::ConfigSource;
use eic_host::sshd::server::EffectiveCommand;
use eic_host::sshd::trace::{ConfigTrace, QueryMode};
use eic_login::config::Settings;
use eic_login::environment::{
    EnvironmentError, NotRead, RELOAD, RENEW, check, find, permitted, unread_source,
};
use eic_login::privileges::PrivilegesError;

use crate::advice::Fix;
use crate::sshd_setup;

/// How long root waits for sshd's configuration to stay unchanged.
const SETTLING: Duration = Duration::from_secs(3);

/// Shortest wait between two queries of sshd.
const MOMENT: Duration = Duration::from_millis(50);

/// Results of the checks as root, before root's rights were given up. [`decide`] needs them.
#[derive(Debug, Default)]
pub(super) struct EnvironmentBefore {
    /// The sshd that serves logins, if root searched for it.
    subject: Option<RecordedServer>,
    /// What sshd permits. Set only if sshd runs the agent as root.
    permitted: Option<PermittedVariables>,
    /// Why the record was not renewed, and what to do.
    unwritten: Option<(String, &'static str)>,
}

/// As root, queries sshd and renews the record. For other users this does nothing, and [`decide`] reads the record.
/// `user` is the login name to query sshd about, if it is known.
pub(super) fn renew_record(settings: &Settings, user: Option<&str>) -> EnvironmentBefore {
    if !settings.environment.value || !nix::unistd::Uid::effective().is_root() {
        return EnvironmentBefore::default();
    }
    match ask_and_record(user) {
        Ok(before) => before,
        Err(why) => EnvironmentBefore { unwritten: Some(why), ..EnvironmentBefore::default() },
    }
}

fn ask_and_record(user: Option<&str>) -> Result<EnvironmentBefore, (String, &'static str)> {
    let machine = sshd_setup::SshdState::detect().map_err(|why| (why.to_string(), RENEW))?;
    if let Some(unclear) = machine.unclear() {
        return Err((unclear, RENEW));
    }
    let pid = machine.listener.as_ref().map(|listener| listener.pid);
    let subject = RecordedServer::new(&machine.config, machine.options(), pid);
    let (trace, sources) = ask_until_settled(&machine, user)?;
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
    })
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
