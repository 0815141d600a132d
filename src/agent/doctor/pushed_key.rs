//! A pushed key, as far as the checks need it.

use eic_core::fingerprint::Fingerprint;

/// A key that is pushed for the user now.
pub(super) struct PushedKey {
    pub(super) algorithm: String,
    pub(super) fingerprint: Fingerprint,
    /// Length of an RSA key, in bits.
    pub(super) rsa_bits: Option<usize>,
}
