//! Pushes, tunnels and other calls that policies, limits or the account refuse, with AWS's messages and records.

use std::collections::BTreeMap;

use eic_emulator::http::client::send;
use eic_emulator::policy::Policy;
use eic_emulator::{Config, Emulator, PushLimits, Rate};
use serde_json::{Value, json};

use crate::api::{AUTHORIZATION, error_of, parameters, push, query, with};
use crate::item;
use crate::tunnel::{
    TARGET, ask, credential, echo, emulator_with, handshake, host, refused, signed_by, tcp, tls,
};

const ALICE: &str = "arn:aws:iam::123456789012:user/alice";
const INSTANCE: &str = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0";
const ENDPOINT: &str = "arn:aws:ec2:us-east-1:123456789012:instance-connect-endpoint/eice-0123456789abcdef0";
const PUSH: &str = "ec2-instance-connect:SendSSHPublicKey";
const TUNNEL: &str = "ec2-instance-connect:OpenTunnel";

fn policies(statements: &Value) -> Vec<Policy> {
    vec![Policy::parse(&json!({ "Version": "2012-10-17", "Statement": statements }).to_string()).unwrap()]
}

fn limited(statements: &Value) -> Config {
    Config { policies: policies(statements), ..Config::default() }
}

fn tags(key: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(key.to_owned(), value.to_owned())])
}

fn message(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    body["Message"].as_str().unwrap().to_owned()
}

fn lookup(emulator: &Emulator, name: &str) -> (u16, Value) {
    let target = ("X-Amz-Target", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101.LookupEvents");
    let body = json!({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": name}]});
    let headers = [AUTHORIZATION, target];
    let answer = send(&emulator.api_url(), "POST", "/", &headers, body.to_string().as_bytes()).unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

/// The documents of the events with this name, newest first.
fn events(emulator: &Emulator, name: &str) -> Vec<Value> {
    let (status, answer) = lookup(emulator, name);
    assert_eq!(status, 200, "{answer}");
    let events = answer["Events"].as_array().unwrap().iter();
    events.map(|event| serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap()).collect()
}

#[test]
fn policy_decides_for_which_user_a_key_may_be_pushed() {
    let emulator = Emulator::start(limited(&json!([
        {
            "Effect": "Allow", "Action": PUSH, "Resource": "arn:aws:ec2:*:*:instance/*",
            "Condition": { "StringEquals": { "ec2:osuser": ["alice", "root"] } },
        },
        {
            "Effect": "Deny", "Action": PUSH, "Resource": "*",
            "Condition": { "StringEquals": { "ec2:osuser": "root" } },
        },
        { "Effect": "Allow", "Action": "cloudtrail:LookupEvents", "Resource": "*" },
    ])))
    .unwrap();
    assert_eq!(push(&emulator, &parameters()).status, 200);
    let start = format!("User: {ALICE} is not authorized to perform: {PUSH} on resource: {INSTANCE}");
    let implicit = format!("{start} because no identity-based policy allows the {PUSH} action");
    let explicit = format!("{start} with an explicit deny in an identity-based policy");
    for (user, expected) in [("bob", &implicit), ("root", &explicit)] {
        let answer = push(&emulator, &with("InstanceOSUser", user));
        assert_eq!(error_of(&answer), (400, "AccessDeniedException".to_owned()));
        assert_eq!(message(&answer.body), *expected);
        assert_eq!(item(&emulator, &format!("managed-ssh-keys/active-keys/{user}")).status, 404);
    }
    let records = events(&emulator, "SendSSHPublicKey");
    assert_eq!(records.len(), 3);
    assert_eq!(
        (&records[0]["errorCode"], &records[0]["errorMessage"]),
        (&json!("AccessDenied"), &json!(explicit))
    );
    assert_eq!(records[0]["userIdentity"]["arn"], ALICE);
    assert_eq!(records[0]["requestParameters"]["osUser"], "root");
    assert_eq!((&records[1]["errorMessage"], records[2].get("errorCode")), (&json!(implicit), None));
}

#[test]
fn policy_decides_by_instance_tag_and_address() {
    let tagged = json!({
        "Effect": "Allow", "Action": PUSH, "Resource": "*",
        "Condition": { "StringEquals": { "aws:ResourceTag/Env": "dev", "ec2:ResourceTag/Env": "dev" } },
    });
    let addressed = json!({
        "Effect": "Allow", "Action": PUSH, "Resource": "*",
        "Condition": { "IpAddress": { "aws:SourceIp": "192.0.2.0/24" } },
    });
    let other = json!({ "Effect": "Allow", "Action": PUSH, "Resource": INSTANCE.replace("def0", "def1") });
    let address = |text: &str| text.parse().unwrap();
    for (config, expected) in [
        (Config { tags: tags("env", "dev"), ..limited(&tagged) }, 200),
        (Config { tags: tags("env", "prod"), ..limited(&tagged) }, 400),
        (Config { endpoint_tags: tags("env", "dev"), ..limited(&tagged) }, 400),
        (Config { source_ip: address("192.0.2.7"), ..limited(&addressed) }, 200),
        (limited(&addressed), 400),
        (limited(&other), 400),
    ] {
        let answer = push(&Emulator::start(config).unwrap(), &parameters());
        assert_eq!(answer.status, expected, "{}", answer.body);
    }
    // The tags of another instance are not known.
    let emulator = Emulator::start(Config { tags: tags("env", "dev"), ..limited(&tagged) }).unwrap();
    let answer = push(&emulator, &with("InstanceId", "i-00000000000000000"));
    assert_eq!(error_of(&answer).1, "AccessDeniedException");
}

#[test]
fn other_calls_are_refused_in_their_forms() {
    let emulator =
        Emulator::start(limited(&json!({ "Effect": "Allow", "Action": PUSH, "Resource": "*" }))).unwrap();
    for action in ["DescribeInstances", "DescribeInstanceConnectEndpoints"] {
        let answer = query(&emulator, &format!("Action={action}"));
        assert_eq!(answer.status, 403);
        let expected = format!(
            "<Code>UnauthorizedOperation</Code><Message>You are not authorized to perform this operation. \
             User: {ALICE} is not authorized to perform: ec2:{action} because no identity-based policy allows \
             the ec2:{action} action</Message>"
        );
        assert!(answer.body.contains(&expected), "{}", answer.body);
    }
    let (status, answer) = lookup(&emulator, "OpenTunnel");
    assert_eq!((status, &answer["__type"]), (400, &json!("AccessDeniedException")));
    let expected = format!(
        "User: {ALICE} is not authorized to perform: cloudtrail:LookupEvents because no identity-based \
         policy allows the cloudtrail:LookupEvents action"
    );
    assert_eq!(answer["Message"], expected);
}

#[test]
fn policy_decides_over_tunnels() {
    let statements = json!([
        {
            "Effect": "Allow", "Action": TUNNEL, "Resource": ENDPOINT,
            "Condition": {
                "NumericEquals": { "ec2-instance-connect:remotePort": "22" },
                "IpAddress": { "ec2-instance-connect:privateIpAddress": "127.0.0.0/31" },
                "NumericLessThanEquals": { "ec2-instance-connect:maxTunnelDuration": "600" },
                "StringEquals": { "aws:ResourceTag/Team": "red" },
            },
        },
        { "Effect": "Allow", "Action": "cloudtrail:LookupEvents", "Resource": "*" },
    ]);
    let config = Config { endpoint_tags: tags("Team", "red"), ..limited(&statements) };
    let emulator = emulator_with(config, echo);
    let message = format!(
        "User: {ALICE} is not authorized to perform: {TUNNEL} on resource: {ENDPOINT} because no \
         identity-based policy allows the {TUNNEL} action"
    );
    let long = format!("{TARGET}&maxTunnelDuration=601");
    // Without a duration, the tunnel may last for an hour.
    let refusals = [long.replace("=601", "=60").replace("=22", "=3389"), long, TARGET.to_owned()];
    for target in &refusals {
        let target = signed_by(&emulator, &credential(), target);
        let (status, body) = refused(&emulator, "GET", &target, &handshake(&host()));
        assert_eq!((status, &body["ErrorCode"]), (403, &json!("AccessDenied")), "{target}");
        assert_eq!(body["Message"], message);
    }
    let good = signed_by(&emulator, &credential(), &format!("{TARGET}&maxTunnelDuration=600"));
    let mut stream = tls(&emulator, tcp(&emulator), &host());
    assert!(ask(&mut stream, "GET", &good, &handshake(&host())).starts_with("HTTP/1.1 101 "));
    let records = events(&emulator, "OpenTunnel");
    assert_eq!(records.len(), 4);
    assert_eq!(records[0].get("errorCode"), None);
    assert_eq!(
        (&records[1]["errorCode"], &records[1]["errorMessage"]),
        (&json!("AccessDenied"), &json!(message))
    );
}

#[test]
fn caller_of_another_account_finds_nothing() {
    let callers =
        BTreeMap::from([("AKIAEXAMPLEALICE".to_owned(), "arn:aws:iam::210987654321:user/a".to_owned())]);
    let emulator = emulator_with(Config { callers, ..Config::default() }, echo);
    let answer = push(&emulator, &parameters());
    assert_eq!(error_of(&answer), (400, "EC2InstanceNotFoundException".to_owned()));
    assert!(query(&emulator, "Action=DescribeInstances").body.contains("<reservationSet></reservationSet>"));
    let named = query(&emulator, "Action=DescribeInstances&InstanceId.1=i-0123456789abcdef0");
    assert!(named.body.contains("InvalidInstanceID.NotFound"), "{}", named.body);
    let endpoints = query(&emulator, "Action=DescribeInstanceConnectEndpoints").body;
    assert!(endpoints.contains("<instanceConnectEndpointSet></instance"), "{endpoints}");
    let target = signed_by(&emulator, &credential(), TARGET);
    let (status, body) = refused(&emulator, "GET", &target, &handshake(&host()));
    assert_eq!((status, &body["ErrorCode"]), (400, &json!("InvalidParameter")), "{body}");
    // The account of the caller has the records. A caller of the instance's account does not see them.
    assert_eq!(events(&emulator, "SendSSHPublicKey")[0]["errorCode"], "EC2InstanceNotFoundException");
}

#[test]
fn account_and_instance_have_limits_in_time() {
    let slow = |burst| Some(Rate { burst, per_second: 0.0 });
    let throttled = (400, "ThrottlingException".to_owned());
    for (push_limits, others_count) in [
        (PushLimits { account: slow(3), instance: None }, true),
        (PushLimits { account: None, instance: slow(3) }, false),
    ] {
        let emulator = Emulator::start(Config { push_limits, ..Config::default() }).unwrap();
        let other = with("InstanceId", "i-00000000000000000");
        assert_eq!(error_of(&push(&emulator, &other)).1, "EC2InstanceNotFoundException");
        let left = if others_count { 2 } else { 3 };
        for _ in 0..left {
            assert_eq!(push(&emulator, &parameters()).status, 200);
        }
        let answer = push(&emulator, &parameters());
        assert_eq!(error_of(&answer), throttled);
        // A public log shows this message, and an answer of the same length.
        assert_eq!(
            answer.body,
            r#"{"Message":"Server is busy! Please retry after a moment.","__type":"ThrottlingException"}"#
        );
        assert_eq!(events(&emulator, "SendSSHPublicKey")[0]["errorCode"], "ThrottlingException");
    }
    let emulator = Emulator::start(Config::default()).unwrap();
    assert!((0..100).all(|_| push(&emulator, &parameters()).status == 200), "the library has no limit");
}

#[test]
fn each_refused_push_is_recorded() {
    let emulator = Emulator::start(Config::default()).unwrap();
    emulator.set_instance_state("stopped");
    let sk = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIFXNjotqNox+MZYb0lsO10gNjZ0q16\
              x5th73vx6vMcrJAAAABHNzaDo=";
    let long = "x".repeat(50_000);
    for (body, code) in [
        (with("SSHPublicKey", sk), "InvalidArgsException"),
        (with("SSHPublicKey", &long), "InvalidArgsException"),
        (with("InstanceId", "mi-0123456789abcdef0"), "InvalidArgsException"),
        (parameters(), "EC2InstanceStateInvalidException"),
        (with("AvailabilityZone", "us-east-1b"), "EC2InstanceNotFoundException"),
        (json!(null), "InvalidArgsException"),
    ] {
        let answer = push(&emulator, &body);
        assert_eq!(error_of(&answer), (400, code.to_owned()));
        let record = &events(&emulator, "SendSSHPublicKey")[0];
        assert_eq!(
            (&record["errorCode"], &record["errorMessage"]),
            (&json!(code), &json!(message(&answer.body)))
        );
        assert!(record.to_string().len() < 4000, "{record}");
    }
    assert_eq!(
        message(&push(&emulator, &with("SSHPublicKey", sk)).body),
        "Invalid input parameter received for Illegal argument exception: SSH Public key is invalid"
    );
    let both = json!({ "InstanceId": "mi-0", "InstanceOSUser": "a b" });
    let message = message(&push(&emulator, &both).body);
    assert!(message.starts_with("3 validation errors detected: Value 'mi-0' at 'instanceId' "), "{message}");
    // The library pushes any key.
    emulator.set_instance_state("running");
    emulator.push("alice", sk, ALICE);
    assert!(item(&emulator, "managed-ssh-keys/active-keys/alice").body.contains(sk));
}

#[test]
fn policy_of_the_readme_allows_pushes_for_one_user() {
    let readme = include_str!("../../README.md");
    let block = readme.split("\n```\n").find(|block| block.contains("\"Statement\"")).unwrap();
    let policies = vec![Policy::parse(block).unwrap()];
    let emulator = Emulator::start(Config { policies, ..Config::default() }).unwrap();
    assert_eq!(push(&emulator, &with("InstanceOSUser", "ec2-user")).status, 200);
    assert_eq!(error_of(&push(&emulator, &with("InstanceOSUser", "root"))).1, "AccessDeniedException");
    assert_eq!(query(&emulator, "Action=DescribeInstances").status, 200);
}
