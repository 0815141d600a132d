//! Fetches the evidence from the metadata service in as few requests and round trips as possible.
//!
//! | round | requests |
//! | --- | --- |
//! | 1 | token |
//! | 2 | this user's keys; 404 ends the run here |
//! | 3 | region and domain unless the settings pin them, signer certificates (and the instance id if the machine does not provide it) |
//! | 4 | the path's staples, by their usual names |
//! | 5, 6 | only if one of those is missing or not valid: the list of staples, and the other staples |
//!
//! With a remembered token, round 1 is left out. With remembered evidence, rounds 3 to 6 are left out too. If the
//! remembered signer did not sign an entry, round 3 shows whether the service has another one.

pub mod lost_staples;
pub mod remembered;
mod run_error;
pub mod staple_fetch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use eic_core::decision::{Decision, Expectations, SignerEvidence, decide_under};
use eic_core::evidence::chain::{MAX_CHAIN_BYTES, SignerChain};
use eic_core::evidence::key_bundle::{KeyBundle, MAX_BUNDLE_BYTES};
use eic_core::fingerprint::Fingerprint;
use eic_core::identity::{Domain, InstanceId, LoginName, Pins, Region, SignerName};
use eic_core::policy::Policy;
use eic_core::time::Timestamp;
use eic_core::verification::{Budget, RevocationPolicy, SignerPath, TrustAnchors};
use eic_host::instance::Machine;
use eic_host::trust_store::OpenStore;
use tokio::time::timeout;

use self::remembered::Judged;
pub use self::run_error::RunError;
use self::staple_fetch::{ProvenSigner, StapleFetch};
use crate::Clock;
use crate::imds::{Body, Endpoint, ImdsError, ImdsSession};
use crate::memory::{Learned, Recalled, SignerBytes};

/// Maximum size of an item that is one name, such as the region, in bytes.
pub const MAX_ITEM_BYTES: usize = 1024;

/// Path of the instance id.
pub const INSTANCE_ID: &str = "/latest/meta-data/instance-id/";
/// Path of the region.
pub const REGION: &str = "/latest/meta-data/placement/region/";
/// Path of the availability zone. Older regions do not provide the region item.
pub const ZONE: &str = "/latest/meta-data/placement/availability-zone/";
/// Path of the domain of the partition's services.
pub const DOMAIN: &str = "/latest/meta-data/services/domain/";
/// The folder with a key bundle for each user.
pub const USERS: &str = "/latest/meta-data/managed-ssh-keys/active-keys/";
/// Path of the signer's certificates.
pub const SIGNER_CERT: &str = "/latest/meta-data/managed-ssh-keys/signer-cert/";

/// Where a run asks for metadata, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service<'r> {
    /// The endpoints, in the order in which they are tried.
    pub(crate) endpoints: &'r [Endpoint],
    /// The start of the run.
    pub(crate) begun: Instant,
    /// The time limit of the run.
    pub(crate) allowed: Duration,
    /// How long later runs remember what this run requested.
    pub(crate) remember: Duration,
}

/// The inputs of a decision.
#[derive(Debug)]
pub struct Request<'r> {
    /// The login name.
    pub user: &'r LoginName,
    /// What the machine's firmware reports.
    pub machine: &'r Machine,
    /// The trust store. `None` if it could not be opened in time.
    pub trust: Option<&'r OpenStore>,
    /// The key that the client offers, if sshd passed its SHA-256 fingerprint.
    pub offered: Option<Fingerprint>,
    /// This instance's rules.
    pub policy: Policy,
    /// How to treat a certificate without a staple.
    pub revocation: RevocationPolicy,
    /// The pinned parts of the signer's name. Metadata cannot change them.
    pub pins: Pins,
    /// The clock of the run.
    pub clock: &'r Clock,
}

/// The result of a run's requests.
pub(crate) struct Found {
    /// The decision. `None` if no pushed key can match.
    pub(crate) decision: Option<Decision>,
    /// What the run learned, for the memory.
    pub(crate) learned: Learned,
}

/// Fetches the evidence about the user's keys and decides.
///
/// Remembered evidence is judged like fresh evidence, and it can only help. Fresh evidence is requested if no signer is
/// proven with the remembered one. It is also requested if the remembered signer did not sign an entry. If the service
/// still has the same signer, the entry is bad. So no refusal depends on remembered evidence alone.
pub(crate) async fn decide_from_metadata(
    service: Service<'_>,
    request: &Request<'_>,
    recalled: &Recalled,
) -> Result<Found, RunError> {
    let (session, keys) = first_answer(service, request.user, recalled).await?;
    let Some(keys) = keys else { return Ok(Found::of(None, None, &session, recalled).await) };
    // A login attempt with another key costs only these requests.
    if !can_match(&keys, request.offered.as_ref()) {
        return Ok(Found::of(None, None, &session, recalled).await);
    }
    let mut machine = request.machine.clone();
    let mut unsigned = None;
    if let Some(remembered) = recalled.signer() {
        let instance = instance_id(&session, &machine).await?;
        machine = Machine::Known(instance.clone());
        match remembered::judge(&remembered, &keys, request, instance) {
            Judged::Decided(decision) => {
                return Ok(Found::of(Some(decision), None, &session, recalled).await);
            }
            Judged::Unsigned(judgement) => unsigned = Some(judgement),
            Judged::Unproven => {}
        }
    }
    let (instance, (region, domain), (pem, chain)) = tokio::try_join!(
        instance_id(&session, &machine),
        signer_parts(&session, &request.pins),
        signer_chain(&session),
    )?;
    let name = SignerName::of_service(&region, &domain);
    if let Some(judgement) = unsigned.filter(|judgement| judgement.is_valid(&pem, &chain, &name)) {
        return Ok(Found::of(Some(judgement.decide(&keys)), None, &session, recalled).await);
    }
    let trust = request.trust.ok_or(RunError::TrustStoreLate)?;
    let expected = request.expectations(name, instance);
    let budget = Budget::default();
    let (anchors, path, more_roots) =
        path_to_staple(trust, &chain, &expected.signer, request.clock.now(), &budget)?;
    let evidence = SignerEvidence { chain, staples: Vec::new(), unreadable_staples: Vec::new(), anchors };
    let fetch = StapleFetch::new(
        Arc::clone(&session),
        request.clock,
        evidence,
        &expected,
        (path, &budget),
        more_roots,
    );
    let ProvenSigner { signer, staples } = fetch.prove().await?;
    // If the service lacks a staple, the evidence is not remembered: the service may have that staple later.
    let is_whole = signer.unstapled().next().is_none();
    let region = request.pins.region.is_none().then_some(region);
    let domain = request.pins.domain.is_none().then_some(domain);
    let bytes = is_whole.then_some(SignerBytes { region, domain, chain: pem, staples });
    // Decide about the entries only once: there may be thousands.
    let decision = decide_under(signer, &keys, &expected, &budget);
    Ok(Found::of(Some(decision), bytes, &session, recalled).await)
}

impl Found {
    async fn of(
        decision: Option<Decision>,
        signer: Option<SignerBytes>,
        session: &ImdsSession,
        recalled: &Recalled,
    ) -> Self {
        let value = session.token().await;
        let is_new = recalled.token.as_ref().is_none_or(|(token, _)| token.value != value);
        let token = is_new.then(|| (value, session.lifetime()));
        Self { decision, learned: Learned { endpoint: session.endpoint().clone(), token, signer } }
    }
}

/// Whether one of these keys can be the offered one. If not, a run requests no evidence.
#[must_use]
pub fn can_match(keys: &KeyBundle, offered: Option<&Fingerprint>) -> bool {
    !keys.entries().is_empty() && offered.is_none_or(|offered| keys.may_hold(offered))
}

/// Requests the user's keys, with a remembered token if there is one.
///
/// If no answer comes soon, this also requests a new token and the keys with it. The first answer counts. So a
/// remembered token cannot make a run late.
async fn first_answer(
    service: Service<'_>,
    user: &LoginName,
    recalled: &Recalled,
) -> Result<(Arc<ImdsSession>, Option<KeyBundle>), RunError> {
    let Service { endpoints, begun, allowed, remember } = service;
    let path = keys_path(user);
    let resumed = recalled.token.as_ref().and_then(|(token, endpoint)| {
        ImdsSession::resume(begun, endpoint.clone(), &token.value, allowed, remember)
    });
    let Some(session) = resumed.map(Arc::new) else {
        let session = ImdsSession::open_since(begun, endpoints, allowed, remember).await?;
        return pushed_keys(session, &path).await;
    };
    let asked = session.ask(&path, MAX_BUNDLE_BYTES);
    tokio::pin!(asked);
    let early = timeout(session.patience(), &mut asked).await;
    if let Ok(Some(body)) = &early {
        return Ok((Arc::clone(&session), body.as_ref().map(bundle)));
    }
    let anew = async { pushed_keys(session.renewed(endpoints).await?, &path).await };
    if early.is_ok() {
        return anew.await;
    }
    tokio::pin!(anew);
    tokio::select! {
        biased;
        Some(body) = &mut asked => Ok((Arc::clone(&session), body.as_ref().map(bundle))),
        result = &mut anew => result,
    }
}

/// Requests the user's keys with a new token.
async fn pushed_keys(
    session: ImdsSession,
    path: &str,
) -> Result<(Arc<ImdsSession>, Option<KeyBundle>), RunError> {
    let body = session.get_head(path, MAX_BUNDLE_BYTES).await?;
    Ok((Arc::new(session), body.as_ref().map(bundle)))
}

impl Request<'_> {
    fn expectations(&self, signer: SignerName, instance: InstanceId) -> Expectations {
        Expectations {
            signer,
            instance,
            offered: self.offered.clone(),
            policy: self.policy.clone(),
            revocation: self.revocation,
        }
    }
}

fn bundle(body: &Body) -> KeyBundle {
    if body.cut { KeyBundle::parse_cut(&body.bytes) } else { KeyBundle::parse(&body.bytes) }
}

/// Finds the path whose staples are needed. Also returns the roots of the search, and the trust store if it has
/// further roots.
fn path_to_staple<'t>(
    trust: &'t OpenStore,
    chain: &SignerChain,
    signer: &SignerName,
    now: Timestamp,
    budget: &Budget,
) -> Result<(TrustAnchors, SignerPath, Option<&'t OpenStore>), RunError> {
    let search = |anchors: TrustAnchors| {
        SignerPath::find(chain, &anchors, signer, now, budget).map(|path| (anchors, path))
    };
    if let Some(Ok((anchors, path))) = trust.issuers(chain).map(search) {
        return Ok((anchors, path, Some(trust)));
    }
    // Search with all roots. The error message must consider all of them.
    let (anchors, path) = search(trust.load().map_err(RunError::TrustStore)?).map_err(RunError::Signer)?;
    Ok((anchors, path, None))
}

/// The path of the user's keys.
#[must_use]
pub fn keys_path(user: &LoginName) -> String {
    format!("{USERS}{user}/")
}

async fn instance_id(session: &ImdsSession, machine: &Machine) -> Result<InstanceId, RunError> {
    if let Machine::Known(id) = machine {
        return Ok(id.clone());
    }
    let id = required(session, INSTANCE_ID).await?;
    InstanceId::try_from(id.as_str()).map_err(RunError::InstanceId)
}

/// Pinned parts are not requested: metadata cannot change them, and fewer requests are needed.
async fn signer_parts(session: &ImdsSession, pins: &Pins) -> Result<(Region, Domain), RunError> {
    let region = async {
        match &pins.region {
            Some(region) => Ok(region.clone()),
            None => match session.get_text(REGION, MAX_ITEM_BYTES).await? {
                Some(region) => region_from(Some(&region), None),
                // The metadata of older regions has no such item.
                None => region_from(None, Some(&required(session, ZONE).await?)),
            },
        }
    };
    let domain = async {
        match &pins.domain {
            Some(domain) => Ok(domain.clone()),
            None => domain_from(&required(session, DOMAIN).await?),
        }
    };
    tokio::try_join!(region, domain)
}

/// Parses the region, or derives it from the zone if there is no region item.
pub fn region_from(region: Option<&str>, zone: Option<&str>) -> Result<Region, RunError> {
    let region = match region {
        Some(region) => Region::try_from(region),
        None => Region::of_zone(zone.unwrap_or_default()),
    };
    region.map_err(RunError::Region)
}

/// Parses the domain of the partition's services.
pub fn domain_from(domain: &str) -> Result<Domain, RunError> {
    Domain::try_from(domain).map_err(RunError::Domain)
}

/// The signer's certificates, as they were sent and parsed.
async fn signer_chain(session: &ImdsSession) -> Result<(Vec<u8>, SignerChain), RunError> {
    let pem = session.get(SIGNER_CERT, MAX_CHAIN_BYTES).await?;
    let pem = pem.ok_or_else(|| ImdsError::Missing(SIGNER_CERT.to_owned()))?;
    let chain = SignerChain::parse(&pem).map_err(RunError::Chain)?;
    Ok((pem, chain))
}

async fn required(session: &ImdsSession, path: &str) -> Result<String, RunError> {
    let item = session.get_text(path, MAX_ITEM_BYTES).await?;
    item.ok_or_else(|| ImdsError::Missing(path.to_owned()).into())
}
