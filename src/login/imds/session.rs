//! One session: a token from the first endpoint that answers, and GETs with that token.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::endpoint::Endpoint;
use super::error::ImdsError;
use super::exchange::{AttemptError, ImdsResponse, RequestDeadline, ServerHeaders, attempt_once, exchange};
use super::retry::{connect_time, pause};

/// Lifetime of a token in seconds (1 to 21,600 are allowed). It is longer than any run, and short enough that a
/// leaked token soon expires. If a run remembers its token for longer, the lifetime is longer too.
pub const TOKEN_TTL_SECONDS: u64 = 90;

const TOKEN_PATH: &str = "/latest/api/token";

/// Longest token, in bytes. Real tokens have 56.
const MAX_TOKEN_BYTES: usize = 1024;

/// Maximum number of headers in an answer.
const MAX_HEADERS: usize = 64;

/// An open session with the metadata service.
#[derive(Debug)]
pub struct ImdsSession {
    client: Client,
    endpoint: Endpoint,
    clock: RequestDeadline,
    lifetime: Duration,
    token: Mutex<Token>,
    greeting: ServerHeaders,
}

/// The token in use, and whether it is the second one. If the service refuses two tokens, the agent requests no
/// third.
#[derive(Debug)]
struct Token {
    value: HeaderValue,
    is_second: bool,
}

/// A body, and whether it was cut at the limit.
#[derive(Debug, PartialEq, Eq)]
pub struct Body {
    /// The bytes, at most the limit.
    pub bytes: Vec<u8>,
    /// Whether the body was longer than the limit.
    pub cut: bool,
}

impl ImdsSession {
    /// Opens a session. Requests a token at each endpoint in turn, and keeps the first endpoint that accepts a
    /// connection. All requests of the session end `allowed` from now.
    pub async fn open(endpoints: &[Endpoint], allowed: Duration) -> Result<Self, ImdsError> {
        Self::open_since(std::time::Instant::now(), endpoints, allowed, Duration::ZERO).await
    }

    /// The same, but the time limit `allowed` counts from `begun`. A later run may use the token again within
    /// `remember`, so the token also lives for the time of that run.
    pub async fn open_since(
        begun: std::time::Instant,
        endpoints: &[Endpoint],
        allowed: Duration,
        remember: Duration,
    ) -> Result<Self, ImdsError> {
        let client = client(allowed)?;
        let clock = RequestDeadline::since(begun, allowed);
        Self::start(client, endpoints, clock, token_lifetime(allowed, remember)).await
    }

    /// Opens a session with a token of an earlier run, without a request. `None` if it cannot be used in a header.
    pub(crate) fn resume(
        begun: std::time::Instant,
        endpoint: Endpoint,
        token: &[u8],
        allowed: Duration,
        remember: Duration,
    ) -> Option<Self> {
        let token = Token { value: token_header(token)?, is_second: false };
        Some(Self {
            client: client(allowed).ok()?,
            endpoint,
            clock: RequestDeadline::since(begun, allowed),
            lifetime: token_lifetime(allowed, remember),
            token: Mutex::new(token),
            greeting: ServerHeaders::default(),
        })
    }

    /// A session with a new token, requested at each endpoint in turn.
    pub(crate) async fn renewed(&self, endpoints: &[Endpoint]) -> Result<Self, ImdsError> {
        Self::start(self.client.clone(), endpoints, self.clock, self.lifetime).await
    }

    async fn start(
        client: Client,
        endpoints: &[Endpoint],
        clock: RequestDeadline,
        lifetime: Duration,
    ) -> Result<Self, ImdsError> {
        let (value, greeting, endpoint) = request_token(&client, endpoints, clock, lifetime).await?;
        let token = Mutex::new(Token { value, is_second: false });
        Ok(Self { client, endpoint, clock, lifetime, token, greeting })
    }

    /// The token in use.
    pub(crate) async fn token(&self) -> Vec<u8> {
        self.token.lock().await.value.as_bytes().to_vec()
    }

    /// How long the service accepts a token of this session.
    pub(crate) const fn lifetime(&self) -> Duration {
        self.lifetime
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

    /// Asks once for the first `limit` bytes of the body of `path`. The inner `None` is a 404. The outer `None` is any
    /// failure.
    ///
    /// If the service is overloaded, the token is still good, so this repeats the request as
    /// [`ImdsSession::get_head`] does.
    pub(crate) async fn ask(&self, path: &str, limit: usize) -> Option<Option<Body>> {
        let headers = HeaderMap::from_iter([(TOKEN_HEADER, self.token.lock().await.value.clone())]);
        let request = self.client.request(Method::GET, self.endpoint.url(path)).headers(headers);
        match timeout(self.remaining(), attempt_once(request, limit)).await.ok()? {
            Ok(ImdsResponse { status: StatusCode::OK, body, cut, .. }) => {
                Some(Some(Body { bytes: body, cut }))
            }
            Ok(ImdsResponse { status: StatusCode::NOT_FOUND, .. }) => Some(None),
            Err(AttemptError::Overload(_)) => {
                sleep(pause(0).min(self.remaining())).await;
                self.get_head(path, limit).await.ok()
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// How long a run waits for the answer to a request with a remembered token, before it also asks for a new token.
    /// The real service answers within milliseconds.
    pub(crate) fn patience(&self) -> Duration {
        self.clock.allowed.checked_div(32).unwrap_or_default().min(self.remaining())
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
            let (value, _, _) = request_token(&self.client, endpoint, self.clock, self.lifetime).await?;
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
    lifetime: Duration,
) -> Result<(HeaderValue, ServerHeaders, Endpoint), ImdsError> {
    let headers = HeaderMap::from_iter([(TTL_HEADER, HeaderValue::from(lifetime.as_secs()))]);
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
    let value = token_header(&answer.body).ok_or_else(|| {
        ImdsError::Malformed(TOKEN_PATH.to_owned(), "expected a token of visible ASCII characters".to_owned())
    })?;
    Ok((value, answer.greeting, endpoint.clone()))
}

/// The token as the value of a header.
fn token_header(token: &[u8]) -> Option<HeaderValue> {
    let is_token = (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.iter().all(u8::is_ascii_graphic);
    HeaderValue::from_bytes(token).ok().filter(|_| is_token)
}

/// The lifetime to request for a token, in whole seconds: `remember` and one more run.
fn token_lifetime(allowed: Duration, remember: Duration) -> Duration {
    let needed = remember.saturating_add(allowed).saturating_add(Duration::from_secs(1));
    Duration::from_secs(needed.as_secs().max(TOKEN_TTL_SECONDS))
}

fn client(allowed: Duration) -> Result<Client, ImdsError> {
    let builder = Client::builder()
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
        .user_agent(concat!("eic-agent/", env!("CARGO_PKG_VERSION")));
    builder.build().map_err(|error| ImdsError::Malformed(TOKEN_PATH.to_owned(), error.to_string()))
}

fn too_long(path: &str, limit: usize) -> ImdsError {
    ImdsError::Malformed(path.to_owned(), format!("expected at most {limit} bytes, got more"))
}
