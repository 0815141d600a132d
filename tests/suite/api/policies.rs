//! Policies and other refusals of pushes, with the AWS CLI and `mssh`.

use std::collections::BTreeMap;
use std::fs;

use data_encoding::BASE64;
use eic_emulator::policy::Policy;
use eic_emulator::{Config, Emulator, ErrorKind, PushLimits, Rate};
use serde_json::{Value, json};

use super::{error_of, policy, push};
use crate::world::{INSTANCE, Key, Sshd, Syslog, World, on_an_instance, test_path};

const REFUSED: &str = "An error occurred (AccessDeniedException) when calling the SendSSHPublicKey operation: User: \
    arn:aws:iam::123456789012:user/alice is not authorized to perform: ec2-instance-connect:SendSSHPublicKey on \
    resource: arn:aws:ec2:us-east-1:123456789012:instance/i-0123456789abcdef0";

/// The first policy of the guide, for two users, and a denial.
fn users() -> Config {
    let push = "ec2-instance-connect:SendSSHPublicKey";
    let statements = json!([
        {
            "Effect": "Allow", "Action": push,
            "Resource": format!("arn:aws:ec2:us-east-1:123456789012:instance/{INSTANCE}"),
            "Condition": { "StringEquals": { "ec2:osuser": ["ec2-user", "root"] } },
        },
        {
            "Effect": "Deny", "Action": push, "Resource": "*",
            "Condition": { "StringEquals": { "ec2:osuser": "root" } },
        },
        { "Effect": "Allow", "Action": ["ec2:DescribeInstances", "cloudtrail:LookupEvents"], "Resource": "*" },
    ]);
    Config { policies: vec![policy(&statements)], ..Config::default() }
}

/// The records of pushes, newest first.
fn records(world: &World) -> Vec<Value> {
    let attribute = "AttributeKey=EventName,AttributeValue=SendSSHPublicKey";
    let mut command = world.client("aws");
    command.args(["cloudtrail", "lookup-events", "--lookup-attributes", attribute, "--output", "json"]);
    let found: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let events = found["Events"].as_array().unwrap().iter();
    events.map(|event| serde_json::from_str(event["CloudTrailEvent"].as_str().unwrap()).unwrap()).collect()
}

#[test]
fn policy_of_the_user_decides_who_logs_in_with_the_aws_cli() {
    on_an_instance(test_path!(), users(), |world| {
        let _sshd = Sshd::start(world);
        let key = Key::ed25519(world, "key");
        let options = ["--instance-id", INSTANCE];
        let implicit = format!(
            "{REFUSED} because no identity-based policy allows the ec2-instance-connect:SendSSHPublicKey action"
        );
        let explicit = format!("{REFUSED} with an explicit deny in an identity-based policy");
        for (user, expected) in [("ubuntu", implicit.clone()), ("root", explicit.clone())] {
            assert_eq!(error_of(&push(world, user, &key.line(), &options)), expected);
            assert!(!world.ssh(user, &[&key]).ok, "{user}");
        }
        let pushed = push(world, "ec2-user", &key.line(), &options);
        assert!(pushed.status.success(), "{pushed:?}");
        assert!(world.ssh("ec2-user", &[&key]).ok);

        let records = records(world);
        let code = |record: &Value| record.get("errorCode").cloned().unwrap_or_default();
        assert_eq!(
            records.iter().map(code).collect::<Vec<_>>(),
            [json!(null), json!("AccessDenied"), json!("AccessDenied")]
        );
        assert!(explicit.ends_with(records[1]["errorMessage"].as_str().unwrap()), "{}", records[1]);
        assert!(implicit.ends_with(records[2]["errorMessage"].as_str().unwrap()), "{}", records[2]);
    });
}

#[test]
fn policy_of_the_user_decides_who_logs_in_with_mssh() {
    on_an_instance(test_path!(), users(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        let login = world.mssh("ec2-user");
        assert!(login.status.success(), "{login:?} {:?}", syslog.agent_lines());
        assert_eq!(String::from_utf8_lossy(&login.stdout).trim(), "ec2-user");
        let refused = world.mssh("ubuntu");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&refused.stdout),
            String::from_utf8_lossy(&refused.stderr)
        );
        assert!(!refused.status.success() && said.contains(REFUSED), "{said}");
    });
}

#[test]
fn policy_of_install_md_allows_what_the_document_says() {
    let document = include_str!("../../../docs/install.md");
    let block = document.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let policies = vec![Policy::parse(block).unwrap()];
    let untagged = Config { policies, ..Config::default() };
    let tags = BTreeMap::from([("Environment".to_owned(), "test".to_owned())]);
    on_an_instance(test_path!(), Config { tags, ..untagged.clone() }, |world| {
        let _sshd = Sshd::start(world);
        for (user, is_allowed) in [("ec2-user", true), ("ubuntu", false)] {
            assert_eq!(world.mssh(user).status.success(), is_allowed, "{user}");
        }
        let other = Emulator::start(untagged).unwrap();
        let mut command = world.client("aws");
        command.env("AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT", other.api_url());
        command.args(["ec2-instance-connect", "send-ssh-public-key", "--instance-os-user", "ec2-user"]);
        command.args(["--instance-id", INSTANCE, "--ssh-public-key", &Key::ed25519(world, "key").line()]);
        assert!(error_of(&command.output().unwrap()).starts_with(REFUSED));
    });
}

#[test]
fn list_of_instances_can_be_refused() {
    let only_pushes = policy(
        &json!({ "Effect": "Allow", "Action": "ec2-instance-connect:SendSSHPublicKey", "Resource": "*" }),
    );
    on_an_instance(test_path!(), Config { policies: vec![only_pushes], ..Config::default() }, |world| {
        let _sshd = Sshd::start(world);
        let aws = |arguments: &[&str]| error_of(&world.client("aws").args(arguments).output().unwrap());
        assert_eq!(
            aws(&["ec2", "describe-instances"]),
            "An error occurred (UnauthorizedOperation) when calling the DescribeInstances operation: You are not \
             authorized to perform this operation. User: arn:aws:iam::123456789012:user/alice is not authorized \
             to perform: ec2:DescribeInstances because no identity-based policy allows the ec2:DescribeInstances \
             action"
        );
        assert_eq!(
            aws(&["cloudtrail", "lookup-events"]),
            "An error occurred (AccessDeniedException) when calling the LookupEvents operation: User: \
             arn:aws:iam::123456789012:user/alice is not authorized to perform: cloudtrail:LookupEvents because \
             no identity-based policy allows the cloudtrail:LookupEvents action"
        );
        // `mssh` lists the instances first.
        let refused = world.mssh("ec2-user");
        let said = String::from_utf8_lossy(&refused.stdout) + String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && said.contains("UnauthorizedOperation"), "{said}");
    });
}

/// A public key of this type with these fields.
fn line(algorithm: &str, fields: &[&[u8]]) -> String {
    let fields = [&[algorithm.as_bytes()], fields].concat();
    let length = |field: &[u8]| u32::try_from(field.len()).unwrap().to_be_bytes();
    let body: Vec<u8> = fields.iter().flat_map(|field| [&length(field)[..], field].concat()).collect();
    format!("{algorithm} {}", BASE64.encode(&body))
}

#[test]
fn push_that_aws_refuses_is_refused_with_its_message() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let good = Key::ed25519(world, "good").line();
        let short = Key::new(world, "short", &["rsa", "-b", "1024"]);
        let short = fs::read_to_string(short.public_file()).unwrap();
        let sk = line("sk-ssh-ed25519@openssh.com", &[&[7; 32], b"ssh:"]);
        let dsa = line("ssh-dss", &[&[1; 128], &[1; 20], &[1; 128], &[1; 128]]);
        let invalid = "Invalid input parameter received for Illegal argument exception: ";
        let invalid_key = format!("(InvalidArgsException) {invalid}SSH Public key is invalid");
        let invalid_rsa = format!("(InvalidArgsException) {invalid}RSA - SSH Public key is invalid");
        let own = ["--instance-id", INSTANCE];
        let zone = |zone| [&own[..], &["--availability-zone", zone]].concat();
        for (state, key, options, expected) in [
            ("running", &sk, own.to_vec(), invalid_key.as_str()),
            ("running", &dsa, own.to_vec(), &invalid_key),
            ("running", &short, own.to_vec(), &invalid_rsa),
            (
                "running",
                &good,
                vec!["--instance-id", "mi-0123456789abcdef0"],
                "(InvalidArgsException) 1 validation error detected: Value 'mi-0123456789abcdef0' at 'instanceId' \
                 failed to satisfy constraint: Member must satisfy regular expression pattern: ^i-[a-f0-9]+$",
            ),
            (
                "running",
                &good,
                vec!["--instance-id", "i-0fedcba9876543210"],
                "(EC2InstanceNotFoundException) The instance i-0fedcba9876543210 was not found.",
            ),
            (
                "running",
                &good,
                zone("us-east-1b"),
                "(EC2InstanceNotFoundException) The instance i-0123456789abcdef0 was not found in the Availability \
                 Zone us-east-1b.",
            ),
            (
                "stopped",
                &good,
                zone("us-east-1a"),
                "(EC2InstanceStateInvalidException) Unable to connect to the instance i-0123456789abcdef0, because \
                 it is stopped.",
            ),
            (
                "pending",
                &good,
                own.to_vec(),
                "(EC2InstanceUnavailableException) Unable to connect to the instance i-0123456789abcdef0, because \
                 it is pending.",
            ),
        ] {
            world.emulator.set_instance_state(state);
            let expected = expected.replace(") ", ") when calling the SendSSHPublicKey operation: ");
            let said = error_of(&push(world, "ec2-user", key.trim(), &options));
            assert_eq!(said, format!("An error occurred {expected}"), "{key}");
        }
        assert_eq!(records(world).len(), 8, "each attempt has a record");
        assert!(world.run(&["ec2-user"]).keys().is_empty());
    });
}

#[test]
fn too_many_pushes_are_throttled_and_the_client_tries_again() {
    let push_limits = PushLimits { instance: Some(Rate { burst: 2, per_second: 0.0 }), account: None };
    on_an_instance(test_path!(), Config { push_limits, ..Config::default() }, |world| {
        let key = Key::ed25519(world, "key");
        let options = ["--instance-id", INSTANCE];
        assert!(push(world, "ec2-user", &key.line(), &options).status.success());
        // By default, the AWS CLI tries again.
        world.emulator.fail_push(ErrorKind::ThrottlingException, "Server is busy!", 2);
        let pushed = world.aws_push("AKIAEXAMPLEALICE", INSTANCE, "ec2-user", &key);
        assert!(pushed.status.success(), "{pushed:?}");
        assert_eq!(
            error_of(&push(world, "ec2-user", &key.line(), &options)),
            "An error occurred (ThrottlingException) when calling the SendSSHPublicKey operation (reached max \
             retries: 0): Server is busy! Please retry after a moment."
        );
    });
}
