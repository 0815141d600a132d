//! `whoami`: the caller of a session, from its environment, and as root from the kernel and the log.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use eic_emulator::Config;
use serde_json::Value;

use super::{CALLER, SFTP, ssh, start, wrapper};
use crate::limits::{CONTRACTOR, push};
use crate::wiring::{Ran, agent};
use crate::world::{Journald, Key, Sshd, Syslog, UNHURRIED, World, on_an_instance_for, test_path, until};

/// A login that stays: its ssh, the shell of the session, and a process of the session that has lost its parents.
struct Stay {
    ssh: Child,
    shell: u32,
    daemon: u32,
}

impl Stay {
    /// Logs in as ec2-user. The session says that somebody else pushed its key.
    fn with(key: &Key) -> Self {
        let command = "export EIC_PRINCIPAL=forged EIC_REQUEST_ID=forged; \
                       (sleep 900 >/dev/null 2>&1 & echo $!); echo $$; cat";
        let mut ssh = World::ssh_command(&[key]);
        ssh.arg("ec2-user@127.0.0.1").arg(command).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut ssh = ssh.spawn().unwrap();
        let mut lines = BufReader::new(ssh.stdout.take().unwrap()).lines();
        let mut number = || lines.next().unwrap().unwrap().parse().unwrap();
        let (daemon, shell) = (number(), number());
        Self { ssh, shell, daemon }
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

fn whoami(world: &World, pid: u32) -> Ran {
    agent(world, &["whoami", "--json", "--pid", &pid.to_string()])
}

/// Waits until the log proves the caller of a process. journald may read the lines of a login later.
fn proven(world: &World, pid: u32) -> (String, String) {
    until("the caller is proven", || whoami(world, pid).status == Some(0));
    let report: Value = serde_json::from_str(&whoami(world, pid).out).unwrap();
    assert_eq!((&report["verified"], &report["source"]), (&true.into(), &"log".into()), "{report:#}");
    assert_eq!(report["request_ids"], serde_json::json!(["r-1"]), "{report:#}");
    let text = |field: &str| report[field].as_str().unwrap().to_owned();
    (text("principal"), text("login"))
}

/// Waits until the answer names this caller, and says with these words that it is not verified.
fn doubted(world: &World, pid: u32, principal: &str, reason: &str) {
    until(reason, || {
        let ran = whoami(world, pid);
        let report: Value = serde_json::from_str(&ran.out).unwrap_or_default();
        let said = report["reason"].as_str().unwrap_or_default();
        ran.status == Some(1)
            && report["verified"] == false
            && report["principal"] == principal
            && said.contains(reason)
    });
}

/// Waits until the answer is that the caller is not known, with this reason.
fn not_known(world: &World, pid: u32, reason: &str) {
    until(reason, || {
        let ran = whoami(world, pid);
        ran.status == Some(1)
            && ran.out.is_empty()
            && ran.err.contains("not known: ")
            && ran.err.contains(reason)
    });
}

/// An sshd with PAM, whose sessions have these rules.
fn with_pam(world: &World, session: &str) -> Sshd {
    let sshd = Sshd::with_pam(world, "");
    let rules = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_unix.so\n";
    fs::write("/etc/pam.d/sshd", format!("{rules}{session}")).unwrap();
    sshd
}

#[test]
fn environment_of_a_wrapped_session_names_the_caller() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let _syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let _sshd = start(world, SFTP);
        push(world, "ec2-user", &key, CALLER, 0);
        let whoami = format!("{} whoami", world.agent().display());
        let said = ssh(&key, &[], &[&whoami], b"");
        let expected = format!(
            "principal  {CALLER}\nrequest-id r-1\naccount    123456789012\n\
             source     environment, not verified: the user of the session can change its environment\n"
        );
        assert_eq!((said.status, said.out), (Some(0), expected));
        let said = ssh(&key, &[], &[&format!("{whoami} --pid $$")], b"");
        assert_eq!(said.status, Some(1));
        assert!(said.err.contains("only root can find out the caller of a process"), "{said:?}");
        let without = Command::new(world.agent()).arg("whoami").env_clear().output().unwrap();
        assert_eq!(without.status.code(), Some(1));
        let said = String::from_utf8_lossy(&without.stderr).into_owned();
        assert!(said.contains("the environment has neither EIC_PRINCIPAL nor EIC_REQUEST_ID"), "{said}");
    });
}

#[test]
fn caller_of_a_process_comes_from_the_kernel_and_the_log() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = with_pam(world, "session required pam_loginuid.so\n");
        let [one, other, own] = ["one", "other", "own"].map(|name| Key::ed25519(world, name));
        push(world, "ec2-user", &one, CALLER, 0);
        let alice = Stay::with(&one);
        journal.wait_for(&one.fingerprint());
        journal.rotate();
        push(world, "ec2-user", &other, CONTRACTOR, 0);
        let carol = Stay::with(&other);
        for (stay, principal) in [(&alice, CALLER), (&carol, CONTRACTOR)] {
            let (found, login) = proven(world, stay.shell);
            assert_eq!(found, principal);
            assert!(login.starts_with("ec2-user from 127.0.0.1 port "), "{login}");
            // A process that lost its parents still has the session id of the kernel.
            doubted(
                world,
                stay.daemon,
                principal,
                "the login in which it, or a server above it, was started",
            );
        }
        // A login with a key of the user's own file.
        world.authorize("ec2-user", &own);
        let own = Stay::with(&own);
        not_known(world, own.shell, "ec2-user logged in without a pushed key (publickey)");
        not_known(world, 1, "no ancestor is a login of sshd");
        not_known(world, 4_000_000, "there is no process 4000000");
        // A journal that cannot be read completely proves nothing.
        let archives = journal.archives();
        let archive = archives.first().expect("an archive");
        let whole = fs::read(archive).unwrap();
        OpenOptions::new().write(true).open(archive).unwrap().set_len(4096).unwrap();
        let ran = whoami(world, carol.shell);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.status, &report["verified"]), (Some(1), &false.into()), "{report:#}");
        let reason = report["reason"].as_str().unwrap();
        assert!(reason.starts_with("the log is incomplete: "), "{reason}");
        fs::write(archive, whole).unwrap();
        // The login has ended, and its daemon has not.
        let daemon = carol.daemon;
        drop(carol);
        not_known(world, daemon, ": it has ended");
        assert_eq!(proven(world, alice.shell).0, CALLER);
    });
}

#[test]
fn session_id_that_logins_share_leads_to_no_caller() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        // An sshd that a person started in a session: without pam_loginuid, its logins have the id of that session.
        fs::write("/proc/thread-self/loginuid", "0").unwrap();
        let sshd = with_pam(world, "");
        let [one, other] = ["one", "other"].map(|name| Key::ed25519(world, name));
        push(world, "ec2-user", &one, CALLER, 0);
        let alice = Stay::with(&one);
        journal.wait_for(&one.fingerprint());
        assert_eq!(proven(world, alice.shell).0, CALLER);
        not_known(world, alice.daemon, "has it from its server (pam_loginuid)");
        push(world, "ec2-user", &other, CONTRACTOR, 0);
        let carol = Stay::with(&other);
        assert_eq!(proven(world, carol.shell).0, CONTRACTOR);
        not_known(world, alice.daemon, "several logins have the session id ");
        // The daemon of a login that ended must not get the caller of another.
        let daemon = alice.daemon;
        drop(alice);
        not_known(world, daemon, "has it from its server (pam_loginuid)");
        // A process of another user that only looks like a login of sshd.
        let mut fake = Command::new("sh");
        fake.arg0("sshd: ec2-user [priv]").args(["-c", "sleep 900 & echo $!; wait"]).uid(world.uid("ubuntu"));
        let mut fake = fake.stdout(Stdio::piped()).spawn().unwrap();
        let line = BufReader::new(fake.stdout.take().unwrap()).lines().next().unwrap().unwrap();
        not_known(world, line.parse().unwrap(), "has it from its server (pam_loginuid)");
        let _ = (fake.kill(), fake.wait());
        drop(sshd);
    });
}

/// The first line that a program prints, as a number.
fn first_number(program: &mut Child) -> u32 {
    let line = BufReader::new(program.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn server_in_a_login_gives_its_users_no_proven_caller() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let sshd = Sshd::with_pam(world, "PermitRootLogin yes\n");
        let rules =
            "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_unix.so\n";
        fs::write("/etc/pam.d/sshd", format!("{rules}session required pam_loginuid.so\n")).unwrap();
        let [one, other] = ["one", "other"].map(|name| Key::ed25519(world, name));
        let config = world.path("etc/second");
        let second = format!(
            "HostKey {}\nListenAddress 127.0.0.1:2222\nUsePAM no\nPidFile none\nPasswordAuthentication no\n\
             AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f\nAuthorizedKeysCommandUser eic-agent\n",
            world.path("etc/host").display(),
            world.agent().display()
        );
        fs::write(&config, second).unwrap();
        push(world, "root", &one, CALLER, 0);
        let as_another = "setpriv --reuid=1 --clear-groups sh -c 'echo $$; exec sleep 900'";
        let command = format!("/usr/sbin/sshd -f {}; {as_another} & cat", config.display());
        let mut alice = World::ssh_command(&[&one]);
        alice.arg("root@127.0.0.1").arg(command).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut alice = alice.spawn().unwrap();
        let below = first_number(&mut alice);
        journal.wait_for(&one.fingerprint());
        // A process of another user below root's shell, as of a server that is not called sshd.
        doubted(world, below, CALLER, "another user's process");
        // A daemon of a login at the second server has the session id of the first login.
        push(world, "ec2-user", &other, CONTRACTOR, 0);
        let mut carol = World::ssh_command(&[&other]);
        carol.args(["-p", "2222", "ec2-user@127.0.0.1", "(setsid sleep 900 >/dev/null 2>&1 & echo $!)"]);
        let mut carol = carol.stdout(Stdio::piped()).spawn().unwrap();
        let daemon = first_number(&mut carol);
        let _ = carol.wait();
        not_known(world, daemon, "another sshd has the session id ");
        let _ = (alice.kill(), alice.wait());
        drop(sshd);
    });
}
