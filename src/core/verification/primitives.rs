//! Shared by the checks of paths and staples: the accepted algorithms, signature checks and DER.

use alloc::vec::Vec;
use core::time::Duration;

use rustls::pki_types::{SignatureVerificationAlgorithm, SubjectPublicKeyInfoDer, UnixTime};
use webpki::RawPublicKeyEntity;
use x509_cert::der::{AnyRef, Decode as _, Encode as _, Tag};

use super::budget::{Budget, Counted};
use crate::evidence::signed::Signed;
use crate::time::Timestamp;

/// The accepted signature algorithms of certificates and staples: RSA of 2,048 to 8,192 bits, and ECDSA on P-256 and
/// P-384. SHA-1 (RFC 9155) and smaller RSA keys (NIST SP 800-131A) are refused. Amazon's roots use no other
/// algorithm.
///
/// Each RSA algorithm is listed twice, because an AlgorithmIdentifier must be accepted with and without NULL (RFC
/// 4055 section 5).
static SIGNATURE_ALGORITHMS: [&dyn SignatureVerificationAlgorithm; 10] = [
    webpki::ring::RSA_PKCS1_2048_8192_SHA256,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512,
    webpki::ring::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS,
    webpki::ring::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS,
    webpki::ring::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS,
    webpki::ring::ECDSA_P256_SHA256,
    webpki::ring::ECDSA_P256_SHA384,
    webpki::ring::ECDSA_P384_SHA256,
    webpki::ring::ECDSA_P384_SHA384,
];

/// The accepted algorithms. Their checks count against `budget`.
pub(super) fn algorithms(budget: &Budget) -> [Counted<'_>; SIGNATURE_ALGORITHMS.len()] {
    SIGNATURE_ALGORITHMS.map(|algorithm| Counted { algorithm, budget })
}

/// The same algorithms in the form that webpki needs.
pub(super) fn as_dyn<'a>(algorithms: &'a [Counted<'a>]) -> Vec<&'a dyn SignatureVerificationAlgorithm> {
    algorithms.iter().map(|algorithm| algorithm as _).collect()
}

/// Whether this key (the contents of a SubjectPublicKeyInfo) signed the data. Only algorithms of
/// [`SIGNATURE_ALGORITHMS`] are accepted. None of them uses SHA-1.
pub(super) fn is_signed_by(signed: &Signed, key_info: &[u8], budget: &Budget) -> bool {
    let wrapped = SubjectPublicKeyInfoDer::from(sequence(key_info));
    let Ok(key) = RawPublicKeyEntity::try_from(&wrapped) else { return false };
    algorithms(budget)
        .iter()
        .filter(|algorithm| algorithm.signature_alg_id().as_ref() == signed.algorithm)
        .any(|algorithm| key.verify_signature(algorithm, &signed.data, &signed.signature).is_ok())
}

/// The contents of a SubjectPublicKeyInfo, without its tag and length.
pub(super) fn contents<'a>(key_info: &'a SubjectPublicKeyInfoDer<'_>) -> &'a [u8] {
    AnyRef::from_der(key_info.as_ref()).map_or(&[], |any| any.value())
}

/// Encodes `contents` as a DER SEQUENCE. webpki returns names and keys without tag and length.
pub(super) fn sequence(contents: &[u8]) -> Vec<u8> {
    AnyRef::new(Tag::Sequence, contents).and_then(|any| any.to_der()).unwrap_or_default()
}

pub(super) const fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_unix()))
}
