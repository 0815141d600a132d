//! The operator pins the region and the domain. Metadata cannot change them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Command;

use eic_emulator::Config;
use eic_emulator::pki::{Hierarchy, KeyPool};

use crate::failures::assert_undecided;
use crate::metadata::{USER, paths, pushed};
use crate::wiring::{INCLUDE, OURS, agent, lay_out};
use crate::world::{BOB, Key, World, on_an_instance, test_path};

const SETTINGS: &str = "/etc/eic-agent.toml";
const BOTH: &str = "region = \"us-east-1\"\ndomain = \"amazonaws.com\"\n";

/// Serves the metadata and the signer of another region, as an attacker does who has that signer's key.
fn become_region(world: &World, region: &str, domain: &str) {
    let now = world.emulator.now();
    let usual = Hierarchy::new(&KeyPool::shared(), "managed-ssh-signer.us-east-1.amazonaws.com", now);
    let leaf = usual.leaf(&format!("managed-ssh-signer.{region}.{domain}"), now);
    world.emulator.set_hierarchy(usual.with_leaf(leaf));
    world.emulator.set_item("placement/region", region);
    world.emulator.set_item("services/domain", domain);
}

#[test]
fn signer_of_another_region_is_refused_on_a_pinned_instance() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        let given =
            |case: &str| assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()), "{case}");
        let pins = ["region = \"us-east-1\"\n", "domain = \"amazonaws.com\"\n", BOTH];
        for pin in pins {
            world.configure(&format!("[trust]\n{pin}"));
            given(pin);
        }
        for (region, domain, kept) in [
            ("eu-west-1", "amazonaws.com", vec![pins[1]]),
            ("us-east-1", "amazonaws.com.cn", vec![pins[0]]),
            ("eu-west-1", "amazonaws.eu", vec![]),
        ] {
            become_region(world, region, domain);
            world.emulator.clear_keys();
            world.emulator.push(USER, &key.line(), BOB);
            world.configure("");
            given("without pins, metadata chooses the signer");
            for pin in pins {
                world.configure(&format!("[trust]\n{pin}"));
                if kept.contains(&pin) {
                    given(pin);
                    continue;
                }
                let run = world.run(&[USER]);
                assert_undecided(&run, "signer-name-mismatch", &format!("{region} {domain}, {pin}"));
                assert!(run.notes().contains("; [trust] pins "), "{}", run.notes());
            }
        }
    });
}

#[test]
fn pinned_value_is_not_requested() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        for (pins, requests) in [("", 7), ("region = \"us-east-1\"\n", 6), (BOTH, 5)] {
            world.configure(&format!("[trust]\n{pins}"));
            paths(&world.emulator);
            assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
            let asked = paths(&world.emulator);
            assert_eq!(asked.len(), requests, "{asked:#?}");
            let asks = |item: &str| asked.iter().any(|path| path.contains(item));
            assert_eq!(
                (asks("placement/"), asks("services/domain")),
                (pins.is_empty(), !pins.contains("domain"))
            );
        }
    });
}

/// Runs `enable`. On a busy machine its queries to metadata can time out. `enable` then changes nothing, and this
/// function runs it again.
fn enable(world: &World, options: &[&str]) -> (Option<i32>, String) {
    let mut tries = 0;
    loop {
        let ran = agent(world, &[&["enable"], options].concat());
        let said = format!("{}{}", ran.out, ran.err);
        tries += 1;
        if tries == 10 || !said.contains("metadata-timeout") {
            break (ran.status, said);
        }
    }
}

#[test]
fn enable_pins_once_and_keeps_the_operators_settings() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        lay_out(&format!("{INCLUDE}HostKey {}\n", host.file().display()), &[]);
        let settings = || fs::read_to_string(SETTINGS).unwrap();
        let mode = || fs::metadata(SETTINGS).unwrap().permissions().mode() & 0o777;

        let (status, said) = enable(world, &["--pin"]);
        assert_eq!(status, Some(0), "{said}");
        assert!(
            said.contains("pinned region us-east-1 and domain amazonaws.com in /etc/eic-agent.toml"),
            "{said}"
        );
        assert_eq!((settings(), mode()), (format!("[trust]\n{BOTH}"), 0o644));
        let (status, said) = enable(world, &["--pin"]);
        assert!(status == Some(0) && said.contains("are pinned already"), "{said}");

        let shown = agent(world, &["config"]).out;
        assert!(
            shown.contains("trust.region     \"us-east-1\"                  /etc/eic-agent.toml:2\n"),
            "{shown}"
        );
        let key = pushed(world, "key");
        fs::write(SETTINGS, format!("[trust]\n{BOTH}\n[imds]\ntimeout = 60\n")).unwrap();
        let explained = agent(world, &["explain", USER]).out;
        fs::write(SETTINGS, format!("[trust]\n{BOTH}")).unwrap();
        assert!(
            explained.contains("pinned       region us-east-1 and domain amazonaws.com\n"),
            "{explained}"
        );
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(settings(), format!("[trust]\n{BOTH}"), "`disable` keeps the pins");

        // The operator's text, comments, mode and link stay.
        let own = "# ours\n[imds]\ntimeout = 3 # s\n\n[trust] # few\nroots = \"system\"\n";
        fs::write("/etc/own.toml", own).unwrap();
        fs::set_permissions("/etc/own.toml", fs::Permissions::from_mode(0o604)).unwrap();
        fs::remove_file(SETTINGS).unwrap();
        symlink("own.toml", SETTINGS).unwrap();
        let (status, said) = enable(world, &["--pin"]);
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(settings(), own.replace("# few\n", &format!("# few\n{BOTH}")));
        assert!(fs::symlink_metadata(SETTINGS).unwrap().is_symlink() && mode() == 0o604);
        let names = fs::read_dir("/etc").unwrap().map(|entry| entry.unwrap().file_name());
        assert!(names.into_iter().all(|name| !name.to_string_lossy().ends_with("toml.eic-agent")));
        agent(world, &["disable"]);
        fs::remove_file(SETTINGS).unwrap();

        // A wrong or different setting is left alone. sshd's configuration then does not change either.
        for (text, why) in [
            ("[trust]\nregion = \"eu-west-1\"\n", "pins region eu-west-1, metadata says region us-east-1"),
            ("[trust]\nregion = 7\n", "trust.region"),
            ("trust.roots = \"system\"\n", "write below its [trust]: region = \"us-east-1\", domain"),
        ] {
            world.configure(text);
            let (status, said) = enable(world, &["--pin"]);
            assert!(
                status == Some(1) && said.contains("nothing is changed: ") && said.contains(why),
                "{said}"
            );
            assert_eq!((settings().as_str(), fs::exists(OURS).unwrap()), (text, false));
        }
        world.configure("");
        for (region, why) in [("us-east-1.evil", "region-malformed"), ("eu-west-1", "signer-name-mismatch")] {
            world.emulator.set_item("placement/region", region);
            let (status, said) = enable(world, &["--pin"]);
            assert!(status == Some(1) && said.contains(why), "{said}");
            assert_eq!((settings().as_str(), fs::exists(OURS).unwrap()), ("", false));
        }
        world.without_asset_tag();
        let (status, said) = enable(world, &["--pin"]);
        assert!(status == Some(1) && said.contains("this is not an EC2 instance"), "{said}");
    });
}

#[test]
fn user_other_than_root_cannot_pin() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let uid = world.uid(USER).to_string();
        let said = Command::new("setpriv")
            .args(["--reuid", &uid, "--regid", &uid, "--clear-groups"])
            .arg(world.agent())
            .args(["enable", "--pin"])
            .output()
            .unwrap();
        assert_eq!(said.status.code(), Some(1));
        assert!(!fs::exists(SETTINGS).unwrap());
    });
}

#[test]
fn doctor_compares_the_pins_with_metadata() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let region = || {
            let said = agent(world, &["doctor", "--json"]).out;
            let report: serde_json::Value = serde_json::from_str(&said).unwrap();
            let checks = report["checks"].as_array().unwrap();
            let check = checks.iter().find(|check| check["id"] == "region").unwrap();
            (check["verdict"].as_str().unwrap().to_owned(), check["seen"].as_str().unwrap().to_owned())
        };
        world.configure_unhurried(&format!("[trust]\n{BOTH}"));
        let (verdict, seen) = region();
        assert!(
            verdict == "ok" && seen.contains("metadata agrees with the pinned region us-east-1"),
            "{seen}"
        );
        world.emulator.set_item("placement/region", "eu-west-1");
        let (verdict, seen) = region();
        assert!(
            verdict == "warn" && seen.contains("and metadata says region eu-west-1"),
            "{verdict}: {seen}"
        );
        become_region(world, "eu-west-1", "amazonaws.eu");
        let (verdict, seen) = region();
        assert!(
            verdict == "fail" && seen.contains("metadata says region eu-west-1 and domain amazonaws.eu"),
            "{seen}"
        );
    });
}
