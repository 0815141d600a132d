//! The result of the join: sessions, unused keys and refusals.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::{Accepted, KeyName, Moment, Push};
use super::log::{ConnectionId, Origin};
use super::losses::LogGaps;
use super::stream::Stream;
use super::writer::Attribution;

/// How a key was matched with its login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// By sshd's process id and the key.
    Exactly,
    /// By sshd's process id only, because sshd writes MD5 fingerprints.
    ByProcess,
    /// By the key and the time.
    ByKey,
}

/// Why the end of a session is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The machine restarted.
    Restart,
    /// Another sshd process has the session's process id now.
    PidReused,
    /// The session's process is gone, and no line reports the end.
    ProcessGone,
    /// No line reports the end, and it is not known whether the process still runs.
    NoEnd,
}

/// The end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The session is open.
    Open,
    /// The session ended at this moment.
    Closed(Moment),
    /// The end is unknown. Holds the latest possible moment, if known.
    Unknown(Why, Option<Moment>),
}

/// A login and its session.
#[derive(Clone, Debug)]
pub struct Session {
    /// When sshd accepted the login.
    pub start: Moment,
    /// The login as sshd logged it.
    pub login: Accepted,
    /// The writer of the login's line.
    pub source: Attribution,
    /// The pushes of the key. There are several if the key was pushed several times, and none if the login did not use
    /// a pushed key.
    pub pushes: Vec<Rc<Push>>,
    /// How the pushes were matched. `None` if there are none.
    pub joined: Option<Joined>,
    /// The end of the session.
    pub end: End,
    /// The writer of the line about the end. `None` if there is no such line.
    pub end_source: Option<Attribution>,
    /// The time at which a line reported the end, if that line did not end the session. See `Join::said_to_end`.
    pub(super) said_end: Option<Moment>,
    /// What sshd's lines reported about the end of the connection.
    pub(super) left: Left,
    /// Whether the session's process existed before the log was read.
    pub(super) is_alive: bool,
    pub(super) run: u32,
    pub(super) origin: Origin,
    pub(super) sequence: u64,
}

impl Session {
    pub(super) fn connection(&self) -> ConnectionId {
        (self.run, self.login.address.clone(), self.login.port)
    }
}

/// A report that the connection of a session ended. Without PAM, no other line reports the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    NotReported,
    /// When, the id of the user that wrote the line, and its writer.
    At(Moment, Option<u32>, Attribution),
    /// Several users wrote such a line, and root wrote none. At most one of them is right.
    Contradicted,
}

impl Left {
    /// See [`Attribution::trust`].
    pub(super) const fn trust(self) -> u8 {
        match self {
            Self::At(_, _, source) => source.trust(),
            Self::NotReported | Self::Contradicted => Attribution::User.trust(),
        }
    }
}

/// A key that the agent gave to sshd.
#[derive(Clone, Debug)]
pub struct HandedOverKey {
    /// When the agent first gave the key.
    pub at: Moment,
    /// The login name, if the log contains it.
    pub user: Option<String>,
    /// The key's fingerprint.
    pub key: KeyName,
    /// The push of the key.
    pub push: Rc<Push>,
    pub(super) run: u32,
    pub(super) origin: Origin,
    pub(super) last: Moment,
    pub(super) used: bool,
}

/// The number of refusals with one cause.
#[derive(Clone, Debug)]
pub struct RefusalCount {
    /// The number of keys.
    pub count: u64,
    /// The moment of the first line.
    pub first: Moment,
    /// The moment of the last line.
    pub last: Moment,
}

/// Counts of other findings.
#[derive(Debug, Default)]
pub struct Counts {
    /// Ends of sessions whose beginnings are not in the log.
    pub ends_alone: u64,
    /// Sessions that PAM opened without a login in sshd's log.
    pub silent: u64,
    /// Logins that sshd logged.
    pub logins: u64,
    /// Sessions without a pushed key that pass the filter, by authentication method.
    pub others: BTreeMap<String, u64>,
    /// Ends of sessions.
    pub ends: u64,
    /// Sessions whose end only a process with a user's id reported.
    pub ends_by_users: u64,
    /// Sessions whose end is unknown because lines of several users contradict one another.
    pub ends_contradict: u64,
    /// Lines of sshd or the agent that may be about a login or a key, but whose form is unknown.
    pub unknown: u64,
    /// Whether the log has a login or a key of the user that the query names.
    pub knows_user: bool,
    /// Keys that the agent gave to sshd.
    pub given: u64,
    /// Sessions whose key several principals pushed. It is unknown whose push the login used.
    pub ambiguous: u64,
    /// Logins with an MD5 fingerprint in sshd's log, if it is therefore unknown who pushed the key.
    pub by_md5: u64,
    /// The largest step back of the wall clock, in microseconds.
    pub stepped_back: u64,
    /// Disbelieved lines by user id. The key `u32::MAX` counts the lines of all further users.
    pub disbelieved: BTreeMap<u32, u64>,
    /// Disbelieved lines that root wrote, by program.
    pub programs: BTreeMap<String, u64>,
    /// Disbelieved lines of a program that is called sshd but has a path that is not known as sshd's.
    pub unknown_sshd: u64,
    /// Lines that root wrote, but whose program journald could not determine.
    pub unattributed: u64,
    /// Logins that run now and are older than the log.
    pub open_before: u64,
    /// Logins that run now and should have a line in the log, but have none.
    pub open_unlogged: u64,
    /// Losses that the log itself reports.
    pub losses: LogGaps,
    /// Items that exceeded a limit and were dropped.
    pub left_out: u64,
}

impl Counts {
    /// Whether the log has no known gap.
    pub(super) fn is_complete(&self) -> bool {
        let Self { left_out, ends_alone, silent, unknown_sshd, unattributed, losses, .. } = self;
        let Self { open_before, open_unlogged, unknown, .. } = self;
        let lines = [*left_out, *ends_alone, *silent, *unknown_sshd, *unattributed, *unknown];
        lines == [0; 6] && [*open_before, *open_unlogged] == [0; 2] && losses.is_empty()
    }
}

/// The result of the join.
#[derive(Debug)]
pub struct JoinedLog {
    /// Sessions in the order of their logins.
    pub sessions: Vec<Session>,
    /// Keys that no login used, in the order of the log.
    pub unused: Vec<HandedOverKey>,
    /// What an export needs. Empty for a report.
    pub rest: Stream,
    /// Refusals by cause, the most frequent first.
    pub refusals: Vec<(Option<String>, RefusalCount)>,
    /// Counts of other findings.
    pub tally: Counts,
    /// The first and the last moment of the log.
    pub span: Option<(Moment, Moment)>,
}
