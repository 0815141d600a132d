//! Keys that the agent gave to sshd, and logins, as the join takes them.

use super::MAX_ROWS;
use super::event::{Accepted, KeyName, KeyProvided, Moment};
use super::join::{Join, Kind, Wanted};
use super::joined::{End, Left, Session, Why};
use super::writer::Attribution;

/// How much later than sshd's line the agent's line can arrive, in microseconds. The agent writes its line first, but
/// journald reads the two lines from two sockets.
pub(super) const LATE: u64 = 10_000_000;

impl<W: Wanted> Join<W> {
    pub(super) fn provided(&mut self, run: u32, at: Moment, handover: KeyProvided) {
        self.tally.given = self.tally.given.saturating_add(1);
        handover.of_each_request().for_each(|handover| self.pushed(run, at, handover));
    }

    fn pushed(&mut self, run: u32, at: Moment, handover: KeyProvided) {
        let (sshd, key) = (handover.sshd, handover.key.clone());
        let Ok(index) = self.keys.remember((run, self.stream.origin), at, handover, &self.wanted) else {
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
        // A process that accepted a login does not ask for keys again. So this is another process with the same id.
        if let Some(session) = self.open.remove(&process) {
            self.end_session(session, Why::PidReused, Some(at));
        }
        self.keys.wait_for(process, index, at);
    }

    pub(super) fn accepted(
        &mut self,
        scope: &str,
        run: u32,
        at: Moment,
        mut login: Accepted,
        mut source: Attribution,
    ) {
        self.tally.logins = self.tally.logins.saturating_add(1);
        self.sequence = self.sequence.saturating_add(1);
        let process = (run, login.pid);
        if let Some(session) = self.open.remove(&process) {
            self.end_session(session, Why::PidReused, Some(at));
        }
        self.ended.remove(&process);
        let first_proof = self.partial.remove(&process);
        if login.key.is_none() && login.method != "publickey" {
            if let Some((key, proof_source)) = first_proof {
                login.key = Some(key);
                if proof_source == Attribution::Unattributed {
                    source = proof_source;
                }
            }
        }
        let (pushes, joined) = self.keys.used_by(process, at, &login);
        let is_md5 = login.key.as_ref().is_some_and(KeyName::is_md5);
        let count = |tally: &mut u64, is_one: bool| *tally = tally.saturating_add(u64::from(is_one));
        let mut pairs = pushes.iter().zip(pushes.iter().skip(1));
        let is_shared = pairs.any(|(one, next)| one.claim().principal != next.claim().principal);
        let is_new = !self.stream.origin.is_old;
        count(&mut self.tally.ambiguous, is_shared && is_new);
        count(&mut self.tally.by_md5, is_new && is_md5 && (pushes.len() > 1 || self.kind == Kind::Text));
        self.make_room();
        if self.open.len().saturating_add(self.done.len()) >= MAX_ROWS {
            self.no_room();
            return;
        }
        let sequence = self.sequence;
        let mut session = Session {
            start: at,
            login,
            source,
            pushes,
            joined,
            end: End::Open,
            end_source: None,
            said_end: None,
            left: Left::NotReported,
            is_alive: false,
            run,
            origin: self.stream.origin,
            sequence,
        };
        session.is_alive =
            self.running.as_ref().is_some_and(|running| running.is_of(self.kind, scope, &session));
        self.connections.insert(session.connection(), process.1);
        self.open.insert(process, session);
    }
}
