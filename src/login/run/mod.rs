//! `authorized-keys`: the command that sshd runs.

mod machine_facts;
mod no_key;
mod obstacle;
mod prepared;
mod settings_reader;
mod timeout;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal as _, Write, stderr};
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

/// Time limit of a run whose settings cannot be read.
const FALLBACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time limit that can be set.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Time limit for reading the settings file.
const SETTINGS_TIMEOUT: Duration = Duration::from_secs(1);

/// The command line of a run.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// Settings that override the file's.
    pub settings: CommandLine,
    /// The folder in which the kernel describes the machine (`/sys`).
    pub sysfs: PathBuf,
    /// The login name (sshd's `%u`).
    pub user: OsString,
    /// The fingerprint of the offered key (sshd's `%f`).
    pub fingerprint: Option<OsString>,
    /// The user to run the providers as, if this process is root. `None` means the user that sshd chose.
    pub provider_user: Option<String>,
    /// Other providers with their arguments, separated by `--`.
    pub providers: Vec<OsString>,
    /// Each option that changes an input of the decision, and its value.
    pub chosen_inputs: Vec<(&'static str, String)>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// Finished, with or without a key, or a provider was run.
    Done,
    /// The run made no decision and printed nothing.
    Undecided,
}

/// Runs the command. Keys go to `out`, notes for a person to `notes`. sshd discards the notes.
pub fn run(arguments: &Arguments, clock: Clock, out: &mut impl Write, notes: &mut impl Write) -> RunOutcome {
    arm_alarm(arguments.settings.timeout.unwrap_or(FALLBACK_TIMEOUT));
    // Start the providers first, so that a fault in the settings cannot prevent that. The time limit in the settings is
    // not known yet, so use the longest one. A supervisor also ends its provider when this process ends.
    let providers = providers::split(&arguments.providers);
    let longest = arguments.settings.timeout.unwrap_or(LONGEST_TIMEOUT);
    let asked = providers::start_all(providers, arguments.provider_user.as_deref(), longest);
    let any_asked = !asked.is_empty();

    let given = arguments.settings.clone();
    let path = given.config.clone().unwrap_or_else(|| DEFAULT_PATH.into());
    let mut reader = SettingsReader::start(given, any_asked);
    // Reading may block. If a thread reads, wait at most one second.
    let late = || Err(ConfigError::File(path, FileError::Unreadable(ErrorKind::TimedOut.into())));
    let settings = reader.settings(SETTINGS_TIMEOUT).unwrap_or_else(late);
    let said = settings.as_ref().map(|settings| settings.timeout.value).ok();
    let allowed = arguments.settings.timeout.or(said).unwrap_or(FALLBACK_TIMEOUT);
    arm_alarm(allowed);
    let deadline = clock.since().checked_add(allowed).unwrap_or(clock.since());
    let audit = Audit::to_system().with_inputs(&arguments.chosen_inputs).until(deadline);
    let prepared = PreparedRun::prepare(arguments, settings, clock);
    let ready = prepared.map(|run| ready(run, reader, asked.len(), deadline, &audit));
    let asked: Vec<_> = asked.into_iter().map(StartedProvider::listen).collect();
    let mut own = match ready {
        Ok(Ok(ready)) => ready.run_until(deadline, &audit),
        Ok(Err(failed)) => failed,
        // sshd gives a command no terminal, so a person runs this one.
        Err(impossible) if stderr().is_terminal() => RunOutput::nothing(impossible.notes(arguments)),
        Err(_) => RunOutput::nothing(Vec::new()),
    };
    let record = own.take_record();
    let (outcome, mut told) = own.print(out);
    for provider in asked {
        told.extend(relay(provider, deadline, allowed, arguments, &audit, out));
    }
    // sshd has everything now.
    if let Some(record) = record {
        record.write();
    }
    // Write the notes last: if the reader does not read them, the write blocks.
    for note in &told {
        let _ = writeln!(notes, "{IDENT}: {}", one_line(note));
    }
    // If a provider was run, sshd must use its output, even if the agent's own part failed.
    if any_asked { RunOutcome::Done } else { outcome }
}

/// Opens everything that the run needs from this machine, and confines the process.
fn ready(
    run: PreparedRun,
    reader: SettingsReader,
    providers: usize,
    deadline: Instant,
    audit: &Audit,
) -> Result<OpenedRun, RunOutput> {
    // If the settings have a fault, the run only reports it. So do not change the user. The C library waits until
    // every thread has changed its user, and blocks all signals until then. If a thread reads from an unreachable
    // file server, the process would wait forever.
    if let Some(error) = run.fault() {
        return Err(run.failed(error.reason(), &error.to_string(), audit));
    }
    // Drop root's privileges for the whole process before it reads foreign data.
    if let Err(error) = give_up_root() {
        return Err(run.failed(Reason::PrivilegesKept, &error.to_string(), audit));
    }
    let ready = run.open(reader, deadline);
    // `eic-agent doctor` reports the active tiers. On a kernel without some of them, the run still prints keys.
    let _ = confine(&ready.ports(), providers, ready.memory());
    Ok(ready)
}

/// Prints the output of a provider. Returns a note for a person if the provider failed.
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

/// The last resort against an unforeseen wait: the kernel terminates the process about a second after the deadline
/// (alarm(2)).
fn arm_alarm(deadline: Duration) {
    let whole = u32::try_from(deadline.as_secs()).unwrap_or(u32::MAX);
    let begun = u32::from(deadline.subsec_nanos() > 0);
    nix::unistd::alarm::set(whole.saturating_add(begun).saturating_add(1));
    let mut alarm = SigSet::empty();
    alarm.add(Signal::SIGALRM);
    // The parent process may have blocked the signal.
    let _ = alarm.thread_unblock();
}
