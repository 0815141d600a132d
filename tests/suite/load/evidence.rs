//! Decides by the emulator's record whether a login's evidence was served.

use std::collections::{BTreeMap, BTreeSet};

use eic_emulator::RequestRecord;

use super::KEYS;

/// The first fault that kept a part of a user's evidence away. `None` if all of it was served.
///
/// A user's sessions are those whose token requested this user's keys. The agent repeats requests, so an item counts
/// as served if its last answer in a session is whole. A failed login has no excuse if every item was served, or if
/// it requested nothing.
pub(super) fn unserved(records: &[RequestRecord], user: &str) -> Option<String> {
    let keys = format!("/latest/meta-data/{KEYS}{user}/");
    let tokens: BTreeSet<_> = records.iter().filter(|record| record.path == keys).filter_map(token).collect();
    let mut last = BTreeMap::new();
    for record in records.iter().filter(|record| token(record).is_some_and(|token| tokens.contains(token))) {
        // sshd runs the agent twice, so two runs may request the same item. Each run is judged separately.
        last.insert((token(record), &record.path), record);
    }
    // A session whose token was refused requested the keys again with its next token.
    let replaced = |record: &RequestRecord| {
        record.status == Some(401)
            && last.values().any(|later| later.path == record.path && later.at > record.at)
    };
    let kept_away = last.values().find(|record| !is_whole(record) && !replaced(record))?;
    Some(format!("{}: {}", kept_away.path, kept_away.fault.unwrap_or("no injected fault")))
}

/// A slow answer counts as whole.
fn is_whole(record: &RequestRecord) -> bool {
    record.status == Some(200)
}

/// The token that a request showed.
pub(super) fn token(record: &RequestRecord) -> Option<&str> {
    let field = record.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-aws-ec2-metadata-token"));
    field.map(|(_, value)| value.as_str())
}
