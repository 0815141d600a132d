//! An instant of a log.

/// An instant of a log, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since 1970, by the clock that people set.
    pub wall: u64,
    /// Since the machine started, by the one that nobody sets. Only the journal has it.
    pub monotonic: Option<u64>,
}

impl Moment {
    /// Microseconds from this moment to a later one of the same run of the machine. Without the clock that nobody
    /// sets, none where the other is earlier.
    #[must_use]
    pub fn until(self, later: Self) -> Option<u64> {
        match (self.monotonic, later.monotonic) {
            (Some(from), Some(to)) => to.checked_sub(from),
            _ => later.wall.checked_sub(self.wall),
        }
    }
}
