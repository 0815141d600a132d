//! Audit lines: one event per line, sent to the journal or else to syslog.
//!
//! All foreign text in a line is made printable first. Nothing here blocks for long. If the log daemon's queue is
//! full, the agent waits at most 250 ms per run, and at most 50 ms past the deadline. Then the line is lost.
//!
//! Every run logs, for any caller and any inputs, so there is a line for every printed key unless the log is
//! unavailable. If options on the command line replaced inputs of the decision, each line contains these options,
//! because the result may not be true for this instance. The kernel reports the writer of a line to the journal
//! (`_UID`).

mod log;
mod provided;

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use eic_core::audit_line::{CHOSEN_INPUTS, MAX_PRINCIPAL, SESSION};
use eic_core::decision::{KeyLine, Pushes, Refusal, RefusalError};
use eic_core::evidence::key_bundle::Claims;
use eic_core::identity::LoginName;
use eic_core::order;
use eic_core::policy::Denied;
use eic_core::reason::Reason;
use eic_core::text::{MAX_SHOWN, one_line, printable};

use self::log::{JournalSocket, LogEvent, SendStatus, SyslogSocket};
use self::provided::provided_events;

/// What the wrapper of a session logs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionClaim<'c> {
    pub(crate) user: &'c str,
    pub(crate) principal: Option<&'c str>,
    pub(crate) request_id: Option<&'c str>,
    /// The path of the terminal, if there is one.
    pub(crate) tty: Option<&'c str>,
}

/// Maximum number of refusals per run with their own line. One more line counts the rest.
const MAX_REFUSALS: usize = 8;

/// The destination of events.
#[derive(Debug)]
pub struct Audit {
    journal: JournalSocket,
    syslog: SyslogSocket,
    wait_budget: WaitBudget,
    /// The options that replaced inputs of the decision, with their values. Empty if there are none.
    inputs: String,
}

impl Audit {
    /// Logs to the journal's socket if a daemon listens there, or else to `/dev/log`.
    #[must_use]
    pub fn to_system() -> Self {
        Self::at(Path::new("/run/systemd/journal/socket"), Path::new("/dev/log"))
    }

    /// Limits all waits to 50 ms after `deadline`, even if the run's wait budget is not used up.
    #[must_use]
    pub(crate) fn until(mut self, deadline: Instant) -> Self {
        self.wait_budget.end = deadline.checked_add(WaitBudget::LAST);
        self
    }

    /// The socket that would receive events now. `None` if no daemon listens. Sends nothing.
    #[must_use]
    pub fn destination(&self) -> Option<&Path> {
        self.journal.is_there().or_else(|| self.syslog.is_there())
    }

    /// Adds these options and their values to every event.
    #[must_use]
    pub(crate) fn with_inputs(mut self, chosen: &[(&'static str, String)]) -> Self {
        let shown = chosen.iter().map(|(option, value)| format!("{option} {}", printable(value, MAX_SHOWN)));
        self.inputs = shown.collect::<Vec<_>>().join(" ");
        self
    }

    fn at(journal: &Path, syslog: &Path) -> Self {
        Self {
            journal: JournalSocket::at(journal),
            syslog: SyslogSocket::at(syslog),
            wait_budget: WaitBudget::new(),
            inputs: String::new(),
        }
    }

    /// Logs keys that the run will print. Returns the lines that sshd may get if the log is required: those for which, for at
    /// least one principal, all events are in a log daemon's queue. So a principal that pushes the key of another one
    /// withholds no key from it.
    ///
    /// Auditors have matched this text with CloudTrail since EC2 Instance Connect began. Parts that the push did not
    /// contain are omitted. The pushes of a key by one principal are one event, which has the id of each request.
    pub(crate) fn provided<'l, 'k>(
        &self,
        lines: &'l [KeyLine<'k>],
        unstapled: &[&str],
        user: &LoginName,
    ) -> Vec<&'l KeyLine<'k>> {
        let of_line =
            |(place, line): (usize, &'l KeyLine<'k>)| line.pushes().map(move |pushes| (place, pushes));
        // If the daemon is slow, later events may be lost. So a principal with many pushes comes last.
        let fewest_first = order::by_key(
            lines.iter().enumerate().flat_map(of_line).collect(),
            |(_, pushes): &(usize, &Pushes<'k>)| pushes.all().count(),
        );
        let mut logged = vec![false; lines.len()];
        for (place, pushes) in fewest_first {
            // Not `all`: the events after one that no log accepted are sent, too.
            let sent = provided_events(pushes, unstapled, user).map(|event| self.send(event));
            let is_logged = sent.filter(|is_queued| !is_queued).count() == 0;
            if let Some(of_line) = logged.get_mut(place) {
                *of_line |= is_logged;
            }
        }
        lines.iter().zip(logged).filter_map(|(line, is_logged)| is_logged.then_some(line)).collect()
    }

    /// Logs refused entries. After the first eight, one line counts the rest.
    pub(crate) fn refused<'r>(&self, refusals: impl Iterator<Item = &'r Refusal>, user: &LoginName) {
        for event in refusal_events(refusals, user) {
            self.send(event);
        }
    }

    /// Logs a run without a decision. It prints no key.
    pub(crate) fn failed(&self, reason: Reason, detail: &str, user: &LoginName) {
        let message =
            format!("No ssh keys from EC2 Instance Connect for user {user}: {reason}: {}", one_line(detail));
        let fields = vec![("EIC_REASON", reason.as_str().to_owned())];
        self.send(event("failed", user.as_str(), message, fields));
    }

    /// Logs the start of a session with the wrapper. The process has the user's id, so all of it is a claim. Returns whether
    /// the line is in a log daemon's queue.
    pub(crate) fn session(&self, claim: &SessionClaim<'_>) -> bool {
        let SessionClaim { user, principal, request_id, tty } = claim;
        let mut message = format!("{SESSION}{}", printable(user, MAX_SHOWN));
        if let Some(id) = request_id {
            let _ = write!(message, ", request-id: {}", printable(id, MAX_SHOWN));
        }
        if let Some(arn) = principal {
            let _ = write!(message, ", for IAM principal: {}", printable(arn, MAX_PRINCIPAL));
        }
        let owned = |value: Option<&str>| value.map(str::to_owned);
        let claims =
            Claims { request_id: owned(*request_id), principal: owned(*principal), ..Claims::default() };
        let mut fields = claim_fields(&claims, false);
        let _ = write!(message, "; pid {}", std::process::id());
        if let Some(tty) = tty {
            let tty = printable(tty, MAX_SHOWN);
            let _ = write!(message, ", tty {tty}");
            fields.push(("EIC_TTY", tty));
        }
        self.send(event_of_user("session", &printable(user, MAX_SHOWN), message, fields))
    }

    /// Logs the failure of a provider.
    pub(crate) fn provider(&self, program: &str, reason: Reason, detail: &str, user: &str) {
        let message =
            format!("Provider \"{program}\" asked for user \"{user}\": {reason}: {}", one_line(detail));
        let fields = vec![("EIC_REASON", reason.as_str().to_owned()), ("EIC_PROVIDER", program.to_owned())];
        self.send(event("provider", user, message, fields));
    }

    /// Sends an event to the journal, or else to syslog, but never to both. Returns whether the event is in a
    /// daemon's queue.
    ///
    /// If the queue is full, the agent retries until the run's wait budget is used up. A login may wait some
    /// milliseconds for its audit line, but a daemon that has stopped reading must not delay it longer.
    fn send(&self, mut event: LogEvent) -> bool {
        if !self.inputs.is_empty() {
            let _ = write!(event.message, "{CHOSEN_INPUTS}{}", self.inputs);
            event.fields.push(("EIC_INPUTS", self.inputs.clone()));
        }
        loop {
            let taken = match self.journal.send(&event) {
                SendStatus::NoDaemon => self.syslog.send(&event),
                taken => taken,
            };
            if taken != SendStatus::QueueFull || !self.wait_budget.wait() {
                return taken == SendStatus::Queued;
            }
        }
    }
}

/// The time that a run may wait for log daemons.
#[derive(Debug)]
struct WaitBudget {
    steps: Cell<u32>,
    end: Option<Instant>,
}

impl WaitBudget {
    const STEP: Duration = Duration::from_millis(2);
    const STEPS: u32 = 125;
    /// Longest wait past the deadline. It is enough for a daemon that is a few lines behind, and a user does not notice
    /// it.
    const LAST: Duration = Duration::from_millis(50);

    const fn new() -> Self {
        Self { steps: Cell::new(Self::STEPS), end: None }
    }

    /// Waits one step. Returns false if the budget is used up.
    fn wait(&self) -> bool {
        let Some(left) = self.steps.get().checked_sub(1) else { return false };
        if self.end.is_some_and(|end| Instant::now() >= end) {
            return false;
        }
        self.steps.set(left);
        std::thread::sleep(Self::STEP);
        true
    }
}

/// An event of a run that sshd started.
fn event(kind: &'static str, user: &str, message: String, fields: Vec<(&'static str, String)>) -> LogEvent {
    let mut event = event_of_user(kind, user, message, fields);
    // The parent is the sshd process that logs `Accepted publickey`. The parent of a session is that one's child.
    event.fields.push(("EIC_SSHD_PID", std::os::unix::process::parent_id().to_string()));
    event
}

/// An event of any process.
fn event_of_user(
    kind: &'static str,
    user: &str,
    message: String,
    mut fields: Vec<(&'static str, String)>,
) -> LogEvent {
    fields.push(("EIC_EVENT", kind.to_owned()));
    fields.push(("EIC_USER", user.to_owned()));
    LogEvent { message, fields }
}

fn refusal_event(refusal: &Refusal, user: &LoginName) -> LogEvent {
    let reason = refusal.error.reason();
    let signed = refusal.error.is_of_signed_entry();
    let claimed = if signed { "" } else { "claimed " };
    let mut message =
        format!("Refusing ssh key from EC2 Instance Connect for user {user}: {reason}: {}", refusal.error);
    let Claims { fingerprint, request_id, principal, .. } = &refusal.claims;
    if let Some(fingerprint) = fingerprint {
        let _ = write!(message, "; fingerprint: {fingerprint}");
    }
    if let Some(id) = request_id {
        let _ = write!(message, "; {claimed}request-id: {}", printable(id, MAX_SHOWN));
    }
    if let Some(arn) = principal {
        let _ = write!(message, "; {claimed}IAM principal: {}", printable(arn, MAX_PRINCIPAL));
    }
    let mut fields = claim_fields(&refusal.claims, signed);
    fields.push(("EIC_REASON", reason.as_str().to_owned()));
    if let RefusalError::Policy(Denied { rule, number: Some(_), .. }) = &refusal.error {
        fields.push(("EIC_RULE", rule.clone()));
    }
    event("refused", user.as_str(), message, fields)
}

fn refusal_events<'r>(refusals: impl Iterator<Item = &'r Refusal>, user: &LoginName) -> Vec<LogEvent> {
    let mut refusals = refusals;
    let mut events: Vec<_> =
        refusals.by_ref().take(MAX_REFUSALS).map(|refusal| refusal_event(refusal, user)).collect();
    let rest = refusals.count();
    if rest > 0 {
        let message = format!("Refusing {rest} more ssh keys from EC2 Instance Connect for user {user}");
        events.push(event("refused", user.as_str(), message, Vec::new()));
    }
    events
}

/// The claims as fields. Unsigned claims have other field names, so that no query takes them as proven.
fn claim_fields(claims: &Claims, signed: bool) -> Vec<(&'static str, String)> {
    let Claims { fingerprint, request_id, principal, .. } = claims;
    let (id_field, principal_field) = if signed {
        ("EIC_REQUEST_ID", "EIC_PRINCIPAL")
    } else {
        ("EIC_CLAIMED_REQUEST_ID", "EIC_CLAIMED_PRINCIPAL")
    };
    [
        ("EIC_FINGERPRINT", fingerprint.as_ref().map(ToString::to_string)),
        (id_field, request_id.as_ref().map(|id| printable(id, MAX_SHOWN))),
        (principal_field, principal.as_ref().map(|arn| printable(arn, MAX_PRINCIPAL))),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| (name, value)))
    .collect()
}

#[cfg(test)]
mod tests;
