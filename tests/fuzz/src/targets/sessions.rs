//! Log lines from any writer, as entries of the journal and as a text log.

use eic_core::audit_line::MAX_FURTHER;
use eic_core::sessions::join::{Join, Kind};
use eic_core::sessions::journal::Journal;
use eic_core::sessions::programs::Programs;
use eic_core::sessions::question::Question;
use eic_core::sessions::report::SessionsReport;
use eic_core::sessions::running::Running;
use eic_core::sessions::text_log::{LineKind, TextLog, Zone};
use eic_core::sessions::writer::AgentUser;
use eic_core::time::Timestamp;
use serde_json::Value;

use super::assert_printable;

/// The agent's user in the seeds.
const AGENT: u32 = 990;

/// 2026-11-21T12:00:00Z
const NOW: u64 = 1_795_262_400;

/// Properties: every report is printable, and a push is verified only by a line that the agent's user wrote.
pub fn run(input: &[u8]) {
    let lines: Vec<_> = input.split(|byte| *byte == b'\n').collect();
    let by_agent = journal(&lines, AgentUser::new(AGENT));
    check(&by_agent, lines.len(), None);
    // The same entries with another user as the agent, or with no agent user.
    for other in [AgentUser::new(AGENT + 1), None] {
        check(&journal(&lines, other), lines.len(), other.is_none().then_some(false));
    }
    check(&text(&lines), lines.len(), Some(false));
}

/// Whether each session in the journal's entries is attributed.
pub fn attributed(input: &[u8]) -> Vec<bool> {
    let lines: Vec<_> = input.split(|byte| *byte == b'\n').collect();
    let shown = serde_json::to_value(journal(&lines, AgentUser::new(AGENT))).unwrap();
    let sessions = shown["sessions"].as_array().unwrap();
    sessions.iter().map(|session| session["attributed"] == Value::Bool(true)).collect()
}

fn question() -> Question {
    Question { since: None, until: None, user: None, principal: None, open: false, all: true }
}

/// The running sshd processes: all even process IDs. Every fourth one is a login.
fn running() -> Running {
    Running {
        boot: "c549ba29c241485f9f765481cf88c372".to_owned(),
        host: "host".to_owned(),
        since: (NOW - 1000) * 1_000_000,
        sshd: (0..100).step_by(2).map(|pid| (pid, (0, 0))).collect(),
        logins: (0..100).step_by(4).collect(),
        let_in: (0..100).step_by(8).collect(),
    }
}

fn report(join: Join<Question>, kind: Kind) -> SessionsReport {
    let found = join.end(Some(&running()));
    SessionsReport::new(&question(), Timestamp::from_unix(NOW), kind, found, 0)
}

fn journal(lines: &[&[u8]], agent: Option<AgentUser>) -> SessionsReport {
    let mut journal = Journal::new(agent, Programs::default());
    let mut join = Join::new(Kind::Journal, question(), Some(running()));
    for line in lines {
        if let Some(entry) = journal.parse_line(line) {
            join.take_entry(entry);
        }
    }
    report(join, Kind::Journal)
}

fn text(lines: &[&[u8]]) -> SessionsReport {
    let mut log = TextLog::new(Zone::default(), 1_795_262_400);
    let mut join = Join::new(Kind::Text, question(), Some(running()));
    for line in lines {
        let line = String::from_utf8_lossy(line);
        if let LineKind::Line(line) = log.parse_line(&line) {
            join.take(line.host, line.at, Some(line.event));
        }
    }
    report(join, Kind::Text)
}

fn check(report: &SessionsReport, lines: usize, verified: Option<bool>) {
    for line in report.text().lines() {
        assert_printable(line);
    }
    for row in report.csv().split_terminator("\r\n") {
        assert_printable(row);
        assert_eq!(cells(row), 19, "{row}");
    }
    let shown = serde_json::to_value(report).unwrap();
    let list = |name: &str| shown[name].as_array().unwrap().clone();
    let (sessions, unused) = (list("sessions"), list("unused"));
    // A line about a key can name further pushes of it.
    assert!(sessions.len() <= lines && unused.len() <= lines * (1 + MAX_FURTHER));
    for session in &sessions {
        let is_closed = session["state"] == "closed";
        assert_eq!(session["end"].is_string(), is_closed, "{session:#}");
        assert_eq!(session["why"].is_string(), session["state"] == "unknown", "{session:#}");
        let pushes = session["pushes"].as_array().unwrap();
        assert_eq!(pushes.is_empty(), session["joined_by"].is_null(), "{session:#}");
        let is_verified = pushes.iter().any(|push| push["verified"] == Value::Bool(true));
        assert!(!is_verified || session["attributed"] == Value::Bool(true), "{session:#}");
    }
    let pushes = sessions.iter().flat_map(|session| session["pushes"].as_array().unwrap()).chain(&unused);
    for push in pushes {
        for (name, limit) in [("rule", 256), ("options", 1024)] {
            assert!(push[name].as_str().is_none_or(|text| text.len() <= limit + 3), "{push:#}");
        }
        assert!(push["recorder"].is_null() || push["options"].is_string(), "{push:#}");
        if let Some(verified) = verified {
            assert_eq!(push["verified"], Value::Bool(verified), "{push:#}");
        }
    }
}

/// The number of cells in a CSV row (RFC 4180).
fn cells(row: &str) -> usize {
    let mut quoted = false;
    let commas = row.bytes().filter(|byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    });
    commas.count() + 1
}
