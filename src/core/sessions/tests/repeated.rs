//! Tests of lines that name several pushes of one key.

use super::super::event::{KeyProvided, Moment, Push};
use super::super::message::of_agent;
use super::*;

/// The agent's line about a key that was pushed several times.
fn provided(log: &mut Log, uid: u32, sshd: u32, key: &str, further: &str) {
    log.provided_by(uid, sshd, key, ALICE);
    let mut entry: Value = serde_json::from_str(&log.lines.pop().unwrap()).unwrap();
    entry["EIC_FURTHER_REQUEST_IDS"] = json!(further);
    log.lines.push(entry.to_string());
}

/// The principal, the request id, and whether they are verified, of each push in this list.
fn pushes(list: &Value) -> Vec<(String, String, bool)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |push: &Value| {
        (text(&push["principal"]), text(&push["request_id"]), push["verified"].as_bool().unwrap())
    };
    list.as_array().unwrap().iter().map(of).collect()
}

fn by_alice(ids: &[&str]) -> Vec<(String, String, bool)> {
    ids.iter().map(|id| (ALICE.to_owned(), (*id).to_owned(), true)).collect()
}

#[test]
fn session_has_each_push_that_the_line_names() {
    let mut log = Log::new();
    provided(&mut log, AGENT, 10, &key('a'), "r-2 r-3");
    // Before the second run of the agent, the key is pushed once more.
    provided(&mut log, AGENT, 10, &key('a'), "r-4 r-2 r-3");
    log.accepted(10, &key('a')).closed(10);
    let report = log.report(&everything(), None);
    assert_eq!(pushes(&report["sessions"][0]["pushes"]), by_alice(&["r-alice", "r-4", "r-2", "r-3"]));
    assert_eq!((ids(&report), &report["complete"]), (vec![], &json!(true)), "one principal is not ambiguous");
}

#[test]
fn unused_key_has_each_push_that_the_line_names() {
    let mut log = Log::new();
    provided(&mut log, AGENT, 10, &key('a'), "r-2");
    log.closed(20);
    assert_eq!(pushes(&log.report(&everything(), None)["unused"]), by_alice(&["r-alice", "r-2"]));
}

#[test]
fn line_of_another_user_adds_no_push() {
    let mut log = Log::new();
    provided(&mut log, AGENT, 10, &key('a'), "");
    provided(&mut log, 1000, 10, &key('a'), "r-forged");
    log.accepted(10, &key('a')).closed(10);
    let report = log.report(&everything(), None);
    assert_eq!(pushes(&report["sessions"][0]["pushes"]), by_alice(&["r-alice"]));
}

#[test]
fn request_ids_in_text_are_parsed_and_bounded() {
    let line = format!("Providing ssh key from EC2 Instance Connect with fingerprint: {}", key('a'));
    let read = |message: &str| match of_agent(message, Push::Unverified) {
        Some(Event::Provided(provided)) => {
            let claim = |provided: KeyProvided| provided.push.claim().clone();
            let claims: Vec<_> = provided.of_each_request().map(claim).collect();
            assert!(
                claims.iter().all(|it| it.principal == claims[0].principal && it.grant == claims[0].grant)
            );
            claims.into_iter().map(|it| it.request_id.unwrap_or_default()).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let whole = format!("{line}, request-id: r-1, for IAM principal: {ALICE}");
    let rest = "; without an OCSP staple for CN=a; allowed by rule: x; with options: pty";
    for (further, expected) in [
        ("", vec!["r-1"]),
        ("; further request-ids: r-2", vec!["r-1", "r-2"]),
        ("; further request-ids: r-2 r-3", vec!["r-1", "r-2", "r-3"]),
        ("; further request-ids:   r-2 \u{1b}[2J", vec!["r-1", "r-2", "\\x1b[2J"]),
        ("; further request-ids: ", vec!["r-1"]),
    ] {
        assert_eq!(read(&format!("{whole}{further}{rest}")), expected, "{further:?}");
    }
    let many = format!("{whole}; further request-ids: {}", "y ".repeat(30_000));
    assert_eq!(read(&many).len(), 25);
    let long = format!("{whole}; further request-ids: {}", "y".repeat(30_000));
    assert_eq!(read(&long)[1].len(), 256 + 3);
    // A space in a value of the push is escaped, so no push can imitate this part.
    let imitation =
        format!("{line}, request-id: r-1, for IAM principal: x;\\x20further\\x20request-ids:\\x20r-2");
    assert_eq!(read(&imitation), ["r-1"]);
}

#[test]
fn many_pushes_of_one_principal_hide_no_other_principal_in_a_text_log() {
    let line = |principal: &str, first: &str, further: &str| {
        format!(
            "Providing ssh key from EC2 Instance Connect with fingerprint: {}, request-id: {first}, for IAM principal: \
             {principal}; further request-ids: {further}",
            key('a')
        )
    };
    let flood = |first: usize| {
        let further: Vec<_> = (0..24).map(|number| format!("bob-{first}-{number}")).collect();
        line(BOB, &format!("bob-{first}"), &further.join(" "))
    };
    for place in [0, 2, 4] {
        let mut messages: Vec<_> = (0..4).map(flood).collect();
        messages.insert(place, line(ALICE, "r-alice", ""));
        let mut join = Join::new(Kind::Text, everything(), None);
        let at = Moment { wall: NOON * 1_000_000, monotonic: None };
        for message in &messages {
            join.take("host", at, of_agent(message, Push::Unverified));
        }
        join.take("host", at, of_sshd(7, &accepted(&key('a'))));
        let found = join.end(None);
        let pushes = &found.sessions[0].pushes;
        assert!(pushes.iter().any(|push| push.claim().principal.as_deref() == Some(ALICE)), "{place}");
        assert_eq!((pushes.len(), found.tally.ambiguous), (64, 1));
        assert!(found.tally.left_out > 0, "the report says that pushes are missing");
    }
}
