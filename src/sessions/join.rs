//! Events, in the order of the log, to sessions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::MAX_ROWS;
use super::event::{Accepted, Event, Handover, KeyName, Moment, Push};
use crate::order;

/// How long sshd may take from a key that it was given to the login: any `LoginGraceTime` that is in use, its
/// default being two minutes. After that, the process number is somebody else's.
const LOGIN: u64 = 600_000_000;

/// The same where only time and key tell which login a key was for: a key lives for a minute, and sshd asks for it
/// again when it is used.
const LOGIN_BY_KEY: u64 = 120_000_000;

/// Most pushes of one key that a login in a text log is matched with: of those that wait, the last ones.
const MAX_PUSHES: usize = 64;

/// How many keys may wait before it is worth to look which are of no use any more.
const TIDY: usize = 10_000;

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
    /// Who pushed the key: one, or several where several pushed the same key. Nobody, for a login by other means.
    pub pushes: Vec<Rc<Push>>,
    /// How that is known; none for a login by other means.
    pub joined: Option<Joined>,
    /// What became of it.
    pub end: End,
    run: u32,
    sequence: u64,
}

/// A key that sshd was given.
#[derive(Clone, Debug)]
pub struct Given {
    /// When, first.
    pub at: Moment,
    /// For which login name, where the log says it.
    pub user: Option<String>,
    /// The key.
    pub key: KeyName,
    /// Who pushed it.
    pub push: Rc<Push>,
    last: Moment,
    used: bool,
}

/// A cause of refusals.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// How many keys.
    pub count: u64,
    /// The first line.
    pub first: Moment,
    /// The last line.
    pub last: Moment,
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
    fn has(&self, session: &Session) -> bool {
        self.sshd.get(&session.login.pid).is_some_and(|(wall, since_start)| {
            let monotonic = session.start.monotonic;
            *wall <= session.start.wall.saturating_add(Self::SLACK)
                || monotonic.is_some_and(|start| *since_start <= start.saturating_add(Self::SLACK))
        })
    }
}

/// What was found besides.
#[derive(Clone, Debug, Default)]
pub struct Tally {
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
    /// Sessions for which several pushes may have been the one.
    pub ambiguous: u64,
    /// Logins whose key sshd names by MD5, where that leaves open who pushed it.
    pub by_md5: u64,
    /// By how many microseconds the clock was set back at most.
    pub stepped_back: u64,
    /// Lines in the name of others, by who wrote them.
    pub disbelieved: HashMap<u32, u64>,
    /// What there was no room for.
    pub left_out: u64,
}

/// All that a log told.
#[derive(Debug)]
pub struct Found {
    /// In the order of their beginnings.
    pub sessions: Vec<Session>,
    /// Keys that were given and that nobody logged in with, in the order of the log.
    pub unused: Vec<Given>,
    /// Refusals by their cause.
    pub refusals: Vec<(Option<String>, Refusal)>,
    /// The rest.
    pub tally: Tally,
    /// The first and the last moment.
    pub span: Option<(Moment, Moment)>,
}

type Process = (u32, u32);
/// Which machine, which login name, which key, who pushed it.
type Identity = (u32, Option<String>, KeyName, Rc<Push>);

/// The join, fed one event after another.
pub struct Join<W> {
    kind: Kind,
    wanted: W,
    runs: HashMap<String, u32>,
    run: Option<u32>,
    given: BTreeMap<u64, Given>,
    known: HashMap<Identity, u64>,
    /// How many there are when those that have become of no use are forgotten.
    tidy_at: usize,
    /// Keys given to a process that has not let anybody in so far.
    waiting: HashMap<Process, Vec<(u64, Moment)>>,
    /// Keys of which the log does not say to which process they were given.
    waiting_by_key: HashMap<(u32, KeyName), Vec<u64>>,
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
            given: BTreeMap::new(),
            known: HashMap::new(),
            tidy_at: TIDY,
            waiting: HashMap::new(),
            waiting_by_key: HashMap::new(),
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

    fn refused(&mut self, reason: Option<String>, at: Moment, count: u64) {
        if self.refusals.len() >= MAX_REASONS && !self.refusals.contains_key(&reason) {
            self.tally.left_out = self.tally.left_out.saturating_add(1);
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
                self.tally.left_out = self.tally.left_out.saturating_add(1);
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
            self.waiting.clear();
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
        let Handover { sshd, user, key, push } = handover;
        let push = Rc::new(push);
        let identity = (run, user.clone(), key.clone(), Rc::clone(&push));
        // sshd asks when a key is offered and again when it is used, and once more for every connection.
        let again = self.known.get(&identity).copied().filter(|index| {
            self.given.get(index).and_then(|given| given.last.until(at)).is_some_and(|gap| gap <= LOGIN)
        });
        if again.is_none() && self.given.len() >= self.tidy_at {
            self.tidy(at);
        }
        let index = match again {
            Some(index) => index,
            None if self.given.len() >= MAX_ROWS => {
                self.tally.left_out = self.tally.left_out.saturating_add(1);
                return;
            }
            None => {
                self.known.insert(identity, self.tally.given);
                let given = Given { at, user, key: key.clone(), push, last: at, used: false };
                self.given.insert(self.tally.given, given);
                self.tally.given
            }
        };
        if let Some(given) = self.given.get_mut(&index) {
            given.last = at;
        }
        let Some(pid) = sshd else {
            let waiting = self.waiting_by_key.entry((run, key)).or_default();
            if !waiting.contains(&index) {
                if waiting.len() >= MAX_PUSHES {
                    self.tally.left_out = self.tally.left_out.saturating_add(1);
                    waiting.remove(0);
                }
                waiting.push(index);
            }
            return;
        };
        if let Some(session) = self.open.get_mut(&(run, pid)) {
            if session.start.until(at).is_some_and(|gap| gap <= LATE) {
                self.late(run, pid, index);
                return;
            }
        }
        // A process that let somebody in asks for no more keys: this is another one with its number.
        if let Some(session) = self.open.remove(&(run, pid)) {
            self.finish(session, End::Unknown(Why::PidReused, Some(at)));
        }
        let waiting = self.waiting.entry((run, pid)).or_default();
        waiting.retain(|(other, last)| *other != index && last.until(at).is_some_and(|gap| gap <= LOGIN));
        waiting.push((index, at));
    }

    /// Forgets the keys that no login can be joined with any more, and that the report does not need.
    fn tidy(&mut self, now: Moment) {
        let is_waiting = |last: Moment| last.until(now).is_none_or(|gap| gap <= LOGIN);
        let wanted = &self.wanted;
        self.given.retain(|_, given| {
            is_waiting(given.last)
                || (!given.used && wanted.moment(given.at, given.user.as_deref(), Some(&given.push)))
        });
        let given = &self.given;
        self.known.retain(|_, index| given.contains_key(index));
        self.waiting.retain(|_, keys| {
            keys.iter().any(|(index, last)| given.contains_key(index) && is_waiting(*last))
        });
        self.waiting_by_key.retain(|_, keys| {
            keys.retain(|index| given.get(index).is_some_and(|given| is_waiting(given.last)));
            !keys.is_empty()
        });
        // What there is then is gone through again when it is twice as much.
        self.tidy_at = self.given.len().saturating_mul(2).clamp(TIDY, MAX_ROWS);
    }

    /// A key was given to a process that has let somebody in by now.
    fn late(&mut self, run: u32, pid: u32, index: u64) {
        let (Some(session), Some(given)) = (self.open.get_mut(&(run, pid)), self.given.get_mut(&index))
        else {
            return;
        };
        if !session.login.key.as_ref().is_some_and(|key| fits(given, key, &session.login.user)) {
            return;
        }
        given.used = true;
        session.joined.get_or_insert(Joined::Exactly);
        if !session.pushes.contains(&given.push) {
            session.pushes.push(Rc::clone(&given.push));
        }
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
        let (pushes, joined) = self.pushes(process, at, &login);
        let is_md5 = login.key.as_ref().is_some_and(KeyName::is_md5);
        let count = |tally: &mut u64, is_one: bool| *tally = tally.saturating_add(u64::from(is_one));
        count(&mut self.tally.ambiguous, pushes.len() > 1);
        count(&mut self.tally.by_md5, is_md5 && (pushes.len() > 1 || self.kind == Kind::Text));
        if self.open.len().saturating_add(self.done.len()) >= MAX_ROWS {
            self.tally.left_out = self.tally.left_out.saturating_add(1);
            return;
        }
        let sequence = self.sequence;
        let session = Session { start: at, login, pushes, joined, end: End::Open, run, sequence };
        self.open.insert(process, session);
    }

    /// Who pushed the key of this login.
    fn pushes(&mut self, process: Process, at: Moment, login: &Accepted) -> (Vec<Rc<Push>>, Option<Joined>) {
        let waiting = self.waiting.remove(&process).unwrap_or_default();
        let Some(key) = &login.key else { return (Vec::new(), None) };
        let is_in_time = |last: Moment, limit| last.until(at).is_some_and(|gap| gap <= limit);
        let mut fitting: Vec<u64> = Vec::new();
        let in_time = waiting.iter().filter(|(_, last)| is_in_time(*last, LOGIN)).map(|(index, _)| *index);
        let is_it = |index: &u64| self.given.get(index).is_some_and(|given| fits(given, key, &login.user));
        fitting.extend(in_time.filter(is_it));
        let exactly = if key.is_md5() { Joined::ByProcess } else { Joined::Exactly };
        let mut joined = exactly;
        if fitting.is_empty() {
            joined = Joined::ByKey;
            if let Some(waiting) = self.waiting_by_key.get_mut(&(process.0, key.clone())) {
                let given = &self.given;
                waiting.retain(|index| {
                    given.get(index).is_some_and(|given| is_in_time(given.last, LOGIN_BY_KEY))
                });
                fitting.clone_from(waiting);
            }
        }
        let mut pushes: Vec<Rc<Push>> = Vec::new();
        for index in fitting {
            if let Some(given) = self.given.get_mut(&index) {
                given.used = true;
                if !pushes.contains(&given.push) {
                    pushes.push(Rc::clone(&given.push));
                }
            }
        }
        let joined = (!pushes.is_empty()).then_some(joined);
        (pushes, joined)
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
                self.tally.left_out = self.tally.left_out.saturating_add(1);
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
        let wanted = &self.wanted;
        let asked_for =
            |given: &Given| !given.used && wanted.moment(given.at, given.user.as_deref(), Some(&given.push));
        let refusals = order::by(self.refusals.into_iter().collect(), |(one, a), (other, b)| {
            b.count.cmp(&a.count).then_with(|| one.cmp(other))
        });
        Found {
            sessions,
            unused: self.given.into_values().filter(asked_for).collect(),
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

/// Whether a key that was given can be the one of this login.
fn fits(given: &Given, key: &KeyName, user: &str) -> bool {
    given.key.may_be(key) && given.user.as_deref().is_none_or(|name| name == user)
}
