//! The join as a stream: events leave it as soon as no later line can change them. So the memory of an export does not
//! grow with the log.

use alloc::string::String;
use alloc::vec::Vec;

use super::join::{Join, Wanted};
use super::joined::{HandedOverKey, Session, Why};
use super::log::{Origin, ProcessId};
use super::stream::RefusedLine;
use crate::order;

/// Maximum number of open sessions in a stream. Beyond it, the older half counts as ended at an unknown time.
const MAX_OPEN: usize = 20_000;

/// Events that no later line can change.
#[derive(Debug)]
pub struct Ready {
    pub(super) sessions: Vec<Session>,
    pub(super) keys: Vec<HandedOverKey>,
    pub(super) refused: Vec<RefusedLine>,
}

impl<W: Wanted> Join<W> {
    /// Makes this join a stream.
    #[must_use]
    pub fn streaming(mut self) -> Self {
        self.stream.is_on = true;
        self.keys.streams = true;
        self
    }

    /// Says where the next line comes from.
    pub fn comes_from(&mut self, origin: Origin) {
        self.stream.origin = origin;
    }

    /// The boot ids of a journal, or the host names of text logs, that the join knows so far.
    #[must_use]
    pub fn scopes(&self) -> &[String] {
        &self.stream.scopes
    }

    /// Takes out the events that no later line can change.
    pub fn ready(&mut self) -> Ready {
        Ready {
            sessions: core::mem::take(&mut self.done),
            keys: core::mem::take(&mut self.keys.settled),
            refused: core::mem::take(&mut self.stream.refused),
        }
    }

    /// In a stream, makes room for another open session.
    pub(super) fn make_room(&mut self) {
        if !self.stream.is_on || self.open.len() < MAX_OPEN {
            return;
        }
        let processes = self.open.iter().map(|(process, session)| (session.sequence, *process)).collect();
        let in_order = order::by_key(processes, |(sequence, _): &(u64, ProcessId)| *sequence);
        for (_, process) in in_order.into_iter().take(MAX_OPEN / 2) {
            if let Some(session) = self.open.remove(&process) {
                self.end_session(session, Why::NoEnd, None);
            }
        }
    }
}
