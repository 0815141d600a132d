//! Changes of the user that keep root's capabilities.

use std::process::{Command, Output};

use eic_emulator::Config;

use crate::metadata::{USER, pushed};
use crate::world::{World, on_an_instance, test_path};

/// Runs the agent as root, with `SECBIT_NO_SETUID_FIXUP`: a change of the ids then keeps all capabilities
/// (capabilities(7)).
fn with_kept_capabilities(world: &World, words: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new("setpriv");
    command.args(["--securebits", "+no_setuid_fixup"]).arg(world.agent()).args(words);
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn process_that_keeps_roots_capabilities_does_not_pass_for_the_user() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let uid = world.uid(USER).to_string();
        for words in [
            &["reach", &uid, &uid, "", "read", "--", "/etc/shadow"][..],
            &["run-as", &uid, &uid, "", "--", "/usr/bin/id", "-u"],
        ] {
            let (status, out, err) = with_kept_capabilities(world, words);
            assert_eq!((status, out.as_str()), (Some(1), ""), "{words:?}: {err}");
            assert!(err.contains("capabilities") && err.contains("are still there"), "{words:?}: {err}");
        }
        // Root keeps its capabilities as root.
        let (status, out, err) =
            with_kept_capabilities(world, &["run-as", "0", "0", "", "--", "/usr/bin/id", "-u"]);
        assert_eq!((status, out.as_str()), (Some(0), "0\n"), "{err}");
        let (status, out, err) =
            with_kept_capabilities(world, &["reach", "0", "0", "", "read", "--", "/etc/shadow"]);
        assert_eq!((status, out.as_str()), (Some(0), "{\"Ok\":null}"), "{err}");
    });
}

#[test]
fn run_that_keeps_roots_capabilities_gives_no_key() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "demo");
        let (status, out, err) =
            with_kept_capabilities(world, &["authorized-keys", USER, &key.fingerprint()]);
        assert_eq!((status, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains("root's privileges cannot be given up: capabilities"), "{err}");
        assert_eq!(
            world.run_as("root", &[USER, &key.fingerprint()]).keys(),
            format!("{}\n", key.bare_line())
        );
    });
}
