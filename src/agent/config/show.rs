//! The settings as `eic-agent config` shows them.

use eic_core::policy::{Action, Glob, Rule};
use eic_core::text::{MAX_SHOWN, one_line, printable};
use eic_core::verification::RevocationPolicy;
use eic_host::trust_store::Roots;
use eic_login::config::{DEFAULT_PATH, Origin, Settings, Sourced};
use serde::Serialize;

use super::rules::{RuleProblem, doubts, problems};

/// The settings, ready to be printed. Under the same `schema_version`, fields may be added, but no field changes its
/// meaning.
#[derive(Debug, Serialize)]
pub struct ConfigReport {
    schema_version: u32,
    file: Option<String>,
    settings: Vec<ShownSetting>,
    rules: Vec<ShownRule>,
    /// Rules and patterns that can never match, or that match none of the callers that they name, and rules in a time zone
    /// that is unknown here.
    rule_problems: Vec<RuleProblem>,
    /// Patterns and rules that can match, but are probably a mistake.
    rule_warnings: Vec<RuleProblem>,
}

#[derive(Debug, Serialize)]
struct ShownSetting {
    key: &'static str,
    value: serde_json::Value,
    from: From,
}

/// The source of a setting, for example `{"origin": "file", "line": 3}`.
#[derive(Debug, Serialize)]
struct From {
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

#[derive(Debug, Serialize)]
struct ShownRule {
    name: String,
    action: &'static str,
    users: Vec<String>,
    principals: Vec<String>,
    accounts: Vec<String>,
    key_types: Vec<String>,
    /// Days, hours and time zone.
    hours: Option<String>,
    /// In seconds since the push.
    max_age: Option<u64>,
    /// The options on the line of a key that the rule allows, with those of `[keys]`.
    options: Option<String>,
    from: From,
}

impl ConfigReport {
    /// Converts the settings for output.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let path = |path: &std::path::PathBuf| path.display().to_string();
        Self {
            schema_version: 1,
            file: settings.file.as_ref().map(path),
            settings: vec![
                setting("imds.endpoint", &settings.endpoint, |url| {
                    url.as_ref().map(ToString::to_string).into()
                }),
                setting("imds.timeout", &settings.timeout, |timeout| timeout.as_secs_f64().into()),
                setting("imds.remember", &settings.remember, |remember| remember.as_secs().into()),
                setting("trust.ca_file", &settings.ca_file, |file| file.as_ref().map(path).into()),
                setting("trust.ca_dir", &settings.ca_dir, |dir| dir.as_ref().map(path).into()),
                setting("trust.roots", &settings.roots, |roots| roots_name(*roots).into()),
                setting("trust.revocation", &settings.revocation, |policy| revocation_name(*policy).into()),
                setting("trust.region", &settings.region, |region| {
                    region.as_ref().map(|region| region.as_str().to_owned()).into()
                }),
                setting("trust.domain", &settings.domain, |domain| {
                    domain.as_ref().map(|domain| domain.as_str().to_owned()).into()
                }),
                setting("keys.options", &settings.options, |options| {
                    options.as_ref().map(|options| options.as_str().to_owned()).into()
                }),
                setting("keys.environment", &settings.environment, |on| (*on).into()),
                setting("keys.session", &settings.session, |form| form.as_str().into()),
                setting("audit.required", &settings.audit_required, |on| (*on).into()),
                setting("policy.default", &settings.default_action, |action| action_name(*action).into()),
            ],
            rules: settings.rules.iter().map(|rule| ShownRule::of(rule, settings)).collect(),
            rule_problems: problems(settings),
            rule_warnings: doubts(settings),
        }
    }

    /// With these problems instead of those that the settings alone show.
    pub(super) fn with_problems(mut self, problems: &[RuleProblem]) -> Self {
        self.rule_problems = problems.to_vec();
        self
    }
}

/// Strings as in the settings file: `["root", "adm*"]`.
fn quoted(list: &[String]) -> String {
    format!("[\"{}\"]", list.join("\", \""))
}

fn setting<T>(
    key: &'static str,
    setting: &Sourced<T>,
    value: impl Fn(&T) -> serde_json::Value,
) -> ShownSetting {
    ShownSetting { key, value: value(&setting.value), from: From::of(setting.origin) }
}

const fn action_name(action: Action) -> &'static str {
    match action {
        Action::Allow => "allow",
        Action::Deny => "deny",
    }
}

const fn roots_name(roots: Roots) -> &'static str {
    match roots {
        Roots::System => "system",
        Roots::Amazon => "amazon",
    }
}

const fn revocation_name(policy: RevocationPolicy) -> &'static str {
    match policy {
        RevocationPolicy::Require => "require",
        RevocationPolicy::WhenStapled => "when-stapled",
    }
}

impl From {
    const fn of(origin: Origin) -> Self {
        match origin {
            Origin::Default => Self { origin: "default", line: None },
            Origin::File(line) => Self { origin: "file", line: Some(line) },
            Origin::CommandLine => Self { origin: "command line", line: None },
        }
    }
}

impl ShownRule {
    fn of(rule: &Sourced<Rule>, settings: &Settings) -> Self {
        let Sourced { value: rule, origin } = rule;
        let list = |globs: &[Glob]| globs.iter().map(|glob| glob.as_str().to_owned()).collect();
        Self {
            name: rule.name.clone(),
            action: action_name(rule.action),
            users: list(&rule.users),
            principals: list(&rule.principals),
            accounts: list(&rule.accounts),
            key_types: list(&rule.key_types),
            hours: rule.limits.hours.as_ref().map(ToString::to_string),
            max_age: rule.limits.max_age,
            options: rule
                .limits
                .options
                .as_ref()
                .and_then(|options| settings.line_prefix().shown(Some(options))),
            from: From::of(*origin),
        }
    }

    /// What the rule does, to which keys: `allow users ["root"], max_age 20`.
    fn summary(&self) -> String {
        let lists = [
            ("users", &self.users),
            ("principals", &self.principals),
            ("accounts", &self.accounts),
            ("key_types", &self.key_types),
        ];
        let said = lists.iter().filter(|(_, list)| !list.is_empty());
        let mut said: Vec<_> = said.map(|(name, list)| format!("{name} {}", quoted(list))).collect();
        if said.is_empty() {
            said.push("all".to_owned());
        }
        said.extend(self.hours.as_ref().map(|hours| format!("hours {hours}")));
        said.extend(self.max_age.map(|seconds| format!("max_age {seconds}")));
        said.extend(self.options.as_ref().map(|options| format!("options {options}")));
        format!("{} {}", self.action, said.join(", "))
    }
}

/// One line per setting: name, value and source.
impl std::fmt::Display for ConfigReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let file = self.file.as_deref();
        let from = |from: &From| match (from.line, file) {
            (Some(line), Some(file)) => format!("{file}:{line}"),
            _ => from.origin.to_owned(),
        };
        match file {
            Some(file) => writeln!(f, "# {file}")?,
            None => writeln!(f, "# no {DEFAULT_PATH}: defaults")?,
        }
        for ShownSetting { key, value, from: origin } in &self.settings {
            let value = match (value.is_null(), *key) {
                (true, "trust.region" | "trust.domain") => "(metadata)".to_owned(),
                (true, _) => "(system)".to_owned(),
                (false, _) => value.to_string(),
            };
            writeln!(f, "{key:<16} {:<28} {}", printable(&value, MAX_SHOWN), from(origin))?;
        }
        for rule in &self.rules {
            // A rule without a name has a number: #1.
            let quote = if rule.name.starts_with('#') { "" } else { "\"" };
            let name = format!("rule {quote}{}{quote}", rule.name);
            writeln!(
                f,
                "{:<16} {:<28} {}",
                printable(&name, MAX_SHOWN),
                one_line(&rule.summary()),
                from(&rule.from)
            )?;
        }
        Ok(())
    }
}
