//! Tests of the signer's certificate, of its path, and of the error messages.

use eic_emulator::pki::{CertificateBuilder, KeyUsage};

use super::*;

/// The error for the hierarchy's signer with this leaf; `None` if the signer is accepted.
fn refusal(leaf: impl FnOnce(CertificateBuilder) -> CertificateBuilder) -> Option<String> {
    let hierarchy = hierarchy();
    let leaf = leaf(hierarchy.leaf(SIGNER, NOW));
    refusal_of(&hierarchy.with_leaf(leaf))
}

fn refusal_of(hierarchy: &Hierarchy) -> Option<String> {
    establish(hierarchy, &hierarchy.staples(NOW), NOW).err().map(|error| error.to_string())
}

#[test]
fn an_alternative_name_extension_must_have_the_signers_name() {
    assert_eq!(refusal(|leaf| leaf.without(oids::SUBJECT_ALT_NAME)), None);
    assert_eq!(refusal(|leaf| leaf.san(&["other.example", SIGNER])), None);
    assert_eq!(refusal(|leaf| leaf.san(&[&SIGNER.to_uppercase()])), None, "DNS names are case-insensitive");
    let wanted = format!("expected {SIGNER} among the alternative names, got ");
    for (names, came) in [
        (&["a.example", "b.example"][..], "a.example, b.example"),
        (&["*.us-east-1.amazonaws.com"], "*.us-east-1.amazonaws.com"),
    ] {
        assert_eq!(refusal(|leaf| leaf.san(names)), Some(format!("{wanted}{came}")));
    }
    let address = der::sequence(&[der::context_primitive(7, &[127, 0, 0, 1])]);
    let addressed = refusal(|leaf| leaf.extension(oids::SUBJECT_ALT_NAME, false, &address));
    assert_eq!(addressed, Some(format!("{wanted}none")));
}

#[test]
fn key_usages_allow_what_the_certificates_are_used_for() {
    let lacks = |subject: &str, what: &str| Some(format!("the keyUsage of \"{subject}\" lacks {what}"));
    assert_eq!(refusal(|leaf| leaf.without(oids::KEY_USAGE)), None);
    assert_eq!(
        refusal(|leaf| leaf.key_usage(&[KeyUsage::KeyEncipherment])),
        lacks(&format!("CN={SIGNER}"), "digitalSignature")
    );
    let any = "a certificate of the signer's path";
    let purpose = lacks(any, "serverAuth (extended key usage)");
    assert_eq!(refusal(|leaf| leaf.extended_key_usage(&[oids::CODE_SIGNING])), purpose);
    assert_eq!(refusal(|leaf| leaf.extended_key_usage(&[])), purpose, "an empty list of purposes");

    let hierarchy = hierarchy();
    let intermediate = hierarchy.intermediate_certificate().key_usage(&[KeyUsage::DigitalSignature]);
    let words = refusal_of(&hierarchy.with_intermediate(intermediate)).unwrap();
    assert!(words.contains("M01\" lacks keyCertSign"), "{words}");
}

#[test]
fn name_constraint_applies_to_the_common_name() {
    let constrained = |permitted, leaf: fn(CertificateBuilder) -> CertificateBuilder| {
        let hierarchy = hierarchy();
        let constraints = NameConstraints { permitted, excluded: &[] };
        let intermediate = hierarchy.intermediate_certificate().name_constraints(&constraints);
        let leaf = leaf(hierarchy.leaf(SIGNER, NOW));
        refusal_of(&hierarchy.with_intermediate(intermediate).with_leaf(leaf))
    };
    let words = |of: &str| format!("a name constraint of {of} does not allow the signer's name");
    assert_eq!(constrained(&["amazonaws.com"], |leaf| leaf), None);
    let outside = constrained(&["other.example"], |leaf| leaf);
    assert_eq!(outside, Some(words("\"a certificate of the signer's path\"")));
    // webpki compares only alternative names. Without them, any constraint refuses the leaf.
    for permitted in [&["amazonaws.com"][..], &["other.example"]] {
        let unnamed = constrained(permitted, |leaf| leaf.without(oids::SUBJECT_ALT_NAME)).unwrap();
        assert!(unnamed.contains("M01") && unnamed.starts_with("a name constraint of \""), "{unnamed}");
    }
}

#[test]
fn root_with_name_constraints_refuses_a_leaf_without_alternative_name() {
    let hierarchy = hierarchy();
    let constraints = NameConstraints { permitted: &["amazonaws.com"], excluded: &[] };
    let root = hierarchy.root.certificate().name_constraints(&constraints);
    let store = root.self_signed(&hierarchy.root.key).pem();
    let bare = hierarchy.leaf(SIGNER, NOW).without(oids::SUBJECT_ALT_NAME);
    let refusal = |hierarchy: &Hierarchy| {
        let (chain, anchors, staples) = (chain(hierarchy), anchors(&store), read(&hierarchy.staples(NOW)));
        prove(&chain, &anchors, &staples)
            .err()
            .map(|error| (error.reason(), error.to_string().contains("Root CA 1")))
    };
    assert_eq!(refusal(&hierarchy), None);
    assert_eq!(refusal(&hierarchy.with_leaf(bare)), Some((Reason::SignerConstrained, true)));
}

#[test]
fn root_is_accepted_from_the_start_of_its_validity() {
    let hierarchy = hierarchy();
    let staples = read(&hierarchy.staples(NOW));
    let refusal = |from| {
        let root = hierarchy.root.certificate().validity(from, NOW + 9000);
        let anchors = anchors(&root.self_signed(&hierarchy.root.key).pem());
        let chain = chain(&hierarchy);
        prove(&chain, &anchors, &staples).err()
    };
    assert_eq!(refusal(NOW), None);
    assert_eq!(refusal(NOW - 1), None);
    let error = refusal(NOW + 1).unwrap();
    assert_eq!(error.reason(), Reason::SignerNotYetValid);
    let words = error.to_string();
    for part in
        ["Root CA 1\"", "from 2025-01-30T12:00:01Z until 2025-01-30T14:30:00Z, now 2025-01-30T12:00:00Z"]
    {
        assert!(words.contains(part), "{words}");
    }
    let never = hierarchy.root.certificate().validity(NOW, NOW - 1).self_signed(&hierarchy.root.key).pem();
    let (chain, anchors) = (chain(&hierarchy), anchors(&never));
    let outcome = prove(&chain, &anchors, &staples);
    assert_eq!(reason(outcome), Reason::SignerExpired, "notAfter is before notBefore");
}

#[test]
fn fault_of_the_first_leaf_with_the_name_is_reported() {
    let mut hierarchy = hierarchy();
    let leaf = |change: fn(CertificateBuilder) -> CertificateBuilder| {
        let certificate = hierarchy.intermediate.sign(change(hierarchy.leaf(SIGNER, NOW)));
        (certificate, hierarchy.intermediate.clone())
    };
    let usage = leaf(|leaf| leaf.key_usage(&[KeyUsage::KeyEncipherment]));
    let names = leaf(|leaf| leaf.san(&["other.example"]));
    let good = leaf(|leaf| leaf);
    let issuers = hierarchy.chain.split_off(1);
    let mut told = |leaves: &[&(eic_emulator::pki::Certificate, Issuer)], staples| {
        hierarchy.chain = leaves.iter().map(|leaf| (*leaf).clone()).chain(issuers.clone()).collect();
        let made = hierarchy.staples(NOW);
        establish(&hierarchy, if staples { &made } else { &[] }, NOW).err().map(|error| error.reason())
    };
    assert_eq!(told(&[&usage, &names], true), Some(Reason::SignerKeyUsage));
    assert_eq!(told(&[&names, &usage], true), Some(Reason::SignerNameMismatch));
    assert_eq!(told(&[&usage, &good], true), None);
    // If a leaf lacks only a staple, its fault is reported instead of those of other leaves.
    assert_eq!(told(&[&usage, &good], false), Some(Reason::StapleMissing));
    assert_eq!(told(&[&good, &usage], false), Some(Reason::StapleMissing));
}

#[test]
fn first_of_two_paths_without_good_staples_is_reported() {
    let mut hierarchy = hierarchy();
    let other = hierarchy.leaf(SIGNER, NOW).serial(&[0x31]);
    let other = (hierarchy.intermediate.sign(other), hierarchy.intermediate.clone());
    hierarchy.chain.insert(1, other);
    let revoked = CertStatus::Revoked { at: NOW - 60, reason: None };
    let staples = |first, second| {
        let mut staples = hierarchy.staples(NOW);
        staples[0] = hierarchy.staple(0, NOW).status(first).build();
        staples[1] = hierarchy.staple(1, NOW).status(second).build();
        reason(establish(&hierarchy, &staples, NOW))
    };
    assert_eq!(staples(CertStatus::Unknown, revoked), Reason::StapleUnknown);
    assert_eq!(staples(revoked, CertStatus::Unknown), Reason::SignerRevoked);
}

#[test]
fn date_errors_contain_the_current_time() {
    let expired = refusal(|leaf| leaf.validity(NOW - 9, NOW - 5)).unwrap();
    assert_eq!(
        expired,
        "a certificate of the signer's path expired 2025-01-30T11:59:55Z, now 2025-01-30T12:00:00Z; is the clock right?"
    );
    let early = refusal(|leaf| leaf.validity(NOW + 5, NOW + 9)).unwrap();
    assert_eq!(
        early,
        "a certificate of the signer's path is valid from 2025-01-30T12:00:05Z, now 2025-01-30T12:00:00Z; is the clock right?"
    );
}

#[test]
fn untrusted_error_contains_the_number_of_roots() {
    let hierarchy = hierarchy();
    let stranger = Hierarchy::of_family(&KeyPool::shared(), "stranger", SIGNER, NOW);
    let refusal = |store: &str| {
        let (chain, anchors, staples) = (chain(&hierarchy), anchors(store), read(&hierarchy.staples(NOW)));
        prove(&chain, &anchors, &staples).unwrap_err()
    };
    for count in [1, 3] {
        let error = refusal(&stranger.anchor_pem().repeat(count));
        assert_eq!(error.reason(), Reason::SignerUntrusted);
        let words = error.to_string();
        let start = format!("no path from the signer's certificate to any of {count} trusted roots (");
        assert!(words.starts_with(&start), "{words}");
    }
}

#[test]
fn unreadable_staple_is_reported_instead_of_a_missing_one() {
    let hierarchy = hierarchy();
    let refusal = |staples: &[Staple]| establish(&hierarchy, staples, NOW).unwrap_err();
    let unreadable = [OcspStaple::parse(b"<html>").unwrap_err()];
    let missing = refusal(&[]);
    assert!(missing.to_string().ends_with("expected an OCSP staple for it, got 0 for other certificates"));
    assert_eq!(missing.clone().prefer_parse_error(&[]), missing);
    let blamed = missing.prefer_parse_error(&unreadable);
    assert_eq!(blamed.reason(), Reason::StapleMalformed);
    assert!(blamed.to_string().ends_with("got one that cannot be read: expected DER or base64, got neither"));
    let stale = refusal(&leaf_stapled(&hierarchy, |staple| staple.updates(NOW - 9000, Some(NOW - 8000))));
    assert_eq!(
        stale.clone().prefer_parse_error(&unreadable),
        stale,
        "the stale staple is about this certificate"
    );
}
