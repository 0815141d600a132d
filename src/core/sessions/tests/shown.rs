//! Tests of the report: its values, its text and its CSV.

use super::*;

fn one(report: &Value) -> &Value {
    assert_eq!(report["sessions"].as_array().unwrap().len(), 1, "{report:#}");
    &report["sessions"][0]
}

#[test]
fn session_is_shown_with_all_fields() {
    let mut log = Log::new();
    log.session(10, &key('a'), ALICE);
    let report = log.report(&everything(), None);
    assert_eq!(
        one(&report),
        &json!({
            "start": "2026-11-21T12:00:02Z", "end": "2026-11-21T12:01:01Z", "state": "closed", "why": null,
            "ended_by": null, "seconds": 59, "user": "ec2-user", "method": "publickey", "address": "192.0.2.1",
            "port": 4000, "fingerprint": key('a'), "sshd_pid": 10, "joined_by": "pid-and-key",
            "attributed": true, "end_attributed": true,
            "pushes": [{
                "principal": ALICE, "account": "123456789012", "request_id": "r-alice", "verified": true,
                "rule": null, "options": null, "recorder": null,
            }],
        })
    );
    assert_eq!((ids(&report), &report["complete"]), (vec![], &json!(true)));
}

/// A push that a rule allowed, with these options.
fn by_rule(log: &mut Log, sshd: u32, key: &str, rule: &str, options: &str) {
    log.provided(sshd, key, ALICE);
    let mut entry: Value = serde_json::from_str(&log.lines.pop().unwrap()).unwrap();
    entry["EIC_RULE"] = json!(rule);
    entry["EIC_OPTIONS"] = json!(options);
    log.lines.push(entry.to_string());
}

#[test]
fn rule_and_options_of_a_push_are_shown() {
    let mut log = Log::new();
    let options = "restrict,pty,command=\"exec /usr/bin/tlog-rec-session -c \\\"a, b\\\"\"";
    by_rule(&mut log, 10, &key('a'), "contractors, all", options);
    by_rule(&mut log, 10, &key('a'), "contractors, all", options);
    log.accepted(10, &key('a')).closed(10);
    by_rule(&mut log, 20, &key('b'), "=a\u{1b}[2J", &"x".repeat(5000));
    let found = shown(&log, None, &everything());
    let report = json!(found);
    let push = &one(&report)["pushes"][0];
    assert_eq!(
        (&push["rule"], &push["options"], &push["recorder"]),
        (&json!("contractors, all"), &json!(options), &json!("tlog-rec-session"))
    );
    let unused = &report["unused"][0];
    assert_eq!(unused["rule"], "=a\\x1b[2J");
    assert_eq!(unused["options"].as_str().unwrap(), "x".repeat(1024) + "...");
    let text = found.text();
    let rows = format!(
        "    request-id r-alice\n    rule       contractors, all\n    options    {options}\n    recorder   tlog-rec-session\n"
    );
    assert!(text.contains(&rows), "{text}");
    let csv = found.csv();
    let lines: Vec<_> = csv.split_terminator("\r\n").collect();
    let cell = options.replace('"', "\"\"");
    let end = format!(",pid-and-key,\"contractors, all\",\"{cell}\",tlog-rec-session");
    assert!(lines[1].ends_with(&end), "{csv}");
    assert!(lines[2].contains(",\"'=a\\x1b[2J\","), "{csv}");
}

#[test]
fn recorder_is_the_program_that_the_command_starts() {
    for (options, recorder) in [
        ("command=\"tlog-rec-session\"", json!("tlog-rec-session")),
        ("restrict,pty,COMMAND=\"exec /usr/bin/tlog-rec-session -l\"", json!("tlog-rec-session")),
        ("command=\"/usr/bin/tlog-rec -w file\"", json!("tlog-rec")),
        ("command=\"echo tlog-rec-session\"", json!(null)),
        ("command=\"/usr/bin/tlog-rec-session-x\"", json!(null)),
        ("command=\"exec\"", json!(null)),
        ("environment=\"A=tlog-rec-session\"", json!(null)),
        ("restrict,pty", json!(null)),
        ("command=\"tlog-rec-session", json!(null)),
        ("", json!(null)),
    ] {
        let mut log = Log::new();
        by_rule(&mut log, 10, &key('a'), "r", options);
        assert_eq!(log.report(&everything(), None)["unused"][0]["recorder"], recorder, "{options}");
    }
}

#[test]
fn only_matching_sessions_are_shown() {
    let mut log = Log::new();
    // The sessions last from 12:00:02 to 12:01:01, and from 12:01:04 to 12:02:03.
    log.session(10, &key('a'), ALICE).session(20, &key('b'), BOB);
    log.sshd(30, "Accepted password for root from ::1 port 1 ssh2").closed(30);
    log.provided(40, &key('c'), ALICE);
    let at = |seconds: u64| Some(Timestamp::from_unix(NOON + seconds));
    let shown = |question: Question| {
        let report = log.report(&question, None);
        let users = report["sessions"].as_array().unwrap().iter();
        let users: Vec<_> = users.map(|session| session["sshd_pid"].as_u64().unwrap()).collect();
        (users, report["unused"].as_array().unwrap().len(), report["other_logins"].as_array().unwrap().len())
    };
    assert_eq!(shown(everything()), (vec![10, 20], 1, 1));
    assert_eq!(shown(Question { all: true, ..everything() }), (vec![10, 20, 30], 1, 1));
    assert_eq!(shown(Question { since: at(61), ..everything() }), (vec![10, 20], 1, 1));
    assert_eq!(shown(Question { since: at(62), ..everything() }), (vec![20], 1, 1), "the first had ended");
    assert_eq!(shown(Question { until: at(63), ..everything() }), (vec![10], 0, 0));
    assert_eq!(shown(Question { until: at(64), ..everything() }), (vec![10, 20], 0, 0));
    assert_eq!(shown(Question { user: Some("root".into()), ..everything() }), (vec![], 0, 1));
    let alice = Some(crate::policy::Glob::new("*/alice"));
    assert_eq!(shown(Question { principal: alice, ..everything() }), (vec![10], 1, 0));
    assert_eq!(shown(Question { open: true, ..everything() }), (vec![], 0, 0));
}

#[test]
fn gap_in_the_log_gives_a_warning() {
    let mut log = Log::new();
    log.closed(9);
    assert_eq!(ids(&log.report(&everything(), None)), ["beginning-rotated-away"]);
    let early = Question { since: Some(Timestamp::from_unix(1)), ..everything() };
    assert_eq!(ids(&log.report(&early, None)), ["log-begins-later", "beginning-rotated-away"]);

    let mut quiet = Log::new();
    quiet.provided(10, &key('a'), ALICE).provided(10, &key('a'), ALICE);
    let report = quiet.report(&everything(), None);
    assert_eq!((ids(&report), report["unused"].as_array().unwrap().len()), (vec!["log-level"], 1));
    quiet.opened(10).closed(10);
    let report = quiet.report(&everything(), None);
    assert_eq!(ids(&report), ["beginning-rotated-away", "log-level"]);
    assert!(report["warnings"][1]["fix"].as_str().unwrap().starts_with("set LogLevel INFO"), "{report:#}");

    let mut without_pam = Log::new();
    without_pam.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    let report = without_pam.report(&everything(), Some(&running(BOOT, &[])));
    assert_eq!((ids(&report), &one(&report)["why"]), (vec!["no-ends"], &json!("process-gone")));
    let md5 = "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48";
    let mut old = Log::new();
    old.provided(10, &key('a'), ALICE).provided(10, &key('b'), BOB).accepted(10, md5).closed(10);
    assert_eq!(ids(&old.report(&everything(), None)), ["md5-fingerprints"]);
    let mut shared = Log::new();
    shared.provided(10, &key('a'), ALICE).provided(10, &key('a'), BOB).accepted(10, &key('a')).closed(10);
    assert_eq!(ids(&shared.report(&everything(), None)), ["shared-key"]);
}

#[test]
fn duration_is_right_if_the_clock_is_set_back() {
    let mut log = Log::new();
    log.wall = 7200;
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    log.wall -= 3600;
    log.wait(30);
    log.closed(10);
    let report = log.report(&everything(), None);
    assert_eq!((ids(&report), &one(&report)["seconds"]), (vec!["clock-set-back"], &json!(31)));
    assert!(report["warnings"][0]["seen"].as_str().unwrap().contains("by 3600 s at most"), "{report:#}");
    // A clock that is set forward needs no warning, because durations use the monotonic clock.
    let mut forward = Log::new();
    forward.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    forward.wall += 3600;
    forward.closed(10);
    let report = forward.report(&everything(), None);
    assert_eq!((ids(&report), &one(&report)["seconds"]), (vec![], &json!(1)));
}

const TEXT: [&str; 4] = [
    "Nov 21 12:00:00 host eic-agent[7]: Providing ssh key from EC2 Instance Connect with fingerprint: SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, request-id: r-1, for IAM principal: arn:aws:iam::123456789012:user/alice",
    "Nov 21 12:00:01 host sshd[10]: Accepted publickey for ec2-user from 192.0.2.1 port 4000 ssh2: ED25519 SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "Nov 21 12:00:01 host sshd[10]: pam_unix(sshd:session): session opened for user ec2-user by (uid=0)",
    "Nov 21 12:10:00 host sshd[10]: pam_unix(sshd:session): session closed for user ec2-user",
];

#[test]
fn principals_of_a_text_log_are_unverified() {
    let report = text_report(&TEXT, &everything(), None);
    let session = one(&report);
    let push = json!({
        "principal": "arn:aws:iam::123456789012:user/alice", "account": "123456789012", "request_id": "r-1",
        "verified": false, "rule": null, "options": null, "recorder": null,
    });
    assert_eq!(
        (&session["pushes"], &session["joined_by"], &session["seconds"]),
        (&json!([push]), &json!("key-and-time"), &json!(599))
    );
    // The same process id on another machine is another process.
    let other = TEXT[3].replace("host", "other");
    let report = text_report(&[TEXT[0], TEXT[1], &other], &everything(), Some(&running(BOOT, &[10])));
    assert_eq!(one(&report)["state"], "open");
    let elsewhere = text_report(
        &TEXT[..2]
            .iter()
            .map(|line| line.replace(" host ", " far.example "))
            .collect::<Vec<_>>()
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>(),
        &everything(),
        Some(&running(BOOT, &[10])),
    );
    assert_eq!(one(&elsewhere)["why"], "no-end", "the log is of another machine");
    // A match by key and time needs a login within two minutes after the key.
    let late = TEXT[1].replace("12:00:01", "12:02:01");
    let report = text_report(&[TEXT[0], &late], &everything(), None);
    assert_eq!(
        (report["sessions"].as_array().unwrap().len(), report["unused"].as_array().unwrap().len()),
        (0, 1)
    );
    let mut after = running(BOOT, &[10]);
    after.since = (NOON + 1800) * 1_000_000;
    assert_eq!(one(&text_report(&TEXT[..2], &everything(), Some(&after)))["why"], "restart");
}

fn shown(log: &Log, running: Option<&Running>, question: &Question) -> SessionsReport {
    let now = Timestamp::from_unix(NOON + 90_061);
    SessionsReport::new(question, now, Kind::Journal, log.found_for(question.clone(), running), 9)
}

#[test]
fn text_report_is_short() {
    let mut log = Log::new();
    log.session(10, &key('a'), ALICE).provided(20, &key('b'), BOB).accepted(20, &key('b'));
    log.provided(30, &key('c'), BOB).provided_by(1000, 1, &key('c'), BOB).wait(10);
    log.sshd(40, "Accepted password for root from ::1 port 1 ssh2").closed(40);
    log.entry(
        AGENT,
        7,
        "eic-agent",
        &json!({ "EIC_EVENT": "refused", "EIC_REASON": "expired", "EIC_USER": "u" }),
    );
    let text = shown(&log, Some(&running(BOOT, &[20])), &everything()).text();
    assert_eq!(
        text,
        format!(
            "2026-11-21T12:00:02Z to 2026-11-21T12:01:01Z, 59 s: ec2-user from 192.0.2.1 port 4000
    principal  {ALICE} (account 123456789012)
    request-id r-alice
    key        {}
2026-11-21T12:01:03Z and open, 1 d 0 h: ec2-user from 192.0.2.1 port 4000
    principal  {BOB} (account 123456789012)
    request-id r-bob
    key        {}

Keys that no login used:
2026-11-21T12:01:04Z: for ec2-user
    principal  {BOB} (account 123456789012)
    request-id r-bob
    key        {}

Refused (sshd asks twice for a login):
     1  expired  2026-11-21T12:01:18Z to 2026-11-21T12:01:18Z

Logins by other means (--all lists them): 1 password
Not believed: 1 lines in the name of others, written by user id 1000
9 lines of journal from 2026-11-21T12:00:00Z to 2026-11-21T12:01:18Z
",
            key('a'),
            key('b'),
            key('c')
        )
    );
    let nothing = shown(&Log::new(), None, &Question { open: true, ..everything() }).text();
    assert_eq!(nothing, "no open session\n\n9 lines of journal, none about a login\n");
}

#[test]
fn csv_cells_cannot_be_formulas() {
    let mut log = Log::new();
    log.session(10, &key('a'), ALICE).provided(20, &key('b'), "=cmd|' /C calc'!A0, \"x\"");
    log.provided(30, &key('c'), ALICE).provided(30, &key('c'), BOB).accepted(30, &key('c')).closed(30);
    let csv = shown(&log, None, &everything()).csv();
    let lines: Vec<_> = csv.split_terminator("\r\n").collect();
    assert_eq!(
        lines[1],
        format!(
            "session,2026-11-21T12:00:02Z,2026-11-21T12:01:01Z,closed,,59,ec2-user,{ALICE},123456789012,r-alice,true,192.0.2.1,4000,{},publickey,pid-and-key,,,",
            key('a')
        )
    );
    assert!(
        lines[2]
            .contains(&format!(",\"{ALICE} {BOB}\",\"123456789012 123456789012\",\"r-alice r-bob\",true,")),
        "{csv}"
    );
    assert!(
        lines[3].starts_with("unused,2026-11-21T12:01:02Z,,,,,ec2-user,\"'=cmd|' /C calc'!A0, \"\"x\"\"\",,"),
        "{csv}"
    );
    assert_eq!(lines.len(), 4);
}
