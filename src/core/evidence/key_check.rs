//! Checks the numbers and curve points of a public key.
//!
//! OpenSSH does some of these checks when it reads a key. Its crypto library does more when it verifies a signature.
//! This module refuses what they refuse. It also refuses keys whose signatures can be made without a private key,
//! because any client could log in with such a key.

use num_bigint::BigUint;
use ssh_key::public::{DsaPublicKey, EcdsaPublicKey, KeyData, RsaPublicKey};
use ssh_key::{EcdsaCurve, Mpint};

/// Allowed size of an RSA modulus, in bits. The minimum is OpenSSH's (sshkey.h, `SSH_RSA_MINIMUM_MODULUS_SIZE`).
/// OpenSSH cannot read more than the maximum (sshbuf.h, `SSHBUF_MAX_BIGNUM`).
const RSA_BITS: core::ops::RangeInclusive<usize> = 1024..=16_384;

/// What is wrong with a key; `None` if the key is sound. The text continues a message after the word "but".
pub(super) fn fault(key: &KeyData) -> Option<&'static str> {
    match key {
        KeyData::Rsa(key) => rsa_fault(key),
        KeyData::Dsa(key) => dsa_fault(key),
        KeyData::Ecdsa(key) => ecdsa_fault(key),
        KeyData::SkEcdsaSha2NistP256(key) => point_fault(EcdsaCurve::NistP256, key.ec_point().as_bytes())
            .or_else(|| application_fault(key.application())),
        KeyData::Ed25519(key) => ed25519_fault(&key.0),
        KeyData::SkEd25519(key) => {
            ed25519_fault(&key.public_key().0).or_else(|| application_fault(key.application()))
        }
        _ => None,
    }
}

/// With a public exponent of 1, every text is its own signature. With an even exponent, or an exponent not below the
/// modulus, no signature can be verified (OpenSSL, `rsa_ossl_public_decrypt`).
fn rsa_fault(key: &RsaPublicKey) -> Option<&'static str> {
    let (Some(n), Some(e)) = (number(&key.n), number(&key.e)) else {
        return Some("a number of the RSA key is negative");
    };
    if !usize::try_from(n.bits()).is_ok_and(|bits| RSA_BITS.contains(&bits)) {
        return Some("its RSA modulus has fewer than 1024 or more than 16384 bits");
    }
    if !n.bit(0) {
        return Some("its RSA modulus is even");
    }
    let is_exponent = e.bit(0) && e > BigUint::from(1_u8) && e < n;
    (!is_exponent).then_some("its RSA exponent is even, 1, or not below the modulus")
}

/// With a base or a public key of 1, signatures can be made without the private key. EC2 Instance Connect does not
/// accept DSA keys. Since OpenSSH 7.0, sshd refuses DSA keys by default.
fn dsa_fault(key: &DsaPublicKey) -> Option<&'static str> {
    let numbers = [&key.p, &key.q, &key.g, &key.y].map(number);
    let [Some(p), Some(q), Some(g), Some(y)] = numbers else {
        return Some("a number of the DSA key is negative");
    };
    let one = BigUint::from(1_u8);
    let is_inside = [&q, &g, &y].iter().all(|number| **number > one && **number < p);
    (!(is_inside && p.bit(0) && q.bit(0))).then_some("its DSA parameters are invalid")
}

/// OpenSSH refuses negative numbers (sshbuf-getput-basic.c, `sshbuf_get_bignum2_bytes_direct`).
fn number(number: &Mpint) -> Option<BigUint> {
    number.as_positive_bytes().map(BigUint::from_bytes_be)
}

fn ecdsa_fault(key: &EcdsaPublicKey) -> Option<&'static str> {
    point_fault(key.curve(), key.as_sec1_bytes())
}

/// Requires an uncompressed point on the curve (sshbuf-getput-crypto.c, `get_ec`; sshkey.c,
/// `sshkey_ec_validate_public`). These curves have a cofactor of 1, so every point on the curve has the right order
/// (NIST SP 800-56A rev. 3, 5.6.2.3).
fn point_fault(curve: EcdsaCurve, point: &[u8]) -> Option<&'static str> {
    let Some((0x04, coordinates)) = point.split_first() else {
        return Some("its point is not uncompressed");
    };
    let halves = coordinates.split_at_checked(coordinates.len() / 2);
    let is_on_curve = halves.is_some_and(|(x, y)| is_on(curve, x, y));
    (!is_on_curve).then_some("its point is not on its curve")
}

/// Whether y² = x³ - 3x + b modulo p, for coordinates below p (SEC 1, section 3.2.2.1; FIPS 186-4, D.1.2).
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a BigUint does not overflow, no result is negative, and p is not zero"
)]
fn is_on(curve: EcdsaCurve, x: &[u8], y: &[u8]) -> bool {
    let power = |bits: u32| BigUint::from(1_u8) << bits;
    let (p, b) = match curve {
        EcdsaCurve::NistP256 => (power(256) - power(224) + power(192) + power(96) - 1_u8, P256_B.as_slice()),
        EcdsaCurve::NistP384 => (power(384) - power(128) - power(96) + power(32) - 1_u8, P384_B.as_slice()),
        EcdsaCurve::NistP521 => (power(521) - 1_u8, P521_B.as_slice()),
    };
    let [x, y, b] = [x, y, b].map(BigUint::from_bytes_be);
    if x >= p || y >= p {
        return false;
    }
    let left = &y * &y % &p;
    let right = (&x * &x * &x + (&p - &x) * 3_u8 + b) % &p;
    left == right
}

/// Refuses points of a small order. With such a point, a signature can verify for any message. RFC 8032 section 5.1.7
/// and OpenSSH do not exclude them.
fn ed25519_fault(point: &[u8; 32]) -> Option<&'static str> {
    let mut y = *point;
    // The last bit is the sign of x.
    if let Some(last) = y.last_mut() {
        *last &= 0x7f;
    }
    SMALL_ORDER.contains(&y).then_some("its Ed25519 point is of a small order")
}

/// OpenSSH reads the application name as a C string. It accepts a NUL only at the end (sshbuf-getput-basic.c,
/// `sshbuf_get_cstring`).
fn application_fault(application: &str) -> Option<&'static str> {
    let name = application.strip_suffix('\0').unwrap_or(application);
    name.contains('\0').then_some("the name of its application has a NUL inside")
}

/// b of prime256v1 (FIPS 186-4, D.1.2).
#[rustfmt::skip]
const P256_B: [u8; 32] = [
    0x5a, 0xc6, 0x35, 0xd8, 0xaa, 0x3a, 0x93, 0xe7, 0xb3, 0xeb, 0xbd, 0x55, 0x76, 0x98, 0x86, 0xbc,
    0x65, 0x1d, 0x06, 0xb0, 0xcc, 0x53, 0xb0, 0xf6, 0x3b, 0xce, 0x3c, 0x3e, 0x27, 0xd2, 0x60, 0x4b,
];

/// b of secp384r1 (FIPS 186-4, D.1.2).
#[rustfmt::skip]
const P384_B: [u8; 48] = [
    0xb3, 0x31, 0x2f, 0xa7, 0xe2, 0x3e, 0xe7, 0xe4, 0x98, 0x8e, 0x05, 0x6b, 0xe3, 0xf8, 0x2d, 0x19,
    0x18, 0x1d, 0x9c, 0x6e, 0xfe, 0x81, 0x41, 0x12, 0x03, 0x14, 0x08, 0x8f, 0x50, 0x13, 0x87, 0x5a,
    0xc6, 0x56, 0x39, 0x8d, 0x8a, 0x2e, 0xd1, 0x9d, 0x2a, 0x85, 0xc8, 0xed, 0xd3, 0xec, 0x2a, 0xef,
];

/// b of secp521r1 (FIPS 186-4, D.1.2).
#[rustfmt::skip]
const P521_B: [u8; 65] = [
    0x51, 0x95, 0x3e, 0xb9, 0x61, 0x8e, 0x1c, 0x9a, 0x1f, 0x92, 0x9a, 0x21, 0xa0, 0xb6, 0x85, 0x40,
    0xee, 0xa2, 0xda, 0x72, 0x5b, 0x99, 0xb3, 0x15, 0xf3, 0xb8, 0xb4, 0x89, 0x91, 0x8e, 0xf1, 0x09,
    0xe1, 0x56, 0x19, 0x39, 0x51, 0xec, 0x7e, 0x93, 0x7b, 0x16, 0x52, 0xc0, 0xbd, 0x3b, 0xb1, 0xbf,
    0x07, 0x35, 0x73, 0xdf, 0x88, 0x3d, 0x2c, 0x34, 0xf1, 0xef, 0x45, 0x1f, 0xd4, 0x6b, 0x50, 0x3f,
    0x00,
];

/// The y coordinates of the eight points whose order divides 8: 0, 1, p - 1, and the two of order 8. The list also
/// has p and p + 1, which encode 0 and 1 without reduction.
#[rustfmt::skip]
const SMALL_ORDER: [[u8; 32]; 7] = [
    [
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
        0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
        0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];
