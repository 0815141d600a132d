//! Records of the requests, in the order of the responses.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// The most requests that are kept. The limit bounds the memory of a long `serve`.
const REMEMBERED: usize = 100_000;

/// The listener of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Instance metadata.
    Imds,
    /// The AWS API.
    Api,
    /// The EC2 Instance Connect Endpoint.
    Endpoint,
}

/// One request and its result.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// The listener.
    pub service: Service,
    /// The connection's number on that listener, from 1.
    pub connection: u64,
    /// The method. Empty if the request could not be read.
    pub method: String,
    /// The path and the query, as sent.
    pub path: String,
    /// The header fields, as sent.
    pub headers: Vec<(String, String)>,
    /// The status of the response. `None` if a fault took over the connection.
    pub status: Option<u16>,
    /// The name of the fault that applied.
    pub fault: Option<&'static str>,
    /// The instant at which the emulator chose the response.
    pub at: Instant,
}

impl fmt::Display for RequestRecord {
    /// Prints one line. Text from the client is escaped.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let service = match self.service {
            Service::Imds => "imds",
            Service::Api => "api",
            Service::Endpoint => "endpoint",
        };
        // The signature of a tunnel is long, and a session token is for the service only.
        let path = self.path.split("&X-Amz-").next().unwrap_or_default();
        let (method, path) = (self.method.escape_debug(), path.escape_debug());
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
