//! Limits of pushes in time, with the token buckets that AWS describes for the EC2 API. AWS publishes no numbers for
//! EC2 Instance Connect.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How often at once.
    pub burst: u32,
    /// How often in a second, over a longer time.
    pub per_second: f64,
}

/// The limits of pushes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PushLimits {
    /// The pushes of one account. `None` is no limit.
    pub account: Option<Rate>,
    /// The pushes to one instance. `None` is no limit.
    pub instance: Option<Rate>,
}

impl Rate {
    /// This number in a second, also at once.
    pub fn per_second(number: u32) -> Self {
        Self { burst: number, per_second: number.into() }
    }
}

/// The pushes of the last seconds, for each account or instance.
#[derive(Debug, Default)]
pub(crate) struct Buckets(Mutex<BTreeMap<String, Bucket>>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

/// The most names that have a bucket. It bounds the memory. The emulator has one instance, and its configuration names
/// the accounts.
const NAMES: usize = 1000;

impl Buckets {
    /// Whether one more push is within the limit.
    pub(crate) fn admit(&self, name: &str, rate: Option<Rate>, now: Instant) -> bool {
        let Some(rate) = rate else { return true };
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= NAMES && !buckets.contains_key(name) {
            buckets.clear();
        }
        let full = Bucket { tokens: rate.burst.into(), filled: now };
        let bucket = buckets.entry(name.to_owned()).or_insert(full);
        let elapsed = now.saturating_duration_since(bucket.filled).as_secs_f64();
        bucket.tokens = (bucket.tokens + elapsed * rate.per_second).min(rate.burst.into());
        bucket.filled = now;
        let is_free = bucket.tokens >= 1.0;
        if is_free {
            bucket.tokens -= 1.0;
        }
        is_free
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn burst_is_followed_by_the_rate() {
        let buckets = Buckets::default();
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let rate = Some(Rate { burst: 3, per_second: 2.0 });
        let admit = |name, milliseconds| buckets.admit(name, rate, at(milliseconds));
        assert_eq!([0; 4].map(|_| admit("a", 0)), [true, true, true, false]);
        assert!(admit("b", 0), "another name has its own limit");
        assert_eq!([400, 500, 600, 1000].map(|instant| admit("a", instant)), [false, true, false, true]);
        // A long pause gives no more than the burst.
        assert_eq!([60_000; 4].map(|instant| admit("a", instant)), [true, true, true, false]);
        // A refused push costs nothing.
        assert_eq!([60_000, 60_500].map(|instant| admit("a", instant)), [false, true]);
        assert!((0..1000).all(|_| buckets.admit("c", None, at(0))));
    }
}
