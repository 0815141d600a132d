//! Settings that a person is told to make: only those that this sshd accepts.

use std::ffi::OsStr;
use std::fmt;

use super::keyword::Keyword;
use super::server::Server;

/// A configuration with nothing in it: whether sshd knows a value does not depend on the operator's files, and a run
/// without root's rights may not read them.
const NOTHING: &str = "/dev/null";

/// How sshd names its `-o` options in a complaint (OpenSSH sshd.c). It ends with status 0 if it ignores
/// one, such as `UsePAM` in a build without PAM.
const COMPLAINT: &str = "command-line";

/// A setting that the installed sshd has accepted. Releases differ in the values that they know, and sshd does not
/// start with one that it does not know: [`Server::accepts`] is the only way to an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    keyword: Keyword,
    value: String,
}

impl Offer {
    /// The value, printable.
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
    /// Asks sshd whether it accepts a setting (`sshd -t -o`). `None` if it refuses the setting, or cannot be asked.
    /// Then do not suggest the setting.
    #[must_use]
    pub fn accepts(&self, keyword: Keyword, value: &str) -> Option<Offer> {
        let offer = Offer { keyword, value: value.to_owned() };
        self.takes(&[&offer]).then_some(offer)
    }

    /// The same for an `AuthorizedKeysCommand` and its user, of which sshd takes neither without the other.
    #[must_use]
    pub fn accepts_pair(&self, command: &str, user: &str) -> Option<(Offer, Offer)> {
        let pair = [(Keyword::AuthorizedKeysCommand, command), (Keyword::AuthorizedKeysCommandUser, user)];
        let [command, user] = pair.map(|(keyword, value)| Offer { keyword, value: value.to_owned() });
        self.takes(&[&command, &user]).then_some((command, user))
    }

    fn takes(&self, settings: &[&Offer]) -> bool {
        // What cannot be shown as it is would be another value where a person writes it.
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

    /// Those of the values that sshd accepts one by one, as one list with commas.
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
