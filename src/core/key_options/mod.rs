//! The options before a key on an `authorized_keys` line (sshd(8)).

mod values;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use values::{OptionValue, latest_end};

use crate::evidence::key_bundle::Claims;
use crate::time::Timestamp;

/// An OpenSSH release, major and minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u32, pub u32);

impl Release {
    /// The oldest supported release, which is that of Amazon Linux 2.
    pub const OLDEST: Self = Self(7, 4);

    /// The first release whose `PermitUserEnvironment` accepts a pattern of names.
    pub(crate) const ENVIRONMENT_PATTERNS: Self = Self(7, 8);

    /// Finds `OpenSSH_MAJOR.MINOR` in the output of `sshd -V`.
    #[must_use]
    pub fn find(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("OpenSSH_")?;
        let (major, rest) = rest.split_once('.')?;
        let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(Self(major.parse().ok()?, minor.parse().ok()?))
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenSSH {}.{}", self.0, self.1)
    }
}

/// Checked options for every key. The check is needed because sshd silently drops a key that has an unknown option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOptions {
    text: String,
    needs: Release,
    /// Whether the list contains `command`.
    forces_command: bool,
    /// The latest instant that `expiry-time` can mean.
    ends: Option<Timestamp>,
}

/// Why a text is not a list of options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyOptionsError {
    /// sshd has no option of this name.
    Unknown(String),
    /// The option needs a value in double quotes and has none.
    NoValue(String),
    /// The option takes no value but has one.
    OptionValue(String),
    /// The value is invalid. Holds the name of the option and a description of a valid value.
    BadValue(String, &'static str),
    /// The option may occur only once.
    Twice(String),
    /// The list is longer than 4,096 bytes. Holds its length in bytes.
    TooLong(usize),
    /// The option would make the key a certificate authority instead of a login key.
    NotForKeys(String),
    /// An option has no name, a value is not in double quotes, or the separator between two options is not a comma.
    Form,
    /// The character is not printable ASCII.
    Character(char),
}

impl fmt::Display for KeyOptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "sshd has no option \"{name}\" (sshd(8), AUTHORIZED_KEYS FILE FORMAT)")
            }
            Self::NoValue(name) => write!(f, "expected {name}=\"...\", got no value"),
            Self::OptionValue(name) => write!(f, "expected {name} alone, got a value"),
            Self::BadValue(name, right) => write!(f, "expected {name}=\"...\" with {right}"),
            Self::Twice(name) => write!(f, "expected {name} once, got it twice"),
            Self::TooLong(bytes) => write!(f, "expected at most {MAX_BYTES} bytes, got {bytes}"),
            Self::NotForKeys(name) => write!(f, "{name} would make the pushed key a certificate authority"),
            Self::Form => {
                f.write_str("expected options separated by commas, values in double quotes, no spaces")
            }
            Self::Character(c) => write!(f, "expected printable ASCII, got {c:?}"),
        }
    }
}

/// Longest list, in bytes. Older sshd reads lines of at most 16 KiB, which must hold the list and the longest key.
const MAX_BYTES: usize = 4096;

/// The option that runs one command instead of the client's command.
const COMMAND: &str = "command";

/// The options that sshd knows, and the first release that has each one (OpenSSH release notes).
const KNOWN: &[(&str, Option<OptionValue>, Release)] = &[
    ("agent-forwarding", None, Release(7, 2)),
    (COMMAND, Some(OptionValue::Text), Release(1, 2)),
    ("environment", Some(OptionValue::Environment), Release(2, 3)),
    ("expiry-time", Some(OptionValue::Expiry), Release(7, 7)),
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
const REPEATABLE: [&str; 3] = ["environment", "permitlisten", "permitopen"];

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
        let mut seen = Vec::new();
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
            let tail = match (takes, tail.strip_prefix('=')) {
                (None, None) => tail,
                (None, Some(_)) => return Err(KeyOptionsError::OptionValue(lower)),
                (Some(_), None) => return Err(KeyOptionsError::NoValue(lower)),
                (Some(kind), Some(quoted)) => {
                    let (value, after) = quoted_value(quoted).ok_or(KeyOptionsError::Form)?;
                    let release = kind.check(&value);
                    needs = needs
                        .max(release.ok_or_else(|| KeyOptionsError::BadValue(lower.clone(), kind.words()))?);
                    if seen.contains(known) && !REPEATABLE.contains(known) {
                        return Err(KeyOptionsError::Twice(lower));
                    }
                    seen.push(*known);
                    if *kind == OptionValue::Expiry {
                        ends = latest_end(&value);
                    }
                    after
                }
            };
            if tail.is_empty() {
                let forces_command = seen.contains(&COMMAND);
                return Ok(Self { text: text.to_owned(), needs, forces_command, ends });
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
    pub const fn forces_command(&self) -> bool {
        self.forces_command
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

/// The variables that [`LinePrefix::environment`] adds to a session.
pub const VARIABLES: [&str; 2] = ["EIC_PRINCIPAL", "EIC_REQUEST_ID"];

/// The prefix of each key line: the options of the settings, and variables with the caller that pushed the key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinePrefix {
    /// Options for every key.
    pub options: Option<KeyOptions>,
    /// Whether the session gets [`VARIABLES`], which contain the caller and the id of the push request.
    pub environment: bool,
}

impl LinePrefix {
    /// The prefix for a key, with a space at its end. Empty if there are no options.
    #[must_use]
    pub fn of(&self, claims: &Claims) -> String {
        let mut options: Vec<String> = self.options.iter().map(|options| options.text.clone()).collect();
        if self.environment {
            for (name, value) in VARIABLES.into_iter().zip([&claims.principal, &claims.request_id]) {
                if let Some(value) = value {
                    options.push(format!("environment=\"{name}={}\"", percent_encoded(value)));
                }
            }
        }
        if options.is_empty() { String::new() } else { format!("{} ", options.join(",")) }
    }

    /// The oldest release of OpenSSH that supports such a line.
    #[must_use]
    pub fn needs(&self) -> Release {
        let options = self.options.as_ref().map_or(Release::OLDEST, KeyOptions::needs);
        if self.environment { options.max(Release::ENVIRONMENT_PATTERNS) } else { options }
    }
}

/// Longest value of a variable, in bytes before encoding. This is the length of IAM's longest ARN.
const MAX_VALUE: usize = 2048;

/// Encodes all bytes as `%XX` except those that occur in ARNs and request ids. So a value can close neither its quotes
/// nor its line.
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes().take(MAX_VALUE) {
        if byte.is_ascii_alphanumeric() || b":/_+=.@-".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push('%');
            encoded.push_str(&data_encoding::HEXUPPER.encode(&[byte]));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
