//! What a log cannot answer, and what to set.

use super::found::Found;
use super::join::Kind;
use super::question::Question;
use super::report::{SECOND, Warning, shown};

/// All of it.
pub(super) fn warnings(question: &Question, kind: Kind, found: &Found) -> Vec<Warning> {
    let tally = &found.tally;
    let mut warnings = Vec::new();
    let mut warn = |id, seen: String, fix: &str| warnings.push(Warning::new(id, seen, fix));
    let keep = match kind {
        Kind::Journal => "keep more: Storage=persistent and SystemMaxUse= in journald.conf(5)",
        Kind::Text => "name older files as well; keep more: rotate in logrotate's configuration",
    };
    match (question.since, found.span) {
        (Some(since), Some((first, _))) if since.as_unix() < first.wall / SECOND => {
            warn(
                "log-begins-later",
                format!("the log begins {}; nothing is known of before", shown(first)),
                keep,
            );
        }
        _ => {}
    }
    if tally.ends_alone > 0 {
        let seen = format!("{} ended whose beginning is not in the log", sessions(tally.ends_alone));
        warn("beginning-rotated-away", seen, keep);
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
    if tally.left_out > 0 {
        let seen = format!("{} lines were left out: there are more than a report holds", tally.left_out);
        warn("too-many", seen, "ask for a part: --since and --until, and for text fewer files");
    }
    warnings
}

fn sessions(count: u64) -> String {
    if count == 1 { "1 session".to_owned() } else { format!("{count} sessions") }
}
