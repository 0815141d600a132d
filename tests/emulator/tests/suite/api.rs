//! The AWS API: validation and errors.

use std::collections::BTreeMap;

use eic_emulator::http::client::{Received, send};
use eic_emulator::{Config, Emulator, ErrorKind};
use serde_json::{Value, json};

use crate::{KEY, item};

pub(crate) const AUTHORIZATION: (&str, &str) = (
    "Authorization",
    "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLEALICE/20250130/us-east-1/x/aws4_request, SignedHeaders=host, \
     Signature=00",
);

pub(crate) fn push(emulator: &Emulator, body: &Value) -> Received {
    let target = ("X-Amz-Target", "AWSEC2InstanceConnectService.SendSSHPublicKey");
    send(&emulator.api_url(), "POST", "/", &[AUTHORIZATION, target], body.to_string().as_bytes()).unwrap()
}

pub(crate) fn parameters() -> Value {
    json!({
        "InstanceId": "i-0123456789abcdef0",
        "InstanceOSUser": "alice",
        "SSHPublicKey": format!("{KEY} comment\n"),
    })
}

pub(crate) fn with(name: &str, value: &str) -> Value {
    let mut parameters = parameters();
    parameters[name] = value.into();
    parameters
}

pub(crate) fn error_of(received: &Received) -> (u16, String) {
    let body: Value = serde_json::from_str(&received.body).unwrap();
    let message = body.get("Message").or(body.get("message"));
    assert!(message.and_then(Value::as_str).is_some_and(|message| !message.is_empty()), "{body}");
    (received.status, body["__type"].as_str().unwrap().to_owned())
}

#[test]
fn a_pushed_key_is_on_the_instance() {
    let callers =
        BTreeMap::from([("AKIAEXAMPLEALICE".to_owned(), "arn:aws:iam::123456789012:user/mapped".to_owned())]);
    let emulator = Emulator::start(Config { callers, ..Config::default() }).unwrap();
    let received = push(&emulator, &with("AvailabilityZone", "us-east-1a"));
    assert_eq!(received.status, 200, "{}", received.body);
    let body: Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(body["Success"], true);
    let bundle = item(&emulator, "managed-ssh-keys/active-keys/alice").body;
    assert!(bundle.contains(&format!("#Request={}\n", body["RequestId"].as_str().unwrap())));
    assert!(bundle.contains("#Caller=arn:aws:iam::123456789012:user/mapped\n"));
    assert!(bundle.contains(&format!("\n{KEY} comment\n")));
}

#[test]
fn wrong_parameters_are_refused() {
    let emulator = Emulator::start(Config::default()).unwrap();
    let long = format!("{KEY} {}", "c".repeat(4096));
    for (name, value) in [
        ("InstanceId", "i-xyz"),
        ("InstanceOSUser", "a b"),
        ("InstanceOSUser", "../root"),
        ("SSHPublicKey", "ssh-ed25519 AAAA"),
        ("SSHPublicKey", &long),
        ("SSHPublicKey", &KEY.replace("ssh-ed25519", "ssh-rsa    ")),
        ("SSHPublicKey", &format!("{KEY}\n{KEY}")),
        ("AvailabilityZone", "nowhere"),
    ] {
        let expected = (400, "InvalidArgsException".to_owned());
        assert_eq!(error_of(&push(&emulator, &with(name, value))), expected, "{name} {value}");
    }
    for name in ["InstanceId", "InstanceOSUser", "SSHPublicKey"] {
        let mut parameters = parameters();
        parameters.as_object_mut().unwrap().remove(name);
        assert_eq!(error_of(&push(&emulator, &parameters)).1, "InvalidArgsException", "without {name}");
    }
    assert_eq!(item(&emulator, "managed-ssh-keys/active-keys/").status, 404);
}

#[test]
fn each_error_of_the_service_has_its_code() {
    let emulator = Emulator::start(Config::default()).unwrap();
    let not_found = (400, "EC2InstanceNotFoundException".to_owned());
    assert_eq!(error_of(&push(&emulator, &with("InstanceId", "i-00000000000000000"))), not_found);
    assert_eq!(error_of(&push(&emulator, &with("AvailabilityZone", "us-east-1b"))), not_found);

    for (state, error) in [
        ("stopped", "EC2InstanceStateInvalidException"),
        ("stopping", "EC2InstanceStateInvalidException"),
        ("terminated", "EC2InstanceStateInvalidException"),
        ("pending", "EC2InstanceUnavailableException"),
    ] {
        emulator.set_instance_state(state);
        assert_eq!(error_of(&push(&emulator, &parameters())), (400, error.to_owned()), "{state}");
    }
    emulator.set_instance_state("running");

    emulator.fail_push(ErrorKind::ThrottlingException, "Slow down", 1);
    emulator.fail_push(ErrorKind::Ec2InstanceUnavailableException, "Away", 1);
    emulator.fail_push(ErrorKind::AccessDeniedException, "No", 1);
    emulator.fail_push(ErrorKind::ServiceException, "Sorry", 1);
    assert_eq!(error_of(&push(&emulator, &parameters())), (400, "ThrottlingException".to_owned()));
    assert_eq!(
        error_of(&push(&emulator, &parameters())),
        (400, "EC2InstanceUnavailableException".to_owned())
    );
    assert_eq!(error_of(&push(&emulator, &parameters())), (400, "AccessDeniedException".to_owned()));
    assert_eq!(error_of(&push(&emulator, &parameters())), (500, "ServiceException".to_owned()));
    assert_eq!(push(&emulator, &parameters()).status, 200);

    let target = ("X-Amz-Target", "AWSEC2InstanceConnectService.SendSSHPublicKey");
    let unsigned = send(&emulator.api_url(), "POST", "/", &[target], b"{}").unwrap();
    assert_eq!(error_of(&unsigned), (400, "MissingAuthenticationTokenException".to_owned()));
    let other = ("X-Amz-Target", "AWSEC2InstanceConnectService.SendSerialConsoleSSHPublicKey");
    let other = send(&emulator.api_url(), "POST", "/", &[AUTHORIZATION, other], b"{}").unwrap();
    assert_eq!(error_of(&other), (400, "UnknownOperationException".to_owned()));
}

pub(crate) fn query(emulator: &Emulator, form: &str) -> Received {
    send(&emulator.api_url(), "POST", "/", &[AUTHORIZATION], form.as_bytes()).unwrap()
}

#[test]
fn clients_can_find_the_instance() {
    let config = Config { instance_ip: "192.0.2.7".parse().unwrap(), ..Config::default() };
    let emulator = Emulator::start(config).unwrap();
    let found = query(&emulator, "Action=DescribeInstances&InstanceId.1=i-0123456789abcdef0").body;
    for expected in [
        "<instanceId>i-0123456789abcdef0</instanceId>",
        "<ipAddress>192.0.2.7</ipAddress>",
        "<privateIpAddress>192.0.2.7</privateIpAddress>",
        "<name>running</name>",
        "<availabilityZone>us-east-1a</availabilityZone>",
    ] {
        assert!(found.contains(expected), "{found}");
    }
    let other = "Action=DescribeInstances&Filter.1.Name=instance-id&Filter.1.Value.1=i-00000000000000000";
    assert!(query(&emulator, other).body.contains("<reservationSet></reservationSet>"));
    let endpoints =
        "Action=DescribeInstanceConnectEndpoints&Filter.1.Name=state&Filter.1.Value.1=create-complete";
    assert!(query(&emulator, endpoints).body.contains("<state>create-complete</state>"));
    let elsewhere = "Action=DescribeInstanceConnectEndpoints&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-0";
    assert!(query(&emulator, elsewhere).body.contains("<instanceConnectEndpointSet></instance"));
}

#[test]
fn wrong_query_gets_its_error_code() {
    let emulator = Emulator::start(Config::default()).unwrap();
    for (form, code) in [
        ("Action=DescribeInstances&InstanceId.1=i-00000000000000000", "InvalidInstanceID.NotFound"),
        ("Action=DescribeInstances&InstanceId.1=i%2Dx", "InvalidInstanceID.Malformed"),
        ("Action=RunInstances", "InvalidAction"),
        ("", "MissingAction"),
    ] {
        let received = query(&emulator, form);
        assert_eq!(received.status, 400);
        assert!(received.body.contains(&format!("<Code>{code}</Code>")), "{}", received.body);
    }
    let unsigned = send(&emulator.api_url(), "POST", "/", &[], b"Action=DescribeInstances").unwrap();
    assert_eq!(unsigned.status, 401);
}
