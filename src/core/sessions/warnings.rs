//! Warnings about gaps in the log, and how to prevent them.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use super::join::Kind;
use super::joined::JoinedLog;
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
        Kind::Journal => "keep more: Storage=persistent and SystemMaxUse= in journald.conf(5)",
        Kind::Text => "name older files as well; keep more: rotate in logrotate's configuration",
    };
    if let Some((first, _)) = found.span.filter(|_| begins_late(question, found)) {
        let seen = format!("the log begins {}; nothing is known of before", shown(first));
        warn("log-begins-later", seen, keep);
    }
    if tally.ends_alone > 0 {
        let seen = format!("{} ended whose beginning is not in the log", sessions(tally.ends_alone));
        warn("beginning-rotated-away", seen, keep);
    }
    if tally.open_before > 0 {
        let seen =
            format!("this machine runs {} that began before the log does", sessions(tally.open_before));
        warn("open-before-log", seen, "look at them with: ps -C sshd,sshd-session -o pid,lstart,args");
    }
    if tally.open_unlogged > 0 {
        let seen =
            format!("this machine runs {} that the log does not tell of", sessions(tally.open_unlogged));
        warn(
            "open-not-in-log",
            seen,
            "lines were lost, or sshd does not log here; look at them with: ps -C sshd,sshd-session -o pid,lstart,args",
        );
    }
    let level = "set LogLevel INFO or VERBOSE in sshd_config (also in its Match blocks), and reload sshd";
    if tally.silent > 0 {
        let seen = format!("PAM opened {} that sshd logged no login of", sessions(tally.silent));
        warn("log-level", seen, level);
    } else if tally.given > 0 && tally.logins == 0 {
        let seen = "sshd was given keys and logged no login at all".to_owned();
        warn("log-level", seen, level);
    }
    if tally.logins > 0 && tally.ends == 0 {
        warn(
            "no-ends",
            "sshd logged logins, and nothing the end of any".to_owned(),
            "set UsePAM yes in sshd_config, with pam_unix.so among the session modules of /etc/pam.d/sshd",
        );
    }
    if tally.stepped_back >= SECOND {
        let by = tally.stepped_back / SECOND;
        let seen = match kind {
            Kind::Journal => {
                format!("the clock was set back, by {by} s at most; durations are right, instants may be off")
            }
            Kind::Text => format!(
                "the stamps go back, by {by} s at most: the clock was set; instants and durations may be off"
            ),
        };
        warn("clock-set-back", seen, "keep the clock by chrony or systemd-timesyncd");
    }
    if tally.by_md5 > 0 {
        let seen = format!(
            "sshd names the keys of {} by MD5, which leaves open who pushed them",
            sessions(tally.by_md5)
        );
        warn("md5-fingerprints", seen, "set FingerprintHash sha256 in sshd_config");
    } else if tally.ambiguous > 0 {
        let seen = format!("{} came with a key that several principals pushed", sessions(tally.ambiguous));
        warn("shared-key", seen, "CloudTrail has each push; give every person a key of his own");
    }
    if !tally.programs.is_empty() {
        let by: Vec<_> =
            tally.programs.iter().map(|(program, lines)| format!("{program} ({lines})")).collect();
        let seen = format!(
            "as root, another program wrote in the name of sshd, logind or the agent: {}",
            by.join(", ")
        );
        let fix = if tally.unknown_sshd > 0 {
            "an sshd in a place of its own is known while it runs, if only root may write there: ask then"
        } else {
            "look who made it write so: journalctl _EXE=PROGRAM; these lines changed nothing here"
        };
        warn("another-program", seen, fix);
    }
    if tally.unattributed > 0 {
        let seen = format!(
            "{} lines are root's, and journald could not tell which program of root's wrote them: it need not be sshd",
            tally.unattributed
        );
        let fix = "compare these sessions with CloudTrail and with sshd's other lines (journalctl _PID=PID)";
        warn("unattributed", seen, fix);
    }
    of_losses(&tally.losses, &mut warn);
    if tally.left_out > 0 {
        let seen = format!("{} lines were left out: there are more than a report holds", tally.left_out);
        warn("too-many", seen, "ask for a part: --since and --until, and for text fewer files");
    }
    warnings
}

/// Whether the queried time begins before the log.
pub(super) fn begins_late(question: &Question, found: &JoinedLog) -> bool {
    let first = found.span.map(|(first, _)| first.wall / SECOND);
    question.since.zip(first).is_some_and(|(since, first)| since.as_unix() < first)
}

fn of_losses(losses: &LogGaps, warn: &mut impl FnMut(&'static str, String, &str)) {
    let when = |lost: &GapCount| {
        let (first, last) = (shown(lost.first), shown(lost.last));
        if first == last { format!("until {first}") } else { format!("until {first} and up to {last}") }
    };
    for (unit, lost) in &losses.suppressed {
        let name = if unit.is_empty() { "further units" } else { unit };
        let seen =
            format!("journald dropped {} lines of {name}, by its rate limit, {}", lost.count, when(lost));
        let fix = match unit.as_str() {
            "session-*.scope" | "systemd-logind.service" => {
                "ends of sessions may be missing; find what writes so much, or raise RateLimitBurst= in journald.conf(5)"
            }
            _ => {
                "logins and keys may be missing; set LogRateLimitIntervalSec=0 for that unit (systemd.exec(5))"
            }
        };
        warn("rate-limit", seen, fix);
    }
    if let Some(lost) = &losses.dropped {
        let seen = format!("daemons that keep the log lost {} lines, {}", lost.count, when(lost));
        warn("lines-lost", seen, "raise the rate limits of journald and rsyslog, or read systemd's journal");
    }
    if let Some(lost) = &losses.away {
        let longest = match losses.longest / SECOND {
            0 => "it did not say for how long".to_owned(),
            seconds => format!("for {seconds} s at the longest"),
        };
        let seen = format!("journald was away {} times, {longest}, {}", lost.count, when(lost));
        warn(
            "journald-away",
            seen,
            "lines of that time may be missing; look why it ended: journalctl -u systemd-journald",
        );
    }
}

fn sessions(count: u64) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}
