//! What auditors and operators read: one event a line, to the journal or else to syslog.
//!
//! Everything in a line that came from outside is made printable first, and a line that cannot be sent at
//! once is lost: logging never keeps a login waiting.

mod journal;
mod syslog;

use std::fmt::Write as _;
use std::path::Path;

use crate::decision::{Refusal, RefusalError};
use crate::evidence::key_bundle::Claims;
use crate::identity::LoginName;
use crate::reason::Reason;
use crate::text::{MAX_SHOWN, printable};
use crate::verification::{KeyError, VerifiedKey};

/// The name that every event goes out under.
pub const IDENT: &str = "eic-agent";

/// Longest principal in a line, in characters: IAM's longest ARN.
const MAX_PRINCIPAL: usize = 2048;

/// Most refusals of one run that get a line each; one more line counts the rest.
const MAX_REFUSALS: usize = 100;

/// An event: its line, and the same again in fields for the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    message: String,
    fields: Vec<(&'static str, String)>,
}

/// Where events go.
#[derive(Debug)]
pub struct Audit {
    journal: Option<journal::Journal>,
    syslog: Option<syslog::Syslog>,
}

impl Audit {
    /// To the journal's own socket where it is there, else to `/dev/log`.
    #[must_use]
    pub fn to_system() -> Self {
        Self::at(Path::new("/run/systemd/journal/socket"), Path::new("/dev/log"))
    }

    /// To nowhere, for a run whose events would say more about its options than about this instance.
    #[must_use]
    pub const fn silent() -> Self {
        Self { journal: None, syslog: None }
    }

    fn at(journal: &Path, syslog: &Path) -> Self {
        Self { journal: Some(journal::Journal::at(journal)), syslog: Some(syslog::Syslog::at(syslog)) }
    }

    /// A key is handed over. The text is the one that auditors have matched with CloudTrail ever since EC2
    /// Instance Connect began; parts that the push did not have are left out.
    pub fn provided(&self, key: &VerifiedKey, user: &LoginName) {
        let claims = key.claims();
        let mut message = format!(
            "Providing ssh key from EC2 Instance Connect with fingerprint: {}",
            key.key().fingerprint()
        );
        let mut fields = claim_fields(claims);
        if let Some(id) = &claims.request_id {
            message.push_str(", request-id: ");
            message.push_str(&printable(id, MAX_SHOWN));
        }
        if let Some(arn) = &claims.principal {
            message.push_str(", for IAM principal: ");
            message.push_str(&printable(arn, MAX_PRINCIPAL));
        }
        fields.push(("EIC_EXPIRES", key.expires().to_string()));
        self.send(&Event::new("provided", user, message, fields));
    }

    /// Entries were refused; a flood of them is counted, not repeated.
    pub fn refused<'r>(&self, refusals: impl Iterator<Item = &'r Refusal>, user: &LoginName) {
        for event in refusal_events(refusals, user) {
            self.send(&event);
        }
    }

    /// The run came to no decision; no key is handed over.
    pub fn failed(&self, reason: Reason, detail: &str, user: &LoginName) {
        let message = format!(
            "No ssh keys from EC2 Instance Connect for user {user}: {reason}: {}",
            printable(detail, MAX_PRINCIPAL)
        );
        let fields = vec![("EIC_REASON", reason.as_str().to_owned())];
        self.send(&Event::new("failed", user, message, fields));
    }

    fn send(&self, event: &Event) {
        // Never twice: syslog is asked only when the journal did not take the event.
        let taken = self.journal.as_ref().is_some_and(|journal| journal.send(event));
        if let Some(syslog) = self.syslog.as_ref().filter(|_| !taken) {
            syslog.send(event);
        }
    }
}

impl Event {
    fn new(
        kind: &'static str,
        user: &LoginName,
        message: String,
        mut fields: Vec<(&'static str, String)>,
    ) -> Self {
        fields.push(("EIC_EVENT", kind.to_owned()));
        fields.push(("EIC_USER", user.to_string()));
        // The process that runs an AuthorizedKeysCommand is the one that logs `Accepted publickey`.
        fields.push(("EIC_SSHD_PID", std::os::unix::process::parent_id().to_string()));
        Self { message, fields }
    }

    fn refusal(refusal: &Refusal, user: &LoginName) -> Self {
        let reason = refusal.error.reason();
        // Below an instant or an instance that was proven wrong, the rest was proven right.
        let signed = matches!(
            refusal.error,
            RefusalError::Key(KeyError::WrongInstance { .. } | KeyError::Expired(..))
        );
        let claimed = if signed { "" } else { "claimed " };
        let mut message = format!(
            "Refusing ssh key from EC2 Instance Connect for user {user}: {reason}: {}",
            refusal.error
        );
        let Claims { fingerprint, request_id, principal, .. } = &refusal.claims;
        if let Some(fingerprint) = fingerprint {
            let _ = write!(message, "; fingerprint: {fingerprint}");
        }
        if let Some(id) = request_id {
            let _ = write!(message, "; {claimed}request-id: {}", printable(id, MAX_SHOWN));
        }
        if let Some(arn) = principal {
            let _ = write!(message, "; {claimed}IAM principal: {}", printable(arn, MAX_PRINCIPAL));
        }
        let mut fields = claim_fields(&refusal.claims);
        fields.push(("EIC_REASON", reason.as_str().to_owned()));
        Self::new("refused", user, message, fields)
    }
}

fn refusal_events<'r>(refusals: impl Iterator<Item = &'r Refusal>, user: &LoginName) -> Vec<Event> {
    let mut refusals = refusals;
    let mut events: Vec<_> =
        refusals.by_ref().take(MAX_REFUSALS).map(|refusal| Event::refusal(refusal, user)).collect();
    let rest = refusals.count();
    if rest > 0 {
        let message = format!("Refusing {rest} more ssh keys from EC2 Instance Connect for user {user}");
        events.push(Event::new("refused", user, message, Vec::new()));
    }
    events
}

fn claim_fields(claims: &Claims) -> Vec<(&'static str, String)> {
    let Claims { fingerprint, request_id, principal, .. } = claims;
    [
        ("EIC_FINGERPRINT", fingerprint.as_ref().map(ToString::to_string)),
        ("EIC_REQUEST_ID", request_id.as_ref().map(|id| printable(id, MAX_SHOWN))),
        ("EIC_PRINCIPAL", principal.as_ref().map(|arn| printable(arn, MAX_PRINCIPAL))),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| (name, value)))
    .collect()
}

#[cfg(test)]
mod tests;
