//! Tests of the join and the report. The tests write the logs.

mod disconnects;
mod export_places;
mod exports;
mod joins;
mod lines;
mod missing;
mod repeated;
mod shown;
mod stamps;
mod trust;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::event::Event;
use super::join::{Join, Kind, Wanted};
use super::joined::JoinedLog;
use super::journal::Journal;
use super::programs::Programs;
use super::question::Question;
use super::report::SessionsReport;
use super::running::Running;
use super::text_log::{LineKind, TextLog, Zone};
use super::writer::{AgentUser, Attribution};
use crate::time::Timestamp;

/// 2026-11-21T12:00:00Z
const NOON: u64 = 1_795_262_400;
const AGENT: u32 = 990;
const BOOT: &str = "c549ba29c241485f9f765481cf88c372";
const NEXT_BOOT: &str = "d549ba29c241485f9f765481cf88c372";
const ALICE: &str = "arn:aws:sts::123456789012:assumed-role/Admin/alice";
const BOB: &str = "arn:aws:iam::123456789012:user/bob";

/// A fingerprint that repeats one letter.
fn key(letter: char) -> String {
    format!("SHA256:{}", letter.to_string().repeat(43))
}

/// Parses a message of sshd in a text log.
fn of_sshd(pid: u32, message: &str) -> Option<Event> {
    super::message::of_sshd(pid, message, Attribution::Text, Attribution::Text)
}

fn reader() -> Journal {
    Journal::new(AgentUser::new(AGENT), Programs::default())
}

const fn everything() -> Question {
    Question { since: None, until: None, user: None, principal: None, open: false, all: false }
}

/// sshd's message about a login.
fn accepted(key: &str) -> String {
    format!("Accepted publickey for ec2-user from 192.0.2.1 port 4000 ssh2: ED25519 {key}")
}

const CLOSED: &str = "pam_unix(sshd:session): session closed for user ec2-user";

/// A journal in the form that journalctl prints. Each line is one second later than the line before.
struct Log {
    lines: Vec<String>,
    boot: &'static str,
    /// Seconds since noon by the wall clock. `monotonic` is in seconds since the machine started.
    wall: u64,
    monotonic: u64,
}

impl Log {
    const fn new() -> Self {
        Self { lines: Vec::new(), boot: BOOT, wall: 0, monotonic: 100 }
    }

    const fn wait(&mut self, seconds: u64) {
        self.wall += seconds;
        self.monotonic += seconds;
    }

    fn entry(&mut self, uid: u32, pid: u32, identifier: &str, fields: &Value) -> &mut Self {
        let mut entry = json!({
            "__REALTIME_TIMESTAMP": ((NOON + self.wall) * 1_000_000).to_string(),
            "__MONOTONIC_TIMESTAMP": (self.monotonic * 1_000_000).to_string(),
            "_BOOT_ID": self.boot,
            "_UID": uid.to_string(),
            "_PID": pid.to_string(),
            "SYSLOG_IDENTIFIER": identifier,
        });
        match identifier {
            "sshd" => {
                entry["_EXE"] = json!("/usr/sbin/sshd");
                entry["_SYSTEMD_UNIT"] = json!("ssh.service");
            }
            "sshd-session" => {
                entry["_EXE"] = json!("/usr/lib/openssh/sshd-session");
                entry["_SYSTEMD_UNIT"] = json!("session-4.scope");
            }
            "systemd-logind" => {
                entry["_EXE"] = json!("/usr/lib/systemd/systemd-logind");
                entry["_SYSTEMD_UNIT"] = json!("systemd-logind.service");
            }
            _ => {}
        }
        for (name, value) in fields.as_object().unwrap() {
            entry[name] = value.clone();
        }
        self.lines.push(entry.to_string());
        self.wait(1);
        self
    }

    fn sshd(&mut self, pid: u32, message: &str) -> &mut Self {
        self.entry(0, pid, "sshd", &json!({ "MESSAGE": message }))
    }

    /// A line that root wrote, without the fields for its program and unit.
    fn unattributed(&mut self, pid: u32, identifier: &str, mut fields: Value) -> &mut Self {
        fields["_EXE"] = Value::Null;
        fields["_SYSTEMD_UNIT"] = Value::Null;
        self.entry(0, pid, identifier, &fields)
    }

    fn provided(&mut self, sshd: u32, key: &str, principal: &str) -> &mut Self {
        self.provided_by(AGENT, sshd, key, principal)
    }

    fn provided_by(&mut self, uid: u32, sshd: u32, key: &str, principal: &str) -> &mut Self {
        let fields = json!({
            "MESSAGE": "Providing ...", "EIC_EVENT": "provided", "EIC_USER": "ec2-user", "EIC_FINGERPRINT": key,
            "EIC_REQUEST_ID": format!("r-{}", principal.rsplit('/').next().unwrap()), "EIC_PRINCIPAL": principal,
            "EIC_SSHD_PID": sshd.to_string(),
        });
        self.entry(uid, 7, "eic-agent", &fields)
    }

    fn accepted(&mut self, pid: u32, key: &str) -> &mut Self {
        self.sshd(pid, &accepted(key))
    }

    fn opened(&mut self, pid: u32) -> &mut Self {
        self.sshd(pid, "pam_unix(sshd:session): session opened for user ec2-user(uid=1000) by (uid=0)")
    }

    fn closed(&mut self, pid: u32) -> &mut Self {
        self.sshd(pid, CLOSED)
    }

    /// A whole session of one minute.
    fn session(&mut self, pid: u32, key: &str, principal: &str) -> &mut Self {
        self.provided(pid, key, principal).provided(pid, key, principal).accepted(pid, key).opened(pid);
        self.wait(57);
        self.closed(pid)
    }

    fn found(&self, running: Option<&Running>) -> JoinedLog {
        self.found_for(Question { all: true, ..everything() }, running)
    }

    fn found_for<W: Wanted>(&self, wanted: W, running: Option<&Running>) -> JoinedLog {
        let mut journal = reader();
        let mut join = Join::new(Kind::Journal, wanted, running.cloned());
        for line in &self.lines {
            let entry = journal.parse_line(line.as_bytes()).expect(line);
            join.take_entry(entry);
        }
        join.end(running)
    }

    fn report(&self, question: &Question, running: Option<&Running>) -> Value {
        let found = self.found_for(question.clone(), running);
        let now = Timestamp::from_unix(NOON + self.wall);
        json!(SessionsReport::new(question, now, Kind::Journal, found, 0))
    }
}

/// This machine at the end of the log. Its sshd processes started with the machine.
fn running(boot: &str, sshd: &[u32]) -> Running {
    let sshd: BTreeMap<_, _> = sshd.iter().map(|pid| (*pid, (0, 0))).collect();
    Running {
        boot: boot.to_owned(),
        host: "host".to_owned(),
        since: (NOON - 100) * 1_000_000,
        sshd,
        logins: Vec::new(),
        let_in: Vec::new(),
    }
}

/// The report for a text log of that day, whose stamps have no year.
fn text_report(lines: &[&str], question: &Question, running: Option<&Running>) -> Value {
    let mut log = TextLog::new(Zone::default(), i64::try_from(NOON).unwrap() + 86_400);
    let mut join = Join::new(Kind::Text, question.clone(), running.cloned());
    for line in lines {
        if let LineKind::Line(line) = log.parse_line(line) {
            join.take(line.host, line.at, Some(line.event));
        }
    }
    let found = join.end(running);
    json!(SessionsReport::new(question, Timestamp::from_unix(NOON + 3600), Kind::Text, found, 0))
}

fn ids(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|warning| warning["id"].as_str().unwrap()).collect()
}
