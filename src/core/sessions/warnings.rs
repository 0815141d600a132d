//! Warnings about gaps in the log, and how to prevent them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use super::join::Kind;
use super::joined::{Counts, JoinedLog};
use super::losses::{GapCount, LogGaps};
use super::question::Question;
use super::shown::{SECOND, shown};

/// A warning about a question that the log cannot answer.
#[derive(Debug, Serialize)]
pub struct Warning {
    /// The stable name of the warning. Its meaning never changes.
    pub id: &'static str,
    /// The finding.
    pub seen: String,
    /// The remedy.
    pub fix: String,
}

impl Warning {
    /// Makes a warning.
    pub fn new(id: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { id, seen: seen.into(), fix: fix.into() }
    }
}

pub(super) fn warnings(question: &Question, kind: Kind, found: &JoinedLog) -> Vec<Warning> {
    let tally = &found.tally;
    let mut warnings = Vec::new();
    let mut warn = |id, seen: String, fix: &str| warnings.push(Warning::new(id, seen, fix));
    let keep = match kind {
        Kind::Journal => "to keep more, set Storage=persistent and SystemMaxUse= in journald.conf(5)",
        Kind::Text => "name older files too; to keep more, change rotate in logrotate's configuration",
    };
    if let Some((first, _)) = found.span.filter(|_| begins_late(question, found)) {
        let seen = format!("the log begins only at {}, after the start of the queried time", shown(first));
        warn("log-begins-later", seen, keep);
    }
    if tally.ends_alone > 0 {
        let seen = format!("the log has the end of {}, but not the beginning", sessions(tally.ends_alone));
        warn("beginning-rotated-away", seen, keep);
    }
    if tally.open_before > 0 {
        let seen = format!("this machine runs {} that began before the log", sessions(tally.open_before));
        warn("open-before-log", seen, "to list them, run: ps -C sshd,sshd-session -o pid,lstart,args");
    }
    if tally.open_unlogged > 0 {
        let seen = format!("this machine runs {} without a line in the log", sessions(tally.open_unlogged));
        warn(
            "open-not-in-log",
            seen,
            "lines were lost, or sshd does not write to this log; to list the sessions, run: ps -C sshd,sshd-session -o pid,lstart,args",
        );
    }
    of_sshd(tally, &mut warn);
    if tally.unknown > 0 {
        let seen = format!(
            "{} entries of sshd or of the agent may be about logins or keys, and have an unknown form",
            tally.unknown
        );
        warn("unknown-format", seen, "look at them: journalctl -o json -t sshd -t sshd-session -t eic-agent");
    }
    if tally.stepped_back >= SECOND {
        let by = tally.stepped_back / SECOND;
        let seen = match kind {
            Kind::Journal => {
                format!(
                    "the clock was set back, by {by} s at most; durations are correct, but times may be wrong"
                )
            }
            Kind::Text => format!(
                "the time stamps go back, by {by} s at most, because the clock was set; times and durations may be wrong"
            ),
        };
        warn("clock-set-back", seen, "synchronize the clock with chrony or systemd-timesyncd");
    }
    if tally.by_md5 > 0 {
        let seen = format!(
            "sshd logged only MD5 fingerprints for {}, so it is unknown who pushed the keys",
            sessions(tally.by_md5)
        );
        warn("md5-fingerprints", seen, "set FingerprintHash sha256 in sshd_config");
    } else if tally.ambiguous > 0 {
        let seen =
            format!("several principals pushed the same key, and {} used it", sessions(tally.ambiguous));
        warn("shared-key", seen, "see each push in CloudTrail; give each person a different key");
    }
    if !tally.programs.is_empty() {
        let by: Vec<_> =
            tally.programs.iter().map(|(program, lines)| format!("{program} ({lines})")).collect();
        let seen = format!(
            "another program wrote as root in the name of sshd, logind or the agent: {}",
            by.join(", ")
        );
        let fix = if tally.unknown_sshd > 0 {
            "if the program is an sshd, run `eic-agent sessions` while it runs; no user except root may be able to change its file"
        } else {
            let is_plain = |path: &&String| {
                path.starts_with('/')
                    && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b))
            };
            let shown = tally.programs.keys().find(is_plain);
            let how = shown.map_or_else(String::new, |path| format!(": journalctl _EXE={path}"));
            &format!("find out who ran it{how}; this report does not use these lines")
        };
        warn("another-program", seen, fix);
    }
    if tally.unattributed > 0 {
        let seen = format!(
            "{} lines are from root, but journald could not determine the program; it may not have been sshd",
            tally.unattributed
        );
        let fix = "compare these sessions with CloudTrail and with sshd's other lines of the same process";
        warn("unattributed", seen, fix);
    }
    of_losses(&tally.losses, &mut warn);
    if tally.left_out > 0 {
        let seen = format!("{} lines were left out, because a report has a maximum size", tally.left_out);
        warn("too-many", seen, "limit the report with --since and --until, or name fewer text files");
    }
    warnings
}

/// Whether the queried time begins before the log.
pub(super) fn begins_late(question: &Question, found: &JoinedLog) -> bool {
    let first = found.span.map(|(first, _)| first.wall / SECOND);
    question.since.zip(first).is_some_and(|(since, first)| since.as_unix() < first)
}

/// Warns about lines that sshd did not log.
fn of_sshd(tally: &Counts, warn: &mut impl FnMut(&'static str, String, &str)) {
    let level = "set LogLevel INFO or VERBOSE in sshd_config (also in its Match blocks), and reload sshd";
    if tally.silent > 0 {
        let seen = format!("PAM opened {}, but sshd did not log a login", sessions(tally.silent));
        warn("log-level", seen, level);
    } else if tally.given > 0 && tally.logins == 0 {
        let seen = "the agent gave keys to sshd, but sshd logged no login".to_owned();
        warn("log-level", seen, level);
    }
    if tally.logins > 0 && tally.ends == 0 {
        warn(
            "no-ends",
            "the log contains logins, but no end of a session".to_owned(),
            "set UsePAM yes in sshd_config, and use pam_unix.so as a session module in /etc/pam.d/sshd",
        );
    }
    let with_pam = "set UsePAM yes in sshd_config: then root logs the end of each session";
    if tally.ends_by_users > 0 {
        let seen = format!(
            "for {}, only a process with the user's own id reported the end, so the user can have forged it",
            sessions(tally.ends_by_users)
        );
        warn("ends-by-users", seen, with_pam);
    }
    if tally.ends_contradict > 0 {
        let seen = format!(
            "several users wrote that the connection ended, for {}; a user forged a line, and the end is unknown",
            sessions(tally.ends_contradict)
        );
        warn("ends-contradict", seen, with_pam);
    }
}

fn of_losses(losses: &LogGaps, warn: &mut impl FnMut(&'static str, String, &str)) {
    let when = |lost: &GapCount| {
        let (first, last) = (shown(lost.first), shown(lost.last));
        if first == last {
            format!("reported at {first}")
        } else {
            format!("reported from {first} to {last}")
        }
    };
    for (unit, lost) in &losses.suppressed {
        let name = if unit.is_empty() { "further units" } else { unit };
        let seen = format!(
            "journald dropped {} lines of {name}, because of its rate limit, {}",
            lost.count,
            when(lost)
        );
        let fix = match unit.as_str() {
            "session-*.scope" | "systemd-logind.service" => {
                "ends of sessions may be missing; find the program that writes so many lines, or raise RateLimitBurst= in journald.conf(5)"
            }
            _ => {
                "logins and keys may be missing; set LogRateLimitIntervalSec=1us for that unit (eic-agent.toml(5), audit)"
            }
        };
        warn("rate-limit", seen, fix);
    }
    if let Some(lost) = &losses.dropped {
        let seen = format!("daemons that write the log lost {} lines, {}", lost.count, when(lost));
        warn("lines-lost", seen, "raise the rate limits of journald and rsyslog, or read systemd's journal");
    }
    if let Some(lost) = &losses.away {
        let longest = match losses.longest / SECOND {
            0 => "for an unknown time".to_owned(),
            seconds => format!("for {seconds} s at the longest"),
        };
        let seen = format!("journald stopped {} times, {longest}, {}", lost.count, when(lost));
        warn(
            "journald-away",
            seen,
            "lines of that time may be missing; find out why it stopped: journalctl -u systemd-journald",
        );
    }
}

fn sessions(count: u64) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}
