//! The roots in which a signer's path may end.

use alloc::vec::Vec;
use core::fmt;

use ring::digest::{SHA256, digest};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, TrustAnchor};

use super::primitives::sequence;
use crate::evidence::chain::{Certificate, without_mark};
use crate::reason::Reason;

/// Maximum number of roots that are read. The trust store of a distribution has at most about 150.
const MAX_ANCHORS: usize = 4096;

/// The trust anchors of a run, from the system's trust store or from the one that the operator configured.
#[derive(Debug)]
pub struct TrustAnchors {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

/// Why there are no trust anchors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnchorsError {
    /// The PEM contains no usable certificate; holds its size in bytes.
    Empty(usize),
    /// No root belongs to Amazon Trust Services; holds the number of roots.
    NotAmazon(usize),
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
            Self::NotAmazon(count) => write!(
                f,
                "expected a root of Amazon Trust Services (trust.roots = \"amazon\"), got {count} roots of others"
            ),
        }
    }
}

/// SHA-256 of the SubjectPublicKeyInfo of each root of Amazon Trust Services, from its repository
/// (amazontrust.com/repository, "Root CAs"): Amazon Root CA 1 to 4, Starfield Services Root CA - G2.
const AMAZON_KEYS: [&str; 5] = [
    "fbe3018031f9586bcbf41727e417b7d1c45c2f47f93be372a17b96b50757d5a2",
    "7f4296fc5b6a4e3b35d3c369623e364ab1af381d8fa7121533c9d6c633ea2461",
    "36abc32656acfc645c61b71613c4bf21c787f5cabbee48348d58597803d7abc9",
    "f7ecded5c66047d28ed6466b543c40e0743abe81d109254dcf845d4c2c7853c5",
    "2b071c59a0a0ae76b0eadb2bad23bad4580b69c3601b630c2eaf0613afa83f92",
];

fn is_amazon(root: &TrustAnchor<'_>) -> bool {
    let key = digest(&SHA256, &sequence(&root.subject_public_key_info));
    AMAZON_KEYS.contains(&data_encoding::HEXLOWER.encode(key.as_ref()).as_str())
}

impl TrustAnchors {
    /// Reads the contents of one or several PEM files. An unreadable root is skipped, because one bad root in a large
    /// store must not prevent all logins.
    pub fn from_pem<'a>(files: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, AnchorsError> {
        let mut store = RootCertStore::empty();
        let mut certificates = Vec::new();
        let mut size = 0_usize;
        for pem in files {
            size = size.saturating_add(pem.len());
            for der in CertificateDer::pem_slice_iter(without_mark(pem)).flatten() {
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

    /// Keeps only the roots of Amazon Trust Services.
    pub fn of_amazon(self) -> Result<Self, AnchorsError> {
        let count = self.count();
        let pairs = self.store.roots.into_iter().zip(self.certificates);
        let (roots, certificates) = pairs.filter(|(root, _)| is_amazon(root)).unzip();
        let amazon = Self { store: RootCertStore { roots }, certificates };
        if amazon.certificates.is_empty() { Err(AnchorsError::NotAmazon(count)) } else { Ok(amazon) }
    }

    /// The number of roots.
    #[must_use]
    pub fn count(&self) -> usize {
        self.certificates.len()
    }

    pub(super) fn as_slice(&self) -> &[TrustAnchor<'static>] {
        &self.store.roots
    }

    /// The root certificate of the anchor with this index in [`as_slice`](Self::as_slice).
    pub(super) fn certificate(&self, place: usize) -> Option<Certificate> {
        Certificate::parse(self.certificates.get(place)?.clone()).ok()
    }
}
