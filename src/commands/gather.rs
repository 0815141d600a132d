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
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::Clock;
use crate::decision::{Decision, Evidence, Expectations, decide};
use crate::evidence::chain::{Certificate, ChainError, MAX_CHAIN_BYTES, SignerChain};
use crate::evidence::key_bundle::{KeyBundle, MAX_BUNDLE_BYTES};
use crate::evidence::ocsp::{MAX_STAPLE_BYTES, MAX_STAPLES, OcspStaple};
use crate::identity::{Domain, Fingerprint, InstanceId, LoginName, NotA, Region, SignerName};
use crate::imds::{ImdsError, Session};
use crate::instance::Machine;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::trust_store::{TrustStore, TrustStoreError};
use crate::verification::{RevocationError, RevocationPolicy, SignerError, certificates_to_staple};

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
    pub(super) fn reason(&self) -> Reason {
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
    pub(super) policy: Policy,
    pub(super) revocation: RevocationPolicy,
    pub(super) clock: &'r Clock,
}

/// Fetches the evidence about this user's keys and judges it. None where nothing is pushed that sshd could be
/// given.
pub(super) async fn decide_from_metadata(
    session: Session,
    request: Request<'_>,
) -> Result<Option<Decision>, RunError> {
    let session = Arc::new(session);
    let Some(keys) = pushed_keys(&session, request.user).await? else { return Ok(None) };
    // Every offer of another key costs these two requests and no more.
    let is_asked_for = request.offered.as_ref().is_none_or(|offered| keys.may_hold(offered));
    if keys.entries().is_empty() || !is_asked_for {
        return Ok(None);
    }
    let (instance, signer, chain) = tokio::try_join!(
        instance_id(&session, request.machine),
        signer_name(&session),
        signer_chain(&session),
    )?;
    let anchors = request.trust.load().map_err(RunError::TrustStore)?;
    let path =
        certificates_to_staple(&chain, &anchors, &signer, request.clock.now()).map_err(RunError::Signer)?;
    let evidence = Evidence { chain, staples: Vec::new(), unreadable_staples: Vec::new(), keys, anchors };
    let expected = Expectations {
        signer,
        instance,
        offered: request.offered,
        policy: request.policy,
        revocation: request.revocation,
    };
    Stapling { session, clock: request.clock, evidence, expected, requests: JoinSet::new(), lost: None }
        .decide(&path)
        .await
        .map(Some)
}

/// Everything but the staples, which are fetched until the decision stands.
struct Stapling<'c> {
    session: Arc<Session>,
    clock: &'c Clock,
    evidence: Evidence,
    expected: Expectations,
    requests: JoinSet<Result<Option<Vec<u8>>, ImdsError>>,
    /// Why the first staple that did not come did not.
    lost: Option<ImdsError>,
}

impl Stapling<'_> {
    /// First the path's staples, by the names that they normally have. The names are only where to look
    /// first: once they were named otherwise, and the staples were there. So where a staple is missing or
    /// does not hold, the others of the list are fetched, too.
    async fn decide(mut self, path: &[Certificate]) -> Result<Decision, RunError> {
        let names: Vec<_> = path.iter().map(Certificate::staple_name).collect();
        self.request(&names);
        // Half of the time for these leaves half for the others; a name that never answers costs no login.
        let patience = self.session.remaining().checked_div(2).unwrap_or_default();
        if let Some(decision) = self.until_decided(names.len(), patience).await? {
            return Ok(decision);
        }
        let others = match listed_staples(&self.session, path, &names).await {
            Ok(others) => others,
            Err(error) => {
                self.lost.get_or_insert(error);
                Vec::new()
            }
        };
        self.request(&others);
        let patience = self.session.remaining();
        if let Some(decision) = self.until_decided(1, patience).await? {
            return Ok(decision);
        }
        self.judge().map_err(|error| match (error, self.lost.take()) {
            // No staple, since none could be had: that is what to tell.
            (SignerError::Revocation(_, RevocationError::Missing(_)), Some(lost)) => RunError::Imds(lost),
            (error, _) => RunError::Signer(error),
        })
    }

    fn request(&mut self, names: &[String]) {
        for name in names {
            let session = Arc::clone(&self.session);
            let path = format!("{STAPLES}{name}");
            self.requests.spawn(async move { session.get(&path, MAX_STAPLE_BYTES).await });
        }
    }

    /// Takes staples in as they come, and judges from the `least`th on; a decision that lacks nothing ends
    /// the wait. None where all have come, or the time is over, without one.
    async fn until_decided(
        &mut self,
        least: usize,
        patience: Duration,
    ) -> Result<Option<Decision>, RunError> {
        let end = Instant::now().checked_add(patience);
        let mut came = 0_usize;
        loop {
            let remaining = end.map_or(patience, |end| end.saturating_duration_since(Instant::now()));
            match timeout(remaining, self.requests.join_next()).await {
                Ok(Some(Ok(answer))) => self.take_in(answer),
                // A task that was cancelled or has panicked has fetched nothing.
                Ok(Some(Err(_))) => {}
                Ok(None) | Err(_) => return Ok(None),
            }
            came = came.saturating_add(1);
            if came < least {
                continue;
            }
            match self.judge() {
                Ok(decision) if decision.signer().unstapled().next().is_none() => return Ok(Some(decision)),
                Ok(_) | Err(SignerError::Revocation(..)) => {}
                Err(error) => return Err(RunError::Signer(error)),
            }
        }
    }

    /// A staple that does not come, or cannot be read, is not yet an error: the decision says what it was
    /// needed for.
    fn take_in(&mut self, answer: Result<Option<Vec<u8>>, ImdsError>) {
        match answer {
            Ok(Some(bytes)) => match OcspStaple::parse(&bytes) {
                Ok(staple) => self.evidence.staples.push(staple),
                Err(error) => self.evidence.unreadable_staples.push(error),
            },
            Ok(None) => {}
            Err(error) => {
                self.lost.get_or_insert(error);
            }
        }
    }

    fn judge(&self) -> Result<Decision, SignerError> {
        decide(&self.evidence, &self.expected, self.clock.now())
    }
}

async fn pushed_keys(session: &Session, user: &LoginName) -> Result<Option<KeyBundle>, RunError> {
    let path = format!("/latest/meta-data/managed-ssh-keys/active-keys/{user}/");
    let body = session.get_head(&path, MAX_BUNDLE_BYTES).await?;
    Ok(body
        .map(|body| if body.cut { KeyBundle::parse_cut(&body.bytes) } else { KeyBundle::parse(&body.bytes) }))
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

/// The names of the staples that were not asked for yet: the path's own by SHA-256 first, then whatever
/// looks like a fingerprint, then the rest.
async fn listed_staples(
    session: &Session,
    path: &[Certificate],
    asked: &[String],
) -> Result<Vec<String>, ImdsError> {
    let list = session.get_text(STAPLES, MAX_LIST_BYTES).await?.unwrap_or_default();
    let names =
        list.lines().map(str::trim).filter(|name| is_staple_name(name) && !asked.iter().any(|a| a == name));
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    let own: Vec<_> = path.iter().map(Certificate::sha256_name).collect();
    names.sort_by_key(|name| {
        let is_hex = matches!(name.len(), 40 | 64) && name.bytes().all(|b| b.is_ascii_hexdigit());
        (!own.iter().any(|own| own.eq_ignore_ascii_case(name)), !is_hex)
    });
    names.truncate(MAX_STAPLES);
    Ok(names)
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
