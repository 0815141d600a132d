//! The agent's own part of a run: the keys that EC2 Instance Connect has for the user.

use std::ffi::OsStr;
use std::io::Write;
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eic_core::decision::{Decision, authorized_keys};
use eic_core::evidence::chain::Certificate;
use eic_core::fingerprint::Fingerprint;
use eic_core::identity::{LoginName, Pins};
use eic_core::policy::MachineFacts;
use eic_core::reason::Reason;
use eic_host::instance::Machine;
use eic_host::sshd::environment::PermittedVariables;
use eic_host::stdout::write_once;
use eic_host::trust_store::OpenStore;

use super::no_key::NoKeyPossible;
use super::settings_reader::{OpenFiles, SettingsReader};
use super::timeout::call_with_timeout;
use super::{Arguments, RunOutcome, SETTINGS_TIMEOUT, machine_facts, obstacle};
use crate::Clock;
use crate::audit::Audit;
use crate::config::{ConfigError, Settings};
use crate::confinement::no_more_threads;
use crate::environment;
use crate::fetch::{Found, Request, RunError, Service, decide_from_metadata};
use crate::imds::Endpoint;
use crate::memory::{Learned, Memory, ReadyRecord, Recalled};

/// Extra time after the deadline, in which the decision thread can return its error.
const GRACE: Duration = Duration::from_millis(20);

/// Maximum number of refusals in the notes for a person. The log has more.
const MAX_NOTES: usize = 8;

/// The result of the agent's own part.
pub(super) struct RunOutput {
    /// The lines of keys for sshd.
    lines: String,
    /// Notes for a person who runs the command by hand.
    notes: Vec<String>,
    outcome: RunOutcome,
    /// What to remember.
    record: Option<ReadyRecord>,
}

impl RunOutput {
    /// What to remember, to be written when everything is printed.
    pub(super) const fn take_record(&mut self) -> Option<ReadyRecord> {
        self.record.take()
    }

    /// Prints the lines. Returns how the run ended, and the notes.
    pub(super) fn print(self, out: &mut impl Write) -> (RunOutcome, Vec<String>) {
        let Self { lines, mut notes, outcome, .. } = self;
        match write_once(lines.as_bytes(), out) {
            Ok(()) => (outcome, notes),
            Err(error) => {
                notes.push(format!("cannot write the keys: {error}"));
                (RunOutcome::Undecided, notes)
            }
        }
    }

    pub(super) const fn nothing(notes: Vec<String>) -> Self {
        Self { lines: String::new(), notes, outcome: RunOutcome::Done, record: None }
    }

    pub(super) fn undecided(note: String) -> Self {
        Self { lines: String::new(), notes: vec![note], outcome: RunOutcome::Undecided, record: None }
    }
}

/// The result of a run before it is logged and printed.
enum RunResult {
    /// No pushed key can match. Holds what the run learned.
    Nothing(Learned),
    /// A decision, and what the run learned.
    Decision(Box<Decision>, Learned),
    /// No decision.
    Failed(Reason, String),
}

impl RunResult {
    fn late() -> Self {
        let why = "the deadline passed before a decision was made".to_owned();
        Self::Failed(Reason::MetadataTimeout, why)
    }

    /// What the run learned. A run that failed learned nothing.
    fn learned(self) -> Option<Learned> {
        match self {
            Self::Nothing(learned) | Self::Decision(_, learned) => Some(learned),
            Self::Failed(..) => None,
        }
    }
}

/// The state of a run while it may still be root.
pub(super) struct PreparedRun {
    user: LoginName,
    machine: Machine,
    offered: Option<Fingerprint>,
    settings: Result<Settings, ConfigError>,
    /// The variables that sshd permits in sessions, if the settings need them and this process could query sshd as
    /// root.
    permitted: Option<PermittedVariables>,
    clock: Clock,
}

/// A run that has opened or read everything that it needs from this machine. It still has to query the metadata
/// service.
pub(super) struct OpenedRun {
    run: PreparedRun,
    trust: Option<OpenStore>,
    /// The endpoints of the metadata service.
    endpoints: Vec<Endpoint>,
    /// Why no key may be printed, independent of the metadata.
    obstacle: Option<(Reason, String)>,
    /// What the rules depend on.
    machine: MachineFacts,
    memory: Option<Memory>,
}

impl PreparedRun {
    /// Returns [`NoKeyPossible`] if there cannot be a key. The API accepts no push for a name outside its pattern, or for
    /// a machine outside EC2.
    pub(super) fn prepare(
        arguments: &Arguments,
        settings: Result<Settings, ConfigError>,
        clock: Clock,
    ) -> Result<Self, NoKeyPossible> {
        let user = arguments.user.to_str().and_then(|name| LoginName::try_from(name).ok());
        let Some(user) = user else { return Err(NoKeyPossible { is_name: true, settings: settings.err() }) };
        let machine = Machine::detect(&arguments.sysfs);
        let offered = arguments.fingerprint.as_deref().and_then(OsStr::to_str).and_then(Fingerprint::offered);
        if machine == Machine::NotEc2 {
            return Err(NoKeyPossible { is_name: false, settings: settings.err() });
        }
        let needs_environment = settings.as_ref().is_ok_and(|settings| settings.environment.value);
        // Query sshd now, because this process may still be root. Without an answer, the run decides like a run
        // that is not root.
        let ask = || call_with_timeout(SETTINGS_TIMEOUT, environment::ask_as_root).flatten();
        let permitted = if needs_environment { ask() } else { None };
        Ok(Self { user, machine, offered, settings, permitted, clock })
    }

    pub(super) fn failed(&self, reason: Reason, why: &str, audit: &Audit) -> RunOutput {
        audit.failed(reason, why, &self.user);
        RunOutput::undecided(format!("{reason}: {why}"))
    }

    /// The fault of the settings. With it, there can be no decision.
    pub(super) fn fault(&self) -> Option<&ConfigError> {
        self.settings.as_ref().err()
    }

    /// Opens the trust store and checks sshd, without root's privileges. Files and programs may block. So the agent
    /// waits at most one second, and at most half of the remaining time. If a rule needs a time zone or sshd's release, it
    /// waits longer for each (see [`machine_facts`]). The rest is for metadata and providers.
    pub(super) fn open(self, reader: SettingsReader, deadline: Instant) -> OpenedRun {
        let Ok(settings) = &self.settings else {
            return OpenedRun {
                run: self,
                trust: None,
                endpoints: Vec::new(),
                obstacle: None,
                machine: MachineFacts::default(),
                memory: None,
            };
        };
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let timeout = left.checked_div(2).unwrap_or(left).min(SETTINGS_TIMEOUT);
        let until = now.checked_add(timeout).unwrap_or(now);
        let prefix = settings.line_prefix();
        let OpenFiles { trust, memory } =
            reader.open(settings.trust_store(), settings.remember.value, timeout);
        let permitted = self.permitted.clone();
        let obstacle = obstacle::find(prefix, permitted, until);
        let machine = machine_facts::read(settings, &self.user, deadline);
        let endpoints = settings.endpoints();
        OpenedRun { run: self, trust, endpoints, obstacle, machine, memory }
    }
}

impl OpenedRun {
    /// The ports of the metadata service.
    pub(super) fn ports(&self) -> Vec<u16> {
        self.endpoints.iter().filter_map(Endpoint::port).collect()
    }

    /// The descriptor of the memory's file.
    pub(super) fn memory(&self) -> Option<RawFd> {
        self.memory.as_ref().map(Memory::descriptor)
    }

    /// Runs the agent's own part, and waits for it no longer than the deadline. So neither a peer that keeps the
    /// network code busy, nor a wait in the kernel, nor a flood of entries can delay sshd or a provider's output.
    /// The result is logged here, so that a key is logged only if it is also printed.
    pub(super) fn run_until(mut self, deadline: Instant, audit: &Audit) -> RunOutput {
        let memory = self.memory.take();
        let recalled = Arc::new(self.recall(memory.as_ref()));
        let opened = Arc::new(self);
        let (worker, lent) = (Arc::clone(&opened), Arc::clone(&recalled));
        let timeout = deadline.saturating_duration_since(Instant::now()).saturating_add(GRACE);
        // A peer that never stops sending keeps the HTTP library busy without a break, so its own time limit does not end
        // this work. A second thread is the reason that such a run still ends at the deadline, with a line in the log.
        let decide = move || {
            no_more_threads();
            worker.decide(&lent)
        };
        let result = call_with_timeout(timeout, decide).unwrap_or_else(RunResult::late);
        let mut output = opened.log_and_format(&result, audit);
        output.record = memory
            .zip(result.learned())
            .and_then(|(memory, learned)| memory.with_news(&opened.run.machine, learned, &recalled));
        output
    }

    fn recall(&self, memory: Option<&Memory>) -> Recalled {
        let (Some(memory), Ok(settings)) = (memory, &self.run.settings) else { return Recalled::default() };
        memory.recall(&self.run.machine, &self.endpoints, settings.timeout.value)
    }

    /// Queries the metadata service and decides. Does not log or print.
    fn decide(&self, recalled: &Recalled) -> RunResult {
        let settings = match &self.run.settings {
            Ok(settings) => settings,
            Err(error) => return RunResult::Failed(error.reason(), error.to_string()),
        };
        if let Some((reason, why)) = &self.obstacle {
            return RunResult::Failed(*reason, why.clone());
        }
        match self.ask_metadata(settings, recalled) {
            Ok(Found { decision: None, learned }) => RunResult::Nothing(learned),
            Ok(Found { decision: Some(decision), learned }) => {
                RunResult::Decision(Box::new(decision), learned)
            }
            Err(error) => RunResult::Failed(error.reason(), self.explained(&error, &settings.pins())),
        }
    }

    /// The error, and a possible cause on this instance: a skipped root or a pin.
    fn explained(&self, error: &RunError, pins: &Pins) -> String {
        let cause = match error.reason() {
            Reason::SignerUntrusted => {
                let first = self.trust.as_ref().and_then(|trust| trust.left_out().next());
                first.map(|first| format!("left out of the trust store: {first}"))
            }
            Reason::SignerNameMismatch if !pins.is_empty() => Some(format!("[trust] pins {pins}")),
            _ => None,
        };
        cause.map_or_else(|| error.to_string(), |cause| format!("{error}; {cause}"))
    }

    /// Logs the result and formats its lines. Each key is sent to the log before sshd can read it.
    fn log_and_format(&self, found: &RunResult, audit: &Audit) -> RunOutput {
        match found {
            RunResult::Nothing(_) => RunOutput::nothing(Vec::new()),
            RunResult::Decision(decision, _) => self.hand_over(decision, audit),
            RunResult::Failed(reason, why) => self.run.failed(*reason, why, audit),
        }
    }

    fn ask_metadata(&self, settings: &Settings, recalled: &Recalled) -> Result<Found, RunError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Runtime)?;
        let PreparedRun { user, machine, offered, clock, .. } = &self.run;
        let request = Request {
            user,
            machine,
            trust: self.trust.as_ref(),
            offered: offered.clone(),
            policy: settings.policy(Some(user.clone()), self.machine.clone()),
            revocation: settings.revocation.value,
            pins: settings.pins(),
            clock,
        };
        let service = Service {
            endpoints: &self.endpoints,
            // The time since the start of the run counts too.
            begun: clock.since(),
            allowed: settings.timeout.value,
            remember: settings.remember.value,
        };
        let found = runtime.block_on(decide_from_metadata(service, &request, recalled));
        found.map_err(|error| error.on(machine))
    }

    fn hand_over(&self, decision: &Decision, audit: &Audit) -> RunOutput {
        let unstapled: Vec<_> = decision.signer().unstapled().map(Certificate::subject).collect();
        // Log accepted keys first. If the log daemon is slow, later lines may be lost, and these are the most
        // important.
        let lines = decision.key_lines();
        let logged = audit.provided(&lines, &unstapled, &self.run.user);
        let unlogged = lines.len().saturating_sub(logged.len());
        audit.refused(decision.refused(), &self.run.user);
        let refused = decision.refused().map(|refusal| &refusal.error).take(MAX_NOTES);
        let mut own = RunOutput {
            lines: String::new(),
            notes: refused.map(|error| format!("refused: {}: {error}", error.reason())).collect(),
            outcome: RunOutcome::Done,
            record: None,
        };
        let is_optional = self.run.settings.as_ref().is_ok_and(|settings| !settings.audit_required.value);
        if is_optional || unlogged == 0 {
            own.lines = authorized_keys(&lines);
            return own;
        }
        own.lines = authorized_keys(logged.iter().copied());
        let why =
            format!("no log accepted the line about {unlogged} of the keys, but [audit] required = true");
        audit.failed(Reason::AuditUnavailable, &why, &self.run.user);
        own.notes.insert(0, format!("{}: {why}", Reason::AuditUnavailable));
        if logged.is_empty() {
            own.outcome = RunOutcome::Undecided;
        }
        own
    }
}
