//! Why a text is not a list of options.

use alloc::format;
use alloc::string::String;
use core::fmt;

use super::MAX_BYTES;
use super::template::Template;

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
    /// There is no template of this name.
    NoTemplate(String),
    /// The push would choose the program: the first word of `command` contains a template.
    TemplateAsProgram,
    /// Only the values of `command` and `environment` can have templates. Holds the name of the option.
    TemplateIn(String),
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
            Self::NoTemplate(name) => write!(
                f,
                "expected one of {}, got \"%{{{name}}}\"; write %%{{ for %{{",
                Template::ALL.map(|template| format!("%{{{}}}", template.name())).join(", ")
            ),
            Self::TemplateAsProgram => {
                f.write_str("expected a program as the first word of command, got %{...}: the push would choose the program")
            }
            Self::TemplateIn(name) => {
                write!(
                    f,
                    "expected %{{...}} only in command and environment, got it in {name}; write %%{{ for %{{"
                )
            }
            Self::Character(c) => write!(f, "expected printable ASCII, got {c:?}"),
        }
    }
}
