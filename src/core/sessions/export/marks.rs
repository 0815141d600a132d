//! Which entries of the journal an earlier export has read.

use super::super::event::Moment;
use super::super::log::{Kind, Origin};
use super::Export;
use super::state::JournalMarks;

/// Longest time from the receipt of a line by journald until it is in the journal's file, in microseconds.
const SETTLED: u64 = 2_000_000;

impl Export {
    /// Notes an entry of the journal, and says whether the last export has read it.
    ///
    /// While journalctl reads several files, journald adds entries to them. So journalctl can miss an entry, and find a later
    /// one in another file. So no mark is set in the two seconds before the export. Instead, the state has the ids of the
    /// lines about these entries.
    pub fn entry(&mut self, boot: &str, at: Moment) -> Origin {
        let monotonic = at.monotonic.unwrap_or_default();
        let (mark, count) = self.marks.boots.get(boot).copied().unwrap_or_default();
        let count = if mark == monotonic { count.saturating_add(1) } else { 1 };
        if self.number.is_some() && monotonic >= mark && !self.is_recent(boot, at) {
            self.marks.note(boot, (monotonic, count));
        }
        let Some(before) = &self.before else { return Origin::default() };
        let is_old = before.journal.boots.get(boot).is_some_and(|(last, last_count)| {
            monotonic < *last || (monotonic == *last && count <= *last_count)
        });
        if self.number.is_some() {
            self.marks.last = Some((boot.into(), monotonic));
        }
        self.see(boot, monotonic);
        Origin { is_old, digest: [0; 16] }
    }

    /// Whether journald may have written the entry while the journal was read, or shortly before.
    pub(super) fn is_recent(&self, boot: &str, at: Moment) -> bool {
        let here = self.about.boot.as_ref().filter(|(here, _)| here == boot);
        here.zip(at.monotonic).is_some_and(|((_, up), monotonic)| monotonic > up.saturating_sub(SETTLED))
    }

    /// Notes the first entry of the journal, of any program.
    pub fn begins(&mut self, boot: &str, at: Moment) {
        let monotonic = at.monotonic.unwrap_or_default();
        if self.number.is_some() && self.marks.last.is_none() {
            self.marks.last = Some((boot.into(), monotonic));
        }
        self.see(boot, monotonic);
    }

    /// Whether the journal still has an entry that is not later than the last one of the last export. If not, entries
    /// between the two may be lost.
    fn see(&mut self, boot: &str, monotonic: u64) {
        let last = self.before.as_ref().and_then(|before| before.journal.last.as_ref());
        self.saw_last |= last.is_some_and(|(last_boot, last)| last_boot == boot && monotonic <= *last);
    }

    /// Whether entries may have been removed from the journal before an export could read them.
    #[must_use]
    pub fn has_gap(&self) -> bool {
        self.about.kind == Kind::Journal && !self.saw_last
    }
}

/// Maximum number of runs of the machine in a state. The join reads no more of one journal.
const MAX_BOOTS: usize = 10_000;

impl JournalMarks {
    fn note(&mut self, boot: &str, mark: (u64, u64)) {
        if self.boots.contains_key(boot) || self.boots.len() < MAX_BOOTS {
            self.boots.insert(boot.into(), mark);
        }
    }

    /// The marks of the next state. Runs of the machine that this export did not see are kept while there is room: part of
    /// the journal may only be unreadable for now.
    pub(super) fn after(mut self, before: Self, kind: Kind) -> Self {
        if kind == Kind::Text {
            return before;
        }
        for (boot, mark) in before.boots {
            let is_later = self.boots.get(&boot).is_none_or(|new| *new < mark);
            if is_later {
                self.note(&boot, mark);
            }
        }
        self.last = self.last.or(before.last);
        self
    }
}
