//! Real logins: a real client pushes a key, a real sshd runs the agent, and a real ssh logs in or is refused.

use std::time::Duration;

use eic_emulator::{Config, Entry};

use crate::world::{
    BOB, INSTANCE, Journal, Key, SOON, Sshd, Syslog, UNHURRIED, World, on_an_instance, test_path,
};

/// Seconds that a busy machine may add to a login.
const BUSY: f64 = 15.0;

const ALICE_USER: &str = "arn:aws:iam::123456789012:user/alice";

fn request_id(push: &std::process::Output) -> String {
    assert!(push.status.success(), "{push:?}");
    let answer: serde_json::Value = serde_json::from_slice(&push.stdout).unwrap();
    assert_eq!(answer["Success"], true);
    answer["RequestId"].as_str().unwrap().to_owned()
}

/// The line that auditors match with CloudTrail, exactly.
fn provided(key: &Key, request: &str, principal: &str) -> String {
    format!(
        "Providing ssh key from EC2 Instance Connect with fingerprint: {}, request-id: {request}, \
         for IAM principal: {principal}",
        key.fingerprint()
    )
}

fn with_the_aws_cli(world: &World, kind: &[&str]) {
    let syslog = Syslog::bind();
    let _sshd = Sshd::start(world);
    let key = Key::new(world, "key", kind);
    let request = request_id(&world.aws_push("AKIAEXAMPLEALICE", INSTANCE, "ec2-user", &key));
    let login = world.ssh("ec2-user", &[&key]);
    assert!(login.ok, "{login:?} {:?}", syslog.agent_lines());

    let line = provided(&key, &request, ALICE_USER);
    let lines = syslog.agent_lines();
    // sshd runs the agent twice: when the key is offered, and when it is used.
    assert_eq!(lines, [line.clone(), line]);
    let accepted = syslog.wait_for("Accepted publickey for ec2-user");
    assert!(accepted.ends_with(&key.fingerprint()), "{accepted}");
}

#[test]
fn an_ed25519_key_pushed_with_the_aws_cli_logs_in() {
    on_an_instance(test_path!(), Config::default(), |world| {
        with_the_aws_cli(world, &["ed25519"]);
    });
}

#[test]
fn an_rsa_key_pushed_with_the_aws_cli_logs_in() {
    on_an_instance(test_path!(), Config::default(), |world| {
        with_the_aws_cli(world, &["rsa", "-b", "3072"]);
    });
}

#[test]
fn an_ecdsa_key_pushed_with_the_aws_cli_logs_in() {
    on_an_instance(test_path!(), Config::default(), |world| {
        with_the_aws_cli(world, &["ecdsa", "-b", "384"]);
    });
}

#[test]
fn mssh_logs_in() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        let login = world.mssh("ubuntu");
        assert!(login.status.success(), "{login:?}");
        assert_eq!(String::from_utf8_lossy(&login.stdout).trim(), "ubuntu");
        let accepted = syslog.wait_for("Accepted publickey for ubuntu");
        let provided = syslog.agent_lines();
        assert!(
            !provided.is_empty() && provided.iter().all(|line| line.ends_with(ALICE_USER)),
            "{provided:?}"
        );
        let fingerprint = accepted.rsplit(' ').next().unwrap();
        assert!(provided.iter().all(|line| line.contains(fingerprint)), "{provided:?}");
    });
}

#[test]
fn a_key_that_was_not_pushed_is_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        let (pushed, other) = (Key::ed25519(world, "pushed"), Key::ed25519(world, "other"));
        assert!(!world.ssh("ec2-user", &[&pushed]).ok, "nothing is pushed yet");
        assert!(syslog.agent_lines().is_empty(), "no line without a key");

        world.aws_push("AKIAEXAMPLEALICE", INSTANCE, "ec2-user", &pushed);
        let login = world.ssh("ec2-user", &[&other]);
        assert!(!login.ok && login.said.contains("Permission denied"), "{login:?}");
        assert!(syslog.agent_lines().is_empty(), "no line for a good key that is not the offered one");
        assert!(!world.ssh("ubuntu", &[&pushed]).ok, "pushed for another user");
        assert!(syslog.agent_lines().is_empty(), "no line for a user without a key");
        assert!(world.ssh("ec2-user", &[&other, &pushed]).ok, "the pushed key is still good");
    });
}

#[test]
fn an_expired_key_is_refused_and_the_log_says_when_it_expired() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        let key = Key::ed25519(world, "key");
        let expired = world.emulator.now() - 1;
        let entry = Entry::new(key.line()).timestamp(expired).instance(INSTANCE).caller(BOB).request("r-1");
        world.emulator.set_entries("ec2-user", entry.sign(&world.emulator.hierarchy().leaf_key));
        assert!(!world.ssh("ec2-user", &[&key]).ok);
        let line = syslog.agent_lines().remove(0);
        assert!(
            line.starts_with(
                "Refusing ssh key from EC2 Instance Connect for user ec2-user: expired: expired 20"
            ),
            "{line}"
        );
        let rest = format!("; fingerprint: {}; request-id: r-1; IAM principal: {BOB}", key.fingerprint());
        assert!(line.contains("Z, now 20") && line.ends_with(&rest), "{line}");
    });
}

#[test]
fn a_key_for_another_instance_is_refused_and_the_log_names_both() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        let key = Key::ed25519(world, "key");
        let until = world.emulator.now() + 600;
        let entry = Entry::new(key.line())
            .timestamp(until)
            .instance("i-0fedcba9876543210")
            .caller(BOB)
            .request("r-2");
        world.emulator.set_entries("ec2-user", entry.sign(&world.emulator.hierarchy().leaf_key));
        assert!(!world.ssh("ec2-user", &[&key]).ok);
        let line = syslog.agent_lines().remove(0);
        let start = format!(
            "Refusing ssh key from EC2 Instance Connect for user ec2-user: wrong-instance: signed for \
             \"i-0fedcba9876543210\", this is {INSTANCE}; fingerprint: "
        );
        assert!(line.starts_with(&start), "{line}");
    });
}

#[test]
fn bad_third_key_does_not_affect_the_logins_of_two_principals() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        let (alice, bob, eve) =
            (Key::ed25519(world, "alice"), Key::new(world, "bob", &["rsa"]), Key::ed25519(world, "eve"));
        let signer = &world.emulator.hierarchy().leaf_key;
        let entry = |key: &Key, caller: &str, request: &str| {
            let until = world.emulator.now() + 600;
            Entry::new(key.line()).timestamp(until).instance(INSTANCE).caller(caller).request(request)
        };
        let mut bundle = entry(&alice, ALICE_USER, "r-alice").sign(signer);
        bundle.extend(entry(&eve, "arn:eve", "r-eve").with_signature(&[1; 256]));
        bundle.extend(entry(&bob, BOB, "r-bob").sign(signer));
        world.emulator.set_entries("admin", bundle);

        for (key, caller, request) in [(&alice, ALICE_USER, "r-alice"), (&bob, BOB, "r-bob")] {
            syslog.clear();
            assert!(world.ssh("admin", &[key]).ok, "{caller}");
            let lines = syslog.agent_lines();
            assert!(lines.contains(&provided(key, request, caller)), "{lines:#?}");
            let bad = format!(
                "bad-signature: expected the signer's RSA-PSS signature (SHA-256, salt 32) over the \
                 entry, got another; fingerprint: {}; claimed request-id: r-eve; claimed IAM principal: arn:eve",
                eve.fingerprint()
            );
            assert!(lines.iter().any(|line| line.ends_with(&bad)), "{lines:#?}");
        }
        assert!(!world.ssh("admin", &[&eve]).ok);
    });
}

#[test]
fn without_metadata_an_ordinary_key_still_logs_in() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let deadline = 2;
        let command = format!(
            "AuthorizedKeysCommand {} authorized-keys --timeout {deadline} %u %f\nAuthorizedKeysCommandUser eic-agent\n",
            world.agent().display()
        );
        let _sshd = Sshd::with(world, &command);
        let (own, stranger) = (Key::ed25519(world, "own"), Key::ed25519(world, "stranger"));
        world.authorize("ubuntu", &own);
        let usual = world.ssh("ubuntu", &[&own]);
        assert!(usual.ok, "{usual:?}");

        // The service accepts a connection and does not answer, which is the slowest failure.
        world.emulator.inject(eic_emulator::Fault::everywhere().delay(Duration::from_secs(3600)));
        syslog.clear();
        let login = world.ssh("ubuntu", &[&stranger, &own]);
        assert!(login.ok, "{login:?}");
        // From OpenSSH 8.1 on, sshd runs the command only for a key that no file contains, here the stranger's key.
        // Older releases run it up to three times, because they also run it for the user's own key.
        let asked = syslog.agent_lines().len();
        assert!((1..=3).contains(&asked), "{:?}", syslog.agent_lines());
        let late = login.took.saturating_sub(usual.took).as_secs_f64();
        // sshd makes a failed attempt longer, so that its duration reveals nothing (auth2.c,
        // ensure_minimum_time_since). An attempt can take up to twice as long.
        let bound = 2.0 * f64::from(deadline) * f64::from(u32::try_from(asked).unwrap()) + BUSY;
        assert!(late < bound, "{late} s late, asked {asked} times");
        let alone = world.run(&["--timeout", "2", "ubuntu"]);
        // The run ends by itself, and not by the alarm a second later.
        assert_eq!(alone.status(), Some(1), "{alone:?}");
        assert!((Duration::from_secs(2)..SOON).contains(&alone.took), "{alone:?}");
        assert!(syslog.agent_lines().iter().all(|line| line.contains("ubuntu: metadata-timeout: ")));
    });
}

#[test]
fn login_works_under_each_older_name_of_the_command() {
    on_an_instance(test_path!(), Config::default(), |world| {
        for name in ["eic_run_authorized_keys", "eic_curl_authorized_keys"] {
            let command = world.agent_as(name);
            let settings = format!(
                "AuthorizedKeysCommand {} {UNHURRIED} %u %f\nAuthorizedKeysCommandUser eic-agent\n",
                command.display()
            );
            let _sshd = Sshd::with(world, &settings);
            let key = Key::ed25519(world, name);
            world.emulator.push("ec2-user", &key.line(), BOB);
            let login = world.ssh("ec2-user", &[&key]);
            assert!(login.ok, "{name}: {login:?}");
        }
    });
}

#[test]
fn login_works_where_sshd_uses_md5_fingerprints() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let settings = format!(
            "FingerprintHash md5\nAuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f\nAuthorizedKeysCommandUser eic-agent\n",
            world.agent().display()
        );
        let _sshd = Sshd::with(world, &settings);
        let (key, other) = (Key::ed25519(world, "key"), Key::ed25519(world, "other"));
        world.emulator.push("ec2-user", &key.line(), BOB);
        assert!(world.ssh("ec2-user", &[&key]).ok);
        assert!(!world.ssh("ec2-user", &[&other]).ok);
    });
}

#[test]
fn journal_line_has_the_pid_of_the_sshd_that_accepts() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (syslog, journal) = (Syslog::bind(), Journal::bind());
        let _sshd = Sshd::start(world);
        let key = Key::ed25519(world, "key");
        let request = world.emulator.push("ec2-user", &key.line(), BOB);
        assert!(world.ssh("ec2-user", &[&key]).ok);

        let accepted = syslog.wait_for("Accepted publickey for ec2-user");
        let pid = accepted.split_once('[').unwrap().1.split_once(']').unwrap().0;
        let events = journal.events();
        assert_eq!(events.len(), 2, "{events:#?}");
        for event in &events {
            assert_eq!(event["MESSAGE"], provided(&key, &request, BOB));
            assert_eq!(event["EIC_SSHD_PID"], pid);
            for (field, value) in [
                ("EIC_EVENT", "provided"),
                ("EIC_USER", "ec2-user"),
                ("EIC_REQUEST_ID", request.as_str()),
                ("EIC_PRINCIPAL", BOB),
                ("EIC_FINGERPRINT", &key.fingerprint()),
                ("PRIORITY", "6"),
                ("SYSLOG_FACILITY", "10"),
                ("SYSLOG_IDENTIFIER", "eic-agent"),
            ] {
                assert_eq!(event[field], value, "{field}");
            }
            assert!(event["EIC_EXPIRES"].ends_with('Z'));
        }
        assert!(syslog.agent_lines().is_empty(), "never in both logs");
    });
}
