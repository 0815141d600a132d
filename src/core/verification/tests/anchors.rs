//! Tests of the trusted roots.

use super::*;

/// Amazon Root CA 3, from the repository of Amazon Trust Services.
const AMAZON_ROOT_CA_3: &str = "-----BEGIN CERTIFICATE-----
MIIBtjCCAVugAwIBAgITBmyf1XSXNmY/Owua2eiedgPySjAKBggqhkjOPQQDAjA5
MQswCQYDVQQGEwJVUzEPMA0GA1UEChMGQW1hem9uMRkwFwYDVQQDExBBbWF6b24g
Um9vdCBDQSAzMB4XDTE1MDUyNjAwMDAwMFoXDTQwMDUyNjAwMDAwMFowOTELMAkG
A1UEBhMCVVMxDzANBgNVBAoTBkFtYXpvbjEZMBcGA1UEAxMQQW1hem9uIFJvb3Qg
Q0EgMzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABCmXp8ZBf8ANm+gBG1bG8lKl
ui2yEujSLtf6ycXYqm0fc4E7O5hrOXwzpcVOho6AF2hiRVd9RFgdszflZwjrZt6j
QjBAMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgGGMB0GA1UdDgQWBBSr
ttvXBp43rDCGB5Fwx5zEGbF4wDAKBggqhkjOPQQDAgNJADBGAiEA4IWSoxe3jfkr
BqWTrBqYaGFy+uGh0PsceGCmQ5nFuMQCIQCcAu/xlJyzlvnrxir4tiz+OpAUFteM
YyRIHN8wfdVoOw==
-----END CERTIFICATE-----
";

#[test]
fn amazon_roots_are_identified_by_their_keys() {
    let hierarchy = hierarchy();
    let ours = hierarchy.anchor_pem();
    // A root with the right name and another key is not accepted.
    let posing = Issuer { name: amazon_name(), key: hierarchy.root.key.clone() };
    let posing = posing.certificate().self_signed(&posing.key).pem();
    for store in [format!("{ours}{AMAZON_ROOT_CA_3}{posing}"), format!("{AMAZON_ROOT_CA_3}{posing}{ours}")] {
        let amazon = anchors(&store).of_amazon().unwrap();
        assert_eq!(amazon.count(), 1);
        let root = amazon.certificate(0).unwrap();
        assert!(root.subject().contains("Amazon Root CA 3"), "{}", root.subject());
        assert_eq!(root.validity().0.to_string(), "2015-05-26T00:00:00Z", "the root of Amazon");
    }
    let error = anchors(&format!("{ours}{posing}")).of_amazon().unwrap_err();
    assert_eq!((&error, error.reason()), (&AnchorsError::NotAmazon(2), Reason::TrustStoreUnusable));
    assert_eq!(
        error.to_string(),
        "expected a root of Amazon Trust Services (trust.roots = \"amazon\"), got 2 roots of others"
    );
}

fn amazon_name() -> Name {
    let text = |oid, value: &str| (oid, der::printable(value));
    [
        text(oids::COUNTRY, "US"),
        text(oids::ORGANIZATION, "Amazon"),
        text(oids::COMMON_NAME, "Amazon Root CA 3"),
    ]
    .iter()
    .fold(Name::new(), |name, (oid, value)| name.attribute(oid, value))
}

#[test]
fn unreadable_root_is_skipped() {
    let good = hierarchy().anchor_pem();
    let bad = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    assert_eq!(anchors(&format!("{bad}{good}{bad}{AMAZON_ROOT_CA_3}")).count(), 2);
    let files = [bad.as_bytes(), good.as_bytes(), b"", AMAZON_ROOT_CA_3.as_bytes()];
    assert_eq!(TrustAnchors::from_pem(files).unwrap().count(), 2, "several files");
    let error = TrustAnchors::from_pem([bad.as_bytes(), b"rest"]).unwrap_err();
    let words = format!(
        "expected root certificates in PEM, got {} bytes without a usable one",
        bad.len() + "rest".len()
    );
    assert_eq!((error.to_string(), error.reason()), (words, Reason::TrustStoreUnusable));
}

#[test]
fn no_more_than_4096_roots_are_read() {
    assert_eq!(anchors(&AMAZON_ROOT_CA_3.repeat(4097)).count(), 4096);
}

#[test]
fn restrictions_of_a_root_certificate_are_enforced() {
    use eic_emulator::pki::{CertificateBuilder, KeyUsage};
    let hierarchy = hierarchy();
    let staples = read(&hierarchy.staples(NOW));
    let refusal = |change: &dyn Fn(CertificateBuilder) -> CertificateBuilder| {
        let root = change(hierarchy.root.certificate()).self_signed(&hierarchy.root.key).pem();
        let (chain, anchors, budget) = (chain(&hierarchy), anchors(&root), Budget::default());
        let policy = RevocationPolicy::Require;
        let outcome =
            VerifiedSigner::establish(&chain, &anchors, &staples, &name(), policy, at(NOW), &budget);
        outcome.err().map(|error| {
            assert_eq!(error.reason(), Reason::SignerUntrusted);
            error.to_string()
        })
    };
    let may_not = |why: &str| {
        let root = "the root certificate \"C=US, O=eic-emulator, CN=Emulator Root CA 1\"";
        Some(format!("{root} may not vouch for the signer: {why}"))
    };
    let no_authority = may_not("its basicConstraints do not make it an authority");
    let unknown = may_not("it has an unknown critical extension");
    assert_eq!(refusal(&|root| root), None);
    assert_eq!(refusal(&|root| root.without(oids::KEY_USAGE)), None, "like Starfield Class 2");
    assert_eq!(refusal(&|root| root.version(1)), None, "it has no extensions");
    assert_eq!(refusal(&|root| root.without(oids::BASIC_CONSTRAINTS)), no_authority);
    assert_eq!(refusal(&|root| root.basic_constraints(false, None)), no_authority);
    let usage = |usages: &'static [KeyUsage]| move |root: CertificateBuilder| root.key_usage(usages);
    assert_eq!(refusal(&usage(&[KeyUsage::CertSign])), None);
    assert_eq!(refusal(&usage(&[KeyUsage::CrlSign])), may_not("its keyUsage lacks keyCertSign"));
    let extension =
        |critical| move |root: CertificateBuilder| root.extension(oids::UNHEARD_OF, critical, &der::null());
    assert_eq!(refusal(&extension(false)), None);
    assert_eq!(refusal(&extension(true)), unknown);
    // A known extension that cannot be read is treated as unknown.
    assert_eq!(
        refusal(&|root| root.extension(oids::BASIC_CONSTRAINTS, true, &der::sequence(&[der::null()]))),
        unknown
    );
    let fewer = may_not("its pathLenConstraint allows fewer authorities");
    assert_eq!(refusal(&|root| root.basic_constraints(true, Some(0))), fewer);
    assert_eq!(refusal(&|root| root.basic_constraints(true, Some(1))), None);
}
