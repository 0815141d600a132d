//! `capture`, and `verify --capture` on its output.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use eic_emulator::{Config, Fault};
use serde_json::Value;

use crate::wiring::{Ran, agent};
use crate::world::{BOB, Key, World, on_an_instance, test_path};

fn capture(world: &World, name: &str, more: &[&str]) -> (Ran, String) {
    world.configure_unhurried("");
    let file = world.path(&format!("etc/{name}")).display().to_string();
    let ran = agent(world, &[&["capture"], more, &[file.as_str()]].concat());
    (ran, file)
}

#[test]
fn capture_is_judged_on_another_machine_at_its_own_instant() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (key, other) = (Key::ed25519(world, "key"), Key::ed25519(world, "other"));
        world.emulator.push("ubuntu", &key.line(), BOB);
        world.emulator.push("admin", &other.line(), BOB);
        let (ran, file) = capture(world, "one.json", &["--user", "ubuntu"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert!(ran.out.contains("keys of ubuntu"), "{}", ran.out);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        let (_, both) = capture(world, "both.json", &["--user", "ubuntu", "--user", "admin"]);

        // Another machine has no metadata and another identity. `verify` does not use its clock.
        world.lose_address("169.254.169.254/32");
        world.without_asset_tag();
        let ran = agent(world, &["verify", "--capture", &file]);
        assert_eq!((ran.status, ran.out.trim()), (Some(0), key.bare_line().as_str()), "{}", ran.err);
        assert!(ran.err.starts_with("the capture claims that it was taken 20"), "{}", ran.err);
        let other_id = agent(world, &["verify", "--capture", &file, "--instance-id", "i-0fedcba9876543210"]);
        assert!(other_id.status == Some(1) && other_id.err.contains("wrong-instance"), "{}", other_id.err);
        let later = agent(world, &["verify", "--capture", &file, "--at", "2999-01-01T00:00:00Z"]);
        assert_eq!(later.status, Some(1), "{}", later.out);

        let ran = agent(world, &["verify", "--capture", &both]);
        assert_eq!(ran.status, Some(2));
        assert!(ran.err.contains("expected --user") && ran.err.contains("ubuntu admin"), "{}", ran.err);
        let ran = agent(world, &["verify", "--capture", &both, "--user", "admin"]);
        assert_eq!(ran.out.trim(), other.bare_line());
        assert_eq!(agent(world, &["verify", "--capture", &both, "--keys", "x"]).status, Some(2));
        assert_eq!(agent(world, &["verify"]).status, Some(2));
        let changed = fs::read_to_string(&file).unwrap().replace("#Timestamp=", "#Timestamp=9");
        fs::write(&file, changed).unwrap();
        let ran = agent(world, &["verify", "--capture", &file]);
        assert_eq!(ran.status, Some(1));
        assert!(ran.err.contains("bad-signature"), "{}", ran.err);
    });
}

#[test]
fn capture_contains_no_token_and_redacted_capture_no_identifier() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        let request = world.emulator.push("ubuntu", &key.line(), BOB);
        world.emulator.take_requests();
        let (_, plain) = capture(world, "plain.json", &["--user", "ubuntu"]);
        let tokens: Vec<String> = world
            .emulator
            .take_requests()
            .into_iter()
            .flat_map(|request| request.headers)
            .filter(|(name, _)| name.eq_ignore_ascii_case("x-aws-ec2-metadata-token"))
            .map(|(_, token)| token)
            .collect();
        let text = fs::read_to_string(&plain).unwrap();
        assert!(!tokens.is_empty() && tokens.iter().all(|token| !text.contains(token.as_str())));
        let secrets = ["123456789012", "user/bob", "i-0123456789abcdef0", request.as_str()];
        assert!(secrets.iter().all(|secret| text.contains(secret)), "{text}");

        let (ran, redacted) = capture(world, "redacted.json", &["--user", "ubuntu", "--redact"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        let text = fs::read_to_string(&redacted).unwrap();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        let ran = agent(world, &["verify", "--capture", &redacted, "--json"]);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.status, &report["redacted"]), (Some(1), &Value::Bool(true)), "{report:#}");
        let ran = agent(world, &["verify", "--capture", &redacted]);
        assert!(ran.err.contains("\nthis capture was redacted: "), "{}", ran.err);
    });
}

#[test]
fn existing_file_is_not_overwritten_by_capture() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (there, link, target) =
            (world.path("etc/there"), world.path("etc/link"), world.path("etc/target"));
        fs::write(&there, "mine").unwrap();
        symlink(&target, &link).unwrap();
        for name in ["there", "link"] {
            let (ran, _) = capture(world, name, &["--user", "ubuntu"]);
            assert_eq!(ran.status, Some(1), "{name}");
            assert!(ran.err.contains("File exists"), "{name}: {}", ran.err);
        }
        assert_eq!((fs::read_to_string(&there).unwrap().as_str(), target.exists()), ("mine", false));

        // `capture` also records the answers of a service that refuses requests.
        world.emulator.inject(Fault::token().status(403));
        let (ran, file) = capture(world, "refused.json", &[]);
        assert_eq!(ran.status, Some(1));
        assert!(ran.err.contains("metadata-forbidden"), "{}", ran.err);
        let ran = agent(world, &["verify", "--capture", &file, "--user", "ubuntu"]);
        assert!(ran.status == Some(1) && ran.err.contains("metadata-forbidden"), "{}", ran.err);
        fs::write(world.path("etc/odd.json"), "{}").unwrap();
        let odd = world.path("etc/odd.json").display().to_string();
        let ran = agent(world, &["verify", "--capture", &odd]);
        assert!(
            ran.status == Some(2) && ran.err.contains("expected a document of `eic-agent capture`"),
            "{}",
            ran.err
        );
    });
}
