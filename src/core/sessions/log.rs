//! The kind of a log, and process ids in it.

/// The kind of a log. It decides what the join may conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The journal of one machine. Its runs follow one another.
    Journal,
    /// Text files, with lines of any number of machines.
    Text,
}

/// What an export must know about a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Whether an earlier export has read the line.
    pub is_old: bool,
    /// A digest of the line. Zero in a journal, where moments identify lines.
    pub digest: [u8; 16],
}

/// The number of a machine's run (or of a machine, in a text log), and the client's address and port.
pub(super) type ConnectionId = (u32, alloc::string::String, u16);

/// The number of a machine's run (or of a machine, in a text log), and the process id.
pub(super) type ProcessId = (u32, u32);
