//! The sshd processes that run now, to find the sessions that are still open.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::Moment;
use super::joined::Session;
use super::log::Kind;

/// This machine and its sshd processes. The log must be of the same machine.
#[derive(Clone, Debug)]
pub struct Running {
    /// The id of this run of the machine (boot id), as in the journal.
    pub boot: String,
    /// The machine's host name.
    pub host: String,
    /// When this run began, in microseconds since 1970.
    pub since: u64,
    /// sshd processes. The values are their start times in microseconds: since 1970, and since the machine started.
    pub sshd: BTreeMap<u32, (u64, u64)>,
    /// The sshd processes that probably serve a login.
    pub logins: Vec<u32>,
    /// The sshd processes that accepted a login more than five seconds ago. Their logins should be in the log by now.
    pub let_in: Vec<u32>,
}

impl Running {
    /// Tolerance in microseconds. Start times of processes have a resolution of 10 ms, and log lines are written later.
    const SLACK: u64 = 5_000_000;

    /// Whether the session's process still runs. One matching clock is enough: the wall clock may have been set, and
    /// the monotonic clock stops while the machine sleeps.
    pub(super) fn has(&self, session: &Session) -> bool {
        self.has_process(session.login.pid, session.start)
    }

    /// Whether the process of a session that began at `start` still runs.
    pub(super) fn has_process(&self, pid: u32, start: Moment) -> bool {
        self.sshd.get(&pid).is_some_and(|(wall, since_start)| {
            let monotonic = start.monotonic;
            *wall <= start.wall.saturating_add(Self::SLACK)
                || monotonic.is_some_and(|start| *since_start <= start.saturating_add(Self::SLACK))
        })
    }

    /// Processes of logins that began before `moment`.
    pub(super) fn logins_before(&self, moment: Moment) -> impl Iterator<Item = u32> {
        let is_older = move |(wall, _): &(u64, u64)| wall.saturating_add(Self::SLACK) < moment.wall;
        self.logins.iter().copied().filter(move |pid| self.sshd.get(pid).is_some_and(is_older))
    }

    /// Whether the session is of this run of this machine, and its process still runs.
    pub(super) fn is_of(&self, kind: Kind, scope: &str, session: &Session) -> bool {
        let is_here = match kind {
            Kind::Journal => scope == self.boot,
            Kind::Text => self.is_host(scope) && session.start.wall >= self.since,
        };
        is_here && self.has(session)
    }

    /// Whether this is the machine's host name, with or without its domain.
    pub(super) fn is_host(&self, name: &str) -> bool {
        let label = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
        label(name) == label(&self.host)
    }
}
