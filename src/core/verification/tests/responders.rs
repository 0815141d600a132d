//! Tests of the signer of a staple, of the CertID, and of the error messages.

use eic_emulator::pki::{CertId, Certificate, CertificateBuilder, KeyUsage, RsaKey, SignatureScheme, sha1};

use super::*;

/// The error for a signer whose leaf has such a staple; `None` if the signer is accepted.
fn words(hierarchy: &Hierarchy, change: impl FnOnce(StapleBuilder) -> StapleBuilder) -> Option<String> {
    let outcome = establish(hierarchy, &leaf_stapled(hierarchy, change), NOW);
    outcome.err().map(|error| error.to_string())
}

fn of_leaf(what: &str) -> Option<String> {
    Some(format!("\"CN={SIGNER}\": {what}"))
}

/// The certificate of a responder that the intermediate certified, and its key.
fn delegate(
    hierarchy: &Hierarchy,
    change: impl FnOnce(CertificateBuilder) -> CertificateBuilder,
) -> (Certificate, RsaKey) {
    let key = KeyPool::shared().get("responder");
    let plain = Issuer::new("Emulator OCSP responder", key.clone())
        .certificate()
        .validity(NOW - 3600, NOW + 3600)
        .basic_constraints(false, None)
        .key_usage(&[KeyUsage::DigitalSignature])
        .extended_key_usage(&[oids::OCSP_SIGNING]);
    (hierarchy.intermediate.sign(change(plain)), key)
}

type Change = fn(CertificateBuilder) -> CertificateBuilder;

#[test]
fn invalid_responder_is_reported_with_its_fault() {
    let hierarchy = hierarchy();
    let stranger = Hierarchy::of_family(&KeyPool::shared(), "stranger", SIGNER, NOW);
    let good: Change = |responder| responder;
    let rows: [(Change, Option<&str>); 8] = [
        (good, None),
        (|responder| responder.without(oids::KEY_USAGE), None),
        (|responder| responder.key_usage(&[KeyUsage::CrlSign]), Some("its keyUsage lacks digitalSignature")),
        (|responder| responder.validity(NOW - 9, NOW - 1), Some("its certificate has expired")),
        (|responder| responder.validity(NOW + 1, NOW + 9), Some("its certificate is not valid yet")),
        (
            |responder| responder.extended_key_usage(&[oids::ANY_USAGE]),
            Some("its certificate is not marked for OCSP signing"),
        ),
        (
            |responder| responder.extended_key_usage(&[]),
            Some("its certificate is not marked for OCSP signing"),
        ),
        (|responder| responder.scheme(SignatureScheme::Pkcs1Sha1), Some("its certificate does not verify")),
    ];
    let refused =
        |why: &str| of_leaf(&format!("its OCSP staple is signed by an unauthorized responder: {why}"));
    for (change, why) in rows {
        let (certificate, key) = delegate(&hierarchy, change);
        assert_eq!(words(&hierarchy, |staple| staple.delegated_to(certificate, &key)), why.and_then(refused));
    }
    let (foreign, key) = delegate(&stranger, good);
    assert_eq!(
        words(&hierarchy, |staple| staple.delegated_to(foreign, &key)),
        refused("the issuer did not sign its certificate")
    );
    assert_eq!(
        words(&hierarchy, |staple| staple.signed_by(&key)),
        refused("it is not the issuer, and the staple does not contain its certificate")
    );
}

#[test]
fn answer_that_the_responder_did_not_sign_does_not_count() {
    let hierarchy = hierarchy();
    let (certificate, key) = delegate(&hierarchy, |responder| responder);
    for posing in [ResponderId::SignersKey, ResponderId::Name(certificate.subject().clone())] {
        let signed = words(&hierarchy, |staple| {
            staple.delegated_to(certificate.clone(), &key).responder(posing.clone())
        });
        assert_eq!(signed, None, "{posing:?}");
        let tampered = words(&hierarchy, |staple| {
            staple.delegated_to(certificate.clone(), &key).responder(posing.clone()).tampered()
        });
        assert_eq!(tampered, of_leaf("its OCSP staple's signature does not verify"), "{posing:?}");
    }
}

#[test]
fn staple_signed_with_sha1_is_refused() {
    let hierarchy = hierarchy();
    let refused = of_leaf("its OCSP staple's signature does not verify");
    assert_eq!(words(&hierarchy, |staple| staple.scheme(SignatureScheme::Pkcs1Sha1)), refused);
    let claimed = |staple: StapleBuilder| staple.claimed_scheme(SignatureScheme::Pkcs1Sha1);
    assert_eq!(words(&hierarchy, claimed), refused, "a valid signature that claims another algorithm");
}

/// RFC 6960 section 4.1.1: the hash algorithm, the issuer's name and key, and the serial number.
#[test]
fn answer_counts_only_if_its_whole_certid_matches() {
    let hierarchy = hierarchy();
    let leaf = hierarchy.leaf_certificate();
    let identifier = |oid| der::sequence(&[der::oid(oid), der::null()]);
    let (algorithm, other) = (identifier(oids::SHA1), identifier(oids::SHA256));
    let name = sha1(&hierarchy.intermediate.name.der());
    let key = sha1(hierarchy.intermediate.key.public().pkcs1_der());
    let mut sibling = leaf.serial().to_vec();
    *sibling.last_mut().unwrap() ^= 1;
    let about = |algorithm: &[u8], name: &[u8], key: &[u8], serial: &[u8]| {
        let id = CertId::encoded(algorithm, name, key, serial);
        words(&hierarchy, |staple| staple.about(id))
    };
    assert_eq!(about(&algorithm, &name, &key, leaf.serial()), None);
    let missing = of_leaf("expected an OCSP staple for it, got 4 for other certificates");
    assert_eq!(about(&other, &name, &key, leaf.serial()), missing);
    assert_eq!(about(&algorithm, &key, &key, leaf.serial()), missing);
    assert_eq!(about(&algorithm, &name, &name, leaf.serial()), missing);
    assert_eq!(about(&algorithm, &name, &key, &sibling), missing);
    assert_eq!(about(&algorithm, &name, &key, &leaf.serial()[1..]), missing);
    assert_eq!(about(&algorithm, &name, &key, &[]), missing);
}

#[test]
fn sign_octet_of_a_serial_number_is_ignored() {
    let hierarchy = hierarchy();
    for serial in [&[0x7f_u8][..], &[0x80], &[0xff, 0x00], &[0x00, 0x80]] {
        let leaf = hierarchy.leaf(SIGNER, NOW).serial(serial);
        assert_eq!(words(&hierarchy.clone().with_leaf(leaf), |staple| staple), None, "{serial:x?}");
    }
}

#[test]
fn refused_staple_names_its_fault() {
    let hierarchy = hierarchy();
    let revoked = CertStatus::Revoked { at: NOW - 60, reason: None };
    let clock = "now 2025-01-30T12:00:00Z; is the clock right?";
    assert_eq!(
        words(&hierarchy, |staple| staple.status(revoked)),
        of_leaf("revoked since 2025-01-30T11:59:00Z")
    );
    assert_eq!(
        words(&hierarchy, |staple| staple.status(CertStatus::Unknown)),
        of_leaf("its OCSP responder does not know it")
    );
    assert_eq!(
        words(&hierarchy, |staple| staple.updates(NOW - 9, None)),
        of_leaf("its OCSP staple has no nextUpdate")
    );
    assert_eq!(
        words(&hierarchy, |staple| staple.updates(NOW + 360, Some(NOW + 900))),
        of_leaf(&format!("its OCSP staple is valid from 2025-01-30T12:06:00Z, {clock}"))
    );
    assert_eq!(
        words(&hierarchy, |staple| staple.updates(NOW - 900, Some(NOW - 360))),
        of_leaf(&format!("its OCSP staple was valid until 2025-01-30T11:54:00Z, {clock}"))
    );
}

#[test]
fn staple_facts_name_responder_and_dates() {
    let hierarchy = hierarchy();
    let staples = leaf_stapled(&hierarchy, |staple| staple.updates(NOW - 9, Some(NOW + 9)));
    let signer = establish(&hierarchy, &staples, NOW).unwrap();
    let facts = signer.path()[0].staple.clone().unwrap();
    let by = hierarchy.intermediate.key.public().id();
    let dates = (facts.produced_at, facts.this_update, facts.next_update);
    assert_eq!(dates, (at(NOW - 9), at(NOW - 9), at(NOW + 9)));
    assert_eq!(facts.responder.to_string(), format!("by key {}", data_encoding::HEXLOWER.encode(&by)));
}
