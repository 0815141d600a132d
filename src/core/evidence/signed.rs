//! The structure that X.509 and OCSP use for signed data.

use alloc::vec::Vec;

use x509_cert::der::asn1::BitStringRef;
use x509_cert::der::{self, AnyRef, Decode as _, Reader as _, SliceReader};

/// `SEQUENCE { data, AlgorithmIdentifier, BIT STRING, ... }`: a Certificate (RFC 5280 section 4.1) or a
/// BasicOCSPResponse (RFC 6960 section 4.2.1). Untrusted.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    /// The bytes that were signed. They are copied from the input and never encoded again.
    pub(crate) data: Vec<u8>,
    /// The contents of the AlgorithmIdentifier, without tag and length.
    pub(crate) algorithm: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Signed {
    pub(crate) fn parse(der: &[u8]) -> der::Result<Self> {
        let mut parts = SliceReader::new(AnyRef::from_der(der)?.value())?;
        let data = parts.tlv_bytes()?.to_vec();
        let algorithm = AnyRef::from_der(parts.tlv_bytes()?)?.value().to_vec();
        let signature = BitStringRef::decode(&mut parts)?;
        let signature = signature.as_bytes().ok_or_else(|| der::Tag::BitString.value_error())?.to_vec();
        Ok(Self { data, algorithm, signature })
    }
}
