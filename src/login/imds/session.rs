//! One session: a token from the first endpoint that answers, and GETs with that token.

use std::time::Duration;

use eic_core::text::{MAX_SHOWN, printable, printable_bytes};
use reqwest::header::{DATE, HeaderMap, HeaderValue, SERVER, VIA};
use reqwest::{Client, Method, StatusCode};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::endpoint::Endpoint;
use super::error::ImdsError;
use super::retry::{BROKEN_ATTEMPTS, attempt_time, connect_time, pause};

/// Lifetime of a token in seconds (1 to 21,600 are allowed). It is longer than any run, and short enough that a
/// leaked token soon expires.
pub const TOKEN_TTL_SECONDS: &str = "90";

const TOKEN_PATH: &str = "/latest/api/token";

/// Longest token, in bytes. Real tokens have 56.
const MAX_TOKEN_BYTES: usize = 1024;

/// Maximum number of bytes of header names and values in an answer. Real answers have about 300.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// Maximum number of headers in an answer.
const MAX_HEADERS: usize = 64;

/// An open session with the metadata service.
#[derive(Debug)]
pub struct ImdsSession {
    client: Client,
    endpoint: Endpoint,
    clock: RequestDeadline,
    token: Mutex<Token>,
    greeting: ServerHeaders,
}

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

/// The token in use, and whether it is the second one. If the service refuses two tokens, the agent requests no
/// third.
#[derive(Debug)]
struct Token {
    value: HeaderValue,
    is_second: bool,
}

/// The run's deadline.
#[derive(Debug, Clone, Copy)]
struct RequestDeadline {
    deadline: Instant,
    allowed: Duration,
}

/// A body, and whether it was cut at the limit.
#[derive(Debug, PartialEq, Eq)]
pub struct Body {
    /// The bytes, at most the limit.
    pub bytes: Vec<u8>,
    /// Whether the body was longer than the limit.
    pub cut: bool,
}

struct ImdsResponse {
    status: StatusCode,
    greeting: ServerHeaders,
    body: Vec<u8>,
    cut: bool,
}

/// Why one attempt gave no usable answer.
enum AttemptError {
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

impl ImdsSession {
    /// Opens a session. Requests a token at each endpoint in turn, and keeps the first endpoint that accepts a
    /// connection. All requests of the session end `allowed` from now.
    pub async fn open(endpoints: &[Endpoint], allowed: Duration) -> Result<Self, ImdsError> {
        Self::open_since(std::time::Instant::now(), endpoints, allowed).await
    }

    /// The same, but the time limit `allowed` counts from `begun`.
    pub async fn open_since(
        begun: std::time::Instant,
        endpoints: &[Endpoint],
        allowed: Duration,
    ) -> Result<Self, ImdsError> {
        let begun = Instant::from_std(begun);
        let clock = RequestDeadline { deadline: begun.checked_add(allowed).unwrap_or(begun), allowed };
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            // The connections are too short for keep-alive probes, which take four system calls for each
            // connection.
            .tcp_keepalive(None)
            .tcp_keepalive_interval(None)
            .tcp_keepalive_retries(None)
            .tcp_user_timeout(None)
            .http1_max_headers(MAX_HEADERS)
            .connect_timeout(connect_time(allowed))
            .user_agent(concat!("eic-agent/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ImdsError::Malformed(TOKEN_PATH.to_owned(), error.to_string()))?;
        let (value, greeting, endpoint) = request_token(&client, endpoints, clock).await?;
        let token = Mutex::new(Token { value, is_second: false });
        Ok(Self { client, endpoint, clock, token, greeting })
    }

    /// The endpoint that answered.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The headers of the answer that contained the token.
    #[must_use]
    pub const fn greeting(&self) -> &ServerHeaders {
        &self.greeting
    }

    /// The remaining time of the run.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.clock.deadline.saturating_duration_since(Instant::now())
    }

    /// Gets the body of `path`, at most `limit` bytes. Returns `None` for a 404. A longer body is an error.
    pub async fn get(&self, path: &str, limit: usize) -> Result<Option<Vec<u8>>, ImdsError> {
        match self.get_head(path, limit).await? {
            Some(Body { cut: true, .. }) => Err(too_long(path, limit)),
            body => Ok(body.map(|body| body.bytes)),
        }
    }

    /// Gets the first `limit` bytes of the body of `path`. Returns `None` for a 404.
    ///
    /// If the service no longer accepts the token, the agent requests a new one, once per session.
    pub async fn get_head(&self, path: &str, limit: usize) -> Result<Option<Body>, ImdsError> {
        let mut token = self.token.lock().await.value.clone();
        loop {
            let headers = HeaderMap::from_iter([(TOKEN_HEADER, token.clone())]);
            let endpoint = std::slice::from_ref(&self.endpoint);
            let (answer, _) =
                exchange(&self.client, endpoint, Method::GET, path, &headers, limit, self.clock).await?;
            match answer.status {
                StatusCode::OK => return Ok(Some(Body { bytes: answer.body, cut: answer.cut })),
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::FORBIDDEN => return Err(ImdsError::Forbidden(path.to_owned(), None)),
                StatusCode::UNAUTHORIZED => token = self.replace(&token, path).await?,
                other => return Err(ImdsError::Status(path.to_owned(), other.as_u16())),
            }
        }
    }

    /// Gets the body of `path` as trimmed text. Returns `None` for a 404.
    pub async fn get_text(&self, path: &str, limit: usize) -> Result<Option<String>, ImdsError> {
        let Some(body) = self.get(path, limit).await? else { return Ok(None) };
        match std::str::from_utf8(&body) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(_) => Err(ImdsError::Malformed(path.to_owned(), "it is not UTF-8".to_owned())),
        }
    }

    async fn replace(&self, stale: &HeaderValue, path: &str) -> Result<HeaderValue, ImdsError> {
        let mut token = self.token.lock().await;
        // Requests run concurrently. The first request whose token was refused gets the new token for all.
        if token.value == stale {
            if token.is_second {
                return Err(ImdsError::TokenRefused(path.to_owned()));
            }
            let endpoint = std::slice::from_ref(&self.endpoint);
            let (value, _, _) = request_token(&self.client, endpoint, self.clock).await?;
            *token = Token { value, is_second: true };
        }
        Ok(token.value.clone())
    }
}

const TOKEN_HEADER: reqwest::header::HeaderName =
    reqwest::header::HeaderName::from_static("x-aws-ec2-metadata-token");
const TTL_HEADER: reqwest::header::HeaderName =
    reqwest::header::HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");

async fn request_token(
    client: &Client,
    endpoints: &[Endpoint],
    clock: RequestDeadline,
) -> Result<(HeaderValue, ServerHeaders, Endpoint), ImdsError> {
    let headers = HeaderMap::from_iter([(TTL_HEADER, HeaderValue::from_static(TOKEN_TTL_SECONDS))]);
    let (answer, endpoint) =
        exchange(client, endpoints, Method::PUT, TOKEN_PATH, &headers, MAX_TOKEN_BYTES, clock).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::FORBIDDEN => return Err(ImdsError::Forbidden(TOKEN_PATH.to_owned(), None)),
        other => return Err(ImdsError::Status(TOKEN_PATH.to_owned(), other.as_u16())),
    }
    if answer.cut {
        return Err(too_long(TOKEN_PATH, MAX_TOKEN_BYTES));
    }
    let is_token = !answer.body.is_empty() && answer.body.iter().all(u8::is_ascii_graphic);
    let value = HeaderValue::from_bytes(&answer.body).ok().filter(|_| is_token).ok_or_else(|| {
        ImdsError::Malformed(TOKEN_PATH.to_owned(), "expected a token of visible ASCII characters".to_owned())
    })?;
    Ok((value, answer.greeting, endpoint.clone()))
}

fn too_long(path: &str, limit: usize) -> ImdsError {
    ImdsError::Malformed(path.to_owned(), format!("expected at most {limit} bytes, got more"))
}

/// Sends a request until there is a usable answer or the deadline passes. If a connect fails, the next endpoint is
/// tried at once. A pause follows when all endpoints have failed.
async fn exchange<'e>(
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

async fn attempt_once(request: reqwest::RequestBuilder, limit: usize) -> Result<ImdsResponse, AttemptError> {
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
