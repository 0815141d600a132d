//! Asks the metadata service for everything that a judgement can need, whatever each answer is.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::task::JoinSet;

use super::super::gather::{
    DOMAIN, INSTANCE_ID, MAX_ITEM_BYTES, REGION, SIGNER_CERT, USERS, ZONE, keys_path,
};
use super::super::stapling::{MAX_LIST_BYTES, STAPLES, is_staple_name};
use crate::capture::{self, Answer, Capture, Item};
use crate::evidence::chain::{Certificate, MAX_CHAIN_BYTES, SignerChain};
use crate::evidence::key_bundle::MAX_BUNDLE_BYTES;
use crate::evidence::ocsp::{MAX_STAPLE_BYTES, MAX_STAPLES};
use crate::identity::LoginName;
use crate::imds::{Endpoint, ImdsError, Session};
use crate::instance::Machine;
use crate::order;
use crate::time::Timestamp;

/// Most users whose keys are fetched.
const MAX_USERS: usize = 32;

/// What is fetched, and when.
pub(in crate::commands) struct Wanted<'w> {
    pub(in crate::commands) endpoints: &'w [Endpoint],
    pub(in crate::commands) allowed: Duration,
    pub(in crate::commands) machine: &'w Machine,
    /// Whose keys; all that the service lists where none is named.
    pub(in crate::commands) users: &'w [LoginName],
    pub(in crate::commands) now: Timestamp,
}

/// What was fetched.
pub(in crate::commands) struct Fetched {
    pub(in crate::commands) capture: Capture,
    /// How long the token took.
    pub(in crate::commands) token: Duration,
    /// This machine's clock when the token came.
    pub(in crate::commands) greeted: Timestamp,
    /// What stands between us and the service, where it says so.
    pub(in crate::commands) via: Option<String>,
    /// Why there is not even a token; the capture says it, too.
    pub(in crate::commands) refused: Option<ImdsError>,
}

/// Fetches it all.
pub(in crate::commands) fn fetch(wanted: &Wanted<'_>) -> Fetched {
    let started = Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let fetched = match runtime {
        Ok(runtime) => runtime.block_on(everything(wanted)),
        Err(error) => Err(ImdsError::Unreachable("the network".to_owned(), error.to_string())),
    };
    fetched.unwrap_or_else(|error| {
        let token = started.elapsed();
        let mut capture = Capture::new(wanted.now, name_of(wanted.machine));
        capture.items.push(Item::new(
            capture::TOKEN,
            milliseconds(token),
            Answer::Failed(error.reason(), error.to_string()),
        ));
        Fetched { capture, token, greeted: wanted.now, via: None, refused: Some(error) }
    })
}

async fn everything(wanted: &Wanted<'_>) -> Result<Fetched, ImdsError> {
    let started = Instant::now();
    let session = Arc::new(Session::open(wanted.endpoints, wanted.allowed).await?);
    let token = started.elapsed();
    let greeted = Timestamp::from(SystemTime::now());
    let mut capture = Capture::new(wanted.now, name_of(wanted.machine));
    capture.endpoint = Some(session.endpoint().to_string());
    capture.date.clone_from(&session.greeting().date);
    capture.server.clone_from(&session.greeting().server);
    let via = session.greeting().via.clone();

    let mut first: Vec<_> =
        [INSTANCE_ID, REGION, ZONE, DOMAIN].map(|path| (path.to_owned(), MAX_ITEM_BYTES)).into();
    first.extend([(SIGNER_CERT.to_owned(), MAX_CHAIN_BYTES), (STAPLES.to_owned(), MAX_LIST_BYTES)]);
    if wanted.users.is_empty() {
        first.push((USERS.to_owned(), MAX_LIST_BYTES));
    }
    first.extend(wanted.users.iter().map(|user| (keys_path(user), MAX_BUNDLE_BYTES)));
    capture.items = items(&session, first).await;

    let mut second: Vec<_> = staple_names(&capture)
        .into_iter()
        .map(|name| (format!("{STAPLES}{name}"), MAX_STAPLE_BYTES))
        .collect();
    if wanted.users.is_empty() {
        second.extend(listed_users(&capture).iter().map(|user| (keys_path(user), MAX_BUNDLE_BYTES)));
    }
    capture.items.extend(items(&session, second).await);
    Ok(Fetched { capture, token, greeted, via, refused: None })
}

/// How the machine calls itself.
fn name_of(machine: &Machine) -> Option<String> {
    match machine {
        Machine::Known(id) => Some(id.to_string()),
        Machine::Xen => Some("xen".to_owned()),
        Machine::NotEc2 => None,
    }
}

/// Asks for these side by side; gives them in the order in which they were asked for.
async fn items(session: &Arc<Session>, wanted: Vec<(String, usize)>) -> Vec<Item> {
    let mut requests = JoinSet::new();
    for (number, (path, limit)) in wanted.into_iter().enumerate() {
        let session = Arc::clone(session);
        requests.spawn(async move { (number, item(&session, &path, limit).await) });
    }
    let mut came = Vec::new();
    while let Some(done) = requests.join_next().await {
        // A task that has panicked or was cancelled has fetched nothing.
        came.extend(done);
    }
    order::by_key(came, |(number, _)| *number).into_iter().map(|(_, item)| item).collect()
}

async fn item(session: &Session, path: &str, limit: usize) -> Item {
    let started = Instant::now();
    let came = session.get_head(path, limit).await;
    let cut = came.as_ref().is_ok_and(|body| body.as_ref().is_some_and(|body| body.cut));
    let answer = match came {
        Ok(Some(body)) => Answer::Body(body.bytes),
        Ok(None) => Answer::Absent,
        Err(error) => Answer::Failed(error.reason(), error.to_string()),
    };
    let mut item = Item::new(path, milliseconds(started.elapsed()), answer);
    item.cut = cut;
    item
}

/// With two places.
pub(in crate::commands) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// The staples that the signer's certificates normally have, listed or not, and those that are listed.
fn staple_names(capture: &Capture) -> Vec<String> {
    let mut listed = lines(capture, STAPLES);
    listed.retain(|name| is_staple_name(name));
    let mut names = Vec::new();
    if let Answer::Body(pem) = capture.answer(SIGNER_CERT) {
        if let Ok(chain) = SignerChain::parse(&pem) {
            names.extend(chain.certificates().iter().map(Certificate::staple_name));
        }
    }
    listed.retain(|name| !names.contains(name));
    names.extend(listed);
    names.truncate(MAX_STAPLES);
    names
}

fn listed_users(capture: &Capture) -> Vec<LoginName> {
    let names = lines(capture, USERS);
    let users = names.iter().filter_map(|name| LoginName::try_from(name.trim_end_matches('/')).ok());
    users.take(MAX_USERS).collect()
}

fn lines(capture: &Capture, path: &str) -> Vec<String> {
    let Answer::Body(list) = capture.answer(path) else { return Vec::new() };
    String::from_utf8_lossy(&list)
        .lines()
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}
