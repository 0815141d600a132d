//! A machine without a log.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use eic_emulator::Config;

use crate::world::{World, on_an_instance, test_path};

/// Standard error of `sessions`, which fails. `user` is `root`, or `sudo` for root by sudo(8), or another user.
fn refused(world: &World, user: &str) -> String {
    let mut command = match user {
        "root" | "sudo" => Command::new(world.agent()),
        user => {
            let mut command = Command::new("setpriv");
            let uid = world.uid(user).to_string();
            command.args(["--reuid", &uid, "--regid", &uid, "--clear-groups"]).arg(world.agent());
            command
        }
    };
    if user == "sudo" {
        command.env("SUDO_USER", "ubuntu");
    }
    let ran = command.arg("sessions").output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{user}: {ran:?}");
    String::from_utf8(ran.stderr).unwrap()
}

#[test]
fn root_is_not_told_to_run_sessions_with_sudo() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _ = fs::remove_file("/var/log/auth.log");
        for user in ["root", "sudo"] {
            let said = refused(world, user);
            assert!(said.contains("no log can be read") && said.contains("name the files"), "{user}: {said}");
            assert!(!said.contains("with sudo"), "{user}: {said}");
        }
        let said = refused(world, "ubuntu");
        assert!(said.contains("run it with sudo, or name the files"), "{said}");

        // Only root may read this log.
        fs::write("/var/log/auth.log", "").unwrap();
        fs::set_permissions("/var/log/auth.log", fs::Permissions::from_mode(0o600)).unwrap();
        assert!(refused(world, "ubuntu").contains("auth.log: Permission denied; run it with sudo"));
    });
}
