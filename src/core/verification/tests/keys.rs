//! Tests of the signer's key and of signature algorithm identifiers.

use eic_emulator::pki::{CertificateBuilder, PublicKey, SignatureScheme};

use super::*;

/// Why a signer with this key is refused; `None` if it is accepted.
fn refusal(modulus: &[u8], exponent: &[u8]) -> Option<(Reason, String)> {
    let hierarchy = hierarchy();
    let key = PublicKey::of_numbers(modulus, exponent);
    let leaf =
        CertificateBuilder::new(Name::common(SIGNER), &key, NOW - 9000, NOW + 9000).signer_profile(SIGNER);
    let hierarchy = hierarchy.with_leaf(leaf);
    let outcome = establish(&hierarchy, &hierarchy.staples(NOW), NOW);
    outcome.err().map(|error| (error.reason(), error.to_string()))
}

/// An odd number of `bits` bits.
fn modulus(bits: usize) -> Vec<u8> {
    let mut number = vec![0xff; bits.div_ceil(8)];
    number[0] >>= (8 - bits % 8) % 8;
    number
}

#[test]
fn the_signers_key_is_rsa_of_2048_to_4096_bits_with_the_exponent_65537() {
    const USUAL: &[u8] = &[1, 0, 1];
    let even = [&modulus(2048)[..255], &[0xfe]].concat();
    for (modulus, exponent, came) in [
        (modulus(2048), USUAL, None),
        (modulus(3072), USUAL, None),
        (modulus(4096), USUAL, None),
        (modulus(2047), USUAL, Some("an RSA key of 2047 bits")),
        (modulus(1024), USUAL, Some("an RSA key of 1024 bits")),
        (modulus(4097), USUAL, Some("an RSA key of 4097 bits")),
        (modulus(16_384), USUAL, Some("an RSA key of 16384 bits")),
        (vec![0], USUAL, Some("an RSA key of 0 bits")),
        (even, USUAL, Some("an RSA key with an even modulus")),
        (modulus(2048), &[1], Some("an RSA key with another exponent")),
        (modulus(2048), &[3], Some("an RSA key with another exponent")),
        (modulus(2048), &[1, 0, 2], Some("an RSA key with another exponent")),
        (modulus(2048), &[1, 0, 3], Some("an RSA key with another exponent")),
        (modulus(2048), &[1, 0xff, 0xff, 0xff, 0xff], Some("an RSA key with another exponent")),
    ] {
        let words = "expected an RSA key of 2,048 to 4,096 bits with the exponent 65537 in the signer's certificate, got ";
        let expected = came.map(|came| (Reason::SignerKeyUnsuitable, format!("{words}{came}")));
        assert_eq!(refusal(&modulus, exponent), expected);
    }
}

#[test]
fn key_of_another_algorithm_is_refused_as_signer() {
    use crate::verification::signer_key::fault;
    let info = |algorithm: &[Vec<u8>], key: &[u8]| [der::sequence(algorithm), der::bits(key)].concat();
    let rsa = [der::oid(oids::RSA_ENCRYPTION), der::null()];
    let numbers = [der::unsigned(&modulus(2048)), der::unsigned(&[1, 0, 1])];
    assert_eq!(fault(&info(&rsa, &der::sequence(&numbers))), None);
    let three = [numbers[0].clone(), numbers[1].clone(), der::null()];
    for bytes in [
        info(&[der::oid(oids::RSASSA_PSS)], &der::sequence(&numbers)),
        info(&rsa[..1], &der::sequence(&numbers)),
        info(&rsa, &der::sequence(&numbers[..1])),
        info(&rsa, &der::sequence(&three)),
        info(&rsa, &[4; 97]),
        der::sequence(&rsa),
        Vec::new(),
    ] {
        assert_eq!(fault(&bytes).as_deref(), Some("a key of another kind"), "{bytes:x?}");
    }
}

/// RFC 4055 section 5: "implementations MUST accept the parameters being absent as well as present".
#[test]
fn algorithm_identifier_without_null_is_accepted() {
    let without = SignatureScheme::Pkcs1Sha256WithoutNull;
    let hierarchy = hierarchy();
    let leaf = hierarchy.leaf(SIGNER, NOW).scheme(without);
    let hierarchy = hierarchy.clone().with_leaf(leaf);
    let hierarchy = hierarchy.clone().with_intermediate(hierarchy.intermediate_certificate().scheme(without));
    let staples = |scheme| leaf_stapled(&hierarchy, |staple| staple.scheme(scheme));
    assert!(establish(&hierarchy, &staples(without), NOW).is_ok());
    assert!(establish(&hierarchy, &staples(SignatureScheme::Pkcs1Sha256), NOW).is_ok());
    let tampered = leaf_stapled(&hierarchy, |staple| staple.scheme(without).tampered());
    assert_eq!(reason(establish(&hierarchy, &tampered, NOW)), Reason::StapleBadSignature);
    // RFC 5280 section 4.1.1.2: the algorithm outside the signed data must be the same as inside.
    let leaf = hierarchy.leaf(SIGNER, NOW).claimed_scheme(without);
    let outcome = establish(&hierarchy.clone().with_leaf(leaf), &hierarchy.staples(NOW), NOW);
    assert_eq!(reason(outcome), Reason::SignerUntrusted);
}
