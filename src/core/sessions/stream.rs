//! What the join keeps for an export.

use alloc::string::String;
use alloc::vec::Vec;

use super::event::{Moment, Push};
use super::log::{Origin, ProcessId};
use super::writer::Attribution;

/// Maximum number of ends without a beginning that are kept.
const MAX_ENDS: usize = 10_000;

/// The end of a session whose beginning is not in the log.
pub(super) type LoneEnd = (ProcessId, Moment, Attribution);

/// The state of a stream.
#[derive(Debug, Default)]
pub struct Stream {
    pub(super) is_on: bool,
    /// Where the current line comes from.
    pub(super) origin: Origin,
    pub(super) refused: Vec<RefusedLine>,
    /// The boot ids or host names, by the number of the run.
    pub(super) scopes: Vec<String>,
    pub(super) lone_ends: Vec<LoneEnd>,
}

/// One line about a refusal.
#[derive(Clone, Debug)]
pub struct RefusedLine {
    pub(super) at: Moment,
    pub(super) run: u32,
    pub(super) origin: Origin,
    pub(super) reason: Option<String>,
    pub(super) user: Option<String>,
    pub(super) push: Option<Push>,
    pub(super) count: u64,
    pub(super) source: Attribution,
}

impl Stream {
    pub(super) fn note_end(&mut self, end: LoneEnd) {
        if self.is_on && self.lone_ends.len() < MAX_ENDS {
            self.lone_ends.push(end);
        }
    }
}
