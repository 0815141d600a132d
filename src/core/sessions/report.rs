//! The report. packaging/schema/sessions.schema.json is the schema of its JSON document.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::join::Kind;
use super::joined::JoinedLog;
use super::question::Question;
use super::shown::{Count, ShownKey, ShownProgram, ShownRefusal, ShownSession, UntrustedWriter, shown};
use super::warnings::{begins_late, warnings};
use crate::instance_facts::InstanceFacts;
use crate::order;
use crate::time::Timestamp;

pub use super::warnings::Warning;

/// The report of `eic-agent sessions`.
#[derive(Debug, Serialize)]
pub struct SessionsReport {
    /// The version of the schema. New fields do not change it. The meaning of a field never changes under one version.
    pub schema_version: u32,
    /// The agent's version.
    pub version: &'static str,
    /// The instant of the report, by this machine's clock.
    pub at: String,
    /// The instance that the log is of.
    pub instance: InstanceFacts,
    /// The filters of the query.
    pub asked: ShownQuestion,
    /// The log that was read.
    pub log: Log,
    /// Whether the log has no known gap, and the query asks about a user that exists.
    pub complete: bool,
    /// Logins with pushed keys. With `--all`, all logins.
    pub sessions: Vec<ShownSession>,
    /// Keys that the agent gave to sshd, and that no login used.
    pub unused: Vec<ShownKey>,
    /// Refused keys, and runs without a decision, by cause.
    pub refusals: Vec<ShownRefusal>,
    /// Logins without a pushed key, by method.
    pub other_logins: Vec<Count>,
    /// Users that wrote lines in the name of the agent, sshd or logind.
    pub disbelieved: Vec<UntrustedWriter>,
    /// Programs that wrote such lines as root.
    pub disbelieved_programs: Vec<ShownProgram>,
    /// The number of lines in the queried time whose program journald could not determine.
    pub unattributed: u64,
    /// Gaps of the log, and what to do about them.
    pub warnings: Vec<Warning>,
}

/// The filters of the query.
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

/// The log that was read.
#[derive(Debug, Default, Serialize)]
pub struct Log {
    /// `journal` or `text`.
    pub kind: &'static str,
    /// The paths of the text files. Empty for the journal.
    pub files: Vec<String>,
    /// The instant of the first line.
    pub from: Option<String>,
    /// The instant of the last line.
    pub to: Option<String>,
    /// The number of lines that were read.
    pub lines: u64,
}

impl SessionsReport {
    /// Makes the report from the result of the join. `now` is the instant of the query.
    #[must_use]
    pub fn new(question: &Question, now: Timestamp, kind: Kind, found: JoinedLog, lines: u64) -> Self {
        let warnings = warnings(question, kind, &found);
        let complete = found.tally.is_complete() && !begins_late(question, &found);
        let JoinedLog { sessions, unused, refusals, tally, span, rest: _ } = found;
        let liar = |(uid, lines): (&u32, &u64)| UntrustedWriter {
            uid: (*uid != u32::MAX).then_some(*uid),
            lines: *lines,
        };
        let disbelieved = tally.disbelieved.iter().map(liar).collect();
        Self {
            schema_version: 2,
            version: env!("CARGO_PKG_VERSION"),
            at: now.to_string(),
            instance: InstanceFacts::default(),
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
