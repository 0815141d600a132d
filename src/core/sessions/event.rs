//! What a line of a log tells.

use alloc::format;
use alloc::string::String;

use super::losses::LogGap;
use super::writer::{Attribution, TrustedPush};

pub use super::claim::PushClaim;
pub use super::moment::Moment;

/// Who pushed a key, and whose word that is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Push {
    /// The agent's, which had it from the service's signer.
    Trusted(TrustedPush),
    /// That of a line in a text log, where anybody can write one.
    Unverified(PushClaim),
}

impl Push {
    /// What is said, by whomever.
    #[must_use]
    pub(crate) const fn claim(&self) -> &PushClaim {
        match self {
            Self::Trusted(push) => push.claim(),
            Self::Unverified(claim) => claim,
        }
    }
}

/// The name of a key, `SHA256:…` or `MD5:…`, in one form of each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyName(String);

impl KeyName {
    /// A fingerprint as sshd writes it in one of its releases: with or without padding, with or without the name of
    /// the hash before MD5's pairs, which were alone up to OpenSSH 6.7.
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

    /// Whether the two can be the same key: names by different hashes cannot be compared.
    #[must_use]
    pub(crate) fn may_be(&self, other: &Self) -> bool {
        self == other || self.is_md5() != other.is_md5()
    }

    /// Whether it is by the older hash, which the agent does not use.
    #[must_use]
    pub(crate) fn is_md5(&self) -> bool {
        self.0.starts_with("MD5:")
    }
}

/// A key that sshd was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyProvided {
    /// The process that asked, where the agent's own fields say it.
    pub sshd: Option<u32>,
    /// Login name that it was asked for.
    pub user: Option<String>,
    /// The key.
    pub key: KeyName,
    /// Who pushed it.
    pub push: Push,
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
    /// Where the client is.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The key, where it was one; none of a certificate.
    pub key: Option<KeyName>,
}

/// What a line tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent gave sshd a key.
    Provided(KeyProvided),
    /// The agent refused keys, or (`failed`) came to no decision.
    Refused {
        /// The stable name of the cause; none where one line counts the rest of a flood.
        reason: Option<String>,
        /// Login name.
        user: Option<String>,
        /// Who pushed the key, where that was signed.
        push: Option<Push>,
        /// How many keys; 1, or the count of that line.
        count: u64,
        /// Whose word that is.
        source: Attribution,
    },
    /// sshd let somebody in.
    Accepted(Accepted, Attribution),
    /// sshd wants another proof after this one (`AuthenticationMethods`).
    Partial(Accepted, Attribution),
    /// sshd is done with a client that it has not let in.
    Left {
        /// sshd's process.
        pid: u32,
    },
    /// PAM opened the session.
    Opened {
        /// sshd's process.
        pid: u32,
        /// Whose word that is.
        source: Attribution,
    },
    /// PAM closed it.
    Closed {
        /// sshd's process.
        pid: u32,
        /// Whose word that is.
        source: Attribution,
    },
    /// logind removed a session, sshd's or another program's.
    Removed {
        /// The process that had opened it.
        pid: u32,
        /// Whose word that is.
        source: Attribution,
    },
    /// A line under the name of the agent, sshd or logind that another user or program wrote.
    Disbelieved {
        /// The user.
        uid: u32,
        /// The program, if it wrote as root.
        program: Option<String>,
    },
    /// The log says that lines are missing in it.
    GapCount(LogGap),
}
