//! Many connections after one push: sshd's `MaxStartups` limits them, as `docs/performance.md` says.

use std::io::Read;
use std::net::TcpStream;
use std::process::Command;
use std::thread;

use eic_emulator::Config;

use super::USER;
use crate::world::{BOB, Key, Sshd, Syslog, UNHURRIED, World, on_an_instance, test_path, until};

fn sshd(world: &World, startups: &str) -> Sshd {
    let command =
        format!("AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f", world.agent().display());
    Sshd::with(world, &format!("{command}\nAuthorizedKeysCommandUser eic-agent\nMaxStartups {startups}\n"))
}

/// A connection that says nothing. It counts from the time at which sshd says its version, and a connection that logs in
/// counts for a moment after its login. So the first attempts can be dropped.
fn admitted() -> TcpStream {
    let mut admitted = None;
    until("sshd admits a silent connection", || {
        let mut stream = TcpStream::connect("127.0.0.1:22").unwrap();
        let mut start = [0; 8];
        let is_admitted = stream.read_exact(&mut start).is_ok() && start == *b"SSH-2.0-";
        admitted = Some(stream);
        is_admitted
    });
    admitted.unwrap()
}

#[test]
fn connection_above_max_startups_is_dropped_before_the_agent_runs() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.emulator.push(USER, &key.line(), BOB);
        let _sshd = sshd(world, "1:100:1");
        // One connection that has logged in, and then one that does not.
        let control = world.path("etc/control").display().to_string();
        let mut open = World::ssh_command(&[&key]);
        open.args(["-f", "-N", "-M", "-S", &control, "ec2-user@127.0.0.1"]);
        // The connection with which the test saw that sshd listens can still count.
        until("sshd admits a connection", || open.status().unwrap().success());
        let silent = admitted();
        let earlier = syslog.agent_lines();
        let dropped = world.ssh(USER, &[&key]);
        assert!(dropped.said.contains("kex_exchange_identification: "), "{}", dropped.said);
        syslog.wait_for("MaxStartups throttling");
        assert_eq!(syslog.agent_lines(), earlier, "sshd did not run the agent");
        // Sessions of the shared connection need no new one.
        let shared = |words: &[&str]| {
            let output =
                Command::new("ssh").args(["-F", "none", "-S", &control]).args(words).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(shared(&["x", "id -un"]), "ec2-user\n");
        assert_eq!(syslog.agent_lines(), earlier, "no further login");
        drop(silent);
        until("sshd admits a connection", || world.ssh(USER, &[&key]).ok);
        shared(&["-O", "exit", "x"]);
    });
}

#[test]
fn connections_at_once_log_in_with_one_push_if_max_startups_has_room() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        let request = world.emulator.push(USER, &key.line(), BOB);
        let _sshd = sshd(world, "40");
        thread::scope(|scope| {
            let logins: Vec<_> = (0..20).map(|_| scope.spawn(|| world.ssh(USER, &[&key]))).collect();
            for login in logins {
                let login = login.join().unwrap();
                assert!(login.ok, "{}", login.said);
            }
        });
        let lines = syslog.agent_lines();
        assert_eq!(lines.len(), 40, "two runs for each login");
        assert!(
            lines.iter().all(|line| line.contains(&format!(", request-id: {request}, for "))),
            "{lines:#?}"
        );
    });
}
