//! Fetches what the metadata service has to say, in as few requests and round trips as it takes.
//!
//! | round | requests |
//! | --- | --- |
//! | 1 | token |
//! | 2 | this user's keys; 404 ends the run here |
//! | 3 | region, domain, signer certificates (and the instance id where the machine does not know it) |
//! | 4 | the path's staples, by the names that they normally have |
//! | 5, 6 | only when one of those is missing or does not hold: the list of staples, and the rest of them |

use std::fmt;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::decision::{Decision, Evidence, Expectations, decide};
use crate::evidence::chain::{ChainError, MAX_CHAIN_BYTES, SignerChain};
use crate::evidence::key_bundle::{KeyBundle, MAX_BUNDLE_BYTES};
use crate::evidence::ocsp::{MAX_STAPLE_BYTES, MAX_STAPLES, OcspStaple};
use crate::identity::{Domain, Fingerprint, InstanceId, LoginName, NotA, Region, SignerName};
use crate::imds::{ImdsError, Session};
use crate::instance::Machine;
use crate::reason::Reason;
use crate::time::Timestamp;
use crate::trust_store::{TrustStore, TrustStoreError};
use crate::verification::{SignerError, certificates_to_staple};

/// Longest of the short items, in bytes.
const MAX_ITEM_BYTES: usize = 1024;

/// Longest list of staple names, in bytes.
const MAX_LIST_BYTES: usize = 16 * 1024;

const INSTANCE_ID: &str = "/latest/meta-data/instance-id/";
const REGION: &str = "/latest/meta-data/placement/region/";
const ZONE: &str = "/latest/meta-data/placement/availability-zone/";
const DOMAIN: &str = "/latest/meta-data/services/domain/";
const SIGNER_CERT: &str = "/latest/meta-data/managed-ssh-keys/signer-cert/";
const STAPLES: &str = "/latest/meta-data/managed-ssh-keys/signer-ocsp/";

/// Why a run came to no decision.
#[derive(Debug)]
pub(super) enum RunError {
    Imds(ImdsError),
    InstanceId(NotA),
    Region(NotA),
    Domain(NotA),
    Chain(ChainError),
    TrustStore(TrustStoreError),
    Signer(SignerError),
    Runtime(std::io::Error),
}

impl RunError {
    pub(super) const fn reason(&self) -> Reason {
        match self {
            Self::Imds(error) => error.reason(),
            Self::InstanceId(_) => Reason::InstanceIdMalformed,
            Self::Region(_) => Reason::RegionMalformed,
            Self::Domain(_) => Reason::DomainUnknown,
            Self::Chain(error) => error.reason(),
            Self::TrustStore(error) => error.reason(),
            Self::Signer(error) => error.reason(),
            Self::Runtime(_) => Reason::MetadataUnreachable,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Imds(error) => error.fmt(f),
            Self::InstanceId(error) | Self::Region(error) | Self::Domain(error) => {
                write!(f, "metadata: {error}; is something else answering in place of the metadata service?")
            }
            Self::Chain(error) => error.fmt(f),
            Self::TrustStore(error) => error.fmt(f),
            Self::Signer(error) => error.fmt(f),
            Self::Runtime(error) => write!(f, "cannot set up networking: {error}"),
        }
    }
}

impl From<ImdsError> for RunError {
    fn from(error: ImdsError) -> Self {
        Self::Imds(error)
    }
}

/// What to ask for.
#[derive(Debug)]
pub(super) struct Request<'r> {
    pub(super) user: &'r LoginName,
    pub(super) machine: &'r Machine,
    pub(super) trust: &'r TrustStore,
    pub(super) offered: Option<Fingerprint>,
    pub(super) now: Timestamp,
}

/// Fetches the evidence about this user's keys and judges it. None where no key is pushed.
pub(super) async fn decide_from_metadata(
    session: Session,
    request: Request<'_>,
) -> Result<Option<Decision>, RunError> {
    let session = Arc::new(session);
    let keys_path = format!("/latest/meta-data/managed-ssh-keys/active-keys/{}/", request.user);
    let Some(keys) = session.get(&keys_path, MAX_BUNDLE_BYTES).await? else { return Ok(None) };

    let (instance, signer, chain) = tokio::try_join!(
        instance_id(&session, request.machine),
        signer_name(&session),
        signer_chain(&session),
    )?;
    let anchors = request.trust.load().map_err(RunError::TrustStore)?;
    let path = certificates_to_staple(&chain, &anchors, &signer, request.now).map_err(RunError::Signer)?;
    let names: Vec<_> = path.iter().map(crate::evidence::chain::Certificate::staple_name).collect();

    let mut evidence = Evidence {
        chain,
        staples: Vec::new(),
        unreadable_staples: Vec::new(),
        keys: KeyBundle::parse(&keys),
        anchors,
    };
    let expected = Expectations { signer, instance, offered: request.offered };
    fetch_staples(&session, &names, &mut evidence).await?;
    match decide(&evidence, &expected, request.now) {
        Ok(decision) => Ok(Some(decision)),
        // The names are only where to look first. Once they were named otherwise, and the staples were there.
        Err(SignerError::Revocation(..)) => {
            let others = listed_staples(&session, &names).await?;
            fetch_staples(&session, &others, &mut evidence).await?;
            decide(&evidence, &expected, request.now).map(Some).map_err(RunError::Signer)
        }
        Err(error) => Err(RunError::Signer(error)),
    }
}

async fn instance_id(session: &Session, machine: &Machine) -> Result<InstanceId, RunError> {
    if let Machine::Known(id) = machine {
        return Ok(id.clone());
    }
    let id = required(session, INSTANCE_ID).await?;
    InstanceId::try_from(id.as_str()).map_err(RunError::InstanceId)
}

async fn signer_name(session: &Session) -> Result<SignerName, RunError> {
    let region = async {
        match session.get_text(REGION, MAX_ITEM_BYTES).await? {
            Some(region) => Region::try_from(region.as_str()).map_err(RunError::Region),
            // Older regions' metadata has no such item.
            None => Region::of_zone(&required(session, ZONE).await?).map_err(RunError::Region),
        }
    };
    let domain = async {
        let domain = required(session, DOMAIN).await?;
        Domain::try_from(domain.as_str()).map_err(RunError::Domain)
    };
    let (region, domain) = tokio::try_join!(region, domain)?;
    Ok(SignerName::of_service(&region, &domain))
}

async fn signer_chain(session: &Session) -> Result<SignerChain, RunError> {
    let pem = session.get(SIGNER_CERT, MAX_CHAIN_BYTES).await?;
    let pem = pem.ok_or_else(|| ImdsError::Missing(SIGNER_CERT.to_owned()))?;
    SignerChain::parse(&pem).map_err(RunError::Chain)
}

async fn required(session: &Session, path: &str) -> Result<String, RunError> {
    let item = session.get_text(path, MAX_ITEM_BYTES).await?;
    item.ok_or_else(|| ImdsError::Missing(path.to_owned()).into())
}

/// Fetches these staples side by side. One that is absent or unreadable is not yet an error: the decision
/// says what it was needed for.
async fn fetch_staples(
    session: &Arc<Session>,
    names: &[String],
    evidence: &mut Evidence,
) -> Result<(), RunError> {
    let mut requests = JoinSet::new();
    for name in names {
        let session = Arc::clone(session);
        let path = format!("{STAPLES}{name}");
        requests.spawn(async move { session.get(&path, MAX_STAPLE_BYTES).await });
    }
    while let Some(finished) = requests.join_next().await {
        // A task that was cancelled or has panicked has fetched nothing.
        let Ok(answer) = finished else { continue };
        match answer?.as_deref().map(OcspStaple::parse) {
            Some(Ok(staple)) => evidence.staples.push(staple),
            Some(Err(error)) => evidence.unreadable_staples.push(error),
            None => {}
        }
    }
    Ok(())
}

/// The names of the staples that were not asked for yet.
async fn listed_staples(session: &Session, asked: &[String]) -> Result<Vec<String>, RunError> {
    let list = session.get_text(STAPLES, MAX_LIST_BYTES).await?.unwrap_or_default();
    Ok(list
        .lines()
        .map(str::trim)
        .filter(|name| is_staple_name(name) && !asked.iter().any(|known| known == name))
        .take(MAX_STAPLES)
        .map(str::to_owned)
        .collect())
}

/// A name that stays below the folder that it is listed in.
fn is_staple_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::is_staple_name;

    #[test]
    fn staple_names_stay_in_their_folder() {
        for good in ["7FBA1D3C", "abc.der", "a_b-c"] {
            assert!(is_staple_name(good), "{good}");
        }
        for bad in ["", ".", "..", ".x", "a/b", "../x", "a b", "a?b", "a%2fb"] {
            assert!(!is_staple_name(bad), "{bad}");
        }
    }
}
