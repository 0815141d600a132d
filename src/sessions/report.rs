//! What is shown of the answer. The shape of the JSON document is packaging/schema/sessions.schema.json.

use std::rc::Rc;

use serde::Serialize;

use super::event::{Moment, Push};
use super::found::{End, Found, Given, Joined, Session, Why};
use super::join::Kind;
use super::question::Question;
use super::warnings::warnings;
use crate::order;
use crate::policy::account_of;
use crate::time::Timestamp;

/// In the unit of a [`Moment`].
pub(super) const SECOND: u64 = 1_000_000;

/// The answer.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Fields are added, never changed in meaning, under the same number.
    pub schema_version: u32,
    /// The agent's.
    pub version: &'static str,
    /// By this machine's clock.
    pub at: String,
    /// What was asked.
    pub asked: Asked,
    /// What it was read from.
    pub log: Log,
    /// Whether all of it is here.
    pub complete: bool,
    /// Logins with pushed keys; with `--all`, every login.
    pub sessions: Vec<ShownSession>,
    /// Keys that were handed to sshd, and that nobody logged in with.
    pub unused: Vec<ShownKey>,
    /// Keys that were refused, and runs without a decision, by cause.
    pub refusals: Vec<ShownRefusal>,
    /// Logins by other means, by method.
    pub other_logins: Vec<Count>,
    /// Lines in the agent's or sshd's name that somebody else wrote.
    pub disbelieved: Vec<Liar>,
    /// What the log cannot answer, and what to do.
    pub warnings: Vec<Warning>,
}

/// What was asked.
#[derive(Debug, Serialize)]
pub struct Asked {
    /// `--since`
    pub since: Option<String>,
    /// `--until`
    pub until: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--principal`
    pub principal: Option<String>,
    /// `--open`
    pub open: bool,
    /// `--all`
    pub all: bool,
}

/// What was read.
#[derive(Debug, Default, Serialize)]
pub struct Log {
    /// `journal` or `text`.
    pub kind: &'static str,
    /// The files of text.
    pub files: Vec<String>,
    /// Where it begins.
    pub from: Option<String>,
    /// Where it ends.
    pub to: Option<String>,
    /// How many lines were read.
    pub lines: u64,
}

/// A login.
#[derive(Debug, Serialize)]
pub struct ShownSession {
    /// When sshd let the client in.
    pub start: String,
    /// When it ended.
    pub end: Option<String>,
    /// `open`, `closed` or `unknown`.
    pub state: &'static str,
    /// Why the end is unknown: `restart`, `pid-reused`, `process-gone`, `no-end`.
    pub why: Option<&'static str>,
    /// An unknown end was not later.
    pub ended_by: Option<String>,
    /// How long it lasted, or has lasted by now, in seconds.
    pub seconds: Option<u64>,
    /// Login name.
    pub user: String,
    /// How sshd was convinced.
    pub method: String,
    /// Where the client is.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The key.
    pub fingerprint: Option<String>,
    /// sshd's process.
    pub sshd_pid: u32,
    /// How the push is known: `pid-and-key`, `pid`, `key-and-time`.
    pub joined_by: Option<&'static str>,
    /// Who pushed the key. More than one where several pushed the same key.
    pub pushes: Vec<ShownPush>,
}

/// Who pushed a key. Only a [`Push`] makes one, and only the agent's word makes it verified.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ShownPush {
    principal: Option<String>,
    account: Option<String>,
    request_id: Option<String>,
    verified: bool,
}

impl From<&Push> for ShownPush {
    fn from(push: &Push) -> Self {
        let claim = push.claim();
        Self {
            account: claim.principal.as_deref().and_then(account_of).map(str::to_owned),
            principal: claim.principal.clone(),
            request_id: claim.request_id.clone(),
            verified: matches!(push, Push::Trusted(_)),
        }
    }
}

impl ShownPush {
    /// The IAM principal, beside which `unverified` must stand where it is.
    #[must_use]
    pub fn principal(&self) -> (Option<&str>, bool) {
        (self.principal.as_deref(), self.verified)
    }

    /// The account, as the principal's ARN has it.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The push's id in CloudTrail.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

/// A key that nobody used.
#[derive(Debug, Serialize)]
pub struct ShownKey {
    /// When sshd was given it first.
    pub at: String,
    /// Login name, where the log says it.
    pub user: Option<String>,
    /// The key.
    pub fingerprint: String,
    /// Who pushed it.
    #[serde(flatten)]
    pub push: ShownPush,
}

/// A cause of refusals.
#[derive(Debug, Serialize)]
pub struct ShownRefusal {
    /// The stable name; null where one line counts the rest of a flood.
    pub reason: Option<String>,
    /// How many the log tells of: sshd asks twice for a login, and each is refused twice.
    pub count: u64,
    /// The first.
    pub first: String,
    /// The last.
    pub last: String,
}

/// How many logins by one method.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// `publickey`, `password` …
    pub method: String,
    /// How many.
    pub count: u64,
}

/// Who wrote in another's name.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Liar {
    /// The user's id; null for all that are too many to be listed.
    pub uid: Option<u32>,
    /// How many lines.
    pub lines: u64,
}

/// What the log cannot answer.
#[derive(Debug, Serialize)]
pub struct Warning {
    /// Never changes its meaning.
    pub id: &'static str,
    /// What was seen.
    pub seen: String,
    /// What to do.
    pub fix: String,
}

impl Warning {
    /// A warning.
    pub fn new(id: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, seen: seen.into(), fix: fix.into() }
    }
}

/// An instant as it is shown.
pub(super) fn shown(at: Moment) -> String {
    Timestamp::from_unix(at.wall / SECOND).to_string()
}

impl Report {
    /// The answer. `now` is the instant that the question was put at.
    #[must_use]
    pub fn new(question: &Question, now: Timestamp, kind: Kind, found: Found, lines: u64) -> Self {
        let warnings = warnings(question, kind, &found);
        let Found { sessions, unused, refusals, tally, span } = found;
        let liar =
            |(uid, lines): (&u32, &u64)| Liar { uid: (*uid != u32::MAX).then_some(*uid), lines: *lines };
        let disbelieved = tally.disbelieved.iter().map(liar).collect();
        Self {
            schema_version: 1,
            version: env!("CARGO_PKG_VERSION"),
            at: now.to_string(),
            asked: Asked::of(question),
            log: Log {
                kind: if kind == Kind::Journal { "journal" } else { "text" },
                files: Vec::new(),
                from: span.map(|(first, _)| shown(first)),
                to: span.map(|(_, last)| shown(last)),
                lines,
            },
            complete: tally.left_out == 0,
            sessions: sessions.into_iter().map(|session| ShownSession::of(&session, now)).collect(),
            unused: unused.iter().map(ShownKey::of).collect(),
            refusals: refusals
                .into_iter()
                .map(|(reason, refusal)| ShownRefusal {
                    reason,
                    count: refusal.count,
                    first: shown(refusal.first),
                    last: shown(refusal.last),
                })
                .collect(),
            other_logins: tally
                .others
                .iter()
                .map(|(method, count)| Count { method: method.clone(), count: *count })
                .collect(),
            disbelieved: order::by_key(disbelieved, |liar: &Liar| (liar.uid.is_none(), liar.uid)),
            warnings,
        }
    }
}

impl Asked {
    fn of(question: &Question) -> Self {
        Self {
            since: question.since.map(|at| at.to_string()),
            until: question.until.map(|at| at.to_string()),
            user: question.user.clone(),
            principal: question.principal.as_ref().map(|glob| glob.as_str().to_owned()),
            open: question.open,
            all: question.all,
        }
    }
}

impl ShownSession {
    fn of(session: &Session, now: Timestamp) -> Self {
        let (state, end, why, ended_by) = match session.end {
            End::Open => ("open", None, None, None),
            End::Closed(end) => ("closed", Some(end), None, None),
            End::Unknown(why, not_after) => ("unknown", None, Some(why), not_after),
        };
        let so_far = || now.as_unix().checked_sub(session.start.wall / SECOND);
        let seconds = match (state, end) {
            ("open", _) => so_far(),
            (_, Some(end)) => session.start.until(end).map(|lasted| lasted / SECOND),
            _ => None,
        };
        Self {
            start: shown(session.start),
            end: end.map(shown),
            state,
            why: why.map(|why| match why {
                Why::Restart => "restart",
                Why::PidReused => "pid-reused",
                Why::ProcessGone => "process-gone",
                Why::NoEnd => "no-end",
            }),
            ended_by: ended_by.map(shown),
            seconds,
            user: session.login.user.clone(),
            method: session.login.method.clone(),
            address: session.login.address.clone(),
            port: session.login.port,
            fingerprint: session.login.key.as_ref().map(|key| key.as_str().to_owned()),
            sshd_pid: session.login.pid,
            joined_by: session.joined.map(|joined| match joined {
                Joined::Exactly => "pid-and-key",
                Joined::ByProcess => "pid",
                Joined::ByKey => "key-and-time",
            }),
            pushes: session.pushes.iter().map(Rc::as_ref).map(ShownPush::from).collect(),
        }
    }
}

impl ShownKey {
    fn of(given: &Given) -> Self {
        Self {
            at: shown(given.at),
            user: given.user.clone(),
            fingerprint: given.key.as_str().to_owned(),
            push: ShownPush::from(given.push.as_ref()),
        }
    }
}
