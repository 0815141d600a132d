//! Tests of the join: sessions, their pushes and their ends.

use super::super::event::{Moment, Push};
use super::super::joined::{End, Joined, Session, Why};
use super::super::message::of_agent;
use super::*;

fn names(session: &Session) -> Vec<&str> {
    session
        .pushes
        .iter()
        .map(|push| push.claim().principal.as_deref().unwrap().rsplit('/').next().unwrap())
        .collect()
}

fn ends(found: &JoinedLog) -> Vec<(Vec<&str>, &'static str)> {
    let word = |end| match end {
        End::Open => "open",
        End::Closed(_) => "closed",
        End::Unknown(Why::Restart, _) => "restart",
        End::Unknown(Why::PidReused, _) => "pid-reused",
        End::Unknown(Why::ProcessGone, _) => "process-gone",
        End::Unknown(Why::NoEnd, _) => "no-end",
    };
    found.sessions.iter().map(|session| (names(session), word(session.end))).collect()
}

#[test]
fn sessions_of_one_login_name_are_distinguished() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).provided(20, &key('b'), BOB);
    log.accepted(20, &key('b')).accepted(10, &key('a')).closed(20).closed(10);
    let found = log.found(None);
    assert_eq!(ends(&found), [(vec!["bob"], "closed"), (vec!["alice"], "closed")]);
    assert!(found.sessions.iter().all(|session| session.joined == Some(Joined::Exactly)));
    assert!(found.unused.is_empty());
}

#[test]
fn process_key_and_user_must_match() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(11, &key('a'));
    log.provided(20, &key('a'), ALICE).accepted(20, &key('b'));
    log.provided(30, &key('c'), ALICE);
    log.sshd(30, &format!("Accepted publickey for root from ::1 port 1 ssh2: ED25519 {}", key('c')));
    log.provided(40, &key('d'), ALICE).sshd(40, "Accepted password for ec2-user from ::1 port 1 ssh2");
    log.provided(50, &key('e'), ALICE).wait(601);
    log.accepted(50, &key('e'));
    let found = log.found(None);
    assert!(found.sessions.iter().all(|session| session.pushes.is_empty()), "{found:#?}");
    assert_eq!((found.sessions.len(), found.unused.len()), (5, 4), "one key was given twice");
}

#[test]
fn key_used_by_the_second_connection_is_used() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).provided(20, &key('a'), ALICE).accepted(20, &key('a')).closed(20);
    let found = log.found(None);
    assert_eq!((ends(&found), found.unused.len()), (vec![(vec!["alice"], "closed")], 0));
    // A later push of the same key counts separately.
    log.wait(700);
    log.provided(30, &key('a'), ALICE).provided(30, &key('a'), ALICE);
    assert_eq!(log.found(None).unused.len(), 1);
}

#[test]
fn keys_of_one_connection_are_distinguished() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).provided(10, &key('b'), BOB).accepted(10, &key('b')).closed(10);
    let found = log.found(None);
    assert_eq!(ends(&found), [(vec!["bob"], "closed")]);
    assert_eq!(found.unused[0].push.claim().principal.as_deref(), Some(ALICE));
}

#[test]
fn both_principals_of_a_shared_key_are_listed() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).provided(10, &key('a'), BOB).accepted(10, &key('a')).closed(10);
    let found = log.found(None);
    assert_eq!((ends(&found), found.tally.ambiguous), (vec![(vec!["alice", "bob"], "closed")], 1));
}

#[test]
fn a_key_that_one_principal_pushed_twice_is_not_shared() {
    let mut log = Log::new();
    let again = json!({
        "MESSAGE": "Providing ...", "EIC_EVENT": "provided", "EIC_USER": "ec2-user", "EIC_FINGERPRINT": key('a'),
        "EIC_REQUEST_ID": "r-again", "EIC_PRINCIPAL": ALICE, "EIC_SSHD_PID": "10",
    });
    log.provided(10, &key('a'), ALICE).entry(super::AGENT, 7, "eic-agent", &again);
    log.accepted(10, &key('a')).closed(10);
    let found = log.found(None);
    assert_eq!((ends(&found), found.tally.ambiguous), (vec![(vec!["alice", "alice"], "closed")], 0));
}

#[test]
fn md5_fingerprints_are_joined_by_process_alone() {
    let md5 = "MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48";
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, md5).closed(10);
    let found = log.found(None);
    assert_eq!((ends(&found), found.tally.by_md5), (vec![(vec!["alice"], "closed")], 0));
    assert_eq!(found.sessions[0].joined, Some(Joined::ByProcess));
    log.provided(20, &key('a'), ALICE).provided(20, &key('b'), BOB).accepted(20, md5);
    let found = log.found(None);
    assert_eq!((names(&found.sessions[1]), found.tally.by_md5), (vec!["alice", "bob"], 1));
}

#[test]
fn late_line_of_the_agent_is_joined() {
    let mut log = Log::new();
    log.accepted(10, &key('a')).provided(10, &key('a'), ALICE).provided(10, &key('b'), BOB).closed(10);
    let found = log.found(None);
    assert_eq!((ends(&found), found.unused.len()), (vec![(vec!["alice"], "closed")], 1));
    assert_eq!(found.sessions[0].joined, Some(Joined::Exactly));
}

#[test]
fn reused_pid_ends_the_earlier_session() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a')).wait(100);
    log.provided(10, &key('b'), BOB).accepted(10, &key('b')).wait(100);
    log.accepted(10, &key('c')).closed(10);
    let found = log.found(None);
    let expected = [(vec!["alice"], "pid-reused"), (vec!["bob"], "pid-reused"), (vec![], "closed")];
    assert_eq!(ends(&found), expected);
    assert!(
        matches!(found.sessions[0].end, End::Unknown(_, Some(by)) if by.wall == (NOON + 102) * 1_000_000)
    );
}

#[test]
fn restart_ends_all_sessions() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    log.boot = NEXT_BOOT;
    log.monotonic = 5;
    log.provided(20, &key('b'), BOB).accepted(20, &key('b'));
    let at_the_end = |running: &Running| {
        let found = log.found(Some(running));
        ends(&found).into_iter().map(|(_, end)| end).collect::<Vec<_>>()
    };
    assert_eq!(at_the_end(&running(NEXT_BOOT, &[10, 20])), ["restart", "open"]);
    assert_eq!(at_the_end(&running(NEXT_BOOT, &[10])), ["restart", "process-gone"]);
    assert_eq!(at_the_end(&running("e549ba29c241485f9f765481cf88c372", &[10, 20])), ["restart", "restart"]);
    assert_eq!(ends(&log.found(None))[1].1, "no-end");
    // A process that started later only has the same process id.
    let mut other = running(NEXT_BOOT, &[]);
    other.sshd.insert(20, ((NOON + 60) * 1_000_000, 60_000_000));
    assert_eq!(at_the_end(&other), ["restart", "process-gone"]);
}

#[test]
fn pam_or_logind_ends_a_session() {
    let removed = json!({ "MESSAGE_ID": "3354939424b4456d9802ca8333ed424a", "LEADER": "10" });
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE).accepted(10, &key('a')).entry(0, 1, "systemd-logind", &removed);
    let found = log.found(None);
    assert_eq!((ends(&found), found.tally.ends), (vec![(vec!["alice"], "closed")], 1));
    // Further reports of the same end change nothing.
    log.closed(10).entry(0, 1, "systemd-logind", &removed);
    let found = log.found(None);
    assert_eq!((found.sessions.len(), found.tally.ends_alone), (1, 0));
}

#[test]
fn key_of_a_partial_proof_is_joined() {
    let mut log = Log::new();
    log.provided(10, &key('a'), ALICE);
    log.sshd(10, &format!("Partial publickey for ec2-user from ::1 port 1 ssh2: ED25519 {}", key('a')));
    log.sshd(10, "Accepted keyboard-interactive/pam for ec2-user from ::1 port 1 ssh2").closed(10);
    let found = log.found(None);
    assert_eq!(ends(&found), [(vec!["alice"], "closed")]);
    assert_eq!(found.sessions[0].login.method, "keyboard-interactive/pam");
}

#[test]
fn lines_of_another_user_change_nothing() {
    let mut log = Log::new();
    let fake = |log: &mut Log, message: &str| {
        log.entry(1000, 99, "sshd", &json!({ "MESSAGE": message }));
    };
    log.provided_by(1000, 10, &key('a'), BOB).provided(10, &key('a'), ALICE).accepted(10, &key('a'));
    fake(&mut log, "pam_unix(sshd:session): session closed for user ec2-user");
    fake(&mut log, &format!("Accepted publickey for root from ::1 port 1 ssh2: ED25519 {}", key('b')));
    log.entry(
        1000,
        10,
        "sshd",
        &json!({ "MESSAGE": "pam_unix(sshd:session): session closed for user ec2-user" }),
    );
    let found = log.found(Some(&running(BOOT, &[10])));
    assert_eq!(ends(&found), [(vec!["alice"], "open")]);
    assert_eq!(found.tally.disbelieved, BTreeMap::from([(1000, 4)]));
}

#[test]
fn untrusted_writers_and_reasons_are_bounded() {
    let mut log = Log::new();
    for uid in 1000..1200 {
        log.provided_by(uid, 10, &key('a'), BOB);
    }
    let found = log.found(None);
    assert_eq!(found.tally.disbelieved.len(), 101);
    assert_eq!(found.tally.disbelieved[&u32::MAX], 100);
    let mut join = Join::new(Kind::Text, everything(), None);
    let at = super::super::event::Moment { wall: 1, monotonic: None };
    for number in 0..2000 {
        let refused = super::super::event::Event::Refused {
            reason: Some(format!("r-{number}")),
            user: None,
            push: None,
            count: 1,
            source: Attribution::Text,
        };
        join.take("host", at, Some(refused));
    }
    let found = join.end(None);
    assert_eq!((found.refusals.len(), found.tally.left_out), (1000, 1000));
}

#[test]
fn rows_beyond_the_limit_are_counted() {
    let mut join = Join::new(Kind::Text, Question { all: true, ..everything() }, None);
    let at = super::super::event::Moment { wall: 1, monotonic: None };
    let limit = u32::try_from(super::super::MAX_ROWS).unwrap();
    for pid in 0..limit + 5 {
        let message = "Accepted password for u from ::1 port 1 ssh2";
        join.take("host", at, of_sshd(pid, message));
    }
    let found = join.end(None);
    assert_eq!((found.sessions.len(), found.tally.left_out), (super::super::MAX_ROWS, 5));
}

#[test]
fn expired_keys_are_forgotten() {
    let mut join = Join::new(Kind::Text, Question { user: Some("u".to_owned()), ..everything() }, None);
    let by = |seconds: u64| Moment { wall: seconds * 1_000_000, monotonic: None };
    let limit = u64::try_from(super::super::MAX_ROWS).unwrap();
    // More keys than a report holds, one per second. The filter excludes the logins that use them.
    for number in 0..limit + 10_000 {
        let key = format!("SHA256:{number:0>43}");
        let provided = format!("Providing ssh key from EC2 Instance Connect with fingerprint: {key}");
        join.take("host", by(number), of_agent(&provided, Push::Unverified));
        let accepted = format!("Accepted publickey for other from ::1 port 1 ssh2: ED25519 {key}");
        join.take("host", by(number), of_sshd(7, &accepted));
    }
    // One more login, which passes the filter.
    let key = format!("SHA256:{:0>43}", "u");
    let provided = format!("Providing ssh key from EC2 Instance Connect with fingerprint: {key}");
    join.take("host", by(limit * 2), of_agent(&provided, Push::Unverified));
    join.take(
        "host",
        by(limit * 2),
        of_sshd(8, &format!("Accepted publickey for u from ::1 port 1 ssh2: ED25519 {key}")),
    );
    let found = join.end(None);
    assert_eq!((found.sessions.len(), found.sessions[0].pushes.len(), found.tally.left_out), (1, 1, 0));
}

#[test]
fn forged_pushes_of_one_key_are_bounded() {
    let mut join = Join::new(Kind::Text, everything(), None);
    let at = Moment { wall: 1, monotonic: None };
    for number in 0..50_000 {
        let line = format!(
            "Providing ssh key from EC2 Instance Connect with fingerprint: {}, request-id: {number}",
            key('a')
        );
        join.take("host", at, of_agent(&line, Push::Unverified));
    }
    join.take(
        "host",
        at,
        of_sshd(7, &format!("Accepted publickey for u from ::1 port 1 ssh2: ED25519 {}", key('a'))),
    );
    let found = join.end(None);
    assert_eq!((found.sessions[0].pushes.len(), found.tally.left_out), (64, 50_000 - 64));
}

#[test]
fn events_outside_the_question_are_not_kept() {
    let mut log = Log::new();
    log.session(10, &key('a'), ALICE).session(20, &key('b'), BOB);
    let bobs = Question { principal: Some(crate::policy::Glob::new("*/bob")), ..everything() };
    assert_eq!(ends(&log.found_for(bobs, None)), [(vec!["bob"], "closed")]);
}
