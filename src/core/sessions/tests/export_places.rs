//! Exports that end at any places of one journal.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::exports::{LATER, exported, first};
use super::{AGENT, ALICE, BOB, Log, NOON, key};

/// For any places at which exports end, all of them together have the events of one export, and each only once.
#[test]
fn exports_at_any_places_have_every_event_once() {
    let mut log = Log::new();
    for (number, letter) in (0..).zip('a'..='h') {
        let pid = 10 + number;
        log.provided(pid, &key(letter), ALICE).accepted(pid, &key(letter)).opened(pid);
        if number % 3 == 0 {
            log.provided(100 + pid, &key(letter.to_ascii_uppercase()), BOB).wait(700);
        }
        log.closed(pid);
        log.entry(AGENT, 7, "eic-agent", &json!({
            "EIC_EVENT": "refused", "EIC_USER": "ec2-user", "EIC_REASON": "expired", "MESSAGE": "Refusing",
        }));
    }
    log.wait(LATER);
    let whole = |lines: Vec<Value>| {
        let mut last = BTreeMap::new();
        for mut line in lines {
            let event = line.as_object_mut().unwrap();
            for name in ["exported_at", "export_number", "export_state"] {
                event.remove(name);
            }
            let id = event["id"].as_str().unwrap().to_owned();
            assert!(last.get(&id).is_none_or(|old: &Value| old["final"] == false && *old != line), "{line}");
            last.insert(id, line);
        }
        last
    };
    let reference = whole(exported(&log, &[], None).0);
    assert_eq!(reference.len(), 8 + 3 + 8);
    for one in 0..log.lines.len() {
        for other in one..log.lines.len() {
            let (mut all, mut state) = (Vec::new(), first());
            for end in [one, other, log.lines.len()] {
                let mut part = Log::new();
                part.lines = log.lines[..end].to_vec();
                // The time of the last line.
                let last = part.lines.last().map(|line| serde_json::from_str::<Value>(line).unwrap());
                let at = |name: &str| {
                    let text = last.as_ref().map_or("0", |last| last[name].as_str().unwrap());
                    text.parse::<u64>().unwrap() / 1_000_000
                };
                part.monotonic = at("__MONOTONIC_TIMESTAMP");
                part.wall = at("__REALTIME_TIMESTAMP").saturating_sub(NOON);
                if end == log.lines.len() {
                    (part.wall, part.monotonic) = (log.wall, log.monotonic);
                }
                let open = (10..18).filter(|pid| {
                    let closed = format!("\"{pid}\"");
                    let is_end = |line: &&String| line.contains("session closed") && line.contains(&closed);
                    !part.lines.iter().any(|line| is_end(&line))
                });
                let open: Vec<u32> = open.collect();
                let (lines, next) = exported(&part, &open, state);
                all.extend(lines);
                state = next;
            }
            all.retain(|line| line["kind"] != "gap");
            assert_eq!(whole(all), reference, "exports after {one} and {other} lines");
        }
    }
}
