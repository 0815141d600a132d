//! `config`: the settings, where each comes from, and everything that is wrong with them.

use std::io::{self, Write};

use super::Outcome;
use super::openssh::{not_permitted, permits_ours, permitted_environment, too_old};
use crate::cli::Config;
use crate::config::{ConfigError, Settings};
use crate::output::write_once;

/// Runs the command.
pub(super) fn run(arguments: &Config, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
    let settings = match Settings::resolve(&arguments.overrides.settings()) {
        Ok(settings) => settings,
        Err(error) => return refuse(arguments, &error, out, notes),
    };
    let written = show(arguments, &settings, out);
    let faults = unsupported(&settings);
    for fault in &faults {
        let _ = writeln!(notes, "eic-agent: {fault}");
    }
    if written.is_ok() && faults.is_empty() { Outcome::Done } else { Outcome::Undecided }
}

fn show(arguments: &Config, settings: &Settings, out: &mut impl Write) -> io::Result<()> {
    let shown = settings.shown();
    let text = if arguments.json {
        let mut text = serde_json::to_string_pretty(&shown)?;
        text.push('\n');
        text
    } else {
        shown.to_string()
    };
    write_once(text.as_bytes(), out)
}

fn refuse(arguments: &Config, error: &ConfigError, out: &mut impl Write, notes: &mut impl Write) -> Outcome {
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

/// What the settings ask for and this instance's OpenSSH cannot do.
pub(super) fn unsupported(settings: &Settings) -> Vec<String> {
    let mut faults = Vec::new();
    if let Some((needed, installed)) = too_old(&settings.line_prefix()) {
        let has = installed.map_or_else(|| "none that tells its release".to_owned(), |r| r.to_string());
        faults.push(format!("keys: expected {needed} or later, this instance has {has}"));
    }
    if settings.environment.value {
        match permitted_environment() {
            Some(value) if permits_ours(&value) => {}
            Some(value) => faults.push(format!("keys.environment: {}", not_permitted(&value))),
            None => faults.push(
                "keys.environment: sshd does not tell whether PermitUserEnvironment is EIC_*; run this as root".to_owned(),
            ),
        }
    }
    faults
}
