//! Lines that real log daemons wrote: each file is read completely, or the report says that it is not.
//!
//! rsyslog 8.2302 and syslog-ng 3.38 wrote the files in `corpus`. Both daemons got the same lines, in the form in which
//! syslog(3) sends them. The name of a file is that of its template. Debian's syslog-ng cannot be installed beside
//! rsyslog, so the tests do not start these daemons. journalctl runs in the test.

use std::fs;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use super::{ALICE, ids, is_valid, logged_login, ran};
use crate::world::{World, on_an_instance, test_path};

fn read(world: &World, path: &str) -> (Option<i32>, Value) {
    let said = ran(world, &["--json", path]);
    let shown: Value =
        serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {path}: {}", said.err));
    is_valid(world, &shown).unwrap();
    (said.status, shown)
}

#[test]
fn file_of_each_daemon_is_read_or_reported() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/sessions/corpus");
        for (name, is_known) in [
            ("rsyslog-file", true),
            ("rsyslog-traditional", true),
            ("rsyslog-protocol23", true),
            // The template writes no line breaks, so the file is one line.
            ("rsyslog-forward", false),
            ("syslog-ng-bsd", true),
            ("syslog-ng-iso", true),
            ("syslog-ng-pri", true),
            ("syslog-ng-ietf", true),
            // The year precedes the month.
            ("syslog-ng-full", false),
        ] {
            let text = fs::read_to_string(format!("{folder}/{name}.log")).unwrap();
            let copy = world.path("etc").join(name);
            fs::write(&copy, &text).unwrap();
            let (status, shown) = read(world, copy.to_str().unwrap());
            if is_known {
                let session = &shown["sessions"][0];
                assert_eq!((status, ids(&shown)), (Some(0), vec!["text-log"]), "{name}: {shown:#}");
                assert_eq!(
                    (&session["pushes"][0]["principal"], &session["user"], &session["state"]),
                    (&ALICE.into(), &"moe".into(), &"closed".into()),
                    "{name}"
                );
            } else {
                assert_eq!((status, &shown["complete"]), (Some(1), &false.into()), "{name}: {shown:#}");
                assert!(ids(&shown).contains(&"unknown-format"), "{name}: {shown:#}");
            }
            // Without PAM, only sshd's line about the disconnection shows the end of the session.
            let without_pam: String = text
                .lines()
                .filter(|line| !line.contains("pam_unix"))
                .flat_map(|line| [line, "\n"])
                .collect();
            fs::write(&copy, without_pam).unwrap();
            if is_known {
                let (_, shown) = read(world, copy.to_str().unwrap());
                assert_eq!(shown["sessions"][0]["state"], "closed", "{name}: {shown:#}");
            }
        }
    });
}

#[test]
fn each_format_of_journalctl_is_read_or_reported() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_journal, key) = logged_login(world);
        for (format, is_known) in [
            ("short", true),
            ("short-precise", true),
            ("short-iso", true),
            ("short-iso-precise", true),
            ("short-full", true),
            ("short-unix", true),
            ("short-monotonic", false),
            ("with-unit", false),
            ("verbose", false),
            ("export", false),
            ("json", false),
            ("json-pretty", false),
            ("cat", false),
        ] {
            let output = Command::new("journalctl")
                .args(["--quiet", "--no-pager", "--output", format])
                .env("TZ", "UTC")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            let file = world.path("etc").join(format);
            fs::write(&file, output.stdout).unwrap();
            let (status, shown) = read(world, file.to_str().unwrap());
            let session = &shown["sessions"][0];
            let is_read = session["fingerprint"] == key.fingerprint() && session["state"] == "closed";
            assert_eq!((is_read, status), (is_known, Some(i32::from(!is_known))), "{format}: {shown:#}");
        }
    });
}
