//! Records of the requests, in the order of the responses.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::http::request::{shown_headers, shown_target};

/// The most requests that are kept. The limit bounds the memory of a long `serve`.
const REMEMBERED: usize = 100_000;
/// The most bytes of clients that they have together. One request can have almost a megabyte.
const LONGEST: usize = 32 * 1024 * 1024;

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

/// One request and its result. `Debug` shows neither session tokens nor signatures.
#[derive(Clone)]
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
        let path = shown_target(&self.path);
        let (method, path) = (self.method.escape_debug(), path.escape_debug());
        write!(formatter, "{service} #{} {method} {path} ", self.connection)?;
        match self.status {
            Some(status) => write!(formatter, "{status}"),
            None => formatter.write_str("(raw)"),
        }
    }
}

impl fmt::Debug for RequestRecord {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, connection, method, path, headers, status, fault, at } = self;
        formatter
            .debug_struct("RequestRecord")
            .field("service", service)
            .field("connection", connection)
            .field("method", method)
            .field("path", &shown_target(path))
            .field("headers", &shown_headers(headers))
            .field("status", status)
            .field("fault", fault)
            .field("at", at)
            .finish()
    }
}

impl RequestRecord {
    /// The length of the texts from the client, in bytes.
    fn length(&self) -> usize {
        let fields = self.headers.iter().map(|(name, value)| name.len() + value.len());
        self.method.len() + self.path.len() + fields.sum::<usize>()
    }
}

/// The newest records.
#[derive(Debug, Default)]
pub(crate) struct Records(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    records: VecDeque<RequestRecord>,
    /// The sum of their lengths.
    length: usize,
}

impl Records {
    pub(crate) fn push(&self, record: RequestRecord) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.length += record.length();
        kept.records.push_back(record);
        while kept.records.len() > REMEMBERED || kept.length > LONGEST {
            let Some(oldest) = kept.records.pop_front() else { break };
            kept.length -= oldest.length();
        }
    }

    pub(crate) fn take(&self) -> Vec<RequestRecord> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).records.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Request;

    fn record(path: &str, headers: Vec<(String, String)>) -> RequestRecord {
        RequestRecord {
            service: Service::Endpoint,
            connection: 1,
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers,
            status: Some(101),
            fault: None,
            at: Instant::now(),
        }
    }

    #[test]
    fn long_requests_leave_fewer_records() {
        let records = Records::default();
        let headers = vec![("a".to_owned(), "x".repeat(8000)); 100];
        for number in 0..200 {
            records.push(record(&number.to_string(), headers.clone()));
        }
        let kept = records.take();
        let bytes: usize = kept.iter().flat_map(|own| &own.headers).map(|(_, value)| value.len()).sum();
        assert!(bytes < 64 * 1024 * 1024, "{bytes} bytes of {} records", kept.len());
        assert_eq!(kept.last().map(|own| own.path.as_str()), Some("199"));
        records.push(record("/", Vec::new()));
        assert_eq!(records.take().len(), 1);
    }

    #[test]
    fn secrets_of_a_request_are_not_shown() {
        let headers = [("Authorization", "AWS4 s3cr3t"), ("x-amz-SECURITY-token", "s3cr3t"), ("Host", "a")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let mut record = record("", headers);
        for path in [
            "/openTunnel?remotePort=22&X-Amz-Security-Token=s3cr3t&X-Amz-Signature=s3cr3t&a=b",
            "/openTunnel?X-Amz-Security-Token=s3cr3t&remotePort=22&a=b",
            "/openTunnel?x%2Damz-security-token=s3cr3t&remotePort=22&a=b",
        ] {
            path.clone_into(&mut record.path);
            let request =
                Request { target: path.to_owned(), headers: record.headers.clone(), ..Request::default() };
            let (line, debug) = (record.to_string(), format!("{record:?} {request:?}"));
            assert_eq!(line, "endpoint #1 GET /openTunnel?remotePort=22&a=b 101");
            assert!(!debug.contains("s3cr3t") && debug.contains("remotePort=22"), "{debug}");
        }
        "/openTunnel?X-Amz-Signature=s3cr3t".clone_into(&mut record.path);
        assert_eq!(record.to_string(), "endpoint #1 GET /openTunnel 101");
    }
}
