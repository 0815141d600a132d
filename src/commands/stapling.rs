//! The staples: fetched until the decision stands, and no longer.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Clock;
use super::gather::RunError;
use crate::decision::{Decision, Evidence, Expectations, decide_along};
use crate::evidence::chain::Certificate;
use crate::evidence::ocsp::{MAX_STAPLE_BYTES, MAX_STAPLES, OcspStaple};
use crate::imds::{ImdsError, Session};
use crate::order;
use crate::trust_store::OpenStore;
use crate::verification::{RevocationError, SignerError, SignerPath};

/// Longest list of staple names, in bytes.
pub(super) const MAX_LIST_BYTES: usize = 16 * 1024;

pub(super) const STAPLES: &str = "/latest/meta-data/managed-ssh-keys/signer-ocsp/";

/// Everything but the staples, which are fetched until the decision stands.
pub(super) struct Stapling<'c> {
    session: Arc<Session>,
    clock: &'c Clock,
    evidence: Evidence,
    expected: Expectations,
    /// What the staples have to vouch for, as far as is known.
    path: SignerPath,
    /// Where the roots are that were not looked at so far, if there are any.
    more_roots: Option<&'c OpenStore>,
    requests: JoinSet<Result<Option<Vec<u8>>, ImdsError>>,
    /// Why the first staple that did not come did not.
    lost: Option<ImdsError>,
}

impl<'c> Stapling<'c> {
    pub(super) fn new(
        session: Arc<Session>,
        clock: &'c Clock,
        evidence: Evidence,
        expected: Expectations,
        path: SignerPath,
        more_roots: Option<&'c OpenStore>,
    ) -> Self {
        Self { session, clock, evidence, expected, path, more_roots, requests: JoinSet::new(), lost: None }
    }

    /// First the path's staples, by the names that they normally have. The names are only where to look
    /// first: once they were named otherwise, and the staples were there. So where a staple is missing or
    /// does not hold, the others of the list are fetched, too.
    pub(super) async fn decide(mut self) -> Result<Decision, RunError> {
        let names: Vec<_> = self.path.certificates().map(Certificate::staple_name).collect();
        self.request(&names);
        // Half of the time for these leaves half for the others; a name that never answers costs no login.
        let patience = self.session.remaining().checked_div(2).unwrap_or_default();
        if let Some(decision) = self.until_decided(names.len(), patience).await? {
            return Ok(decision);
        }
        // Not every root was looked at so far: one that another authority issued may end a path whose staples are all there.
        // And what is wrong is told of all of them.
        if let Some(anchors) = self.more_roots.and_then(|store| store.load().ok()) {
            self.evidence.anchors = anchors;
        }
        let others = match listed_staples(&self.session, &self.path, &names).await {
            Ok(others) => others,
            Err(error) => {
                self.lost.get_or_insert(error);
                Vec::new()
            }
        };
        self.request(&others);
        let patience = self.session.remaining();
        if let Some(decision) = self.until_decided(1, patience).await? {
            return Ok(decision);
        }
        self.judge().map_err(|error| match (error, self.lost.take()) {
            // No staple, since none could be had: that is what to tell.
            (SignerError::Revocation(_, RevocationError::Missing(_)), Some(lost)) => RunError::Imds(lost),
            (error, _) => RunError::Signer(error),
        })
    }

    fn request(&mut self, names: &[String]) {
        for name in names {
            let session = Arc::clone(&self.session);
            let path = format!("{STAPLES}{name}");
            self.requests.spawn(async move { session.get(&path, MAX_STAPLE_BYTES).await });
        }
    }

    /// Takes staples in as they come, and judges from the `least`th on; a decision that lacks nothing ends
    /// the wait. None where all have come, or the time is over, without one.
    async fn until_decided(
        &mut self,
        least: usize,
        patience: Duration,
    ) -> Result<Option<Decision>, RunError> {
        let end = Instant::now().checked_add(patience);
        let mut came = 0_usize;
        loop {
            let remaining = end.map_or(patience, |end| end.saturating_duration_since(Instant::now()));
            match timeout(remaining, self.requests.join_next()).await {
                Ok(Some(Ok(answer))) => self.take_in(answer),
                // A task that was cancelled or has panicked has fetched nothing.
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => return Ok(None),
            }
            came = came.saturating_add(1);
            if came < least {
                continue;
            }
            match self.judge() {
                Ok(decision) if decision.signer().unstapled().next().is_none() => return Ok(Some(decision)),
                Ok(_) | Err(SignerError::Revocation(..)) => {}
                Err(error) => return Err(RunError::Signer(error)),
            }
        }
    }

    /// A staple that does not come, or cannot be read, is not yet an error: the decision says what it was
    /// needed for.
    fn take_in(&mut self, answer: Result<Option<Vec<u8>>, ImdsError>) {
        match answer {
            Ok(Some(bytes)) => match OcspStaple::parse(&bytes) {
                Ok(staple) => self.evidence.staples.push(staple),
                Err(error) => self.evidence.unreadable_staples.push(error),
            },
            Ok(None) => {}
            Err(error) => {
                self.lost.get_or_insert(error);
            }
        }
    }

    fn judge(&self) -> Result<Decision, SignerError> {
        decide_along(&self.path, &self.evidence, &self.expected, self.clock.now())
    }
}

/// The names of the staples that were not asked for yet: the path's own by SHA-256 first, then whatever
/// looks like a fingerprint, then the rest.
async fn listed_staples(
    session: &Session,
    path: &SignerPath,
    asked: &[String],
) -> Result<Vec<String>, ImdsError> {
    let list = session.get_text(STAPLES, MAX_LIST_BYTES).await?.unwrap_or_default();
    let names =
        list.lines().map(str::trim).filter(|name| is_staple_name(name) && !asked.iter().any(|a| a == name));
    let names = names.map(str::to_owned).collect();
    let own: Vec<_> = path.certificates().map(Certificate::sha256_name).collect();
    let mut names = order::by_key(names, |name: &String| {
        let is_hex = matches!(name.len(), 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit());
        (!own.iter().any(|own| own.eq_ignore_ascii_case(name)), !is_hex)
    });
    names.truncate(MAX_STAPLES);
    Ok(names)
}

/// A name that stays below the folder that it is listed in.
pub(super) fn is_staple_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::is_staple_name;

    #[test]
    fn staple_names_stay_in_their_folder() {
        for good in ["7FBA1D3C", "abc.der", "a_b-c"] {
            assert!(is_staple_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".x", "a/b", "../x", "a b", "a?b", "a%2fb"] {
            assert!(!is_staple_name(bad), "{bad}");
        }
    }
}
