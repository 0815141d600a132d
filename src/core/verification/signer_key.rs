//! Checks that the signer's key is suitable to verify entries.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;

use rustls::pki_types::alg_id;
use x509_cert::der::asn1::{BitStringRef, UintRef};
use x509_cert::der::{AnyRef, Decode as _, Reader as _, SliceReader};

/// Allowed sizes of the modulus, in bits. NIST SP 800-131A allows no smaller key. ACM issues the signer's
/// certificates and has no larger keys. With a larger key, thousands of entries would take too long.
const BITS: core::ops::RangeInclusive<usize> = 2048..=4096;

/// The exponent 65537, which every key of ACM has. Signatures with a small exponent are weaker. Checks with a large
/// exponent take longer.
const EXPONENT: &[u8] = &[1, 0, 1];

/// Describes the key if it is not RSA of 2,048 to 4,096 bits with the exponent 65537; otherwise `None`. `key_info` is
/// the contents of a SubjectPublicKeyInfo.
pub(super) fn fault(key_info: &[u8]) -> Option<String> {
    let Some((modulus, exponent)) = rsa_numbers(key_info) else {
        return Some("a key of another kind".to_owned());
    };
    let bits = bits(modulus);
    if !BITS.contains(&bits) {
        return Some(format!("an RSA key of {bits} bits"));
    }
    if modulus.last().is_none_or(|last| last % 2 == 0) {
        return Some("an RSA key with an even modulus".to_owned());
    }
    (exponent != EXPONENT).then(|| "an RSA key with another exponent".to_owned())
}

/// Bits of the modulus of an RSA key; `None` for other keys. `key_info` is the contents of a SubjectPublicKeyInfo.
pub(super) fn size(key_info: &[u8]) -> Option<usize> {
    rsa_numbers(key_info).map(|(modulus, _)| bits(modulus))
}

/// Bits of a number without leading zeros.
fn bits(number: &[u8]) -> usize {
    let first = number.first().copied().unwrap_or_default();
    let unused = usize::try_from(first.leading_zeros()).unwrap_or_default();
    number.len().saturating_mul(8).saturating_sub(unused)
}

/// Modulus and exponent of an RSA public key (RFC 8017 appendix A.1.1), without leading zeros.
fn rsa_numbers(key_info: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = SliceReader::new(key_info).ok()?;
    let algorithm = AnyRef::from_der(parts.tlv_bytes().ok()?).ok()?;
    let key = BitStringRef::decode(&mut parts).ok()?.as_bytes()?;
    let mut numbers = SliceReader::new(AnyRef::from_der(key).ok()?.value()).ok()?;
    let modulus = UintRef::decode(&mut numbers).ok()?;
    let exponent = UintRef::decode(&mut numbers).ok()?;
    let is_rsa = algorithm.value() == alg_id::RSA_ENCRYPTION.as_ref() && numbers.is_finished();
    is_rsa.then_some((modulus.as_bytes(), exponent.as_bytes()))
}
