//! Was a login's evidence served? The emulator's record says so.

use std::collections::{BTreeMap, BTreeSet};

use eic_emulator::RequestRecord;

use super::KEYS;

/// The first fault that kept a user's evidence away for good; none where all of it was served.
///
/// A user's sessions are those whose token was shown for his keys. Retries are part of the agent: an item is
/// served when the last answer about it, to any of these sessions, is a whole one, however many before it were
/// not. A login whose every item was served has no excuse, nor has one that asked for nothing.
pub(super) fn unserved(records: &[RequestRecord], user: &str) -> Option<String> {
    let keys = format!("/latest/meta-data/{KEYS}{user}/");
    let tokens: BTreeSet<_> = records.iter().filter(|record| record.path == keys).filter_map(token).collect();
    let mut last = BTreeMap::new();
    for record in records.iter().filter(|record| token(record).is_some_and(|token| tokens.contains(token))) {
        // sshd asks twice, so the same item may be asked for in two runs: each is judged by itself.
        last.insert((token(record), &record.path), record);
    }
    // A session that replaced a refused token asked for the keys again, with the next one.
    let replaced = |record: &RequestRecord| {
        record.status == Some(401)
            && last.values().any(|later| later.path == record.path && later.at > record.at)
    };
    let kept_away = last.values().find(|record| !is_whole(record) && !replaced(record))?;
    Some(format!("{}: {}", kept_away.path, kept_away.fault.unwrap_or("no fault of ours")))
}

/// A slow answer is a whole one.
fn is_whole(record: &RequestRecord) -> bool {
    record.status == Some(200)
}

/// The token that a request showed.
pub(super) fn token(record: &RequestRecord) -> Option<&str> {
    let field = record.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-aws-ec2-metadata-token"));
    field.map(|(_, value)| value.as_str())
}
