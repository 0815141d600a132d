//! `config`: shows the settings, the source of each, and every fault in them.

pub mod pin;
pub(crate) mod rules;
pub mod show;

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use eic_core::reason::Reason;
use eic_core::text::one_line;
use eic_host::clock;
use eic_host::sshd::release::too_old;
use eic_host::stdout::write_once;
use eic_login::config::{ConfigError, DEFAULT_PATH, Settings};
use eic_login::privileges::{PrivilegesError, give_up_root};

use self::rules::RuleProblem;
use self::show::ConfigReport;
use crate::cli::ConfigArgs;
use crate::environment::{self, EnvironmentBefore};
use crate::layout::fit_report;
use crate::outcome::Outcome;
use crate::settings;

pub(super) fn run(arguments: &ConfigArgs, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    let settings = match settings::resolve(&arguments.overrides.settings()) {
        Ok(settings) => settings,
        Err(error) => return refuse(arguments, &error, out, notes),
    };
    let before = environment::renew_record(&settings, None);
    let kept = give_up_root().err();
    let rules = [rules::problems(&settings), rules::unusable(&settings)].concat();
    let written = show(arguments, &settings, &rules, out);
    let faults = unsupported(&settings, &before, kept.as_ref());
    for fault in &faults {
        let _ = writeln!(notes, "eic-agent: {}", one_line(&fault.said));
    }
    let sessions = environment::undecided_sessions(&settings, &before);
    if let Some(why) = &sessions {
        let _ = writeln!(notes, "eic-agent: {}", one_line(why));
    }
    let file = settings.file.as_deref().unwrap_or(Path::new(DEFAULT_PATH)).display().to_string();
    for problem in rules.iter().chain(&rules::doubts(&settings)).chain(&rules::replaced(&settings)) {
        let _ = writeln!(notes, "{}:{}", one_line(&file), one_line(&problem.to_string()));
    }
    let is_sound = faults.is_empty() && rules.is_empty() && sessions.is_none();
    if written.is_ok() && is_sound { Outcome::Done } else { Outcome::Undecided }
}

fn show(
    arguments: &ConfigArgs,
    settings: &Settings,
    problems: &[RuleProblem],
    out: &mut impl Write,
) -> io::Result<()> {
    let shown = ConfigReport::of(settings).with_problems(problems);
    let text = if arguments.json {
        let mut text = serde_json::to_string_pretty(&shown)?;
        text.push('\n');
        text
    } else {
        fit_report(&shown.to_string())
    };
    write_once(text.as_bytes(), out)
}

fn refuse(
    arguments: &ConfigArgs,
    error: &ConfigError,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Outcome {
    let lines = error.lines();
    if arguments.json {
        let document = serde_json::json!({
            "schema_version": 1, "reason": error.reason().as_str(), "faults": lines,
        });
        let _ = write_once(format!("{document:#}\n").as_bytes(), out);
    } else {
        for line in lines {
            let _ = writeln!(notes, "{line}");
        }
    }
    Outcome::Undecided
}

/// A setting because of which no pushed key can log in.
pub(super) struct Unsupported {
    /// The stable reason that a run logs when it refuses because of this setting. `None` if the run hands out the key, and
    /// sshd refuses it.
    pub(super) reason: Option<Reason>,
    /// The expected value, the actual value, and what to do.
    pub(super) said: String,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Some(reason) => write!(f, "{reason}: {}", self.said),
            None => f.write_str(&self.said),
        }
    }
}

/// The settings with which this instance's sshd accepts no pushed key. Call this without root's rights. `before` has the results of the checks as root. `kept` is the error if root's rights could not be
/// given up.
pub(super) fn unsupported(
    settings: &Settings,
    before: &EnvironmentBefore,
    kept: Option<&PrivilegesError>,
) -> Vec<Unsupported> {
    let mut faults = Vec::new();
    if let Some((needed, installed)) = too_old(&settings.line_prefix()) {
        let has = installed.map_or_else(
            || "the release of this instance is unknown".to_owned(),
            |installed| format!("this instance has {installed}"),
        );
        faults.push(Unsupported {
            reason: Some(Reason::SettingsInvalid),
            said: format!("[keys] needs {needed} or later, {has}"),
        });
    }
    if let Err(error) = environment::decide(settings, before, kept) {
        faults.push(Unsupported { reason: Some(error.reason()), said: error.to_string() });
    }
    if settings.line_prefix().has_expired(None, clock::now()) {
        faults.push(Unsupported {
            reason: None,
            said: "expiry-time in the options of [keys] is in the past: sshd refuses every pushed key; correct it, or remove it"
                .to_owned(),
        });
    }
    faults
}
