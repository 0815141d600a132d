//! Exports of journals: ids, and what the next export with a state has.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::export::state::{ExportState, Query};
use super::super::export::{About, Export};
use super::super::join::{Join, Kind};
use super::super::question::Question;
use super::super::report::SessionsReport;
use super::super::running::Running;
use super::{ALICE, BOB, Log, NEXT_BOOT, NOON, everything, key, reader, running};
use crate::instance_facts::InstanceFacts;
use crate::time::Timestamp;

pub(super) const LATER: u64 = 3600;

/// One export: its lines, and the next state.
pub(super) fn exported(
    log: &Log,
    sshd: &[u32],
    before: Option<ExportState>,
) -> (Vec<Value>, Option<ExportState>) {
    export_with(log, &running(log.boot, sshd), before, true)
}

fn export_with(
    log: &Log,
    here: &Running,
    before: Option<ExportState>,
    all: bool,
) -> (Vec<Value>, Option<ExportState>) {
    let (now, mut journal) = (Timestamp::from_unix(NOON + log.wall), reader());
    let about = About {
        facts: InstanceFacts { boot_id: Some(here.boot.clone()), ..InstanceFacts::default() },
        firmware: None,
        kind: Kind::Journal,
        now,
        boot: Some((here.boot.clone(), log.monotonic * 1_000_000)),
        all,
    };
    let mut export = Export::new(about, before);
    let question = Question { all: true, ..everything() };
    let mut join = Join::new(Kind::Journal, question.clone(), Some(here.clone())).streaming();
    for (number, line) in log.lines.iter().enumerate() {
        let entry = journal.parse_line(line.as_bytes()).expect(line);
        if number == 0 {
            export.begins(&entry.boot, entry.at);
        }
        join.comes_from(export.entry(&entry.boot, entry.at));
        join.take_entry(entry);
        export.take(join.ready(), join.scopes());
    }
    let mut found = join.end(Some(here));
    let (sessions, keys) = (std::mem::take(&mut found.sessions), std::mem::take(&mut found.unused));
    export.finish(&sessions, &keys, &found.rest, Some(here));
    let has_gap = export.has_gap();
    let report = SessionsReport::new(&question, now, Kind::Journal, found, 0);
    let state = export.cover(&report, Vec::new());
    let state = state.map(|state| ExportState::parse(&state.content().unwrap()).unwrap());
    let mut lines: Vec<Value> =
        export.lines().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cover = lines.pop().unwrap();
    assert_eq!(cover["kind"], "coverage");
    if has_gap {
        lines.push(json!({"kind": "gap"}));
    }
    (lines, state)
}

pub(super) fn first() -> Option<ExportState> {
    Some(ExportState::new("0".repeat(32), Query::default()))
}

/// Kind, state and whether it is final.
fn told(lines: &[Value]) -> Vec<(&str, &str, bool)> {
    fn text(value: &Value) -> &str {
        value.as_str().unwrap_or_default()
    }
    lines.iter().map(|line| (text(&line["kind"]), text(&line["state"]), line["final"] == true)).collect()
}

fn ids(lines: &[Value]) -> Vec<String> {
    lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()).collect()
}

/// Sessions, a key that no login used, and a refusal.
fn day() -> Log {
    let mut log = Log::new();
    log.session(5, &key('a'), ALICE).session(6, &key('b'), BOB);
    log.provided(7, &key('c'), ALICE);
    let refusal = json!({
        "EIC_EVENT": "refused", "EIC_USER": "ec2-user", "EIC_REASON": "expired", "MESSAGE": "Refusing",
        "EIC_REQUEST_ID": "r-9", "EIC_PRINCIPAL": BOB,
    });
    log.entry(super::AGENT, 7, "eic-agent", &refusal);
    log.wait(LATER);
    log
}

#[test]
fn repeated_export_has_the_same_ids() {
    let log = day();
    let (lines, _) = exported(&log, &[], None);
    assert_eq!(
        told(&lines),
        [
            ("session", "closed", true),
            ("session", "closed", true),
            ("refusal", "", true),
            ("unused", "", true)
        ]
    );
    let again = ids(&exported(&log, &[], None).0);
    assert_eq!(ids(&lines), again);
    let distinct: BTreeSet<_> = again.iter().collect();
    assert_eq!(distinct.len(), again.len());

    // The journal lost the lines before the second key.
    let mut rotated = day();
    rotated.lines.drain(..5);
    assert!(ids(&exported(&rotated, &[], None).0).iter().all(|id| again.contains(id)));

    // Another machine with the same image, and the same events at the same moments.
    let mut copied = day();
    for line in &mut copied.lines {
        *line = line.replace(super::BOOT, NEXT_BOOT);
    }
    copied.boot = NEXT_BOOT;
    assert!(ids(&exported(&copied, &[], None).0).iter().all(|id| !again.contains(id)));
}

#[test]
fn push_of_an_unused_key_is_no_account_of_the_instance() {
    let (lines, _) = exported(&day(), &[], None);
    let unused = lines.iter().find(|line| line["kind"] == "unused").unwrap();
    assert_eq!((&unused["account"], &unused["push"]["account"]), (&Value::Null, &json!("123456789012")));
    let refused = lines.iter().find(|line| line["kind"] == "refusal").unwrap();
    assert_eq!((&refused["reason"], &refused["push"]["principal"]), (&json!("expired"), &json!(BOB)));
}

#[test]
fn export_with_a_state_has_only_what_is_new() {
    let mut log = day();
    let (lines, state) = exported(&log, &[], first());
    assert_eq!(lines.len(), 4);
    let (none, state) = exported(&log, &[], state);
    assert_eq!(none, Vec::<Value>::new());
    log.provided(8, &key('d'), ALICE).accepted(8, &key('d'));
    let (open, state) = exported(&log, &[8], state);
    assert_eq!(told(&open), [("session", "open", false)]);
    let (none, state) = exported(&log, &[8], state);
    assert_eq!(none, Vec::<Value>::new());
    log.closed(8);
    let (closed, state) = exported(&log, &[], state);
    assert_eq!((told(&closed), ids(&closed)), (vec![("session", "closed", true)], ids(&open)));
    assert_eq!(exported(&log, &[], state).0, Vec::<Value>::new());
}

/// The line about a key can come after the line about its login.
#[test]
fn login_whose_push_comes_late_gets_it_with_the_next_export() {
    for all in [true, false] {
        // A session that is over waits for its push for ten seconds.
        let mut log = Log::new();
        log.accepted(8, &key('d')).closed(8);
        let here = running(log.boot, &[]);
        let (none, state) = export_with(&log, &here, first(), all);
        assert_eq!(none, Vec::<Value>::new(), "all: {all}");
        log.wait(LATER);
        let (lines, _) = export_with(&log, &here, state, all);
        assert_eq!(lines.len(), usize::from(all));

        let mut log = Log::new();
        log.accepted(8, &key('d'));
        let here = running(log.boot, &[8]);
        let (lines, state) = export_with(&log, &here, first(), all);
        assert_eq!(lines.len(), usize::from(all));
        log.provided(8, &key('d'), ALICE);
        let (lines, state) = export_with(&log, &here, state, all);
        assert_eq!((lines.len(), &lines[0]["pushes"][0]["principal"]), (1, &json!(ALICE)));
        assert_eq!(export_with(&log, &here, state, all).0, Vec::<Value>::new());
    }
}

#[test]
fn key_is_unused_only_after_ten_minutes() {
    let mut log = Log::new();
    log.provided(8, &key('d'), ALICE);
    let (lines, used) = exported(&log, &[], first());
    assert_eq!(lines, Vec::<Value>::new());
    let mut later = Log::new();
    later.provided(8, &key('d'), ALICE).accepted(8, &key('d'));
    let (lines, _) = exported(&later, &[8], used.clone());
    assert_eq!(told(&lines), [("session", "open", false)]);
    log.wait(601);
    let (lines, state) = exported(&log, &[], used.clone());
    assert_eq!(told(&lines), [("unused", "", true)]);
    assert_eq!(exported(&log, &[], state).0, Vec::<Value>::new());
    // The journal has lost the line.
    let mut empty = Log::new();
    empty.wait(1000);
    empty.sshd(9, "Server listening");
    let (lines, _) = exported(&empty, &[], used);
    assert_eq!(told(&lines), [("unused", "", true), ("gap", "", false)]);
}

#[test]
fn clock_that_is_set_back_or_ahead_loses_and_repeats_nothing() {
    for jump in [-31_536_000_i64, -3600, 3600, 31_536_000] {
        let mut log = Log::new();
        log.wall = 40_000_000;
        log.session(5, &key('a'), ALICE).accepted(6, &key('b'));
        let (lines, state) = exported(&log, &[6], first());
        assert_eq!(lines.len(), 2, "{jump}");
        log.wall = log.wall.saturating_add_signed(jump);
        log.session(7, &key('c'), BOB);
        log.closed(6).wait(LATER);
        let (lines, state) = exported(&log, &[], state);
        let all = [("session", "closed", true), ("session", "closed", true)];
        assert_eq!(told(&lines), all, "{jump}");
        log.wall = log.wall.saturating_add_signed(-jump);
        log.session(9, &key('e'), BOB);
        let (lines, state) = exported(&log, &[], state);
        assert_eq!(told(&lines), [("session", "closed", true)], "{jump}");
        assert_eq!(exported(&log, &[], state).0, Vec::<Value>::new(), "{jump}");
    }
}

#[test]
fn session_whose_start_was_rotated_away_still_ends() {
    let mut log = Log::new();
    log.provided(8, &key('d'), ALICE).accepted(8, &key('d'));
    let (open, state) = exported(&log, &[8], first());
    log.lines.clear();
    log.wait(LATER);
    log.sshd(9, "Server listening");
    let (lines, state) = exported(&log, &[8], state);
    assert_eq!(told(&lines), [("gap", "", false)]);
    let gone = state.clone();
    log.closed(8);
    let (lines, state) = exported(&log, &[], state);
    assert_eq!((told(&lines), ids(&lines)), (vec![("session", "closed", true)], ids(&open)));
    let lasted = LATER + 2;
    let shown = (&lines[0]["seconds"], &lines[0]["pushes"][0]["principal"]);
    assert_eq!(shown, (&json!(lasted), &json!(ALICE)));
    assert_eq!(exported(&log, &[], state).0, Vec::<Value>::new());
    // Without a line about the end.
    log.lines.pop();
    let (lines, _) = exported(&log, &[], gone.clone());
    assert_eq!((told(&lines)[0], &lines[0]["why"]), (("session", "unknown", true), &json!("process-gone")));
    let mut next = Log::new();
    next.boot = NEXT_BOOT;
    next.sshd(9, "Server listening");
    let (lines, _) = export_with(&next, &running(NEXT_BOOT, &[8]), gone, true);
    assert_eq!((told(&lines)[0], &lines[0]["why"]), (("session", "unknown", true), &json!("restart")));
}

#[test]
fn push_that_was_rotated_away_is_kept() {
    let mut log = Log::new();
    log.provided(8, &key('d'), ALICE).accepted(8, &key('d'));
    let (_, state) = exported(&log, &[8], first());
    log.lines.remove(0);
    log.closed(8);
    log.wait(LATER);
    let (lines, _) = exported(&log, &[], state);
    let shown = (told(&lines)[0], &lines[0]["pushes"][0]["principal"], &lines[0]["export_number"]);
    assert_eq!(shown, (("session", "closed", true), &json!(ALICE), &json!(2)));
}

#[test]
fn process_that_is_gone_without_a_line_is_final_with_the_next_export() {
    let mut log = Log::new();
    log.provided(8, &key('d'), ALICE).accepted(8, &key('d'));
    log.wait(LATER);
    let (lines, state) = exported(&log, &[], first());
    assert_eq!(told(&lines), [("session", "unknown", false)]);
    let late = state.clone();
    let (lines, state) = exported(&log, &[], state);
    assert_eq!(told(&lines), [("session", "unknown", true)]);
    assert_eq!(exported(&log, &[], state).0, Vec::<Value>::new());
    log.closed(8);
    assert_eq!(told(&exported(&log, &[], late).0), [("session", "closed", true)]);
}

/// Entries that were written in the same microsecond as the last one that was read.
#[test]
fn entries_at_the_moment_of_the_last_one_are_not_lost() {
    let mut log = Log::new();
    log.session(5, &key('a'), ALICE);
    log.provided(6, &key('b'), BOB);
    let (_, state) = exported(&log, &[], first());
    log.monotonic -= 1;
    log.wall -= 1;
    log.accepted(6, &key('b'));
    let (lines, state) = exported(&log, &[6], state);
    assert_eq!(told(&lines), [("session", "open", false)]);
    assert_eq!(exported(&log, &[6], state).0, Vec::<Value>::new());
}
