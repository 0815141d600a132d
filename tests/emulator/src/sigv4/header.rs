//! Signatures in the field `Authorization`.

use data_encoding::HEXLOWER;
use ring::hmac;

use super::{
    ALGORITHM, Credential, SKEW, Scope, SignatureError, Verified, canonical_headers, canonical_request,
    parameters, signing_key, string_to_sign,
};
use crate::calendar::{basic, from_basic};
use crate::http::Request;

/// Adds the date, the session token and the signature of `credential` to a request. It signs `Host` and all fields that
/// are there.
pub fn sign_request(request: &mut Request, credential: &Credential, scope: Scope<'_>, now: i64) {
    let date = basic(now);
    request.headers.push(("X-Amz-Date".to_owned(), date.clone()));
    if let Some(token) = &credential.session_token {
        request.headers.push(("X-Amz-Security-Token".to_owned(), token.clone()));
    }
    let scope =
        format!("{}/{}/{}/aws4_request", date.get(..8).unwrap_or_default(), scope.region, scope.service);
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    names.dedup();
    let names = names.join(";");
    let headers = canonical_headers(request, &names).unwrap_or_default();
    let signature = hmac::sign(
        &signing_key(&credential.secret_key, &scope),
        text(request, &date, &scope, &headers, &names).as_bytes(),
    );
    let field = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={}",
        credential.access_key,
        HEXLOWER.encode(signature.as_ref())
    );
    request.headers.push(("Authorization".to_owned(), field));
}

/// Verifies the signature of a request. `credential` returns the credential of an access key and a session token. The
/// messages are those of AWS's services, as far as public logs show them.
pub fn verify_request(
    request: &Request,
    scope: Scope<'_>,
    now: i64,
    credential: impl FnOnce(&str, Option<&str>) -> Option<Credential>,
) -> Result<Verified, SignatureError> {
    let fields: Vec<_> = fields(request, "authorization").collect();
    let [field] = fields.as_slice() else {
        let message = "The request has more than one Authorization header";
        return Err(if fields.is_empty() { SignatureError::Missing } else { incomplete(message) });
    };
    let Parts { credential: own, signed_headers, signature } = Parts::read(field)?;
    let date = request
        .header("x-amz-date")
        .ok_or_else(|| incomplete("Authorization header requires existence of a 'X-Amz-Date' header"))?;
    let signed_at = from_basic(date).ok_or_else(|| {
        incomplete("Date must be in ISO-8601 'basic format'. Expected the form 20250130T120000Z")
    })?;
    let (access_key, signed_scope) = own.split_once('/').unwrap_or((own, ""));
    check_scope(signed_scope, scope, date)?;
    let headers = canonical_headers(request, signed_headers).ok_or_else(|| {
        mismatch(
            "'Host' must be a 'SignedHeader' in the AWS Authorization. Each one must exist, in lower case and in \
             order.",
        )
    })?;
    // The fields decide what the request does. AWS requires that they are signed.
    let is_signed = |name: &str| signed_headers.split(';').any(|own| own == name);
    let mut names = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase());
    if let Some(name) = names.find(|name| name.starts_with("x-amz-") && !is_signed(name)) {
        let message = format!("There were headers present in the request which were not signed: {name}");
        return Err(mismatch(&message));
    }

    let token = request.header("x-amz-security-token");
    let credential = credential(access_key, token).ok_or(SignatureError::UnknownKey)?;
    let bytes = HEXLOWER.decode(signature.as_bytes()).unwrap_or_default();
    let key = signing_key(&credential.secret_key, signed_scope);
    let text = text(request, date, signed_scope, &headers, signed_headers);
    hmac::verify(&key, text.as_bytes(), &bytes).map_err(|_| {
        mismatch(
            "The request signature we calculated does not match the signature you provided. Check your AWS \
             Secret Access Key and signing method. Consult the service documentation for details.",
        )
    })?;

    // Only the owner of the secret learns more.
    if credential.expires.is_some_and(|end| end <= now) {
        return Err(SignatureError::ExpiredToken);
    }
    let (current, minutes) = (basic(now), SKEW / 60);
    if signed_at + SKEW < now {
        let earliest = basic(now - SKEW);
        return Err(SignatureError::Skewed(format!(
            "Signature expired: {date} is now earlier than {earliest} ({current} - {minutes} min.)"
        )));
    }
    if signed_at > now + SKEW {
        let latest = basic(now + SKEW);
        return Err(SignatureError::Skewed(format!(
            "Signature not yet current: {date} is still later than {latest} ({current} + {minutes} min.)"
        )));
    }
    let (access_key, signature) = (access_key.to_owned(), signature.to_owned());
    Ok(Verified { access_key, signature, expires: signed_at + SKEW })
}

/// The parts of `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
struct Parts<'r> {
    credential: &'r str,
    signed_headers: &'r str,
    signature: &'r str,
}

impl<'r> Parts<'r> {
    fn read(field: &'r str) -> Result<Self, SignatureError> {
        let Some(rest) = field.strip_prefix(ALGORITHM).and_then(|rest| rest.strip_prefix(' ')) else {
            return Err(incomplete(&format!("The Authorization header must begin with '{ALGORITHM} '.")));
        };
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for part in rest.split(',') {
            let (name, value) = part.trim().split_once('=').unwrap_or((part.trim(), ""));
            let place = match name {
                "Credential" => &mut credential,
                "SignedHeaders" => &mut signed_headers,
                "Signature" => &mut signature,
                _ => return Err(incomplete("Authorization header has an unknown parameter.")),
            };
            if value.is_empty() || place.replace(value).is_some() {
                return Err(incomplete(&format!("Authorization header requires one '{name}' parameter.")));
            }
        }
        let required = |value: Option<&'r str>, name: &str| {
            value.ok_or_else(|| incomplete(&format!("Authorization header requires '{name}' parameter.")))
        };
        Ok(Self {
            credential: required(credential, "Credential")?,
            signed_headers: required(signed_headers, "SignedHeaders")?,
            signature: required(signature, "Signature")?,
        })
    }
}

/// Checks that a signature is for this day, region and service.
fn check_scope(signed: &str, scope: Scope<'_>, date: &str) -> Result<(), SignatureError> {
    let parts: Vec<_> = signed.split('/').collect();
    let [day, region, service, end] = parts.as_slice() else {
        return Err(incomplete("Credential must have exactly 5 slash-delimited elements"));
    };
    let own_day = date.get(..8).unwrap_or_default();
    let message = if *end != "aws4_request" {
        "Credential should be scoped with a valid terminator: 'aws4_request'".to_owned()
    } else if *service != scope.service {
        format!("Credential should be scoped to correct service: '{}'.", scope.service)
    } else if *region != scope.region {
        format!("Credential should be scoped to a valid region: '{}'.", scope.region)
    } else if *day != own_day {
        format!("Date in Credential scope does not match YYYYMMDD from the date: '{day}' != '{own_day}'.")
    } else {
        return Ok(());
    };
    Err(mismatch(&message))
}

/// The text that the signature covers.
fn text(request: &Request, date: &str, scope: &str, headers: &str, names: &str) -> String {
    let path = request.target.split('?').next().unwrap_or_default();
    let query = parameters(&request.target);
    let canonical = canonical_request(&request.method, path, &query, headers, names, &request.body);
    string_to_sign(date, scope, &canonical)
}

fn fields<'r>(request: &'r Request, name: &'r str) -> impl Iterator<Item = &'r str> {
    let own = request.headers.iter().filter(move |(own, _)| own.eq_ignore_ascii_case(name));
    own.map(|(_, value)| value.as_str())
}

fn incomplete(message: &str) -> SignatureError {
    SignatureError::Incomplete(message.to_owned())
}

fn mismatch(message: &str) -> SignatureError {
    SignatureError::Mismatch(message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{NOW, credential, find};
    use super::*;

    const SCOPE: Scope<'_> = Scope { region: "us-east-1", service: "ec2" };

    fn request() -> Request {
        let headers = [("Host", "127.0.0.1:8080"), ("X-Amz-Target", "A.B"), ("Content-Type", "x  y")];
        Request {
            method: "POST".to_owned(),
            target: "/?a=b".to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: b"{}".to_vec(),
            close: false,
        }
    }

    fn check(request: &Request, now: i64) -> Result<Verified, SignatureError> {
        verify_request(request, SCOPE, now, find)
    }

    #[test]
    fn own_signature_is_good_for_five_minutes() {
        for token in [None, Some("a/b+c=")] {
            let mut request = request();
            sign_request(&mut request, &credential(token), SCOPE, NOW);
            for now in [NOW - 300, NOW, NOW + 300] {
                assert!(check(&request, now).is_ok(), "{:?}", check(&request, now));
            }
            let late = "Signature expired: 20250130T120000Z is now earlier than 20250130T120001Z \
                        (20250130T120501Z - 5 min.)";
            assert_eq!(check(&request, NOW + 301), Err(SignatureError::Skewed(late.to_owned())));
            let early = "Signature not yet current: 20250130T120000Z is still later than 20250130T115959Z \
                         (20250130T115459Z + 5 min.)";
            assert_eq!(check(&request, NOW - 301), Err(SignatureError::Skewed(early.to_owned())));
        }
    }

    #[test]
    fn field_that_is_not_whole_is_named() {
        let mut signed = request();
        sign_request(&mut signed, &credential(None), SCOPE, NOW);
        let field = signed.header("authorization").unwrap().to_owned();
        let with = |field: &str| {
            let mut request = signed.clone();
            request.headers.retain(|(name, _)| name != "Authorization");
            request.headers.push(("authorization".to_owned(), field.to_owned()));
            check(&request, NOW).unwrap_err()
        };
        for (from, to, words) in [
            ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1", "must begin"),
            ("Credential=", "Credentials=", "unknown parameter"),
            (", SignedHeaders=", ", SignedHeaders=a, SignedHeaders=", "requires one 'SignedHeaders'"),
            (", Signature=", ", Signature=, Signature=", "requires one 'Signature'"),
            (
                "Credential=AKIAEXAMPLEALICE/20250130/us-east-1/ec2/aws4_request, ",
                "",
                "requires 'Credential'",
            ),
            ("/ec2/", "/", "exactly 5"),
            ("/aws4_request", "/aws5_request", "terminator"),
            ("/us-east-1/", "/us-east-2/", "valid region: 'us-east-1'"),
            ("/ec2/", "/cloudtrail/", "correct service: 'ec2'"),
            ("/20250130/", "/20250131/", "'20250131' != '20250130'"),
            ("content-type;host;", "content-type;", "'Host' must be"),
            ("content-type;host;", "content-type;host;no-such;", "must exist"),
            ("content-type;host;", "host;content-type;", "in order"),
            ("content-type;host;", "content-type;host;host;", "in order"),
            (";x-amz-target", "", "not signed: x-amz-target"),
            ("Signature=", "Signature=zz", "does not match"),
        ] {
            assert!(field.contains(from), "{from}");
            let error = with(&field.replace(from, to));
            let (SignatureError::Incomplete(message) | SignatureError::Mismatch(message)) = &error else {
                panic!("{from} {to}: {error:?}")
            };
            assert!(message.contains(words), "{from} {to}: {message}");
        }
        assert_eq!(with(&field.replace("ALICE", "BOB")), SignatureError::UnknownKey);
        assert_eq!(check(&request(), NOW), Err(SignatureError::Missing));
        let mut twice = signed.clone();
        twice.headers.push(("authorization".to_owned(), field));
        assert!(matches!(check(&twice, NOW), Err(SignatureError::Incomplete(_))));
    }

    #[test]
    fn any_other_request_has_another_signature() {
        let mut signed = request();
        sign_request(&mut signed, &credential(Some("a/b+c=")), SCOPE, NOW);
        let changes: [fn(&mut Request); 8] = [
            |request| request.method = "PUT".to_owned(),
            |request| request.target = "/?a=c".to_owned(),
            |request| request.target = "/x?a=b".to_owned(),
            |request| request.body = b"{ }".to_vec(),
            |request| request.headers[0].1.push('0'),
            |request| request.headers[2].1 = "x y z".to_owned(),
            |request| request.headers.push(("x-amz-target".to_owned(), "A.C".to_owned())),
            |request| request.headers.insert(0, ("host".to_owned(), "other".to_owned())),
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut other = signed.clone();
            change(&mut other);
            let refused = check(&other, NOW);
            assert!(matches!(refused, Err(SignatureError::Mismatch(_))), "{number}: {refused:?}");
        }
        let mut without_token = signed.clone();
        without_token.headers.retain(|(name, _)| name != "X-Amz-Security-Token");
        assert!(check(&without_token, NOW).is_err());
    }

    #[test]
    fn list_of_signed_fields_cannot_make_a_long_text() {
        // The longest request that is read: 100 fields of 8 KiB.
        let mut request = request();
        request.headers.truncate(1);
        request.headers.extend((0..98).map(|_| ("a".to_owned(), "x".repeat(8000))));
        let names = "host".to_owned() + &";a".repeat(3900);
        assert_eq!(canonical_headers(&request, &names).map(|text| text.len()), None);
        let once = canonical_headers(&request, "a;host").map(|text| text.len());
        assert!(once.is_some_and(|length| length < 1024 * 1024), "{once:?}");
        for names in ["host;a", "a;a;host", "A;host", "a;host;", ";a;host", "host;host"] {
            assert_eq!(canonical_headers(&request, names), None, "{names}");
        }
    }

    #[test]
    fn body_without_a_signature_is_refused() {
        let mut signed = request();
        let unsigned = "UNSIGNED-PAYLOAD";
        signed.headers.push(("X-Amz-Content-Sha256".to_owned(), unsigned.to_owned()));
        signed.headers.push(("X-Amz-Date".to_owned(), basic(NOW)));
        let (scope, names) =
            ("20250130/us-east-1/ec2/aws4_request", "host;x-amz-content-sha256;x-amz-date;x-amz-target");
        let headers = canonical_headers(&signed, names).unwrap();
        let query = parameters(&signed.target);
        let canonical = canonical_request("POST", "/", &query, &headers, names, &signed.body);
        let hash = HEXLOWER.encode(&crate::pki::sha256(&signed.body));
        for (canonical, is_good) in [(canonical.clone(), true), (canonical.replace(&hash, unsigned), false)] {
            let key = signing_key(&credential(None).secret_key, scope);
            let signature = hmac::sign(&key, string_to_sign(&basic(NOW), scope, &canonical).as_bytes());
            let signature = HEXLOWER.encode(signature.as_ref());
            let field = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEALICE/{scope}, SignedHeaders={names}, Signature={signature}"
            );
            let mut request = signed.clone();
            request.headers.push(("Authorization".to_owned(), field));
            assert_eq!(check(&request, NOW).is_ok(), is_good, "{:?}", check(&request, NOW));
        }
    }
}
