//! The report of `explain`, as text or as JSON.

use std::fmt;
use std::time::{Duration, Instant};

use eic_core::reason::Reason;
use eic_core::text::one_line;
use eic_login::Clock;
use serde::Serialize;

use super::chained::Chain;
use super::remembered::NextRun;
use crate::capture::{Fetched, milliseconds};
use crate::cli::ExplainArgs;
use crate::verify::{Key, VerifyReport};

/// The JSON document. Under the same `schema_version`, fields may be added, but no field changes its meaning.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    schema_version: u32,
    version: &'static str,
    at: String,
    user: String,
    sshd: Chain,
    /// The verification of signer and keys. `None` if nothing could be verified.
    judgement: Option<VerifyReport>,
    /// The parts of the signer's name that the settings pin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pins: Option<String>,
    /// What a run that starts now takes from its memory, and what it requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_run: Option<NextRun>,
    /// Whether no key is handed out because the settings require a log, and there is none.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    withheld: bool,
    /// Why sshd refuses every pushed key that it gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    /// Why sessions have no wrapper, although the settings ask for it. Reasons of one key are with the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sessions: Vec<String>,
    /// Why nothing could be verified.
    error: Option<String>,
    /// Number of lines of pushed keys that sshd would get.
    keys_given: usize,
    /// Number of lines from other providers that sshd would get.
    provider_lines: usize,
    times_ms: StepTimings,
}

/// The verification, and the settings that also decide whether keys are handed out.
pub(super) struct Evaluation {
    pub(super) report: VerifyReport,
    pub(super) next: NextRun,
    pub(super) pins: Option<String>,
    pub(super) withheld: bool,
    pub(super) refused: Option<String>,
    pub(super) sessions: Vec<String>,
}

/// Duration of each step, in milliseconds.
#[derive(Debug, Default, Serialize)]
pub(super) struct StepTimings {
    settings: f64,
    token: Option<f64>,
    /// Path and duration of every item of the metadata service. They are fetched concurrently.
    items: Vec<(String, f64)>,
    judgement: Option<f64>,
}

impl StepTimings {
    pub(super) fn of_settings<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let done = work();
        self.settings = milliseconds(started.elapsed());
        done
    }

    pub(super) fn fetched(&mut self, fetched: &Fetched) {
        self.token = Some(milliseconds(fetched.token));
        let items = fetched.capture.items.iter();
        self.items = items.map(|item| (item.path.clone(), item.took_ms)).collect();
    }

    pub(super) fn judgement(&mut self, took: Duration) {
        self.judgement = Some(milliseconds(took));
    }
}

impl Document {
    pub(super) fn new(
        arguments: &ExplainArgs,
        clock: Clock,
        own: Result<Evaluation, String>,
        sshd: Chain,
        times_ms: StepTimings,
    ) -> Self {
        let (judgement, next_run, pins, withheld, refused, sessions, error) = match own {
            Ok(Evaluation { report, next, pins, withheld, refused, sessions }) => {
                (Some(report), Some(next), pins, withheld, refused, sessions, None)
            }
            Err(why) => (None, None, None, false, None, Vec::new(), Some(why)),
        };
        let lines = judgement.as_ref().map_or(0, |report| report.lines);
        Self {
            schema_version: 1,
            version: env!("CARGO_PKG_VERSION"),
            at: clock.now().to_string(),
            user: arguments.user.to_string(),
            keys_given: if sshd.asks && !withheld { lines } else { 0 },
            provider_lines: sshd.providers.iter().map(|provider| provider.lines).sum(),
            sshd,
            judgement,
            pins,
            next_run,
            withheld,
            refused,
            sessions,
            error,
            times_ms,
        }
    }

    pub(super) const fn gives_any(&self) -> bool {
        (self.keys_given > 0 && self.refused.is_none()) || self.provider_lines > 0
    }

    fn next_run(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(NextRun { memory, requests, differs }) = &self.next_run else { return Ok(()) };
        row(f, "memory", memory)?;
        if !requests.is_empty() {
            row(f, "next run", &format!("requests {}", requests.join(", ")))?;
        }
        differs.as_ref().map_or(Ok(()), |differs| row(f, "note", differs))
    }

    fn signer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(error) = &self.error {
            return row(f, "pushed keys", error);
        }
        let Some(report) = &self.judgement else { return Ok(()) };
        if let Some(pins) = &self.pins {
            row(f, "pinned", pins)?;
        }
        let signer = &report.signer;
        match (&signer.reason, &signer.detail) {
            (Some(reason), Some(detail)) => row(f, "signer", &format!("refused: {reason}: {detail}"))?,
            _ => row(f, "signer", &format!("trusted: {}, {} certificates", signer.name, signer.path.len()))?,
        }
        if signer.trusted && report.keys.is_empty() {
            row(f, "key", "no key is pushed for this user now; a pushed key expires after 60 s")?;
        }
        report.keys.iter().try_for_each(|key| show(key, f))?;
        if self.withheld {
            row(
                f,
                "withheld",
                &format!("{}: [audit] required is set, and no log accepts lines", Reason::AuditUnavailable),
            )?;
        }
        self.refused.iter().try_for_each(|why| row(f, "refused", why))
    }
}

/// Prints a key, its verdict, and the fields of its entry.
fn show(key: &Key, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let fingerprint = key.fingerprint.as_deref().unwrap_or("(unreadable)");
    row(f, "key", &format!("{fingerprint} {}", key.algorithm.as_deref().unwrap_or_default()))?;
    let verdict = match (key.verdict, key.reason, &key.detail, key.seconds_left) {
        (verdict, Some(reason), Some(detail), _) => format!("{verdict}: {reason}: {detail}"),
        ("not-offered", ..) => "valid, but not the requested key".to_owned(),
        (verdict, _, _, Some(left)) => format!("{verdict}, {left} s left"),
        (verdict, ..) => verdict.to_owned(),
    };
    row(f, "  verdict", &verdict)?;
    for (name, value) in [("principal", &key.principal), ("request-id", &key.request_id)] {
        if let Some(value) = value {
            let value = if key.is_claimed { format!("{value} (claimed)") } else { value.clone() };
            row(f, &format!("  {name}"), &value)?;
        }
    }
    if key.shares_line {
        row(f, "  line", "that of another push of this key")?;
    }
    if let Some(session) = &key.session {
        row(f, "  session", session)?;
    }
    match &key.rule {
        Some(rule) => row(f, "  rule", &format!("allowed by the rule \"{rule}\"")),
        None if key.verdict == "accepted" => row(f, "  rule", "no rule matched: allowed"),
        None => Ok(()),
    }?;
    key.options.as_ref().map_or(Ok(()), |options| row(f, "  options", options))
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = match (&self.sshd.command, &self.sshd.user) {
            (Some(command), Some(user)) => format!("{command} (as {user})"),
            (Some(command), None) => command.clone(),
            (None, _) => "unknown".to_owned(),
        };
        row(f, "sshd runs", &runs)?;
        if let Some(note) = &self.sshd.note {
            row(f, "note", note)?;
        }
        self.sessions.iter().try_for_each(|note| row(f, "sessions", note))?;
        self.signer(f)?;
        for provider in &self.sshd.providers {
            let what = match (provider.reason, &provider.detail) {
                (Some(reason), Some(detail)) => format!("{reason}: {detail}"),
                _ => counted(provider.lines, "line"),
            };
            row(f, "provider", &format!("{}: {what}, {} ms", provider.program, provider.took_ms))?;
            provider.printed.iter().try_for_each(|line| row(f, "  printed", line))?;
        }
        self.next_run(f)?;
        let times = &self.times_ms;
        let slowest = times.items.iter().max_by(|one, other| one.1.total_cmp(&other.1));
        let mut shown = vec![format!("settings {} ms", times.settings)];
        shown.extend(times.token.map(|took| format!("token {took} ms")));
        shown.extend(slowest.map(|(path, took)| {
            format!("{} items in parallel, the slowest {took} ms ({path})", times.items.len())
        }));
        shown.extend(times.judgement.map(|took| format!("verification {took} ms")));
        row(f, "times", &shown.join(", "))?;
        let user = one_line(&self.user);
        match (self.sshd.asks, self.sshd.known) {
            (true, _) => {}
            (false, true) => return writeln!(f, "\nsshd would get no pushed key for {user}: see the note."),
            (false, false) => {
                return writeln!(f, "\nIt is not known what sshd would get for {user}: see the note.");
            }
        }
        let refused = if self.refused.is_some() { ", and would refuse every pushed key" } else { "" };
        writeln!(
            f,
            "\nsshd would get {} and {} of other providers for {user}{refused}.",
            counted(self.keys_given, "pushed key"),
            counted(self.provider_lines, "line"),
        )
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: &str) -> fmt::Result {
    writeln!(f, "{name:<13}{}", one_line(value.trim_end()))
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}"),
        1 => format!("1 {what}"),
        more => format!("{more} {what}s"),
    }
}
