//! What the machine runs now: which sessions are still there.

use std::collections::HashMap;

use super::found::Session;

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
    pub sshd: HashMap<u32, (u64, u64)>,
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
}
