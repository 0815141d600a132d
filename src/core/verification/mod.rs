//! Verifies untrusted evidence and returns proof types.
//!
//! ```text
//! SignerChain --name, path--> SignerPath --revocation--> VerifiedSigner --signature, instance, expiry--> VerifiedKey
//! ```
//!
//! Each step is the only constructor of the next. So a caller can neither skip nor reorder a check. Callers can name
//! these types, but cannot construct them:
//!
//! ```
//! use eic_core::verification::{SignerPath, VerifiedKey, VerifiedSigner};
//! fn named(_: &VerifiedKey, _: &VerifiedSigner, _: &SignerPath) {}
//! ```
//!
//! ```compile_fail,E0451
//! let forged = eic_core::verification::VerifiedKey { key: todo!(), claims: todo!(), expires: todo!() };
//! ```
//!
//! ```compile_fail,E0451
//! let forged = eic_core::verification::VerifiedSigner {
//!     leaf: todo!(), key_bits: todo!(), path: todo!(), anchor: todo!(), now: todo!(),
//! };
//! ```
//!
//! ```compile_fail,E0451
//! let forged = eic_core::verification::SignerPath { name: todo!(), steps: todo!(), root: todo!() };
//! ```
//!
//! They do not implement `Default`. A type that implements it can be made like this:
//!
//! ```
//! fn conjure<T: Default>() -> T { T::default() }
//! let made: eic_core::verification::RevocationPolicy = conjure();
//! ```
//!
//! ```compile_fail,E0277
//! fn conjure<T: Default>() -> T { T::default() }
//! let forged: eic_core::verification::VerifiedKey = conjure();
//! ```

mod anchors;
mod budget;
mod candidates;
mod issuers;
mod path;
mod primitives;
mod revocation;
mod revocation_error;
mod search;
mod signature;
mod signer_error;
mod signer_key;

pub use anchors::{AnchorsError, TrustAnchors};
pub use budget::Budget;
#[cfg(test)]
pub(crate) use budget::{MAX_PATHS, MAX_SIGNATURE_CHECKS};
pub use issuers::IssuerSearch;
pub use path::{PathCertificate, SignerPath, VerifiedSigner};
pub use revocation::{RevocationPolicy, StapleFacts};
pub use revocation_error::RevocationError;
pub use signature::{KeyError, VerifiedKey};
pub use signer_error::SignerError;

/// How much the instance's clock may differ when the dates of a staple are checked, in seconds.
pub const CLOCK_SKEW: u64 = 300;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
