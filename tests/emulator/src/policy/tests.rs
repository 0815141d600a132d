//! Tables of policies, requests and decisions. The first one has the policies of the EC2 User Guide ("Grant IAM
//! permissions for EC2 Instance Connect", "Grant IAM permissions to use EC2 Instance Connect Endpoint").

use serde_json::{Value, json};

use super::Decision::{Allowed, Denied, NotAllowed};
use super::{Context, Decision, Policy, decide};

const INSTANCE: &str = "arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0";
const OTHER: &str = "arn:aws:ec2:us-east-1:123456789012:instance/i-0fedcba9876543210";
const ENDPOINT: &str = "arn:aws:ec2:us-east-1:123456789012:instance-connect-endpoint/eice-0123456789abcdef0";
const PUSH: &str = "ec2-instance-connect:SendSSHPublicKey";
const TUNNEL: &str = "ec2-instance-connect:OpenTunnel";

fn policy(statements: &Value) -> Policy {
    Policy::parse(&json!({ "Version": "2012-10-17", "Statement": statements }).to_string()).unwrap()
}

fn context(keys: &[(&str, &str)]) -> Context {
    keys.iter().fold(Context::default(), |context, (key, value)| context.with(key, value))
}

fn fault(text: &str) -> String {
    Policy::parse(text).unwrap_err()
}

type Row<'r> = (&'r str, &'r str, &'r [(&'r str, &'r str)], Decision);

fn check(name: &str, statements: &Value, rows: &[Row<'_>]) {
    let policy = policy(statements);
    for (action, resource, keys, expected) in rows {
        let decision = decide([&policy], action, resource, &context(keys));
        assert_eq!(decision, *expected, "{name}: {action} {resource} {keys:?}");
    }
}

fn describe(action: &str) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": "*" })
}

#[test]
fn policies_of_the_guide_for_pushes_decide_as_it_says() {
    check(
        "certain instances",
        &json!([
            {
                "Effect": "Allow", "Action": PUSH, "Resource": [INSTANCE, OTHER],
                "Condition": { "StringEquals": { "ec2:osuser": "ami-username" } },
            },
            describe("ec2:DescribeInstances"),
        ]),
        &[
            (PUSH, INSTANCE, &[("ec2:osuser", "ami-username")], Allowed),
            (PUSH, OTHER, &[("ec2:osuser", "ami-username")], Allowed),
            (PUSH, INSTANCE, &[("ec2:osuser", "root")], NotAllowed),
            (PUSH, INSTANCE, &[("ec2:osuser", "AMI-username")], NotAllowed),
            (PUSH, INSTANCE, &[], NotAllowed),
            (PUSH, &INSTANCE.replace("def0", "def1"), &[("ec2:osuser", "ami-username")], NotAllowed),
            (TUNNEL, ENDPOINT, &[("ec2:osuser", "ami-username")], NotAllowed),
            ("ec2:DescribeInstances", "*", &[], Allowed),
            ("ec2:DescribeInstanceConnectEndpoints", "*", &[], NotAllowed),
        ],
    );
    check(
        "instances with a tag",
        &json!([
            {
                "Effect": "Allow", "Action": PUSH,
                "Resource": "arn:aws:ec2:us-east-1:123456789012:instance/*",
                "Condition": { "StringEquals": { "aws:ResourceTag/tag-key": "tag-value" } },
            },
            describe("ec2:DescribeInstances"),
        ]),
        &[
            (PUSH, INSTANCE, &[("aws:ResourceTag/tag-key", "tag-value")], Allowed),
            (PUSH, OTHER, &[("aws:ResourceTag/Tag-Key", "tag-value")], Allowed),
            (PUSH, INSTANCE, &[("aws:ResourceTag/tag-key", "other")], NotAllowed),
            (PUSH, INSTANCE, &[], NotAllowed),
            (
                PUSH,
                &INSTANCE.replace("1234567890", "0"),
                &[("aws:ResourceTag/tag-key", "tag-value")],
                NotAllowed,
            ),
        ],
    );
}

#[test]
fn policies_of_the_guide_for_the_endpoint_decide_as_it_says() {
    check(
        "creating endpoints",
        &json!([
            {
                "Sid": "Endpoints", "Effect": "Allow",
                "Action": [
                    "ec2:CreateInstanceConnectEndpoint", "ec2:DeleteInstanceConnectEndpoint",
                    "ec2:CreateNetworkInterface", "ec2:CreateTags", "iam:CreateServiceLinkedRole",
                ],
                "Resource": "arn:aws:ec2:us-east-1:123456789012:subnet/*",
            },
            { "Action": ["ec2:CreateNetworkInterface"], "Effect": "Allow", "Resource": "arn:aws:ec2:*:*:security-group/*" },
            {
                "Sid": "Describe", "Action": ["ec2:DescribeInstanceConnectEndpoints"], "Effect": "Allow",
                "Resource": "*",
            },
        ]),
        &[
            ("ec2:DescribeInstanceConnectEndpoints", "*", &[], Allowed),
            ("ec2:DescribeInstances", "*", &[], NotAllowed),
            (TUNNEL, ENDPOINT, &[], NotAllowed),
        ],
    );
    let limits = |port, address, seconds| {
        [
            ("ec2-instance-connect:remotePort", port),
            ("ec2-instance-connect:privateIpAddress", address),
            ("ec2-instance-connect:maxTunnelDuration", seconds),
        ]
    };
    check(
        "tunnels with limits",
        &json!([
            {
                "Action": TUNNEL, "Effect": "Allow", "Resource": ENDPOINT,
                "Condition": {
                    "NumericEquals": { "ec2-instance-connect:remotePort": "22" },
                    "IpAddress": { "ec2-instance-connect:privateIpAddress": "10.0.1.0/31" },
                    "NumericLessThanEquals": { "ec2-instance-connect:maxTunnelDuration": "3600" },
                },
            },
            {
                "Effect": "Allow", "Action": PUSH, "Resource": "*",
                "Condition": { "StringEquals": { "ec2:osuser": "ami-username" } },
            },
            {
                "Action": ["ec2:DescribeInstances", "ec2:DescribeInstanceConnectEndpoints"], "Effect": "Allow",
                "Resource": "*",
            },
        ]),
        &[
            (TUNNEL, ENDPOINT, &limits("22", "10.0.1.0", "3600"), Allowed),
            (TUNNEL, ENDPOINT, &limits("22", "10.0.1.1", "60"), Allowed),
            (TUNNEL, ENDPOINT, &limits("3389", "10.0.1.1", "60"), NotAllowed),
            (TUNNEL, ENDPOINT, &limits("22", "10.0.1.2", "60"), NotAllowed),
            (TUNNEL, ENDPOINT, &limits("22", "fd00::1", "60"), NotAllowed),
            (TUNNEL, ENDPOINT, &limits("22", "10.0.1.1", "3601"), NotAllowed),
            (TUNNEL, &ENDPOINT.replace("def0", "def1"), &limits("22", "10.0.1.1", "60"), NotAllowed),
            (TUNNEL, ENDPOINT, &[], NotAllowed),
            (PUSH, INSTANCE, &[("ec2:osuser", "ami-username")], Allowed),
            ("ec2:DescribeInstanceConnectEndpoints", "*", &[], Allowed),
        ],
    );
    check(
        "tunnels from a network",
        &json!({
            "Action": TUNNEL, "Effect": "Allow", "Resource": ENDPOINT,
            "Condition": {
                "IpAddress": { "aws:SourceIp": "192.0.2.0/24" },
                "NumericEquals": { "ec2-instance-connect:remotePort": "22" },
            },
        }),
        &[
            (TUNNEL, ENDPOINT, &[("aws:SourceIp", "192.0.2.9"), limits("22", "", "")[0]], Allowed),
            (TUNNEL, ENDPOINT, &[("aws:SourceIp", "192.0.3.9"), limits("22", "", "")[0]], NotAllowed),
        ],
    );
}

#[test]
fn denial_wins_and_the_default_is_no() {
    let allow = policy(&json!({ "Effect": "Allow", "Action": "*", "Resource": "*" }));
    let deny = policy(&json!({
        "Effect": "Deny", "Action": "ec2-instance-connect:*", "Resource": "*",
        "Condition": { "StringEquals": { "ec2:osuser": "root" } },
    }));
    let decide = |policies: &[&Policy], user| {
        decide(policies.iter().copied(), PUSH, INSTANCE, &context(&[("ec2:osuser", user)]))
    };
    assert_eq!(decide(&[], "root"), NotAllowed);
    assert_eq!(decide(&[&deny], "ec2-user"), NotAllowed);
    assert_eq!(decide(&[&allow], "root"), Allowed);
    for policies in [[&allow, &deny], [&deny, &allow]] {
        assert_eq!(decide(&policies, "root"), Denied);
        assert_eq!(decide(&policies, "ec2-user"), Allowed);
    }
}

#[test]
fn actions_and_resources_have_wildcards_and_opposites() {
    for (action, expected) in [
        ("*", true),
        ("ec2-instance-connect:*", true),
        ("EC2-Instance-Connect:sendsshpublickey", true),
        ("ec2-instance-connect:Send*Key", true),
        ("ec2-instance-connect:SendSSHPublicKe?", true),
        ("ec2-instance-connect:SendSSHPublicKey?", false),
        ("ec2:*", false),
    ] {
        for (name, expected) in [("Action", expected), ("NotAction", !expected)] {
            let statement = json!({ "Effect": "Allow", name: action, "Resource": "*" });
            let decision = decide([&policy(&statement)], PUSH, INSTANCE, &Context::default());
            assert_eq!(decision == Allowed, expected, "{name} {action}");
        }
    }
    for (resource, expected) in [
        ("*", true),
        ("arn:aws:ec2:*:*:instance/*", true),
        ("arn:*:ec2:us-east-?:123456789012:instance/i-*0", true),
        ("arn:aws:ec2:us-east-1:123456789012:*", true),
        ("arn:aws:ec2:us-east-1:123456789012:instance/I-0123456789abcdef0", false),
        ("arn:aws:ec2:us-east-1:123456789012:${aws:PrincipalTag/kind}/*", true),
        ("arn:aws:ec2:us-west-2:*:instance/*", false),
    ] {
        for (name, expected) in [("Resource", expected), ("NotResource", !expected)] {
            let statement = json!({ "Effect": "Allow", "Action": "*", name: resource });
            let keys = context(&[("aws:PrincipalTag/kind", "instance")]);
            let decision = decide([&policy(&statement)], PUSH, INSTANCE, &keys);
            assert_eq!(decision == Allowed, expected, "{name} {resource}");
        }
    }
    // An operation without a resource needs `*`.
    let narrow = json!({ "Effect": "Allow", "Action": "ec2:*", "Resource": "arn:aws:ec2:*:*:instance/*" });
    assert_eq!(decide([&policy(&narrow)], "ec2:DescribeInstances", "*", &Context::default()), NotAllowed);
}

#[test]
fn resource_with_an_unknown_value_allows_nothing() {
    let own = "arn:aws:ec2:us-east-1:123456789012:instance/${aws:PrincipalTag/own}";
    let all = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
    for (effect, element, resources, expected) in [
        ("Allow", "Resource", json!(own), NotAllowed),
        ("Allow", "Resource", json!([own, "*"]), Allowed),
        ("Allow", "NotResource", json!(own), NotAllowed),
        ("Allow", "NotResource", json!([OTHER, own]), NotAllowed),
        ("Deny", "Resource", json!(own), Allowed),
        ("Deny", "NotResource", json!(own), Denied),
        ("Deny", "NotResource", json!([own, OTHER]), Denied),
        ("Deny", "NotResource", json!([own, INSTANCE]), Allowed),
    ] {
        let statement = json!({ "Effect": effect, "Action": "*", element: resources.clone() });
        let policies = if effect == "Deny" { vec![all.clone(), statement] } else { vec![statement] };
        let decision = decide([&policy(&json!(policies))], PUSH, INSTANCE, &Context::default());
        assert_eq!(decision, expected, "{effect} {element} {resources}");
    }
}

#[test]
fn each_operator_compares_in_its_way() {
    let user = "ec2:osuser";
    let port = "ec2-instance-connect:remotePort";
    let address = "ec2-instance-connect:privateIpAddress";
    let arn = "aws:PrincipalArn";
    // An operator, a key, its values in the policy, and the value in the request.
    for (operator, key, values, value, expected) in [
        ("StringEquals", user, json!("a*"), Some("a*"), true),
        ("StringEquals", user, json!("a*"), Some("ab"), false),
        ("StringEquals", user, json!(["a", "b"]), Some("b"), true),
        ("StringEquals", user, json!("${aws:username}"), Some("me"), true),
        ("StringEquals", user, json!("${aws:username}"), Some("you"), false),
        ("StringNotEquals", user, json!(["a", "b"]), Some("b"), false),
        ("StringNotEquals", user, json!(["a", "b"]), Some("c"), true),
        ("StringNotEquals", user, json!("a"), None, true),
        ("StringEqualsIgnoreCase", user, json!("Root"), Some("rOOT"), true),
        ("StringNotEqualsIgnoreCase", user, json!("Root"), Some("rOOT"), false),
        ("StringLike", user, json!("ec2-*"), Some("ec2-user"), true),
        ("StringLike", user, json!("ec2-*"), Some("EC2-user"), false),
        ("StringLike", user, json!("u?"), Some("u"), false),
        ("StringNotLike", user, json!("ec2-*"), Some("root"), true),
        ("StringEquals", user, json!("a"), None, false),
        ("StringEqualsIfExists", user, json!("a"), None, true),
        ("StringEqualsIfExists", user, json!("a"), Some("b"), false),
        ("NumericEquals", port, json!(22), Some("22"), true),
        ("NumericEquals", port, json!("22.0"), Some("22"), true),
        ("NumericEquals", port, json!(["22", "3389"]), Some("3389"), true),
        ("NumericNotEquals", port, json!(22), Some("3389"), true),
        ("NumericNotEquals", port, json!(22), None, true),
        ("NumericLessThan", port, json!(22), Some("22"), false),
        ("NumericLessThan", port, json!(22), Some("9"), true),
        ("NumericLessThanEquals", port, json!(22), Some("22"), true),
        ("NumericLessThanEquals", port, json!(22), None, false),
        ("NumericLessThanEqualsIfExists", port, json!(22), None, true),
        ("NumericGreaterThan", port, json!(22), Some("23"), true),
        ("NumericGreaterThan", port, json!(22), Some("22"), false),
        ("NumericGreaterThanEquals", port, json!(22), Some("22"), true),
        ("NumericEquals", user, json!(22), Some("root"), false),
        ("IpAddress", address, json!(["10.0.0.0/8", "fd00::/8"]), Some("10.9.8.7"), true),
        ("IpAddress", address, json!(["10.0.0.0/8", "fd00::/8"]), Some("fd00:ec2::1"), true),
        ("IpAddress", address, json!("10.0.0.1"), Some("10.0.0.2"), false),
        ("NotIpAddress", address, json!("10.0.0.0/8"), Some("10.9.8.7"), false),
        ("NotIpAddress", address, json!("10.0.0.0/8"), Some("192.0.2.1"), true),
        ("Bool", "aws:SecureTransport", json!("true"), Some("true"), true),
        ("Bool", "aws:SecureTransport", json!(false), Some("true"), false),
        ("BoolIfExists", "aws:MultiFactorAuthPresent", json!("true"), None, true),
        ("Bool", "aws:MultiFactorAuthPresent", json!("true"), None, false),
        ("Null", user, json!("true"), None, true),
        ("Null", user, json!("true"), Some("a"), false),
        ("Null", user, json!(false), Some("a"), true),
        ("Null", user, json!(false), None, false),
        ("ArnLike", arn, json!("arn:aws:iam::*:user/*"), Some("arn:aws:iam::1:user/a"), true),
        ("ArnEquals", arn, json!("arn:aws:iam::*:user/*"), Some("arn:aws:iam::1:role/a"), false),
        ("ArnNotLike", arn, json!("arn:aws:iam::*:user/*"), Some("arn:aws:iam::1:role/a"), true),
        ("ArnNotEquals", arn, json!("arn:aws:iam::*:user/*"), None, true),
        ("ForAllValues:StringEquals", user, json!("a"), None, true),
        ("ForAllValues:StringEquals", user, json!("a"), Some("b"), false),
        ("ForAnyValue:StringLike", user, json!("a*"), None, false),
        ("ForAnyValue:StringLike", user, json!("a*"), Some("ab"), true),
        ("ForAnyValue:StringNotEquals", user, json!("a"), None, false),
    ] {
        let statement = json!({
            "Effect": "Allow", "Action": "*", "Resource": "*",
            "Condition": { operator: { key.to_ascii_uppercase(): values.clone() } },
        });
        let mut keys = vec![("aws:username", "me")];
        keys.extend(value.map(|value| (key, value)));
        let decision = decide([&policy(&statement)], PUSH, INSTANCE, &context(&keys));
        assert_eq!(decision == Allowed, expected, "{operator} {key} {values} {value:?}");
    }
}

#[test]
fn all_operators_and_keys_of_a_statement_must_hold() {
    let statement = json!({
        "Effect": "Allow", "Action": "*", "Resource": "*",
        "Condition": {
            "StringEquals": { "ec2:osuser": "a", "aws:username": "b" }, "IpAddress": { "aws:SourceIp": "192.0.2.1" },
        },
    });
    let all = [("ec2:osuser", "a"), ("aws:username", "b"), ("aws:SourceIp", "192.0.2.1")];
    assert_eq!(decide([&policy(&statement)], PUSH, INSTANCE, &context(&all)), Allowed);
    for left_out in 0..all.len() {
        let mut some = all.to_vec();
        some.remove(left_out);
        assert_eq!(decide([&policy(&statement)], PUSH, INSTANCE, &context(&some)), NotAllowed);
    }
}

#[test]
fn policy_that_the_emulator_does_not_evaluate_is_refused_with_the_place() {
    let with = |name: &str, value: Value| {
        let mut statement = json!({ "Effect": "Allow", "Action": PUSH, "Resource": "*" });
        statement[name] = value;
        json!({ "Version": "2012-10-17", "Statement": [describe("ec2:DescribeInstances"), statement] })
            .to_string()
    };
    let without = |name: &str| {
        let mut statement = json!({ "Effect": "Allow", "Action": PUSH, "Resource": "*" });
        statement.as_object_mut().unwrap().remove(name);
        json!({ "Statement": statement }).to_string()
    };
    let condition =
        |operator: &str, value: Value| with("Condition", json!({ operator: { "ec2:osuser": value } }));
    let many = json!({ "Statement": vec![describe("ec2:DescribeInstances"); 101] }).to_string();
    for (text, place, words) in [
        ("{".to_owned(), "", "not JSON"),
        ("[]".to_owned(), "", "is not an object"),
        ("{}".to_owned(), "Statement", "is missing"),
        (" ".repeat(65_537), "", "longer than 65536 bytes"),
        (many, "Statement", "more than 100"),
        (r#"{"Version": "2012-10-18", "Statement": []}"#.to_owned(), "Version", "2012-10-17"),
        (r#"{"Statment": []}"#.to_owned(), "Statment", "no such element"),
        (r#"{"Statement": [1]}"#.to_owned(), "Statement[0]", "is not an object"),
        (with("Effekt", json!("Allow")), "Statement[1].Effekt", "no such element"),
        (with("Effect", json!("allow")), "Statement[1].Effect", "neither Allow nor Deny"),
        (with("Principal", json!("*")), "Statement[1].Principal", "no such element"),
        (with("NotPrincipal", json!("*")), "Statement[1].NotPrincipal", "no such element"),
        (with("NotAction", json!("*")), "Statement[1].NotAction", "opposite name"),
        (with("Action", json!([])), "Statement[1].Action", "has no value"),
        (with("Action", json!([1])), "Statement[1].Action", "not a text"),
        (with("Action", json!("SendSSHPublicKey")), "Statement[1].Action", "name of an operation"),
        (with("Action", json!("ec2*:Run")), "Statement[1].Action", "name of an operation"),
        (with("NotResource", json!("*")), "Statement[1].", "opposite name"),
        (with("Resource", json!("i-0123456789abcdef0")), "Statement[1].Resource", "neither * nor an ARN"),
        (with("Resource", json!("arn:aws:ec2:instance")), "Statement[1].Resource", "neither * nor an ARN"),
        (with("Condition", json!([])), "Statement[1].Condition", "is not an object"),
        (with("Resource", json!("arn:*:instance/*")), "Statement[1].Resource", "neither * nor an ARN"),
        (
            with("Resource", json!("arn:aws:ec2:us-east-1:${aws:PrincipalAccount}:instance/*")),
            "Statement[1].Resource",
            "variable before the fifth colon",
        ),
        (
            with("Condition", json!({ "StringEquals": "a" })),
            "Statement[1].Condition.StringEquals",
            "is not an object",
        ),
        (
            condition("StringEqual", json!("a")),
            "Statement[1].Condition.StringEqual.ec2:osuser",
            "no operator",
        ),
        (
            condition("DateLessThan", json!("2026-01-01")),
            "Statement[1].Condition.DateLessThan",
            "no operator",
        ),
        (condition("NullIfExists", json!("true")), "Statement[1].Condition.NullIfExists", "no operator"),
        (condition("ForSomeValue:StringEquals", json!("a")), "Statement[1].Condition.ForSome", "no operator"),
        (condition("StringEquals", json!([])), "Statement[1].Condition", "has no value"),
        (condition("StringEquals", json!({})), "Statement[1].Condition", "neither a text"),
        (condition("NumericEquals", json!("inf")), "Statement[1].Condition", "\"inf\" is not a number"),
        (condition("NumericEquals", json!("1e999")), "Statement[1].Condition", "\"1e999\" is not a number"),
        (condition("ArnNotLike", json!("*")), "Statement[1].Condition", "\"*\" is not an ARN"),
        (condition("ArnLike", json!("arn:aws:iam:*")), "Statement[1].Condition", "is not an ARN"),
        (condition("IpAddress", json!("10.0.0.0/33")), "Statement[1].Condition", "IP address"),
        (condition("Bool", json!("yes")), "Statement[1].Condition", "true or false"),
        (condition("StringEquals", json!("${x:y}")), "Statement[1].Condition", "variable"),
        (
            with("Condition", json!({ "StringEquals": { "ec2:osUsers": "a" } })),
            "Statement[1].Condition.StringEquals.ec2:osUsers",
            "does not know this key",
        ),
        (without("Effect"), "Statement[0]", "Effect is missing"),
        (without("Action"), "Statement[0]", "Action is missing"),
        (without("Resource"), "Statement[0]", "Resource is missing"),
        (
            r#"{"Statement": {"Effect": "Deny", "Effect": "Allow", "Action": "*", "Resource": "*"}}"#
                .to_owned(),
            "the name \"Effect\"",
            "occurs twice",
        ),
    ] {
        let fault = fault(&text);
        assert!(fault.starts_with(place) && fault.contains(words), "{text:.300}: {fault}");
    }
    // A key of another service is good in a statement that concerns only that service.
    let other = json!({
        "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::logs",
        "Condition": { "StringLike": { "s3:prefix": "a/*" } },
    });
    assert_eq!(decide([&policy(&other)], PUSH, INSTANCE, &Context::default()), NotAllowed);
}

#[test]
fn old_version_has_no_variables() {
    let statement = json!({
        "Effect": "Allow", "Action": "*", "Resource": "*",
        "Condition": { "StringEquals": { "ec2:osuser": "${aws:username}" } },
    });
    for version in
        [json!({ "Version": "2008-10-17", "Statement": statement }), json!({ "Statement": statement })]
    {
        let policy = Policy::parse(&version.to_string()).unwrap();
        let user = |name| context(&[("ec2:osuser", name), ("aws:username", "me")]);
        assert_eq!(decide([&policy], PUSH, INSTANCE, &user("me")), NotAllowed);
        assert_eq!(decide([&policy], PUSH, INSTANCE, &user("${aws:username}")), Allowed);
    }
}

#[test]
fn any_damage_to_a_policy_ends_in_a_decision_or_an_error() {
    let text = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow", "Action": [PUSH, "ec2:*"], "Resource": ["*", INSTANCE],
            "Condition": { "ForAnyValue:StringLikeIfExists": { "ec2:osuser": ["a*", "${aws:username}"] } },
        }],
    })
    .to_string();
    let mut read = 0;
    for at in 0..text.len() {
        for byte in b"\"{}[]:,\\*?$ a0" {
            let mut damaged = text.clone().into_bytes();
            damaged[at] = *byte;
            let damaged = String::from_utf8(damaged).unwrap();
            if let Ok(policy) = Policy::parse(&damaged) {
                decide([&policy], PUSH, INSTANCE, &context(&[("ec2:osuser", "a")]));
                read += 1;
            }
        }
        assert!(Policy::parse(&text[..at]).is_err(), "cut at {at}");
    }
    assert!(read > 100, "{read}");
}
