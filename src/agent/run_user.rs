//! The user that sshd runs the agent as, and what that user can read. Commands that people run take on its rights, so
//! that they see what a login sees.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use eic_core::audit_line::IDENT;
use eic_host::accounts::Account;
use eic_host::process::output_with_timeout;
use eic_host::reach::{Obstacle, Reach, Subject, Use};
use eic_login::privileges::{PrivilegesError, become_run_user, give_up_root};

use crate::reach::connects;

/// Timeout of the child process of [`RunUser::connects`].
const CONNECTS_TIMEOUT: Duration = Duration::from_secs(10);

/// The user of a run.
#[derive(Debug, Default)]
pub(crate) struct RunUser {
    /// `None` if it is unknown, or root.
    subject: Option<Subject>,
}

impl RunUser {
    /// The user of the `AuthorizedKeysCommandUser` setting.
    pub(crate) fn of(user: Option<&str>) -> Self {
        let user = user.filter(|user| !user.contains('%'));
        let account = user.and_then(|user| Account::look_up(user).ok().flatten());
        // A run as root gives up root's rights by itself.
        let account = account.filter(|account| account.uid != 0);
        Self { subject: account.and_then(|account| Subject::of_command(&account).ok()) }
    }

    /// Whether it is a known user other than root.
    pub(crate) const fn is_known(&self) -> bool {
        self.subject.is_some()
    }

    /// Gives up root's rights and becomes the agent's own user, also if sshd runs the agent as another user. So the checks
    /// that follow do not find a fault that only that other user has, such as a firewall rule. Of `doctor`'s checks, only
    /// `answer` finds it.
    pub(crate) fn give_up_root(&self) -> Result<(), PrivilegesError> {
        let Some(subject) = self.subject.as_ref().filter(|subject| subject.name == IDENT) else {
            return give_up_root();
        };
        let (uid, gid, groups) = subject.ids();
        become_run_user(uid, gid, groups)
    }

    /// The user of a run, if a firewall refuses it at each of these addresses and lets root through. `None` if this is
    /// unknown: only root can try.
    pub(crate) fn refused_by_firewall(&self, addresses: &[SocketAddr]) -> Option<&str> {
        let name = self.subject.as_ref().map(|subject| subject.name.as_str())?;
        (self.connects(addresses) == Some(false) && addresses.iter().any(connects)).then_some(name)
    }

    /// Whether the user of a run can connect to one of these addresses, tried in a child process. `None` if the user of a
    /// run is unknown, or if this process is not root.
    fn connects(&self, addresses: &[SocketAddr]) -> Option<bool> {
        let subject = self.subject.as_ref()?;
        if !nix::unistd::Uid::effective().is_root() || addresses.is_empty() {
            return None;
        }
        let words: Vec<_> =
            ["connects".to_owned()].into_iter().chain(addresses.iter().map(ToString::to_string)).collect();
        let said =
            output_with_timeout(&mut subject.command("/proc/self/exe", &words), CONNECTS_TIMEOUT).ok()?;
        Some(said.status.success())
    }

    /// The obstacle at the first of these paths that exists and that a run cannot use. The inner error is the reason why
    /// this is unknown. If the user of a run is unknown, the current user is checked.
    pub(crate) fn blocked(&self, paths: &[(PathBuf, Use)]) -> Option<Result<Obstacle, String>> {
        let current = Subject::current("this user");
        let subject = self.subject.as_ref().or(current.as_ref())?;
        let judged = paths.iter().map(|(path, need)| Reach::of(subject, path, *need));
        let mut unknown = None;
        for reach in judged {
            match reach {
                Reach::No(obstacle) if !obstacle.is_missing() => return Some(Ok(obstacle)),
                Reach::Unknown(why) => unknown = unknown.or(Some(Err(why))),
                Reach::No(_) | Reach::Yes => {}
            }
        }
        unknown
    }
}
