//! Joins events to sessions, in the order of the log.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::MAX_ROWS;
use super::event::{Event, KeyName, Moment};
use super::joined::{Counts, RefusalCount, Session, Why};
use super::journal::Entry;
use super::keys::Keys;
use super::log::{ConnectionId, ProcessId};
use super::programs::is_called_sshd;
use super::running::Running;
use super::stream::{RefusedLine, Stream};
use super::writer::Attribution;
use crate::text::{MAX_SHOWN, printable};

pub use super::log::{Kind, Origin};
pub use super::wanted::Wanted;

/// Between two lines, the wall clock and the monotonic clock advance by almost the same time. They may differ by this
/// much, in microseconds. A larger difference means that the wall clock was set.
const CLOCK_SET: u64 = 2_000_000;

/// Maximum number of causes of refusals. The agent has about fifty, but a text log can contain any text.
const MAX_REASONS: usize = 1000;

/// Maximum number of programs that are listed as writers of disbelieved lines.
const MAX_PROGRAMS: usize = 10;

/// Maximum number of machines, and runs of a machine, that one report distinguishes.
const MAX_RUNS: usize = 10_000;

/// The join. It receives one event after another.
pub struct Join<W> {
    pub(super) kind: Kind,
    pub(super) wanted: W,
    /// The processes of this machine before the log was read.
    pub(super) running: Option<Running>,
    pub(super) runs: BTreeMap<String, u32>,
    pub(super) stream: Stream,
    pub(super) run: Option<u32>,
    /// Whether sshd, logind or the agent has written any line in this run of the machine.
    has_lines: bool,
    pub(super) keys: Keys,
    /// The first proofs of logins that require several.
    pub(super) partial: BTreeMap<ProcessId, (KeyName, Attribution)>,
    pub(super) open: BTreeMap<ProcessId, Session>,
    /// The processes of the connections in `open`.
    pub(super) connections: BTreeMap<ConnectionId, u32>,
    /// Processes whose sessions have ended. PAM and logind both report an end, so the second report is ignored.
    pub(super) ended: BTreeSet<ProcessId>,
    pub(super) done: Vec<Session>,
    pub(super) refusals: BTreeMap<Option<String>, RefusalCount>,
    pub(super) tally: Counts,
    pub(super) span: Option<(Moment, Moment)>,
    pub(super) sequence: u64,
}

impl<W: Wanted> Join<W> {
    /// Starts a join. `running` has this machine's processes from before the log was read. Pass it only if the log is
    /// this machine's. A session whose process runs has not ended, even if a line reports its end.
    pub fn new(kind: Kind, wanted: W, running: Option<Running>) -> Self {
        Self {
            kind,
            wanted,
            running,
            runs: BTreeMap::new(),
            stream: Stream::default(),
            run: None,
            has_lines: false,
            keys: Keys::new(),
            partial: BTreeMap::new(),
            open: BTreeMap::new(),
            connections: BTreeMap::new(),
            ended: BTreeSet::new(),
            done: Vec::new(),
            refusals: BTreeMap::new(),
            tally: Counts::default(),
            span: None,
            sequence: 0,
        }
    }

    /// Takes the next entry of a journal. Entries in a user's own journal file can be older than the system's, so they
    /// do not count as the start of the log.
    pub fn take_entry(&mut self, entry: Entry) {
        let Some(run) = self.enter(&entry.boot, entry.at) else { return };
        if !entry.is_users {
            self.note_time(entry.at);
        }
        self.apply(&entry.boot, run, entry.at, entry.event);
    }

    /// Extends the known time range of the log by a line of any kind.
    pub fn note_time(&mut self, at: Moment) {
        let (mut first, mut last) = self.span.unwrap_or((at, at));
        if self.kind == Kind::Journal || at.wall > last.wall {
            last = at;
        }
        if at.wall < first.wall {
            first = at;
        }
        self.span = Some((first, last));
    }

    /// Takes the next line. `scope` is the boot id, or for a text log the host name.
    pub fn take(&mut self, scope: &str, at: Moment, event: Option<Event>) {
        let Some(run) = self.enter(scope, at) else { return };
        self.note_time(at);
        self.apply(scope, run, at, event);
    }

    fn apply(&mut self, scope: &str, run: u32, at: Moment, event: Option<Event>) {
        let Some(event) = event else {
            // The line can be any line of sshd, such as "Server listening".
            self.has_lines = true;
            return;
        };
        if let Event::GapCount(loss) = event {
            let counts = self.counts(at);
            self.tally.losses.take(loss, at, counts, self.has_lines);
            return;
        }
        self.has_lines = true;
        self.look_at_user(&event);
        match event {
            Event::Provided(handover) => self.provided(run, at, handover),
            Event::Refused { reason, user, push, count, source } => {
                if self.wanted.moment(at, user.as_deref(), push.as_ref()) {
                    self.look_at_source(source, at);
                    if self.stream.is_on {
                        let origin = self.stream.origin;
                        let line = RefusedLine { at, run, origin, reason, user, push, count, source };
                        self.stream.refused.push(line);
                    } else {
                        self.refused(reason, at, count);
                    }
                }
            }
            Event::Accepted(login, source) => self.accepted(scope, run, at, login, source),
            Event::Partial(login, source) => {
                if let Some(key) = login.key.filter(|_| self.partial.len() < MAX_ROWS) {
                    self.partial.insert((run, login.pid), (key, source));
                }
            }
            // Another process may soon get this process id, even a program that writes in sshd's name.
            Event::Left { pid } => {
                self.keys.forget_process((run, pid));
                self.partial.remove(&(run, pid));
            }
            Event::Disconnected { pid, connection, uid, source } => {
                // A user's line says nothing about the keys of the process.
                if source != Attribution::User {
                    self.keys.forget_process((run, pid));
                    self.partial.remove(&(run, pid));
                }
                self.disconnected(run, at, connection, (uid, source));
            }
            Event::Unknown => {
                if self.counts(at) {
                    self.tally.unknown = self.tally.unknown.saturating_add(1);
                }
            }
            Event::Opened { pid, source } => {
                let is_silent = !self.open.contains_key(&(run, pid)) && self.counts(at);
                if is_silent && !self.look_at_source(source, at) {
                    self.tally.silent = self.tally.silent.saturating_add(1);
                }
            }
            Event::Closed { pid, source } => self.closed((run, pid), at, source),
            Event::Removed { pid, source } => self.removed((run, pid), at, source),
            Event::Disbelieved { uid, program } => self.disbelieved(uid, program, at),
            Event::GapCount(_) => {}
        }
    }

    /// Notes whether the log knows the user that the query names.
    fn look_at_user(&mut self, event: &Event) {
        let user = match event {
            Event::Provided(handover) => handover.user.as_deref(),
            Event::Refused { user, .. } => user.as_deref(),
            Event::Accepted(login, _) | Event::Partial(login, _) => Some(login.user.as_str()),
            _ => None,
        };
        self.tally.knows_user |= user.is_some_and(|user| self.wanted.names(user));
    }

    fn disbelieved(&mut self, uid: u32, program: Option<String>, at: Moment) {
        if self.stream.origin.is_old {
            return;
        }
        // Limit the list, because an attacker may have many user ids. The rest is counted under one key.
        let many = self.tally.disbelieved.len() >= 100;
        let uid = if many && !self.tally.disbelieved.contains_key(&uid) { u32::MAX } else { uid };
        let lines = self.tally.disbelieved.entry(uid).or_default();
        *lines = lines.saturating_add(1);
        let Some(program) = program else { return };
        if is_called_sshd(&program) && self.wanted.covers(at) {
            self.tally.unknown_sshd = self.tally.unknown_sshd.saturating_add(1);
        }
        let programs = &mut self.tally.programs;
        if programs.len() < MAX_PROGRAMS || programs.contains_key(&program) {
            let lines = programs.entry(program).or_default();
            *lines = lines.saturating_add(1);
        }
    }

    /// Counts the line if it is unattributed, and returns whether it is.
    pub(super) fn look_at_source(&mut self, source: Attribution, at: Moment) -> bool {
        let is_unattributed = source == Attribution::Unattributed;
        if is_unattributed && self.counts(at) {
            self.tally.unattributed = self.tally.unattributed.saturating_add(1);
        }
        is_unattributed
    }

    /// Whether a finding in the current line counts: it is in the queried time, and no earlier export has read the line.
    pub(super) fn counts(&self, at: Moment) -> bool {
        !self.stream.origin.is_old && self.wanted.covers(at)
    }

    pub(super) fn no_room(&mut self) {
        self.tally.left_out = self.tally.left_out.saturating_add(1);
    }

    fn refused(&mut self, reason: Option<String>, at: Moment, count: u64) {
        if self.refusals.len() >= MAX_REASONS && !self.refusals.contains_key(&reason) {
            self.no_room();
            return;
        }
        let refusal = self.refusals.entry(reason).or_insert(RefusalCount { count: 0, first: at, last: at });
        refusal.count = refusal.count.saturating_add(count);
        refusal.last = at;
    }

    /// Returns the number of this run of the machine. When a new run begins, all sessions of the previous run have
    /// ended.
    fn enter(&mut self, scope: &str, at: Moment) -> Option<u32> {
        let run = match self.runs.get(scope) {
            Some(run) => *run,
            None if self.runs.len() >= MAX_RUNS => {
                self.no_room();
                return None;
            }
            None => {
                let run = u32::try_from(self.runs.len()).ok()?;
                self.runs.insert(scope.to_owned(), run);
                self.stream.scopes.push(printable(scope, MAX_SHOWN));
                run
            }
        };
        if self.kind == Kind::Text {
            return Some(run);
        }
        if self.run.replace(run).is_some_and(|before| before != run) {
            self.keys.forget_processes();
            self.partial.clear();
            self.ended.clear();
            self.has_lines = false;
            self.tally.losses.restart();
            for (_, session) in core::mem::take(&mut self.open) {
                self.end_session(session, Why::Restart, Some(at));
            }
        } else if let Some(((_, last), _)) = self.span.zip(at.monotonic) {
            self.look_at_clock(last, at);
        }
        Some(run)
    }

    /// Compares the wall clock with the monotonic clock, to detect that the wall clock was set back.
    fn look_at_clock(&mut self, last: Moment, at: Moment) {
        let Some(passed) = last.until(at) else { return };
        let expected = last.wall.saturating_add(passed);
        let back = expected.saturating_sub(at.wall);
        if back > CLOCK_SET && !self.stream.origin.is_old {
            self.tally.stepped_back = self.tally.stepped_back.max(back);
        }
    }
}
