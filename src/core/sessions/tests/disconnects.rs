//! Tests of lines of unknown form, and of ends of sessions that PAM does not report.

use super::super::event::Connection;
use super::*;

const GONE: &str = "Disconnected from user ec2-user 192.0.2.1 port 4000";

/// A login without PAM. A process with the id of user 1000 reports the end after a minute.
fn without_pam(end: &str) -> Log {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a')).wait(58);
    log.entry(1000, 14, "sshd", &json!({ "MESSAGE": end }));
    log
}

#[test]
fn end_of_a_connection_is_read_as_sshd_writes_it() {
    let read = |message: &str| match of_sshd(5, message) {
        Some(Event::Disconnected { connection: Connection { user, address, port }, .. }) => {
            Some((user.unwrap_or_default(), address, port))
        }
        _ => None,
    };
    for (message, user, address) in [
        ("Disconnected from user u 192.0.2.1 port 4000", "u", "192.0.2.1"),
        ("Disconnected from user domain user fe80::1%eth0 port 4000", "domain user", "fe80::1%eth0"),
        ("Disconnected from 192.0.2.1 port 4000", "", "192.0.2.1"),
        ("Connection closed by user u 192.0.2.1 port 4000", "u", "192.0.2.1"),
        ("Connection reset by user u 192.0.2.1 port 4000", "u", "192.0.2.1"),
        ("Connection from user u 192.0.2.1 port 4000 timed out", "u", "192.0.2.1"),
        ("Timeout, client not responding from user u 192.0.2.1 port 4000", "u", "192.0.2.1"),
        ("Disconnecting user u 192.0.2.1 port 4000: Too many", "u", "192.0.2.1"),
    ] {
        assert_eq!(read(message), Some((user.to_owned(), address.to_owned(), 4000)), "{message}");
    }
    for message in [
        "Disconnected from authenticating user u 192.0.2.1 port 4000 [preauth]",
        "Disconnected from invalid user u 192.0.2.1 port 4000 [preauth]",
        "Disconnected from invalid user u 192.0.2.1 port 4000",
        "Disconnected from 192.0.2.1 port 4000 [preauth]",
        "Connection from 192.0.2.1 port 4000 on 192.0.2.2 port 22 rdomain \"\"",
        "Disconnected from user u 192.0.2.1 port x",
        "Disconnected from user u 192.0.2.1",
        "Disconnected from user",
    ] {
        assert_eq!(read(message), None, "{message}");
    }
}

#[test]
fn disconnect_ends_a_session_without_pam() {
    let gone = running(BOOT, &[]);
    for end in [
        GONE,
        "Disconnected from 192.0.2.1 port 4000",
        "Connection closed by user ec2-user 192.0.2.1 port 4000",
    ] {
        let report = without_pam(end).report(&everything(), Some(&gone));
        let session = &report["sessions"][0];
        assert_eq!(
            (&session["state"], &session["seconds"], &session["end_attributed"], ids(&report)),
            (&json!("closed"), &json!(59), &json!(false), vec!["ends-by-users"]),
            "{end}: {report:#}"
        );
        assert_eq!(report["complete"], true);
    }
    // The session's process still runs, so the line is wrong.
    let report = without_pam(GONE).report(&everything(), Some(&running(BOOT, &[10])));
    assert_eq!(report["sessions"][0]["state"], "open");
    // The line is about another user or connection.
    for other in [
        "Disconnected from user root 192.0.2.1 port 4000",
        "Disconnected from user ec2-user 192.0.2.1 port 4001",
    ] {
        let report = without_pam(other).report(&everything(), Some(&gone));
        assert_eq!(
            (&report["sessions"][0]["state"], ids(&report)),
            (&json!("unknown"), vec!["no-ends"]),
            "{other}"
        );
    }
    // With PAM, root's line decides.
    let report = without_pam(GONE).closed(10).report(&everything(), Some(&gone));
    let session = &report["sessions"][0];
    assert_eq!(
        (&session["seconds"], &session["end_attributed"], ids(&report)),
        (&json!(60), &json!(true), vec![])
    );
}

#[test]
fn another_users_line_about_an_end_makes_the_end_unknown() {
    let gone = running(BOOT, &[]);
    let line = json!({ "MESSAGE": GONE });
    let mut log = without_pam(GONE);
    log.entry(1001, 15, "sshd", &line);
    let report = log.report(&everything(), Some(&gone));
    assert_eq!(report["sessions"][0]["state"], "unknown");
    // Root's line counts more than a user's, whichever comes first.
    for uids in [[0, 1001], [1001, 0]] {
        let mut log = Log::new();
        log.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
        for uid in uids {
            log.entry(uid, 10, "sshd", &line);
        }
        let session = log.report(&everything(), Some(&gone))["sessions"][0].clone();
        assert_eq!(
            (&session["state"], &session["end_attributed"]),
            (&json!("closed"), &json!(true)),
            "{uids:?}"
        );
    }
    // The line of an earlier connection with the same port does not end a later login.
    let mut log = Log::new();
    log.entry(1000, 9, "sshd", &line).provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    assert_eq!(log.report(&everything(), Some(&gone))["sessions"][0]["state"], "unknown");
}

/// A line about the end of a session: an attested line of root, an unattributed line of root, or a line of this user.
enum Report {
    Attested,
    Unattributed,
    By(u32),
}

/// A login whose end is reported by these lines, one per second. The first line comes one second after the login.
fn ended_by(reports: &[Report]) -> Value {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    let line = json!({ "MESSAGE": GONE });
    for report in reports {
        match report {
            Report::Attested => log.entry(0, 10, "sshd", &line),
            Report::Unattributed => log.unattributed(10, "sshd", line.clone()),
            Report::By(uid) => log.entry(*uid, 14, "sshd", &line),
        };
    }
    log.report(&everything(), Some(&running(BOOT, &[])))
}

#[test]
fn end_is_that_of_the_most_trusted_line() {
    use Report::{Attested, By, Unattributed};
    for (reports, seconds, attributed) in [
        (&[Attested, Unattributed][..], 1, true),
        (&[Unattributed, Attested], 2, true),
        (&[Attested, Unattributed, By(1000)], 1, true),
        (&[Unattributed, By(1000)], 1, false),
        (&[By(1000), Unattributed], 2, false),
        (&[By(1000), By(1001), Unattributed], 3, false),
        (&[By(1000), By(1001), Attested, Unattributed], 3, true),
        // sshd writes several lines. The last one is the end.
        (&[Attested, Attested], 2, true),
    ] {
        let report = ended_by(reports);
        let session = &report["sessions"][0];
        assert_eq!(
            (&session["state"], &session["seconds"], &session["end_attributed"]),
            (&json!("closed"), &json!(seconds), &json!(attributed)),
            "{report:#}"
        );
    }
}

#[test]
fn sshds_attested_line_wins_over_an_unattributed_line_of_pam() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    log.unattributed(10, "sshd", json!({ "MESSAGE": CLOSED }));
    log.entry(0, 10, "sshd", &json!({ "MESSAGE": GONE }));
    let report = log.report(&everything(), Some(&running(BOOT, &[])));
    let session = &report["sessions"][0];
    assert_eq!((&session["seconds"], &session["end_attributed"]), (&json!(2), &json!(true)), "{report:#}");
}

#[test]
fn contradicting_lines_about_an_end_are_a_warning() {
    use Report::{Attested, By};
    let report = ended_by(&[By(1000), By(1001)]);
    let warning = &report["warnings"][0];
    assert_eq!(
        (ids(&report), &report["sessions"][0]["end_attributed"]),
        (vec!["ends-contradict"], &Value::Null)
    );
    assert!(warning["seen"].as_str().unwrap().contains("1 session"), "{warning}");
    for known in [&[By(1000), By(1000)][..], &[By(1000), By(1001), Attested]] {
        assert!(!ids(&ended_by(known)).contains(&"ends-contradict"));
    }
}

#[test]
fn disconnect_in_a_text_log_ends_a_session() {
    let accepted = format!("Nov 21 12:00:00 h sshd[10]: {}", accepted(&key('a')));
    let all = Question { all: true, ..everything() };
    let report = text_report(&[&accepted, &format!("Nov 21 12:00:09 h sshd[14]: {GONE}")], &all, None);
    assert_eq!(
        (&report["sessions"][0]["state"], &report["sessions"][0]["seconds"]),
        (&json!("closed"), &json!(9))
    );
    let elsewhere = text_report(&[&accepted, &format!("Nov 21 12:00:09 g sshd[14]: {GONE}")], &all, None);
    assert_eq!(elsewhere["sessions"][0]["state"], "unknown", "the line is of another machine");
}

#[test]
fn entry_of_unknown_form_makes_the_report_incomplete() {
    for message in [
        "Accepted publickey for ec2-user from 192.0.2.1 port 4000 ssh2: ED25519 SHA256:short",
        "Accepted publickey for ec2-user from 192.0.2.1 port 4000 ssh2: ED25519 BLAKE3:x",
        "Accepted with new words",
        "pam_unix(sshd:session): session suspended for user u",
    ] {
        let mut log = Log::new();
        log.sshd(5, message);
        let report = log.report(&everything(), None);
        assert_eq!((ids(&report), &report["complete"]), (vec!["unknown-format"], &json!(false)), "{message}");
    }
}

#[test]
fn line_of_another_program_that_wraps_a_login_is_unknown() {
    let mut log = TextLog::new(Zone::default(), i64::try_from(NOON).unwrap());
    let login = accepted(&key('a'));
    for line in [
        format!("Nov 21 12:00:00 h web: Nov 21 12:00:00 g sshd[7]: {login}"),
        format!("Nov 21 12:00:00 h containerd[7]: 2026-11-21T12:00:00Z g sshd[7]: {CLOSED}"),
        format!("<86>1 2026-11-21T12:00:00Z h - - - - sshd[7]: {login}"),
        format!("Nov 21 12:00:00 h sshd-custom[7]: {login}"),
        format!("Nov 21 12:00:00 h sshd[7]: message repeated 2 times: [ {login}]"),
        format!("Nov 21 12:00:00 h sshd: {login}"),
        format!("{{\"ident\":\"sshd\",\"message\":\"{login}\"}}"),
        format!("kernel sshd[7]: {login}"),
    ] {
        assert_eq!(log.parse_line(&line), LineKind::Unknown, "{line}");
    }
    for line in [
        "Nov 21 12:00:00 h dockerd[7]: Accepted connection for x from y port 3".to_owned(),
        "Nov 21 12:00:00 h sudo[7]: u : COMMAND=/usr/bin/grep Accepted publickey for /var/log/auth.log"
            .to_owned(),
        format!("Nov 21 12:00:00 h sshd[7]: Invalid user sshd[7]: {login} from 203.0.113.9 port 1"),
        format!("Nov 21 12:00:00 h logger: {login}"),
    ] {
        assert_eq!(log.parse_line(&line), LineKind::Other, "{line}");
    }
    assert!(!TextLog::is_other("garbage") && TextLog::is_other("Nov 21 12:00:00 h app[7]: x"));
    assert!(!TextLog::is_other("Nov 21 12:00:00 h sshd[7]: x"));
}
