//! Tests of the verification at one fixed instant. The emulator's authority makes the evidence.

use eic_emulator::Entry;
use eic_emulator::pki::{
    CertIdHash, CertStatus, Hierarchy, Issuer, KeyPool, Name, NameConstraints, ResponderId, Staple,
    StapleBuilder, der, oids,
};

use super::testing::prove;
use super::*;
use crate::evidence::chain::{Certificate, SignerChain};
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
    establish_under(RevocationPolicy::Require, hierarchy, staples, now)
}

/// Verifies the signer in both ways, with a new path search and along a known path. Both must give the same result.
fn establish_under(
    policy: RevocationPolicy,
    hierarchy: &Hierarchy,
    staples: &[Staple],
    now: i64,
) -> Result<VerifiedSigner, SignerError> {
    let (chain, anchors) = (chain(hierarchy), anchors(&hierarchy.anchor_pem()));
    let signer = VerifiedSigner::establish(
        &chain,
        &anchors,
        &read(staples),
        &name(),
        policy,
        at(now),
        &Budget::default(),
    );
    // The path was found at `NOW`, when all dates were valid.
    if let Ok(path) = SignerPath::find(&chain, &anchors, &name(), at(NOW), &Budget::default()) {
        let along = path.verify_staples(&read(staples), policy, at(now), &Budget::default());
        let is_another = |signer: &VerifiedSigner| {
            let found = path.certificates().map(Certificate::der);
            !found.eq(signer.path().iter().map(|step| step.certificate.der()))
        };
        match (&along, &signer) {
            (Some(along), Ok(signer)) => assert_eq!(format!("{along:?}"), format!("{signer:?}")),
            (None, Ok(signer)) => assert!(is_another(signer), "the known path was refused: {signer:?}"),
            (along, Err(error)) => assert!(along.is_none(), "{error}"),
        }
    }
    signer
}

fn reason(outcome: Result<VerifiedSigner, SignerError>) -> Reason {
    outcome.map(|signer| signer.path().len()).unwrap_err().reason()
}

/// The usual staples, except that `change` makes the leaf's.
fn leaf_stapled(hierarchy: &Hierarchy, change: impl FnOnce(StapleBuilder) -> StapleBuilder) -> Vec<Staple> {
    let mut staples = hierarchy.staples(NOW);
    staples[0] = change(hierarchy.staple(0, NOW)).build();
    staples
}

mod anchors;
mod costs;
mod issuers;
mod keys;
mod paths;
mod responders;
mod signers;
mod staples;
mod statuses;
