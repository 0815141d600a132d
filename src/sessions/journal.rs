//! Entries of the journal, as `journalctl -o json` prints them: one object a line, all values text
//! (systemd.io, "Journal Export Formats", "Journal JSON Format").
//!
//! A field whose name begins with `_` is journald's own word, the user id among it, which it has from the kernel
//! (systemd.journal-fields(7), "Trusted Journal Fields"). Every other field is the word of whoever wrote the entry.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::event::{Claim, Event, Handover, KeyName, Moment, Push};
use super::message::{claim, of_agent, of_sshd, reason_name, user_name};
use crate::audit::IDENT;

/// What journalctl is asked for, so that it prints no more (`--output-fields`).
pub const FIELDS: &str = "MESSAGE,MESSAGE_ID,LEADER,SYSLOG_IDENTIFIER,_UID,_PID,EIC_EVENT,EIC_USER,EIC_FINGERPRINT,\
                          EIC_REQUEST_ID,EIC_PRINCIPAL,EIC_REASON,EIC_SSHD_PID";

/// Under whose names the entries stand that a report is made of. sshd's part for one connection has a name of its
/// own since OpenSSH 9.8.
pub const IDENTIFIERS: [&str; 4] = [IDENT, "sshd", "sshd-session", "systemd-logind"];

/// logind's word that a session is gone (systemd, sd-messages.h, `SD_MESSAGE_SESSION_STOP`).
const SESSION_STOP: &str = "3354939424b4456d9802ca8333ed424a";

/// Who wrote an entry, as journald had it from the kernel. Only an entry's `_UID` makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    uid: u32,
}

impl Writer {
    const fn is_root(self) -> bool {
        self.uid == 0
    }
}

/// The user that the agent runs as. Nothing is believed of an agent that would be root: it gives root's rights up
/// before it can give a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgentUser {
    uid: u32,
}

impl AgentUser {
    /// The user with this id; none for root.
    #[must_use]
    pub const fn new(uid: u32) -> Option<Self> {
        if uid == 0 { None } else { Some(Self { uid }) }
    }

    const fn wrote(self, writer: Writer) -> bool {
        self.uid == writer.uid
    }
}

/// Who pushed a key, by the word of the agent: journald had from the kernel that the agent's user wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TrustedPush {
    claim: Claim,
}

impl TrustedPush {
    /// The only constructor. Gives the claim back where somebody else wrote it.
    fn of(writer: Writer, agent: AgentUser, claim: Claim) -> Option<Self> {
        agent.wrote(writer).then_some(Self { claim })
    }

    /// What the agent said.
    #[must_use]
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }
}

/// An entry that is about us.
#[derive(Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Moment,
    /// The run of the machine that it is of.
    pub boot: String,
    /// What it tells, where it is believed to tell anything.
    pub event: Option<Event>,
}

/// Reads entries.
#[derive(Debug)]
pub struct Journal {
    agent: Option<AgentUser>,
}

impl Journal {
    /// A reader that believes this user to be the agent; none where there is no such user.
    #[must_use]
    pub const fn new(agent: Option<AgentUser>) -> Self {
        Self { agent }
    }

    /// One line of `journalctl -o json`; none where it is no entry.
    #[must_use]
    pub fn read(&self, line: &[u8]) -> Option<Entry> {
        let raw: Raw<'_> = serde_json::from_slice(line).ok()?;
        let at = Moment { wall: raw.realtime.number()?, monotonic: Some(raw.monotonic.number()?) };
        let boot =
            raw.boot.text().filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()))?;
        Some(Entry { at, boot: boot.to_owned(), event: self.event(&raw) })
    }

    fn event(&self, raw: &Raw<'_>) -> Option<Event> {
        // What the kernel or journald itself says has no user id, and is none of ours.
        let writer = Writer { uid: raw.uid.number()? };
        let event = match raw.identifier.text()? {
            IDENT => return self.of_agent(raw, writer),
            "sshd" | "sshd-session" => of_sshd(raw.pid.number()?, raw.message.text()?),
            "systemd-logind" if raw.message_id.text() == Some(SESSION_STOP) => {
                Some(Event::Removed { pid: raw.leader.number()? })
            }
            _ => None,
        }?;
        // sshd decides, and PAM closes, as root; logind is root's. What sshd writes under a user's own id could be
        // that user's.
        Some(if writer.is_root() { event } else { Event::Disbelieved { uid: writer.uid } })
    }

    /// The agent's own fields, or its text where it reached journald through `/dev/log`.
    fn of_agent(&self, raw: &Raw<'_>, writer: Writer) -> Option<Event> {
        let kind = raw.event.text();
        // A run that cannot give root's rights up, or whose settings are wrong, says so as root.
        let may_be_root = matches!(kind, Some("failed" | "provider"));
        let is_agents = self.agent.is_some_and(|agent| agent.wrote(writer));
        if !is_agents && (!may_be_root || !writer.is_root()) {
            // What else stands under that name, as what the unit prints, is nobody's event.
            let is_event = kind.is_some()
                || raw.message.text().is_some_and(|message| of_agent(message, Push::Unverified).is_some());
            return is_event.then_some(Event::Disbelieved { uid: writer.uid });
        }
        let trusted = |claim| {
            let push = self.agent.and_then(|agent| TrustedPush::of(writer, agent, claim));
            push.map(Push::Trusted)
        };
        match kind {
            Some("provided") => provided(raw, trusted),
            Some("refused") if raw.reason.text().is_some() => refused(raw, trusted),
            Some("failed") => refused(raw, |_| None),
            Some("provider") => None,
            // The count of a flood, and what came by syslog: unverified only until the writer is looked at.
            _ => vouched(of_agent(raw.message.text()?, Push::Unverified)?, trusted),
        }
    }
}

fn provided(raw: &Raw<'_>, trusted: impl FnOnce(Claim) -> Option<Push>) -> Option<Event> {
    Some(Event::Provided(Handover {
        sshd: Some(raw.sshd_pid.number()?),
        user: Some(user_name(raw.user.text()?)),
        key: KeyName::parse(raw.fingerprint.text()?)?,
        push: trusted(claim(raw.principal.text(), raw.request_id.text()))?,
    }))
}

fn refused(raw: &Raw<'_>, trusted: impl FnOnce(Claim) -> Option<Push>) -> Option<Event> {
    Some(Event::Refused {
        reason: Some(reason_name(raw.reason.text()?)?),
        user: raw.user.text().map(user_name),
        push: trusted(claim(raw.principal.text(), raw.request_id.text())),
        count: 1,
    })
}

/// The same event, its claim vouched for by the writer.
fn vouched(event: Event, trusted: impl FnOnce(Claim) -> Option<Push>) -> Option<Event> {
    match event {
        Event::Provided(Handover { sshd, user, key, push: Push::Unverified(claim) }) => {
            Some(Event::Provided(Handover { sshd, user, key, push: trusted(claim)? }))
        }
        other => Some(other),
    }
}

/// What is looked at of an entry; journalctl prints more.
#[derive(Default)]
struct Raw<'a> {
    realtime: Field<'a>,
    monotonic: Field<'a>,
    boot: Field<'a>,
    uid: Field<'a>,
    pid: Field<'a>,
    identifier: Field<'a>,
    message: Field<'a>,
    message_id: Field<'a>,
    leader: Field<'a>,
    event: Field<'a>,
    user: Field<'a>,
    fingerprint: Field<'a>,
    request_id: Field<'a>,
    principal: Field<'a>,
    reason: Field<'a>,
    sshd_pid: Field<'a>,
}

/// A field's value, where it is one text. What is not text, or is there several times, is an array, and what is too
/// long is null: none of those is anything that we wait for.
#[derive(Default)]
struct Field<'a>(Option<Cow<'a, str>>);

impl Field<'_> {
    fn text(&self) -> Option<&str> {
        self.0.as_deref()
    }

    fn number<T: std::str::FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an entry of the journal")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw::default();
        while let Some(Field(name)) = map.next_key::<Field<'de>>()? {
            let field = match name.as_deref().unwrap_or_default() {
                "__REALTIME_TIMESTAMP" => &mut raw.realtime,
                "__MONOTONIC_TIMESTAMP" => &mut raw.monotonic,
                "_BOOT_ID" => &mut raw.boot,
                "_UID" => &mut raw.uid,
                "_PID" => &mut raw.pid,
                "SYSLOG_IDENTIFIER" => &mut raw.identifier,
                "MESSAGE" => &mut raw.message,
                "MESSAGE_ID" => &mut raw.message_id,
                "LEADER" => &mut raw.leader,
                "EIC_EVENT" => &mut raw.event,
                "EIC_USER" => &mut raw.user,
                "EIC_FINGERPRINT" => &mut raw.fingerprint,
                "EIC_REQUEST_ID" => &mut raw.request_id,
                "EIC_PRINCIPAL" => &mut raw.principal,
                "EIC_REASON" => &mut raw.reason,
                "EIC_SSHD_PID" => &mut raw.sshd_pid,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = map.next_value()?;
        }
        Ok(raw)
    }
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field(Some(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Field<'de>, E> {
        Ok(Field(Some(Cow::Owned(text.to_owned()))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Field<'de>, A::Error> {
        while values.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field(None))
    }

    fn visit_unit<E>(self) -> Result<Field<'de>, E> {
        Ok(Field(None))
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}
