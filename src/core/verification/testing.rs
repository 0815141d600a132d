//! Provides a verified key for tests of later steps. The real verification makes it.

use eic_emulator::Entry;
use eic_emulator::pki::{Hierarchy, KeyPool};

use super::{Budget, RevocationPolicy, SignerError, TrustAnchors, VerifiedKey, VerifiedSigner};
use crate::evidence::chain::SignerChain;
use crate::evidence::key_bundle::KeyBundle;
use crate::evidence::ocsp::OcspStaple;
use crate::time::Timestamp;

/// 2025-01-30T12:00:00Z
const NOW: i64 = 1_738_238_400;
const SIGNER: &str = "managed-ssh-signer.us-east-1.amazonaws.com";
const INSTANCE: &str = "i-0123456789abcdef0";

/// The key line of the verified key.
pub(crate) const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

/// Verifies the test signer at `NOW`, with these staples.
pub(crate) fn prove(
    chain: &SignerChain,
    anchors: &TrustAnchors,
    staples: &[OcspStaple],
) -> Result<VerifiedSigner, SignerError> {
    let now = Timestamp::from_unix(u64::try_from(NOW).unwrap());
    let name = SIGNER.parse().unwrap();
    let policy = RevocationPolicy::Require;
    VerifiedSigner::establish(chain, anchors, staples, &name, policy, now, &Budget::default())
}

/// A verified key that `principal` pushed, with the request id `r-1`.
pub(crate) fn verified(principal: Option<&str>) -> VerifiedKey {
    let hierarchy = Hierarchy::new(&KeyPool::shared(), SIGNER, NOW);
    let staples: Vec<_> =
        hierarchy.staples(NOW).iter().map(|staple| OcspStaple::parse(&staple.der).unwrap()).collect();
    let chain = SignerChain::parse(hierarchy.bundle_pem().as_bytes()).unwrap();
    let anchors = TrustAnchors::from_pem([hierarchy.anchor_pem().as_bytes()]).unwrap();
    let signer = prove(&chain, &anchors, &staples).unwrap();
    let entry = Entry::new(KEY).timestamp(NOW + 60).instance(INSTANCE).request("r-1");
    let entry = principal.iter().fold(entry, |entry, principal| entry.caller(principal));
    let bundle = KeyBundle::parse(&entry.sign(&hierarchy.leaf_key));
    signer
        .verify_key(bundle.entries()[0].as_ref().unwrap(), &INSTANCE.parse().unwrap(), &Budget::default())
        .unwrap()
}
