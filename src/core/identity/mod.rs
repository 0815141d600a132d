//! Checked names: login names, instance ids, regions, domains and signer names.
//!
//! Each type has a private inner value. Its constructors check the text, or make it from parts that were checked. So a
//! function that takes an [`InstanceId`] does not check it again.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::fmt;

use crate::text::{MAX_SHOWN, printable};

/// A text that does not have the form of the expected name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedName {
    expected: &'static str,
    came: String,
}

impl MalformedName {
    pub(crate) fn new(expected: &'static str, came: &str) -> Self {
        Self { expected, came: printable(came, MAX_SHOWN) }
    }
}

impl fmt::Display for MalformedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}, got \"{}\"", self.expected, self.came)
    }
}

impl core::error::Error for MalformedName {}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $expected:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// The text, in the form that was checked.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = MalformedName;

            fn try_from(text: &str) -> Result<Self, MalformedName> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.to_owned())) } else { Err(MalformedName::new($expected, text)) }
            }
        }

        impl core::str::FromStr for $name {
            type Err = MalformedName;

            fn from_str(text: &str) -> Result<Self, MalformedName> {
                Self::try_from(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

mod principal;
mod signer;

pub(crate) use principal::{account_of, role_and_session_of};
pub use signer::{Domain, Pins, Region, SignerName};

checked_text!(
    /// A login name that EC2 Instance Connect can push a key for, at most 32 characters.
    ///
    /// The pattern is the API's for `InstanceOSUser` (`SendSSHPublicKey`, EC2 Instance Connect API reference), plus
    /// names that begin with digits. A name of this form cannot change the rest of a metadata path.
    LoginName,
    "a login name of at most 32 characters as EC2 Instance Connect allows",
    is_login_name
);

checked_text!(
    /// An EC2 instance id: `i-` and 8 to 32 lower-case hex digits (8 and 17 are in use).
    InstanceId,
    "an instance id (i- and 8 to 32 lower-case hex digits)",
    |text| text.strip_prefix("i-").is_some_and(|hex| {
        (8..=32).contains(&hex.len()) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
);

/// `^[A-Za-z_][A-Za-z0-9@._-]{0,30}[A-Za-z0-9$_-]?$`, or `^[0-9][A-Za-z0-9@._-]*$` with at least one character that is
/// not a digit. At most 32 characters.
fn is_login_name(text: &str) -> bool {
    const MAX: usize = 32;
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'@' | b'.' | b'_' | b'-');
    let last = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'$' | b'_' | b'-');

    let Some((&head, tail)) = text.as_bytes().split_first() else { return false };
    if text.len() > MAX {
        return false;
    }
    if head.is_ascii_digit() {
        return tail.iter().all(|&b| inner(b)) && tail.iter().any(|b| !b.is_ascii_digit());
    }
    if !head.is_ascii_alphabetic() && head != b'_' {
        return false;
    }
    match tail.split_last() {
        None => true,
        // The last class of the pattern is optional. So only a name of 32 characters must end with it. A shorter name
        // may also end with a character of the middle class.
        Some((&end, middle)) => {
            middle.iter().all(|&b| inner(b)) && (last(end) || (inner(end) && text.len() < MAX))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts<T: for<'a> TryFrom<&'a str>>(text: &str) -> bool {
        T::try_from(text).is_ok()
    }

    #[test]
    fn login_names() {
        let longest = format!("a{}", "b".repeat(31));
        for good in ["root", "ec2-user", "_x", "a", "a.b@c_d-e", "host$", "1a", "42-", "0@", longest.as_str()]
        {
            assert!(accepts::<LoginName>(good), "{good}");
        }
        let too_long = format!("a{}", "b".repeat(32));
        let ends_with_dot = format!("a{}.", "b".repeat(30));
        let bad = [
            "",
            "1",
            "123",
            "-x",
            ".",
            "..",
            ".hidden",
            "a/b",
            "a b",
            "a\n",
            "a$b",
            "1$",
            "é",
            "a%2f",
            "a?b",
            "a#",
            too_long.as_str(),
            ends_with_dot.as_str(),
        ];
        for bad in bad {
            assert!(!accepts::<LoginName>(bad), "{bad:?}");
        }
    }

    #[test]
    fn instance_ids() {
        for good in ["i-abcd1234", "i-0123456789abcdef0", "i-0123456789abcdef0123456789abcdef"] {
            assert!(accepts::<InstanceId>(good), "{good}");
        }
        for bad in [
            "",
            "i-",
            "i-abcd123",
            "i-ABCD1234",
            "x-abcd1234",
            "i-0123456789abcdef0123456789abcdef0",
            "i-abcd1234\n",
        ] {
            assert!(!accepts::<InstanceId>(bad), "{bad:?}");
        }
    }

    #[test]
    fn refusal_shows_the_value_with_control_characters_escaped() {
        let refused = InstanceId::try_from("i-\x1b[31m").unwrap_err().to_string();
        assert_eq!(
            refused,
            "expected an instance id (i- and 8 to 32 lower-case hex digits), got \"i-\\x1b[31m\""
        );
    }
}
