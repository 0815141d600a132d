//! What is shown of the answer. The shape of the JSON document is packaging/schema/sessions.schema.json.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::join::Kind;
use super::joined::JoinedLog;
use super::question::Question;
use super::shown::{Count, ShownKey, ShownProgram, ShownRefusal, ShownSession, UntrustedWriter, shown};
use super::warnings::{begins_late, warnings};
use crate::order;
use crate::time::Timestamp;

pub use super::warnings::Warning;

/// The answer.
#[derive(Debug, Serialize)]
pub struct SessionsReport {
    /// Fields are added, never changed in meaning, under the same number.
    pub schema_version: u32,
    /// The agent's.
    pub version: &'static str,
    /// By this machine's clock.
    pub at: String,
    /// What was asked.
    pub asked: ShownQuestion,
    /// What it was read from.
    pub log: Log,
    /// Whether all of it is here.
    pub complete: bool,
    /// Logins with pushed keys; with `--all`, every login.
    pub sessions: Vec<ShownSession>,
    /// Keys that were handed to sshd, and that nobody logged in with.
    pub unused: Vec<ShownKey>,
    /// Keys that were refused, and runs without a decision, by cause.
    pub refusals: Vec<ShownRefusal>,
    /// Logins by other means, by method.
    pub other_logins: Vec<Count>,
    /// Lines in the agent's or sshd's name that somebody else wrote.
    pub disbelieved: Vec<UntrustedWriter>,
    /// Programs, other than the one in whose name it was, that wrote such lines as root.
    pub disbelieved_programs: Vec<ShownProgram>,
    /// Lines, of what is asked for, of which journald could not tell the program that wrote them.
    pub unattributed: u64,
    /// What the log cannot answer, and what to do.
    pub warnings: Vec<Warning>,
}

/// What was asked.
#[derive(Debug, Serialize)]
pub struct ShownQuestion {
    /// `--since`
    pub since: Option<String>,
    /// `--until`
    pub until: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--principal`
    pub principal: Option<String>,
    /// `--open`
    pub open: bool,
    /// `--all`
    pub all: bool,
}

/// What was read.
#[derive(Debug, Default, Serialize)]
pub struct Log {
    /// `journal` or `text`.
    pub kind: &'static str,
    /// The files of text.
    pub files: Vec<String>,
    /// Where it begins.
    pub from: Option<String>,
    /// Where it ends.
    pub to: Option<String>,
    /// How many lines were read.
    pub lines: u64,
}

impl SessionsReport {
    /// The answer. `now` is the instant that the question was put at.
    #[must_use]
    pub fn new(question: &Question, now: Timestamp, kind: Kind, found: JoinedLog, lines: u64) -> Self {
        let warnings = warnings(question, kind, &found);
        let complete = found.tally.is_complete() && !begins_late(question, &found);
        let JoinedLog { sessions, unused, refusals, tally, span } = found;
        let liar = |(uid, lines): (&u32, &u64)| UntrustedWriter {
            uid: (*uid != u32::MAX).then_some(*uid),
            lines: *lines,
        };
        let disbelieved = tally.disbelieved.iter().map(liar).collect();
        Self {
            schema_version: 1,
            version: env!("CARGO_PKG_VERSION"),
            at: now.to_string(),
            asked: ShownQuestion::of(question),
            log: Log {
                kind: if kind == Kind::Journal { "journal" } else { "text" },
                files: Vec::new(),
                from: span.map(|(first, _)| shown(first)),
                to: span.map(|(_, last)| shown(last)),
                lines,
            },
            complete,
            sessions: sessions.into_iter().map(|session| ShownSession::of(&session, now)).collect(),
            unused: unused.iter().map(ShownKey::of).collect(),
            refusals: refusals
                .into_iter()
                .map(|(reason, refusal)| ShownRefusal {
                    reason,
                    count: refusal.count,
                    first: shown(refusal.first),
                    last: shown(refusal.last),
                })
                .collect(),
            other_logins: tally
                .others
                .iter()
                .map(|(method, count)| Count { method: method.clone(), count: *count })
                .collect(),
            disbelieved: order::by_key(disbelieved, |liar: &UntrustedWriter| (liar.uid.is_none(), liar.uid)),
            disbelieved_programs: tally
                .programs
                .iter()
                .map(|(program, lines)| ShownProgram { program: program.clone(), lines: *lines })
                .collect(),
            unattributed: tally.unattributed,
            warnings,
        }
    }
}

impl ShownQuestion {
    fn of(question: &Question) -> Self {
        Self {
            since: question.since.map(|at| at.to_string()),
            until: question.until.map(|at| at.to_string()),
            user: question.user.clone(),
            principal: question.principal.as_ref().map(|glob| glob.as_str().to_owned()),
            open: question.open,
            all: question.all,
        }
    }
}
