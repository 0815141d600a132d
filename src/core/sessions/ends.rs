//! Ends of sessions, from lines of the log and from the processes that run.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cmp::Ordering;

use super::MAX_ROWS;
use super::event::{Connection, Moment};
use super::join::{Join, Kind, Wanted};
use super::joined::{End, JoinedLog, Left, Session, Why};
use super::log::ProcessId;
use super::running::Running;
use super::writer::Attribution;
use crate::order;

/// Maximum number of authentication methods that are counted separately.
const MAX_METHODS: usize = 100;

/// Lines of PAM and logind that are at most this far apart report the same end. In microseconds.
const TOGETHER: u64 = 10_000_000;

impl<W: Wanted> Join<W> {
    pub(super) fn closed(&mut self, process: ProcessId, at: Moment, source: Attribution) {
        if self.open.contains_key(&process) {
            self.tally.ends = self.tally.ends.saturating_add(1);
            self.said_to_end(process, at, source);
        } else if !self.ended.contains(&process) && !self.look_at_source(source, at) {
            self.tally.ends = self.tally.ends.saturating_add(1);
            self.stream.note_end((process, at, source));
            if self.counts(at) {
                self.tally.ends_alone = self.tally.ends_alone.saturating_add(1);
            }
        }
        self.remember_end(process);
    }

    pub(super) fn removed(&mut self, process: ProcessId, at: Moment, source: Attribution) {
        if self.open.contains_key(&process) {
            self.tally.ends = self.tally.ends.saturating_add(1);
            self.said_to_end(process, at, source);
            self.remember_end(process);
        }
    }

    /// Handles a line that reports the end of a session.
    ///
    /// The line does not end the session if it is unattributed or the session's process still runs. The session then
    /// keeps the time of that line, until its process is known to be gone.
    fn said_to_end(&mut self, process: ProcessId, at: Moment, source: Attribution) {
        let Some(mut session) = self.open.remove(&process) else { return };
        if source != Attribution::Unattributed && !session.is_alive {
            // logind reports the end when the last process of the session is gone, which may be hours after PAM's line.
            let said = session.said_end.filter(|said| said.until(at).is_none_or(|gap| gap > TOGETHER));
            if said.is_none() {
                session.end_source = Some(source);
            }
            self.finish(session, End::Closed(said.unwrap_or(at)));
            return;
        }
        if session.said_end.is_none() || session.end_source == Some(Attribution::Unattributed) {
            session.said_end = Some(at);
            session.end_source = Some(source);
        }
        self.open.insert(process, session);
    }

    /// Handles sshd's line about the end of a connection. Without PAM, no other line reports the end of a session. The
    /// line is used only when the session's process is gone: a user can write it.
    pub(super) fn disconnected(
        &mut self,
        run: u32,
        at: Moment,
        connection: Connection,
        (uid, source): (Option<u32>, Attribution),
    ) {
        let Connection { user, address, port } = connection;
        let Some(pid) = self.connections.get(&(run, address, port)) else { return };
        let Some(session) = self.open.get_mut(&(run, *pid)) else { return };
        if user.is_some_and(|user| user != session.login.user) {
            return;
        }
        let reported = Left::At(at, uid, source);
        session.left = match session.left {
            Left::NotReported => {
                self.tally.ends = self.tally.ends.saturating_add(1);
                reported
            }
            before => match before.trust().cmp(&source.trust()) {
                Ordering::Less => reported,
                Ordering::Greater => before,
                // The last line of one writer is the end.
                Ordering::Equal if matches!(before, Left::At(_, writer, _) if writer == uid) => reported,
                Ordering::Equal => Left::Contradicted,
            },
        };
    }

    fn remember_end(&mut self, process: ProcessId) {
        if self.ended.len() >= MAX_ROWS {
            self.ended.clear();
        }
        self.ended.insert(process);
    }

    /// Ends a session whose process was gone at `by` at the latest. If a line has reported the end, the session
    /// ended at the time of that line.
    pub(super) fn end_session(&mut self, mut session: Session, why: Why, by: Option<Moment>) {
        let trust = session.end_source.filter(|_| session.said_end.is_some()).map(Attribution::trust);
        let end = match (session.said_end, session.left) {
            (_, Left::At(at, _, source)) if trust.is_none_or(|trust| trust < source.trust()) => {
                session.end_source = Some(source);
                End::Closed(at)
            }
            (Some(said), _) => End::Closed(said),
            (None, _) => End::Unknown(why, by),
        };
        self.finish(session, end);
    }

    fn finish(&mut self, session: Session, end: End) {
        let end_source = session.end_source.filter(|_| matches!(end, End::Closed(_)));
        let session = Session { end, end_source, ..session };
        let connection = session.connection();
        if self.connections.get(&connection) == Some(&session.login.pid) {
            self.connections.remove(&connection);
        }
        if !self.wanted.session(&session) {
            return;
        }
        let is_new = u64::from(!session.origin.is_old);
        let unattributed = [Some(session.source), end_source];
        let unattributed =
            unattributed.iter().filter(|source| **source == Some(Attribution::Unattributed)).count();
        let unattributed = u64::try_from(unattributed).unwrap_or(u64::MAX).saturating_mul(is_new);
        self.tally.unattributed = self.tally.unattributed.saturating_add(unattributed);
        if end_source == Some(Attribution::User) {
            self.tally.ends_by_users = self.tally.ends_by_users.saturating_add(is_new);
        }
        if session.left == Left::Contradicted && matches!(end, End::Unknown(..)) {
            self.tally.ends_contradict = self.tally.ends_contradict.saturating_add(is_new);
        }
        if session.pushes.is_empty() {
            let others = &mut self.tally.others;
            // sshd has few methods, but a text log can contain any text.
            if others.len() < MAX_METHODS || others.contains_key(&session.login.method) {
                let count = others.entry(session.login.method.clone()).or_default();
                *count = count.saturating_add(1);
            } else {
                self.no_room();
            }
        }
        if self.wanted.lists(&session) {
            self.done.push(session);
        }
    }

    /// Finishes the join after the last line. `later` has the processes that run after the log was read. It is `None`
    /// if the log is not this machine's.
    pub fn end(mut self, later: Option<&Running>) -> JoinedLog {
        let this_run = later.and_then(|later| self.runs.get(&later.boot).copied());
        let this_host: Vec<u32> = later.map(|later| self.runs_of(later)).unwrap_or_default();
        if this_run.is_some() && this_run == self.run {
            self.tally.losses.end(|at| self.wanted.covers(at));
        }
        self.tally.open_before = later.map_or(0, |later| self.count_open_before(later));
        self.tally.open_unlogged = later.map_or(0, |later| self.count_open_unlogged(later));
        for (_, session) in core::mem::take(&mut self.open) {
            let is_here = self.kind == Kind::Journal || this_host.contains(&session.run);
            let Some(later) = later.filter(|_| is_here) else {
                let is_unsure = session.end_source == Some(Attribution::Unattributed);
                let session = Session { said_end: session.said_end.filter(|_| !is_unsure), ..session };
                self.end_session(session, Why::NoEnd, None);
                continue;
            };
            let began = Moment { wall: later.since, monotonic: None };
            let is_over = match self.kind {
                Kind::Journal => Some(session.run) != this_run,
                Kind::Text => session.start.wall < began.wall,
            };
            // A session may have begun or ended while the log was read, without a line yet.
            let has_process = if session.said_end.is_some() {
                session.is_alive && later.has(&session)
            } else {
                session.is_alive || later.has(&session)
            };
            match (is_over, has_process) {
                (true, _) => self.end_session(session, Why::Restart, Some(began)),
                (false, true) => self.finish(session, End::Open),
                (false, false) => self.end_session(session, Why::ProcessGone, None),
            }
        }
        let sessions = order::by_key(self.done, |session| session.sequence);
        let refusals = order::by(self.refusals.into_iter().collect(), |(one, a), (other, b)| {
            b.count.cmp(&a.count).then_with(|| one.cmp(other))
        });
        JoinedLog {
            sessions,
            unused: self.keys.unused(&self.wanted),
            refusals,
            rest: self.stream,
            tally: self.tally,
            span: self.span,
        }
    }

    /// The number of running logins that are older than the log.
    fn count_open_before(&self, later: &Running) -> u64 {
        let Some((first, _)) = self.span else { return 0 };
        let known = self.known_to_run();
        let missing = later.logins_before(first).filter(|pid| !known.contains(pid));
        u64::try_from(missing.count()).unwrap_or(u64::MAX)
    }

    /// The number of logins that ran both before and after the log was read, but have no line although there was time
    /// for one.
    ///
    /// This detects losses early: journald reports dropped lines only with the next line that it accepts.
    fn count_open_unlogged(&self, later: &Running) -> u64 {
        let Some((before, (first, _))) = self.running.as_ref().zip(self.span) else { return 0 };
        let known = self.known_to_run();
        let older: BTreeSet<u32> = later.logins_before(first).collect();
        let stayed = before.let_in.iter().filter(|pid| later.let_in.contains(pid));
        let missing = stayed.filter(|pid| !known.contains(pid) && !older.contains(pid));
        u64::try_from(missing.count()).unwrap_or(u64::MAX)
    }

    /// Process ids of the log's sessions that ran before the log was read.
    fn known_to_run(&self) -> BTreeSet<u32> {
        self.open.values().filter(|session| session.is_alive).map(|session| session.login.pid).collect()
    }

    /// The numbers of the machines with this host name, with or without its domain.
    fn runs_of(&self, running: &Running) -> Vec<u32> {
        self.runs.iter().filter(|(name, _)| running.is_host(name)).map(|(_, run)| *run).collect()
    }
}
