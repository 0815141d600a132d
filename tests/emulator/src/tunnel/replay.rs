//! Signatures that were used.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::refusal::Refusal;
use crate::sigv4::Verified;

/// The most signatures that are kept. The limit bounds the memory. Only the owner of a secret can reach it.
const REMEMBERED: usize = 10_000;

/// The signatures that were used and are still valid, each with the end of its validity.
#[derive(Debug, Default)]
pub(super) struct Replays(Mutex<BTreeMap<String, i64>>);

impl Replays {
    /// Admits a signature once.
    pub(super) fn admit(&self, verified: &Verified, now: i64) -> Result<(), Refusal> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= REMEMBERED {
            used.retain(|_, expires| *expires > now);
        }
        if used.len() >= REMEMBERED {
            return Err(Refusal::new(429, "Throttling", "Too many signatures are valid at once"));
        }
        if used.insert(verified.signature.clone(), verified.expires).is_some() {
            let message = "The signature was used before. Sign each request anew";
            return Err(Refusal::new(403, "InvalidSignature", message));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(signature: &str, expires: i64) -> Verified {
        Verified { access_key: "AKIAEXAMPLE".to_owned(), signature: signature.to_owned(), expires }
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
            assert!(replays.admit(&verified(&number.to_string(), 60), 0).is_ok());
        }
        assert_eq!(replays.admit(&verified("more", 60), 59).map_err(|refusal| refusal.status), Err(429));
        assert!(replays.admit(&verified("more", 120), 60).is_ok());
        assert_eq!(replays.0.lock().unwrap().len(), 1);
    }
}
