//! What the machine runs now: which sessions are still there.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::Moment;
use super::joined::Session;
use super::log::Kind;

/// What the machine runs now, as far as it is the machine of the log.
#[derive(Clone, Debug)]
pub struct Running {
    /// The id of this run, as the journal has it.
    pub boot: String,
    /// The machine's name.
    pub host: String,
    /// When it began, in microseconds since 1970.
    pub since: u64,
    /// Processes of sshd, with when each began: since 1970, and since the machine started.
    pub sshd: BTreeMap<u32, (u64, u64)>,
    /// Those of them that serve a login, as far as can be told.
    pub logins: Vec<u32>,
    /// Those of them that let their client in more than five seconds ago: the log has had time to say so.
    pub let_in: Vec<u32>,
}

impl Running {
    /// Processes are counted in hundredths of a second, and the log is written a moment later.
    const SLACK: u64 = 5_000_000;

    /// Whether the process of that login is still there. Either clock will do: one may have been set, the other does
    /// not count while a machine sleeps.
    pub(super) fn has(&self, session: &Session) -> bool {
        self.sshd.get(&session.login.pid).is_some_and(|(wall, since_start)| {
            let monotonic = session.start.monotonic;
            *wall <= session.start.wall.saturating_add(Self::SLACK)
                || monotonic.is_some_and(|start| *since_start <= start.saturating_add(Self::SLACK))
        })
    }

    /// Processes of logins that began before a moment.
    pub(super) fn logins_before(&self, moment: Moment) -> impl Iterator<Item = u32> {
        let is_older = move |(wall, _): &(u64, u64)| wall.saturating_add(Self::SLACK) < moment.wall;
        self.logins.iter().copied().filter(move |pid| self.sshd.get(pid).is_some_and(is_older))
    }

    /// The same, if that login is of the machine and of the run that this is of.
    pub(super) fn is_of(&self, kind: Kind, scope: &str, session: &Session) -> bool {
        let is_here = match kind {
            Kind::Journal => scope == self.boot,
            Kind::Text => self.is_host(scope) && session.start.wall >= self.since,
        };
        is_here && self.has(session)
    }

    /// Whether the machine has that name, with or without its domain.
    pub(super) fn is_host(&self, name: &str) -> bool {
        let label = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
        label(name) == label(&self.host)
    }
}
