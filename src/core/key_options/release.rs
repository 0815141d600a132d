//! Releases of OpenSSH.

use alloc::string::String;
use core::fmt;

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
