//! Parsers for the evidence that the metadata service returned. The results are **untrusted**.
//!
//! This module reads no file, no network and no clock. It does not decide whether the evidence is genuine:
//! [`verification`](crate::verification) does.

pub mod chain;
pub mod key_bundle;
mod key_check;
pub mod ocsp;
pub mod public_key;
pub(crate) mod signed;
pub(crate) mod structure;

use alloc::vec::Vec;

use data_encoding::BASE64;

/// Decodes base64 that may be wrapped into lines. Returns `None` for any other text.
pub(crate) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut packed = text.to_vec();
    packed.retain(|b| !b.is_ascii_whitespace());
    BASE64.decode(&packed).ok()
}
