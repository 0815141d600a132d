//! The emulator accepts each signature that botocore makes for a request of an API, and none after one change.

use std::process::Command;

use eic_emulator::calendar::from_basic;
use eic_emulator::http::Request;
use eic_emulator::sigv4::{Credential, Scope, SignatureError, Verified, verify_request};
use serde_json::{Value, json};

use crate::world::installed;

struct Case {
    credential: Credential,
    host: &'static str,
    scope: Scope<'static>,
    headers: Vec<(&'static str, String)>,
    body: String,
}

fn cases() -> Vec<Case> {
    let keys = [
        ("AKIAEXAMPLEALICE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None),
        ("ASIAEXAMPLE", "+/+/= ä", Some("FwoGZXIvYXdzE/////wEaDP+a b~c=*%25&x==")),
        ("A", "s", Some("t")),
    ];
    let json_type = ("Content-Type", "application/x-amz-json-1.1".to_owned());
    let form_type = ("Content-Type", "application/x-www-form-urlencoded; charset=utf-8".to_owned());
    let push = "AWSEC2InstanceConnectService.SendSSHPublicKey".to_owned();
    let lookup = "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents".to_owned();
    let key =
        json!({"InstanceId": "i-0123456789abcdef0", "SSHPublicKey": "ssh-ed25519 AAAA+/ ä\n"}).to_string();
    let many = "Action=DescribeInstances&Filter.1.Name=a%2Bb".to_owned() + &"&x=y".repeat(10_000);
    let requests = [
        ("ec2-instance-connect", vec![json_type.clone(), ("X-Amz-Target", push)], key),
        ("cloudtrail", vec![json_type, ("X-Amz-Target", lookup)], "{}".to_owned()),
        ("ec2", vec![form_type], "Action=DescribeInstances&Version=2016-11-15".to_owned()),
        ("ec2", vec![("X-Odd", "a   b,\tc ".to_owned()), ("x-amzn-trace-id", "1".to_owned())], many),
        (
            "ec2",
            vec![("User-Agent", "aws-cli".to_owned()), ("amz-sdk-request", "attempt=1".to_owned())],
            String::new(),
        ),
    ];
    let hosts = [("127.0.0.1:41234", "us-east-1"), ("localhost:8080", "us-gov-west-1")];
    let mut cases = Vec::new();
    for (access_key, secret_key, session_token) in keys {
        for (host, region) in hosts {
            for (service, headers, body) in &requests {
                let credential = Credential {
                    access_key: access_key.to_owned(),
                    secret_key: secret_key.to_owned(),
                    session_token: session_token.map(str::to_owned),
                    expires: None,
                };
                let scope = Scope { region, service };
                cases.push(Case { credential, host, scope, headers: headers.clone(), body: body.clone() });
            }
        }
    }
    cases
}

/// The requests that botocore signs. It adds the field `Host` only when it sends a request.
fn signed(cases: &[Case]) -> Vec<Request> {
    let described: Vec<_> = cases
        .iter()
        .map(|Case { credential, host, scope, headers, body }| {
            json!({
                "access_key": credential.access_key, "secret_key": credential.secret_key,
                "session_token": credential.session_token, "host": host, "region": scope.region,
                "service": scope.service, "headers": headers, "body": body,
            })
        })
        .collect();
    let folder = env!("CARGO_MANIFEST_DIR");
    let script = format!("{folder}/tests/suite/api/sign.py");
    let mut lines = String::new();
    // One argument has a limit of 128 KiB.
    for described in described.chunks(2) {
        let mut command = Command::new(installed("python3"));
        let output = command.args(["-B", &script, &json!(described).to_string()]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        lines.push_str(&String::from_utf8(output.stdout).unwrap());
    }
    assert_eq!(lines.lines().count(), cases.len());
    lines
        .lines()
        .zip(cases)
        .map(|(line, case)| {
            let fields: Vec<(String, String)> = serde_json::from_str::<Value>(line)
                .unwrap()
                .as_array()
                .unwrap()
                .iter()
                .map(|field| [0, 1].map(|part| field[part].as_str().unwrap().to_owned()).into())
                .collect();
            let host = ("Host".to_owned(), case.host.to_owned());
            Request {
                method: "POST".to_owned(),
                target: "/".to_owned(),
                headers: [vec![host], fields].concat(),
                body: case.body.clone().into_bytes(),
                close: false,
            }
        })
        .collect()
}

fn check(case: &Case, request: &Request, now: i64) -> Result<Verified, SignatureError> {
    verify_request(request, case.scope, now, |key, token| {
        let known = &case.credential;
        (key == known.access_key && token == known.session_token.as_deref()).then(|| known.clone())
    })
}

fn field<'r>(request: &'r mut Request, name: &str) -> &'r mut String {
    &mut request.headers.iter_mut().find(|(own, _)| own.eq_ignore_ascii_case(name)).unwrap().1
}

/// The request after each possible change, with a name for it.
fn changed(request: &Request) -> Vec<(String, Request)> {
    let mut all = Vec::new();
    let mut add = |name: &str, change: &dyn Fn(&mut Request)| {
        let mut other = request.clone();
        change(&mut other);
        assert!(other != *request, "{name} changes nothing");
        all.push((name.to_owned(), other));
    };
    add("method", &|request| "PUT".clone_into(&mut request.method));
    add("path", &|request| request.target.push('/'));
    add("query", &|request| request.target.push_str("?a"));
    add("longer body", &|request| request.body.push(b' '));
    if !request.body.is_empty() {
        add("shorter body", &|request| request.body.truncate(request.body.len() - 1));
        add("other body", &|request| request.body[0] ^= 1);
    }
    let authorization = request.header("authorization").unwrap().to_owned();
    let names = authorization.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    for name in names.split(';') {
        add(&format!("other {name}"), &|request| field(request, name).push('1'));
        add(&format!("no {name}"), &|request| {
            request.headers.retain(|(own, _)| !own.eq_ignore_ascii_case(name));
        });
        add(&format!("second {name}"), &|request| request.headers.push((name.to_owned(), "1".to_owned())));
        let without = names.split(';').filter(|own| *own != name).collect::<Vec<_>>().join(";");
        add(&format!("unsigned {name}"), &|request| {
            *field(request, "authorization") = authorization.replace(names, &without);
        });
    }
    add("new field of AWS", &|request| request.headers.push(("X-Amz-New".to_owned(), "1".to_owned())));
    let (start, signature) = authorization.split_at(authorization.len() - 64);
    for (place, digit) in signature.char_indices().step_by(7) {
        let mut other = signature.to_owned();
        other.replace_range(place..=place, if digit == '0' { "1" } else { "0" });
        add("signature", &|request| *field(request, "authorization") = start.to_owned() + &other);
    }
    add("shorter signature", &|request| field(request, "authorization").truncate(authorization.len() - 1));
    add("upper case", &|request| {
        *field(request, "authorization") = start.to_owned() + &signature.to_ascii_uppercase();
    });
    add("no signature", &|request| start.clone_into(field(request, "authorization")));
    for part in ["/us-", "/aws4_request", "Credential=", "SignedHeaders=", "AWS4-HMAC-SHA256", "Signature="] {
        add(part, &|request| {
            *field(request, "authorization") = authorization.replacen(part, &format!("{part}x"), 1);
        });
        add(part, &|request| *field(request, "authorization") = authorization.replacen(part, "", 1));
    }
    all
}

#[test]
fn signature_of_botocore_is_good_for_its_request_and_for_no_other() {
    let cases = cases();
    let requests = signed(&cases);
    let mut refused = 0;
    for (case, request) in cases.iter().zip(&requests) {
        let now = from_basic(request.header("x-amz-date").unwrap()).unwrap();
        for now in [now - 300, now, now + 300] {
            let good = check(case, request, now);
            let access_key = good.map(|good| good.access_key);
            assert_eq!(access_key.as_deref(), Ok(case.credential.access_key.as_str()), "{request:?}");
        }
        for late in [now - 301, now + 301] {
            assert!(matches!(check(case, request, late), Err(SignatureError::Skewed(_))), "{request:?}");
        }
        for (name, other) in changed(request) {
            assert!(check(case, &other, now).is_err(), "{name}: {other:?}");
            refused += 1;
        }
        let secret_key = case.credential.secret_key.clone() + "x";
        let other = Case {
            credential: Credential { secret_key, ..case.credential.clone() },
            headers: Vec::new(),
            body: String::new(),
            ..*case
        };
        assert!(matches!(check(&other, request, now), Err(SignatureError::Mismatch(_))), "{request:?}");
    }
    assert!(refused > 900, "{refused} changes");
}
