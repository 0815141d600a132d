//! Entries of the journal as `journalctl -o json` prints them: one object per line, with text values (systemd.io,
//! "Journal Export Formats", "Journal JSON Format").
//!
//! journald itself sets the fields whose names begin with `_`. It gets the user id from the kernel
//! (systemd.journal-fields(7), "Trusted Journal Fields"). The writer of the entry sets all other fields.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;

use super::event::{Event, KeyName, KeyProvided, Moment, Push, PushClaim};
use super::losses::{JOURNALD, LogGap, of_journald};
use super::message::{
    RawClaim, begins_with_us, claim, further, is_session_claim, of_agent, of_sshd, reason_name, user_name,
};
use super::programs::{Programs, Unit};
use super::raw::Raw;
use super::writer::{AgentUser, Attribution, Forged, TrustedPush, Writer};
use crate::audit_line::IDENT;
use crate::text::{MAX_SHOWN, printable};

/// The fields that journalctl must print (`--output-fields`).
pub const FIELDS: &str = "MESSAGE,MESSAGE_ID,LEADER,SYSLOG_IDENTIFIER,_UID,_PID,_EXE,_SYSTEMD_UNIT,_TRANSPORT,\
                          N_DROPPED,OBJECT_SYSTEMD_UNIT,EIC_EVENT,EIC_USER,EIC_FINGERPRINT,EIC_REQUEST_ID,EIC_FURTHER_REQUEST_IDS,\
                          EIC_PRINCIPAL,EIC_RULE,EIC_OPTIONS,EIC_REASON,EIC_SSHD_PID";

/// The syslog identifiers of the entries that the report uses. Since OpenSSH 9.8, the program for one connection has
/// its own identifier.
pub const IDENTIFIERS: [&str; 5] = [IDENT, "sshd", "sshd-session", "sshd-auth", "systemd-logind"];

/// The message id of logind's entry about the end of a session (systemd, sd-messages.h, `SD_MESSAGE_SESSION_STOP`).
const SESSION_STOP: &str = "3354939424b4456d9802ca8333ed424a";

/// An entry of the journal.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// The moment of the entry.
    pub at: Moment,
    /// The boot id, which identifies the run of the machine.
    pub boot: String,
    /// Whether journald keeps the entry in a user's own journal file (journald.conf(5), `SplitMode`). That file can
    /// begin earlier than the system's.
    pub is_users: bool,
    /// The event, if the entry reports one.
    pub event: Option<Event>,
}

/// The first user id that is not a system user's in Linux distributions.
const FIRST_USER: u32 = 1000;

/// Maximum number of units in `Journal`.
const MAX_UNITS: usize = 100;

/// The reader of journal entries.
#[derive(Debug)]
pub struct Journal {
    agent: Option<AgentUser>,
    programs: Programs,
    /// Units that are not known as sshd's, but from which sshd or the agent wrote to the log. Lost lines of these units
    /// matter too.
    units: BTreeSet<String>,
}

impl Journal {
    /// Makes a reader that trusts lines of the user `agent` as the agent's, and of these programs as sshd's. `agent` is
    /// `None` if the machine has no such user.
    #[must_use]
    pub fn new(agent: Option<AgentUser>, programs: Programs) -> Self {
        Self { agent, programs, units: BTreeSet::new() }
    }

    /// Parses one line of `journalctl -o json`. `None` if it is not an entry.
    pub fn parse_line(&mut self, line: &[u8]) -> Option<Entry> {
        let raw: Raw<'_> = serde_json::from_slice(line).ok()?;
        let at = Moment { wall: raw.realtime.number()?, monotonic: Some(raw.monotonic.number()?) };
        let boot =
            raw.boot.text().filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))?;
        let is_users = raw.uid.number::<u32>().is_some_and(|uid| uid >= FIRST_USER);
        Some(Entry { at, boot: boot.to_owned(), is_users, event: self.event(&raw) })
    }

    fn event(&mut self, raw: &Raw<'_>) -> Option<Event> {
        if raw.transport.text() == Some(JOURNALD) {
            return of_journald(raw).filter(|loss| self.matters(loss)).map(Event::GapCount);
        }
        // Kernel messages have no user id, and none of them matters here.
        let (program, unit) = (raw.program.text(), raw.unit.text());
        let writer = Writer::new(raw.uid.number()?, program, unit, &self.programs);
        let event = match raw.identifier.text()? {
            IDENT => self.of_agent(raw, writer),
            "sshd" | "sshd-session" | "sshd-auth" => of_root(raw, writer),
            "systemd-logind" if raw.message_id.text() == Some(SESSION_STOP) => {
                let pid = raw.leader.number()?;
                Some(
                    writer
                        .logind()
                        .map_or_else(|Forged| forged(raw, writer), |source| Event::Removed { pid, source }),
                )
            }
            _ => None,
        }?;
        if matches!(event, Event::Provided(_) | Event::Accepted(..)) {
            self.note_unit(unit);
        }
        Some(event)
    }

    /// Whether the lost lines can be lines about logins or keys. journald counts each unit separately.
    fn matters(&self, loss: &LogGap) -> bool {
        match loss {
            LogGap::Suppressed { unit, .. } => match Unit::of(Some(unit)) {
                Unit::Sshd | Unit::Session | Unit::Logind | Unit::Missing => true,
                Unit::Other => self.units.contains(unit),
            },
            _ => true,
        }
    }

    fn note_unit(&mut self, unit: Option<&str>) {
        let others = unit.filter(|unit| Unit::of(Some(unit)) == Unit::Other && self.units.len() < MAX_UNITS);
        if let Some(unit) = others {
            self.units.insert(unit.to_owned());
        }
    }

    /// Reads the agent's own fields, or its text if the entry came through `/dev/log`.
    fn of_agent(&self, raw: &Raw<'_>, writer: Writer) -> Option<Event> {
        let kind = raw.event.text();
        // A run that fails to give up root's privileges, or has invalid settings, reports this as root.
        let may_be_root = matches!(kind, Some("failed" | "provider"));
        let by_user = self.agent.and_then(|agent| agent.attests(writer));
        let source = match by_user {
            Some(source) => Ok(source),
            None if may_be_root => writer.agent(),
            None => Err(Forged),
        };
        let Ok(source) = source else {
            // The wrapper of a session writes as its user. Its line is a claim, and no session of the report depends on it.
            // Any other line with this event counts as forged.
            if kind == Some("session") && raw.message.text().is_some_and(is_session_claim) {
                return None;
            }
            // Other text with this identifier, such as the output of a unit of the agent, is not an event.
            let is_event = kind.is_some()
                || raw.message.text().is_some_and(|message| of_agent(message, Push::Unverified).is_some());
            return is_event.then(|| forged(raw, writer));
        };
        let trusted = |claim| {
            let push = self.agent.and_then(|agent| TrustedPush::of(writer, agent, claim));
            push.map(Push::Trusted)
        };
        match kind {
            Some("provided") => provided(raw, trusted).or(Some(Event::Unknown)),
            Some("refused") if raw.reason.text().is_some() => {
                refused(raw, source, trusted).or(Some(Event::Unknown))
            }
            Some("failed") => refused(raw, source, |_| None).or(Some(Event::Unknown)),
            Some("provider") => None,
            // The count of further refusals, or a line from syslog. The text alone proves nothing.
            // `vouched` adds the writer of the entry.
            _ => vouched(of_agent(raw.message.text()?, Push::Unverified)?, source, trusted),
        }
    }
}

/// Reads a line of sshd, or of PAM in sshd's process. Both write as root, except about the end of a connection. A line
/// under another user id could be that user's forgery.
fn of_root(raw: &Raw<'_>, writer: Writer) -> Option<Event> {
    let read = |login, session| of_sshd(raw.pid.number()?, raw.message.text()?, login, session);
    let by_root = writer.login().and_then(|login| writer.session().map(|session| (login, session)));
    let (login, session) = by_root.unwrap_or((Attribution::Unattributed, Attribution::Unattributed));
    match read(login, session) {
        Some(Event::Disconnected { pid, connection, .. }) => {
            let uid = Some(writer.uid());
            Some(writer.connection().map_or_else(
                |Forged| forged(raw, writer),
                |source| Event::Disconnected { pid, connection, uid, source },
            ))
        }
        // A session's own process, with the user's id, may report that its client left.
        Some(Event::Left { .. }) if by_root.is_err() => None,
        Some(_) if by_root.is_err() => Some(forged(raw, writer)),
        // journalctl does not print text that is too long. Text that is not UTF-8 is an array.
        None if by_root.is_ok() && raw.message.text().is_none_or(begins_with_us) => Some(Event::Unknown),
        event => event,
    }
}

/// The event for a line in the name of another program.
fn forged(raw: &Raw<'_>, writer: Writer) -> Event {
    let program = raw.program.text().filter(|_| writer.is_root());
    Event::Disbelieved { uid: writer.uid(), program: program.map(|path| printable(path, MAX_SHOWN)) }
}

/// The claims in the agent's own fields.
fn claims<'r>(raw: &'r Raw<'_>) -> RawClaim<'r> {
    RawClaim {
        principal: raw.principal.text(),
        request_id: raw.request_id.text(),
        rule: raw.rule.text(),
        options: raw.options.text(),
    }
}

fn provided(raw: &Raw<'_>, trusted: impl FnOnce(PushClaim) -> Option<Push>) -> Option<Event> {
    Some(Event::Provided(KeyProvided {
        sshd: Some(raw.sshd_pid.number()?),
        user: Some(user_name(raw.user.text()?)),
        key: KeyName::parse(raw.fingerprint.text()?)?,
        push: trusted(claim(claims(raw)))?,
        further: further(raw.further.text()),
    }))
}

fn refused(
    raw: &Raw<'_>,
    source: Attribution,
    trusted: impl FnOnce(PushClaim) -> Option<Push>,
) -> Option<Event> {
    Some(Event::Refused {
        reason: Some(reason_name(raw.reason.text()?)?),
        user: raw.user.text().map(user_name),
        push: trusted(claim(claims(raw))),
        count: 1,
        source,
    })
}

/// Replaces the unverified source of `event` by the writer of the entry.
fn vouched(
    event: Event,
    source: Attribution,
    trusted: impl FnOnce(PushClaim) -> Option<Push>,
) -> Option<Event> {
    match event {
        Event::Provided(KeyProvided { sshd, user, key, push: Push::Unverified(claim), further }) => {
            Some(Event::Provided(KeyProvided { sshd, user, key, push: trusted(claim)?, further }))
        }
        Event::Refused { reason, user, push, count, .. } => {
            Some(Event::Refused { reason, user, push, count, source })
        }
        other => Some(other),
    }
}
