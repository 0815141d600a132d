//! The proofs, judged at one pinned instant on evidence that the emulator's authority made for it.

use eic_emulator::Entry;
use eic_emulator::pki::{
    CertIdHash, CertStatus, Hierarchy, Issuer, KeyPool, Name, NameConstraints, ResponderId, Staple,
    StapleBuilder, der, oids,
};

use super::*;
use crate::evidence::chain::SignerChain;
use crate::evidence::key_bundle::KeyBundle;
use crate::evidence::ocsp::OcspStaple;
use crate::identity::{InstanceId, SignerName};
use crate::reason::Reason;
use crate::time::Timestamp;

/// 2025-01-30T12:00:00Z
const NOW: i64 = 1_738_238_400;
const SKEW: i64 = 300;
const SIGNER: &str = "managed-ssh-signer.us-east-1.amazonaws.com";
const INSTANCE: &str = "i-0123456789abcdef0";
const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

fn hierarchy() -> Hierarchy {
    Hierarchy::new(&KeyPool::shared(), SIGNER, NOW)
}

fn name() -> SignerName {
    SIGNER.parse().unwrap()
}

fn at(unix: i64) -> Timestamp {
    Timestamp::from_unix(u64::try_from(unix).unwrap())
}

fn chain(hierarchy: &Hierarchy) -> SignerChain {
    SignerChain::parse(hierarchy.bundle_pem().as_bytes()).unwrap()
}

fn anchors(pem: &str) -> TrustAnchors {
    TrustAnchors::from_pem([pem.as_bytes()]).unwrap()
}

fn read(staples: &[Staple]) -> Vec<OcspStaple> {
    staples.iter().map(|staple| OcspStaple::parse(&staple.der).unwrap()).collect()
}

fn establish(hierarchy: &Hierarchy, staples: &[Staple], now: i64) -> Result<VerifiedSigner, SignerError> {
    let anchors = anchors(&hierarchy.anchor_pem());
    VerifiedSigner::establish(
        &chain(hierarchy),
        &anchors,
        &read(staples),
        &name(),
        RevocationPolicy::Require,
        at(now),
    )
}

fn reason(outcome: Result<VerifiedSigner, SignerError>) -> Reason {
    outcome.map(|signer| signer.path().len()).unwrap_err().reason()
}

/// The usual staples, with the leaf's made by `change`.
fn leaf_stapled(hierarchy: &Hierarchy, change: impl FnOnce(StapleBuilder) -> StapleBuilder) -> Vec<Staple> {
    let mut staples = hierarchy.staples(NOW);
    staples[0] = change(hierarchy.staple(0, NOW)).build();
    staples
}

mod anchors;
mod issuers;
mod paths;
mod responders;
mod signers;
mod staples;
