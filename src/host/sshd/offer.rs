//! Settings that the agent suggests to the operator. Each is one that the installed sshd accepts.

use std::ffi::OsStr;
use std::fmt;

use super::keyword::Keyword;
use super::server::Server;
use crate::ownership::GroupRule;

/// An empty configuration. Whether sshd knows a value does not depend on the operator's files, and a run without
/// root's rights may be unable to read them.
const NOTHING: &str = "/dev/null";

/// sshd names its `-o` options like this in an error message (OpenSSH sshd.c). If sshd ignores an option, such as
/// `UsePAM` in a build without PAM, it prints the message and exits with status 0.
const COMPLAINT: &str = "command-line";

/// A setting that the installed sshd accepted. Releases support different values, and sshd does not start with an
/// unknown value. Only [`Server::accepts`] and its variants create an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    keyword: Keyword,
    value: String,
}

impl Offer {
    /// The value, printable ASCII.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// `KEYWORD VALUE`.
impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.keyword, self.value)
    }
}

impl Server {
    /// Runs `sshd -t -o` to check whether sshd accepts a setting. Returns `None` if sshd refuses it or cannot be
    /// run. Do not suggest the setting then.
    #[must_use]
    pub fn accepts(&self, keyword: Keyword, value: &str) -> Option<Offer> {
        let offer = Offer { keyword, value: value.to_owned() };
        self.takes(&[&offer]).then_some(offer)
    }

    /// The same for an `AuthorizedKeysCommand` and its user. sshd refuses each of them without the other.
    #[must_use]
    pub fn accepts_pair(&self, command: &str, user: &str) -> Option<(Offer, Offer)> {
        let pair = [(Keyword::AuthorizedKeysCommand, command), (Keyword::AuthorizedKeysCommandUser, user)];
        let [command, user] = pair.map(|(keyword, value)| Offer { keyword, value: value.to_owned() });
        self.takes(&[&command, &user]).then_some((command, user))
    }

    /// This sshd's rule for programs that a group may write. Debian's sshd has its own rule, and its own keyword
    /// `DebianBanner`. `sshd -V` does not name the distribution.
    #[must_use]
    pub fn group_rule(&self) -> GroupRule {
        if self.accepts(Keyword::DebianBanner, "no").is_some() {
            GroupRule::OwnersAlone
        } else {
            GroupRule::Refused
        }
    }

    fn takes(&self, settings: &[&Offer]) -> bool {
        // A value that cannot be printed unchanged would become another value when the operator types it.
        let is_plain = |value: &str| !value.is_empty() && value.bytes().all(|b| matches!(b, b' '..=b'~'));
        if !settings.iter().all(|setting| is_plain(&setting.value)) {
            return false;
        }
        let settings: Vec<_> = settings.iter().map(ToString::to_string).collect();
        let mut arguments = ["-t", "-f", NOTHING].map(OsStr::new).to_vec();
        for setting in &settings {
            arguments.extend(["-o", setting].map(OsStr::new));
        }
        let Ok(said) = self.run(&arguments) else { return false };
        !said.complaint.lines().any(|line| line.contains(COMPLAINT))
    }

    /// Checks each value alone. Returns the accepted values as one comma-separated list.
    #[must_use]
    pub fn accepts_of<'v>(
        &self,
        keyword: Keyword,
        values: impl IntoIterator<Item = &'v str>,
    ) -> Option<Offer> {
        let good: Vec<_> =
            values.into_iter().filter(|value| self.accepts(keyword, value).is_some()).collect();
        (!good.is_empty()).then(|| Offer { keyword, value: good.join(",") })
    }
}
