//! Principals of a credentials file: the same file for the emulator and for AWS's clients.

use std::fs;

use eic_emulator::directory::TempDir;
use eic_emulator::{Config, read_credentials};

use super::error_of;
use crate::world::{INSTANCE, Key, Sshd, Syslog, World, on_an_instance, test_path};

const FILE: &str = "[alice]\naws_access_key_id = AKIAALICE\naws_secret_access_key = of/alice+\n\n\
    [bob]\naws_access_key_id = ASIABOB\naws_secret_access_key = of-bob\naws_session_token = token/of+bob==\n\
    eic_arn = arn:aws:sts::123456789012:assumed-role/Admin/bob\neic_policies = team.json\neic_tags = login=ubuntu\n\n\
    [old]\naws_access_key_id = ASIAOLD\naws_secret_access_key = of-old\naws_session_token = old\n\
    eic_expires = 2025-01-30T12:00:00Z\n";

/// Each session may log in only as the user of its tag.
const POLICY: &str = r#"{
    "Version": "2012-10-17",
    "Statement": [{
        "Effect": "Allow", "Action": "ec2-instance-connect:SendSSHPublicKey", "Resource": "*",
        "Condition": { "StringEquals": { "ec2:osuser": "${aws:PrincipalTag/login}" } }
    }]
}"#;

fn principals() -> Config {
    let folder = TempDir::new("eic-principals").unwrap();
    fs::write(folder.path().join("team.json"), POLICY).unwrap();
    fs::write(folder.path().join("credentials"), FILE).unwrap();
    let read = read_credentials(&folder.path().join("credentials"), "arn:aws:iam::123456789012");
    Config { principals: read.unwrap(), ..Config::default() }
}

/// `aws --profile PROFILE …`, with the credentials file and without credentials in the environment.
fn aws(world: &World, profile: &str, arguments: &[&str]) -> std::process::Output {
    let mut command = world.client("aws");
    command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    command.env("AWS_SHARED_CREDENTIALS_FILE", world.path("etc/credentials"));
    command.args(["--profile", profile, "--output", "json"]).args(arguments).output().unwrap()
}

fn push(world: &World, profile: &str, user: &str, key: &Key) -> std::process::Output {
    let options = ["--instance-id", INSTANCE, "--instance-os-user", user, "--ssh-public-key", &key.line()];
    aws(world, profile, &[&["ec2-instance-connect", "send-ssh-public-key"], &options[..]].concat())
}

#[test]
fn principal_of_a_credentials_file_logs_in() {
    on_an_instance(test_path!(), principals(), |world| {
        fs::write(world.path("etc/credentials"), FILE).unwrap();
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        for (profile, user, arn) in [
            ("alice", "ec2-user", "arn:aws:iam::123456789012:user/alice"),
            ("bob", "ubuntu", "arn:aws:sts::123456789012:assumed-role/Admin/bob"),
        ] {
            syslog.clear();
            let key = Key::ed25519(world, profile);
            let pushed = push(world, profile, user, &key);
            assert!(pushed.status.success(), "{pushed:?}");
            assert!(world.ssh(user, &[&key]).ok, "{profile}");
            assert!(
                syslog.agent_lines().iter().all(|line| line.ends_with(arn)),
                "{:?}",
                syslog.agent_lines()
            );
        }
        let key = Key::ed25519(world, "other");
        let refused = error_of(&push(world, "bob", "ec2-user", &key));
        assert!(refused.contains("assumed-role/Admin/bob is not authorized to perform: "), "{refused}");
        assert!(!world.ssh("ec2-user", &[&key]).ok);
    });
}

#[test]
fn wrong_credential_is_refused_with_the_messages_of_aws() {
    on_an_instance(test_path!(), principals(), |world| {
        let key = Key::ed25519(world, "key");
        let mismatch = "The request signature we calculated does not match the signature you provided. Check \
                        your AWS Secret Access Key and signing method. Consult the service documentation for \
                        details.";
        let mismatch_of = |code: &str| format!("({code}) {mismatch}");
        let (good, token) = ("of/alice+", "token/of+bob==");
        for (profile, from, to, of_json, of_ec2) in [
            (
                "alice",
                good,
                "of/eve+",
                mismatch_of("InvalidSignatureException"),
                mismatch_of("SignatureDoesNotMatch"),
            ),
            (
                "alice",
                "AKIAALICE",
                "AKIAEVE",
                "(UnrecognizedClientException) The security token included in the request is invalid."
                    .to_owned(),
                "(AuthFailure) AWS was not able to validate the provided access credentials".to_owned(),
            ),
            (
                "bob",
                token,
                "token/of+eve==",
                "(UnrecognizedClientException) The security token included in the request is invalid."
                    .to_owned(),
                "(AuthFailure) AWS was not able to validate the provided access credentials".to_owned(),
            ),
            (
                "old",
                "of-old",
                "of-old",
                "(ExpiredTokenException) The security token included in the request is expired".to_owned(),
                "(RequestExpired) Request has expired.".to_owned(),
            ),
        ] {
            let credentials = FILE.replace(from, to);
            fs::write(world.path("etc/credentials"), credentials).unwrap();
            let pushed = error_of(&push(world, profile, "ec2-user", &key));
            let of_json = of_json.replacen(") ", ") when calling the SendSSHPublicKey operation: ", 1);
            assert_eq!(pushed, format!("An error occurred {of_json}"));
            let described = error_of(&aws(world, profile, &["ec2", "describe-instances"]));
            let of_ec2 = of_ec2.replacen(") ", ") when calling the DescribeInstances operation: ", 1);
            assert_eq!(described, format!("An error occurred {of_ec2}"));
        }
        assert!(world.run(&["ec2-user"]).keys().is_empty());
        // With another clock, each signature is too old.
        fs::write(world.path("etc/credentials"), FILE).unwrap();
        world.emulator.set_clock_offset(400);
        let late = error_of(&push(world, "alice", "ec2-user", &key));
        assert!(
            late.contains("(InvalidSignatureException)") && late.contains("Signature expired: 2"),
            "{late}"
        );
    });
}
