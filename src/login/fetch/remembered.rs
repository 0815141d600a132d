//! Judges remembered evidence.

use eic_core::decision::{Decision, RefusalError, SignerEvidence, decide_under, prove_signer};
use eic_core::evidence::chain::SignerChain;
use eic_core::evidence::key_bundle::KeyBundle;
use eic_core::evidence::ocsp::OcspStaple;
use eic_core::identity::{InstanceId, SignerName};
use eic_core::verification::{Budget, KeyError};
use eic_host::trust_store::OpenStore;

use super::{Request, path_to_staple};
use crate::memory::SignerBytes;

/// Decides with remembered evidence, under the same rules as with fresh evidence. Pinned parts of the name replace the
/// remembered ones. `None` if no signer is proven with a staple for every certificate.
#[must_use]
pub fn decide(
    remembered: &SignerBytes,
    keys: &KeyBundle,
    request: &Request<'_>,
    instance: InstanceId,
) -> Option<Decision> {
    let SignerBytes { region, domain, chain, staples } = remembered;
    let region = request.pins.region.as_ref().or(region.as_ref())?;
    let domain = request.pins.domain.as_ref().or(domain.as_ref())?;
    let expected = request.expectations(SignerName::of_service(region, domain), instance);
    let chain = SignerChain::parse(chain).ok()?;
    let staples = staples.iter().map(|staple| OcspStaple::parse(staple).ok()).collect::<Option<Vec<_>>>()?;
    let trust = request.trust?;
    let first = OpenStore::read_first(trust);
    let (now, budget) = (request.clock.now(), Budget::default());
    let (anchors, path, _) = path_to_staple(trust, first, &chain, &expected.signer, now, &budget).ok()?;
    let evidence = SignerEvidence { chain, staples, unreadable_staples: Vec::new(), anchors };
    let signer = prove_signer(Some(&path), &evidence, &expected, now, &budget).ok()?;
    if signer.unstapled().next().is_some() {
        return None;
    }
    Some(decide_under(signer, keys, &expected, &budget))
}

/// Whether the decision refuses an entry because its signature does not verify. Another signer may have signed it.
#[must_use]
pub fn has_bad_signature(decision: &Decision) -> bool {
    decision.refused().any(|refusal| refusal.error == RefusalError::Key(KeyError::BadSignature))
}
