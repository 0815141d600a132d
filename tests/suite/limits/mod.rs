//! Limits of rules: the word of the agent's log, compared with real logins.

mod audit;
mod judged;
mod options;
mod predicted;
mod recording;
mod single_use;

pub(crate) use judged::public_key;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use eic_emulator::{Config, Entry};

use crate::documents::block;
use crate::world::{INSTANCE, Key, Sshd, Syslog, World, on_an_instance, test_path};

pub(super) const CONTRACTOR: &str = "arn:aws:sts::123456789012:assumed-role/Contractor/carol";
pub(super) const DEPLOY: &str = "arn:aws:sts::123456789012:assumed-role/Deploy/run-17";

/// A rule for the role Contractor with these further lines.
pub(super) fn contractors(lines: &str) -> String {
    format!(
        "[[rule]]\nname = \"contractors\"\naction = \"allow\"\nprincipals = [\"*:assumed-role/Contractor/*\"]\n{lines}\n"
    )
}

/// What date(1) prints in a time zone.
fn date(zone: &str, format: &str) -> String {
    let said = Command::new("date").env("TZ", zone).env("LC_ALL", "C").arg(format).output().unwrap();
    String::from_utf8(said.stdout).unwrap().trim().to_owned()
}

/// The hours from `from` to `until` hours after the current hour in a time zone.
pub(super) fn around(zone: &str, from: u32, until: u32) -> String {
    let now: u32 = date(zone, "+%H").parse().unwrap();
    let span = format!("{:02}:00-{:02}:00", (now + from) % 24, (now + until) % 24);
    format!("hours = [\"{span}\"]\ntime_zone = \"{zone}\"")
}

/// Serves one key, which `caller` pushed `age` seconds ago.
pub(crate) fn push(world: &World, user: &str, key: &Key, caller: &str, age: i64) {
    let entry = Entry::new(key.line()).timestamp(world.emulator.now() + 60 - age).instance(INSTANCE);
    let entry = entry.caller(caller).request("r-1");
    world.emulator.set_entries(user, entry.sign(&world.emulator.hierarchy().leaf_key));
}

#[test]
fn limits_of_a_rule_decide_about_real_logins() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = Sshd::start(world);
        let key = Key::ed25519(world, "key");
        let day = date("Asia/Tokyo", "+%a");
        let days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
        let today = days.iter().position(|name| *name == day).unwrap();
        let (far, farther) = (days[(today + 3) % 7], days[(today + 4) % 7]);
        let deny = "[policy]\ndefault = \"deny\"\n";
        let all = "[[rule]]\nname = \"all\"\naction = \"allow\"\n";
        for (settings, caller, age, refusal) in [
            (deny.to_owned(), CONTRACTOR, 0, "denied-by-default: no rule of this instance matches"),
            (format!("{deny}{}", contractors("")), CONTRACTOR, 0, ""),
            (format!("{deny}{}", contractors("")), DEPLOY, 0, "denied-by-default: "),
            (contractors("max_age = 30"), CONTRACTOR, 20, ""),
            (
                contractors("max_age = 10") + all,
                CONTRACTOR,
                40,
                "push-too-old: contractors (a rule of this instance) allows the key for 10 s after the push, that was 4",
            ),
            (contractors("max_age = 10"), DEPLOY, 40, ""),
            (contractors(&around("Asia/Tokyo", 0, 2)), CONTRACTOR, 0, ""),
            (contractors(&around("America/Los_Angeles", 22, 2)), CONTRACTOR, 0, ""),
            (
                contractors(&around("Asia/Tokyo", 3, 5)) + all,
                CONTRACTOR,
                0,
                "outside-hours: contractors (a rule of this instance) allows the key daily ",
            ),
            (contractors(&around("America/Los_Angeles", 12, 22)), CONTRACTOR, 0, "outside-hours: "),
            (
                contractors(&format!("days = [\"{far}-{farther}\"]\ntime_zone = \"Asia/Tokyo\"")),
                CONTRACTOR,
                0,
                "outside-hours: ",
            ),
            (contractors("days = [\"Mon-Sun\"]\ntime_zone = \"UTC\""), CONTRACTOR, 0, ""),
            (
                contractors("days = [\"Mon-Sun\"]\ntime_zone = \"Nowhere/Land\""),
                CONTRACTOR,
                0,
                "time-zone-unknown: contractors (a rule of this instance) allows the key Mon-Sun Nowhere/Land, and the time there is unknown: /usr/share/zoneinfo/Nowhere/Land: ",
            ),
            // The time zone of a rule that does not decide does not matter.
            (contractors("days = [\"Mon-Sun\"]\ntime_zone = \"Nowhere/Land\""), DEPLOY, 0, ""),
        ] {
            world.configure(&settings);
            // The login takes long on a busy machine. A key that expires meanwhile is pushed again.
            let ok = (0..5).any(|_| {
                push(world, "ec2-user", &key, caller, age);
                syslog.clear();
                world.ssh("ec2-user", &[&key]).ok || !syslog.agent_lines().concat().contains(": expired: ")
            });
            let lines = syslog.agent_lines();
            let refused = lines.iter().find(|line| line.starts_with("Refusing "));
            assert!(ok, "{settings}: {lines:?}");
            if refusal.is_empty() {
                assert!(refused.is_none() && lines[0].starts_with("Providing "), "{settings}: {lines:?}");
            } else {
                let start =
                    format!("Refusing ssh key from EC2 Instance Connect for user ec2-user: {refusal}");
                let line = refused.unwrap_or_else(|| panic!("{settings}: {lines:?}"));
                assert!(line.starts_with(&start), "{start}\n{line}");
                let others =
                    match (refusal.starts_with("denied-by-default"), settings.contains("contractors")) {
                        (false, _) => "",
                        (true, true) => "; rules that allow keys for this user: contractors",
                        (true, false) => "; no rule allows keys for this user",
                    };
                assert!(line.contains(&format!(", pushed by {caller}{others}; fingerprint: ")), "{line}");
            }
        }
    });
}

#[test]
fn data_of_a_time_zone_that_is_bad_or_unsafe_denies() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        push(world, "ec2-user", &key, CONTRACTOR, 0);
        let tokyo = fs::read("/usr/share/zoneinfo/Asia/Tokyo").unwrap();
        assert!(
            Command::new("mount")
                .args(["-t", "tmpfs", "tmpfs", "/usr/share/zoneinfo"])
                .status()
                .unwrap()
                .success()
        );
        fs::set_permissions("/usr/share/zoneinfo", fs::Permissions::from_mode(0o755)).unwrap();
        let file = |name: &str, bytes: &[u8], mode: u32| {
            let path = format!("/usr/share/zoneinfo/{name}");
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        file("Good", &tokyo, 0o644);
        file("Writable", &tokyo, 0o666);
        file("Closed", &tokyo, 0o600);
        file("Cut", &tokyo[..tokyo.len() / 2], 0o644);
        file("Empty", b"", 0o644);
        file("Large", &vec![b'x'; 70_000], 0o644);
        fs::create_dir("/usr/share/zoneinfo/Folder").unwrap();
        assert!(Command::new("mkfifo").arg("/usr/share/zoneinfo/Pipe").status().unwrap().success());
        for (zone, why) in [
            ("Good", ""),
            ("Writable", "its mode is 0666"),
            ("Closed", "Permission denied"),
            ("Cut", "no data of a time zone: "),
            ("Empty", "no data of a time zone: "),
            ("Large", "larger than 65536 bytes"),
            ("Folder", ""),
            ("Pipe", ""),
        ] {
            world.configure(&contractors(&format!("days = [\"Mon-Sun\"]\ntime_zone = \"{zone}\"")));
            push(world, "ec2-user", &key, CONTRACTOR, 0);
            let run = world.run_as("eic-agent", &["ec2-user"]);
            assert_eq!(run.keys().is_empty(), zone != "Good", "{zone}: {run:?}");
            if zone != "Good" {
                assert!(
                    run.notes().contains("refused: time-zone-unknown: ") && run.notes().contains(why),
                    "{run:?}"
                );
                assert!(run.is_soon(), "{run:?}");
            }
        }
    });
}

#[test]
fn recipe_for_office_hours_is_sound_and_lets_no_one_else_in() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let recipe = block("docs/settings.md", "[policy]");
        world.configure(recipe);
        let config = Command::new(world.agent()).arg("config").output().unwrap();
        assert_eq!(config.status.code(), Some(0), "{config:?}");
        let key = Key::ed25519(world, "key");
        push(world, "ec2-user", &key, DEPLOY, 0);
        let run = world.run(&["ec2-user"]);
        assert!(run.keys().is_empty() && run.notes().contains("denied-by-default"), "{run:?}");
        push(world, "ec2-user", &key, CONTRACTOR, 0);
        let is_office = || {
            let hour: u32 = date("Europe/Berlin", "+%H").parse().unwrap();
            (8..18).contains(&hour) && !date("Europe/Berlin", "+%a").starts_with('S')
        };
        let before = is_office();
        let run = world.run(&["ec2-user"]);
        if before == is_office() {
            assert_eq!(run.keys().is_empty(), !before, "{run:?}");
        }
    });
}
