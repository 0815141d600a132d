//! Lists of revoked keys that sshd cannot read, or that have the pushed key.

use std::fs;
use std::process::Command;

use eic_emulator::Config;

use super::sound::ask;
use super::{Finding, Row, enabled, every_row, have_it_read, refused, row, with};
use crate::machines::agreement::Attempt;
use crate::world::{Key, Syslog, World, on_an_instance, test_path};

const LIST: &str = "/etc/ssh/revoked";

/// Makes a key revocation list of a key.
fn revoke(file: &str, key: &Key) {
    let public = key.file().with_extension("pub");
    fs::write(&public, key.line() + "\n").unwrap();
    let made = Command::new("ssh-keygen").args(["-q", "-k", "-f", file]).arg(public).status();
    assert!(made.unwrap().success());
}

fn listing(content: impl Fn(&World) -> Vec<u8>) -> impl Fn(&World) {
    move |world| {
        fs::write(LIST, content(world)).unwrap();
        with("RevokedKeys /etc/ssh/revoked\n")(world);
    }
}

/// A new key that is not pushed.
fn other(world: &World) -> Key {
    let _ = fs::remove_file(world.path("etc/other"));
    Key::ed25519(world, "other")
}

fn rows() -> Vec<Row> {
    let unreadable = |name, content: fn(&World) -> Vec<u8>, seen, fix| {
        refused(row(name, listing(content), Finding { check: "revoked-keys", verdict: "fail", seen, fix }))
    };
    let readable = |name, content: fn(&World) -> Vec<u8>| {
        row(
            name,
            listing(content),
            Finding { check: "revoked-keys", verdict: "ok", seen: "/etc/ssh/revoked can be read", fix: "" },
        )
    };
    let whole = |world: &World| {
        revoke(LIST, &other(world));
        fs::read(LIST).unwrap()
    };
    vec![
        unreadable(
            "a cut key revocation list",
            |world| {
                revoke(LIST, &other(world));
                fs::read(LIST).unwrap()[..40].to_vec()
            },
            "Invalid KRL file",
            "ssh-keygen -k -f /etc/ssh/revoked",
        ),
        unreadable(
            "only the beginning of such a list",
            |_| b"SSHKRL\n\0".to_vec(),
            "Invalid KRL file",
            "restore /etc/ssh/revoked",
        ),
        unreadable(
            "a part of that beginning",
            |_| b"SSHKRL".to_vec(),
            "line 1 is not a public key",
            "line 1 of /etc/ssh/revoked",
        ),
        unreadable(
            "a line that is no key",
            |world| format!("# revoked\n{}\nremoved by bob\n", other(world).line()).into_bytes(),
            "line 3 is not a public key",
            "remove or correct line 3",
        ),
        unreadable(
            "a key with options",
            |world| format!("no-pty {}\n", other(world).line()).into_bytes(),
            "line 1 is not a public key",
            "without options",
        ),
        unreadable("binary data", |_| vec![0xff; 64], "line 1 is not a public key", "line 1"),
        readable("a key revocation list", whole),
        readable("an empty list", |_| Vec::new()),
        readable("a list of keys", |world| format!(" \t{} bob\n\n# x\n", other(world).line()).into_bytes()),
    ]
}

#[test]
fn list_of_revoked_keys_is_judged_as_sshd_reads_it() {
    every_row(test_path!(), rows);
}

#[test]
fn pushed_key_that_is_revoked_is_named() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let [pushed, own] = ["pushed", "own"].map(|name| Key::ed25519(world, name));
        world.authorize("ec2-user", &own);
        with("RevokedKeys /etc/ssh/revoked\n")(world);
        for kind in ["lines", "list"] {
            if kind == "lines" {
                fs::write(LIST, format!("{}\n", pushed.line())).unwrap();
            } else {
                fs::remove_file(LIST).unwrap();
                revoke(LIST, &pushed);
            }
            assert!(have_it_read());
            let attempt =
                Attempt { world, user: "ec2-user", pushed: &pushed, own: Some(&own), is_read: true };
            let observed = attempt.observe();
            assert_eq!(observed.contradictions(), [""; 0]);
            assert!(
                !observed.logs_in() && observed.summary().contains("has the pushed key SHA256:"),
                "{}",
                observed.summary()
            );
            // Without a pushed key, there is nothing to say about it.
            assert_eq!(ask(world, "ec2-user").0, Some(0));
        }
    });
}
