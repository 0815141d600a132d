//! Fetches everything from the metadata service that a verification can need. A failed request does not stop the
//! others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use eic_core::evidence::chain::{Certificate, MAX_CHAIN_BYTES, SignerChain};
use eic_core::evidence::key_bundle::MAX_BUNDLE_BYTES;
use eic_core::evidence::ocsp::{MAX_STAPLE_BYTES, MAX_STAPLES};
use eic_core::identity::LoginName;
use eic_core::order;
use eic_core::time::Timestamp;
use eic_host::clock;
use eic_host::instance::Machine;
use eic_login::fetch::staple_fetch::{MAX_LIST_BYTES, STAPLES, is_staple_name};
use eic_login::fetch::{DOMAIN, INSTANCE_ID, MAX_ITEM_BYTES, REGION, SIGNER_CERT, USERS, ZONE, keys_path};
use eic_login::imds::{Endpoint, ImdsError, ImdsSession};
use tokio::task::JoinSet;

use crate::capture::document::{self, Capture, CapturedAnswer, Item};
use crate::metadata::ask;

/// Maximum number of users whose keys are fetched.
const MAX_USERS: usize = 32;

/// What to fetch, and when.
pub(crate) struct CaptureRequest<'w> {
    pub(crate) endpoints: &'w [Endpoint],
    pub(crate) allowed: Duration,
    pub(crate) machine: &'w Machine,
    /// Users whose keys are fetched. If empty, all users that the service lists.
    pub(crate) users: &'w [LoginName],
    pub(crate) now: Timestamp,
}

/// The result of [`fetch`].
pub(crate) struct Fetched {
    pub(crate) capture: Capture,
    /// How long the request for the token took.
    pub(crate) token: Duration,
    /// This machine's time when the token arrived.
    pub(crate) greeted: Timestamp,
    /// The `Via` header of the answer. A proxy between us and the service adds it.
    pub(crate) via: Option<String>,
    /// Why there is no token. The capture contains this error too.
    pub(crate) refused: Option<ImdsError>,
}

/// Fetches all items. Without a token, the capture contains only that error.
pub(crate) fn fetch(wanted: &CaptureRequest<'_>) -> Fetched {
    let started = Instant::now();
    ask(everything(wanted)).map_err(|error| error.on(wanted.machine)).unwrap_or_else(|error| {
        let token = started.elapsed();
        let mut capture = Capture::new(wanted.now, name_of(wanted.machine));
        capture.items.push(Item::new(
            document::TOKEN,
            milliseconds(token),
            CapturedAnswer::Failed(error.reason(), error.to_string()),
        ));
        Fetched { capture, token, greeted: wanted.now, via: None, refused: Some(error) }
    })
}

async fn everything(wanted: &CaptureRequest<'_>) -> Result<Fetched, ImdsError> {
    let started = Instant::now();
    let session = Arc::new(ImdsSession::open(wanted.endpoints, wanted.allowed).await?);
    let token = started.elapsed();
    let greeted = clock::now();
    let mut capture = Capture::new(wanted.now, name_of(wanted.machine));
    capture.endpoint = Some(session.endpoint().to_string());
    capture.date.clone_from(&session.greeting().date);
    capture.server.clone_from(&session.greeting().server);
    let via = session.greeting().via.clone();

    capture.items = Asking::new(Arc::clone(&session), wanted.users).items().await;
    Ok(Fetched { capture, token, greeted, via, refused: None })
}

/// The machine's name for a capture: its instance id, or `xen`.
fn name_of(machine: &Machine) -> Option<String> {
    match machine {
        Machine::Known(id) => Some(id.to_string()),
        Machine::Xen => Some("xen".to_owned()),
        Machine::NotEc2 => None,
    }
}

/// The concurrent requests. When an answer names further items, these are requested at once. A request that hangs does
/// not delay the others, as in a login.
struct Asking {
    session: Arc<ImdsSession>,
    requests: JoinSet<(usize, Item)>,
    asked: Vec<String>,
    came: Vec<(usize, Item)>,
    /// Whether to fetch the keys of all users that the service lists.
    lists_users: bool,
}

impl Asking {
    fn new(session: Arc<ImdsSession>, users: &[LoginName]) -> Self {
        let (requests, lists_users) = (JoinSet::new(), users.is_empty());
        let mut asking = Self { session, requests, asked: Vec::new(), came: Vec::new(), lists_users };
        for path in [INSTANCE_ID, REGION, ZONE, DOMAIN] {
            asking.request(path.to_owned(), MAX_ITEM_BYTES);
        }
        asking.request(SIGNER_CERT.to_owned(), MAX_CHAIN_BYTES);
        asking.request(STAPLES.to_owned(), MAX_LIST_BYTES);
        if lists_users {
            asking.request(USERS.to_owned(), MAX_LIST_BYTES);
        }
        for user in users {
            asking.request(keys_path(user), MAX_BUNDLE_BYTES);
        }
        asking
    }

    /// Requests a path, unless it was requested before.
    fn request(&mut self, path: String, limit: usize) {
        if self.asked.contains(&path) {
            return;
        }
        let (number, session) = (self.asked.len(), Arc::clone(&self.session));
        self.asked.push(path.clone());
        self.requests.spawn(async move { (number, item(&session, &path, limit).await) });
    }

    /// All items, in the order of the requests.
    async fn items(mut self) -> Vec<Item> {
        while let Some(done) = self.requests.join_next().await {
            // A task that panicked or was cancelled has no item.
            let Ok((number, item)) = done else { continue };
            let path = item.path.clone();
            self.came.push((number, item));
            match path.as_str() {
                // Request the signer's own staples first: the list may be longer than MAX_STAPLES.
                SIGNER_CERT | STAPLES => {
                    let mut names = self.own_names();
                    if self.answer(SIGNER_CERT).is_some() {
                        names.extend(self.lines(STAPLES).into_iter().filter(|name| is_staple_name(name)));
                    }
                    for name in names {
                        let count = self.asked.iter().filter(|path| path.starts_with(STAPLES)).count();
                        if count <= MAX_STAPLES {
                            self.request(format!("{STAPLES}{name}"), MAX_STAPLE_BYTES);
                        }
                    }
                }
                USERS if self.lists_users => {
                    let names = self.lines(USERS);
                    let users =
                        names.iter().filter_map(|name| LoginName::try_from(name.trim_end_matches('/')).ok());
                    for user in users.take(MAX_USERS) {
                        self.request(keys_path(&user), MAX_BUNDLE_BYTES);
                    }
                }
                _ => {}
            }
        }
        order::by_key(self.came, |(number, _)| *number).into_iter().map(|(_, item)| item).collect()
    }

    fn answer(&self, path: &str) -> Option<CapturedAnswer> {
        self.came.iter().find(|(_, item)| item.path == path).map(|(_, item)| item.answer())
    }

    /// The usual names of the staples of the signer's certificates, listed or not.
    fn own_names(&self) -> Vec<String> {
        let Some(CapturedAnswer::Body(pem)) = self.answer(SIGNER_CERT) else { return Vec::new() };
        let Ok(chain) = SignerChain::parse(&pem) else { return Vec::new() };
        chain.certificates().iter().map(Certificate::staple_name).collect()
    }

    fn lines(&self, path: &str) -> Vec<String> {
        let Some(CapturedAnswer::Body(list)) = self.answer(path) else { return Vec::new() };
        let lines =
            String::from_utf8_lossy(&list).lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
        lines.into_iter().filter(|line| !line.is_empty()).collect()
    }
}

async fn item(session: &ImdsSession, path: &str, limit: usize) -> Item {
    let started = Instant::now();
    let came = session.get_head(path, limit).await;
    let cut = came.as_ref().is_ok_and(|body| body.as_ref().is_some_and(|body| body.cut));
    let answer = match came {
        Ok(Some(body)) => CapturedAnswer::Body(body.bytes),
        Ok(None) => CapturedAnswer::Absent,
        Err(error) => CapturedAnswer::Failed(error.reason(), error.to_string()),
    };
    let mut item = Item::new(path, milliseconds(started.elapsed()), answer);
    item.cut = cut;
    item
}

/// Milliseconds, rounded to two decimal places.
pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}
