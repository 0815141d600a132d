//! What was asked, in the order in which it was answered.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many requests are remembered: a long `serve` must not grow for ever.
const REMEMBERED: usize = 100_000;

/// Which of the two listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Instance metadata.
    Imds,
    /// The AWS API.
    Api,
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// Which listener.
    pub service: Service,
    /// The connection's number on that listener, from 1.
    pub connection: u64,
    /// Method, empty when the request could not be read.
    pub method: String,
    /// Path and query as sent.
    pub path: String,
    /// Header fields as sent.
    pub headers: Vec<(String, String)>,
    /// The answer's status; none when something other than an answer was sent.
    pub status: Option<u16>,
    /// The fault that struck, by its name.
    pub fault: Option<&'static str>,
    /// When it was decided upon.
    pub at: Instant,
}

impl fmt::Display for RequestRecord {
    /// One line; whatever the client sent is escaped.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = match self.service {
            Service::Imds => "imds",
            Service::Api => "api",
        };
        let (method, path) = (self.method.escape_debug(), self.path.escape_debug());
        write!(formatter, "{service} #{} {method} {path} ", self.connection)?;
        match self.status {
            Some(status) => write!(formatter, "{status}"),
            None => formatter.write_str("(raw)"),
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Records(Mutex<VecDeque<RequestRecord>>);

impl Records {
    pub(crate) fn push(&self, record: RequestRecord) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == REMEMBERED {
            records.pop_front();
        }
        records.push_back(record);
    }

    pub(crate) fn take(&self) -> Vec<RequestRecord> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}
