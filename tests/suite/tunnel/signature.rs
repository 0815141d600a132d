//! The emulator's Signature Version 4 is botocore's.

use eic_emulator::calendar::from_basic;
use eic_emulator::http::Request;
use eic_emulator::sigv4::{Credential, Scope, parameters, presign, verify};
use serde_json::json;

use super::client;

struct Case {
    credential: Credential,
    host: &'static str,
    region: &'static str,
    parameters: Vec<(&'static str, &'static str)>,
}

fn cases() -> Vec<Case> {
    let keys = [
        ("AKIAEXAMPLEALICE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None),
        ("ASIAEXAMPLE", "+/+/=", Some("FwoGZXIvYXdzE/////wEaDP+a b~c=*%25&x==")),
        ("A", "s", Some("t")),
    ];
    let targets = [
        ("eice-0123456789abcdef0.ec2-instance-connect-endpoint.us-east-1.test", "us-east-1"),
        ("localhost", "us-gov-west-1"),
    ];
    let queries = [
        vec![
            ("instanceConnectEndpointId", "eice-0123456789abcdef0"),
            ("remotePort", "22"),
            ("privateIpAddress", "10.0.1.7"),
        ],
        vec![("privateIpAddress", "fd00:ec2::7"), ("maxTunnelDuration", "3600"), ("remotePort", "3389")],
        vec![
            ("empty", ""),
            ("Z", "upper"),
            ("a", "lower"),
            ("a-b", "1"),
            ("a.b", "2"),
            ("umlaut", "ä/€~*'()"),
        ],
        vec![],
    ];
    let mut cases = Vec::new();
    for (access_key, secret_key, session_token) in keys {
        for (host, region) in targets {
            for parameters in &queries {
                let credential = Credential {
                    access_key: access_key.to_owned(),
                    secret_key: secret_key.to_owned(),
                    session_token: session_token.map(str::to_owned),
                    expires: None,
                };
                cases.push(Case { credential, host, region, parameters: parameters.clone() });
            }
        }
    }
    cases
}

fn field(target: &str, name: &str) -> Option<String> {
    parameters(target).into_iter().find(|(own, _)| own == name).map(|(_, value)| value)
}

#[test]
fn signatures_are_those_of_botocore() {
    let cases = cases();
    let described: Vec<_> = cases
        .iter()
        .map(|Case { credential, host, region, parameters }| {
            json!({
                "access_key": credential.access_key, "secret_key": credential.secret_key,
                "session_token": credential.session_token, "host": host, "region": region,
                "parameters": parameters,
            })
        })
        .collect();
    let signed = client().arg("sign").arg(json!(described).to_string()).output().unwrap();
    assert!(signed.status.success(), "{signed:?}");
    let urls = String::from_utf8(signed.stdout).unwrap();
    assert_eq!(urls.lines().count(), cases.len());
    for (url, case) in urls.lines().zip(cases) {
        let target = url.strip_prefix(&format!("https://{}", case.host)).unwrap();
        let now = from_basic(&field(target, "X-Amz-Date").unwrap()).unwrap();
        let scope = Scope { region: case.region, service: "ec2-instance-connect" };
        // The fields of AWS CLI 2, and no other.
        let mut expected = vec![
            "Algorithm",
            "Credential",
            "Date",
            "Expires",
            "SignedHeaders",
            "Signature",
            "Security-Token",
        ];
        if case.credential.session_token.is_none() {
            expected.pop();
        }
        let parameters = parameters(target);
        let mut fields: Vec<_> =
            parameters.iter().filter_map(|(name, _)| name.strip_prefix("X-Amz-")).collect();
        fields.sort_unstable();
        expected.sort_unstable();
        assert_eq!(fields, expected, "{url}");
        assert_eq!(field(target, "X-Amz-SignedHeaders").as_deref(), Some("host"));

        let own = target.split("X-Amz-").next().unwrap().trim_end_matches(['&', '?']);
        let own = presign(&case.credential, scope, case.host, own, now, 60);
        assert_eq!(field(&own, "X-Amz-Signature"), field(target, "X-Amz-Signature"), "{url}\n{own}");

        let headers = vec![("host".to_owned(), case.host.to_owned())];
        let request =
            Request { method: "GET".to_owned(), target: target.to_owned(), headers, ..Request::default() };
        let verified = verify(&request, scope, now, |key, token| {
            let is_own =
                key == case.credential.access_key && token == case.credential.session_token.as_deref();
            is_own.then(|| case.credential.clone())
        });
        assert_eq!(verified.map(|good| good.expires), Ok(now + 60), "{url}");
    }
}
