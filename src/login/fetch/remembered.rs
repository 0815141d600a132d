//! Judges remembered evidence.

use eic_core::decision::{
    Decision, Expectations, SignerEvidence, decide_if_signed_by, decide_under, prove_signer,
};
use eic_core::evidence::chain::SignerChain;
use eic_core::evidence::key_bundle::KeyBundle;
use eic_core::evidence::ocsp::OcspStaple;
use eic_core::identity::{InstanceId, SignerName};
use eic_core::verification::{Budget, VerifiedSigner};

use super::{Request, path_to_staple};
use crate::memory::SignerBytes;

/// The result of judging remembered evidence.
pub enum Judged {
    /// The signer is proven, and signed every entry that was checked.
    Decided(Decision),
    /// The signer is proven, but did not sign an entry. Another signer may have signed it.
    Unsigned(Box<Judgement>),
    /// No signer is proven with a staple for every certificate.
    Unproven,
}

/// A judgement about the entries that is valid only if the service still has this signer.
pub struct Judgement {
    signer: VerifiedSigner,
    expected: Expectations,
    /// The remembered chain, as it was sent.
    chain: Vec<u8>,
}

impl Judgement {
    /// Whether the service still has this signer: it sends the same chain and the same name. If the chain has several
    /// certificates with this name, the staples decide which one is the signer, so this is not known.
    #[must_use]
    pub fn is_valid(&self, sent: &[u8], chain: &SignerChain, name: &SignerName) -> bool {
        sent == self.chain && self.expected.signer == *name && chain.named(name).count() == 1
    }

    /// Judges all entries. Call this only if the judgement [is valid](Self::is_valid).
    pub fn decide(self, keys: &KeyBundle) -> Decision {
        decide_under(self.signer, keys, &self.expected, &Budget::default())
    }
}

/// Judges remembered evidence and the entries, under the same rules as fresh evidence. Pinned parts of the name replace
/// the remembered ones.
#[must_use]
pub fn judge(
    remembered: &SignerBytes,
    keys: &KeyBundle,
    request: &Request<'_>,
    instance: InstanceId,
) -> Judged {
    let budget = Budget::default();
    let Some((signer, expected)) = prove(remembered, request, instance, &budget) else {
        return Judged::Unproven;
    };
    match decide_if_signed_by(signer, keys, &expected, &budget) {
        Ok(decision) => Judged::Decided(decision),
        Err(signer) => {
            Judged::Unsigned(Box::new(Judgement { signer, expected, chain: remembered.chain.clone() }))
        }
    }
}

fn prove(
    remembered: &SignerBytes,
    request: &Request<'_>,
    instance: InstanceId,
    budget: &Budget,
) -> Option<(VerifiedSigner, Expectations)> {
    let SignerBytes { region, domain, chain, staples } = remembered;
    let region = request.pins.region.as_ref().or(region.as_ref())?;
    let domain = request.pins.domain.as_ref().or(domain.as_ref())?;
    let expected = request.expectations(SignerName::of_service(region, domain), instance);
    let chain = SignerChain::parse(chain).ok()?;
    let staples = staples.iter().map(|staple| OcspStaple::parse(staple).ok()).collect::<Option<Vec<_>>>()?;
    let now = request.clock.now();
    let trust = request.trust?;
    let (anchors, path, more_roots) = path_to_staple(trust, &chain, &expected.signer, now, budget).ok()?;
    let mut evidence = SignerEvidence { chain, staples, unreadable_staples: Vec::new(), anchors };
    let mut proven = prove_signer(Some(&path), &evidence, &expected, now, budget);
    if let (Err(_), Some(store)) = (&proven, more_roots) {
        // With another root, there may be a path whose staples are all present.
        evidence.anchors = store.load().ok()?;
        proven = prove_signer(Some(&path), &evidence, &expected, now, budget);
    }
    let signer = proven.ok()?;
    let is_whole = signer.unstapled().next().is_none();
    is_whole.then_some((signer, expected))
}
