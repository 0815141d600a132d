//! How often sshd runs the agent, with and without a login. SECURITY.md explains with these numbers why a pushed key is not
//! limited to one connection.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use eic_emulator::Config;

use crate::world::{BOB, Key, Sshd, UNHURRIED, World, on_an_instance, test_path, without_penalties};

/// Removes the public half of a key, or the private one.
fn remove(key: &Key, name: &str) {
    fs::remove_file(if name.is_empty() { key.file().to_owned() } else { key.file().with_extension(name) })
        .unwrap();
}

/// Offers the keys in these files, in one connection. Returns whether the client logged in.
fn logs_in(files: &[&Path]) -> bool {
    let mut ssh = World::ssh_command(&[]);
    for file in files {
        ssh.arg("-o").arg(format!("IdentityFile={}", file.display()));
    }
    ssh.args(["ec2-user@127.0.0.1", "true"]).stdin(Stdio::null()).output().unwrap().status.success()
}

#[test]
fn number_of_runs_does_not_tell_a_login_from_an_offer() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let asked = world.path("etc/asked");
        fs::write(&asked, "").unwrap();
        fs::set_permissions(&asked, fs::Permissions::from_mode(0o666)).unwrap();
        let count = world.script(
            "count",
            &format!("echo $PPID >>{}; exec {} \"$@\"", asked.display(), world.agent().display()),
        );
        let command =
            format!("AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f\n", count.display());
        let quiet = without_penalties(Key::ed25519(world, "any").file());
        let _sshd = Sshd::with(world, &format!("{command}AuthorizedKeysCommandUser eic-agent\n{quiet}"));
        let [whole, public] = ["whole", "public"].map(|name| Key::ed25519(world, name));
        // A key of this form has no public half in its file.
        let private = Key::new(world, "private", &["rsa", "-b", "2048", "-m", "PEM"]);
        for key in [&whole, &public, &private] {
            world.emulator.push("ec2-user", &key.line(), BOB);
        }
        remove(&public, "");
        remove(&private, "pub");
        let copy = world.path("etc/copy");
        fs::copy(public.public_file(), copy.with_extension("pub")).unwrap();

        let (whole, public, private) = (whole.file(), public.file(), private.file());
        for (files, connections, logged_in, runs) in [
            // The client offers the key, and then proves that it has the private key.
            (vec![whole], 1, true, vec![2]),
            // The same key in a second connection, within the 60 seconds.
            (vec![whole], 2, true, vec![2, 2]),
            // The client sends the proof at once (RFC 4252, section 7).
            (vec![private], 1, true, vec![1]),
            // Anyone who knows the public key can offer it, once or more often.
            (vec![public], 1, false, vec![1]),
            (vec![public, copy.as_path()], 1, false, vec![2]),
        ] {
            fs::write(&asked, "").unwrap();
            for _ in 0..connections {
                assert_eq!(logs_in(&files), logged_in, "{files:?}");
            }
            let pids = fs::read_to_string(&asked).unwrap();
            let mut of_connections: Vec<(&str, usize)> = Vec::new();
            for pid in pids.lines() {
                match of_connections.last_mut().filter(|(last, _)| *last == pid) {
                    Some((_, number)) => *number += 1,
                    None => of_connections.push((pid, 1)),
                }
            }
            let numbers: Vec<_> = of_connections.iter().map(|(_, number)| *number).collect();
            assert_eq!(numbers, runs, "{files:?}");
        }
    });
}
