//! The events about keys that a run prints.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::iter::Peekable;

use eic_core::audit_line::{
    ALLOWED_BY, FURTHER_REQUESTS, MAX_FURTHER, MAX_FURTHER_BYTES, MAX_LINE, MAX_OPTIONS, MAX_PRINCIPAL,
    NOT_WRAPPED, UNSTAPLED, WITH_OPTIONS,
};
use eic_core::decision::Pushes;
use eic_core::evidence::key_bundle::Claims;
use eic_core::identity::LoginName;
use eic_core::policy::PermittedKey;
use eic_core::text::{MAX_SHOWN, cut, one_line, printable};

use super::log::LogEvent;
use super::{claim_fields, event};

/// The events about the pushes of a key by one principal, the one with the id of the newest push first. There are several
/// if not all request ids have room in one event. At most one event is in memory.
pub(super) fn provided_events<'e>(
    pushes: &'e Pushes<'_>,
    unstapled: &'e [&str],
    user: &'e LoginName,
) -> impl Iterator<Item = LogEvent> + 'e {
    let id = |push: &'e PermittedKey| push.verified().claims().request_id.as_deref();
    let newest = id(pushes.newest());
    let mut known: HashSet<_> = newest.into_iter().collect();
    let older = pushes.all().filter_map(id).filter(move |id| !id.is_empty() && known.insert(id));
    let mut older = older.peekable();
    // If the newest push has no id, the first event has none. The id of another push would name the wrong request.
    let mut next = Some(newest);
    std::iter::from_fn(move || {
        let event = provided_event(pushes.newest(), next.take()?, &mut older, unstapled, user);
        next = older.next().map(Some);
        Some(event)
    })
}

/// An event with the request id `id`, and with as many of `older` as have room. All else is that of the newest push.
fn provided_event<'e>(
    newest: &PermittedKey,
    id: Option<&str>,
    older: &mut Peekable<impl Iterator<Item = &'e str>>,
    unstapled: &[&str],
    user: &LoginName,
) -> LogEvent {
    let key = newest.verified();
    let claims = Claims { request_id: id.map(str::to_owned), ..key.claims().clone() };
    let mut fields = claim_fields(&claims, true);
    let mut message =
        format!("Providing ssh key from EC2 Instance Connect with fingerprint: {}", key.key().fingerprint());
    if let Some(id) = id {
        let _ = write!(message, ", request-id: {}", word(id, MAX_SHOWN));
    }
    if let Some(arn) = &claims.principal {
        let _ = write!(message, ", for IAM principal: {}", word(arn, MAX_PRINCIPAL));
    }
    let mut end = String::new();
    if !unstapled.is_empty() {
        let _ = write!(end, "{UNSTAPLED}{}", unstapled.join(" and "));
    }
    fields.push(("EIC_EXPIRES", key.expires().to_string()));
    if let Some(why) = newest.not_wrapped() {
        let why = one_line(&why.to_string());
        let _ = write!(end, "{NOT_WRAPPED}{why}");
        fields.push(("EIC_NOT_WRAPPED", why));
    }
    if let Some(rule) = newest.rule() {
        let _ = write!(end, "{ALLOWED_BY}{rule}");
        fields.push(("EIC_RULE", rule.to_owned()));
    }
    let prefix = newest.prefix().trim_end();
    if !prefix.is_empty() {
        let options = cut(one_line(prefix), MAX_OPTIONS);
        let _ = write!(end, "{WITH_OPTIONS}{options}");
        fields.push(("EIC_OPTIONS", options));
    }
    let taken = message.len().saturating_add(FURTHER_REQUESTS.len()).saturating_add(end.len());
    let further = further_ids(older, MAX_LINE.saturating_sub(taken).min(MAX_FURTHER_BYTES));
    if !further.is_empty() {
        let _ = write!(message, "{FURTHER_REQUESTS}{further}");
        fields.push(("EIC_FURTHER_REQUEST_IDS", further));
    }
    message.push_str(&end);
    event("provided", user.as_str(), message, fields)
}

/// Takes as many ids as fit into `room` bytes, with a space between two.
fn further_ids<'e>(ids: &mut Peekable<impl Iterator<Item = &'e str>>, room: usize) -> String {
    let mut further = String::new();
    for _ in 0..MAX_FURTHER {
        let Some(id) = ids.peek().map(|id| word(id, MAX_SHOWN)) else { break };
        let space = if further.is_empty() { "" } else { " " };
        if further.len().saturating_add(space.len()).saturating_add(id.len()) > room {
            break;
        }
        further.push_str(space);
        further.push_str(&id);
        ids.next();
    }
    further
}

/// A value of a push as one word of the message, so that it cannot imitate a later part of the message.
fn word(text: &str, limit: usize) -> String {
    printable(text, limit).replace(' ', "\\x20")
}
