//! Signature Version 4 in the query of a URL (IAM User Guide, "Create a signed AWS API request").

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use ring::hmac::{self, HMAC_SHA256, Key};

use crate::calendar::{basic, from_basic};
use crate::http::Request;
use crate::http::request::percent_decode;
use crate::pki::sha256;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The difference between two clocks that AWS tolerates, in seconds.
const SKEW: i64 = 300;
/// The longest validity of a signature, in seconds: seven days.
const LONGEST: i64 = 604_800;

/// An access key with its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// The parameters of a query, decoded, in the order of the query.
pub fn parameters(target: &str) -> Vec<(String, String)> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(name, value)| (percent_decode(name, false), percent_decode(value, false))).collect()
}

/// Adds the signature of `credential` to a target: a path with a query. `host` is the value of the field `Host`.
pub fn presign(
    credential: &Credential,
    scope: Scope<'_>,
    host: &str,
    target: &str,
    now: i64,
    seconds: i64,
) -> String {
    let date = basic(now);
    let scope =
        format!("{}/{}/{}/aws4_request", date.get(..8).unwrap_or_default(), scope.region, scope.service);
    let mut query = parameters(target);
    for (name, value) in [
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", &format!("{}/{scope}", credential.access_key)),
        ("X-Amz-Date", &date),
        ("X-Amz-Expires", &seconds.to_string()),
        ("X-Amz-SignedHeaders", "host"),
    ] {
        query.push((name.to_owned(), value.to_owned()));
    }
    if let Some(token) = &credential.session_token {
        query.push(("X-Amz-Security-Token".to_owned(), token.clone()));
    }
    let path = target.split('?').next().unwrap_or_default();
    let headers = format!("host:{host}\n");
    let canonical = canonical_request("GET", path, &query, &headers, "host");
    let key = signing_key(&credential.secret_key, &scope);
    let signature =
        HEXLOWER.encode(hmac::sign(&key, string_to_sign(&date, &scope, &canonical).as_bytes()).as_ref());
    format!("{path}?{}&X-Amz-Signature={signature}", canonical_query(&query))
}

/// Verifies the query signature of a request without a body. `credential` returns the credential of an access key and
/// a session token.
pub fn verify(
    request: &Request,
    scope: Scope<'_>,
    now: i64,
    credential: impl FnOnce(&str, Option<&str>) -> Option<Credential>,
) -> Result<Verified, SignatureError> {
    let query = parameters(&request.target);
    let mut fields = BTreeMap::new();
    for (name, value) in query.iter().filter(|(name, _)| name.starts_with("X-Amz-")) {
        if fields.insert(name.as_str(), value.as_str()).is_some() {
            return Err(SignatureError::Incomplete(format!("{name} occurs twice")));
        }
    }
    let Some(signature) = fields.get("X-Amz-Signature") else { return Err(SignatureError::Missing) };
    let field = |name: &str| {
        fields.get(name).copied().ok_or_else(|| SignatureError::Incomplete(format!("{name} is missing")))
    };
    let unreadable = |name: &str| SignatureError::Incomplete(format!("{name} is not valid"));
    let mismatch = |text: &str| SignatureError::Mismatch(text.to_owned());
    if field("X-Amz-Algorithm")? != ALGORITHM {
        return Err(unreadable("X-Amz-Algorithm"));
    }
    let date = field("X-Amz-Date")?;
    let signed_at = from_basic(date).ok_or_else(|| unreadable("X-Amz-Date"))?;
    let seconds: i64 = field("X-Amz-Expires")?.parse().map_err(|_| unreadable("X-Amz-Expires"))?;
    if !(1..=LONGEST).contains(&seconds) {
        return Err(unreadable("X-Amz-Expires"));
    }
    let (access_key, signed_scope) =
        field("X-Amz-Credential")?.split_once('/').ok_or_else(|| unreadable("X-Amz-Credential"))?;
    let day = date.get(..8).unwrap_or_default();
    if signed_scope != format!("{day}/{}/{}/aws4_request", scope.region, scope.service) {
        let message = format!("Credential should be scoped to {day}/{}/{}", scope.region, scope.service);
        return Err(SignatureError::Mismatch(message));
    }
    let signed_headers = field("X-Amz-SignedHeaders")?;
    let headers =
        canonical_headers(request, signed_headers).ok_or_else(|| unreadable("X-Amz-SignedHeaders"))?;

    let token = fields.get("X-Amz-Security-Token").copied();
    let credential = credential(access_key, token).ok_or(SignatureError::UnknownKey)?;
    let signed: Vec<_> = query.iter().filter(|(name, _)| name != "X-Amz-Signature").cloned().collect();
    let path = request.target.split('?').next().unwrap_or_default();
    let canonical = canonical_request(&request.method, path, &signed, &headers, signed_headers);
    let key = signing_key(&credential.secret_key, signed_scope);
    let bytes = HEXLOWER.decode(signature.as_bytes()).map_err(|_| unreadable("X-Amz-Signature"))?;
    hmac::verify(&key, string_to_sign(date, signed_scope, &canonical).as_bytes(), &bytes).map_err(|_| {
        mismatch("The request signature we calculated does not match the signature you provided")
    })?;

    // Only the owner of the secret learns more.
    if credential.expires.is_some_and(|end| end <= now) {
        return Err(SignatureError::ExpiredToken);
    }
    if signed_at > now + SKEW {
        return Err(mismatch("Signature not yet current"));
    }
    let expires = signed_at + seconds;
    if expires <= now {
        return Err(SignatureError::Expired { at: expires });
    }
    Ok(Verified { access_key: access_key.to_owned(), signature: (*signature).to_owned(), expires })
}

/// The signed header fields, each with its line end. `None` if `host` is not signed, or if a field is missing.
fn canonical_headers(request: &Request, names: &str) -> Option<String> {
    if !names.split(';').any(|name| name == "host") {
        return None;
    }
    let mut headers = String::new();
    for name in names.split(';') {
        let value = request.header(name)?.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(headers, "{name}:{value}").ok()?;
    }
    Some(headers)
}

fn canonical_request(
    method: &str,
    path: &str,
    query: &[(String, String)],
    headers: &str,
    signed_headers: &str,
) -> String {
    let (query, body) = (canonical_query(query), HEXLOWER.encode(&sha256(b"")));
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

    const HOST: &str = "eice-0.ec2-instance-connect-endpoint.us-east-1.test";
    const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "ec2-instance-connect" };
    const NOW: i64 = 1_738_238_400;

    fn credential(token: Option<&str>) -> Credential {
        Credential {
            access_key: "AKIAEXAMPLEALICE".to_owned(),
            secret_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
            session_token: token.map(str::to_owned),
            expires: None,
        }
    }

    fn request(target: &str) -> Request {
        let headers = vec![("Host".to_owned(), HOST.to_owned())];
        Request { method: "GET".to_owned(), target: target.to_owned(), headers, ..Request::default() }
    }

    fn check(target: &str, now: i64) -> Result<Verified, SignatureError> {
        verify(&request(target), SCOPE, now, |key, token| {
            let known = credential(token.filter(|token| *token == "a/b+c="));
            (key == known.access_key && known.session_token.as_deref() == token).then_some(known)
        })
    }

    #[test]
    fn own_signature_is_good_for_its_time() {
        for token in [None, Some("a/b+c=")] {
            let target = "/openTunnel?remotePort=22&privateIpAddress=fd00%3A%3A1";
            let signed = presign(&credential(token), SCOPE, HOST, target, NOW, 60);
            assert_eq!(check(&signed, NOW).map(|good| good.expires), Ok(NOW + 60), "{signed}");
            assert!(check(&signed, NOW + 59).is_ok() && check(&signed, NOW - SKEW).is_ok());
            assert_eq!(check(&signed, NOW + 60), Err(SignatureError::Expired { at: NOW + 60 }));
            assert!(matches!(check(&signed, NOW - SKEW - 1), Err(SignatureError::Mismatch(_))));
        }
    }

    #[test]
    fn changed_request_is_refused() {
        let signed = presign(&credential(None), SCOPE, HOST, "/openTunnel?remotePort=22", NOW, 60);
        let last = if signed.ends_with('0') { "1" } else { "0" };
        let other_signature = format!("{}{last}", &signed[..signed.len() - 1]);
        let is_mismatch = |error| matches!(error, SignatureError::Mismatch(_));
        let is_incomplete = |error| matches!(error, SignatureError::Incomplete(_));
        let is_missing = |error| error == SignatureError::Missing;
        let is_unknown = |error| error == SignatureError::UnknownKey;
        for (target, expected) in [
            (signed.replace("=22", "=3389"), is_mismatch as fn(SignatureError) -> bool),
            (signed.replace("/openTunnel", "/opentunnel"), is_mismatch),
            (signed.replace("Expires=60", "Expires=61"), is_mismatch),
            (signed.replace("20250130T", "20250131T"), is_mismatch),
            (signed.replace("us-east-1", "us-east-2"), is_mismatch),
            (signed.clone() + "&another=1", is_mismatch),
            (other_signature, is_mismatch),
            (signed.replace("Expires=60", "Expires=0"), is_incomplete),
            (signed.replace("Expires=60", "Expires=604801"), is_incomplete),
            (signed.replace("Expires=60", "Expires=sixty"), is_incomplete),
            (signed.replace("Date=2025", "Date=2O25"), is_incomplete),
            (signed.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"), is_incomplete),
            (signed.replace("SignedHeaders=host", "SignedHeaders=accept"), is_incomplete),
            (signed.replace("SignedHeaders=host", "SignedHeaders=host%3Bx-no"), is_incomplete),
            (signed.replace("X-Amz-Signature=", "X-Amz-Signature=zz"), is_incomplete),
            (signed.clone() + "&X-Amz-Date=20250130T120000Z", is_incomplete),
            (signed.replace("X-Amz-Signature", "X-Amz-Signatur"), is_missing),
            (signed.replace("ALICE", "BOB"), is_unknown),
            (signed.clone() + "&X-Amz-Security-Token=a", is_unknown),
        ] {
            let error = check(&target, NOW).unwrap_err();
            assert!(expected(error.clone()), "{target}: {error:?}");
        }
    }

    #[test]
    fn ended_credential_is_refused() {
        let ended = Credential { expires: Some(NOW), ..credential(Some("t")) };
        let signed = presign(&ended, SCOPE, HOST, "/", NOW, 60);
        let check = |now| verify(&request(&signed), SCOPE, now, |_, _| Some(ended.clone()));
        assert_eq!(check(NOW), Err(SignatureError::ExpiredToken));
        assert!(check(NOW - 1).is_ok());
    }
}
