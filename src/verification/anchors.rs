//! The roots that a signer's path may end in.

use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use crate::evidence::chain::Certificate;
use crate::reason::Reason;

/// Most roots that are read; the largest distributions ship about 150.
const MAX_ANCHORS: usize = 4096;

/// The trust anchors of a run, from the trust store of the system or the one named by its operator.
#[derive(Debug)]
pub struct TrustAnchors {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

/// Why there are no trust anchors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnchorsError {
    /// No usable certificate in so many bytes of PEM.
    Empty(usize),
}

impl AnchorsError {
    /// The stable name of this refusal.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        Reason::TrustStoreUnusable
    }
}

impl fmt::Display for AnchorsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty(size) => {
                write!(f, "expected root certificates in PEM, got {size} bytes without a usable one")
            }
        }
    }
}

impl TrustAnchors {
    /// Reads one or several PEM files' contents; a root that cannot be read is left aside, since a store
    /// holds many and one bad one must not lock everybody out.
    pub fn from_pem<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, AnchorsError> {
        let mut store = RootCertStore::empty();
        let mut certificates = Vec::new();
        let mut size = 0_usize;
        for pem in files {
            size = size.saturating_add(pem.len());
            for der in CertificateDer::pem_slice_iter(pem).flatten() {
                if certificates.len() < MAX_ANCHORS && store.add(der.clone()).is_ok() {
                    certificates.push(der);
                }
            }
        }
        if certificates.is_empty() {
            Err(AnchorsError::Empty(size))
        } else {
            Ok(Self { store, certificates })
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    pub(super) fn as_slice(&self) -> &[TrustAnchor<'static>] {
        &self.store.roots
    }

    /// The root certificates that `anchor` stands for: one, or several where a root was renewed with its key.
    pub(super) fn certificates_of(&self, anchor: &TrustAnchor<'_>) -> Vec<Certificate> {
        let same_root = |root: &TrustAnchor<'_>| {
            root.subject == anchor.subject && root.subject_public_key_info == anchor.subject_public_key_info
        };
        let roots = self.store.roots.iter().zip(&self.certificates).filter(|(root, _)| same_root(root));
        roots.filter_map(|(_, certificate)| Certificate::parse(certificate.clone()).ok()).collect()
    }
}
