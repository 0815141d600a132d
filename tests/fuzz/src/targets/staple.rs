//! One OCSP staple, which replaces the leaf's own.

use std::sync::LazyLock;

use eic_core::evidence::chain::SignerChain;
use eic_core::evidence::ocsp::OcspStaple;
use eic_core::verification::{
    Budget, RevocationPolicy, SignerError, StapleFacts, TrustAnchors, VerifiedSigner,
};

use super::{assert_printable, fixtures};

static ANCHORS: LazyLock<TrustAnchors> = LazyLock::new(fixtures::anchors);

static CHAIN: LazyLock<SignerChain> = LazyLock::new(|| {
    let pem = [fixtures::read("certs/leaf.pem"), fixtures::read("certs/intermediate.pem")].concat();
    SignerChain::parse(&pem).unwrap()
});

static INTERMEDIATE: LazyLock<OcspStaple> =
    LazyLock::new(|| OcspStaple::parse(&fixtures::read("staples/intermediate.der")).unwrap());

/// The facts of the openssl staples that are good for the leaf.
static GOOD: LazyLock<Vec<StapleFacts>> = LazyLock::new(|| {
    let staples = fixtures::read_all("staples");
    let staples = staples.iter().filter_map(|bytes| OcspStaple::parse(bytes).ok());
    let good: Vec<_> = staples.filter_map(|staple| vouched(staple).ok()).collect();
    assert!(good.len() >= 5, "only {} staples are good for the leaf", good.len());
    good
});

/// Property: only a staple that openssl signed is good for the leaf.
pub fn run(input: &[u8]) {
    let staple = match OcspStaple::parse(input) {
        Ok(staple) => staple,
        Err(error) => return assert_printable(&error.to_string()),
    };
    assert_printable(&staple.responder().to_string());
    match vouched(staple) {
        Ok(facts) => assert!(GOOD.contains(&facts), "openssl did not sign {facts:?}"),
        Err(error) => {
            assert_printable(&error.to_string());
            assert_printable(error.reason().as_str());
        }
    }
}

fn vouched(leafs: OcspStaple) -> Result<StapleFacts, SignerError> {
    let staples = [leafs, INTERMEDIATE.clone()];
    let require = RevocationPolicy::Require;
    let signer = VerifiedSigner::establish(
        &CHAIN,
        &ANCHORS,
        &staples,
        &fixtures::SIGNER,
        require,
        *fixtures::AT,
        &Budget::default(),
    )?;
    Ok(signer.path()[0].staple.clone().expect("a staple is required"))
}
