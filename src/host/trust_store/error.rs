//! Why there are no trusted roots.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use eic_core::reason::Reason;
use eic_core::verification::AnchorsError;

use crate::ownership::Insecure;

/// Why there are no roots.
#[derive(Debug, Clone)]
pub enum TrustStoreError {
    /// A file or directory cannot be read.
    Unreadable(PathBuf, Arc<io::Error>),
    /// Users other than root can change a file or directory.
    Insecure(PathBuf, Arc<Insecure>),
    /// A directory holds no hashed certificate.
    NotHashed(PathBuf),
    /// No source of the distribution has roots. Holds the errors of the sources that exist.
    NoneFound(Vec<Self>),
    /// The files contain no root.
    Anchors(PathBuf, AnchorsError),
}

impl TrustStoreError {
    /// The stable reason of this error.
    #[must_use]
    pub fn reason(&self) -> Reason {
        if self.is_insecure() { Reason::TrustStoreInsecure } else { Reason::TrustStoreUnusable }
    }

    /// Whether a file or directory is there and cannot be read.
    #[must_use]
    pub fn is_unreadable(&self) -> bool {
        match self {
            Self::Unreadable(_, error) => error.kind() != io::ErrorKind::NotFound,
            Self::NoneFound(tried) => tried.iter().any(Self::is_unreadable),
            Self::Insecure(..) | Self::NotHashed(_) | Self::Anchors(..) => false,
        }
    }

    fn is_insecure(&self) -> bool {
        match self {
            Self::Insecure(..) => true,
            Self::NoneFound(tried) => tried.iter().any(Self::is_insecure),
            Self::Unreadable(..) | Self::NotHashed(_) | Self::Anchors(..) => false,
        }
    }

    /// A command that fixes the cause, if there is one.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Insecure(_, insecure) => insecure.remedy(),
            Self::NoneFound(tried) => tried.iter().find_map(Self::remedy),
            Self::Unreadable(..) | Self::NotHashed(_) | Self::Anchors(..) => None,
        }
    }
}

impl fmt::Display for TrustStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "the trust store {} cannot be read: {error}", path.display())
            }
            Self::NotHashed(path) => {
                write!(f, "{} holds no hashed certificate; run: openssl rehash {0}", path.display())
            }
            Self::Insecure(path, insecure) => write!(f, "the trust store {}: {insecure}", path.display()),
            // Do not advise to install the package: it may be installed already.
            Self::NoneFound(tried) if self.is_unreadable() => {
                f.write_str("no CA certificates can be read")?;
                tried.iter().try_for_each(|why| write!(f, "; {why}"))
            }
            Self::NoneFound(tried) => {
                f.write_str("no CA certificates found; install the package ca-certificates")?;
                tried.iter().try_for_each(|why| write!(f, "; {why}"))
            }
            Self::Anchors(path, error) => write!(f, "the trust store {}: {error}", path.display()),
        }
    }
}
