//! What the metadata service said, parsed and **untrusted**: bytes in, values out, no judgement.
//!
//! Nothing here reads a file, the network or a clock, and nothing here says that a thing is genuine;
//! that is the business of [`verification`](crate::verification).

pub mod chain;
pub mod key_bundle;
mod key_check;
pub mod ocsp;
pub mod public_key;
pub(crate) mod signed;
pub(crate) mod structure;

use alloc::vec::Vec;

use data_encoding::BASE64;

/// Decodes base64 that may be wrapped into lines; none where it is anything else.
pub(crate) fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut packed = text.to_vec();
    packed.retain(|b| !b.is_ascii_whitespace());
    BASE64.decode(&packed).ok()
}
