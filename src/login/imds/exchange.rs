//! One request: attempts at each endpoint in turn, until there is a usable answer or the deadline passes.

use std::time::Duration;

use eic_core::text::{MAX_SHOWN, printable, printable_bytes};
use reqwest::header::{DATE, HeaderMap, SERVER, VIA};
use reqwest::{Client, Method, StatusCode};
use tokio::time::{Instant, sleep, timeout};

use super::endpoint::Endpoint;
use super::error::ImdsError;
use super::retry::{BROKEN_ATTEMPTS, attempt_time, connect_time, pause};

/// Maximum number of bytes of header names and values in an answer. Real answers have about 300.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Headers of the answer that contained the token, printable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerHeaders {
    /// `Date` (RFC 9110, section 6.6.1): the clock of the service.
    pub date: Option<String>,
    /// `Server`. The service sends `EC2ws`.
    pub server: Option<String>,
    /// `Via` (RFC 9110, section 7.6.3): a proxy between the agent and the service.
    pub via: Option<String>,
}

/// The run's deadline.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestDeadline {
    pub(super) deadline: Instant,
    pub(super) allowed: Duration,
}

impl RequestDeadline {
    /// The deadline `allowed` after `begun`.
    pub(super) fn since(begun: std::time::Instant, allowed: Duration) -> Self {
        let begun = Instant::from_std(begun);
        Self { deadline: begun.checked_add(allowed).unwrap_or(begun), allowed }
    }
}

pub(super) struct ImdsResponse {
    pub(super) status: StatusCode,
    pub(super) greeting: ServerHeaders,
    pub(super) body: Vec<u8>,
    pub(super) cut: bool,
}

/// Why one attempt gave no usable answer.
pub(super) enum AttemptError {
    /// No connection: refused, or no route.
    Connect(String),
    /// No answer to the connect. A packet was lost, or a filter drops all packets.
    Unanswered,
    /// A connection without a complete HTTP answer.
    Broken(String),
    /// No answer in time.
    Silent,
    /// 429 or 5xx.
    Overload(u16),
    /// The answer exceeds a limit. A retry would exceed it too.
    Bound(String),
}

/// Sends a request until there is a usable answer or the deadline passes. If a connect fails, the next endpoint is
/// tried at once. A pause follows when all endpoints have failed.
pub(super) async fn exchange<'e>(
    client: &Client,
    endpoints: &'e [Endpoint],
    method: Method,
    path: &str,
    headers: &HeaderMap,
    limit: usize,
    clock: RequestDeadline,
) -> Result<(ImdsResponse, &'e Endpoint), ImdsError> {
    let mut last = AttemptError::Silent;
    let mut broken = 0_u32;
    for attempt in 0_u32.. {
        let mut unheard = false;
        for (place, endpoint) in endpoints.iter().enumerate() {
            let is_last = place.saturating_add(1) == endpoints.len();
            let remaining = clock.deadline.saturating_duration_since(Instant::now());
            if remaining.is_zero() {
                return Err(last.at_deadline(path, endpoints, clock.allowed));
            }
            let attempt_timeout = attempt_time(remaining, is_last);
            let request = client.request(method.clone(), endpoint.url(path)).headers(headers.clone());
            let outcome = timeout(attempt_timeout, attempt_once(request, limit)).await;
            last = match outcome {
                Ok(Ok(answer)) => return Ok((answer, endpoint)),
                Ok(Err(failure)) => failure,
                // The deadline may cut off the last attempt. An earlier overload is the better explanation.
                Err(_) if matches!(last, AttemptError::Overload(_)) => last,
                // Also keep the earlier error if no endpoint was connected and the time was too short even for a
                // connect.
                Err(_) if last.is_unconnected() && attempt_timeout <= connect_time(clock.allowed) => last,
                Err(_) => AttemptError::Silent,
            };
            unheard |= matches!(last, AttemptError::Unanswered);
            if !last.is_unconnected() {
                break;
            }
        }
        // An endpoint that did not answer may still answer. So try again until the deadline, even if the other
        // endpoint refused the connection.
        if unheard && last.is_unconnected() {
            last = AttemptError::Unanswered;
        }
        match &last {
            AttemptError::Bound(why) => return Err(ImdsError::Malformed(path.to_owned(), why.clone())),
            AttemptError::Connect(_) | AttemptError::Broken(_) => broken = broken.saturating_add(1),
            AttemptError::Silent | AttemptError::Unanswered | AttemptError::Overload(_) => {}
        }
        if broken >= BROKEN_ATTEMPTS {
            return Err(last.given_up(path, endpoints));
        }
        let remaining = clock.deadline.saturating_duration_since(Instant::now());
        sleep(pause(attempt).min(remaining)).await;
    }
    Err(last.at_deadline(path, endpoints, clock.allowed))
}

pub(super) async fn attempt_once(
    request: reqwest::RequestBuilder,
    limit: usize,
) -> Result<ImdsResponse, AttemptError> {
    let mut response = request.send().await.map_err(|error| AttemptError::of(&error))?;
    let status = response.status();
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return Err(AttemptError::Overload(status.as_u16()));
    }
    let header_bytes = response.headers().iter().fold(0_usize, |sum, (name, value)| {
        sum.saturating_add(name.as_str().len()).saturating_add(value.len())
    });
    if header_bytes > MAX_HEADER_BYTES {
        return Err(AttemptError::Bound(format!(
            "expected at most {MAX_HEADER_BYTES} bytes of headers, got {header_bytes}"
        )));
    }
    let greeting = ServerHeaders::of(response.headers());
    // The body of another status is not used, and may be endless.
    if status != StatusCode::OK {
        return Ok(ImdsResponse { status, greeting, body: Vec::new(), cut: false });
    }
    // Reserve the whole limit, so that nothing is copied as the body grows. The kernel provides only the pages that
    // are used.
    let mut body = Vec::with_capacity(limit);
    while let Some(chunk) = response.chunk().await.map_err(|error| AttemptError::of(&error))? {
        if body.len().saturating_add(chunk.len()) > limit {
            body.extend_from_slice(chunk.get(..limit.saturating_sub(body.len())).unwrap_or(&chunk));
            return Ok(ImdsResponse { status, greeting, body, cut: true });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(ImdsResponse { status, greeting, body, cut: false })
}

impl ServerHeaders {
    fn of(headers: &HeaderMap) -> Self {
        let value = |name| headers.get(name).map(|value| printable_bytes(value.as_bytes(), MAX_SHOWN));
        Self { date: value(DATE), server: value(SERVER), via: value(VIA) }
    }
}

impl AttemptError {
    fn of(error: &reqwest::Error) -> Self {
        match (error.is_connect(), error.is_timeout()) {
            (true, true) => Self::Unanswered,
            (true, false) => Self::Connect(innermost(error)),
            (false, _) => Self::Broken(innermost(error)),
        }
    }

    const fn is_unconnected(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Unanswered)
    }

    fn words(&self) -> String {
        match self {
            Self::Connect(why) | Self::Broken(why) | Self::Bound(why) => why.clone(),
            Self::Unanswered => "no answer to the attempt to connect".to_owned(),
            Self::Silent => "nothing received".to_owned(),
            Self::Overload(status) => format!("status {status}"),
        }
    }

    fn at_deadline(&self, path: &str, endpoints: &[Endpoint], allowed: Duration) -> ImdsError {
        match self {
            Self::Overload(status) => ImdsError::Throttled(path.to_owned(), *status),
            Self::Connect(_) | Self::Unanswered => self.given_up(path, endpoints),
            other => ImdsError::Timeout { path: path.to_owned(), allowed, last: other.words() },
        }
    }

    fn given_up(&self, path: &str, endpoints: &[Endpoint]) -> ImdsError {
        match self {
            Self::Connect(_) | Self::Unanswered => {
                let tried: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
                ImdsError::Unreachable(tried.join(" or "), self.words())
            }
            other => ImdsError::Malformed(path.to_owned(), other.words()),
        }
    }
}

/// The innermost cause of an error. It is the most specific one.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    printable(&cause.to_string(), 120)
}
