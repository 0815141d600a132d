//! Entries of the journal, as `journalctl -o json` prints them: one object a line, all values text
//! (systemd.io, "Journal Export Formats", "Journal JSON Format").
//!
//! A field whose name begins with `_` is journald's own word, the user id among it, which it has from the kernel
//! (systemd.journal-fields(7), "Trusted Journal Fields"). Every other field is the word of whoever wrote the entry.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;

use super::event::{Event, KeyName, KeyProvided, Moment, Push, PushClaim};
use super::losses::{JOURNALD, LogGap, of_journald};
use super::message::{claim, of_agent, of_sshd, reason_name, user_name};
use super::programs::{Programs, Unit};
use super::raw::Raw;
use super::writer::{AgentUser, Attribution, Forged, TrustedPush, Writer};
use crate::audit_line::IDENT;
use crate::text::{MAX_SHOWN, printable};

/// What journalctl is asked for, so that it prints no more (`--output-fields`).
pub const FIELDS: &str = "MESSAGE,MESSAGE_ID,LEADER,SYSLOG_IDENTIFIER,_UID,_PID,_EXE,_SYSTEMD_UNIT,_TRANSPORT,\
                          N_DROPPED,OBJECT_SYSTEMD_UNIT,EIC_EVENT,EIC_USER,EIC_FINGERPRINT,EIC_REQUEST_ID,\
                          EIC_PRINCIPAL,EIC_REASON,EIC_SSHD_PID";

/// Under whose names the entries stand that a report is made of. sshd's part for one connection has a name of its
/// own since OpenSSH 9.8.
pub const IDENTIFIERS: [&str; 5] = [IDENT, "sshd", "sshd-session", "sshd-auth", "systemd-logind"];

/// logind's word that a session is gone (systemd, sd-messages.h, `SD_MESSAGE_SESSION_STOP`).
const SESSION_STOP: &str = "3354939424b4456d9802ca8333ed424a";

/// An entry that is about us.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Moment,
    /// The run of the machine that it is of.
    pub boot: String,
    /// Whether journald keeps it in a file of its writer's (journald.conf(5), `SplitMode`), which may go further back
    /// than the system's.
    pub is_users: bool,
    /// What it tells, where it is believed to tell anything.
    pub event: Option<Event>,
}

/// The first user id that is no system user's, in the distributions.
const FIRST_USER: u32 = 1000;

/// Most units, beside sshd's own, in which sshd or the agent was seen.
const MAX_UNITS: usize = 100;

/// Reads entries.
#[derive(Debug)]
pub struct Journal {
    agent: Option<AgentUser>,
    programs: Programs,
    /// Units of other names in which sshd or the agent wrote: what is lost of them matters as well.
    units: BTreeSet<String>,
}

impl Journal {
    /// A reader that believes this user to be the agent, and these programs to be sshd. `None` if there is no such
    /// user.
    #[must_use]
    pub fn new(agent: Option<AgentUser>, programs: Programs) -> Self {
        Self { agent, programs, units: BTreeSet::new() }
    }

    /// One line of `journalctl -o json`; none where it is no entry.
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
        // What the kernel says has no user id, and is none of ours.
        let (program, unit) = (raw.program.text(), raw.unit.text());
        let writer = Writer::new(raw.uid.number()?, program, unit, &self.programs);
        let event = match raw.identifier.text()? {
            IDENT => self.of_agent(raw, writer),
            "sshd" | "sshd-session" | "sshd-auth" => of_root(raw, writer, |login, session| {
                of_sshd(raw.pid.number()?, raw.message.text()?, login, session)
            }),
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

    /// Whether lines of ours can be among what was lost. journald counts each unit on its own.
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

    /// The agent's own fields, or its text where it reached journald through `/dev/log`.
    fn of_agent(&self, raw: &Raw<'_>, writer: Writer) -> Option<Event> {
        let kind = raw.event.text();
        // A run that cannot give root's rights up, or whose settings are wrong, says so as root.
        let may_be_root = matches!(kind, Some("failed" | "provider"));
        let by_user = self.agent.and_then(|agent| agent.attests(writer));
        let source = match by_user {
            Some(source) => Ok(source),
            None if may_be_root => writer.agent(),
            None => Err(Forged),
        };
        let Ok(source) = source else {
            // What else stands under that name, as what the unit prints, is nobody's event.
            let is_event = kind.is_some()
                || raw.message.text().is_some_and(|message| of_agent(message, Push::Unverified).is_some());
            return is_event.then(|| forged(raw, writer));
        };
        let trusted = |claim| {
            let push = self.agent.and_then(|agent| TrustedPush::of(writer, agent, claim));
            push.map(Push::Trusted)
        };
        match kind {
            Some("provided") => provided(raw, trusted),
            Some("refused") if raw.reason.text().is_some() => refused(raw, source, trusted),
            Some("failed") => refused(raw, source, |_| None),
            Some("provider") => None,
            // The count of a flood, and what came by syslog: unverified only until the writer is looked at.
            _ => vouched(of_agent(raw.message.text()?, Push::Unverified)?, source, trusted),
        }
    }
}

/// A line of sshd, or of PAM in its process: both write as root. What sshd writes under a user's own id could be that
/// user's.
fn of_root(
    raw: &Raw<'_>,
    writer: Writer,
    read: impl FnOnce(Attribution, Attribution) -> Option<Event>,
) -> Option<Event> {
    let (Ok(login), Ok(session)) = (writer.login(), writer.session()) else {
        // A line that tells nothing is nobody's lie, and a session's own process says that its client left.
        let event = read(Attribution::Unattributed, Attribution::Unattributed);
        return event.filter(|event| !matches!(event, Event::Left { .. })).map(|_| forged(raw, writer));
    };
    read(login, session)
}

/// A line in the name of another program.
fn forged(raw: &Raw<'_>, writer: Writer) -> Event {
    let program = raw.program.text().filter(|_| writer.is_root());
    Event::Disbelieved { uid: writer.uid(), program: program.map(|path| printable(path, MAX_SHOWN)) }
}

fn provided(raw: &Raw<'_>, trusted: impl FnOnce(PushClaim) -> Option<Push>) -> Option<Event> {
    Some(Event::Provided(KeyProvided {
        sshd: Some(raw.sshd_pid.number()?),
        user: Some(user_name(raw.user.text()?)),
        key: KeyName::parse(raw.fingerprint.text()?)?,
        push: trusted(claim(raw.principal.text(), raw.request_id.text()))?,
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
        push: trusted(claim(raw.principal.text(), raw.request_id.text())),
        count: 1,
        source,
    })
}

/// The same event, vouched for by the writer.
fn vouched(
    event: Event,
    source: Attribution,
    trusted: impl FnOnce(PushClaim) -> Option<Push>,
) -> Option<Event> {
    match event {
        Event::Provided(KeyProvided { sshd, user, key, push: Push::Unverified(claim) }) => {
            Some(Event::Provided(KeyProvided { sshd, user, key, push: trusted(claim)? }))
        }
        Event::Refused { reason, user, push, count, .. } => {
            Some(Event::Refused { reason, user, push, count, source })
        }
        other => Some(other),
    }
}
