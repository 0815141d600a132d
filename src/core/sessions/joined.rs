//! What a log told: sessions, keys that nobody used, refusals.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::event::{Accepted, KeyName, Moment, Push};
use super::losses::LogGaps;
use super::writer::Attribution;

/// How a key was matched with its login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// By sshd's process and the key.
    Exactly,
    /// By sshd's process alone: sshd names keys by another hash.
    ByProcess,
    /// By the key, and by when.
    ByKey,
}

/// Why nobody knows when a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// The machine was started again.
    Restart,
    /// Its process number belongs to another login now.
    PidReused,
    /// Its process is gone, and no line says when.
    ProcessGone,
    /// No line says so, and what the machine runs now says nothing of it either.
    NoEnd,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It has not.
    Open,
    /// Then.
    Closed(Moment),
    /// Not known; not later than that.
    Unknown(Why, Option<Moment>),
}

/// A login, and what became of it.
#[derive(Clone, Debug)]
pub struct Session {
    /// When sshd let the client in.
    pub start: Moment,
    /// As sshd says it.
    pub login: Accepted,
    /// Whose word that is.
    pub source: Attribution,
    /// Who pushed the key: one, or several where several pushed the same key. Nobody, for a login by other means.
    pub pushes: Vec<Rc<Push>>,
    /// How that is known; none for a login by other means.
    pub joined: Option<Joined>,
    /// What became of it.
    pub end: End,
    /// Whose word that is; none if no line says it.
    pub end_source: Option<Attribution>,
    /// When a line said that it ended that did not end it.
    pub(super) said_end: Option<Moment>,
    /// Whether its process was there before the log was read.
    pub(super) is_alive: bool,
    pub(super) run: u32,
    pub(super) sequence: u64,
}

/// A key that sshd was given.
#[derive(Clone, Debug)]
pub struct HandedOverKey {
    /// When, first.
    pub at: Moment,
    /// For which login name, where the log says it.
    pub user: Option<String>,
    /// The key.
    pub key: KeyName,
    /// Who pushed it.
    pub push: Rc<Push>,
    pub(super) last: Moment,
    pub(super) used: bool,
}

/// A cause of refusals.
#[derive(Clone, Debug)]
pub struct RefusalCount {
    /// How many keys.
    pub count: u64,
    /// The first line.
    pub first: Moment,
    /// The last line.
    pub last: Moment,
}

/// What was found besides.
#[derive(Debug, Default)]
pub struct Counts {
    /// Sessions that ended, and whose beginning is not in the log.
    pub ends_alone: u64,
    /// Sessions that PAM opened, and that sshd logged no login of.
    pub silent: u64,
    /// Logins that sshd logged.
    pub logins: u64,
    /// Those with keys that nobody pushed, and by other means, by method: of what is asked for.
    pub others: BTreeMap<String, u64>,
    /// Ends of sessions.
    pub ends: u64,
    /// Keys that were given.
    pub given: u64,
    /// Sessions with a key that several principals pushed: the push of any of them may have been the one.
    pub ambiguous: u64,
    /// Logins whose key sshd names by MD5, where that leaves open who pushed it.
    pub by_md5: u64,
    /// By how many microseconds the clock was set back at most.
    pub stepped_back: u64,
    /// Lines in the name of others, by who wrote them.
    pub disbelieved: BTreeMap<u32, u64>,
    /// Those that root wrote, by program.
    pub programs: BTreeMap<String, u64>,
    /// Those of a program that is called sshd, in a place that is none of sshd's.
    pub unknown_sshd: u64,
    /// Lines of which journald could not tell which program wrote them.
    pub unattributed: u64,
    /// Logins that the machine runs now, and that are older than the log.
    pub open_before: u64,
    /// Logins that the machine runs now, and of which the log, as far back as it goes, has no line.
    pub open_unlogged: u64,
    /// What the log says is missing in it.
    pub losses: LogGaps,
    /// What there was no room for.
    pub left_out: u64,
}

impl Counts {
    /// Whether nothing is known to be missing, of what the log should have.
    pub(super) fn is_complete(&self) -> bool {
        let Self { left_out, ends_alone, silent, unknown_sshd, unattributed, losses, .. } = self;
        let Self { open_before, open_unlogged, .. } = self;
        [*left_out, *ends_alone, *silent, *unknown_sshd, *unattributed, *open_before, *open_unlogged]
            == [0; 7]
            && losses.is_empty()
    }
}

/// All that a log told.
#[derive(Debug)]
pub struct JoinedLog {
    /// In the order of their beginnings.
    pub sessions: Vec<Session>,
    /// Keys that were given and that nobody logged in with, in the order of the log.
    pub unused: Vec<HandedOverKey>,
    /// Refusals by their cause.
    pub refusals: Vec<(Option<String>, RefusalCount)>,
    /// The rest.
    pub tally: Counts,
    /// The first and the last moment.
    pub span: Option<(Moment, Moment)>,
}
