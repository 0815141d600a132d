//! Which log it is, and which of its machines.

/// Which log it is: what may be concluded from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One machine's, run after run.
    Journal,
    /// Of any number of machines.
    Text,
}

/// Which run of which machine, and its number there.
pub(super) type ProcessId = (u32, u32);
