//! `authorized-keys`: what sshd runs.

mod prepared;
mod settings_reader;
mod timeout;

use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use eic_core::audit_line::IDENT;
use eic_core::reason::Reason;
use eic_core::text::{MAX_SHOWN, one_line, printable_bytes};
use eic_host::stdout::write_once;
use nix::sys::signal::{SigSet, Signal};
use prepared::{OpenedRun, PreparedRun, RunOutput};
use settings_reader::SettingsReader;

use crate::Clock;
use crate::audit::Audit;
use crate::config::{CommandLine, ConfigError, DEFAULT_PATH, FileError};
use crate::confinement::confine;
use crate::privileges::give_up_root;
use crate::providers::{self, PendingProvider, StartedProvider};

/// The time of a run whose settings cannot be read.
const FALLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time that anybody can set.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long the settings file may take to be read.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(1);

/// What the command line of a run says.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Settings that win over the file's.
    pub settings: CommandLine,
    /// Where the kernel tells of the machine (`/sys`).
    pub sysfs: PathBuf,
    /// Login name (sshd's `%u`).
    pub user: OsString,
    /// Fingerprint of the offered key (sshd's `%f`).
    pub fingerprint: Option<OsString>,
    /// User to run the providers as, if the run is root's; none for the user that sshd chose.
    pub provider_user: Option<String>,
    /// Other providers, each with its arguments and `--` before it.
    pub providers: Vec<OsString>,
    /// Each option that chose what the run's findings depend on, and its value.
    pub chosen_inputs: Vec<(&'static str, String)>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// Finished, with or without a key, or a provider was asked.
    Done,
    /// No decision could be made, and nothing was printed.
    Undecided,
}

/// Runs the command. Keys go to `out`; `notes` is for a person who runs it by hand (sshd discards it).
pub fn run(arguments: &Arguments, clock: Clock, out: &mut impl Write, notes: &mut impl Write) -> RunOutcome {
    arm_alarm(arguments.settings.timeout.unwrap_or(FALLBACK_TIMEOUT));
    // First of all: nothing that may be wrong with our settings can keep a provider from being asked. Its
    // supervisor ends it when we are gone, so the longest time there is does for all.
    let providers = providers::split(&arguments.providers);
    let longest = arguments.settings.timeout.unwrap_or(LONGEST_TIMEOUT);
    let asked = providers::start_all(providers, arguments.provider_user.as_deref(), longest);
    let any_asked = !asked.is_empty();

    let given = arguments.settings.clone();
    let path = given.config.clone().unwrap_or_else(|| DEFAULT_PATH.into());
    let reader = SettingsReader::start(given);
    // Nobody waits for them longer than a moment.
    let late = || Err(ConfigError::File(path, FileError::Unreadable(ErrorKind::TimedOut.into())));
    let settings = reader.settings(SETTINGS_TIMEOUT).unwrap_or_else(late);
    let said = settings.as_ref().map(|settings| settings.timeout.value).ok();
    let allowed = arguments.settings.timeout.or(said).unwrap_or(FALLBACK_TIMEOUT);
    arm_alarm(allowed);
    let deadline = clock.since().checked_add(allowed).unwrap_or(clock.since());
    let audit = Audit::to_system().with_inputs(&arguments.chosen_inputs).until(deadline);
    let prepared = PreparedRun::prepare(arguments, settings, clock);
    let ready = prepared.map(|run| ready(run, reader, asked.len(), deadline, &audit)).transpose();
    let asked: Vec<_> = asked.into_iter().map(StartedProvider::listen).collect();
    let own = match ready {
        Ok(Some(ready)) => ready.run_until(deadline, &audit),
        Ok(None) => RunOutput::nothing(),
        Err(failed) => failed,
    };
    let (outcome, mut told) = own.print(out);
    for provider in asked {
        told.extend(relay(provider, deadline, allowed, arguments, &audit, out));
    }
    // Last, since nobody may be reading them.
    for note in &told {
        let _ = writeln!(notes, "{IDENT}: {}", one_line(note));
    }
    // A provider was asked: whatever became of our own part, sshd must take what it said.
    if any_asked { RunOutcome::Done } else { outcome }
}

/// Has everything open that the run needs of this machine, and confines the process.
fn ready(
    run: PreparedRun,
    reader: SettingsReader,
    providers: usize,
    deadline: Instant,
    audit: &Audit,
) -> Result<OpenedRun, RunOutput> {
    // All that would follow is to say so. A change of user would wait for every thread of the process, with all
    // signals blocked, and one that still reads a file from a server that is gone never answers.
    if let Some(error) = run.fault() {
        return Err(run.failed(error.reason(), &error.to_string(), audit));
    }
    // Root's privileges are given up, for the whole process, before anything foreign is looked at.
    if let Err(error) = give_up_root() {
        return Err(run.failed(Reason::PrivilegesKept, &error.to_string(), audit));
    }
    let ready = run.open(reader, deadline);
    // What holds and what does not, doctor says; a kernel that knows less still gets its keys.
    let _ = confine(&ready.ports(), providers);
    Ok(ready)
}

/// Prints what a provider said; gives what a person should read of it.
fn relay(
    provider: PendingProvider,
    deadline: Instant,
    allowed: Duration,
    arguments: &Arguments,
    audit: &Audit,
    out: &mut impl Write,
) -> Option<String> {
    let program = printable_bytes(provider.program().as_os_str().as_encoded_bytes(), MAX_SHOWN);
    let user = printable_bytes(arguments.user.as_encoded_bytes(), MAX_SHOWN);
    let (lines, error) = provider.collect(deadline, allowed);
    let _ = write_once(&lines, out);
    error.map(|error| {
        audit.provider(&program, error.reason(), &error.to_string(), &user);
        format!("provider {program}: {}: {error}", error.reason())
    })
}

/// The last resort against a wait that nobody thought of: the kernel ends the process a second after the
/// deadline (alarm(2); its default action is to terminate).
fn arm_alarm(deadline: Duration) {
    let whole = u32::try_from(deadline.as_secs()).unwrap_or(u32::MAX);
    let begun = u32::from(deadline.subsec_nanos() > 0);
    nix::unistd::alarm::set(whole.saturating_add(begun).saturating_add(1));
    let mut alarm = SigSet::empty();
    alarm.add(Signal::SIGALRM);
    // Whoever started us may have blocked it.
    let _ = alarm.thread_unblock();
}
