//! Keys that the agent gave to sshd, and the logins that use them.

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::MAX_ROWS;
use super::event::{Accepted, KeyName, KeyProvided, Moment, Push};
use super::joined::{HandedOverKey, Joined, Session};
use super::log::{Origin, ProcessId};
use super::wanted::Wanted;

/// Longest time between a key and its login, in microseconds. It exceeds any `LoginGraceTime` in use (the default is
/// two minutes). After that time, another process may have the process id.
pub(super) const LOGIN: u64 = 600_000_000;

/// The same limit for a match by key and time only, in microseconds. A pushed key is valid for one minute, and sshd
/// asks the agent again when a login uses it.
const LOGIN_BY_KEY: u64 = 120_000_000;

/// Maximum number of pushes of one key that a login in a text log can match. A further push replaces the oldest one of its
/// principal, or else the oldest one. So the pushes of one principal hide no other principal.
const MAX_PUSHES: usize = 64;

/// When this number of keys is reached, unneeded keys are removed for the first time.
const TIDY: usize = 10_000;

/// Machine or run, login name, key, and push.
type Identity = (u32, Option<String>, KeyName, Rc<Push>);

/// A limit was exceeded and a key was dropped.
#[derive(Debug)]
pub(super) struct NoRoom;

/// The keys, indexed in the order of the log.
#[derive(Debug)]
pub(super) struct Keys {
    given: BTreeMap<u64, HandedOverKey>,
    known: BTreeMap<Identity, u64>,
    count: u64,
    /// When this number of keys is reached, unneeded keys are removed the next time.
    tidy_at: usize,
    /// Whether keys that no later login can use are moved to `settled`, instead of being kept until the end.
    pub(super) streams: bool,
    /// Such keys, also those that a login used.
    pub(super) settled: Vec<HandedOverKey>,
    /// Keys by the sshd process that received them, if that process has not accepted a login yet.
    waiting: BTreeMap<ProcessId, Vec<(u64, Moment)>>,
    /// Keys for which the log does not contain the sshd process.
    waiting_by_key: BTreeMap<(u32, KeyName), Vec<u64>>,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self {
            given: BTreeMap::new(),
            known: BTreeMap::new(),
            count: 0,
            tidy_at: TIDY,
            streams: false,
            settled: Vec::new(),
            waiting: BTreeMap::new(),
            waiting_by_key: BTreeMap::new(),
        }
    }

    /// Adds a key and returns its index. A key that was given for the same login before keeps its index.
    pub(super) fn remember(
        &mut self,
        (run, origin): (u32, Origin),
        at: Moment,
        handover: KeyProvided,
        wanted: &impl Wanted,
    ) -> Result<u64, NoRoom> {
        self.count = self.count.saturating_add(1);
        let KeyProvided { user, key, push, .. } = handover;
        let push = Rc::new(push);
        let identity = (run, user.clone(), key.clone(), Rc::clone(&push));
        // sshd asks when the client offers a key, again when the client uses it, and again for each connection.
        let again = self.known.get(&identity).copied().filter(|index| {
            self.given.get(index).and_then(|given| given.last.until(at)).is_some_and(|gap| gap <= LOGIN)
        });
        if let Some(index) = again {
            if let Some(given) = self.given.get_mut(&index) {
                given.last = at;
            }
            return Ok(index);
        }
        if self.given.len() >= self.tidy_at {
            self.tidy(run, at, wanted);
        }
        if self.given.len() >= MAX_ROWS {
            return Err(NoRoom);
        }
        self.known.insert(identity, self.count);
        let given = HandedOverKey { at, user, key, push, run, origin, last: at, used: false };
        self.given.insert(self.count, given);
        Ok(self.count)
    }

    /// Records that a login of `process` may use the key.
    pub(super) fn wait_for(&mut self, process: ProcessId, index: u64, at: Moment) {
        let waiting = self.waiting.entry(process).or_default();
        waiting.retain(|(other, last)| *other != index && last.until(at).is_some_and(|gap| gap <= LOGIN));
        waiting.push((index, at));
    }

    /// Records that a login of any process may use the key.
    ///
    /// # Errors
    ///
    /// [`NoRoom`] if too many pushes of this key are recorded. An older one was dropped.
    pub(super) fn wait_for_any(&mut self, run: u32, key: KeyName, index: u64) -> Result<(), NoRoom> {
        let waiting = self.waiting_by_key.entry((run, key)).or_default();
        if waiting.contains(&index) {
            return Ok(());
        }
        let is_full = waiting.len() >= MAX_PUSHES;
        if is_full {
            let principal = |index| self.given.get(index).map(|given| &given.push.claim().principal);
            let of_same = waiting.iter().position(|other| principal(other) == principal(&index));
            waiting.remove(of_same.unwrap_or_default());
        }
        waiting.push(index);
        if is_full { Err(NoRoom) } else { Ok(()) }
    }

    /// The process has ended without a login.
    pub(super) fn forget_process(&mut self, process: ProcessId) {
        self.waiting.remove(&process);
    }

    /// The machine restarted, so all its processes have ended.
    pub(super) fn forget_processes(&mut self) {
        self.waiting.clear();
    }

    /// Removes keys that no later login can use and that the report does not need.
    fn tidy(&mut self, run: u32, now: Moment, wanted: &impl Wanted) {
        let is_waiting = |last: Moment| last.until(now).is_none_or(|gap| gap <= LOGIN);
        if self.streams {
            // A key of an earlier run of the machine is compared by another monotonic clock. It waits until the end.
            let is_over = |given: &HandedOverKey| given.run == run && !is_waiting(given.last);
            let (over, kept): (BTreeMap<_, _>, BTreeMap<_, _>) =
                core::mem::take(&mut self.given).into_iter().partition(|(_, given)| is_over(given));
            self.given = kept;
            self.settled.extend(over.into_values().filter(|given| given.is_asked_for(wanted)));
        }
        self.given.retain(|_, given| is_waiting(given.last) || (!given.used && given.is_asked_for(wanted)));
        let given = &self.given;
        self.known.retain(|_, index| given.contains_key(index));
        self.waiting.retain(|_, keys| {
            keys.iter().any(|(index, last)| given.contains_key(index) && is_waiting(*last))
        });
        self.waiting_by_key.retain(|_, keys| {
            keys.retain(|index| given.get(index).is_some_and(|given| is_waiting(given.last)));
            !keys.is_empty()
        });
        // Wait until the number has doubled, so that the total work stays linear.
        self.tidy_at = self.given.len().saturating_mul(2).clamp(TIDY, MAX_ROWS);
    }

    /// The line about a key came shortly after the login that used the key.
    pub(super) fn came_late(&mut self, index: u64, session: &mut Session) {
        let Some(given) = self.given.get_mut(&index) else { return };
        if !session.login.key.as_ref().is_some_and(|key| given.fits(key, &session.login.user)) {
            return;
        }
        given.used = true;
        session.joined.get_or_insert(Joined::Exactly);
        if !session.pushes.contains(&given.push) {
            session.pushes.push(Rc::clone(&given.push));
        }
    }

    /// The pushes of the key of this login.
    pub(super) fn used_by(
        &mut self,
        process: ProcessId,
        at: Moment,
        login: &Accepted,
    ) -> (Vec<Rc<Push>>, Option<Joined>) {
        let waiting = self.waiting.remove(&process).unwrap_or_default();
        let Some(key) = &login.key else { return (Vec::new(), None) };
        let is_in_time = |last: Moment, limit| last.until(at).is_some_and(|gap| gap <= limit);
        let is_it = |index: &u64| self.given.get(index).is_some_and(|given| given.fits(key, &login.user));
        let in_time = waiting.iter().filter(|(_, last)| is_in_time(*last, LOGIN)).map(|(index, _)| *index);
        let mut fitting: Vec<u64> = in_time.filter(is_it).collect();
        let mut joined = if key.is_md5() { Joined::ByProcess } else { Joined::Exactly };
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

    /// The keys that no login used and that pass the filter, in the order of the log. In a stream, also those that a login
    /// used.
    pub(super) fn unused(self, wanted: &impl Wanted) -> Vec<HandedOverKey> {
        let streams = self.streams;
        self.given
            .into_values()
            .filter(|given| (streams || !given.used) && given.is_asked_for(wanted))
            .collect()
    }
}

impl HandedOverKey {
    /// Whether this can be the key of a login by `user` with `key`.
    fn fits(&self, key: &KeyName, user: &str) -> bool {
        self.key.may_be(key) && self.user.as_deref().is_none_or(|name| name == user)
    }

    fn is_asked_for(&self, wanted: &impl Wanted) -> bool {
        wanted.moment(self.at, self.user.as_deref(), Some(&self.push))
    }
}
