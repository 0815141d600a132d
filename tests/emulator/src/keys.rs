//! The keys that are on the instance.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
struct UserKeys {
    /// Bytes that a test set. They do not expire.
    raw: Option<Vec<u8>>,
    /// Signed entries, each with its instant of expiry in Unix seconds.
    pushed: Vec<(i64, Vec<u8>)>,
}

#[derive(Debug, Default)]
pub(crate) struct PushedKeys(Mutex<BTreeMap<String, UserKeys>>);

impl PushedKeys {
    pub(crate) fn push(&self, user: &str, expires: i64, entry: Vec<u8>) {
        self.with(|users| users.entry(user.to_owned()).or_default().pushed.push((expires, entry)));
    }

    pub(crate) fn set_raw(&self, user: &str, bytes: Vec<u8>) {
        self.with(|users| users.insert(user.to_owned(), UserKeys { raw: Some(bytes), pushed: Vec::new() }));
    }

    pub(crate) fn clear(&self) {
        self.with(BTreeMap::clear);
    }

    /// The current key bundle of each user that has one.
    pub(crate) fn bundles(&self, now: i64) -> BTreeMap<String, Vec<u8>> {
        self.with(|users| {
            users.retain(|_, keys| {
                keys.pushed.retain(|(expires, _)| *expires > now);
                keys.raw.is_some() || !keys.pushed.is_empty()
            });
            let bundle = |keys: &UserKeys| {
                let pushed = keys.pushed.iter().map(|(_, entry)| entry.as_slice());
                keys.raw.as_deref().into_iter().chain(pushed).collect::<Vec<_>>().concat()
            };
            users.iter().map(|(user, keys)| (user.clone(), bundle(keys))).collect()
        })
    }

    fn with<T>(&self, action: impl FnOnce(&mut BTreeMap<String, UserKeys>) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
