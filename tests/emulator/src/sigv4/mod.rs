//! Signature Version 4 (IAM User Guide, "Create a signed AWS API request"): in the query of a URL, as for tunnels, and
//! in the field `Authorization`, as for the APIs.

mod header;
mod query;

use std::fmt::{self, Write as _};

use data_encoding::HEXLOWER;
use ring::hmac::{self, HMAC_SHA256, Key};

use crate::http::Request;
use crate::pki::sha256;

pub use header::{sign_request, verify_request};
pub use query::{parameters, presign, verify};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The difference between two clocks that AWS tolerates, in seconds.
const SKEW: i64 = 300;

/// An access key with its secret. `Debug` does not show the secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The access key ID. Temporary ones begin with `ASIA`.
    pub access_key: String,
    /// The secret access key.
    pub secret_key: String,
    /// The session token of a temporary credential.
    pub session_token: Option<String>,
    /// The instant at which a temporary credential ends, in Unix seconds.
    pub expires: Option<i64>,
}

/// The service for which a request is signed.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The region.
    pub region: &'a str,
    /// The name of the service in signatures.
    pub service: &'a str,
}

/// Why a signature is refused. The names are AWS's common errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// The request has no signature.
    Missing,
    /// A part of the signature is missing or unreadable.
    Incomplete(String),
    /// No such access key, or its session token is another one.
    UnknownKey,
    /// The temporary credential has ended.
    ExpiredToken,
    /// The signature's validity has ended.
    Expired {
        /// The end of its validity, in Unix seconds.
        at: i64,
    },
    /// The date of a request differs too much from the emulator's clock.
    Skewed(String),
    /// The signature is for another request, service or time, or was made with another secret.
    Mismatch(String),
}

/// A verified signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The access key.
    pub access_key: String,
    /// The signature, in hexadecimal. A second request with the same one is a replay.
    pub signature: String,
    /// The end of the signature's validity, in Unix seconds.
    pub expires: i64,
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { access_key, secret_key: _, session_token, expires } = self;
        let is_temporary = session_token.is_some();
        write!(formatter, "Credential({access_key}, temporary: {is_temporary}, expires: {expires:?})")
    }
}

/// The signed header fields, each with its line end. A field that occurs more than once has all its values. `None` if
/// `host` is not signed, if a field is missing, or if the names are not in lower case and in order, each once. The
/// order also bounds the length of the text: no field is in it twice.
fn canonical_headers(request: &Request, names: &str) -> Option<String> {
    let is_in_order = names.split(';').is_sorted_by(|name, next| name < next);
    let is_lower_case = !names.bytes().any(|byte| byte.is_ascii_uppercase());
    if !is_in_order || !is_lower_case || !names.split(';').any(|name| name == "host") {
        return None;
    }
    let mut headers = String::new();
    for name in names.split(';') {
        let fields = request.headers.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let values: Vec<_> =
            fields.map(|(_, value)| value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")).collect();
        if values.is_empty() {
            return None;
        }
        writeln!(headers, "{name}:{}", values.join(",")).ok()?;
    }
    Some(headers)
}

fn canonical_request(
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &str,
    signed_headers: &str,
    body: &[u8],
) -> String {
    let (query, body) = (canonical_query(query), HEXLOWER.encode(&sha256(body)));
    format!("{method}\n{path}\n{query}\n{headers}\n{signed_headers}\n{body}")
}

fn canonical_query(query: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = query.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    pairs.sort();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// Encodes everything but the unreserved characters of RFC 3986, 2.3.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

fn string_to_sign(date: &str, scope: &str, canonical: &str) -> String {
    format!("{ALGORITHM}\n{date}\n{scope}\n{}", HEXLOWER.encode(&sha256(canonical.as_bytes())))
}

fn signing_key(secret: &str, scope: &str) -> Key {
    let first = Key::new(HMAC_SHA256, format!("AWS4{secret}").as_bytes());
    scope
        .split('/')
        .fold(first, |key, part| Key::new(HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instant of the signatures: 2025-01-30T12:00:00Z.
    pub(super) const NOW: i64 = 1_738_238_400;

    pub(super) fn credential(token: Option<&str>) -> Credential {
        Credential {
            access_key: "AKIAEXAMPLEALICE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: token.map(str::to_owned),
            expires: None,
        }
    }

    /// The credential of this access key, without a token or with the right one.
    pub(super) fn find(access_key: &str, token: Option<&str>) -> Option<Credential> {
        let known = credential(token.filter(|token| *token == "a/b+c="));
        (access_key == known.access_key && known.session_token.as_deref() == token).then_some(known)
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", credential(Some("token-of-alice")));
        assert!(shown.contains("ALICE"), "{shown}");
        assert!(!shown.contains("wJalr") && !shown.contains("token-of-alice"), "{shown}");
    }
}
