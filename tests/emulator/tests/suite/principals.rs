//! With principals, every request needs a good signature. `tests/suite/api` compares the signatures with botocore's.

use eic_emulator::http::Request;
use eic_emulator::http::client::{Received, send};
use eic_emulator::policy::Policy;
use eic_emulator::sigv4::{Credential, Scope, sign_request};
use eic_emulator::{Config, DEFAULT_SECRET_KEY, Emulator, Principal};
use serde_json::Value;

use crate::api::{AUTHORIZATION, parameters};
use crate::tunnel::{TARGET, echo, emulator_with, handshake, host, refused, signed_by};

const PUSH: &str = "AWSEC2InstanceConnectService.SendSSHPublicKey";
const LOOKUP: &str = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents";

fn credential(access_key: &str, token: Option<&str>) -> Credential {
    Credential {
        access_key: access_key.to_owned(),
        secret_key: format!("{access_key}-secret"),
        session_token: token.map(str::to_owned),
        expires: None,
    }
}

fn alice() -> Credential {
    credential("AKIAALICE", None)
}

/// Alice may do everything. Bob is a session of a role that may only push. `nobody` has no permission.
fn principals(expires: Option<i64>) -> Vec<Principal> {
    let push =
        r#"{"Statement": {"Effect": "Allow", "Action": "ec2-instance-connect:Send*", "Resource": "*"}}"#;
    let bob = Credential { expires, ..credential("ASIABOB", Some("token-of-bob")) };
    vec![
        Principal::new(alice(), "arn:aws:iam::123456789012:user/alice"),
        Principal {
            policies: Some(vec![Policy::parse(push).unwrap()]),
            ..Principal::new(bob, "arn:aws:sts::123456789012:assumed-role/Admin/bob")
        },
        Principal {
            policies: Some(Vec::new()),
            ..Principal::new(credential("AKIANOBODY", None), "arn:aws:iam::123456789012:user/nobody")
        },
    ]
}

fn start() -> Emulator {
    Emulator::start(Config { principals: principals(None), ..Config::default() }).unwrap()
}

/// Sends a request of a client with this credential, after a change.
fn call(
    emulator: &Emulator,
    credential: &Credential,
    target: &str,
    offset: i64,
    change: impl FnOnce(&mut Request),
) -> Received {
    let service = match target {
        PUSH => "ec2-instance-connect",
        LOOKUP => "cloudtrail",
        _ => "ec2",
    };
    let body = match target {
        PUSH => parameters().to_string(),
        LOOKUP => "{}".to_owned(),
        form => form.to_owned(),
    };
    let mut request = Request {
        method: "POST".to_owned(),
        target: "/".to_owned(),
        headers: vec![("Host".to_owned(), emulator.api_url().trim_start_matches("http://").to_owned())],
        body: body.into_bytes(),
        close: false,
    };
    if service != "ec2" {
        request.headers.push(("X-Amz-Target".to_owned(), target.to_owned()));
    }
    let scope = Scope { region: "us-east-1", service };
    sign_request(&mut request, credential, scope, emulator.now() + offset);
    change(&mut request);
    let headers = request.headers.iter().filter(|(name, _)| name != "Host");
    let headers: Vec<_> = headers.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    send(&emulator.api_url(), &request.method, &request.target, &headers, &request.body).unwrap()
}

/// The status and the code of an answer in one of the two forms.
fn error(answer: &Received) -> (u16, String) {
    if let Ok(body) = serde_json::from_str::<Value>(&answer.body) {
        return (answer.status, body["__type"].as_str().unwrap_or_default().to_owned());
    }
    let code = answer.body.split("<Code>").nth(1).and_then(|rest| rest.split("</Code>").next());
    (answer.status, code.unwrap_or_default().to_owned())
}

const DESCRIBE: &str = "Action=DescribeInstances&Version=2016-11-15";

#[test]
fn principal_gets_what_its_policies_allow() {
    let emulator = start();
    let bob = credential("ASIABOB", Some("token-of-bob"));
    let nobody = credential("AKIANOBODY", None);
    let denied = |form: &str| match form {
        DESCRIBE => (403, "UnauthorizedOperation".to_owned()),
        _ => (400, "AccessDeniedException".to_owned()),
    };
    for target in [PUSH, LOOKUP, DESCRIBE] {
        let status = |credential| call(&emulator, credential, target, 0, |_| ()).status;
        assert_eq!(status(&alice()), 200, "{target}");
        assert_eq!(error(&call(&emulator, &nobody, target, 0, |_| ())), denied(target));
        let answer = call(&emulator, &bob, target, 0, |_| ());
        let expected = if target == PUSH { (200, String::new()) } else { denied(target) };
        assert_eq!(error(&answer), expected, "{}", answer.body);
    }
    let bundle = crate::item(&emulator, "managed-ssh-keys/active-keys/alice").body;
    assert!(bundle.contains("#Caller=arn:aws:iam::123456789012:user/alice\n"), "{bundle}");
    assert!(bundle.contains("#Caller=arn:aws:sts::123456789012:assumed-role/Admin/bob\n"), "{bundle}");
}

/// A bad signature, and its error in AWS JSON and in the EC2 query protocol.
struct Row {
    name: &'static str,
    credential: Credential,
    offset: i64,
    change: fn(&mut Request),
    json: &'static str,
    ec2: (u16, &'static str),
}

fn row(name: &'static str, json: &'static str, ec2: (u16, &'static str)) -> Row {
    Row { name, credential: alice(), offset: 0, change: |_| (), json, ec2 }
}

fn authorization(request: &mut Request) -> &mut String {
    &mut request.headers.last_mut().unwrap().1
}

fn rows() -> Vec<Row> {
    let mismatch = |name, change| Row {
        change,
        ..row(name, "InvalidSignatureException", (403, "SignatureDoesNotMatch"))
    };
    let unknown = |name, credential| Row {
        credential,
        ..row(name, "UnrecognizedClientException", (401, "AuthFailure"))
    };
    let incomplete = |name, change| Row {
        change,
        ..row(name, "IncompleteSignatureException", (400, "IncompleteSignature"))
    };
    let default =
        Credential { secret_key: DEFAULT_SECRET_KEY.to_owned(), ..credential("AKIAEXAMPLEDEMO", None) };
    vec![
        Row {
            change: |request| drop(request.headers.pop()),
            ..row("no signature", "MissingAuthenticationTokenException", (401, "AuthFailure"))
        },
        Row {
            credential: Credential { secret_key: "wrong".to_owned(), ..alice() },
            ..mismatch("wrong secret", |_| ())
        },
        unknown("unknown key", credential("AKIAEVE", None)),
        unknown("the usual key of an emulator without principals", default),
        unknown("no session token", credential("ASIABOB", None)),
        unknown("wrong session token", credential("ASIABOB", Some("token-of-eve"))),
        unknown("session token of another key", credential("AKIAALICE", Some("token-of-bob"))),
        Row { offset: -400, ..row("too late", "InvalidSignatureException", (400, "RequestExpired")) },
        Row { offset: 400, ..row("too early", "InvalidSignatureException", (400, "RequestExpired")) },
        mismatch("another body", |request| request.body[0] ^= 1),
        mismatch("another date", |request| {
            let date = request.headers.iter_mut().find(|(name, _)| name == "X-Amz-Date").unwrap();
            date.1.replace_range(14..15, if date.1.as_bytes()[14] == b'0' { "1" } else { "0" });
        }),
        mismatch("another region", |request| {
            *authorization(request) = authorization(request).replace("us-east-1", "us-east-2");
        }),
        mismatch("another service", |request| {
            let field = authorization(request).replace("/us-east-1/", "/us-east-1/x");
            *authorization(request) = field;
        }),
        mismatch("unsigned field", |request| {
            request.headers.insert(0, ("x-amz-user-agent".to_owned(), "a".to_owned()));
        }),
        mismatch("unsigned query", |request| request.target.push_str("?Action=RunInstances")),
        incomplete("another algorithm", |request| {
            *authorization(request) = authorization(request).replace("SHA256 ", "SHA1 ");
        }),
        incomplete("no date", |request| request.headers.retain(|(name, _)| name != "X-Amz-Date")),
        incomplete("two signatures", |request| {
            let field = authorization(request).clone();
            request.headers.push(("authorization".to_owned(), field));
        }),
    ]
}

#[test]
fn bad_signature_is_refused_in_the_form_of_the_protocol() {
    let emulator = start();
    for row in rows() {
        for target in [PUSH, LOOKUP] {
            let answer = call(&emulator, &row.credential, target, row.offset, row.change);
            assert_eq!(error(&answer), (400, row.json.to_owned()), "{}: {}", row.name, answer.body);
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{}: {body}", row.name);
        }
        let answer = call(&emulator, &row.credential, DESCRIBE, row.offset, row.change);
        assert_eq!(error(&answer), (row.ec2.0, row.ec2.1.to_owned()), "{}: {}", row.name, answer.body);
    }
    assert_eq!(crate::item(&emulator, "managed-ssh-keys/active-keys/").status, 404, "no key was pushed");
    // A signature that names a service is good only there, and a made-up one nowhere.
    let answer = call(&emulator, &alice(), DESCRIBE, 0, |request| {
        request.headers.push(("X-Amz-Target".to_owned(), LOOKUP.to_owned()));
    });
    assert_eq!(error(&answer), (400, "InvalidSignatureException".to_owned()));
    let made_up = send(&emulator.api_url(), "POST", "/", &[AUTHORIZATION], DESCRIBE.as_bytes()).unwrap();
    assert_eq!(made_up.status, 400, "{}", made_up.body);
}

#[test]
fn temporary_credential_of_a_principal_ends() {
    let end = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 600;
    let config = Config { principals: principals(Some(i64::try_from(end).unwrap())), ..Config::default() };
    let emulator = emulator_with(config, echo);
    let bob = credential("ASIABOB", Some("token-of-bob"));
    assert_eq!(call(&emulator, &bob, PUSH, 0, |_| ()).status, 200);
    emulator.set_clock_offset(700);
    let answer = call(&emulator, &bob, PUSH, 0, |_| ());
    assert_eq!(error(&answer), (400, "ExpiredTokenException".to_owned()));
    let answer = call(&emulator, &bob, DESCRIBE, 0, |_| ());
    assert_eq!(error(&answer), (400, "RequestExpired".to_owned()));
    let wrong = Credential { secret_key: "wrong".to_owned(), ..bob };
    let answer = call(&emulator, &wrong, PUSH, 0, |_| ());
    assert_eq!(error(&answer), (400, "InvalidSignatureException".to_owned()), "others learn nothing");
}

#[test]
fn tunnel_of_a_principal_needs_its_secret_and_its_policies() {
    let emulator = emulator_with(Config { principals: principals(None), ..Config::default() }, echo);
    for (credential, code) in [
        (credential("ASIABOB", Some("token-of-bob")), "AccessDenied"),
        (credential("AKIANOBODY", None), "AccessDenied"),
        (Credential { secret_key: DEFAULT_SECRET_KEY.to_owned(), ..alice() }, "SignatureDoesNotMatch"),
    ] {
        let target = signed_by(&emulator, &credential, TARGET);
        let (status, body) = refused(&emulator, "GET", &target, &handshake(&host()));
        assert_eq!((status, body["ErrorCode"].as_str()), (403, Some(code)), "{body}");
    }
}
