//! The result of one check: what was found, why it matters, and what to do.

use serde::Serialize;

/// The id of the check that runs the command which sshd is configured to run.
pub(super) const LIVE_RUN: &str = "answer";

/// The id of the check of sshd's authentication methods. Its warning says that a key is not enough.
pub(super) const PUBLIC_KEYS: &str = "public-keys";

/// The checks that decide whether a login with a pushed key works. If one of them was skipped, that is not known.
const DECISIVE: [&str; 23] = [
    "machine",
    "settings",
    "metadata",
    "instance",
    "clock",
    "region",
    "trust-store",
    "signer",
    "staples",
    "listener",
    "command",
    "command-user",
    "command-path",
    PUBLIC_KEYS,
    "auth-tries",
    "key-types",
    "revoked-keys",
    "access",
    "account",
    "shell",
    "selinux",
    LIVE_RUN,
    "pam",
];

/// The verdict of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CheckStatus {
    /// Nothing is wrong.
    Ok,
    /// Logins work, but something should be fixed.
    Warn,
    /// Must be fixed: logins with a pushed key fail, or because of this fault the check cannot tell whether they work.
    Fail,
    /// Not checked. [`Check::seen`] has the reason.
    Skipped,
}

/// A check and its result. `id` is an interface: it never changes its meaning.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) id: &'static str,
    pub(crate) verdict: CheckStatus,
    /// What was found, in one line.
    pub(crate) seen: String,
    /// Why the check matters.
    pub(crate) why: &'static str,
    /// What to do. `None` if nothing is wrong.
    pub(crate) fix: Option<String>,
    /// Checks whose failure can cause this one: see [`super::causes`].
    #[serde(skip)]
    pub(super) after: &'static [&'static str],
    /// Whether the check has a result, but a login may go either way. For example, it depends on the client's address.
    #[serde(skip)]
    pub(super) is_open: bool,
}

impl Check {
    const fn new(
        id: &'static str,
        verdict: CheckStatus,
        why: &'static str,
        seen: String,
        fix: Option<String>,
    ) -> Self {
        Self { id, verdict, seen, why, fix, after: &[], is_open: false }
    }

    pub(super) fn ok(id: &'static str, why: &'static str, seen: impl Into<String>) -> Self {
        Self::new(id, CheckStatus::Ok, why, seen.into(), None)
    }

    pub(super) fn skipped(id: &'static str, why: &'static str, seen: impl Into<String>) -> Self {
        Self::new(id, CheckStatus::Skipped, why, seen.into(), None)
    }

    pub(super) fn warn(
        id: &'static str,
        why: &'static str,
        seen: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(id, CheckStatus::Warn, why, seen.into(), Some(fix.into()))
    }

    pub(super) fn fail(
        id: &'static str,
        why: &'static str,
        seen: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self::new(id, CheckStatus::Fail, why, seen.into(), Some(fix.into()))
    }
}

impl Check {
    /// Declares checks whose failure can cause this one.
    pub(super) fn after(self, after: &'static [&'static str]) -> Self {
        Self { after, ..self }
    }

    /// Declares that this check cannot predict the login.
    pub(super) fn left_open(self) -> Self {
        Self { is_open: true, ..self }
    }

    /// Whether this check makes the outcome of the login unknown.
    pub(super) fn hides_the_outcome(&self) -> bool {
        let is_skipped = self.verdict == CheckStatus::Skipped && DECISIVE.contains(&self.id);
        self.is_open || is_skipped
    }

    /// Whether the check was skipped because it needs root. All such checks use these words.
    pub(super) fn wants_root(&self) -> bool {
        self.verdict == CheckStatus::Skipped && self.seen.contains("run with sudo")
    }
}
