//! Why a run made no decision.

use std::fmt;

use eic_core::evidence::chain::ChainError;
use eic_core::identity::MalformedName;
use eic_core::reason::Reason;
use eic_core::verification::SignerError;
use eic_host::instance::Machine;
use eic_host::trust_store::TrustStoreError;

use crate::imds::ImdsError;

/// Why a run made no decision.
#[derive(Debug)]
pub enum RunError {
    /// A request failed.
    Imds(ImdsError),
    /// The instance id is malformed.
    InstanceId(MalformedName),
    /// The region is malformed.
    Region(MalformedName),
    /// The domain belongs to no partition.
    Domain(MalformedName),
    /// The signer's certificates cannot be read.
    Chain(ChainError),
    /// There are no trust anchors.
    TrustStore(TrustStoreError),
    /// The trust store was not opened in time.
    TrustStoreLate,
    /// The signer is not proven.
    Signer(SignerError),
    /// The kernel provided no socket or timer.
    Runtime(std::io::Error),
    /// The error that a capture recorded for a request.
    Captured(Reason, String),
}

impl RunError {
    /// The stable reason of this failure.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Imds(error) => error.reason(),
            Self::InstanceId(_) => Reason::InstanceIdMalformed,
            Self::Region(_) => Reason::RegionMalformed,
            Self::Domain(_) => Reason::DomainUnknown,
            Self::Chain(error) => error.reason(),
            Self::TrustStore(error) => error.reason(),
            Self::TrustStoreLate => Reason::TrustStoreUnusable,
            Self::Signer(error) => error.reason(),
            Self::Runtime(_) => Reason::MetadataUnreachable,
            Self::Captured(reason, _) => *reason,
        }
    }
}

impl RunError {
    /// The same error, with the id of the instance on which it occurred, if its message needs it.
    #[must_use]
    pub fn on(self, machine: &Machine) -> Self {
        match self {
            Self::Imds(error) => Self::Imds(error.on(machine)),
            other => other,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imds(error) => error.fmt(f),
            Self::InstanceId(error) | Self::Region(error) | Self::Domain(error) => {
                write!(f, "metadata: {error}; does another program answer instead of the metadata service?")
            }
            Self::Chain(error) => error.fmt(f),
            Self::TrustStore(error) => error.fmt(f),
            Self::TrustStoreLate => f.write_str("the trust store could not be opened in time"),
            Self::Signer(error) => error.fmt(f),
            Self::Runtime(error) => write!(f, "cannot set up networking: {error}"),
            Self::Captured(_, detail) => f.write_str(detail),
        }
    }
}

impl From<ImdsError> for RunError {
    fn from(error: ImdsError) -> Self {
        Self::Imds(error)
    }
}
