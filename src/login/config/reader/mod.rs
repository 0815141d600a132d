//! Parses the settings file as TOML. Reads every setting and reports every fault.

mod rules;
mod section;

use std::fmt;
use std::path::PathBuf;

use eic_core::key_options::KeyOptions;
use eic_core::order;
use eic_core::policy::Action;
use eic_core::text::{MAX_SHOWN, printable};
use eic_core::verification::RevocationPolicy;
use eic_host::trust_store::Roots;
use toml::de::DeTable;

use self::section::{Faults, Section};
use super::values::{Seconds, WholeSeconds, shown};
use super::{FileSettings, SessionForm, parse_remember};

/// A fault in the file, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingFault {
    /// The line, from 1.
    pub line: usize,
    /// The setting, such as `trust.roots`. Empty if the text is not TOML.
    pub key: String,
    /// The fault, and what was expected.
    pub what: String,
}

impl fmt::Display for SettingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.line, self.what),
            key => write!(f, "{}: {key}: {}", self.line, self.what),
        }
    }
}

/// Parses the text. If there is any fault, returns all faults and no settings.
pub(super) fn parse(text: &str) -> Result<FileSettings, Vec<SettingFault>> {
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut faults = Faults::in_text(text);
    let errors: Vec<_> = errors
        .iter()
        .map(|error| (faults.line(error.span().map_or(0, |span| span.start)), error.message()))
        .collect();
    if !errors.is_empty() {
        return Err(not_toml(errors));
    }

    let mut said = FileSettings::default();
    let mut root = Section { name: String::new(), table: root.into_inner() };
    if let Some(mut imds) = root.section("imds", &mut faults) {
        said.endpoint = imds.text("endpoint", &mut faults, |text| text.parse().map_err(words));
        said.timeout = imds.checked("timeout", &mut faults, |Seconds(timeout)| Ok(timeout));
        said.remember =
            imds.checked("remember", &mut faults, |WholeSeconds(seconds)| parse_remember(seconds));
        imds.nothing_else(&["endpoint", "timeout", "remember"], &mut faults);
    }
    if let Some(mut trust) = root.section("trust", &mut faults) {
        said.ca_file = trust.text("ca_file", &mut faults, absolute);
        said.ca_dir = trust.text("ca_dir", &mut faults, absolute);
        said.roots = trust.text("roots", &mut faults, |text| match text {
            "system" => Ok(Roots::System),
            "amazon" => Ok(Roots::Amazon),
            other => Err(one_of(&["system", "amazon"], other)),
        });
        said.revocation = trust.text("revocation", &mut faults, |text| match text {
            "require" => Ok(RevocationPolicy::Require),
            "when-stapled" => Ok(RevocationPolicy::WhenStapled),
            other => Err(one_of(&["require", "when-stapled"], other)),
        });
        said.region = trust.text("region", &mut faults, |text| text.parse().map_err(words));
        said.domain = trust.text("domain", &mut faults, |text| text.parse().map_err(words));
        trust.nothing_else(&["ca_file", "ca_dir", "roots", "revocation", "region", "domain"], &mut faults);
    }
    if let Some(mut keys) = root.section("keys", &mut faults) {
        said.options = keys.text("options", &mut faults, |text| KeyOptions::parse(text).map_err(words));
        said.environment = keys.checked("environment", &mut faults, Ok);
        said.session = keys.text("session", &mut faults, |text| match text {
            "plain" => Ok(SessionForm::Plain),
            "wrapper" => Ok(SessionForm::Wrapper),
            other => Err(one_of(&["plain", "wrapper"], other)),
        });
        keys.nothing_else(&["options", "environment", "session"], &mut faults);
    }
    if let Some(mut audit) = root.section("audit", &mut faults) {
        said.audit_required = audit.checked("required", &mut faults, Ok);
        audit.nothing_else(&["required"], &mut faults);
    }
    if let Some(mut policy) = root.section("policy", &mut faults) {
        said.default_action = policy.text("default", &mut faults, action);
        policy.nothing_else(&["default"], &mut faults);
    }
    said.rules = rules::read(&mut root, &mut faults);
    root.nothing_else(&["[imds]", "[trust]", "[keys]", "[audit]", "[policy]", "[[rule]]"], &mut faults);
    if faults.list.is_empty() { Ok(said) } else { Err(order::by_key(faults.list, |fault| fault.line)) }
}

/// Maximum number of lines that are not TOML and are reported. With more, the file is probably another one. The parser's
/// messages are fixed texts, so that a wrong `--config` shows no line of a secret file.
const MAX_NOT_TOML: usize = 10;

/// The first fault of each line that is not TOML.
fn not_toml(errors: Vec<(usize, &str)>) -> Vec<SettingFault> {
    let mut errors = order::by_key(errors, |(line, _)| *line);
    errors.dedup_by_key(|(line, _)| *line);
    let fault = |line, what: String| SettingFault { line, key: String::new(), what };
    let more = errors.len().saturating_sub(MAX_NOT_TOML);
    let next = errors.get(MAX_NOT_TOML).map(|(line, _)| *line);
    let shown = errors.into_iter().take(MAX_NOT_TOML);
    let shown = shown.map(|(line, message)| fault(line, printable(message, MAX_SHOWN)));
    let rest =
        next.map(|line| fault(line, format!("{more} more lines are not TOML; is this the settings file?")));
    shown.chain(rest).collect()
}

fn action(text: &str) -> Result<Action, String> {
    match text {
        "allow" => Ok(Action::Allow),
        "deny" => Ok(Action::Deny),
        other => Err(one_of(&["allow", "deny"], other)),
    }
}

fn absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("expected an absolute path, got {}", shown(text))) }
}

fn one_of(known: &[&str], came: &str) -> String {
    format!("expected \"{}\", got {}", known.join("\" or \""), shown(came))
}

fn words(error: impl fmt::Display) -> String {
    error.to_string()
}
