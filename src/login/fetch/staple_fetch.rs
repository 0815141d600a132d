//! Fetches staples until the signer is proven.

use std::sync::Arc;

use eic_core::decision::{Expectations, SignerEvidence, prove_signer};
use eic_core::evidence::chain::Certificate;
use eic_core::evidence::ocsp::{MAX_STAPLE_BYTES, MAX_STAPLES, OcspStaple};
use eic_core::order;
use eic_core::verification::{Budget, SignerError, SignerPath, VerifiedSigner};
use eic_host::trust_store::OpenStore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::RunError;
use super::lost_staples::LostStaples;
use crate::Clock;
use crate::imds::{ImdsError, ImdsSession};

/// Longest list of staple names, in bytes.
pub const MAX_LIST_BYTES: usize = 16 * 1024;

/// The folder of the staples.
pub const STAPLES: &str = "/latest/meta-data/managed-ssh-keys/signer-ocsp/";

/// The evidence so far. Staples are fetched and added until the signer is proven.
pub(super) struct StapleFetch<'c> {
    session: Arc<ImdsSession>,
    clock: &'c Clock,
    evidence: SignerEvidence,
    expected: &'c Expectations,
    /// The certificates that need staples, as far as is known.
    path: SignerPath,
    /// The work budget that remains after the path search.
    budget: &'c Budget,
    /// The trust store, if some of its roots were not used yet.
    more_roots: Option<&'c OpenStore>,
    requests: JoinSet<StapleResponse>,
    /// The staples of the evidence, as they were sent.
    sent: Vec<Vec<u8>>,
    /// The names of the staples that were requested.
    asked: Vec<String>,
    lost: LostStaples<ImdsError>,
    /// Whether the evidence changed since the last decision.
    is_news: bool,
}

/// The signer, and the evidence with which it was proven.
pub(super) struct ProvenSigner {
    pub(super) signer: VerifiedSigner,
    /// The readable staples, as they were sent.
    pub(super) staples: Vec<Vec<u8>>,
}

/// The answer to a request. A 404 is `None`. For the list, `None` counts as an empty list.
enum StapleResponse {
    Staple(String, Result<Option<Vec<u8>>, ImdsError>),
    List(Result<Option<String>, ImdsError>),
}

impl<'c> StapleFetch<'c> {
    pub(super) fn new(
        session: Arc<ImdsSession>,
        clock: &'c Clock,
        evidence: SignerEvidence,
        expected: &'c Expectations,
        (path, budget): (SignerPath, &'c Budget),
        more_roots: Option<&'c OpenStore>,
    ) -> Self {
        Self {
            session,
            clock,
            evidence,
            expected,
            path,
            budget,
            more_roots,
            requests: JoinSet::new(),
            sent: Vec::new(),
            asked: Vec::new(),
            lost: LostStaples::default(),
            is_news: true,
        }
    }

    /// Proves the signer. First requests the path's staples by their usual names.
    ///
    /// Other names are possible: in the past, the service used other names for the same staples. So if a staple is
    /// missing or not valid, the other staples of the list are fetched too.
    pub(super) async fn prove(mut self) -> Result<ProvenSigner, RunError> {
        let names: Vec<_> = self.path.certificates().map(Certificate::staple_name).collect();
        let least = names.len();
        self.request(names);
        // These requests get half of the remaining time. The other half is for the requests below. If a name gets
        // no answer, the login can still succeed.
        let half = self.session.remaining().checked_div(2).unwrap_or_default();
        if let Some(signer) = timeout(half, self.until_proven(least)).await.unwrap_or(Ok(None))? {
            return Ok(ProvenSigner { signer, staples: self.sent });
        }
        // Not every root was used so far. With another root, there may be a path whose staples are all present. The
        // error message must also consider all roots.
        if let Some(anchors) = self.more_roots.and_then(|store| store.load().ok()) {
            self.evidence.anchors = anchors;
            self.is_news = true;
        }
        self.request_list();
        // No separate deadline: every request ends at the run's deadline with its own error. If this wait ended
        // earlier, a pending request would count as a staple that does not exist.
        if let Some(signer) = self.until_proven(1).await? {
            return Ok(ProvenSigner { signer, staples: self.sent });
        }
        let proven = self.prove_signer();
        match self.lost.cause(proven.as_ref(), &self.evidence.chain) {
            Some(lost) => Err(RunError::Imds(lost.clone())),
            None => {
                proven.map(|signer| ProvenSigner { signer, staples: self.sent }).map_err(RunError::Signer)
            }
        }
    }

    fn request(&mut self, names: Vec<String>) {
        for name in names {
            let session = Arc::clone(&self.session);
            self.asked.push(name.clone());
            self.requests.spawn(async move {
                let came = session.get(&format!("{STAPLES}{name}"), MAX_STAPLE_BYTES).await;
                StapleResponse::Staple(name, came)
            });
        }
    }

    fn request_list(&mut self) {
        let session = Arc::clone(&self.session);
        self.requests
            .spawn(async move { StapleResponse::List(session.get_text(STAPLES, MAX_LIST_BYTES).await) });
    }

    /// Records answers as they arrive. From answer number `least` on, tries to prove the signer after each answer.
    /// Returns the signer as soon as every certificate has a staple. Returns `None` if all requests ended without
    /// such a proof.
    async fn until_proven(&mut self, least: usize) -> Result<Option<VerifiedSigner>, RunError> {
        let mut came = 0_usize;
        while let Some(answer) = self.requests.join_next().await {
            // Tasks are never cancelled, and a panic ends the process.
            if let Ok(answer) = answer {
                self.record_response(answer);
            }
            came = came.saturating_add(1);
            if came < least || !self.is_news {
                continue;
            }
            self.is_news = false;
            match self.prove_signer() {
                Ok(signer) if signer.unstapled().next().is_none() => return Ok(Some(signer)),
                Ok(_) | Err(SignerError::Revocation(..)) => {}
                Err(error) => return Err(RunError::Signer(error)),
            }
        }
        Ok(None)
    }

    /// Records an answer. A staple that is missing or unreadable is not an error yet. The decision reports it if
    /// the staple was needed.
    fn record_response(&mut self, answer: StapleResponse) {
        match answer {
            StapleResponse::Staple(_, Ok(None)) => {}
            StapleResponse::Staple(_, Ok(Some(bytes))) => {
                self.is_news = true;
                match OcspStaple::parse(&bytes) {
                    Ok(staple) => {
                        self.evidence.staples.push(staple);
                        self.sent.push(bytes);
                    }
                    Err(error) => self.evidence.unreadable_staples.push(error),
                }
            }
            StapleResponse::Staple(name, Err(error)) => self.lost.push(name, error),
            StapleResponse::List(Ok(list)) => {
                let others = others(&list.unwrap_or_default(), &self.path, &self.asked);
                self.request(others);
            }
            StapleResponse::List(Err(error)) => self.lost.push(String::new(), error),
        }
    }

    fn prove_signer(&self) -> Result<VerifiedSigner, SignerError> {
        prove_signer(Some(&self.path), &self.evidence, self.expected, self.clock.now(), self.budget)
    }
}

/// The names of the staples that were not requested yet: first the path's own by SHA-256, then names that look like
/// a fingerprint, then the rest.
fn others(list: &str, path: &SignerPath, asked: &[String]) -> Vec<String> {
    let names =
        list.lines().map(str::trim).filter(|name| is_staple_name(name) && !asked.iter().any(|a| a == name));
    let names = names.map(str::to_owned).collect();
    let own: Vec<_> = path.certificates().map(Certificate::sha256_name).collect();
    let mut names = order::by_key(names, |name: &String| {
        let is_hex = matches!(name.len(), 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit());
        (!own.iter().any(|own| own.eq_ignore_ascii_case(name)), !is_hex)
    });
    names.truncate(MAX_STAPLES);
    names
}

/// Whether a name is safe to append to the folder's path.
#[must_use]
pub fn is_staple_name(name: &str) -> bool {
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
