//! Events, in the order of the log, to sessions.

use std::collections::{HashMap, HashSet};

use super::MAX_ROWS;
use super::event::{Accepted, Event, Handover, KeyName, Moment, Push};
use super::found::{End, Found, Refusal, Session, Tally, Why};
use super::keys::Keys;
use super::running::Running;
use crate::order;

/// How much later than sshd's line the agent's may come, though it was written before: journald reads them from two
/// sockets.
const LATE: u64 = 10_000_000;

/// How far the two clocks of an entry may drift apart before somebody has set one.
const CLOCK_SET: u64 = 2_000_000;

/// Most causes of refusals: the agent has some fifty, and a text log may have any.
const MAX_REASONS: usize = 1000;

/// Most methods of other logins.
const MAX_METHODS: usize = 100;

/// Most machines and runs of a machine that one report tells from one another.
const MAX_RUNS: usize = 10_000;

/// Which log it is: what may be concluded from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One machine's, run after run.
    Journal,
    /// Of any number of machines.
    Text,
}

/// What is asked of the log: what does not fit is forgotten at once.
pub trait Wanted {
    /// Whether a session that has ended, or will be looked at as it is, is asked for.
    fn session(&self, session: &Session) -> bool;
    /// Whether one that is asked for is listed, too, or only counted.
    fn lists(&self, session: &Session) -> bool;
    /// Whether a refusal, or a key that nobody used, is asked for.
    fn moment(&self, at: Moment, user: Option<&str>, push: Option<&Push>) -> bool;
}

/// Which run of which machine, and its number there.
pub(super) type Process = (u32, u32);

/// The join, fed one event after another.
pub struct Join<W> {
    kind: Kind,
    wanted: W,
    runs: HashMap<String, u32>,
    run: Option<u32>,
    keys: Keys,
    /// The first proofs of logins that take several.
    partial: HashMap<Process, KeyName>,
    open: HashMap<Process, Session>,
    /// Processes whose session has ended: PAM and logind both say so.
    ended: HashSet<Process>,
    done: Vec<Session>,
    refusals: HashMap<Option<String>, Refusal>,
    tally: Tally,
    span: Option<(Moment, Moment)>,
    sequence: u64,
}

impl<W: Wanted> Join<W> {
    /// Before the first line.
    pub fn new(kind: Kind, wanted: W) -> Self {
        Self {
            kind,
            wanted,
            runs: HashMap::new(),
            run: None,
            keys: Keys::new(),
            partial: HashMap::new(),
            open: HashMap::new(),
            ended: HashSet::new(),
            done: Vec::new(),
            refusals: HashMap::new(),
            tally: Tally::default(),
            span: None,
            sequence: 0,
        }
    }

    /// How far the log reaches: a line of it, whatever it tells.
    pub fn saw(&mut self, at: Moment) {
        let (mut first, mut last) = self.span.unwrap_or((at, at));
        if self.kind == Kind::Journal || at.wall > last.wall {
            last = at;
        }
        if at.wall < first.wall {
            first = at;
        }
        self.span = Some((first, last));
    }

    /// The next line. `scope` is the run of the machine that it is of, or the machine's name.
    pub fn take(&mut self, scope: &str, at: Moment, event: Option<Event>) {
        let Some(run) = self.enter(scope, at) else { return };
        self.saw(at);
        match event {
            Some(Event::Provided(handover)) => self.provided(run, at, handover),
            Some(Event::Refused { reason, user, push, count })
                if self.wanted.moment(at, user.as_deref(), push.as_ref()) =>
            {
                self.refused(reason, at, count);
            }
            Some(Event::Accepted(login)) => self.accepted(run, at, login),
            Some(Event::Partial(login)) => {
                if let Some(key) = login.key.filter(|_| self.partial.len() < MAX_ROWS) {
                    self.partial.insert((run, login.pid), key);
                }
            }
            Some(Event::Opened { pid }) if !self.open.contains_key(&(run, pid)) => {
                self.tally.silent = self.tally.silent.saturating_add(1);
            }
            // Nothing, what nobody asked for, and what was to be expected.
            None | Some(Event::Refused { .. } | Event::Opened { .. }) => {}
            Some(Event::Closed { pid }) => self.closed((run, pid), at),
            Some(Event::Removed { pid }) => self.removed((run, pid), at),
            Some(Event::Disbelieved { uid }) => {
                // An attacker has few user ids; where he has many, their sum is enough.
                let many = self.tally.disbelieved.len() >= 100;
                let uid = if many && !self.tally.disbelieved.contains_key(&uid) { u32::MAX } else { uid };
                let lines = self.tally.disbelieved.entry(uid).or_default();
                *lines = lines.saturating_add(1);
            }
        }
    }

    fn no_room(&mut self) {
        self.tally.left_out = self.tally.left_out.saturating_add(1);
    }

    fn refused(&mut self, reason: Option<String>, at: Moment, count: u64) {
        if self.refusals.len() >= MAX_REASONS && !self.refusals.contains_key(&reason) {
            self.no_room();
            return;
        }
        let refusal = self.refusals.entry(reason).or_insert(Refusal { count: 0, first: at, last: at });
        refusal.count = refusal.count.saturating_add(count);
        refusal.last = at;
    }

    /// The number of this run of the machine. When the next one begins, every session of the one before is over.
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
            for (_, session) in std::mem::take(&mut self.open) {
                self.finish(session, End::Unknown(Why::Restart, Some(at)));
            }
        } else if let Some(((_, last), _)) = self.span.zip(at.monotonic) {
            self.look_at_clock(last, at);
        }
        Some(run)
    }

    /// The clock that people set, beside the one that nobody sets.
    fn look_at_clock(&mut self, last: Moment, at: Moment) {
        let Some(passed) = last.until(at) else { return };
        let expected = last.wall.saturating_add(passed);
        let back = expected.saturating_sub(at.wall);
        if back > CLOCK_SET {
            self.tally.stepped_back = self.tally.stepped_back.max(back);
        }
    }

    fn provided(&mut self, run: u32, at: Moment, handover: Handover) {
        self.tally.given = self.tally.given.saturating_add(1);
        let (sshd, key) = (handover.sshd, handover.key.clone());
        let Ok(index) = self.keys.remember(run, at, handover, &self.wanted) else {
            self.no_room();
            return;
        };
        let Some(pid) = sshd else {
            if self.keys.wait_for_any(run, key, index).is_err() {
                self.no_room();
            }
            return;
        };
        let process = (run, pid);
        if let Some(session) = self.open.get_mut(&process) {
            if session.start.until(at).is_some_and(|gap| gap <= LATE) {
                self.keys.came_late(index, session);
                return;
            }
        }
        // A process that let somebody in asks for no more keys: this is another one with its number.
        if let Some(session) = self.open.remove(&process) {
            self.finish(session, End::Unknown(Why::PidReused, Some(at)));
        }
        self.keys.wait_for(process, index, at);
    }

    fn accepted(&mut self, run: u32, at: Moment, mut login: Accepted) {
        self.tally.logins = self.tally.logins.saturating_add(1);
        self.sequence = self.sequence.saturating_add(1);
        let process = (run, login.pid);
        if let Some(session) = self.open.remove(&process) {
            self.finish(session, End::Unknown(Why::PidReused, Some(at)));
        }
        self.ended.remove(&process);
        let first_proof = self.partial.remove(&process);
        if login.key.is_none() && login.method != "publickey" {
            login.key = first_proof;
        }
        let (pushes, joined) = self.keys.used_by(process, at, &login);
        let is_md5 = login.key.as_ref().is_some_and(KeyName::is_md5);
        let count = |tally: &mut u64, is_one: bool| *tally = tally.saturating_add(u64::from(is_one));
        let mut pairs = pushes.iter().zip(pushes.iter().skip(1));
        let is_shared = pairs.any(|(one, next)| one.claim().principal != next.claim().principal);
        count(&mut self.tally.ambiguous, is_shared);
        count(&mut self.tally.by_md5, is_md5 && (pushes.len() > 1 || self.kind == Kind::Text));
        if self.open.len().saturating_add(self.done.len()) >= MAX_ROWS {
            self.no_room();
            return;
        }
        let sequence = self.sequence;
        let session = Session { start: at, login, pushes, joined, end: End::Open, run, sequence };
        self.open.insert(process, session);
    }

    fn closed(&mut self, process: Process, at: Moment) {
        self.tally.ends = self.tally.ends.saturating_add(1);
        if let Some(session) = self.open.remove(&process) {
            self.finish(session, End::Closed(at));
        } else if !self.ended.contains(&process) {
            self.tally.ends_alone = self.tally.ends_alone.saturating_add(1);
        }
        self.remember_end(process);
    }

    fn removed(&mut self, process: Process, at: Moment) {
        if let Some(session) = self.open.remove(&process) {
            self.tally.ends = self.tally.ends.saturating_add(1);
            self.finish(session, End::Closed(at));
            self.remember_end(process);
        }
    }

    fn remember_end(&mut self, process: Process) {
        if self.ended.len() >= MAX_ROWS {
            self.ended.clear();
        }
        self.ended.insert(process);
    }

    fn finish(&mut self, session: Session, end: End) {
        let session = Session { end, ..session };
        if !self.wanted.session(&session) {
            return;
        }
        if session.pushes.is_empty() {
            let others = &mut self.tally.others;
            // sshd has a handful of methods; a text log may have any.
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

    /// After the last line. `running` is what this machine runs now, where it is the one of the log.
    pub fn end(mut self, running: Option<&Running>) -> Found {
        let this_run = running.and_then(|running| self.runs.get(&running.boot).copied());
        let this_host: Vec<u32> = running.map(|running| self.runs_of(&running.host)).unwrap_or_default();
        for (_, session) in std::mem::take(&mut self.open) {
            let is_here = self.kind == Kind::Journal || this_host.contains(&session.run);
            let end = match running.filter(|_| is_here) {
                None => End::Unknown(Why::NoEnd, None),
                Some(running) => {
                    let began = Moment { wall: running.since, monotonic: None };
                    let is_over = match self.kind {
                        Kind::Journal => Some(session.run) != this_run,
                        Kind::Text => session.start.wall < began.wall,
                    };
                    match (is_over, running.has(&session)) {
                        (true, _) => End::Unknown(Why::Restart, Some(began)),
                        (false, true) => End::Open,
                        (false, false) => End::Unknown(Why::ProcessGone, None),
                    }
                }
            };
            self.finish(session, end);
        }
        let sessions = order::by_key(self.done, |session| session.sequence);
        let refusals = order::by(self.refusals.into_iter().collect(), |(one, a), (other, b)| {
            b.count.cmp(&a.count).then_with(|| one.cmp(other))
        });
        Found {
            sessions,
            unused: self.keys.unused(&self.wanted),
            refusals,
            tally: self.tally,
            span: self.span,
        }
    }

    /// Machines of that name, with or without its domain.
    fn runs_of(&self, host: &str) -> Vec<u32> {
        let label = |name: &str| name.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let is_it = |(name, _): &(&String, &u32)| label(name) == label(host);
        self.runs.iter().filter(is_it).map(|(_, run)| *run).collect()
    }
}
