//! Lines that root's programs write for a user, with a real journald and a real setuid program.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use eic_emulator::Config;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde_json::Value;

use super::{ALICE, CAROL, is_valid, offer_only, push, ran, report, session};
use crate::world::{BOB, Journald, Key, Sshd, on_an_instance, put_into_unit, test_path, until};

/// A process of a user that executes sudo when it reads a line. Its output goes to the journal's own socket. sudo
/// runs as root and repeats the host name in its message, for which the user needs no entry in sudoers.
fn setuid_program(uid: u32, fields: &str) -> Child {
    let journal = UnixDatagram::unbound().unwrap();
    journal.connect("/run/systemd/journal/socket").unwrap();
    let journal = OwnedFd::from(journal);
    Command::new("sh")
        .args(["-c", "read -r word; exec sudo -n --host=\"$0\" true", &format!("x=1\n{fields}\n")])
        .uid(uid)
        .gid(uid)
        .stdin(Stdio::piped())
        .stdout(journal.try_clone().unwrap())
        .stderr(journal)
        .spawn()
        .expect("sh")
}

/// Makes the program write, and waits for its end.
fn go(mut program: Child) {
    program.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert!(!program.wait().unwrap().success(), "sudo must refuse the command");
}

/// Like [`setuid_program`], with a process number that another process had. A user would have to start thousands of
/// processes to get this number. The test sets the kernel's counter instead.
fn setuid_program_as(pid: u32, uid: u32, fields: &str) -> Child {
    for _ in 0..1000 {
        reap_session_of(pid);
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut program = setuid_program(uid, fields);
        if program.id() == pid {
            return program;
        }
        program.kill().unwrap();
        program.wait().unwrap();
    }
    panic!("expected a process with the number {pid}");
}

/// The kernel does not reuse the number of a session leader while a process is in its session. The children that sshd
/// left behind are zombies in that session. Their parent is the first process, which is this test, so the test must
/// wait for them.
fn reap_session_of(leader: u32) {
    for process in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<_> = rest.split(' ').collect();
        if fields[0] == "Z" && fields[3] == leader.to_string() {
            let pid = head.split(' ').next().unwrap().parse().unwrap();
            let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
        }
    }
}

/// logind's entry that the session of a process was removed.
fn removed(pid: &Value) -> String {
    format!(
        "SYSLOG_IDENTIFIER=systemd-logind\nMESSAGE_ID=3354939424b4456d9802ca8333ed424a\nLEADER={pid}\n\
         SESSION_ID=1\nMESSAGE=Removed session 1."
    )
}

/// Waits until the journal has `count` entries by root with this identifier and this message.
fn wait_for_roots(journal: &Journald, name: &str, message: &str, count: usize) {
    until(&format!("{name}: {message}"), || {
        let entries = journal.entries(&format!("SYSLOG_IDENTIFIER={name}"));
        let said = |entry: &Value| entry["MESSAGE"].as_str().unwrap_or_default().contains(message);
        entries.iter().filter(|entry| entry["_UID"] == "0" && said(entry)).count() == count
    });
}

#[test]
fn setuid_program_neither_ends_nor_invents_a_session() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let [alices, carols] = ["alice", "carol"].map(|name| Key::ed25519(world, name));
        let uid = world.uid("ubuntu");
        world.emulator.push("ec2-user", &alices.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &alices);
        // The agent gives carol's key for a client that only offers it. Anyone with the public half can do this.
        world.emulator.push("ec2-user", &carols.line(), CAROL);
        offer_only(world, "ec2-user", &carols);
        let handed = format!("EIC_FINGERPRINT={}", carols.fingerprint());
        until("carol's key is logged", || !journal.entries(&handed).is_empty());
        let before = report(world, &[]);
        assert_eq!(session(&before, &alices)["state"], "open");
        assert_eq!(before["unused"].as_array().unwrap().len(), 1, "{before:#}");

        // Another user forges logind's entry about the end of alice's session.
        go(setuid_program(uid, &removed(&session(&before, &alices)["sshd_pid"])));
        wait_for_roots(&journal, "systemd-logind", "Removed session 1.", 1);
        let then = report(world, &[]);
        assert_eq!(session(&then, &alices)["state"], "open", "{then:#}");

        // That user also forges sshd's line about a login by carol, with the number of the process that got her key.
        let pid = journal.entries(&handed)[0]["EIC_SSHD_PID"].as_str().unwrap().parse().unwrap();
        until("that process is gone", || !fs::exists(format!("/proc/{pid}")).unwrap());
        let words = format!(
            "Accepted publickey for ec2-user from 198.51.100.7 port 22 ssh2: ED25519 {}",
            carols.fingerprint()
        );
        let fields = format!("SYSLOG_IDENTIFIER=sshd\nMESSAGE={words}");
        // journald caches what it knows about a process number for five seconds. It may take the forger for the
        // earlier process with the same number.
        for (count, wait) in [(1, 0), (2, 6)] {
            sleep(Duration::from_secs(wait));
            go(setuid_program_as(pid, uid, &fields));
            wait_for_roots(&journal, "sshd", "198.51.100.7", count);
            let then = report(world, &["--all"]);
            is_valid(world, &then).unwrap();
            for session in then["sessions"].as_array().unwrap() {
                let is_invented = session["address"] == "198.51.100.7";
                assert!(!is_invented || session["pushes"] == serde_json::json!([]), "{then:#}");
            }
            let unused = then["unused"].as_array().unwrap();
            assert!(unused.iter().any(|unused| unused["fingerprint"] == carols.fingerprint()), "{then:#}");
        }
        // Later, the report cannot attribute the line, or knows that another program wrote it.
        let then = report(world, &["--all"]);
        let is_last = |session: &&Value| session["address"] == "198.51.100.7";
        let last = then["sessions"].as_array().unwrap().iter().rfind(is_last);
        let is_unattributed =
            last.is_some_and(|last| last["attributed"] == false && then["complete"] == false);
        assert!(is_unattributed || then["disbelieved_programs"] != serde_json::json!([]), "{then:#}");
        assert_eq!(session(&then, &alices)["state"], "open");
        alice.leave();
        until("alice's end", || session(&report(world, &[]), &alices)["state"] == "closed");
    });
}

#[test]
fn line_of_another_root_program_is_unverified_and_named() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let alices = Key::ed25519(world, "alice");
        world.emulator.push("ec2-user", &alices.line(), ALICE);
        let _alice = world.ssh_stay("ec2-user", &alices);
        // The process exists until journald has checked it, and it is in sshd's own unit.
        let mut logger = Command::new("logger")
            .args(["-p", "authpriv.info", "-t", "sshd"])
            .stdin(Stdio::piped())
            .spawn()
            .expect("logger");
        put_into_unit(logger.id(), "ssh.service");
        let line = "Accepted password for root from 198.51.100.7 port 22 ssh2\n";
        logger.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        wait_for_roots(&journal, "sshd", "198.51.100.7", 1);
        drop(logger.stdin.take());
        logger.wait().unwrap();
        let shown = report(world, &["--all"]);
        is_valid(world, &shown).unwrap();
        assert_eq!(shown["sessions"].as_array().unwrap().len(), 1, "{shown:#}");
        assert!(push(session(&shown, &alices)).3);
        assert_eq!(shown["disbelieved"], serde_json::json!([{ "uid": 0, "lines": 1 }]));
        let program = &shown["disbelieved_programs"][0]["program"];
        assert!(program.as_str().unwrap().ends_with("/logger"), "{shown:#}");
        let shown = ran(world, &[]).out;
        assert!(shown.contains("warning: another-program: ") && shown.contains("/logger (1)"), "{shown}");
        assert!(shown.contains("who ran it: journalctl _EXE=/") && !shown.contains("=PROGRAM"), "{shown}");
    });
}

#[test]
fn sshd_at_an_unusual_path_is_trusted_while_it_runs() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let alices = Key::ed25519(world, "alice");
        drop(Sshd::with_pam(world, ""));
        let program = world.path("bin/sshd");
        fs::copy("/usr/sbin/sshd", &program).unwrap();
        let mut sshd = Command::new(&program)
            .args(["-D", "-f"])
            .arg(world.path("etc/sshd_config"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        put_into_unit(sshd.id(), "sshd.service");
        until("it listens", || TcpStream::connect("127.0.0.1:22").is_ok());
        world.emulator.push("ec2-user", &alices.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &alices);
        journal.wait_for("Accepted publickey");
        let shown = report(world, &[]);
        assert_eq!((push(session(&shown, &alices)).3, &shown["complete"]), (true, &true.into()), "{shown:#}");
        alice.leave();
        sshd.kill().unwrap();
        sshd.wait().unwrap();
        // No running sshd has this path any more. The report says that it may omit real logins.
        until("the session is not listed any more", || {
            report(world, &[])["sessions"] == serde_json::json!([])
        });
        let shown = report(world, &[]);
        assert!(super::ids(&shown).contains(&"another-program"), "{shown:#}");
        assert_eq!(shown["complete"], false);
    });
}

#[test]
fn line_that_journald_reads_too_late_is_listed_as_unverified() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        // The queue must be longer than the kernel's default, because sshd must not wait for journald.
        fs::write("/proc/sys/net/unix/max_dgram_qlen", "512").unwrap();
        let mut journal = journal;
        journal.without(|| {});
        let _sshd = Sshd::with_pam(world, "");
        let [alices, bobs] = ["alice", "bob"].map(|name| Key::ed25519(world, name));
        world.emulator.push("ec2-user", &alices.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &alices);
        until("alice's login", || report(world, &[])["sessions"].as_array().unwrap().len() == 1);
        let pid = session(&report(world, &[]), &alices)["sshd_pid"].as_u64().unwrap();
        // While journald is stopped, one session ends, and another one begins and ends.
        journal.signal("STOP");
        alice.leave();
        world.emulator.push("ec2-user", &bobs.line(), BOB);
        let login = world.ssh("ec2-user", &[&bobs]);
        assert!(login.ok, "{login:?}");
        until("alice's process is gone", || !fs::exists(format!("/proc/{pid}")).unwrap());
        until("bob's processes are gone", || !has_login());
        journal.signal("CONT");
        until("bob's end", || {
            let shown = report(world, &[]);
            let sessions = shown["sessions"].as_array().unwrap();
            sessions.len() == 2 && sessions.iter().all(|session| session["state"] == "closed")
        });
        let shown = report(world, &[]);
        let (alice, bob) = (session(&shown, &alices), session(&shown, &bobs));
        assert_eq!((&alice["attributed"], push(alice).3), (&true.into(), true), "{alice:#}");
        assert_eq!((&bob["attributed"], push(bob).3), (&false.into(), false), "{bob:#}");
        assert_eq!(push(bob).0, BOB);
        assert_eq!(bob["end_attributed"], false, "{bob:#}");
        assert!(super::ids(&shown).contains(&"unattributed"), "{shown:#}");
        assert_eq!(shown["complete"], false);
    });
}

/// Whether an sshd serves a login.
fn has_login() -> bool {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut titles = processes.filter_map(|process| {
        let mut title = String::new();
        fs::File::open(process.path().join("cmdline")).ok()?.read_to_string(&mut title).ok()?;
        Some(title)
    });
    titles.any(|title| title.starts_with("sshd") && title.contains("ec2-user"))
}
