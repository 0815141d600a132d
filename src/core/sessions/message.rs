//! Parsers for messages of sshd, PAM and the agent. They make all values printable and limit their length.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::{Accepted, Connection, Event, Grant, KeyName, KeyProvided, Push, PushClaim};
use super::writer::Attribution;
use crate::audit_line::{
    ALLOWED_BY, CHOSEN_INPUTS, FURTHER_REQUESTS, IDENT, MAX_FURTHER, MAX_OPTIONS, MAX_PRINCIPAL, NOT_WRAPPED,
    SESSION, UNSTAPLED, WITH_OPTIONS,
};
use crate::text::{MAX_SHOWN, cut, one_line, printable};

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
    if let Some(connection) = connection(message) {
        return Some(Event::Disconnected { pid, connection, uid: None, source: login });
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

/// Beginnings of sshd's last line about a connection with a login. `user USER ADDRESS port PORT` follows (OpenSSH,
/// packet.c, `sshpkt_fmt_connection_id`; serverloop.c, `client_alive_check`). If the connection ends before a login,
/// sshd writes `authenticating user` or `invalid user` instead, and `[preauth]` at the end. OpenSSH up to 7.5 leaves
/// out the user.
const ENDED: [&str; 6] = [
    "Connection closed by ",
    "Connection from ",
    "Connection reset by ",
    "Disconnected from ",
    "Disconnecting ",
    "Timeout, client not responding from ",
];

/// The connection that ended, if it can be one of a login.
fn connection(message: &str) -> Option<Connection> {
    let rest = ENDED.iter().find_map(|words| message.strip_prefix(words))?;
    let (rest, port) = rest.rsplit_once(" port ")?;
    let digits = port.find(|c: char| !c.is_ascii_digit()).unwrap_or(port.len());
    let (port, after) = port.split_at_checked(digits)?;
    // `Connection from ADDRESS port PORT on …` is the beginning of a connection (LogLevel VERBOSE).
    if !(after.is_empty() || after.starts_with(": ") || after == " timed out") || after.contains("[preauth]")
    {
        return None;
    }
    let (user, address) = match rest.rsplit_once(' ') {
        Some((who, address)) => (Some(who.strip_prefix("user ")?), address),
        None => (None, rest),
    };
    Some(Connection {
        user: user.map(|user| printable(user, MAX_USER)),
        address: address.to_owned(),
        port: port.parse().ok()?,
    })
}

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
    let message = repeated(message);
    OURS.iter().any(|words| message.starts_with(words))
}

const OURS: [&str; 3] = ["Accepted ", PAM, PROVIDING];

/// The message in `message repeated 2 times: [ MESSAGE]`, as rsyslog writes it with `RepeatedMsgReduction on`.
fn repeated(message: &str) -> &str {
    let rest = message.strip_prefix("message repeated ").and_then(|rest| rest.split_once(" times: ["));
    rest.map_or(message, |(_, inner)| inner.trim_start())
}

/// Whether a message of another program is a line of sshd or the agent, or contains one with its header. Programs that
/// forward the log of another machine or of a container write such messages.
#[must_use]
pub(crate) fn wraps_us(ident: &str, message: &str) -> bool {
    let is_whole = |message: &str| match of_sshd(0, message, Attribution::Text, Attribution::Text) {
        Some(Event::Accepted(..)) => message.contains(" ssh2"),
        Some(Event::Closed { .. } | Event::Opened { .. }) => true,
        _ => message.starts_with(PROVIDING),
    };
    let names_us = |before: &str| {
        let mut words = before.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        words.any(|word| matches!(word, "sshd" | "sshd-session" | "sshd-auth" | IDENT))
    };
    if is_whole(message) {
        return ident.contains("ssh") || names_us(ident);
    }
    OURS.iter().any(|words| {
        message.split_once(words).is_some_and(|(before, _)| {
            before.ends_with([' ', '"', '['])
                && names_us(before)
                && message.get(before.len()..).is_some_and(is_whole)
        })
    })
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
        let key = proof.strip_prefix(": ").map(signing_key);
        // A line that was cut off, or a new form of fingerprint: it is unknown whether the key was pushed.
        if method == "publickey" && key == Some(SigningKey::Unknown) {
            return None;
        }
        Some(Accepted {
            pid,
            user: printable(user, MAX_USER),
            method: method.to_owned(),
            address: address.to_owned(),
            port: port.parse().ok()?,
            key: key.and_then(SigningKey::plain),
        })
    })
}

/// The key that a login used.
#[derive(PartialEq, Eq)]
enum SigningKey {
    /// A plain key: `ED25519 SHA256:…`. Only plain keys can be pushed.
    Plain(KeyName),
    /// A certificate (`ED25519-CERT SHA256:… ID …`).
    Certificate,
    /// The text has another form.
    Unknown,
}

impl SigningKey {
    fn plain(self) -> Option<KeyName> {
        match self {
            Self::Plain(key) => Some(key),
            Self::Certificate | Self::Unknown => None,
        }
    }
}

fn signing_key(proof: &str) -> SigningKey {
    let mut words = proof.split(' ');
    let kind = words.next().unwrap_or_default();
    if kind.ends_with("-CERT") {
        return SigningKey::Certificate;
    }
    match (words.next().and_then(KeyName::parse), words.next()) {
        (Some(key), None) if !kind.is_empty() => SigningKey::Plain(key),
        _ => SigningKey::Unknown,
    }
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

/// Whether a message has the form of a session's wrapper. Any user can write such a message.
#[must_use]
pub(crate) fn is_session_claim(message: &str) -> bool {
    message.starts_with(SESSION)
}

/// `FINGERPRINT[, request-id: ID][, for IAM principal: ARN][; further request-ids: ID …][; without an OCSP staple for …]
/// [; session without the wrapper: …][; allowed by rule: RULE][; with options: OPTIONS]`. Older releases of the agent write
/// neither the ids of further requests nor the last three.
fn provided(text: &str, push: impl FnOnce(PushClaim) -> Push) -> Option<KeyProvided> {
    let split = |text, words| match str::split_once(text, words) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    };
    let (text, options) = split(text, WITH_OPTIONS);
    let (text, rule) = split(text, ALLOWED_BY);
    let (text, _) = split(text, NOT_WRAPPED);
    let (text, _) = split(text, UNSTAPLED);
    let (text, ids) = split(text, FURTHER_REQUESTS);
    let (text, principal) = split(text, ", for IAM principal: ");
    let (key, request_id) = split(text, ", request-id: ");
    let key = KeyName::parse(key)?;
    let push = push(claim(RawClaim { principal, request_id, rule, options }));
    Some(KeyProvided { sshd: None, user: None, key, push, further: further(ids) })
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

/// The ids of further requests in a line, in a form that is safe to show.
#[must_use]
pub(crate) fn further(ids: Option<&str>) -> Vec<String> {
    let ids = ids.unwrap_or_default().split(' ').filter(|id| !id.is_empty());
    ids.take(MAX_FURTHER).map(|id| cut(one_line(id), MAX_SHOWN)).collect()
}

/// The claims of a push as a line has them.
#[derive(Clone, Copy, Default)]
pub(crate) struct RawClaim<'t> {
    pub(crate) principal: Option<&'t str>,
    pub(crate) request_id: Option<&'t str>,
    pub(crate) rule: Option<&'t str>,
    pub(crate) options: Option<&'t str>,
}

/// The claims of a push, in a form that is safe to show.
#[must_use]
pub(crate) fn claim(raw: RawClaim<'_>) -> PushClaim {
    // The agent's text is already escaped, but a forged line may not be.
    let shown = |text: Option<&str>, limit| text.map(|text| cut(one_line(text), limit));
    PushClaim {
        principal: shown(raw.principal, MAX_PRINCIPAL),
        request_id: shown(raw.request_id, MAX_SHOWN),
        grant: raw.rule.or(raw.options).map(|_| {
            Box::new(Grant { rule: shown(raw.rule, MAX_SHOWN), options: shown(raw.options, MAX_OPTIONS) })
        }),
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
