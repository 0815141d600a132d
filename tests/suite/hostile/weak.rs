//! Keys and signatures that are too weak to be accepted.

use eic_emulator::pki::{CertificateBuilder, Issuer, Name, PublicKey, RsaKey, SignatureScheme};

use super::evidence::Evidence;
use super::{Row, bad, good, judge_rows};
use crate::fixtures::SIGNER;

const UNTRUSTED: &str = "signer-untrusted";
const UNSUITABLE: &str = "signer-key-unsuitable";

judge_rows!();

/// NIST SP 800-131A disallows RSA of 1,024 bits from 2014 on. The agent accepts 2,048 bits or more.
fn small(e: &Evidence) -> RsaKey {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("hostile-keys/rsa-1024");
    let kept = std::fs::read(&file).ok().and_then(|der| RsaKey::from_pkcs1_der(&der).ok());
    kept.unwrap_or_else(|| {
        let made = RsaKey::generate(1024);
        let whole = file.with_extension(format!("{}-{}", std::process::id(), e.now));
        std::fs::write(&whole, made.to_pkcs1_der()).unwrap();
        std::fs::rename(whole, &file).unwrap();
        made
    })
}

/// Replaces the leaf with one for a key that signs nothing.
fn leaf_key(e: &mut Evidence, key: &PublicKey) {
    let now = e.now;
    e.leaf(|_| {
        CertificateBuilder::new(Name::common(SIGNER), key, now - 9000, now + 9000).signer_profile(SIGNER)
    });
}

fn signer_is_small(e: &mut Evidence) {
    let key = small(e);
    leaf_key(e, &key.public().clone());
    e.signer.leaf_key = key;
}

fn rows() -> Vec<Row> {
    vec![
        // The certificate is valid, but no signature of such a key counts, not even a real one. The reason is
        // reported once, about the signer.
        bad("a leaf of 1,024 bits, and entries that it really signed", UNSUITABLE, signer_is_small),
        bad("an intermediate of 1,024 bits", UNTRUSTED, |e| {
            e.signer.intermediate.key = small(e);
            e.intermediate(|authority| authority);
            e.leaf(|leaf| leaf);
        }),
        bad("a root of 1,024 bits", UNTRUSTED, |e| {
            e.signer.root.key = small(e);
            e.root(|root| root);
            e.intermediate(|authority| authority);
            e.signer.chain.truncate(2);
        }),
        bad("a leaf of 16,384 bits, which is slow to verify", UNSUITABLE, |e| {
            leaf_key(e, &PublicKey::of_numbers(&[0xc5; 2048], &[1, 0, 1]));
        }),
        // With the exponent 1, a signature equals its message, so anyone could write one.
        bad("a leaf with the exponent 1", UNSUITABLE, |e| {
            leaf_key(e, &PublicKey::of_numbers(&[0xc5; 256], &[1]));
        }),
        // Some good RSA keys have this exponent. AWS's signer has 65537.
        bad("a leaf with the exponent 3", UNSUITABLE, |e| {
            leaf_key(e, &PublicKey::of_numbers(&[0xc5; 256], &[3]));
        }),
        bad("a leaf with an exponent of 33 bits", UNSUITABLE, |e| {
            leaf_key(e, &PublicKey::of_numbers(&[0xc5; 256], &[1, 0xff, 0xff, 0xff, 0xff]));
        }),
        bad("a leaf of 8,192 bits", UNSUITABLE, |e| {
            leaf_key(e, &PublicKey::of_numbers(&[0xc5; 1024], &[1, 0, 1]));
        }),
        bad("a leaf with an even modulus", UNSUITABLE, |e| {
            leaf_key(e, &PublicKey::of_numbers(&[0xc4; 256], &[1, 0, 1]));
        }),
        bad("a leaf with the modulus 0", UNSUITABLE, |e| {
            leaf_key(e, &PublicKey::of_numbers(&[0], &[1, 0, 1]));
        }),
        bad("a leaf signed with SHA-1", UNTRUSTED, |e| {
            e.leaf(|leaf| leaf.scheme(SignatureScheme::Pkcs1Sha1));
        }),
        bad("an intermediate signed with SHA-1", UNTRUSTED, |e| {
            e.intermediate(|authority| authority.scheme(SignatureScheme::Pkcs1Sha1));
        }),
        // A root is trusted because it is in the store, not because it signed itself (RFC 5280 section 6.1.1).
        // Starfield Class 2, at the end of the real bundle, signed itself with SHA-1.
        good("a root that signed itself with SHA-1", |e| {
            e.root(|root| root.scheme(SignatureScheme::Pkcs1Sha1));
        }),
        good("a root whose own signature is no signature", |e| e.root(|root| root.signature(&[0; 256]))),
        // RFC 4055 section 5: the forms with and without NULL must both be accepted.
        good("a leaf signed with SHA-256 and RSA without NULL", |e| {
            e.leaf(|leaf| leaf.scheme(SignatureScheme::Pkcs1Sha256WithoutNull));
        }),
        good("a staple signed with SHA-256 and RSA without NULL", |e| {
            e.staple(0, |staple| staple.scheme(SignatureScheme::Pkcs1Sha256WithoutNull));
        }),
        // RFC 4055 lets an authority sign in this way. Amazon's authorities do not, so the agent does not accept it.
        bad("a leaf signed with RSA-PSS", UNTRUSTED, |e| {
            e.leaf(|leaf| leaf.scheme(SignatureScheme::PssSha256 { salt: 32 }));
        }),
        bad("a leaf whose signature is all zeros", UNTRUSTED, |e| e.leaf(|leaf| leaf.signature(&[0; 256]))),
        bad("a leaf whose signature is empty", UNTRUSTED, |e| e.leaf(|leaf| leaf.signature(&[]))),
        bad("a leaf whose signature is larger than the modulus", UNTRUSTED, |e| {
            e.leaf(|leaf| leaf.signature(&[0xff; 256]));
        }),
        // RFC 5280 section 4.1.1.2: the outer algorithm must be the one that is signed.
        bad("a leaf that names two signature algorithms", UNTRUSTED, |e| {
            e.leaf(|leaf| leaf.claimed_scheme(SignatureScheme::PssSha256 { salt: 32 }));
        }),
        bad("a leaf signed by another key in the issuer's name", UNTRUSTED, |e| {
            let leaf = e.signer.leaf(SIGNER, e.now);
            let stranger =
                Issuer { name: e.signer.intermediate.name.clone(), key: e.stranger.intermediate.key.clone() };
            e.signer.chain[0].0 = stranger.sign(leaf);
        }),
        bad("an intermediate whose signature is all zeros", UNTRUSTED, |e| {
            e.intermediate(|authority| authority.signature(&[0; 256]));
        }),
    ]
}
