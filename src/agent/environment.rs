//! `[keys] environment = true` for a command that a person runs, or the unit: as root it renews the record that runs of
//! another user go by.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

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

use crate::sshd_setup;

/// How long root waits until the files that sshd reads have kept still for long enough.
const SETTLING: Duration = Duration::from_secs(3);

/// How long it waits at least before it asks again.
const MOMENT: Duration = Duration::from_millis(50);

/// What root found out before it gave its rights up, for [`decide`].
#[derive(Debug, Default)]
pub(super) struct EnvironmentBefore {
    /// The sshd that logins go to, where root looked for it.
    subject: Option<RecordedServer>,
    /// What sshd permits, where the run itself is root's.
    permitted: Option<PermittedVariables>,
    /// Why there is no new record, and what to do.
    unwritten: Option<(String, &'static str)>,
}

/// For a command that a person runs, or the unit: as root, asks sshd and renews the record. For another user,
/// [`decide`] finds out later. `user` is the user whose logins are meant, if it is known.
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
    // As root it asks sshd itself, and goes by nothing else.
    let is_run_as_root = EffectiveCommand::of(&trace.printed).user.as_deref() == Some("root");
    let record = Record::new(subject.clone(), &permitted, sources);
    let written = record.write(Path::new(PLACE));
    Ok(EnvironmentBefore {
        subject: Some(subject),
        permitted: is_run_as_root.then_some(permitted),
        unwritten: written.err().map(|error| (error.to_string(), RENEW)),
    })
}

/// What sshd says and what it read. Nothing may have changed while sshd read it: either the last change is older than
/// the question, or the sources were the same before and after it. The running server must have read it as well. If it
/// was told to reload just now, this waits for it.
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

/// Whether sessions will have the variables that the settings ask for; always, if they ask for none. Call it
/// without root's rights, since the run has to find it out without them; `kept` says why they could not be given up.
pub(super) fn decide(
    settings: &Settings,
    before: &EnvironmentBefore,
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
    found.and_then(|found| check(&found)).map_err(|error| match (error, &before.unwritten) {
        // What kept root from a new record comes before what is wrong with the old one.
        (EnvironmentError::Unknown(..), Some((unwritten, remedy))) => {
            let remedy =
                if *remedy == RENEW { format!("mend that, then {RENEW}") } else { (*remedy).to_owned() };
            EnvironmentError::Unknown(unwritten.clone(), remedy)
        }
        (error, _) => error,
    })
}
