//! The report of `verify`, as text or as JSON.

use std::collections::HashMap;
use std::io::{self, Write};

use eic_core::decision::{Decision, KeyLine, Pushes, Verdict};
use eic_core::evidence::chain;
use eic_core::evidence::key_bundle::Claims;
use eic_core::policy::PermittedKey;
use eic_core::text::{MAX_SHOWN, printable};
use eic_core::time::Timestamp;
use eic_core::verification::{PathCertificate, VerifiedKey};
use eic_host::stdout::write_once;
use serde::Serialize;

use super::Unproven;

/// The JSON document. Under the same `schema_version`, fields may be added, but no field changes its meaning.
#[derive(Debug, Serialize)]
pub(crate) struct VerifyReport {
    pub(crate) schema_version: u32,
    pub(crate) at: String,
    pub(crate) signer: Signer,
    pub(crate) keys: Vec<Key>,
    /// The number of lines for sshd.
    #[serde(skip)]
    pub(crate) lines: usize,
    /// Whether the input was redacted. If so, no key's signature is valid.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) redacted: bool,
    /// The claims of the capture, if the input is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) capture: Option<Claimed>,
}

/// The instant and the instance that a capture claims. These claims are not signed.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Claimed {
    pub(crate) taken_at: String,
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Signer {
    pub(crate) name: String,
    pub(crate) trusted: bool,
    pub(crate) reason: Option<&'static str>,
    pub(crate) detail: Option<String>,
    pub(crate) path: Vec<ShownCertificate>,
    pub(crate) anchor: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ShownCertificate {
    pub(crate) subject: String,
    pub(crate) serial: String,
    pub(crate) not_before: String,
    pub(crate) not_after: String,
    /// `None` if the signer was refused, or the settings allow a missing staple.
    pub(crate) staple: Option<Staple>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Staple {
    pub(crate) status: &'static str,
    pub(crate) produced_at: String,
    pub(crate) this_update: String,
    pub(crate) next_update: String,
    pub(crate) responder: String,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Key {
    pub(crate) verdict: &'static str,
    pub(crate) reason: Option<&'static str>,
    pub(crate) detail: Option<String>,
    pub(crate) fingerprint: Option<String>,
    pub(crate) algorithm: Option<String>,
    pub(crate) expires: Option<String>,
    /// Seconds from the instant of the verification to the expiry of a proven key.
    pub(crate) seconds_left: Option<u64>,
    /// The rule in the settings that allows the key. `None` if no rule matched.
    pub(crate) rule: Option<String>,
    /// The options before the key on the line for sshd. `None` if there are none.
    pub(crate) options: Option<String>,
    pub(crate) instance: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) principal: Option<String>,
    /// Whether the values of a refused entry are not proven.
    #[serde(skip)]
    pub(crate) is_claimed: bool,
    /// The line for sshd. Set only for an accepted key.
    #[serde(rename = "authorized_key")]
    pub(crate) line: Option<String>,
    /// Whether the line for sshd is that of another push of the key, which has its options.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) shares_line: bool,
    /// Whether sessions with the key have the wrapper of `[keys] session`. Set only if the settings ask for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
}

impl VerifyReport {
    pub(crate) fn new(name: &str, judged: &Result<Decision, Unproven>, at: Timestamp) -> Self {
        let mut signer = Signer {
            name: name.to_owned(),
            trusted: judged.is_ok(),
            reason: None,
            detail: None,
            path: Vec::new(),
            anchor: None,
        };
        let (mut keys, mut lines) = (Vec::new(), 0);
        match judged {
            Ok(decision) => {
                signer.path = decision.signer().path().iter().map(ShownCertificate::vouched).collect();
                signer.anchor = Some(decision.signer().anchor().to_owned());
                let key_lines = decision.key_lines();
                lines = key_lines.len();
                let decisive = decisive(&key_lines);
                let of = |verdict| Key::of(verdict, &decisive, at);
                keys = decision.verdicts().iter().map(of).collect();
            }
            Err(unproven) => {
                signer.reason = Some(unproven.reason.as_str());
                signer.detail = Some(unproven.why.clone());
                signer.path =
                    unproven.path.iter().map(|certificate| ShownCertificate::of(certificate, None)).collect();
            }
        }
        Self { schema_version: 1, at: at.to_string(), signer, keys, lines, redacted: false, capture: None }
    }

    pub(super) fn of_capture(mut self, redacted: bool, claimed: Option<Claimed>) -> Self {
        self.redacted = redacted;
        self.capture = claimed;
        self
    }

    pub(super) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        write_once(text.as_bytes(), out)
    }

    pub(crate) fn write_text(&self, notes: &mut impl Write) -> io::Result<()> {
        if let Some(Claimed { taken_at, instance }) = &self.capture {
            let instance = instance.as_deref().unwrap_or("an unnamed machine");
            writeln!(
                notes,
                "the capture claims that it was taken {taken_at} on {instance}; no rules and no settings of any machine apply"
            )?;
        }
        if self.redacted {
            writeln!(notes, "this capture was redacted: its signatures are invalid, it is for reading only")?;
        }
        let Signer { name, reason, detail, path, anchor, .. } = &self.signer;
        match (reason, detail) {
            (Some(reason), Some(detail)) => writeln!(notes, "signer {name}: refused: {reason}: {detail}")?,
            _ => writeln!(notes, "signer {name}: trusted at {}", self.at)?,
        }
        for ShownCertificate { subject, not_before, not_after, staple, .. } in path {
            writeln!(notes, "  {subject}")?;
            writeln!(notes, "    valid {not_before} to {not_after}")?;
            if let Some(Staple { status, this_update, next_update, responder, .. }) = staple {
                writeln!(notes, "    staple {status}, {this_update} to {next_update}, signed {responder}")?;
            }
        }
        if let Some(anchor) = anchor {
            writeln!(notes, "  {anchor}\n    trust anchor")?;
        }
        for key in &self.keys {
            key.write_text(notes)?;
        }
        if self.signer.trusted && self.keys.is_empty() {
            writeln!(notes, "no key in the bundle")?;
        }
        Ok(())
    }
}

impl ShownCertificate {
    fn vouched(step: &PathCertificate) -> Self {
        let staple = step.staple.as_ref().map(|staple| Staple {
            status: "good",
            produced_at: staple.produced_at.to_string(),
            this_update: staple.this_update.to_string(),
            next_update: staple.next_update.to_string(),
            responder: staple.responder.to_string(),
        });
        Self::of(&step.certificate, staple)
    }

    fn of(certificate: &chain::Certificate, staple: Option<Staple>) -> Self {
        let (not_before, not_after) = certificate.validity();
        Self {
            subject: certificate.subject().to_owned(),
            serial: certificate.serial().to_owned(),
            not_before: not_before.to_string(),
            not_after: not_after.to_string(),
            staple,
        }
    }
}

/// For each push, the one whose options the line has. The pushes are found by their address.
type Decisive<'d> = HashMap<*const PermittedKey, &'d PermittedKey>;

fn decisive<'d>(lines: &[KeyLine<'d>]) -> Decisive<'d> {
    let of_line = |line: &KeyLine<'d>| {
        let pushes = line.pushes().flat_map(Pushes::all).map(std::ptr::from_ref);
        pushes.map(|push| (push, line.decisive())).collect::<Vec<_>>()
    };
    lines.iter().flat_map(of_line).collect()
}

impl Key {
    fn of(verdict: &Verdict, decisive: &Decisive<'_>, at: Timestamp) -> Self {
        match verdict {
            Verdict::Accepted(permitted) => {
                let key = permitted.verified();
                let rule = permitted.rule().map(str::to_owned);
                let line = decisive.get(&std::ptr::from_ref(permitted)).copied().unwrap_or(permitted);
                let options = Some(line.prefix().trim_end()).filter(|options| !options.is_empty());
                let session = match line.not_wrapped() {
                    Some(why) => Some(format!("without the wrapper: {why}")),
                    None => line.is_wrapped().then(|| "wrapper".to_owned()),
                };
                Self {
                    verdict: "accepted",
                    rule,
                    options: options.map(str::to_owned),
                    line: Some(key.key().to_string()),
                    shares_line: !std::ptr::eq(line, permitted),
                    session,
                    ..Self::proven(key, at)
                }
            }
            Verdict::NotOffered(key) => Self { verdict: "not-offered", ..Self::proven(key, at) },
            Verdict::Refused(refusal) => Self {
                verdict: "refused",
                reason: Some(refusal.error.reason().as_str()),
                detail: Some(refusal.error.to_string()),
                is_claimed: !refusal.error.is_of_signed_entry(),
                ..Self::claiming(&refusal.claims)
            },
        }
    }

    fn proven(key: &VerifiedKey, at: Timestamp) -> Self {
        Self {
            seconds_left: Some(at.seconds_until(key.expires())),
            algorithm: Some(key.key().algorithm().to_owned()),
            expires: Some(key.expires().to_string()),
            ..Self::claiming(key.claims())
        }
    }

    fn claiming(claims: &Claims) -> Self {
        let shown = |text: &String| printable(text, MAX_SHOWN);
        Self {
            fingerprint: claims.fingerprint.as_ref().map(ToString::to_string),
            instance: claims.instance.as_ref().map(shown),
            request_id: claims.request_id.as_ref().map(shown),
            principal: claims.principal.as_ref().map(shown),
            ..Self::default()
        }
    }

    fn write_text(&self, notes: &mut impl Write) -> io::Result<()> {
        write!(notes, "key {}: {}", self.fingerprint.as_deref().unwrap_or("(unreadable)"), self.verdict)?;
        if let (Some(reason), Some(detail)) = (self.reason, &self.detail) {
            write!(notes, ": {reason}: {detail}")?;
        }
        if let Some(expires) = &self.expires {
            write!(notes, ", until {expires}")?;
        }
        if let Some(rule) = &self.rule {
            write!(notes, ", allowed by the rule \"{rule}\"")?;
        }
        if let Some(id) = &self.request_id {
            write!(notes, ", request-id {id}")?;
        }
        if let Some(principal) = &self.principal {
            write!(notes, ", IAM principal {principal}")?;
        }
        writeln!(notes)
    }
}
