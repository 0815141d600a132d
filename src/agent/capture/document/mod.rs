//! All answers of the metadata service at one instant, as one JSON document. It can be verified on another machine. It
//! never contains the token.

mod redact;

use data_encoding::BASE64;
use eic_core::reason::Reason;
use eic_core::text::{MAX_SHOWN, printable};
use eic_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest document that is read, in bytes: two bundles of the largest size, and all other items.
pub const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The path of the token. A capture has an item at this path only if the service gave no token.
pub const TOKEN: &str = "/latest/api/token";

/// Maximum number of items of a document.
const MAX_ITEMS: usize = 512;

/// Value of the field `document`.
const DOCUMENT: &str = "eic-agent capture";

/// Version of the format. Under the same version, fields may be added, but no field changes its meaning.
const SCHEMA_VERSION: u32 = 1;

/// The document, with all answers of the metadata service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    schema_version: u32,
    document: String,
    /// Whether accounts, principals, login names and ids were replaced. If so, no key's signature is valid any more.
    pub redacted: bool,
    /// Version of the agent that wrote the document.
    pub version: String,
    /// Time of the capture by the instance's own clock, RFC 3339.
    taken_at: String,
    /// Identity of the machine: an instance id, `xen`, or `None` outside of EC2.
    pub machine: Option<String>,
    /// Endpoint that answered.
    pub endpoint: Option<String>,
    /// The service's `Date` header.
    pub date: Option<String>,
    /// The service's `Server` header.
    pub server: Option<String>,
    /// Every item, in the order of the requests.
    pub items: Vec<Item>,
}

/// The answer for one path. Exactly one of `text`, `base64`, `absent` and `error` is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Path on the service.
    pub path: String,
    /// Duration of the request, in milliseconds.
    pub took_ms: f64,
    /// The body, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    /// The body, if it is not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Whether the service has no such item (404).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    absent: bool,
    /// Why the request failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<CapturedFailure>,
    /// Whether the body was cut off at the size limit.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct CapturedFailure {
    reason: String,
    detail: String,
}

/// The answer of the service for one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CapturedAnswer {
    /// The body of the answer.
    Body(Vec<u8>),
    /// The service has no such item, or it was not requested.
    Absent,
    /// The request failed: reason and detail.
    Failed(Reason, String),
}

/// Why a text is not a valid capture.
#[derive(Debug, PartialEq, Eq)]
pub struct NotACapture(String);

impl std::fmt::Display for NotACapture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "expected a document of `eic-agent capture`, got {}", self.0)
    }
}

impl Capture {
    /// A capture without items, taken at this instant.
    #[must_use]
    pub fn new(taken_at: Timestamp, machine: Option<String>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            document: DOCUMENT.to_owned(),
            redacted: false,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            taken_at: taken_at.to_string(),
            machine,
            endpoint: None,
            date: None,
            server: None,
            items: Vec::new(),
        }
    }

    /// Parses a document. Fails if it is not a capture of this `schema_version`, or has more than 512 items.
    pub fn parse(text: &[u8]) -> Result<Self, NotACapture> {
        let capture: Self = serde_json::from_slice(text).map_err(|error| {
            NotACapture(format!("JSON that is not one: {}", printable(&error.to_string(), MAX_SHOWN)))
        })?;
        let refuse = |what: String| Err(NotACapture(what));
        if capture.document != DOCUMENT {
            return refuse(format!("\"{}\"", printable(&capture.document, MAX_SHOWN)));
        }
        if capture.schema_version != SCHEMA_VERSION {
            return refuse(format!(
                "schema_version {}, this program reads {SCHEMA_VERSION}",
                capture.schema_version
            ));
        }
        if capture.items.len() > MAX_ITEMS {
            return refuse(format!("{} items, at most {MAX_ITEMS} are read", capture.items.len()));
        }
        if capture.taken_at().is_none() {
            return refuse(format!(
                "taken_at \"{}\", which is not RFC 3339",
                printable(&capture.taken_at, MAX_SHOWN)
            ));
        }
        Ok(capture)
    }

    /// The document as text.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// Time of the capture. Never `None` for a document that was parsed.
    #[must_use]
    pub fn taken_at(&self) -> Option<Timestamp> {
        self.taken_at.parse().ok()
    }

    /// The item at `path`.
    #[must_use]
    pub fn item(&self, path: &str) -> Option<&Item> {
        self.items.iter().find(|item| item.path == path)
    }

    /// The answer for `path`. If the service gave no token, the answer for every path is the error of the token
    /// request.
    #[must_use]
    pub fn answer(&self, path: &str) -> CapturedAnswer {
        self.item(path).or_else(|| self.item(TOKEN)).map_or(CapturedAnswer::Absent, Item::answer)
    }
}

impl Item {
    /// An item with the answer of the service.
    #[must_use]
    pub fn new(path: &str, took_ms: f64, answer: CapturedAnswer) -> Self {
        let mut item = Self { path: path.to_owned(), took_ms, ..Self::default() };
        match answer {
            CapturedAnswer::Body(bytes) => match String::from_utf8(bytes) {
                Ok(text) => item.text = Some(text),
                Err(binary) => item.base64 = Some(BASE64.encode(binary.as_bytes())),
            },
            CapturedAnswer::Absent => item.absent = true,
            CapturedAnswer::Failed(reason, detail) => {
                item.error = Some(CapturedFailure { reason: reason.as_str().to_owned(), detail });
            }
        }
        item
    }

    /// The answer of the service. An item that contradicts itself or cannot be decoded counts as a malformed answer.
    #[must_use]
    pub fn answer(&self) -> CapturedAnswer {
        match (&self.text, &self.base64, self.absent, &self.error) {
            (Some(text), None, false, None) => CapturedAnswer::Body(text.clone().into_bytes()),
            (None, Some(base64), false, None) => match BASE64.decode(base64.as_bytes()) {
                Ok(bytes) => CapturedAnswer::Body(bytes),
                Err(error) => {
                    CapturedAnswer::Failed(Reason::MetadataMalformed, format!("{}: {error}", self.path))
                }
            },
            (None, None, true, None) => CapturedAnswer::Absent,
            (None, None, false, Some(failure)) => {
                let known = Reason::ALL.iter().find(|reason| reason.as_str() == failure.reason);
                CapturedAnswer::Failed(
                    *known.unwrap_or(&Reason::MetadataMalformed),
                    printable(&failure.detail, MAX_SHOWN),
                )
            }
            _ => CapturedAnswer::Failed(
                Reason::MetadataMalformed,
                format!(
                    "{}: expected one of text, base64, absent and error",
                    printable(&self.path, MAX_SHOWN)
                ),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capture() -> Capture {
        let mut capture =
            Capture::new(Timestamp::from_unix(1_738_238_400), Some("i-0123456789abcdef0".to_owned()));
        capture.items = vec![
            Item::new("/text", 0.5, CapturedAnswer::Body(b"a\nb".to_vec())),
            Item::new("/binary", 1.0, CapturedAnswer::Body(vec![0xff, 0])),
            Item::new("/absent", 2.0, CapturedAnswer::Absent),
            Item::new("/failed", 3.0, CapturedAnswer::Failed(Reason::MetadataTimeout, "late".to_owned())),
        ];
        capture
    }

    #[test]
    fn written_capture_is_read_back() {
        let written = capture();
        let read = Capture::parse(written.to_json().unwrap().as_bytes()).unwrap();
        assert_eq!(read, written);
        assert_eq!(read.answer("/text"), CapturedAnswer::Body(b"a\nb".to_vec()));
        assert_eq!(read.answer("/binary"), CapturedAnswer::Body(vec![0xff, 0]));
        assert_eq!(read.answer("/absent"), CapturedAnswer::Absent);
        assert_eq!(
            read.answer("/failed"),
            CapturedAnswer::Failed(Reason::MetadataTimeout, "late".to_owned())
        );
        assert_eq!(read.answer("/never asked"), CapturedAnswer::Absent);
        assert_eq!(read.taken_at().unwrap().to_string(), "2025-01-30T12:00:00Z");
    }

    #[test]
    fn capture_without_a_token_answers_each_path_with_that_error() {
        let mut capture = capture();
        let failed = CapturedAnswer::Failed(Reason::MetadataForbidden, "403".to_owned());
        capture.items = vec![Item::new(TOKEN, 1.0, failed.clone())];
        assert_eq!(capture.answer("/text"), failed);
    }

    #[test]
    fn anything_else_is_refused() {
        let refusal = |change: &dyn Fn(&mut Capture)| {
            let mut changed = capture();
            change(&mut changed);
            Capture::parse(changed.to_json().unwrap().as_bytes()).unwrap_err().0
        };
        assert!(Capture::parse(b"{}").unwrap_err().0.starts_with("JSON that is not one: missing field"));
        assert!(Capture::parse(b"\x1b[").unwrap_err().to_string().is_ascii());
        assert_eq!(refusal(&|capture| capture.document = "x\n".to_owned()), "\"x\\x0a\"");
        assert!(refusal(&|capture| capture.schema_version = 2).contains("this program reads 1"));
        assert!(refusal(&|capture| capture.taken_at = "then".to_owned()).contains("then"));
        assert!(refusal(&|capture| capture.items = vec![Item::default(); 513]).starts_with("513 items"));
        let both = Item { absent: true, ..Item::new("/x", 0.0, CapturedAnswer::Body(b"x".to_vec())) };
        assert!(matches!(both.answer(), CapturedAnswer::Failed(Reason::MetadataMalformed, _)));
        let odd = Item { base64: Some("?".to_owned()), ..Item::default() };
        assert!(matches!(odd.answer(), CapturedAnswer::Failed(Reason::MetadataMalformed, _)));
    }
}
