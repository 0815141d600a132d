//! Parses the settings file as TOML. Reads every setting and reports every fault.

use std::fmt;
use std::path::PathBuf;

use eic_core::key_options::KeyOptions;
use eic_core::order;
use eic_core::policy::{Action, Glob, Rule};
use eic_core::text::{MAX_SHOWN, printable};
use eic_core::verification::RevocationPolicy;
use eic_host::trust_store::Roots;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::values::{Seconds, TextList, WholeSeconds, shown};
use super::{FileSettings, parse_remember};

/// Maximum number of rules. Each key is compared with all of them.
const MAX_RULES: usize = 1000;

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
        keys.nothing_else(&["options", "environment"], &mut faults);
    }
    if let Some(mut audit) = root.section("audit", &mut faults) {
        said.audit_required = audit.checked("required", &mut faults, Ok);
        audit.nothing_else(&["required"], &mut faults);
    }
    said.rules = rules(&mut root, &mut faults);
    root.nothing_else(&["[imds]", "[trust]", "[keys]", "[audit]", "[[rule]]"], &mut faults);
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

fn rules(root: &mut Section<'_>, faults: &mut Faults) -> Vec<(Rule, usize)> {
    let Some((value, offset)) = root.take("rule") else { return Vec::new() };
    let DeValue::Array(array) = value.into_inner() else {
        faults.add(offset, "rule", "expected [[rule]], a table in double brackets".to_owned());
        return Vec::new();
    };
    if array.len() > MAX_RULES {
        faults.add(offset, "rule", format!("expected at most {MAX_RULES} rules, got {}", array.len()));
        return Vec::new();
    }
    let mut rules = Vec::new();
    for (index, value) in array.into_iter().enumerate() {
        let number = index.saturating_add(1);
        let offset = value.span().start;
        let DeValue::Table(table) = value.into_inner() else {
            faults.add(offset, &format!("rule {number}"), "expected a table".to_owned());
            continue;
        };
        let mut section = Section { name: format!("rule {number}"), table };
        let name = section.text("name", faults, |text| match text.trim() {
            "" => Err("expected a name, got nothing".to_owned()),
            name => Ok(name.to_owned()),
        });
        let action = section.text("action", faults, |text| match text {
            "allow" => Ok(Action::Allow),
            "deny" => Ok(Action::Deny),
            other => Err(one_of(&["allow", "deny"], other)),
        });
        let rule = Rule {
            name: name.map_or_else(|| format!("#{number}"), |(name, _)| name),
            action: action.map_or(Action::Deny, |(action, _)| action),
            users: section.globs("users", faults, PatternKind::User),
            principals: section.globs("principals", faults, PatternKind::Principal),
            accounts: section.globs("accounts", faults, PatternKind::Account),
            key_types: section.globs("key_types", faults, PatternKind::KeyType),
        };
        if action.is_none() && !section.had_fault("action", faults) {
            faults.add(
                offset,
                &format!("rule {number}.action"),
                "expected \"allow\" or \"deny\", got nothing".to_owned(),
            );
        }
        section.nothing_else(&["name", "action", "users", "principals", "accounts", "key_types"], faults);
        rules.push((rule, faults.line(offset)));
    }
    rules
}

/// Maximum number of faults that are reported. Later faults are rarely useful.
const MAX_FAULTS: usize = 50;

/// The faults so far, and the offset of each line of the text.
struct Faults {
    line_starts: Vec<usize>,
    list: Vec<SettingFault>,
}

impl Faults {
    fn in_text(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = ends.map(|(end, _)| end.saturating_add(1)).collect();
        Self { line_starts, list: Vec::new() }
    }

    fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).saturating_add(1)
    }

    fn add(&mut self, offset: usize, key: &str, what: String) {
        if self.list.len() < MAX_FAULTS {
            self.list.push(SettingFault { line: self.line(offset), key: printable(key, MAX_SHOWN), what });
        }
    }
}

/// A table. Each known setting is removed when it is read. The rest is unknown.
struct Section<'i> {
    name: String,
    table: DeTable<'i>,
}

impl<'i> Section<'i> {
    fn key(&self, name: &str) -> String {
        if self.name.is_empty() { name.to_owned() } else { format!("{}.{name}", self.name) }
    }

    fn take(&mut self, name: &str) -> Option<(Spanned<DeValue<'i>>, usize)> {
        let (key, value) = self.table.remove_entry(name)?;
        Some((value, key.span().start))
    }

    fn section(&mut self, name: &str, faults: &mut Faults) -> Option<Self> {
        let (value, offset) = self.take(name)?;
        match value.into_inner() {
            DeValue::Table(table) => Some(Self { name: name.to_owned(), table }),
            other => {
                faults.add(offset, name, format!("expected a table [{name}], got {}", other.type_str()));
                None
            }
        }
    }

    /// Reads a setting as serde's type `T` and converts it with `check`.
    fn checked<T: DeserializeOwned, U>(
        &mut self,
        name: &str,
        faults: &mut Faults,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Option<(U, usize)> {
        let (value, offset) = self.take(name)?;
        let read = T::deserialize(ValueDeserializer::from(value))
            .map_err(|error| printable(error.message(), MAX_SHOWN));
        match read.and_then(check) {
            Ok(setting) => Some((setting, faults.line(offset))),
            Err(what) => {
                faults.add(offset, &self.key(name), what);
                None
            }
        }
    }

    fn text<U>(
        &mut self,
        name: &str,
        faults: &mut Faults,
        check: impl FnOnce(&str) -> Result<U, String>,
    ) -> Option<(U, usize)> {
        self.checked(name, faults, |text: String| check(&text))
    }

    /// Reads patterns. A text that is not written as a pattern of its kind is a fault, for example `role/Demo` as a
    /// principal. A pattern that is written correctly but matches nothing is no fault: `config` and `doctor` report it.
    fn globs(&mut self, name: &str, faults: &mut Faults, kind: PatternKind) -> Vec<Glob> {
        let globs = self.checked(name, faults, |TextList(patterns)| {
            if let Some(dead) = patterns.iter().find(|pattern| !kind.can_match(pattern)) {
                return Err(format!("expected {}, got {}", kind.words(), shown(dead)));
            }
            if patterns.is_empty() {
                return Err("expected at least one pattern, got []; remove the line to match all".to_owned());
            }
            Ok(patterns.iter().map(|pattern| Glob::new(pattern)).collect())
        });
        globs.map(|(globs, _)| globs).unwrap_or_default()
    }

    fn had_fault(&self, name: &str, faults: &Faults) -> bool {
        let key = self.key(name);
        faults.list.iter().any(|fault| fault.key == key)
    }

    fn nothing_else(self, known: &[&str], faults: &mut Faults) {
        for (key, _) in &self.table {
            let what = format!("no such setting; expected one of {}", known.join(", "));
            faults.add(key.span().start, &self.key(key.get_ref()), what);
        }
    }
}

/// The attribute that a pattern is compared with.
#[derive(Clone, Copy)]
enum PatternKind {
    User,
    Principal,
    Account,
    KeyType,
}

impl PatternKind {
    fn can_match(self, pattern: &str) -> bool {
        let made_of = |extra: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || "*?".contains(c) || extra.contains(c);
            !pattern.is_empty() && pattern.chars().all(fits)
        };
        match self {
            Self::User => made_of("@._-$"),
            Self::Principal => pattern.starts_with("arn:") || pattern.starts_with(['*', '?']),
            Self::Account => {
                !pattern.is_empty() && pattern.chars().all(|c| c.is_ascii_digit() || "*?".contains(c))
            }
            Self::KeyType => {
                let known = ["ssh-", "sk-", "ecdsa-", "*", "?"];
                made_of("@._-+")
                    && (known.iter().any(|start| pattern.starts_with(start)) || pattern.contains('@'))
            }
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::User => "a login name or a pattern, such as root or adm*",
            Self::Principal => "an ARN or a pattern, such as arn:aws:sts::*:assumed-role/Admin/*",
            Self::Account => "twelve digits or a pattern, such as 1234*",
            Self::KeyType => "a key algorithm or a pattern, such as ssh-ed25519 or sk-*",
        }
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
