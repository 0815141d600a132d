//! The signer's certificates.

use std::collections::HashSet;
use std::sync::LazyLock;

use eic_core::evidence::chain::{Certificate, MAX_CERTIFICATES, SignerChain};
use eic_core::verification::{Budget, SignerPath, TrustAnchors};

use super::{assert_printable, fixtures};

static ANCHORS: LazyLock<TrustAnchors> = LazyLock::new(fixtures::anchors);

/// Every certificate that openssl made.
static KNOWN: LazyLock<HashSet<Vec<u8>>> = LazyLock::new(|| {
    let files = fixtures::read_all("certs");
    let chains = files.iter().filter_map(|pem| SignerChain::parse(pem).ok());
    let ders = chains.flat_map(|chain| chain.certificates().to_vec());
    ders.map(|certificate| certificate.der().to_vec()).collect()
});

/// Property: a verified path contains only certificates that openssl signed.
pub fn run(input: &[u8]) {
    let chain = match SignerChain::parse(input) {
        Ok(chain) => chain,
        Err(error) => return assert_printable(&error.to_string()),
    };
    assert!((1..=MAX_CERTIFICATES).contains(&chain.certificates().len()));
    for certificate in chain.certificates() {
        assert_printable(certificate.subject());
        assert_printable(certificate.serial());
        assert_eq!(certificate.staple_name().len(), 40);
        assert_eq!(certificate.sha256_name().len(), 64);
        let again = Certificate::parse(certificate.der().clone()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{certificate:?}"));
    }
    match SignerPath::find(&chain, &ANCHORS, &fixtures::SIGNER, *fixtures::AT, &Budget::default()) {
        Ok(path) => {
            assert!(path.certificates().next().is_some());
            for certificate in path.certificates() {
                assert!(KNOWN.contains(certificate.der().as_ref()), "openssl did not sign {certificate:?}");
            }
        }
        Err(error) => {
            assert_printable(&error.to_string());
            assert_printable(error.reason().as_str());
        }
    }
}
