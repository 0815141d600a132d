//! Signatures that were used.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::refusal::Refusal;
use crate::sigv4::Verified;

/// The most signatures that are kept. The limit bounds the memory.
const REMEMBERED: usize = 10_000;
/// The most signatures of one access key. A signature can be valid for a week. So a caller whose policies allow no
/// tunnel could otherwise stop the tunnels of all others.
const OF_ONE_KEY: usize = 1000;

/// The signatures that were used and are still valid.
#[derive(Debug, Default)]
pub(super) struct Replays(Mutex<BTreeMap<String, Used>>);

#[derive(Debug)]
struct Used {
    access_key: String,
    /// The end of the signature's validity.
    expires: i64,
}

impl Replays {
    /// Admits a signature once.
    pub(super) fn admit(&self, verified: &Verified, now: i64) -> Result<(), Refusal> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_own = |own: &&Used| own.access_key == verified.access_key;
        let is_full = |used: &BTreeMap<String, Used>| {
            used.len() >= REMEMBERED || used.values().filter(is_own).count() >= OF_ONE_KEY
        };
        if is_full(&used) {
            used.retain(|_, own| own.expires > now);
        }
        if is_full(&used) {
            return Err(Refusal::new(429, "Throttling", "Too many signatures are valid at once"));
        }
        let Verified { access_key, signature, expires } = verified.clone();
        if used.insert(signature, Used { access_key, expires }).is_some() {
            let message = "The signature was used before. Sign each request anew";
            return Err(Refusal::new(403, "InvalidSignature", message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(access_key: &str, signature: &str, expires: i64) -> Verified {
        Verified { access_key: access_key.to_owned(), signature: signature.to_owned(), expires }
    }

    fn verified(signature: &str, expires: i64) -> Verified {
        by("AKIAEXAMPLE", signature, expires)
    }

    #[test]
    fn one_caller_does_not_stop_the_others() {
        let replays = Replays::default();
        for number in 0..OF_ONE_KEY {
            assert!(replays.admit(&verified(&number.to_string(), 604_800), 0).is_ok());
        }
        let refused = replays.admit(&verified("more", 60), 0);
        assert_eq!(refused.map_err(|refusal| refusal.status), Err(429));
        assert!(replays.admit(&by("AKIAOTHER", "other", 60), 0).is_ok());
        assert!(replays.admit(&verified("later", 604_801), 604_800).is_ok());
    }

    #[test]
    fn signature_is_admitted_once() {
        let replays = Replays::default();
        assert!(replays.admit(&verified("a", 60), 0).is_ok());
        assert!(replays.admit(&verified("b", 60), 0).is_ok());
        assert_eq!(replays.admit(&verified("a", 60), 0).map_err(|refusal| refusal.status), Err(403));
    }

    #[test]
    fn memory_is_bounded_and_forgets_only_what_has_expired() {
        let replays = Replays::default();
        for number in 0..REMEMBERED {
            let access_key = format!("AKIA{}", number % 50);
            assert!(replays.admit(&by(&access_key, &number.to_string(), 60), 0).is_ok());
        }
        assert_eq!(replays.admit(&verified("more", 60), 59).map_err(|refusal| refusal.status), Err(429));
        assert!(replays.admit(&verified("more", 120), 60).is_ok());
        assert_eq!(replays.0.lock().unwrap().len(), 1);
    }
}
