//! The events that lines of a log report.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::losses::LogGap;
use super::writer::{Attribution, TrustedPush};

pub use super::claim::{Grant, PushClaim};
pub use super::moment::Moment;

/// The claims of a push, trusted or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Push {
    /// The agent's user wrote the line, and the agent has verified the claims.
    Trusted(TrustedPush),
    /// The line is from a text log, so any user may have written it.
    Unverified(PushClaim),
}

impl Push {
    /// The claims, without the information whether they are trusted.
    #[must_use]
    pub(crate) const fn claim(&self) -> &PushClaim {
        match self {
            Self::Trusted(push) => push.claim(),
            Self::Unverified(claim) => claim,
        }
    }

    /// Another push that the same line names.
    fn of_request(self, id: String) -> Self {
        match self {
            Self::Trusted(push) => Self::Trusted(push.of_request(id)),
            Self::Unverified(claim) => Self::Unverified(PushClaim { request_id: Some(id), ..claim }),
        }
    }
}

/// The fingerprint of a key, `SHA256:…` or `MD5:…`, in a normalized form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// Parses a fingerprint as any release of sshd writes it: with or without padding, and for MD5 with or without the
    /// name of the hash. OpenSSH up to 6.7 wrote the MD5 pairs without it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(digest) = text.strip_prefix("SHA256:") {
            let digest = digest.trim_end_matches('=');
            let is_base64 = digest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
            return (digest.len() == 43 && is_base64).then(|| Self(format!("SHA256:{digest}")));
        }
        let pairs = text.strip_prefix("MD5:").unwrap_or(text);
        let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|b| b.is_ascii_hexdigit());
        let is_digest = pairs.len() == 47 && pairs.split(':').all(is_pair);
        is_digest.then(|| Self(format!("MD5:{}", pairs.to_ascii_lowercase())))
    }

    /// `SHA256:…` or `MD5:…`
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the two can be the same key. True for fingerprints by different hashes, which cannot be compared.
    #[must_use]
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        self == other || self.is_md5() != other.is_md5()
    }

    /// Whether the fingerprint is by MD5. The agent does not use MD5.
    #[must_use]
    pub(crate) fn is_md5(&self) -> bool {
        self.0.starts_with("MD5:")
    }
}

/// A key that the agent gave to sshd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProvided {
    /// The sshd process that ran the agent. `None` for a line without the agent's own fields.
    pub sshd: Option<u32>,
    /// The login name that sshd asked about.
    pub user: Option<String>,
    /// The key's fingerprint.
    pub key: KeyName,
    /// The push of the key.
    pub push: Push,
    /// The ids of further requests that the line names, printable. All else of these pushes is the same.
    pub further: Vec<String>,
}

impl KeyProvided {
    /// The key once for each request.
    pub(super) fn of_each_request(self) -> impl Iterator<Item = Self> {
        let Self { sshd, user, key, push, further } = self;
        let others: Vec<_> = further.into_iter().map(|id| push.clone().of_request(id)).collect();
        let pushes = core::iter::once(push).chain(others);
        pushes.map(move |push| Self { sshd, user: user.clone(), key: key.clone(), push, further: Vec::new() })
    }
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// sshd's process for this connection.
    pub pid: u32,
    /// Login name, printable.
    pub user: String,
    /// `publickey`, `password`, `keyboard-interactive/pam` …
    pub method: String,
    /// The client's address.
    pub address: String,
    /// The client's port.
    pub port: u16,
    /// The key's fingerprint. `None` if the login used no key, or a certificate.
    pub key: Option<KeyName>,
}

/// A connection that ended, as sshd names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Login name, printable. Releases of OpenSSH up to 7.5 do not name it.
    pub user: Option<String>,
    /// The client's address.
    pub address: String,
    /// The client's port.
    pub port: u16,
}

/// An event that a line reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent gave sshd a key.
    Provided(KeyProvided),
    /// The agent refused keys, or made no decision (`failed`).
    Refused {
        /// The stable name of the cause. `None` for a line that counts further refusals.
        reason: Option<String>,
        /// Login name.
        user: Option<String>,
        /// The push, if its claims were signed.
        push: Option<Push>,
        /// The number of keys: 1, or the count of further refusals.
        count: u64,
        /// The writer of the line.
        source: Attribution,
    },
    /// sshd accepted a login.
    Accepted(Accepted, Attribution),
    /// sshd accepted one proof and requires another (`AuthenticationMethods`).
    Partial(Accepted, Attribution),
    /// sshd dropped a client that had not logged in.
    Left {
        /// sshd's process.
        pid: u32,
    },
    /// A connection ended, perhaps after a login. After a login, sshd's process with the user's id writes this line.
    /// Another process, with another process id, accepted the login.
    Disconnected {
        /// sshd's process.
        pid: u32,
        /// The connection.
        connection: Connection,
        /// The id of the user that wrote the line. `None` in a text log.
        uid: Option<u32>,
        /// The writer of the line.
        source: Attribution,
    },
    /// PAM opened the session.
    Opened {
        /// sshd's process.
        pid: u32,
        /// The writer of the line.
        source: Attribution,
    },
    /// PAM closed the session.
    Closed {
        /// sshd's process.
        pid: u32,
        /// The writer of the line.
        source: Attribution,
    },
    /// logind removed a session of sshd or of another program.
    Removed {
        /// The process that had opened the session.
        pid: u32,
        /// The writer of the line.
        source: Attribution,
    },
    /// A line under the name of the agent, sshd or logind that another user or program wrote.
    Disbelieved {
        /// The id of the user that wrote the line.
        uid: u32,
        /// The path of the program, if it wrote as root.
        program: Option<String>,
    },
    /// A line of sshd or the agent that may be about a login or a key, but whose form is unknown.
    Unknown,
    /// The log reports that lines were lost.
    GapCount(LogGap),
}
