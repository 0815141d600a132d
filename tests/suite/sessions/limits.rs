//! Logs of a real sshd whose settings omit lines. The report names the setting to change.

use eic_emulator::Config;

use super::{ALICE, ids, push, report, session, told};
use crate::world::{Journald, Key, Sshd, World, on_an_instance, test_path, until};

/// A login through an sshd with these settings.
fn login(world: &World, settings: &str, key: &Key) {
    let _sshd = Sshd::with_pam(world, settings);
    world.emulator.push("ec2-user", &key.line(), ALICE);
    assert!(world.ssh("ec2-user", &[key]).ok, "{settings}");
}

#[test]
fn missing_log_line_of_sshd_is_reported_with_the_setting_to_change() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let [quiet, md5, without_pam, second] =
            ["quiet", "md5", "without", "second"].map(|name| Key::ed25519(world, name));
        let fix = |report: &serde_json::Value, number: usize| {
            report["warnings"][number]["fix"].as_str().unwrap().to_owned()
        };

        // sshd logs no logins. The report only knows that the agent gave the key.
        login(world, "LogLevel ERROR\n", &quiet);
        journal.wait_for("session closed for user ec2-user");
        let shown = report(world, &[]);
        assert_eq!(
            (told(&shown).0, &shown["sessions"], &shown["complete"]),
            (vec!["beginning-rotated-away", "log-level"], &serde_json::json!([]), &false.into())
        );
        assert!(fix(&shown, 1).contains("LogLevel INFO"), "{shown:#}");
        assert_eq!(shown["unused"].as_array().unwrap().len(), 1);

        // Without PAM, only sshd's process with the user's id logs the end of a session.
        login(world, "UsePAM no\n", &without_pam);
        journal.wait_for(&without_pam.fingerprint());
        until("sshd's process is gone", || session(&report(world, &[]), &without_pam)["state"] != "open");
        let shown = report(world, &["--since", "1m"]);
        let gone = session(&shown, &without_pam);
        assert_eq!(
            (push(gone).0, &gone["state"], &gone["end_attributed"]),
            (ALICE, &"closed".into(), &false.into())
        );

        // With MD5 fingerprints, the agent gives all keys of the user, and sshd's line names no key that the agent
        // logs.
        world.emulator.clear_keys();
        login(world, "FingerprintHash md5\n", &md5);
        journal.wait_for("MD5:");
        let shown = report(world, &[]);
        let by_process = shown["sessions"].as_array().unwrap().last().unwrap();
        assert!(by_process["fingerprint"].as_str().unwrap().starts_with("MD5:"), "{by_process:#}");
        assert_eq!(
            (push(by_process).0, &by_process["joined_by"]),
            (ALICE, &"pid".into()),
            "one key was given"
        );
        world.emulator.push("ec2-user", &second.line(), ALICE);
        login(world, "FingerprintHash md5\n", &md5);
        journal.wait_for_lines(2, "MD5:");
        let shown = report(world, &[]);
        assert!(ids(&shown).contains(&"md5-fingerprints"), "{shown:#}");
        let both = shown["sessions"].as_array().unwrap().last().unwrap();
        assert!(both["pushes"].as_array().unwrap().len() > 1, "{both:#}");
    });
}
