//! The options on the line of one key: those of `[keys]`, those of the rule that allows the key, and variables with the
//! caller that pushed it. No other code writes options for sshd.
//!
//! sshd drops a key in which an option with a value occurs twice, such as `command`. So the two lists are merged:
//!
//! - The options of the rule come after those of `[keys]`. Of two opposite flags, sshd uses the later one.
//! - An option with a value in the rule replaces each of the same name in `[keys]`; `environment` only for the same
//!   variable, and `expiry-time` never: sshd uses the earliest.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::session::{NotWrapped, SessionStart, SessionWrapper, internal_sftp};
use super::template::{self, Template, Values};
use super::{COMMAND, ENVIRONMENT, EXPIRY, KeyOption, KeyOptions, Release, RuleOptions};
use crate::time::Timestamp;

/// The variables that [`LinePrefix::environment`] adds to a session.
pub const VARIABLES: [&str; 2] = ["EIC_PRINCIPAL", "EIC_REQUEST_ID"];

/// Longest prefix, in bytes. OpenSSH 7.4 to 8.0 read a line of at most 16,383 bytes with its line feed (misc.c,
/// `read_keyfile_line`), and a key that can be pushed has 4,096 bytes. A longer line would be ignored.
const MAX_PREFIX: usize = 16_383 - 1 - 4_096;

/// The prefix of each key line: the options of the settings, and variables with the caller that pushed the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinePrefix {
    /// Options for every key.
    pub options: Option<KeyOptions>,
    /// Whether the session gets [`VARIABLES`], which contain the caller and the id of the push request.
    pub environment: bool,
}

/// The options of one key, and how its sessions start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix {
    /// The options with a space at their end. Empty if there are none.
    pub options: String,
    /// Whether sessions have the wrapper.
    pub is_wrapped: bool,
    /// Why there is no wrapper. `None` if there is one, or if the settings do not ask for one.
    pub not_wrapped: Option<NotWrapped>,
}

/// Why there is no prefix for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// A template has no value, because the push does not contain it.
    NoValue(Template),
    /// The prefix would be longer than sshd reads. Holds its length in bytes.
    TooLong(usize),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoValue(template) => {
                write!(f, "options with %{{{}}}, and the push has no {}", template.name(), template.words())
            }
            Self::TooLong(bytes) => {
                write!(
                    f,
                    "options for a line that sshd does not read: expected at most {MAX_PREFIX} bytes, got {bytes}"
                )
            }
        }
    }
}

impl LinePrefix {
    /// The options for a key with these values that a rule with these options allows, and how its sessions start.
    ///
    /// A line with the wrapper has one `command`, also if the options force another one: the wrapper then runs that one. If
    /// the line is too long with the wrapper, the key has none.
    pub fn of_session(
        &self,
        rule: Option<&RuleOptions>,
        values: &Values<'_>,
        start: &SessionStart,
    ) -> Result<KeyPrefix, LineError> {
        let not_wrapped = match start {
            SessionStart::Plain => None,
            SessionStart::NotWrapped(why) => Some(NotWrapped::Machine(why.clone())),
            SessionStart::Wrapped(wrapper) => match self.wrapped(rule, values, wrapper)? {
                Ok(options) => return Ok(KeyPrefix { options, is_wrapped: true, not_wrapped: None }),
                Err(why) => Some(why),
            },
        };
        self.of(rule, values).map(|options| KeyPrefix { options, is_wrapped: false, not_wrapped })
    }

    /// The options with the wrapper, or why there is none.
    fn wrapped(
        &self,
        rule: Option<&RuleOptions>,
        values: &Values<'_>,
        wrapper: &SessionWrapper,
    ) -> Result<Result<String, NotWrapped>, LineError> {
        let mut options = self.expanded(rule, values)?;
        let forced = options.iter().position(|(name, _)| *name == COMMAND).map(|at| options.remove(at));
        let forced = forced.and_then(|(_, command)| command);
        if forced.as_deref().is_some_and(|command| internal_sftp(command.as_bytes()).is_some()) {
            return Ok(Err(NotWrapped::InternalSftp));
        }
        let command = wrapper.command(forced.as_deref(), values);
        if let Some(why) = wrapper.unreadable(&command) {
            return Ok(Err(why));
        }
        options.push((COMMAND, Some(command)));
        let options = options.iter().map(|(name, value)| written(name, value.as_deref())).collect();
        Ok(match self.joined(options, values) {
            Ok(options) => Ok(options),
            Err(LineError::TooLong(bytes)) => Err(NotWrapped::TooLong(bytes)),
            Err(error) => return Err(error),
        })
    }

    /// The merged options with the values of the push.
    fn expanded<'o>(
        &'o self,
        rule: Option<&'o RuleOptions>,
        values: &Values<'_>,
    ) -> Result<Vec<(&'static str, Option<String>)>, LineError> {
        let plain = |option: &KeyOption| (option.name, option.value.clone());
        let Some(rule) = rule else {
            return Ok(self.options.iter().flat_map(KeyOptions::list).map(plain).collect());
        };
        let mut options: Vec<_> = merged(self.options.as_ref(), rule.options()).map(plain).collect();
        for option in rule.options().list() {
            let value = option.value.as_deref().map(|value| template::expand(value, values));
            options.push((option.name, value.transpose().map_err(LineError::NoValue)?));
        }
        Ok(options)
    }

    /// The prefix for a key with these values that a rule with these options allows, without the wrapper. It has a space at
    /// its end. Empty if there are no options.
    pub fn of(&self, rule: Option<&RuleOptions>, values: &Values<'_>) -> Result<String, LineError> {
        let options = if let (Some(keys), None) = (&self.options, rule) {
            // As the operator wrote it.
            vec![keys.as_str().to_owned()]
        } else {
            let options = self.expanded(rule, values)?;
            options.iter().map(|(name, value)| written(name, value.as_deref())).collect()
        };
        self.joined(options, values)
    }

    /// These options and the variables, as a prefix.
    fn joined(&self, mut options: Vec<String>, values: &Values<'_>) -> Result<String, LineError> {
        if self.environment {
            for (name, value) in VARIABLES.into_iter().zip([values.principal, values.request_id]) {
                if let Some(value) = value {
                    options.push(format!("environment=\"{name}={}\"", template::percent_encoded(value)));
                }
            }
        }
        if options.is_empty() {
            return Ok(String::new());
        }
        let prefix = format!("{} ", options.join(","));
        if prefix.len() > MAX_PREFIX { Err(LineError::TooLong(prefix.len())) } else { Ok(prefix) }
    }

    /// The merged list as it is written in the settings, with templates. `None` if there are no options.
    #[must_use]
    pub fn shown(&self, rule: Option<&RuleOptions>) -> Option<String> {
        let keys = self.options.as_ref();
        let Some(rule) = rule else { return keys.map(|keys| keys.as_str().to_owned()) };
        let options = merged(keys, rule.options()).chain(rule.options().list());
        let texts: Vec<_> = options.map(|option| written(option.name, option.value.as_deref())).collect();
        Some(texts.join(","))
    }

    /// The options of `[keys]` that do not apply to the keys of a rule with these options, because the rule has another value
    /// for them. Without variables: a variable is replaced by its name, so that is what the rule is written for.
    #[must_use]
    pub fn replaced(&self, rule: &RuleOptions) -> Vec<String> {
        let (keys, rule) = (self.options.iter().flat_map(KeyOptions::list), rule.options().list());
        let replaced = keys.filter(|option| option.name != ENVIRONMENT && !rule.contains(option));
        let replaced = replaced.filter(|option| rule.iter().any(|new| new.replaces(option)));
        replaced.map(|option| written(option.name, option.value.as_deref())).collect()
    }

    /// Whether a key with these options can run one command only.
    #[must_use]
    pub fn forces_command(&self, rule: Option<&RuleOptions>) -> bool {
        self.options.as_ref().is_some_and(KeyOptions::forces_command)
            || rule.is_some_and(|rule| rule.options().forces_command())
    }

    /// Whether `expiry-time` is in the past, so that sshd refuses each key with these options.
    #[must_use]
    pub fn has_expired(&self, rule: Option<&RuleOptions>, now: Timestamp) -> bool {
        self.expired(rule, now).is_some()
    }

    /// The `expiry-time` that is in the past.
    #[must_use]
    pub(crate) fn expired<'o>(&'o self, rule: Option<&'o RuleOptions>, now: Timestamp) -> Option<&'o str> {
        let lists = self.options.iter().chain(rule.map(RuleOptions::options));
        lists.into_iter().find(|options| options.has_expired(now)).and_then(KeyOptions::end)
    }

    /// The oldest release of OpenSSH that supports such a line.
    #[must_use]
    pub fn needs(&self) -> Release {
        let options = self.options.as_ref().map_or(Release::OLDEST, KeyOptions::needs);
        if self.environment { options.max(Release::ENVIRONMENT_PATTERNS) } else { options }
    }
}

/// The options of `[keys]` that the rule does not replace.
fn merged<'o>(keys: Option<&'o KeyOptions>, rule: &'o KeyOptions) -> impl Iterator<Item = &'o KeyOption> {
    keys.into_iter()
        .flat_map(KeyOptions::list)
        .filter(|option| !rule.list().iter().any(|new| new.replaces(option)))
}

impl KeyOption {
    fn replaces(&self, other: &Self) -> bool {
        let (Some(new), Some(old)) = (&self.value, &other.value) else { return false };
        // Of several ends, sshd uses the earliest (OpenSSH auth-options.c), so a rule cannot lift an end.
        if self.name == EXPIRY {
            return false;
        }
        let variable = |value: &str| value.split('=').next().map(str::to_owned);
        self.name == other.name && (self.name != ENVIRONMENT || variable(new) == variable(old))
    }
}

/// An option as sshd reads it. A quote in the value becomes `\"`. No value ends with a backslash, because sshd would read
/// it together with the closing quote.
fn written(name: &str, value: Option<&str>) -> String {
    match value {
        None => name.to_owned(),
        Some(value) => format!("{name}=\"{}\"", value.replace('"', "\\\"")),
    }
}
