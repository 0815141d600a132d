//! Faults that a test injects: the behaviour instead of the usual response, the requests it affects, and how often.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::http::{Action, Request, Response, Wire};
use crate::record::Service;

/// A behaviour instead of the usual response.
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
    /// A fault for one metadata path, with or without a trailing slash. A path that does not begin with a slash is
    /// relative to `/latest/meta-data/`.
    pub fn at(path: &str) -> Self {
        Self::new(Service::Imds, Place::At(normal(&absolute(path))))
    }

    /// A fault for every metadata path that begins with `path`.
    pub fn below(path: &str) -> Self {
        Self::new(Service::Imds, Place::Below(absolute(path)))
    }

    /// A fault for token requests.
    pub fn token() -> Self {
        Self::at("/latest/api/token")
    }

    /// A fault for every metadata request.
    pub fn everywhere() -> Self {
        Self::new(Service::Imds, Place::Everywhere)
    }

    /// A fault for every API request.
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

    /// Limits the fault to this method.
    #[must_use]
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Sends this status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        self.respond(Response::status(status))
    }

    /// Sends this response.
    #[must_use]
    pub fn respond(mut self, response: Response) -> Self {
        self.action = Some(Action::Respond(response));
        self
    }

    /// Passes the connection to `behaviour`.
    #[must_use]
    pub fn raw(
        mut self,
        behaviour: impl Fn(&mut Wire, &Request) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        self.action = Some(Action::Raw(Arc::new(behaviour)));
        self
    }

    /// Waits before the response. Without another action, the usual response follows.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Skips this many matching requests before the fault starts.
    #[must_use]
    pub fn after(mut self, requests: u32) -> Self {
        self.skipped = requests;
        self
    }

    /// Applies to the first of every `requests` matching requests. With 100, it applies to 1 %.
    #[must_use]
    pub fn every(mut self, requests: u32) -> Self {
        self.every = requests.max(1);
        self
    }

    /// Sets the name of the fault in the request records.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Self {
        self.name = name;
        self
    }

    /// Ends the fault after this many requests. By default a fault has no end.
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

/// The effect of a fault on one request.
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

    /// The oldest active fault that matches the request. Updates the counters of faults.
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
