//! Which roots are trusted.

use super::*;

/// Amazon Root CA 3, as Amazon Trust Services' repository has it.
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
fn amazons_roots_are_known_by_their_keys() {
    let hierarchy = hierarchy();
    let ours = hierarchy.anchor_pem();
    // The right name is not enough.
    let posing = Issuer { name: amazon_name(), key: hierarchy.root.key.clone() };
    let posing = posing.certificate().self_signed(&posing.key).pem();
    for store in [format!("{ours}{AMAZON_ROOT_CA_3}{posing}"), format!("{AMAZON_ROOT_CA_3}{posing}{ours}")] {
        let amazon = anchors(&store).of_amazon().unwrap();
        assert_eq!(amazon.count(), 1);
        let root = amazon.certificate_of(&amazon.as_slice()[0]).unwrap();
        assert!(root.subject().contains("Amazon Root CA 3"), "{}", root.subject());
        assert_eq!(root.validity().0.to_string(), "2015-05-26T00:00:00Z", "the genuine one");
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
fn one_bad_root_locks_nobody_out() {
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
