//! The parts of the report: sessions, keys and refusals in the form that is shown.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::event::{Grant, Moment, Push};
use super::joined::{End, HandedOverKey, Joined, Session, Why};
use super::writer::Attribution;
use crate::identity::account_of;
use crate::key_options::KeyOptions;
use crate::time::Timestamp;

/// One second in the unit of a [`Moment`].
pub(super) const SECOND: u64 = 1_000_000;

pub(super) fn shown(at: Moment) -> String {
    Timestamp::from_unix(at.wall / SECOND).to_string()
}

/// A login.
#[derive(Debug, Serialize)]
pub struct ShownSession {
    /// When sshd accepted the login.
    pub start: String,
    /// When the session ended, if known.
    pub end: Option<String>,
    /// `open`, `closed` or `unknown`.
    pub state: &'static str,
    /// Why the end is unknown: `restart`, `pid-reused`, `process-gone`, `no-end`.
    pub why: Option<&'static str>,
    /// The latest possible end, if the end is unknown.
    pub ended_by: Option<String>,
    /// The duration of the session in seconds. An open session lasts until now.
    pub seconds: Option<u64>,
    /// Login name.
    pub user: String,
    /// The authentication method.
    pub method: String,
    /// The client's address.
    pub address: String,
    /// The client's port.
    pub port: u16,
    /// The key's fingerprint.
    pub fingerprint: Option<String>,
    /// sshd's process id.
    pub sshd_pid: u32,
    /// How the key was matched with its push: `pid-and-key`, `pid`, `key-and-time`.
    pub joined_by: Option<&'static str>,
    /// Whether the kernel's fields name sshd as the writer of the login's line. `None` for a text log.
    pub attributed: Option<bool>,
    /// The same for the line that reports the end. `None` if there is no such line.
    pub end_attributed: Option<bool>,
    /// The pushes of the key. There are several if the key was pushed several times.
    pub pushes: Vec<ShownPush>,
}

/// The push of a key.
///
/// It is made only from a [`Push`]. It is verified only if the agent wrote the line about the key. For a login, sshd's
/// line about the login must be attested too.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ShownPush {
    principal: Option<String>,
    account: Option<String>,
    request_id: Option<String>,
    verified: bool,
    rule: Option<String>,
    options: Option<String>,
    recorder: Option<&'static str>,
}

impl From<&Push> for ShownPush {
    fn from(push: &Push) -> Self {
        let claim = push.claim();
        let Grant { rule, options } = claim.grant.as_deref().cloned().unwrap_or_default();
        Self {
            account: claim.principal.as_deref().and_then(account_of).map(str::to_owned),
            principal: claim.principal.clone(),
            request_id: claim.request_id.clone(),
            verified: matches!(push, Push::Trusted(_)),
            rule,
            recorder: options.as_deref().and_then(recorder),
            options,
        }
    }
}

/// Programs that record a session (tlog-rec-session(8), tlog-rec(8)).
const RECORDERS: [&str; 2] = ["tlog-rec-session", "tlog-rec"];

/// The recorder that `command` in these options starts, if it is the first word of the command, or the word after
/// `exec`. `None` if the options were cut.
fn recorder(options: &str) -> Option<&'static str> {
    let options = KeyOptions::parse(options).ok()?;
    let mut words = options.command()?.split_ascii_whitespace().skip_while(|word| *word == "exec");
    let program = words.next()?.rsplit('/').next()?;
    RECORDERS.into_iter().find(|recorder| *recorder == program)
}

impl ShownPush {
    /// The push of a login. `source` is the writer of the login's line.
    fn of_login(push: &Push, source: Attribution) -> Self {
        let shown = Self::from(push);
        Self { verified: shown.verified && matches!(source, Attribution::Attested(_)), ..shown }
    }

    /// The IAM principal, and whether it is verified. If it is not, show `unverified` with it.
    #[must_use]
    pub fn principal(&self) -> (Option<&str>, bool) {
        (self.principal.as_deref(), self.verified)
    }

    /// The account id in the principal's ARN.
    #[must_use]
    pub fn account(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// The id of the push request in CloudTrail.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// The rule that allowed the key.
    #[must_use]
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// The options on the key's line.
    #[must_use]
    pub fn options(&self) -> Option<&str> {
        self.options.as_deref()
    }

    /// The recorder that those options start.
    #[must_use]
    pub const fn recorder(&self) -> Option<&'static str> {
        self.recorder
    }
}

/// A key that no login used.
#[derive(Debug, Serialize)]
pub struct ShownKey {
    /// When the agent first gave the key to sshd.
    pub at: String,
    /// The login name, if the log contains it.
    pub user: Option<String>,
    /// The key's fingerprint.
    pub fingerprint: String,
    /// The push of the key.
    #[serde(flatten)]
    pub push: ShownPush,
}

/// The refusals with one cause.
#[derive(Debug, Serialize)]
pub struct ShownRefusal {
    /// The stable name of the cause. Null for a line that counts further refusals.
    pub reason: Option<String>,
    /// The number of refusals in the log. sshd asks twice for a login, so each refused key counts twice.
    pub count: u64,
    /// The instant of the first refusal.
    pub first: String,
    /// The instant of the last refusal.
    pub last: String,
}

/// A program that wrote as root in the name of another program.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ShownProgram {
    /// The program's path, as the kernel reports it.
    pub program: String,
    /// The number of lines.
    pub lines: u64,
}

/// The number of logins with one method.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Count {
    /// `publickey`, `password` …
    pub method: String,
    /// The number of logins.
    pub count: u64,
}

/// A user that wrote in the name of sshd, logind or the agent.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct UntrustedWriter {
    /// The user id. Null for all users beyond the limit of the list.
    pub uid: Option<u32>,
    /// The number of lines.
    pub lines: u64,
}

pub(super) const fn is_attributed(source: Attribution) -> Option<bool> {
    match source {
        Attribution::Attested(_) => Some(true),
        Attribution::Unattributed | Attribution::User => Some(false),
        Attribution::Text => None,
    }
}

impl ShownSession {
    pub(super) fn of(session: &Session, now: Timestamp) -> Self {
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
            attributed: is_attributed(session.source),
            end_attributed: session.end_source.and_then(is_attributed),
            pushes: session.pushes.iter().map(|push| ShownPush::of_login(push, session.source)).collect(),
        }
    }
}

impl ShownKey {
    pub(super) fn of(given: &HandedOverKey) -> Self {
        Self {
            at: shown(given.at),
            user: given.user.clone(),
            fingerprint: given.key.as_str().to_owned(),
            push: ShownPush::from(given.push.as_ref()),
        }
    }
}
