//! The state of an export: where the next one continues.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::event::digest;

/// The first words of a state. The version and the digest of the rest follow.
const MAGIC: &str = "eic-agent sessions state ";
const VERSION: u64 = 1;

/// Largest state, in bytes. The waiting events have at most half of it.
pub const MAX_STATE_BYTES: usize = 64 * 1024 * 1024;

/// The state after an export.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportState {
    /// A random name. Lines name it, so that the exports of one state belong together.
    pub(super) id: String,
    /// The number of finished exports.
    pub(super) exports: u64,
    pub(super) instance_id: Option<String>,
    /// The query. A state is only good for the same one.
    pub(super) query: Query,
    pub(super) exported_at: u64,
    pub(super) journal: JournalMarks,
    pub(super) files: Vec<FileMark>,
    pub(super) waiting: BTreeMap<String, Waiting>,
    /// Ids of lines about entries that are later than the marks.
    pub(super) recent: BTreeSet<String>,
}

/// The parts of a query that decide which events an export has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// `--all`
    pub all: bool,
    /// `--agent-user`
    pub agent_user: String,
}

/// How far the journal was read: for each run of the machine, the last monotonic time, and the number of entries at that
/// time. This clock is never set, and the journal only grows, so the rest of a run is what came later. The marks leave out
/// the last two seconds: see `Export::entry`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct JournalMarks {
    pub(super) boots: BTreeMap<String, (u64, u64)>,
    /// The boot and the monotonic time of the last entry.
    pub(super) last: Option<(String, u64)>,
}

/// How far a text log was read. Its name changes with each rotation, so its first bytes identify it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    /// A digest of the first bytes.
    pub(super) head: String,
    /// The number of these bytes.
    pub(super) head_bytes: u64,
    /// The number of bytes that were read: whole lines.
    pub(super) offset: u64,
    /// A digest of the last of these bytes. Empty if the file was compressed, so no program adds to it.
    pub(super) tail: String,
    /// Whether lines were still added to the file, by its name or its place.
    pub(super) is_newest: bool,
    /// The size of the file, if its last line was not finished.
    pub(super) unfinished: Option<u64>,
}

/// An event that an earlier export may have written, and that can still change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// The boot id or the host name.
    pub(super) scope: String,
    pub(super) wall: u64,
    pub(super) monotonic: Option<u64>,
    /// sshd's process. `None` for a key.
    pub(super) pid: Option<u32>,
    /// What an export wrote last about it. `None`: nothing yet.
    pub(super) told: Option<String>,
    /// The line.
    pub(super) event: String,
}

/// Why a state cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFault {
    /// The file is no state.
    NotAState,
    /// A newer release of the agent wrote it.
    Newer(u64),
    /// Its content is damaged.
    Damaged,
}

impl ExportState {
    /// Makes the state of a first export. `id` is random.
    #[must_use]
    pub fn new(id: String, query: Query) -> Self {
        Self { id, query, ..Self::default() }
    }

    /// Parses the content of a state's file.
    pub fn parse(bytes: &[u8]) -> Result<Self, StateFault> {
        let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or(StateFault::NotAState)?;
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or(StateFault::Damaged)?;
        let (line, body) = rest.split_at_checked(end.saturating_add(1)).ok_or(StateFault::Damaged)?;
        let line = core::str::from_utf8(line).map_err(|_| StateFault::Damaged)?;
        let (version, sum) = line.trim_end().split_once(' ').ok_or(StateFault::Damaged)?;
        match version.parse() {
            Ok(VERSION) => {}
            Ok(newer) if newer > VERSION => return Err(StateFault::Newer(newer)),
            _ => return Err(StateFault::Damaged),
        }
        if sum != hex(&[body]) {
            return Err(StateFault::Damaged);
        }
        serde_json::from_slice(body).map_err(|_| StateFault::Damaged)
    }

    /// The content of a state's file. `None` if it cannot be written.
    #[must_use]
    pub fn content(&self) -> Option<Vec<u8>> {
        let body = serde_json::to_vec(self).ok()?;
        let mut content = format!("{MAGIC}{VERSION} {}\n", hex(&[&body])).into_bytes();
        content.extend_from_slice(&body);
        Some(content)
    }

    /// The query of the export that wrote it.
    #[must_use]
    pub const fn query(&self) -> &Query {
        &self.query
    }

    /// Whether the state was written on another instance. Unknown ids differ from none.
    #[must_use]
    pub fn is_of_another(&self, instance_id: Option<&str>) -> bool {
        self.instance_id.as_deref().zip(instance_id).is_some_and(|(theirs, ours)| theirs != ours)
    }

    /// The marks of text logs.
    #[must_use]
    pub fn files(&self) -> &[FileMark] {
        &self.files
    }
}

impl FileMark {
    /// Makes the mark of a file that begins with `head`, was read up to `offset`, and has `tail` before that.
    #[must_use]
    pub fn new(head: &[u8], offset: u64, tail: &[u8], is_newest: bool, unfinished: Option<u64>) -> Self {
        Self {
            head: hex(&[head]),
            head_bytes: u64::try_from(head.len()).unwrap_or(u64::MAX),
            offset,
            tail: if tail.is_empty() { String::new() } else { hex(&[tail]) },
            is_newest,
            unfinished,
        }
    }

    /// The mark of a file to which no lines are added any more.
    #[must_use]
    pub fn without_lines(self) -> Self {
        Self { is_newest: false, ..self }
    }

    /// Whether a file with these first bytes can be this file.
    #[must_use]
    pub fn begins(&self, head: &[u8]) -> bool {
        let count = usize::try_from(self.head_bytes).unwrap_or(usize::MAX);
        head.get(..count).is_some_and(|head| !head.is_empty() && hex(&[head]) == self.head)
    }

    /// Whether these bytes come before the offset.
    #[must_use]
    pub fn has_tail(&self, tail: &[u8]) -> bool {
        self.tail.is_empty() || hex(&[tail]) == self.tail
    }

    /// The number of bytes that were read.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The size of the file, if its last line was not finished.
    #[must_use]
    pub const fn unfinished(&self) -> Option<u64> {
        self.unfinished
    }

    /// Whether lines were still added to the file.
    #[must_use]
    pub const fn is_newest(&self) -> bool {
        self.is_newest
    }
}

fn hex(parts: &[&[u8]]) -> String {
    data_encoding::HEXLOWER.encode(&digest(parts))
}
