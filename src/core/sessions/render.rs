//! The report as text and as CSV.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::report::SessionsReport;
use super::shown::{ShownKey, ShownPush, ShownSession};
use crate::text::one_line;

impl SessionsReport {
    /// The report for people: a few lines for each login, then the other findings.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for session in &self.sessions {
            session.text(&mut text);
        }
        if self.sessions.is_empty() {
            text.push_str(if self.asked.open { "no open session\n" } else { "no session\n" });
        }
        for (index, key) in self.unused.iter().enumerate() {
            if index == 0 {
                text.push_str("\nKeys that no login used:\n");
            }
            key.text(&mut text);
        }
        for (index, refusal) in self.refusals.iter().enumerate() {
            if index == 0 {
                text.push_str("\nRefused (sshd asks twice for a login):\n");
            }
            let reason = refusal.reason.as_deref().unwrap_or("(reason not logged)");
            let _ = writeln!(text, "{:>6}  {reason}  {} to {}", refusal.count, refusal.first, refusal.last);
        }
        text.push('\n');
        let others: Vec<_> =
            self.other_logins.iter().map(|other| format!("{} {}", other.count, other.method)).collect();
        if !others.is_empty() && !self.asked.all {
            let _ = writeln!(text, "Logins by other means (--all lists them): {}", others.join(", "));
        }
        for liar in &self.disbelieved {
            let who = liar.uid.map_or_else(|| "further users".to_owned(), |uid| format!("user id {uid}"));
            let _ =
                writeln!(text, "Not believed: {} lines in the name of others, written by {who}", liar.lines);
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "warning: {}: {}", warning.id, one_line(&warning.seen));
            let _ = writeln!(text, "    fix: {}", one_line(&warning.fix));
        }
        let log = &self.log;
        let name = if log.files.is_empty() { log.kind.to_owned() } else { log.files.join(", ") };
        let _ = match (&log.from, &log.to) {
            (Some(from), Some(to)) => {
                writeln!(text, "{} lines of {} from {from} to {to}", log.lines, one_line(&name))
            }
            _ => writeln!(text, "{} lines of {}, none about a login", log.lines, one_line(&name)),
        };
        text
    }

    /// The report for spreadsheets (RFC 4180): a header, a line for each session, then a line for each unused key.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut csv = String::from(
            "kind,start,end,state,why,seconds,user,principal,account,request_id,verified,address,port,\
             fingerprint,method,joined_by,rule,options,recorder\r\n",
        );
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        for session in &self.sessions {
            let [principal, account, request_id, verified, rule, options, recorder] =
                columns(&session.pushes);
            row(
                &mut csv,
                &[
                    "session",
                    &session.start,
                    session.end.as_deref().unwrap_or_default(),
                    session.state,
                    session.why.unwrap_or_default(),
                    &number(session.seconds),
                    &session.user,
                    &principal,
                    &account,
                    &request_id,
                    &verified,
                    &session.address,
                    &session.port.to_string(),
                    session.fingerprint.as_deref().unwrap_or_default(),
                    &session.method,
                    session.joined_by.unwrap_or_default(),
                    &rule,
                    &options,
                    &recorder,
                ],
            );
        }
        for key in &self.unused {
            let [principal, account, request_id, verified, rule, options, recorder] =
                columns(core::slice::from_ref(&key.push));
            let user = key.user.as_deref().unwrap_or_default();
            let cells =
                ["unused", &key.at, "", "", "", "", user, &principal, &account, &request_id, &verified];
            let cells: Vec<_> = cells
                .into_iter()
                .chain(["", "", &key.fingerprint, "", "", &rule, &options, &recorder])
                .collect();
            row(&mut csv, &cells);
        }
        csv
    }
}

impl ShownSession {
    fn text(&self, text: &mut String) {
        let until = match (&self.end, self.state) {
            (Some(end), _) => format!("to {end}"),
            (None, "open") => "and open".to_owned(),
            (None, _) => {
                let by = self.ended_by.as_ref().map(|by| format!(", by {by}")).unwrap_or_default();
                format!("to an unknown end{by} ({})", self.why.unwrap_or_default())
            }
        };
        let lasted = self.seconds.map(|seconds| format!(", {}", duration(seconds))).unwrap_or_default();
        let _ = writeln!(
            text,
            "{} {until}{lasted}: {} from {} port {}",
            self.start, self.user, self.address, self.port
        );
        if self.pushes.is_empty() {
            let _ = writeln!(text, "    by {}, not with a pushed key", self.method);
        }
        for push in &self.pushes {
            push.text(text);
        }
        if let Some(key) = &self.fingerprint {
            let _ = writeln!(text, "    key        {key}");
        }
    }
}

impl ShownKey {
    fn text(&self, text: &mut String) {
        let user = self.user.as_deref().unwrap_or("a user that the log does not name");
        let _ = writeln!(text, "{}: for {user}", self.at);
        self.push.text(text);
        let _ = writeln!(text, "    key        {}", self.fingerprint);
    }
}

impl ShownPush {
    fn text(&self, text: &mut String) {
        let (principal, verified) = self.principal();
        let word = if verified { "principal " } else { "unverified" };
        let _ = write!(text, "    {word} {}", principal.unwrap_or("not named"));
        if let Some(account) = self.account() {
            let _ = write!(text, " (account {account})");
        }
        text.push('\n');
        let rows = [
            ("request-id", self.request_id()),
            ("rule      ", self.rule()),
            ("options   ", self.options()),
            ("recorder  ", self.recorder()),
        ];
        for (name, value) in rows {
            if let Some(value) = value {
                let _ = writeln!(text, "    {name} {value}");
            }
        }
    }
}

/// Principal, account, request id, whether all pushes are verified, rule, options and recorder. Spaces separate the values
/// of several pushes. Names of rules and options can contain spaces, so they are separated by ` | `.
fn columns(pushes: &[ShownPush]) -> [String; 7] {
    let joined = |of: fn(&ShownPush) -> Option<&str>, by: &str| {
        pushes.iter().filter_map(of).collect::<Vec<_>>().join(by)
    };
    let all = |of| joined(of, " ");
    let spaced = |of| joined(of, " | ");
    let verified = match pushes {
        [] => String::new(),
        pushes => pushes.iter().all(|push| push.principal().1).to_string(),
    };
    [
        all(|push| push.principal().0),
        all(ShownPush::account),
        all(ShownPush::request_id),
        verified,
        spaced(ShownPush::rule),
        spaced(ShownPush::options),
        spaced(ShownPush::recorder),
    ]
}

fn row(csv: &mut String, cells: &[&str]) {
    let cells: Vec<_> = cells.iter().map(|text| cell(text)).collect();
    csv.push_str(&cells.join(","));
    csv.push_str("\r\n");
}

/// Encodes a cell. A spreadsheet takes a cell with one of these first characters for a formula (OWASP, "CSV
/// Injection").
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\r', '\n', ' ']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn duration(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes, seconds) = (rest / 3600, rest % 3600 / 60, rest % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {seconds} s"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
