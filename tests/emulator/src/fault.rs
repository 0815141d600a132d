//! Faults on request: what happens instead of the usual answer, where, and how often.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::http::{Action, Request, Response, Wire};
use crate::record::Service;

/// A departure from the usual answer.
#[derive(Clone)]
pub struct Fault {
    service: Service,
    method: Option<String>,
    place: Place,
    name: &'static str,
    skipped: u32,
    every: u32,
    passed: u32,
    remaining: Option<u32>,
    delay: Duration,
    action: Option<Action>,
}

#[derive(Clone)]
enum Place {
    Everywhere,
    At(String),
    Below(String),
}

impl Fault {
    /// On the metadata path given, with or without a trailing slash. A path that does not begin with a
    /// slash is below `/latest/meta-data/`.
    pub fn at(path: &str) -> Self {
        Self::new(Service::Imds, Place::At(normal(&absolute(path))))
    }

    /// On every metadata path that begins so.
    pub fn below(path: &str) -> Self {
        Self::new(Service::Imds, Place::Below(absolute(path)))
    }

    /// On the request for a token.
    pub fn token() -> Self {
        Self::at("/latest/api/token")
    }

    /// On every metadata request.
    pub fn everywhere() -> Self {
        Self::new(Service::Imds, Place::Everywhere)
    }

    /// On every API request.
    pub fn api() -> Self {
        Self::new(Service::Api, Place::Everywhere)
    }

    fn new(service: Service, place: Place) -> Self {
        Self {
            service,
            method: None,
            place,
            name: "fault",
            skipped: 0,
            every: 1,
            passed: 0,
            remaining: None,
            delay: Duration::ZERO,
            action: None,
        }
    }

    /// Only for this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Answers with this status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.respond(Response::status(status))
    }

    /// Answers with this response.
    #[must_use]
    pub fn respond(mut self, response: Response) -> Self {
        self.action = Some(Action::Respond(response));
        self
    }

    /// Hands the connection over.
    #[must_use]
    pub fn raw(
        mut self,
        behaviour: impl Fn(&mut Wire, &Request) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.action = Some(Action::Raw(Arc::new(behaviour)));
        self
    }

    /// Waits before answering. Without anything else, the usual answer follows.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Lets this many requests pass before it begins.
    #[must_use]
    pub fn after(mut self, requests: u32) -> Self {
        self.skipped = requests;
        self
    }

    /// Strikes only every so many requests, the first of them included: 1 % of them with 100.
    #[must_use]
    pub fn every(mut self, requests: u32) -> Self {
        self.every = requests.max(1);
        self
    }

    /// The name that the records give to what it did.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Ends after this many requests. Without it, it stays.
    #[must_use]
    pub fn times(mut self, requests: u32) -> Self {
        self.remaining = Some(requests);
        self
    }

    fn matches(&self, service: Service, request: &Request) -> bool {
        self.service == service
            && self.method.as_ref().is_none_or(|method| *method == request.method)
            && match &self.place {
                Place::Everywhere => true,
                Place::At(path) => normal(&request.path()) == *path,
                Place::Below(prefix) => request.path().starts_with(prefix.as_str()),
            }
    }
}

/// What a fault asks for at one request.
pub(crate) struct Injected {
    pub(crate) name: &'static str,
    pub(crate) delay: Duration,
    pub(crate) action: Option<Action>,
}

#[derive(Default)]
pub(crate) struct Faults(Mutex<Vec<Fault>>);

impl Faults {
    pub(crate) fn add(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The first fault that is in force here, counted down.
    pub(crate) fn next(&self, service: Service, request: &Request) -> Option<Injected> {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in faults.iter_mut().filter(|fault| fault.matches(service, request)) {
            if fault.skipped > 0 {
                fault.skipped -= 1;
                continue;
            }
            let nth = fault.passed;
            fault.passed = (nth + 1) % fault.every;
            if nth != 0 {
                continue;
            }
            if let Some(remaining) = &mut fault.remaining {
                let Some(fewer) = remaining.checked_sub(1) else { continue };
                *remaining = fewer;
            }
            return Some(Injected { name: fault.name, delay: fault.delay, action: fault.action.clone() });
        }
        None
    }
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/latest/meta-data/{path}") }
}

fn normal(path: &str) -> String {
    path.trim_end_matches('/').to_owned()
}
