use eic_emulator::pki::{CertificateBuilder, Hierarchy, KeyPool, Name, NameConstraints, RsaKey, der, oids};

use super::*;

/// 2025-01-30T12:00:00Z
const NOW: i64 = 1_738_238_400;
const SIGNER: &str = "managed-ssh-signer.us-east-1.amazonaws.com";

fn key() -> RsaKey {
    KeyPool::shared().get("leaf")
}

fn builder() -> CertificateBuilder {
    CertificateBuilder::new(Name::common(SIGNER), key().public(), NOW - 5, NOW + 7)
}

fn parse(builder: CertificateBuilder) -> Result<Certificate, String> {
    let certificate = builder.self_signed(&key());
    Certificate::parse(CertificateDer::from(certificate.der().to_vec()))
}

/// A certificate of `size` bytes. The serial number makes it unique.
fn of_size(size: usize, serial: u8) -> eic_emulator::pki::Certificate {
    let padded = |length: usize| {
        let filler = der::octets(&vec![serial; length]);
        builder().serial(&[serial]).extension(oids::UNHEARD_OF, false, &filler).self_signed(&key())
    };
    // Beyond 1,000 bytes of filler, every length in the encoding has its final width.
    let certificate = padded(1000 + size - padded(1000).der().len());
    assert_eq!(certificate.der().len(), size);
    certificate
}

#[test]
fn certificate_fields_are_parsed() {
    let hierarchy = Hierarchy::new(&KeyPool::shared(), SIGNER, NOW);
    let leaf = hierarchy.leaf_certificate();
    let read = Certificate::parse(CertificateDer::from(leaf.der().to_vec())).unwrap();
    assert_eq!((read.subject(), read.common_names()), (&*format!("CN={SIGNER}"), &[SIGNER.to_owned()][..]));
    let serial: Vec<_> = leaf.serial().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(read.serial(), serial.join(":"));
    assert_eq!(read.staple_name(), leaf.sha1_fingerprint());
    assert_eq!(read.sha256_name(), leaf.sha256_fingerprint());

    let dated = parse(builder()).unwrap();
    let instant = |unix: i64| Timestamp::from_unix(u64::try_from(unix).unwrap());
    assert_eq!(dated.validity(), (instant(NOW - 5), instant(NOW + 7)));
    let ancient = parse(builder().validity(-86_400, NOW)).unwrap();
    assert_eq!(ancient.validity().0, instant(0), "an instant before 1970");
}

#[test]
fn every_common_name_is_read() {
    let certificate = |name: Name| {
        parse(CertificateBuilder::new(name, key().public(), NOW - 5, NOW + 5)).unwrap().common_names
    };
    assert_eq!(certificate(Name::common("a").cn("b")), ["a", "b"]);
    assert_eq!(certificate(Name::new().cns_in_one_place(&["a", "b"])), ["a", "b"]);
    assert_eq!(certificate(Name::new()), [""; 0]);
    // A BMPString (UTF-16) with an invalid character: it cannot be compared as text.
    let odd = Name::new().attribute(oids::COMMON_NAME, &der::element(0x1e, &[0xd8, 0x00]));
    assert_eq!(certificate(odd), ["(not text)"]);
}

#[test]
fn alternative_names_are_the_dns_names_of_the_extension() {
    assert_eq!(parse(builder()).unwrap().dns_names(), None, "no such extension");
    let names = ["a.example", "b.example"].map(str::to_owned);
    assert_eq!(parse(builder().san(&["a.example", "b.example"])).unwrap().dns_names(), Some(&names[..]));
    let address = der::sequence(&[der::context_primitive(7, &[127, 0, 0, 1])]);
    let only_address = builder().extension(oids::SUBJECT_ALT_NAME, false, &address);
    assert_eq!(parse(only_address).unwrap().dns_names(), Some(&[][..]), "the extension has no DNS name");
}

#[test]
fn key_usage_limits_what_a_certificate_may_sign() {
    use eic_emulator::pki::KeyUsage::{CertSign, CrlSign, DigitalSignature};
    let may = |builder| {
        let certificate = parse(builder).unwrap();
        (certificate.may_sign_data(), certificate.may_sign_certificates())
    };
    assert_eq!(may(builder()), (true, true), "without the extension, everything");
    assert_eq!(may(builder().key_usage(&[DigitalSignature])), (true, false));
    assert_eq!(may(builder().key_usage(&[CertSign, CrlSign])), (false, true));
    assert_eq!(may(builder().key_usage(&[CrlSign])), (false, false));
}

#[test]
fn name_constraints_are_counted() {
    assert!(!parse(builder()).unwrap().constrains_names());
    let constraints = NameConstraints { permitted: &["example"], excluded: &[] };
    let one = parse(builder().name_constraints(&constraints)).unwrap();
    assert!(one.constrains_names());
    assert_eq!((one.constraints(), one.names()), (1, 0));
    let lists = NameConstraints { permitted: &["a.example", "b.example"], excluded: &["c.example"] };
    let many = parse(builder().name_constraints(&lists).san(&["a.example", "d.example"])).unwrap();
    assert_eq!((many.constraints(), many.names()), (3, 2));
    // An empty extension counts as one constraint.
    let empty = parse(builder().name_constraints(&NameConstraints::default())).unwrap();
    assert_eq!((empty.constrains_names(), empty.constraints()), (true, 1));
}

/// The restrictions of such an extension are unknown. webpki checks the other extensions.
#[test]
fn certificate_with_an_unreadable_judged_extension_is_refused() {
    for judged in [oids::SUBJECT_ALT_NAME, oids::KEY_USAGE, oids::NAME_CONSTRAINTS] {
        let error = parse(builder().extension(judged, false, &der::null())).unwrap_err();
        let name: Vec<_> = judged.iter().map(u32::to_string).collect();
        assert!(error.starts_with(&format!("extension {}: ", name.join("."))), "{error}");
    }
    for other in [oids::BASIC_CONSTRAINTS, oids::EXTENDED_KEY_USAGE, oids::UNHEARD_OF] {
        assert!(parse(builder().extension(other, false, &der::null())).is_ok(), "{other:?}");
    }
}

#[test]
fn certificate_with_trailing_bytes_is_refused() {
    let mut bytes = builder().self_signed(&key()).der().to_vec();
    bytes.push(0);
    let error = Certificate::parse(CertificateDer::from(bytes)).unwrap_err();
    assert_eq!(error, "bytes follow the certificate");
}

#[test]
fn bundle_of_more_than_131072_bytes_is_refused() {
    let pem = builder().self_signed(&key()).pem();
    let filled = |size: usize| format!("{}\n{pem}", "x".repeat(size - pem.len() - 1));
    assert_eq!(SignerChain::parse(filled(131_072).as_bytes()).unwrap().certificates().len(), 1);
    let error = SignerChain::parse(filled(131_073).as_bytes()).unwrap_err();
    assert_eq!(error, ChainError::TooLarge(131_073));
    assert_eq!(error.to_string(), "expected a signer bundle of at most 131072 bytes, got 131073");
}

#[test]
fn large_and_repeated_certificates_are_skipped() {
    let [most, over, small] = [of_size(4096, 1), of_size(4097, 2), of_size(1500, 3)];
    let count = |certificates: &[&eic_emulator::pki::Certificate]| {
        let pem: String = certificates.iter().map(|certificate| certificate.pem()).collect();
        SignerChain::parse(pem.as_bytes()).map(|chain| chain.certificates().len())
    };
    assert_eq!(count(&[&most]), Ok(1));
    assert_eq!(count(&[&over, &most]), Ok(1));
    assert_eq!(count(&[&small, &small, &most, &small]), Ok(2));
    let twice_over = of_size(6000, 4);
    assert!(matches!(count(&[&over, &twice_over, &over]), Err(ChainError::Empty(_))));
}

#[test]
fn only_the_first_32_certificates_are_read() {
    let pem: String =
        (1..=33_u8).map(|serial| builder().serial(&[serial]).self_signed(&key()).pem()).collect();
    let chain = SignerChain::parse(pem.as_bytes()).unwrap();
    let serials: Vec<_> = chain.certificates().iter().map(Certificate::serial).collect();
    assert_eq!((serials.len(), serials[0], serials[31]), (32, "01", "20"));
}

#[test]
fn text_without_certificates_is_an_error() {
    let empty = SignerChain::parse(b"<html>").unwrap_err();
    assert_eq!(empty.to_string(), "expected PEM certificates, the signer's first; got 6 bytes without one");
    let block = |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let unreadable = SignerChain::parse(block("MAA=").as_bytes()).unwrap_err();
    assert!(
        unreadable.to_string().starts_with("no certificate of the signer's bundle can be read: "),
        "{unreadable}"
    );
    for error in [empty, unreadable, ChainError::TooLarge(1)] {
        assert_eq!(error.reason(), Reason::SignerMalformed);
    }
    // An unreadable certificate does not affect the others.
    let both = block("MAA=") + &builder().self_signed(&key()).pem();
    assert_eq!(SignerChain::parse(both.as_bytes()).unwrap().certificates().len(), 1);
}

#[test]
fn the_signer_is_found_by_its_one_common_name() {
    let named = |name: Name| {
        let pem = CertificateBuilder::new(name, key().public(), NOW - 5, NOW + 5).self_signed(&key()).pem();
        SignerChain::parse(pem.as_bytes()).unwrap().named(&SIGNER.parse().unwrap()).count()
    };
    assert_eq!(named(Name::common(SIGNER)), 1);
    assert_eq!(named(Name::common(SIGNER).cn(SIGNER)), 0);
    assert_eq!(named(Name::common("x").cn(SIGNER)), 0);
    assert_eq!(named(Name::new()), 0);
    assert_eq!(named(Name::common(&format!("{SIGNER}.example"))), 0);
}
