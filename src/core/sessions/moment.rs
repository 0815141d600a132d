//! An instant in a log.

/// An instant in a log, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970, by the wall clock. This clock can be set.
    pub wall: u64,
    /// Microseconds since the machine started, by the monotonic clock. Only the journal has this.
    pub monotonic: Option<u64>,
}

impl Moment {
    /// Microseconds from this moment to a later one of the same run of the machine. Uses the monotonic clock if both
    /// moments have it. `None` if the other moment is earlier.
    #[must_use]
    pub fn until(self, later: Self) -> Option<u64> {
        match (self.monotonic, later.monotonic) {
            (Some(from), Some(to)) => to.checked_sub(from),
            _ => later.wall.checked_sub(self.wall),
        }
    }
}
