//! Tests of lines that root wrote but that may be forged.

use super::*;

/// `state` and `why` of each session, and whether the report is complete.
fn states(report: &Value) -> (Vec<(&str, Option<&str>)>, bool) {
    let sessions = report["sessions"].as_array().unwrap().iter();
    let states = sessions.map(|session| (session["state"].as_str().unwrap(), session["why"].as_str()));
    (states.collect(), report["complete"].as_bool().unwrap())
}

#[test]
fn unattributed_login_is_listed_as_unverified() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE);
    log.unattributed(10, "sshd", json!({ "MESSAGE": accepted(&key('a')) })).closed(10);
    let report = log.report(&everything(), Some(&running(BOOT, &[])));
    assert_eq!(states(&report), (vec![("closed", None)], false));
    let session = &report["sessions"][0];
    assert_eq!(
        (&session["attributed"], &session["end_attributed"], &session["pushes"][0]["verified"]),
        (&json!(false), &json!(true), &json!(false))
    );
    assert_eq!((ids(&report), &report["unattributed"]), (vec!["unattributed"], &json!(1)));
    // The same for the first of two proofs.
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE);
    let partial = format!("Partial publickey for ec2-user from ::1 port 1 ssh2: ED25519 {}", key('a'));
    log.unattributed(10, "sshd", json!({ "MESSAGE": partial }));
    log.sshd(10, "Accepted keyboard-interactive/pam for ec2-user from ::1 port 1 ssh2").closed(10);
    let report = log.report(&everything(), Some(&running(BOOT, &[])));
    assert_eq!(report["sessions"][0]["pushes"][0]["verified"], false);
    assert_eq!(report["complete"], false);
}

#[test]
fn unattributed_end_does_not_end_a_running_session() {
    let removed = json!({ "MESSAGE_ID": "3354939424b4456d9802ca8333ed424a", "LEADER": "10", "MESSAGE": "Removed session 1." });
    for (pid, name, fields) in [(10, "sshd", json!({ "MESSAGE": CLOSED })), (1, "systemd-logind", removed)] {
        let mut log = Log::new();
        log.provided(10, &key('a'), ALICE).accepted(10, &key('a')).unattributed(pid, name, fields);
        let report = |running: Option<&Running>| log.report(&everything(), running);
        assert_eq!(states(&report(Some(&running(BOOT, &[10])))), (vec![("open", None)], true), "{name}");
        let end_session = report(Some(&running(BOOT, &[])));
        assert_eq!(states(&end_session), (vec![("closed", None)], false), "{name}");
        assert_eq!(
            (&end_session["sessions"][0]["end_attributed"], ids(&end_session)),
            (&json!(false), vec!["unattributed"])
        );
        let after = running(NEXT_BOOT, &[10]);
        assert_eq!(states(&report(Some(&after))), (vec![("closed", None)], false), "{name}: another run");
        assert_eq!(states(&report(None)), (vec![("unknown", Some("no-end"))], true), "{name}");
    }
}

#[test]
fn attested_line_wins_over_an_unattributed_one() {
    let removed = json!({ "MESSAGE_ID": "3354939424b4456d9802ca8333ed424a", "LEADER": "10" });
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    log.unattributed(10, "sshd", json!({ "MESSAGE": CLOSED })).wait(30);
    log.closed(10);
    let report = log.report(&everything(), Some(&running(BOOT, &[])));
    // PAM's line comes 31 s later, so it reports another end. The session ended at the unattributed line.
    assert_eq!((&report["sessions"][0]["seconds"], &report["complete"]), (&json!(1), &json!(false)));

    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    log.unattributed(10, "sshd", json!({ "MESSAGE": CLOSED })).entry(0, 1, "systemd-logind", &removed);
    let report = log.report(&everything(), Some(&running(BOOT, &[])));
    assert_eq!((&report["sessions"][0]["end_attributed"], &report["complete"]), (&json!(true), &json!(true)));
}

#[test]
fn running_process_overrules_a_logged_end() {
    let mut log = Log::new();
    log.session(10, &key('a'), ALICE);
    let states = |running: &Running| states(&log.report(&everything(), Some(running))).0[0].0.to_owned();
    assert_eq!(states(&running(BOOT, &[10])), "open");
    assert_eq!(states(&running(BOOT, &[11])), "closed");
    assert_eq!(states(&running(NEXT_BOOT, &[10])), "closed", "that was another run of the machine");
    // A process that started later only has the same process id.
    let mut other = running(BOOT, &[]);
    other.sshd.insert(10, ((NOON + 60) * 1_000_000, 160_000_000));
    assert_eq!(states(&other), "closed");
    // The session ended while the log was read.
    let found = |later: &Running| {
        let mut journal = reader();
        let mut join = Join::new(Kind::Journal, everything(), Some(running(BOOT, &[10])));
        for line in &log.lines {
            let entry = journal.parse_line(line.as_bytes()).unwrap();
            join.take(&entry.boot, entry.at, entry.event);
        }
        join.end(Some(later)).sessions[0].end
    };
    assert!(matches!(found(&running(BOOT, &[])), super::super::joined::End::Closed(_)));
    assert_eq!(found(&running(BOOT, &[10])), super::super::joined::End::Open);
}

#[test]
fn key_of_a_client_that_left_matches_no_login() {
    for left in [
        "Connection closed by authenticating user ec2-user 192.0.2.1 port 4000 [preauth]",
        "Connection reset by authenticating user ec2-user 192.0.2.1 port 4000 [preauth]",
        "Disconnected from authenticating user ec2-user 192.0.2.1 port 4000 [preauth]",
        "Received disconnect from 192.0.2.1 port 4000:11: bye [preauth]",
        "Disconnecting authenticating user ec2-user 192.0.2.1 port 4000: Too many authentication failures [preauth]",
        "fatal: Timeout before authentication for 192.0.2.1 port 4000",
    ] {
        let mut log = Log::new();
        // journald may name the program of the earlier process with this id as the writer.
        log.provided(10, &key('a'), ALICE).sshd(10, left).accepted(10, &key('a')).closed(10);
        let report = log.report(&Question { all: true, ..everything() }, None);
        assert_eq!(report["sessions"][0]["pushes"], json!([]), "{left}");
        assert_eq!(report["unused"][0]["principal"], ALICE, "{left}");
    }
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE);
    log.entry(1000, 10, "sshd", &json!({ "MESSAGE": "Connection closed by 192.0.2.1 port 4000" }));
    log.accepted(10, &key('a')).closed(10);
    let report = log.report(&everything(), None);
    assert_eq!(report["sessions"][0]["pushes"][0]["principal"], ALICE, "another user wrote the line");
}

#[test]
fn line_of_a_wrapper_is_no_event_and_hides_no_forged_line() {
    let session = "Session with a key from EC2 Instance Connect for user ec2-user, request-id: r-1; pid 30";
    let forged = format!("Providing ssh key from EC2 Instance Connect with fingerprint: {}", key('b'));
    for (message, disbelieved) in [(session, 0), (forged.as_str(), 1), ("", 1), ("Session closed", 1)] {
        let mut log = Log::new();
        log.session(10, &key('a'), ALICE);
        let fields = json!({ "MESSAGE": message, "EIC_EVENT": "session", "EIC_PRINCIPAL": BOB, "EIC_SSHD_PID": "10",
            "EIC_USER": "ec2-user", "EIC_FINGERPRINT": key('a'), "EIC_REQUEST_ID": "r-2" });
        log.entry(1000, 30, "eic-agent", &fields);
        let report = log.report(&everything(), None);
        assert_eq!(report["sessions"][0]["pushes"].as_array().unwrap().len(), 1, "{message}");
        assert_eq!(report["sessions"][0]["pushes"][0]["principal"], ALICE, "{message}");
        let lines = report["disbelieved"][0]["lines"].as_u64().unwrap_or_default();
        assert_eq!((lines, report["complete"].as_bool()), (disbelieved, Some(true)), "{message}");
    }
}

#[test]
fn text_log_cannot_end_a_running_session() {
    let login = format!("Nov 21 12:00:01 host sshd[10]: {}", accepted(&key('a')));
    let end = format!("Nov 21 12:10:00 host sshd[10]: {CLOSED}");
    let all = Question { all: true, ..everything() };
    let report = text_report(&[&login, &end], &all, Some(&running(BOOT, &[10])));
    assert_eq!(
        (states(&report).0, &report["sessions"][0]["attributed"]),
        (vec![("open", None)], &Value::Null)
    );
    assert_eq!(states(&text_report(&[&login, &end], &all, None)).0, [("closed", None)]);
}

#[test]
fn forgery_by_a_setuid_program_is_ignored_and_reported() {
    let sudo = |mut fields: Value| {
        fields["_EXE"] = json!("/usr/bin/sudo");
        fields["_SYSTEMD_UNIT"] = json!("session-3.scope");
        fields
    };
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a')).provided(20, &key('b'), BOB);
    let removed = json!({ "MESSAGE_ID": "3354939424b4456d9802ca8333ed424a", "LEADER": "10" });
    log.entry(0, 99, "systemd-logind", &sudo(removed));
    log.entry(0, 20, "sshd", &sudo(json!({ "MESSAGE": accepted(&key('b')) })));
    let report = log.report(&everything(), Some(&running(BOOT, &[10])));
    assert_eq!(states(&report), (vec![("open", None)], true));
    assert_eq!(report["unused"][0]["principal"], BOB);
    assert_eq!(report["disbelieved"], json!([{ "uid": 0, "lines": 2 }]));
    assert_eq!(report["disbelieved_programs"], json!([{ "program": "/usr/bin/sudo", "lines": 2 }]));
    assert_eq!(ids(&report), ["no-ends", "another-program"]);
    // If sshd has an unknown path, its lines may be about real logins.
    let mut elsewhere = Log::new();
    let fields = json!({ "MESSAGE": accepted(&key('a')), "_EXE": "/opt/openssh/sbin/sshd" });
    elsewhere.entry(0, 10, "sshd", &fields);
    let report = elsewhere.report(&everything(), None);
    assert_eq!((ids(&report), &report["complete"]), (vec!["another-program"], &json!(false)));
}
