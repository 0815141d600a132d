//! The events about keys that a run prints.

use std::collections::HashSet;
use std::fmt::Write as _;

use eic_core::audit_line::{
    ALLOWED_BY, FURTHER_REQUESTS, MAX_FURTHER, MAX_FURTHER_BYTES, MAX_OPTIONS, MAX_PRINCIPAL, NOT_WRAPPED,
    UNSTAPLED, WITH_OPTIONS,
};
use eic_core::decision::Pushes;
use eic_core::evidence::key_bundle::Claims;
use eic_core::identity::LoginName;
use eic_core::text::{MAX_SHOWN, cut, one_line, printable};

use super::log::LogEvent;
use super::{claim_fields, event};

/// The events about the pushes of a key by one principal. There are several if their request ids are too long for
/// one event.
pub(super) fn provided_events(pushes: &Pushes<'_>, unstapled: &[&str], user: &LoginName) -> Vec<LogEvent> {
    let mut known = HashSet::new();
    let ids = pushes.all().filter_map(|push| push.verified().claims().request_id.as_deref());
    let mut ids = ids.filter(|id| known.insert(*id)).peekable();
    let mut events = Vec::new();
    loop {
        let first = ids.next();
        let (mut further, mut room) = (String::new(), 1..=MAX_FURTHER);
        while let Some(id) = ids.peek().map(|id| word(id, MAX_SHOWN)) {
            let length = further.len().saturating_add(id.len()).saturating_add(1);
            if length > MAX_FURTHER_BYTES || room.next().is_none() {
                break;
            }
            if !further.is_empty() {
                further.push(' ');
            }
            further.push_str(&id);
            ids.next();
        }
        events.push(provided_event(pushes, (first, &further), unstapled, user));
        if ids.peek().is_none() {
            return events;
        }
    }
}

/// An event with some request ids of these pushes. All else is that of the newest push.
fn provided_event(
    pushes: &Pushes<'_>,
    (id, further): (Option<&str>, &str),
    unstapled: &[&str],
    user: &LoginName,
) -> LogEvent {
    let permitted = pushes.newest();
    let key = permitted.verified();
    let claims = Claims { request_id: id.map(str::to_owned), ..key.claims().clone() };
    let mut message =
        format!("Providing ssh key from EC2 Instance Connect with fingerprint: {}", key.key().fingerprint());
    if let Some(id) = id {
        let _ = write!(message, ", request-id: {}", word(id, MAX_SHOWN));
    }
    if let Some(arn) = &claims.principal {
        let _ = write!(message, ", for IAM principal: {}", word(arn, MAX_PRINCIPAL));
    }
    let mut fields = claim_fields(&claims, true);
    if !further.is_empty() {
        let _ = write!(message, "{FURTHER_REQUESTS}{further}");
        fields.push(("EIC_FURTHER_REQUEST_IDS", further.to_owned()));
    }
    if !unstapled.is_empty() {
        let _ = write!(message, "{UNSTAPLED}{}", unstapled.join(" and "));
    }
    fields.push(("EIC_EXPIRES", key.expires().to_string()));
    if let Some(why) = permitted.not_wrapped() {
        let why = one_line(&why.to_string());
        let _ = write!(message, "{NOT_WRAPPED}{why}");
        fields.push(("EIC_NOT_WRAPPED", why));
    }
    if let Some(rule) = permitted.rule() {
        let _ = write!(message, "{ALLOWED_BY}{rule}");
        fields.push(("EIC_RULE", rule.to_owned()));
    }
    let prefix = permitted.prefix().trim_end();
    if !prefix.is_empty() {
        let options = cut(one_line(prefix), MAX_OPTIONS);
        let _ = write!(message, "{WITH_OPTIONS}{options}");
        fields.push(("EIC_OPTIONS", options));
    }
    event("provided", user.as_str(), message, fields)
}

/// A value of a push as one word of the message, so that it cannot imitate a later part of the message.
fn word(text: &str, limit: usize) -> String {
    printable(text, limit).replace(' ', "\\x20")
}
