//! Signatures in the query of a URL.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use ring::hmac;

use super::{
    ALGORITHM, Credential, SKEW, Scope, SignatureError, Verified, canonical_headers, canonical_query,
    canonical_request, signing_key, string_to_sign,
};
use crate::calendar::{basic, from_basic};
use crate::http::Request;
use crate::http::request::percent_decode;

/// The longest validity of a signature, in seconds: seven days.
const LONGEST: i64 = 604_800;

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
    let canonical = canonical_request("GET", path, &query, &headers, "host", b"");
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
    let canonical = canonical_request(&request.method, path, &signed, &headers, signed_headers, b"");
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

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, credential, find};
    use super::*;

    const HOST: &str = "eice-0.ec2-instance-connect-endpoint.us-east-1.test";
    const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "ec2-instance-connect" };

    fn request(target: &str) -> Request {
        let headers = vec![("Host".to_owned(), HOST.to_owned())];
        Request { method: "GET".to_owned(), target: target.to_owned(), headers, ..Request::default() }
    }

    fn check(target: &str, now: i64) -> Result<Verified, SignatureError> {
        verify(&request(target), SCOPE, now, find)
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
