//! Commands on a machine with a file server that never answers.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eic_emulator::Config;

use super::wired;
use crate::stuck::{GONE, Gone};
use crate::world::{BOB, Key, World, on_an_instance_for, test_path};

/// Longer than all waits of a command together, and shorter than a wait without end.
const LONG: Duration = Duration::from_secs(150);

/// What the command said, and its exit status. `None` if it did not end. Killing it may not help then.
#[expect(clippy::zombie_processes, reason = "a process that a file server blocks cannot be waited for")]
fn said(world: &World, words: &[&str]) -> Option<(Option<i32>, String)> {
    let out = world.path("said");
    let file = fs::File::create(&out).unwrap();
    let errors = file.try_clone().unwrap();
    let mut child = Command::new(world.agent());
    child.args(words).stdin(Stdio::null()).stdout(file).stderr(errors);
    let mut child = child.spawn().unwrap();
    let started = Instant::now();
    while started.elapsed() < LONG {
        if let Some(status) = child.try_wait().unwrap() {
            return Some((status.code(), fs::read_to_string(&out).unwrap()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = child.kill();
    None
}

/// The settings, and then the roots, are on a file server that does not answer. The login fails, every command ends,
/// and each names the path.
#[test]
fn silent_file_server_is_named_by_every_command() {
    on_an_instance_for("1500", test_path!(), Config::default(), |world| {
        let (_sshd, _log) = wired(world);
        let _gone = Gone::mount(world);
        let key = Key::ed25519(world, "silent");
        let settings = "/etc/eic-agent.toml";
        let kept = fs::read_to_string(settings).unwrap();
        let capture = world.path("capture.json");
        let capture = ["capture", "--user", "ec2-user", capture.to_str().unwrap()];
        let all: [(&str, &[&str]); 6] = [
            ("status", &["status"]),
            ("doctor", &["doctor", "--user", "ec2-user"]),
            ("explain", &["explain", "ec2-user"]),
            ("config", &["config"]),
            ("enable", &["enable"]),
            ("capture", &capture),
        ];
        let path = format!("{GONE}/file");
        let mut faults = Vec::new();
        for what in ["settings", "roots"] {
            fs::remove_file(settings).unwrap();
            if what == "settings" {
                symlink(&path, settings).unwrap();
            } else {
                fs::write(settings, format!("{kept}\n[trust]\nca_file = \"{path}\"\n")).unwrap();
            }
            world.emulator.push("ec2-user", &key.line(), BOB);
            assert!(!world.ssh("ec2-user", &[&key]).ok, "{what}");
            let named = if what == "settings" { settings } else { &path };
            for (name, words) in all {
                // These two do not look at the roots.
                let is_good = what == "roots" && ["config", "enable", "capture"].contains(&name);
                let Some((status, said)) = said(world, words) else {
                    faults.push(format!("{what}, {name}: does not end"));
                    continue;
                };
                // Lines are folded on a terminal only.
                let is_named = said.contains(named) && said.contains("does not answer");
                let is_met = if is_good { status == Some(0) } else { is_named && status == Some(1) };
                let is_met = is_met || (name == "enable" && is_named);
                if !is_met || said.contains("chmod") {
                    faults.push(format!("{what}, {name}: {status:?}: {said}"));
                }
            }
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    });
}
