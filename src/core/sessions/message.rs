//! Parsers for messages of sshd, PAM and the agent. They make all values printable and limit their length.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use super::event::{Accepted, Event, KeyName, KeyProvided, Push, PushClaim};
use super::writer::Attribution;
use crate::audit_line::CHOSEN_INPUTS;
use crate::text::{MAX_SHOWN, one_line, printable};

/// Longest principal that is shown, in characters: the length of IAM's longest ARN.
const MAX_PRINCIPAL: usize = 2048;

/// Longest login name on Linux (`LOGIN_NAME_MAX`).
const MAX_USER: usize = 256;

/// Parses a message of sshd, or of PAM in sshd's process. `login` is the writer for lines of sshd, `session` for PAM's.
#[must_use]
pub(crate) fn of_sshd(pid: u32, message: &str, login: Attribution, session: Attribution) -> Option<Event> {
    if let Some(proof) = message.strip_prefix("Accepted ") {
        return accepted(pid, proof).map(|accepted| Event::Accepted(accepted, login));
    }
    if let Some(proof) = message.strip_prefix("Partial ") {
        return accepted(pid, proof).map(|accepted| Event::Partial(accepted, login));
    }
    if LEFT.iter().any(|words| message.starts_with(words)) {
        return Some(Event::Left { pid });
    }
    let said = message.strip_prefix(PAM)?;
    if said.starts_with("closed for user ") {
        return Some(Event::Closed { pid, source: session });
    }
    said.starts_with("opened for user ").then_some(Event::Opened { pid, source: session })
}

/// Beginnings of sshd's last line about a client that did not log in (OpenSSH, packet.c, `sshpkt_vfatal`;
/// sshd-session.c).
const LEFT: [&str; 9] = [
    "Connection closed by ",
    "Connection reset by ",
    "Disconnected from ",
    "Disconnecting ",
    "Received disconnect from ",
    "Timeout before authentication ",
    "Unable to negotiate ",
    "fatal: ",
    "ssh_dispatch_run_fatal: ",
];

const PAM: &str = "pam_unix(sshd:session): session ";
const PROVIDING: &str = "Providing ssh key from EC2 Instance Connect with fingerprint: ";

/// Whether a line of an unknown form contains words of a login, of its end, or of a pushed key.
#[must_use]
pub(crate) fn tells_of_us(line: &str) -> bool {
    let is_login = |(_, rest): (&str, &str)| rest.contains(" for ") && rest.contains(" port ");
    line.split_once("Accepted ").is_some_and(is_login) || line.contains(PAM) || line.contains(PROVIDING)
}

/// Whether a message begins like one about a login, its end, or a pushed key. Later parts of a message can come from
/// the client, such as a login name.
#[must_use]
pub(crate) fn begins_with_us(message: &str) -> bool {
    ["Accepted ", PAM, PROVIDING].iter().any(|words| message.starts_with(words))
}

/// `METHOD for USER from ADDRESS port PORT ssh2[: TYPE FINGERPRINT]` (OpenSSH, auth.c, `auth_log`).
fn accepted(pid: u32, login: &str) -> Option<Accepted> {
    let (method, rest) = login.split_once(" for ")?;
    let is_method = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'/' | b'_' | b'@' | b'.');
    if method.is_empty() || method.len() > 64 || !method.bytes().all(is_method) {
        return None;
    }
    // Names from a directory service can contain spaces.
    rest.match_indices(" from ").find_map(|(at, from)| {
        let user = rest.get(..at).filter(|user| !user.is_empty())?;
        let (address, place) = rest.get(at.checked_add(from.len())?..)?.split_once(" port ")?;
        let (port, proof) = place.split_once(" ssh2").unwrap_or((place, ""));
        let is_address = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b':' | b'%' | b'-' | b'_');
        if address.is_empty() || address.len() > 64 || !address.bytes().all(is_address) {
            return None;
        }
        Some(Accepted {
            pid,
            user: printable(user, MAX_USER),
            method: method.to_owned(),
            address: address.to_owned(),
            port: port.parse().ok()?,
            key: proof.strip_prefix(": ").and_then(plain_key),
        })
    })
}

/// The key in `ED25519 SHA256:…`. `None` for a certificate (`ED25519-CERT SHA256:… ID …`), because only plain keys can
/// be pushed.
fn plain_key(proof: &str) -> Option<KeyName> {
    let mut words = proof.split(' ');
    let kind = words.next().filter(|kind| !kind.ends_with("-CERT"))?;
    let key = words.next().and_then(KeyName::parse)?;
    (!kind.is_empty() && words.next().is_none()).then_some(key)
}

/// Parses a message of the agent from its text alone. A text log has no other fields.
#[must_use]
pub(crate) fn of_agent(message: &str, push: impl FnOnce(PushClaim) -> Push) -> Option<Event> {
    // Inputs from the command line are not part of the claims.
    let message = message.split_once(CHOSEN_INPUTS).map_or(message, |(message, _)| message);
    if let Some(key) = message.strip_prefix(PROVIDING) {
        return provided(key, push).map(Event::Provided);
    }
    if let Some(run) = message.strip_prefix("No ssh keys from EC2 Instance Connect for user ") {
        return refused(run);
    }
    let refusal = message.strip_prefix("Refusing ")?;
    if let Some(key) = refusal.strip_prefix("ssh key from EC2 Instance Connect for user ") {
        return refused(key);
    }
    let (count, user) = refusal.split_once(" more ssh keys from EC2 Instance Connect for user ")?;
    Some(Event::Refused {
        reason: None,
        user: Some(user_name(user)),
        push: None,
        count: count.parse().ok()?,
        source: Attribution::Text,
    })
}

/// `FINGERPRINT[, request-id: ID][, for IAM principal: ARN][; without an OCSP staple for …]`
fn provided(text: &str, push: impl FnOnce(PushClaim) -> Push) -> Option<KeyProvided> {
    let (text, _) = text.split_once("; without an OCSP staple for ").unwrap_or((text, ""));
    let (text, principal) = match text.split_once(", for IAM principal: ") {
        Some((text, principal)) => (text, Some(principal)),
        None => (text, None),
    };
    let (key, request_id) = match text.split_once(", request-id: ") {
        Some((key, id)) => (key, Some(id)),
        None => (text, None),
    };
    let key = KeyName::parse(key)?;
    Some(KeyProvided { sshd: None, user: None, key, push: push(claim(principal, request_id)) })
}

/// `USER: REASON: …`
fn refused(text: &str) -> Option<Event> {
    let (user, rest) = text.split_once(": ")?;
    let reason = reason_name(rest.split(':').next().unwrap_or_default())?;
    Some(Event::Refused {
        reason: Some(reason),
        user: Some(user_name(user)),
        push: None,
        count: 1,
        source: Attribution::Text,
    })
}

/// The claims of a push, in a form that is safe to show.
#[must_use]
pub(crate) fn claim(principal: Option<&str>, request_id: Option<&str>) -> PushClaim {
    // The agent's text is already escaped, but a forged line may not be.
    let shown = |text, limit| cut(one_line(text), limit);
    PushClaim {
        principal: principal.map(|arn| shown(arn, MAX_PRINCIPAL)),
        request_id: request_id.map(|id| shown(id, MAX_SHOWN)),
    }
}

/// Cuts printable ASCII text after `limit` characters.
fn cut(text: String, limit: usize) -> String {
    match text.get(..limit) {
        Some(head) if head.len() < text.len() => format!("{head}..."),
        _ => text,
    }
}

/// Makes a login name printable.
#[must_use]
pub fn user_name(text: &str) -> String {
    printable(text, MAX_USER)
}

/// Checks the form of a stable reason name. It may be from another release of the agent.
#[must_use]
pub(crate) fn reason_name(text: &str) -> Option<String> {
    let is_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    ((1..=64).contains(&text.len()) && text.bytes().all(is_name)).then(|| text.to_owned())
}
