//! The lines of an export. Each is one event that can be read alone. packaging/schema/sessions-event.schema.json is their
//! schema.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use ring::digest::{Context, SHA256};
use serde::Serialize;

use super::super::event::Push;
use super::super::shown::{ShownKey, ShownPush, is_attributed, shown};
use super::super::stream::RefusedLine;
use crate::instance_facts::InstanceFacts;

/// The number of bytes of a digest that are kept. Among 2^32 events, two have the same id with a chance of 2^-65.
const ID_BYTES: usize = 16;

/// A digest of these parts.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> [u8; ID_BYTES] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        // With the length, no two lists of parts have the same bytes.
        context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.update(part);
    }
    let mut id = [0; ID_BYTES];
    for (to, from) in id.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    id
}

/// The id of an event.
pub(super) fn id_of(parts: &[&[u8]]) -> String {
    data_encoding::HEXLOWER.encode(&digest(parts))
}

/// What every line has.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Head<'a> {
    pub(super) schema_version: u32,
    pub(super) kind: &'static str,
    pub(super) id: &'a str,
    /// Whether no later export has another line with this id.
    #[serde(rename = "final")]
    pub(super) is_final: bool,
    pub(super) agent_version: &'static str,
    pub(super) export_state: Option<&'a str>,
    pub(super) export_number: Option<u64>,
    pub(super) exported_at: &'a str,
    pub(super) instance_id: Option<&'a str>,
    pub(super) instance_id_from: Option<&'static str>,
    pub(super) account: Option<&'a str>,
    pub(super) region: Option<&'a str>,
    pub(super) zone: Option<&'a str>,
    pub(super) image_id: Option<&'a str>,
    /// In a text log, the host that the line names.
    pub(super) host_name: Option<&'a str>,
    /// The run of the machine in which the event happened. Null in a text log.
    pub(super) boot_id: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// The head of a line about this instance.
    pub(super) fn of(facts: &'a InstanceFacts, exported_at: &'a str) -> Self {
        Self {
            schema_version: 1,
            kind: "coverage",
            id: "",
            is_final: true,
            agent_version: env!("CARGO_PKG_VERSION"),
            export_state: None,
            export_number: None,
            exported_at,
            instance_id: facts.instance_id.as_deref(),
            instance_id_from: facts.instance_id_from,
            account: facts.account.as_deref(),
            region: facts.region.as_deref(),
            zone: facts.zone.as_deref(),
            image_id: facts.image_id.as_deref(),
            host_name: facts.host_name.as_deref(),
            boot_id: facts.boot_id.as_deref(),
        }
    }
}

/// The text of a line: one object with the fields of both. They have different names.
pub(super) fn text_of(head: &Head<'_>, body: &impl Serialize) -> String {
    let mut text = serde_json::to_string(head).unwrap_or_default();
    let body = serde_json::to_string(body).unwrap_or_default();
    text.pop();
    text.push(',');
    text.push_str(body.strip_prefix('{').unwrap_or_default());
    text
}

/// A refusal.
#[derive(Serialize)]
pub(super) struct ShownRefusedLine {
    at: String,
    reason: Option<String>,
    /// The number of refused keys. More than one for a line that counts the rest of a flood.
    count: u64,
    user: Option<String>,
    attributed: Option<bool>,
    push: Option<ShownPush>,
}

impl ShownRefusedLine {
    pub(super) fn of(line: &RefusedLine) -> Self {
        Self {
            at: shown(line.at),
            reason: line.reason.clone(),
            count: line.count,
            user: line.user.clone(),
            attributed: is_attributed(line.source),
            push: line.push.as_ref().map(ShownPush::from),
        }
    }
}

/// A gap of the log, or a limit of what the export can know.
#[derive(Serialize)]
pub(super) struct Gap<'a> {
    pub(super) id: &'a str,
    pub(super) seen: &'a str,
}

/// A key that no login used.
#[derive(Serialize)]
pub(super) struct UnusedKey {
    at: String,
    user: Option<String>,
    fingerprint: String,
    push: ShownPush,
}

impl From<ShownKey> for UnusedKey {
    fn from(key: ShownKey) -> Self {
        let ShownKey { at, user, fingerprint, push } = key;
        Self { at, user, fingerprint, push }
    }
}

/// What an export covers.
#[derive(Serialize)]
pub(super) struct Coverage<'a> {
    pub(super) log: &'a super::super::report::Log,
    /// The time for which this export and the earlier ones with its state have every event.
    pub(super) covered_from: Option<&'a str>,
    pub(super) covered_to: &'a str,
    pub(super) complete: bool,
    /// Whether the export continues an earlier one.
    pub(super) continues: bool,
    pub(super) sessions: u64,
    pub(super) unused: u64,
    pub(super) refusals: u64,
    /// Sessions and keys whose last line comes with a later export.
    pub(super) waiting: u64,
    pub(super) all_logins: bool,
    pub(super) not_known: Option<&'a str>,
    pub(super) gaps: Vec<Gap<'a>>,
}

/// The claims of a push, for an id.
pub(super) fn claims(push: Option<&Push>) -> [String; 2] {
    let claim = push.map(Push::claim);
    let text = |value: Option<&String>| value.map_or_else(String::new, ToOwned::to_owned);
    [
        text(claim.and_then(|claim| claim.principal.as_ref())),
        text(claim.and_then(|claim| claim.request_id.as_ref())),
    ]
}
