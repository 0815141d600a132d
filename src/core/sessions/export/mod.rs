//! Exports: one line of JSON for each event, and a state with which the next export continues.
//!
//! | file | holds |
//! | --- | --- |
//! | [`event`] | the form of the lines, and their ids |
//! | `events` | from the events of the log to lines |
//! | `cover` | the last line, and the next state |
//! | [`state`] | the state, and how its bytes are read |
//! | `marks` | which lines of the log an earlier export has read |
//! | `waiting` | events that can still change |
//!
//! The id of an event depends only on the lines of the log that report it. So a repeated export has the same ids.
//!
//! Each export reads the whole log, because the lines about one session can be far apart. A line that an earlier export
//! has read makes no event, except if that event was still open.

mod cover;
pub mod event;
mod events;
mod marks;
pub mod state;
mod waiting;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};

use super::event::Moment;
use super::joined::{HandedOverKey, Session};
use super::log::Kind;
use super::running::Running;
use super::streaming::Ready;
use crate::instance_facts::InstanceFacts;
use crate::time::Timestamp;
use state::{ExportState, Waiting};

const MICROS: u64 = 1_000_000;

/// What an export is about.
#[derive(Debug)]
pub struct About {
    /// The instance.
    pub facts: InstanceFacts,
    /// The instance id that the firmware has, if the log is this machine's. Ids of events in text logs depend on it.
    pub firmware: Option<String>,
    /// The kind of the log.
    pub kind: Kind,
    /// The instant of the export.
    pub now: Timestamp,
    /// This run of the machine and how long it lasts, in microseconds. `None` if the log is another machine's.
    pub boot: Option<(String, u64)>,
    /// Whether sessions without a pushed key are written.
    pub all: bool,
}

/// An export. Lines collect in `lines` until the caller takes them.
#[derive(Debug)]
pub struct Export {
    about: About,
    exported_at: String,
    /// The state of the last export. `None` without a state.
    before: Option<ExportState>,
    /// The number of this export, and the marks so far.
    number: Option<u64>,
    marks: state::JournalMarks,
    saw_last: bool,
    /// Waiting events of the last export that this one has not met.
    waited: BTreeMap<String, Waiting>,
    /// Events that wait for the next export.
    waiting: BTreeMap<String, Waiting>,
    waiting_bytes: usize,
    /// Ids of lines about entries that are later than the marks.
    recent: BTreeSet<String>,
    /// Waiting events for which there was no room.
    given_up: u64,
    counts: [u64; 3],
    lines: String,
}

impl Export {
    /// Starts an export, which continues `before`.
    #[must_use]
    pub fn new(about: About, before: Option<ExportState>) -> Self {
        let waited = before.as_ref().map(|before| before.waiting.clone()).unwrap_or_default();
        let number = before.as_ref().map(|before| before.exports.saturating_add(1));
        let saw_last = before.as_ref().is_none_or(|before| before.journal.last.is_none());
        Self {
            exported_at: about.now.to_string(),
            about,
            before,
            number,
            marks: state::JournalMarks::default(),
            saw_last,
            waited,
            waiting: BTreeMap::new(),
            waiting_bytes: 0,
            recent: BTreeSet::new(),
            given_up: 0,
            counts: [0; 3],
            lines: String::new(),
        }
    }

    /// Takes events that no later line can change.
    pub fn take(&mut self, ready: Ready, scopes: &[String]) {
        let Ready { sessions, keys, refused } = ready;
        for session in sessions {
            self.session(&session, scope(scopes, session.run), false);
        }
        for key in keys {
            self.key(&key, scope(scopes, key.run), true);
        }
        for line in refused {
            self.refusal(&line, scope(scopes, line.run));
        }
    }

    /// The lines so far. The caller writes them.
    pub fn lines(&mut self) -> String {
        core::mem::take(&mut self.lines)
    }

    /// The number of bytes of the lines so far.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.lines.len()
    }

    /// Whether this moment is more than `limit` microseconds ago. In a journal, the monotonic clock decides.
    fn is_past(&self, at: Moment, scope: &str, limit: u64) -> bool {
        match (&self.about.boot, at.monotonic) {
            (Some((boot, up)), Some(monotonic)) if boot == scope => up.saturating_sub(monotonic) > limit,
            // The machine was started again.
            (Some(_), Some(_)) => true,
            _ => {
                let now = self.about.now.as_unix().saturating_mul(MICROS);
                // After a clock was set back, a moment can be in the future.
                now.abs_diff(at.wall) > limit
            }
        }
    }

    /// Takes the rest of the log, after its last line.
    pub fn finish(
        &mut self,
        sessions: &[Session],
        keys: &[HandedOverKey],
        rest: &super::stream::Stream,
        later: Option<&Running>,
    ) {
        for session in sessions {
            self.session(session, scope(&rest.scopes, session.run), true);
        }
        for key in keys {
            self.key(key, scope(&rest.scopes, key.run), false);
        }
        for (id, waited) in core::mem::take(&mut self.waited) {
            self.without_lines(id, waited, rest, later);
        }
    }

    /// The number of events whose end no later export will have, because too many wait.
    #[must_use]
    pub const fn given_up(&self) -> u64 {
        self.given_up
    }
}

fn scope(scopes: &[String], run: u32) -> &str {
    usize::try_from(run).ok().and_then(|run| scopes.get(run)).map_or("", String::as_str)
}
