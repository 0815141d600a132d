//! Sessions, keys and refusals as they are shown.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::event::{Moment, Push};
use super::joined::{End, HandedOverKey, Joined, Session, Why};
use super::writer::Attribution;
use crate::policy::account_of;
use crate::time::Timestamp;

/// In the unit of a [`Moment`].
pub(super) const SECOND: u64 = 1_000_000;

/// An instant as it is shown.
pub(super) fn shown(at: Moment) -> String {
    Timestamp::from_unix(at.wall / SECOND).to_string()
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
    /// The authentication method.
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
    /// Whether the kernel's fields name sshd as the writer of the login's line; none for a text log.
    pub attributed: Option<bool>,
    /// The same of the line that says the end; none if no line says it.
    pub end_attributed: Option<bool>,
    /// Who pushed the key. More than one where several pushed the same key.
    pub pushes: Vec<ShownPush>,
}

/// Who pushed a key. Only a [`Push`] makes one, and only a line of the agent makes it verified; for a login, sshd's
/// line about it must be attested as well.
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
    /// The push of a login that `source` tells of.
    fn of_login(push: &Push, source: Attribution) -> Self {
        let shown = Self::from(push);
        Self { verified: shown.verified && matches!(source, Attribution::Attested(_)), ..shown }
    }

    /// The IAM principal, and whether it is verified. If it is not, show `unverified` with it.
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

/// A key that was not used.
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

/// A program that wrote as root in another's name.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct ShownProgram {
    /// Its path, as the kernel has it.
    pub program: String,
    /// How many lines.
    pub lines: u64,
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
pub struct UntrustedWriter {
    /// The user's id; null for all that are too many to be listed.
    pub uid: Option<u32>,
    /// How many lines.
    pub lines: u64,
}

const fn is_attributed(source: Attribution) -> Option<bool> {
    match source {
        Attribution::Attested(_) => Some(true),
        Attribution::Unattributed => Some(false),
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
