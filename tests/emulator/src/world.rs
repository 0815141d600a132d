//! The state that the listeners share: the clock, the signer, the pushed keys, the faults and the records.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::api::{Buckets, Trail};
use crate::config::Config;
use crate::entry::Entry;
use crate::fault::Faults;
use crate::http::{Action, Request, Response, Wire};
use crate::imds::Tokens;
use crate::keys::PushedKeys;
use crate::pki::{Hierarchy, Staple};
use crate::record::{Records, RequestRecord, Service};

/// A callback for each new metadata connection. If it returns false, the emulator closes the connection.
pub(crate) type Greeting = Arc<dyn Fn(&mut Wire) -> io::Result<bool> + Send + Sync>;

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) tokens: Tokens,
    pub(crate) pushed: PushedKeys,
    pub(crate) trail: Trail,
    pub(crate) account_pushes: Buckets,
    pub(crate) instance_pushes: Buckets,
    pub(crate) faults: Faults,
    pub(crate) records: Records,
    pub(crate) instance_state: Mutex<String>,
    pub(crate) instance_ports: Mutex<BTreeMap<u16, u16>>,
    clock_offset: AtomicI64,
    signer: Mutex<Signer>,
    items: Mutex<BTreeMap<String, Option<Vec<u8>>>>,
    greeting: Mutex<Option<Greeting>>,
}

struct Signer {
    hierarchy: Arc<Hierarchy>,
    staples: Staples,
}

enum Staples {
    /// Good staples, made again each hour of the emulator's clock.
    Fresh(Option<(i64, Vec<Staple>)>),
    /// Staples that a test set.
    Fixed(Vec<Staple>),
}

impl World {
    pub(crate) fn new(config: Config, hierarchy: Hierarchy) -> Self {
        Self {
            clock_offset: AtomicI64::new(config.clock_offset),
            signer: Mutex::new(Signer { hierarchy: Arc::new(hierarchy), staples: Staples::Fresh(None) }),
            instance_state: Mutex::new(config.instance_state.clone()),
            instance_ports: Mutex::new(config.instance_ports.clone()),
            config,
            tokens: Tokens::default(),
            pushed: PushedKeys::default(),
            trail: Trail::default(),
            account_pushes: Buckets::default(),
            instance_pushes: Buckets::default(),
            faults: Faults::default(),
            records: Records::default(),
            items: Mutex::default(),
            greeting: Mutex::default(),
        }
    }

    /// The time of the emulator's clock, in Unix seconds.
    pub(crate) fn now(&self) -> i64 {
        machine_time() + self.clock_offset.load(Ordering::Relaxed)
    }

    pub(crate) fn set_clock_offset(&self, seconds: i64) {
        self.clock_offset.store(seconds, Ordering::Relaxed);
    }

    pub(crate) fn hierarchy(&self) -> Arc<Hierarchy> {
        Arc::clone(&self.signer.lock().unwrap_or_else(PoisonError::into_inner).hierarchy)
    }

    pub(crate) fn set_hierarchy(&self, hierarchy: Hierarchy) {
        *self.signer.lock().unwrap_or_else(PoisonError::into_inner) =
            Signer { hierarchy: Arc::new(hierarchy), staples: Staples::Fresh(None) };
    }

    pub(crate) fn set_staples(&self, staples: Vec<Staple>) {
        self.signer.lock().unwrap_or_else(PoisonError::into_inner).staples = Staples::Fixed(staples);
    }

    pub(crate) fn staples(&self) -> Vec<Staple> {
        let now = self.now();
        let mut signer = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
        let hierarchy = Arc::clone(&signer.hierarchy);
        match &mut signer.staples {
            Staples::Fixed(staples) => staples.clone(),
            Staples::Fresh(Some((hour, staples))) if *hour == now.div_euclid(3600) => staples.clone(),
            Staples::Fresh(kept) => {
                let staples = hierarchy.staples(now);
                *kept = Some((now.div_euclid(3600), staples.clone()));
                staples
            }
        }
    }

    pub(crate) fn replaced_items(&self) -> BTreeMap<String, Option<Vec<u8>>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn replace_item(&self, path: &str, content: Option<Vec<u8>>) {
        let path = path.trim_matches('/').to_owned();
        self.items.lock().unwrap_or_else(PoisonError::into_inner).insert(path, content);
    }

    /// Signs a key for a user and puts it on the instance.
    pub(crate) fn push(&self, user: &str, key_line: &str, caller: &str, request_id: &str) {
        let expires = self.now() + self.config.key_ttl;
        let entry = Entry::new(key_line)
            .timestamp(expires)
            .instance(&self.config.instance_id)
            .caller(caller)
            .request(request_id)
            .sign(&self.hierarchy().leaf_key);
        self.pushed.push(user, expires, entry);
    }

    pub(crate) fn set_greeting(&self, greeting: Option<Greeting>) {
        *self.greeting.lock().unwrap_or_else(PoisonError::into_inner) = greeting;
    }

    /// Runs the test's callback on a new connection.
    pub(crate) fn greet(&self, wire: &mut Wire) -> bool {
        let greeting = self.greeting.lock().unwrap_or_else(PoisonError::into_inner).clone();
        greeting.is_none_or(|greeting| greeting(wire).unwrap_or(false))
    }

    /// Chooses the action of the matching fault, or else the usual one, and records the request.
    pub(crate) fn decide(
        &self,
        service: Service,
        request: &Request,
        connection: u64,
        usual: impl FnOnce() -> Action,
    ) -> (Action, Duration) {
        let injected = self.faults.next(service, request);
        let delay = injected.as_ref().map_or(Duration::ZERO, |fault| fault.delay);
        let fault = injected.as_ref().map(|fault| fault.name);
        let action = injected.and_then(|fault| fault.action).unwrap_or_else(usual);
        self.record(service, request, connection, &action, fault);
        (action, delay)
    }

    /// The action for bytes that are not a valid request.
    pub(crate) fn refuse(&self, service: Service, status: u16, connection: u64) -> Action {
        let action = Action::Respond(Response::status(status));
        self.record(service, &Request::default(), connection, &action, None);
        action
    }

    /// Records a request that got this status.
    pub(crate) fn answered(&self, service: Service, request: &Request, connection: u64, status: u16) {
        let action = Action::Respond(Response { status, ..Response::default() });
        self.record(service, request, connection, &action, None);
    }

    fn record(
        &self,
        service: Service,
        request: &Request,
        connection: u64,
        action: &Action,
        fault: Option<&'static str>,
    ) {
        let record = RequestRecord {
            service,
            connection,
            method: request.method.clone(),
            path: request.target.clone(),
            headers: request.headers.clone(),
            status: match action {
                Action::Respond(response) => Some(response.status),
                Action::Raw(_) => None,
            },
            fault,
            at: Instant::now(),
        };
        if let Some(observer) = &self.config.observer {
            observer(&record);
        }
        self.records.push(record);
    }
}

/// The time of the machine's clock, in Unix seconds.
pub(crate) fn machine_time() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).expect("a clock before the year 292 billion")
}
