//! Extracts from a capture the same evidence as a run has. The capture is from a file, or was fetched just now.

use eic_core::decision::{Evidence, SignerEvidence};
use eic_core::evidence::chain::SignerChain;
use eic_core::evidence::key_bundle::KeyBundle;
use eic_core::evidence::ocsp::{MAX_STAPLES, OcspError, OcspStaple};
use eic_core::identity::{Domain, InstanceId, LoginName, Pins, Region, SignerName};
use eic_core::reason::Reason;
use eic_host::trust_store::TrustStore;
use eic_login::fetch::lost_staples::LostStaples;
use eic_login::fetch::staple_fetch::STAPLES;
use eic_login::fetch::{
    DOMAIN, INSTANCE_ID, REGION, RunError, SIGNER_CERT, USERS, ZONE, domain_from, keys_path, region_from,
};
use eic_login::imds::ImdsError;

use crate::capture::document::{Capture, CapturedAnswer, Item};

/// The evidence to verify the keys of this user. For a user without keys, the bundle is empty.
pub(crate) fn evidence(
    capture: &Capture,
    user: &LoginName,
    trust: &TrustStore,
) -> Result<Evidence, RunError> {
    let keys = keys(capture, user)?.unwrap_or_default();
    let chain = chain(capture)?;
    let (staples, unreadable_staples) = staples(capture);
    let anchors = trust.load().map_err(RunError::TrustStore)?;
    Ok(Evidence { signer: SignerEvidence { chain, staples, unreadable_staples, anchors }, keys })
}

/// The users whose keys were requested.
pub(crate) fn users(capture: &Capture) -> Vec<LoginName> {
    let names = capture.items.iter().filter_map(|item| item.path.strip_prefix(USERS)?.strip_suffix('/'));
    names.filter_map(|name| LoginName::try_from(name).ok()).collect()
}

/// The instance id: from the machine's firmware, or if that has none, from metadata.
pub(crate) fn instance_id(capture: &Capture) -> Result<InstanceId, RunError> {
    let own = capture.machine.as_deref().and_then(|machine| InstanceId::try_from(machine).ok());
    own.map_or_else(|| metadata_instance_id(capture), Ok)
}

/// The instance id from metadata.
pub(crate) fn metadata_instance_id(capture: &Capture) -> Result<InstanceId, RunError> {
    InstanceId::try_from(required(capture, INSTANCE_ID)?.as_str()).map_err(RunError::InstanceId)
}

/// The name of the expected signer. Region and domain come from the pins, or if these are not set, from metadata.
pub(crate) fn signer_name(capture: &Capture, pins: &Pins) -> Result<SignerName, RunError> {
    let region = pins.region.clone().map_or_else(|| region(capture), Ok)?;
    let domain = pins.domain.clone().map_or_else(|| domain(capture), Ok)?;
    Ok(SignerName::of_service(&region, &domain))
}

/// The region from metadata. If metadata has no region, the region of the availability zone from metadata.
pub(crate) fn region(capture: &Capture) -> Result<Region, RunError> {
    match text(capture, REGION)? {
        Some(region) => region_from(Some(&region), None),
        None => region_from(None, Some(&required(capture, ZONE)?)),
    }
}

/// The domain from metadata.
pub(crate) fn domain(capture: &Capture) -> Result<Domain, RunError> {
    domain_from(&required(capture, DOMAIN)?)
}

/// The signer's certificates from metadata.
pub(crate) fn chain(capture: &Capture) -> Result<SignerChain, RunError> {
    let pem = body(capture, SIGNER_CERT)?.ok_or_else(|| missing(SIGNER_CERT))?;
    SignerChain::parse(&pem).map_err(RunError::Chain)
}

/// The staples, and the errors of those that cannot be parsed. A staple that was cut off counts as not served; see
/// [`lost_staples`].
pub(crate) fn staples(capture: &Capture) -> (Vec<OcspStaple>, Vec<OcspError>) {
    let (mut staples, mut unreadable) = (Vec::new(), Vec::new());
    for item in staple_items(capture) {
        let (false, CapturedAnswer::Body(bytes)) = (item.cut, item.answer()) else { continue };
        match OcspStaple::parse(&bytes) {
            Ok(staple) => staples.push(staple),
            Err(error) => unreadable.push(error),
        }
    }
    (staples, unreadable)
}

/// The staples that were not served, and their list if it was not served, each with a reason and a detail.
pub(crate) fn lost_staples(capture: &Capture) -> LostStaples<(Reason, String)> {
    let mut lost = LostStaples::default();
    for item in capture.item(STAPLES).into_iter().chain(staple_items(capture)) {
        let name = item.path.strip_prefix(STAPLES).unwrap_or_default().to_owned();
        match item.answer() {
            CapturedAnswer::Failed(reason, detail) => lost.push(name, (reason, detail)),
            CapturedAnswer::Body(_) if item.cut => {
                lost.push(name, (Reason::MetadataMalformed, too_long(&item.path)));
            }
            _ => {}
        }
    }
    lost
}

fn staple_items(capture: &Capture) -> impl Iterator<Item = &Item> {
    let is_staple = |item: &&Item| item.path.len() > STAPLES.len() && item.path.starts_with(STAPLES);
    capture.items.iter().filter(is_staple).take(MAX_STAPLES)
}

/// The keys that were pushed for this user. `None` if there are none.
pub(crate) fn keys(capture: &Capture, user: &LoginName) -> Result<Option<KeyBundle>, RunError> {
    let path = keys_path(user);
    let cut = capture.item(&path).is_some_and(|item| item.cut);
    let bytes = match body(capture, &path) {
        // A bundle that is too long is verified up to the limit, as in a run.
        Err(_) if cut => match capture.answer(&path) {
            CapturedAnswer::Body(head) => Some(head),
            _ => None,
        },
        came => came?,
    };
    Ok(bytes.map(|bytes| if cut { KeyBundle::parse_cut(&bytes) } else { KeyBundle::parse(&bytes) }))
}

fn body(capture: &Capture, path: &str) -> Result<Option<Vec<u8>>, RunError> {
    let cut = capture.item(path).is_some_and(|item| item.cut);
    match capture.answer(path) {
        CapturedAnswer::Body(_) if cut => Err(RunError::Captured(Reason::MetadataMalformed, too_long(path))),
        CapturedAnswer::Body(bytes) => Ok(Some(bytes)),
        CapturedAnswer::Absent => Ok(None),
        CapturedAnswer::Failed(reason, detail) => Err(RunError::Captured(reason, detail)),
    }
}

fn text(capture: &Capture, path: &str) -> Result<Option<String>, RunError> {
    let Some(bytes) = body(capture, path)? else { return Ok(None) };
    let text = String::from_utf8(bytes)
        .map_err(|_| RunError::Imds(ImdsError::Malformed(path.to_owned(), "it is not UTF-8".to_owned())))?;
    Ok(Some(text.trim().to_owned()))
}

fn required(capture: &Capture, path: &str) -> Result<String, RunError> {
    text(capture, path)?.ok_or_else(|| missing(path))
}

fn too_long(path: &str) -> String {
    format!("the answer for {path} is longer than any answer of the metadata service")
}

fn missing(path: &str) -> RunError {
    RunError::Imds(ImdsError::Missing(path.to_owned()))
}
