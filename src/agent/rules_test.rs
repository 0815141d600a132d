//! `rules test`: which rule decides about a push, and the line that sshd would get. It needs no key and no network.

use std::fmt;
use std::io::Write;

use eic_core::key_options::{Release, Values};
use eic_core::policy::{Denied, Glob, KEY_LIFETIME, Permission, Subject};
use eic_core::reason::Reason;
use eic_core::text::{MAX_SHOWN, one_line, printable};
use eic_core::time::Timestamp;
use eic_host::sshd::release::too_old;
use eic_host::stdout::write_once;
use eic_login::config::{CommandLine, Origin, SessionForm, Settings};
use eic_login::privileges::give_up_root;
use serde::Serialize;

use crate::cli::RulesArgs;
use crate::config::rules::{check_key_type, check_principal, words_of_replaced};
use crate::layout::{fit_for_terminal, json};
use crate::outcome::Outcome;
use crate::settings;

/// The place of the key on the line.
const KEY: &str = "KEY";

pub(super) fn run(
    arguments: &RulesArgs,
    now: Timestamp,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    let given = CommandLine { config: arguments.config.clone(), ..CommandLine::default() };
    let settings = match settings::resolve(&given) {
        Ok(settings) => settings,
        Err(error) => {
            for line in error.lines() {
                let _ = writeln!(notes, "eic-agent: {}: {}", error.reason(), one_line(&line));
            }
            return Outcome::Undecided;
        }
    };
    // A run reads the data of time zones without root's rights.
    let _ = give_up_root();
    let report = Report::of(arguments, &settings, arguments.at.unwrap_or(now));
    let text = if arguments.json { json(&report) } else { fit_for_terminal(&report.to_string()) };
    match write_once(text.as_bytes(), out) {
        Ok(()) if report.line.is_some() => Outcome::Done,
        _ => Outcome::Undecided,
    }
}

/// The answer. Under the same `schema_version`, fields may be added, but no field changes its meaning.
#[derive(Debug, Serialize)]
struct Report {
    schema_version: u32,
    at: String,
    verdict: &'static str,
    /// The rule that decides. `None` if no rule matches.
    rule: Option<DecidingRule>,
    /// The stable name of the cause of a denial.
    reason: Option<&'static str>,
    /// The cause, as in the log.
    detail: Option<String>,
    /// The line for sshd, with a placeholder for the key.
    line: Option<String>,
    /// What makes the answer different from that of a login.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct DecidingRule {
    number: usize,
    name: String,
    line: Option<usize>,
}

impl Report {
    fn of(arguments: &RulesArgs, settings: &Settings, at: Timestamp) -> Self {
        let principal = Some(arguments.principal.as_str()).filter(|principal| !principal.is_empty());
        let policy = settings::policy(settings, Some(&arguments.user));
        let subject = Subject {
            values: Values { principal, request_id: Some(&arguments.request_id) },
            key_type: &arguments.key_type,
            expires: at.later(KEY_LIFETIME.saturating_sub(arguments.age)),
        };
        let judged = policy.judge(&subject, at);
        // A run makes these checks besides the rules.
        let refusal = refusal(arguments, settings).filter(|_| judged.is_ok());
        let number = match &judged {
            Ok(Permission { rule, .. }) => rule.map(|(number, _)| number),
            Err(denied) => denied.number,
        };
        let rule = number.and_then(|number| {
            let rule = settings.rules.get(number.checked_sub(1)?)?;
            let line = if let Origin::File(line) = rule.origin { Some(line) } else { None };
            Some(DecidingRule { number, name: printable(&rule.value.name, MAX_SHOWN), line })
        });
        let line = |prefix: &str| format!("{prefix}{} {KEY}", printable(&arguments.key_type, MAX_SHOWN));
        Self {
            schema_version: 1,
            at: at.to_string(),
            verdict: if judged.is_ok() && refusal.is_none() { "allowed" } else { "denied" },
            rule,
            reason: match (&judged, &refusal) {
                (Err(denied), _) => Some(denied.reason().as_str()),
                (_, refusal) => refusal.as_ref().map(|(reason, _)| reason.as_str()),
            },
            line: judged
                .as_ref()
                .ok()
                .filter(|_| refusal.is_none())
                .map(|judged| line(&judged.prefix.options)),
            notes: differences(arguments, settings, judged.as_ref().ok().filter(|_| refusal.is_none()), at),
            detail: judged.as_ref().err().map(Denied::to_string).or(refusal.map(|(_, why)| why)),
        }
    }
}

/// Why a run hands over no key, although the rules allow it.
fn refusal(arguments: &RulesArgs, settings: &Settings) -> Option<(Reason, String)> {
    if arguments.age >= KEY_LIFETIME {
        return Some((Reason::Expired, format!("a key expires {KEY_LIFETIME} s after the push")));
    }
    let prefix = settings.line_prefix();
    let (needed, installed) = too_old(&prefix).filter(|_| prefix.needs() > Release::OLDEST)?;
    let has = installed.map_or_else(|| "unknown".to_owned(), |installed| installed.to_string());
    Some((Reason::SettingsInvalid, format!("[keys] needs {needed} or later, and the release here is {has}")))
}

/// What the rules do not decide, and what no login can have.
fn differences(
    arguments: &RulesArgs,
    settings: &Settings,
    allowed: Option<&Permission<'_>>,
    at: Timestamp,
) -> Vec<String> {
    let mut notes = Vec::new();
    let pattern = Glob::new(&arguments.principal);
    if let Some(mistake) = check_principal(&pattern, settings.domain.value.as_ref())
        .err()
        .filter(|_| !arguments.principal.is_empty())
    {
        notes.push(format!("no caller of the API has this principal: as a pattern, it {}", mistake.what));
    }
    if let Err(mistake) = check_key_type(&Glob::new(&arguments.key_type)) {
        notes.push(format!("no key has this type: as a pattern, it {}", mistake.what));
    }
    let Some(Permission { rule, .. }) = allowed else { return notes };
    let prefix = settings.line_prefix();
    let options = rule.and_then(|(_, rule)| rule.limits.options.as_ref());
    let replaced = options.and_then(|options| words_of_replaced(&prefix, options));
    notes.extend(replaced.map(|words| format!("the rule {words}")));
    if settings.environment.value {
        notes.push(
            "sshd must permit the variables of [keys] environment; this shows it: sudo eic-agent config"
                .to_owned(),
        );
    }
    if settings.session.value == SessionForm::Wrapper {
        notes.push(
            "whether the line of a login has the wrapper of [keys] session depends on the running sshd; this shows it: sudo \
             eic-agent explain"
                .to_owned(),
        );
    }
    if prefix.has_expired(None, at) && settings.rules.iter().all(|rule| rule.value.limits.options.is_none()) {
        notes.push("expiry-time in the options of [keys] is in the past: sshd refuses the key".to_owned());
    }
    notes
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &str| writeln!(f, "{name:<9} {}", one_line(value));
        row("at", &self.at)?;
        match &self.rule {
            None => row("rule", "none matches: [policy] default decides")?,
            Some(DecidingRule { number, name, line }) => {
                let line = line.map_or_else(String::new, |line| format!(", line {line}"));
                // A rule without a name has its number as name.
                let name = if name.starts_with('#') { String::new() } else { format!(" \"{name}\"") };
                row("rule", &format!("{number}{name}{line}"))?;
            }
        }
        match (&self.reason, &self.detail) {
            (Some(reason), Some(detail)) => row(self.verdict, &format!("{reason}: {detail}"))?,
            _ => row(self.verdict, self.line.as_deref().unwrap_or_default())?,
        }
        self.notes.iter().try_for_each(|note| row("note", note))
    }
}
