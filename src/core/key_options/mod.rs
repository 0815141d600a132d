//! The options before a key on an `authorized_keys` line (sshd(8)).

mod error;
mod line;
mod release;
mod session;
mod template;
mod values;

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use values::{OptionValue, latest_end};

pub use self::error::KeyOptionsError;
pub use self::line::{KeyPrefix, LineError, LinePrefix, VARIABLES};
pub use self::release::Release;
pub use self::session::{
    NotWrapped, SessionStart, SessionWrapper, internal_sftp, session_argument, session_variables,
};
pub use self::template::{Template, Values};
use crate::text::{MAX_SHOWN, printable};
use crate::time::Timestamp;

/// One option.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyOption {
    /// The name in lower case.
    name: &'static str,
    /// The value without quotes. `None` if the option takes none.
    value: Option<String>,
}

/// Checked options. The check is needed because sshd silently drops a key that has an unknown option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOptions {
    text: String,
    list: Vec<KeyOption>,
    needs: Release,
    /// The latest instant that `expiry-time` can mean.
    ends: Option<Timestamp>,
}

/// Longest list, in bytes. Older sshd reads lines of at most 16 KiB, which must hold the list and the longest key.
const MAX_BYTES: usize = 4096;

/// The option that runs one command instead of the client's command.
const COMMAND: &str = "command";
const EXPIRY: &str = "expiry-time";
const ENVIRONMENT: &str = "environment";

/// The options that sshd knows, and the first release that has each one (OpenSSH release notes).
const KNOWN: &[(&str, Option<OptionValue>, Release)] = &[
    ("agent-forwarding", None, Release(7, 2)),
    (COMMAND, Some(OptionValue::Text), Release(1, 2)),
    (ENVIRONMENT, Some(OptionValue::Environment), Release(2, 3)),
    (EXPIRY, Some(OptionValue::Expiry), Release(7, 7)),
    ("from", Some(OptionValue::From), Release(1, 2)),
    ("no-agent-forwarding", None, Release(1, 2)),
    ("no-port-forwarding", None, Release(1, 2)),
    ("no-pty", None, Release(1, 2)),
    ("no-touch-required", None, Release(8, 2)),
    ("no-user-rc", None, Release(5, 4)),
    ("no-x11-forwarding", None, Release(1, 2)),
    ("permitlisten", Some(OptionValue::Listen), Release(7, 8)),
    ("permitopen", Some(OptionValue::Open), Release(2, 9)),
    ("port-forwarding", None, Release(7, 2)),
    ("pty", None, Release(7, 2)),
    ("restrict", None, Release(7, 2)),
    ("tunnel", Some(OptionValue::Tunnel), Release(4, 3)),
    ("user-rc", None, Release(7, 2)),
    ("verify-required", None, Release(8, 4)),
    ("x11-forwarding", None, Release(7, 2)),
];

/// Options that may occur more than once. sshd drops a key in which any other option with a value occurs twice.
const REPEATABLE: [&str; 3] = [ENVIRONMENT, "permitlisten", "permitopen"];

/// With one of these options, a key signs certificates for other keys. A caller who can push one key could then give
/// access to other keys.
const NOT_FOR_KEYS: [&str; 2] = ["cert-authority", "principals"];

impl KeyOptions {
    /// Parses a list as sshd does: names in any case, separated by commas, `\"` for a quote in a value.
    pub fn parse(text: &str) -> Result<Self, KeyOptionsError> {
        if let Some(c) = text.chars().find(|c| !matches!(c, ' '..='~')) {
            return Err(KeyOptionsError::Character(c));
        }
        if text.len() > MAX_BYTES {
            return Err(KeyOptionsError::TooLong(text.len()));
        }
        let mut needs = Release::OLDEST;
        let mut list: Vec<KeyOption> = Vec::new();
        let mut ends = None;
        let mut rest = text;
        loop {
            let end = rest.find([',', '=', ' ', '\t', '"']).unwrap_or(rest.len());
            let (name, tail) = rest.split_at_checked(end).ok_or(KeyOptionsError::Form)?;
            let lower = name.to_ascii_lowercase();
            if NOT_FOR_KEYS.contains(&lower.as_str()) {
                return Err(KeyOptionsError::NotForKeys(lower));
            }
            let Some((known, takes, since)) = KNOWN.iter().find(|(name, ..)| *name == lower) else {
                return Err(if name.is_empty() {
                    KeyOptionsError::Form
                } else {
                    KeyOptionsError::Unknown(lower)
                });
            };
            needs = needs.max(*since);
            let (value, tail) = match (takes, tail.strip_prefix('=')) {
                (None, None) => (None, tail),
                (None, Some(_)) => return Err(KeyOptionsError::OptionValue(lower)),
                (Some(_), None) => return Err(KeyOptionsError::NoValue(lower)),
                (Some(kind), Some(quoted)) => {
                    let (value, after) = quoted_value(quoted).ok_or(KeyOptionsError::Form)?;
                    let release = kind.check(&value);
                    needs = needs
                        .max(release.ok_or_else(|| KeyOptionsError::BadValue(lower.clone(), kind.words()))?);
                    if list.iter().any(|option| option.name == *known) && !REPEATABLE.contains(known) {
                        return Err(KeyOptionsError::Twice(lower));
                    }
                    if *kind == OptionValue::Expiry {
                        ends = latest_end(&value);
                    }
                    (Some(value), after)
                }
            };
            list.push(KeyOption { name: known, value });
            if tail.is_empty() {
                return Ok(Self { text: text.to_owned(), list, needs, ends });
            }
            rest = tail.strip_prefix(',').ok_or(KeyOptionsError::Form)?;
        }
    }

    /// The list as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The oldest release that supports all options of the list.
    #[must_use]
    pub const fn needs(&self) -> Release {
        self.needs
    }

    /// Whether `expiry-time` is in the past in every time zone. sshd then refuses each key with these options (OpenSSH
    /// auth.c, `auth_authorise_keyopts`).
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.ends.is_some_and(|end| end < now)
    }

    /// Whether a key with these options can run one command only.
    #[must_use]
    pub fn forces_command(&self) -> bool {
        self.command().is_some()
    }

    /// The value of `expiry-time`.
    fn end(&self) -> Option<&str> {
        self.value_of(EXPIRY)
    }

    /// The value of `command`.
    #[must_use]
    pub fn command(&self) -> Option<&str> {
        self.value_of(COMMAND)
    }

    /// The value of the first option of this name.
    fn value_of(&self, name: &str) -> Option<&str> {
        self.list.iter().find(|option| option.name == name)?.value.as_deref()
    }

    /// The options in order.
    fn list(&self) -> &[KeyOption] {
        &self.list
    }
}

/// Whether the first word of this command contains a template. That word is the program.
fn begins_with_template(command: &str) -> bool {
    let first = command.split_ascii_whitespace().next().unwrap_or_default();
    template::check(first) != Ok(false)
}

/// Checked options of a rule. Values of `command` and `environment` can have templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleOptions(KeyOptions);

impl RuleOptions {
    /// Parses a list like [`KeyOptions::parse`], and checks its templates.
    pub fn parse(text: &str) -> Result<Self, KeyOptionsError> {
        let options = KeyOptions::parse(text)?;
        for KeyOption { name, value } in options.list() {
            let has_template = value.as_deref().map_or(Ok(false), template::check);
            let can_have_one = [COMMAND, ENVIRONMENT].contains(name);
            match has_template {
                Ok(true) | Err(_) if !can_have_one => {
                    return Err(KeyOptionsError::TemplateIn((*name).to_owned()));
                }
                Ok(true) if *name == COMMAND && value.as_deref().is_some_and(begins_with_template) => {
                    return Err(KeyOptionsError::TemplateAsProgram);
                }
                Ok(_) => {}
                Err(name) => return Err(KeyOptionsError::NoTemplate(printable(&name, MAX_SHOWN))),
            }
        }
        Ok(Self(options))
    }

    /// The options, with templates.
    #[must_use]
    pub const fn options(&self) -> &KeyOptions {
        &self.0
    }
}

/// Splits `text` into a value in double quotes and the rest. In the value, `\"` means a quote.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut value = String::new();
    loop {
        let (part, tail) = rest.split_at_checked(rest.find('"')?)?;
        rest = tail.strip_prefix('"')?;
        let Some(escaped) = part.strip_suffix('\\') else {
            value.push_str(part);
            return Some((value, rest));
        };
        value.push_str(escaped);
        value.push('"');
    }
}

#[cfg(test)]
mod tests;
