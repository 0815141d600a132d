//! A certificate authority that makes valid certificates and staples, and every kind of invalid ones.
//!
//! No function here reads a clock. The caller passes instants in Unix seconds.

pub mod certificate;
pub mod der;
pub mod hierarchy;
pub mod key;
pub mod name;
pub mod ocsp;
pub mod oids;

pub use certificate::{Certificate, CertificateBuilder, KeyUsage, NameConstraints};
pub use hierarchy::{Hierarchy, Issuer};
pub use key::{KeyPool, PublicKey, RsaKey, SignatureScheme};
pub use name::Name;
pub use ocsp::{
    CertId, CertIdHash, CertStatus, ResponderId, SingleResponse, Staple, StapleBuilder, StapleName,
};

use data_encoding::{BASE64, HEXUPPER};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512, digest};

/// SHA-1, for names and identifiers only.
pub fn sha1(data: &[u8]) -> Vec<u8> {
    digest(&SHA1_FOR_LEGACY_USE_ONLY, data).as_ref().to_vec()
}

/// SHA-256.
pub fn sha256(data: &[u8]) -> Vec<u8> {
    digest(&SHA256, data).as_ref().to_vec()
}

/// SHA-384.
pub fn sha384(data: &[u8]) -> Vec<u8> {
    digest(&SHA384, data).as_ref().to_vec()
}

/// SHA-512.
pub fn sha512(data: &[u8]) -> Vec<u8> {
    digest(&SHA512, data).as_ref().to_vec()
}

/// Upper-case hexadecimal without separators, the format of staple names.
pub fn hex(data: &[u8]) -> String {
    HEXUPPER.encode(data)
}

/// Base64 in lines of `width` characters, each with its line end.
pub fn wrapped_base64(data: &[u8], width: usize) -> String {
    let mut out = String::new();
    for (position, character) in BASE64.encode(data).chars().enumerate() {
        if position > 0 && position % width == 0 {
            out.push('\n');
        }
        out.push(character);
    }
    out.push('\n');
    out
}
