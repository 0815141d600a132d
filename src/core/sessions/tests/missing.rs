//! Tests of gaps: losses that the log reports, and lines that are missing.

use super::*;

const STARTED: &str = "f77379a8490b408bbe5f6940505a777b";
const STOPPED: &str = "d93fb3c9c24d451a97cea615ce59c00b";
const SUPPRESSED: &str = "a596d6fe7bfa4994828e72309e95d61e";

impl Log {
    /// A message of journald itself.
    fn journald(&mut self, id: &str, message: &str) -> &mut Self {
        let fields = json!({ "MESSAGE_ID": id, "MESSAGE": message, "_TRANSPORT": "driver" });
        self.entry(0, 3, "systemd-journald", &fields)
    }

    fn suppressed(&mut self, unit: &str) -> &mut Self {
        self.journald(SUPPRESSED, &format!("Suppressed 34 messages from {unit}"))
    }
}

/// The ids of the warnings, and whether the report is complete.
fn told(log: &Log) -> (Vec<String>, bool) {
    let report = log.report(&everything(), Some(&running(BOOT, &[])));
    (ids(&report).into_iter().map(str::to_owned).collect(), report["complete"].as_bool().unwrap())
}

#[test]
fn lines_dropped_by_a_rate_limit_are_reported() {
    for (unit, is_ours) in [
        ("ssh.service", true),
        ("/system.slice/sshd.service", true),
        ("ssh@1-192.0.2.1:22.service", true),
        ("session-7.scope", true),
        ("systemd-logind.service", true),
        ("nginx.service", false),
        ("user@1000.service", false),
    ] {
        let mut log = Log::new();
        log.session(10, &key('a'), ALICE).suppressed(unit);
        let expected = if is_ours { (vec!["rate-limit".to_owned()], false) } else { (vec![], true) };
        assert_eq!(told(&log), expected, "{unit}");
    }
    // A unit with another name counts if sshd has written in it.
    let mut log = Log::new();
    log.session(10, &key('a'), ALICE).entry(
        0,
        20,
        "sshd",
        &json!({ "MESSAGE": accepted(&key('b')), "_SYSTEMD_UNIT": "second.service" }),
    );
    log.suppressed("second.service");
    assert!(told(&log).0.contains(&"rate-limit".to_owned()), "{:?}", told(&log));
}

#[test]
fn loss_is_reported_with_unit_count_and_time() {
    let mut log = Log::new();
    log.suppressed("session-7.scope").suppressed("session-8.scope").suppressed("ssh.service");
    let report = log.report(&everything(), None);
    let seen: Vec<_> = report["warnings"].as_array().unwrap().iter().map(|one| &one["seen"]).collect();
    assert_eq!(
        seen,
        [
            "journald dropped 68 lines of session-*.scope, because of its rate limit, reported from 2026-11-21T12:00:00Z to 2026-11-21T12:00:01Z",
            "journald dropped 34 lines of ssh.service, because of its rate limit, reported at 2026-11-21T12:00:02Z",
        ]
    );
    // The count can be in its own field.
    let mut log = Log::new();
    let fields = json!({
        "MESSAGE_ID": SUPPRESSED, "MESSAGE": "\u{1b}", "_TRANSPORT": "driver", "N_DROPPED": "7", "OBJECT_SYSTEMD_UNIT": "ssh.service",
    });
    log.entry(0, 3, "systemd-journald", &fields);
    let report = log.report(&everything(), None);
    assert!(
        report["warnings"][0]["seen"].as_str().unwrap().contains(" 7 lines of ssh.service"),
        "{report:#}"
    );
}

#[test]
fn losses_are_read_from_journald_only() {
    let mut log = Log::new();
    log.session(10, &key('a'), ALICE);
    for (uid, transport) in [(1000, "journal"), (0, "syslog"), (0, "stdout")] {
        let fields = json!({
            "MESSAGE_ID": SUPPRESSED, "MESSAGE": "Suppressed 1 messages from ssh.service", "_TRANSPORT": transport,
        });
        log.entry(uid, 3, "systemd-journald", &fields);
    }
    assert_eq!(told(&log), (vec![], true));
}

#[test]
fn loss_before_the_queried_time_is_not_reported() {
    let mut log = Log::new();
    log.suppressed("ssh.service").wait(100);
    log.session(10, &key('a'), ALICE);
    let report = |since: u64| {
        let since = Some(Timestamp::from_unix(NOON + since));
        log.report(&Question { since, ..everything() }, None)
    };
    assert_eq!((ids(&report(50)), &report(50)["complete"]), (vec![], &json!(true)));
    assert_eq!((ids(&report(0)), &report(0)["complete"]), (vec!["rate-limit"], &json!(false)));
}

#[test]
fn absence_of_journald_is_reported() {
    let mut log = Log::new();
    log.journald(STARTED, "Journal started")
        .session(10, &key('a'), ALICE)
        .journald(STOPPED, "Journal stopped");
    assert_eq!(told(&log), (vec!["journald-away".to_owned()], false), "journald did not come back");
    log.wait(60);
    log.journald(STARTED, "Journal started");
    let report = log.report(&everything(), None);
    assert!(
        report["warnings"][0]["seen"].as_str().unwrap().contains("for 61 s at the longest"),
        "{report:#}"
    );
    // During an upgrade, journald is away for a short time, and its sockets buffer the lines.
    let mut log = Log::new();
    log.session(10, &key('a'), ALICE);
    log.journald(STOPPED, "Journal stopped").journald(STARTED, "Journal started");
    assert_eq!(told(&log), (vec![], true));
    // journald was killed.
    log.journald(STARTED, "Journal started");
    assert_eq!(told(&log), (vec!["journald-away".to_owned()], false));
    // sshd has only reported that it listens, but a login may have followed.
    let mut log = Log::new();
    log.journald(STARTED, "Journal started").sshd(9, "Server listening on 0.0.0.0 port 22.");
    log.journald(STOPPED, "Journal stopped").wait(60);
    log.journald(STARTED, "Journal started").session(10, &key('a'), ALICE);
    assert_eq!(told(&log), (vec!["journald-away".to_owned()], false));
    // No line can be lost while the machine restarts, or before sshd has written any line.
    let mut log = Log::new();
    log.journald(STARTED, "Journal started").journald(STOPPED, "Journal stopped").wait(60);
    log.journald(STARTED, "Journal started")
        .session(10, &key('a'), ALICE)
        .journald(STOPPED, "Journal stopped");
    log.boot = NEXT_BOOT;
    log.monotonic = 5;
    log.journald(STARTED, "Journal started").session(10, &key('b'), BOB);
    assert_eq!(told(&log), (vec![], true));
}

#[test]
fn time_before_the_log_is_missing() {
    let mut log = Log::new();
    log.session(10, &key('a'), ALICE);
    let complete = |since: u64| {
        let since = Some(Timestamp::from_unix(since));
        log.report(&Question { since, ..everything() }, None)["complete"].clone()
    };
    assert_eq!((complete(NOON - 1), complete(NOON)), (json!(false), json!(true)));
}

#[test]
fn lines_of_a_user_do_not_extend_the_log() {
    let mut log = Log::new();
    // journald keeps such lines in the user's own file, which can begin earlier than the system's.
    for name in ["sshd", "eic-agent", "systemd-logind"] {
        log.entry(1000, 3, name, &json!({ "MESSAGE": "words" }));
    }
    log.entry(1000, 3, "sshd", &json!({ "MESSAGE": CLOSED })).wait(100);
    log.session(10, &key('a'), ALICE);
    let since = Some(Timestamp::from_unix(NOON + 50));
    let report = log.report(&Question { since, ..everything() }, None);
    assert_eq!((ids(&report), &report["complete"]), (vec!["log-begins-later"], &json!(false)));
    assert_eq!(report["log"]["from"], "2026-11-21T12:01:44Z");
}

#[test]
fn session_without_its_beginning_is_reported() {
    let mut log = Log::new();
    log.closed(9);
    assert_eq!(told(&log), (vec!["beginning-rotated-away".to_owned()], false));
    log.wait(60);
    log.session(10, &key('a'), ALICE);
    let since = Some(Timestamp::from_unix(NOON + 30));
    let later = log.report(&Question { since, ..everything() }, None);
    assert_eq!((ids(&later), &later["complete"]), (vec![], &json!(true)), "the session ended before");
    let mut quiet = Log::new();
    quiet.opened(10).wait(60);
    let told = told(&quiet);
    assert_eq!(told, (vec!["log-level".to_owned()], false));
}

#[test]
fn running_login_older_than_the_log_is_reported() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    let report = |pid: u32, began: u64| {
        let mut running = running(BOOT, &[10]);
        running.sshd.insert(pid, (began * 1_000_000, 0));
        running.logins = vec![pid];
        let report = log.report(&everything(), Some(&running));
        (ids(&report).contains(&"open-before-log"), report["complete"].as_bool().unwrap())
    };
    assert_eq!(report(9, NOON - 60), (true, false));
    assert_eq!(report(9, NOON + 60), (false, true), "a client that has not logged in so far");
    assert_eq!(report(10, NOON - 60), (false, true), "the log contains this login");
}

#[test]
fn running_login_without_a_line_is_reported() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    let told = |before: &[u32], later: &[u32]| {
        let [before, later] = [before, later].map(|let_in| {
            let mut running = running(BOOT, &[10]);
            running.sshd.insert(11, ((NOON + 1) * 1_000_000, 0));
            running.logins = vec![10, 11];
            running.let_in = let_in.to_vec();
            running
        });
        let mut join = Join::new(Kind::Journal, everything(), Some(before));
        let mut journal = reader();
        for line in &log.lines {
            let entry = journal.parse_line(line.as_bytes()).unwrap();
            join.take_entry(entry);
        }
        let found = join.end(Some(&later));
        let report = json!(SessionsReport::new(
            &everything(),
            Timestamp::from_unix(NOON + 60),
            Kind::Journal,
            found,
            0
        ));
        (ids(&report).contains(&"open-not-in-log"), report["complete"].as_bool().unwrap())
    };
    assert_eq!(told(&[10, 11], &[10, 11]), (true, false));
    assert_eq!(told(&[10], &[10]), (false, true), "process 11 has not accepted a login");
    assert_eq!(told(&[10], &[10, 11]), (false, true), "process 11 did so while the log was read");
    assert_eq!(told(&[10, 11], &[10]), (false, true), "process 11 has ended");
}

#[test]
fn losses_of_a_text_log_are_reported() {
    for line in [
        "Nov 21 12:00:00 host systemd-journald[9]: Forwarding to syslog missed 12 messages.",
        "Nov 21 12:00:00 host systemd-journald[9]: Suppressed 12 messages from ssh.service",
        "Nov 21 12:00:00 host rsyslogd: imjournal: 12 messages lost due to rate-limiting (20000 allowed within 600 seconds)",
        "Nov 21 12:00:00 host rsyslogd[9]: imuxsock lost 12 messages from pid 7 due to rate-limiting",
        "Nov 21 12:00:00 host rsyslogd: imuxsock[pid 7]: begin to drop messages due to rate-limiting",
    ] {
        let report = text_report(&[line], &everything(), None);
        assert_eq!((ids(&report), &report["complete"]), (vec!["lines-lost"], &json!(false)), "{line}");
    }
    let report = text_report(&["Nov 21 12:00:00 host rsyslogd: rsyslogd was HUPed"], &everything(), None);
    assert_eq!((ids(&report), &report["complete"]), (vec![], &json!(true)));
}

#[test]
fn line_of_an_unknown_form_is_reported() {
    let said = |line: &str| {
        let mut log = TextLog::new(Zone::default(), i64::try_from(NOON).unwrap());
        match log.parse_line(line) {
            LineKind::Line(_) => "line",
            LineKind::Other => "other",
            LineKind::Unknown => "unknown",
        }
    };
    let login = accepted(&key('a'));
    for (line, expected) in [
        (format!("<86>Nov 21 12:00:00 h sshd[7]: {login}"), "line"),
        (format!("<86>1 2026-11-21T12:00:00Z h sshd 7 - - {login}"), "line"),
        (format!("<86>1 2026-11-21T12:00:00Z h sshd 7 - - {CLOSED}"), "line"),
        (format!("<86>1 2026-11-21T12:00:00Z h sshd - - - {login}"), "unknown"),
        (format!("Nov 21 12:00:00 h sshd: {login}"), "unknown"),
        ("Nov 21 12:00:00 h sshd[7]: Accepted a form of a later release".to_owned(), "unknown"),
        (format!("web-1  | Nov 21 12:00:00 h sshd[7]: {login}"), "unknown"),
        (format!("2026-11-21T12:00:00Z stdout F Nov 21 12:00:00 h sshd[7]: {CLOSED}"), "unknown"),
        (format!("[   12.345678] h sshd[7]: {login}"), "unknown"),
        (format!("Sat 2026-11-21 12:00:00 CET h sshd[7]: {login}"), "unknown"),
        (format!("{{\"MESSAGE\":\"{login}\"}}"), "unknown"),
        (
            format!(
                "[1.5] h eic-agent[7]: Providing ssh key from EC2 Instance Connect with fingerprint: {}",
                key('a')
            ),
            "unknown",
        ),
        // A client can choose such a login name, and a user can choose such a program name.
        (format!("Nov 21 12:00:00 h sshd[7]: Invalid user {login} from ::1 port 1"), "other"),
        (format!("Nov 21 12:00:00 h other[7]: {login}"), "other"),
        ("Nov 21 12:00:00 h sshd[7]: Invalid user x from ::1 port 1".to_owned(), "other"),
        ("words".to_owned(), "other"),
    ] {
        assert_eq!(said(&line), expected, "{line}");
    }
}
