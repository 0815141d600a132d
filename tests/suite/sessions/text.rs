//! `sessions` on text logs: one that a real rsyslog writes, and one of a million lines.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use super::{ALICE, CAROL, as_user, ids, is_valid, offer_only, push, push_expired, ran, report, session};
use crate::world::{BOB, Key, Rsyslog, Sshd, World, on_an_instance, test_path};

/// Compresses a file, as logrotate does.
fn pack(program: &str, from: &str, to: &str) {
    let packed = Command::new(program).args(["-c", from]).output().unwrap();
    assert!(packed.status.success(), "{packed:?}; tests/setup installs {program}");
    fs::write(to, packed.stdout).unwrap();
}

#[test]
fn login_in_a_text_log_is_unverified() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let rsyslog = Rsyslog::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let [alices, bobs, carols, old] =
            ["alice", "bob", "carol", "old"].map(|name| Key::ed25519(world, name));
        let alices_push = world.emulator.push("ec2-user", &alices.line(), ALICE);
        let alice = world.ssh_stay("ec2-user", &alices);
        let bobs_push = world.emulator.push("ec2-user", &bobs.line(), BOB);
        let bob = world.ssh_stay("ec2-user", &bobs);
        world.emulator.push("ec2-user", &carols.line(), CAROL);
        offer_only(world, "ec2-user", &carols);
        push_expired(world, "ubuntu", &old);
        rsyslog.rotate();
        alice.leave();
        rsyslog.wait_for("session closed for user ec2-user");

        let shown = report(world, &[]);
        is_valid(world, &shown).unwrap();
        assert_eq!(shown["log"]["files"], serde_json::json!(["/var/log/auth.log.1", "/var/log/auth.log"]));
        assert_logins(&shown, &alices, &alices_push, &bobs, &bobs_push);
        assert_eq!((&session(&shown, &bobs)["state"], ids(&shown)), (&"open".into(), vec!["text-log"]));
        let shown_text = ran(world, &[]).out;
        assert!(
            shown_text.contains(&format!("    unverified {ALICE} (account 123456789012)\n")),
            "{shown_text}"
        );
        assert!(!shown_text.contains("    principal  "), "{shown_text}");

        // The result is the same with time stamps without a year, and from compressed files.
        let old_way = report(world, &["/var/log/old"]);
        assert_logins(&old_way, &alices, &alices_push, &bobs, &bobs_push);
        let bobs_end = session(&old_way, &bobs);
        assert_eq!((&bobs_end["state"], &bobs_end["why"]), (&"unknown".into(), &"no-end".into()));
        for program in ["gzip", "xz", "zstd"] {
            let packed = world.path("etc").join(program);
            pack(program, "/var/log/auth.log.1", packed.to_str().unwrap());
            let again = report(world, &[packed.to_str().unwrap(), "/var/log/auth.log"]);
            assert_eq!(again["sessions"][0], shown["sessions"][0], "{program}");
            assert_eq!((&again["unused"], &again["refusals"]), (&shown["unused"], &shown["refusals"]));
        }
        damage_is_reported(world);

        // Any user can write such a line. It is shown as unverified.
        let forged = "Providing ssh key from EC2 Instance Connect with fingerprint: \
                      SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA, request-id: r, \
                      for IAM principal: arn:aws:iam::123456789012:user/forged";
        as_user(world, "ubuntu", &format!("logger -p authpriv.info -t eic-agent '{forged}'"));
        rsyslog.wait_for("user/forged");
        let unused = &report(world, &["--principal", "*/forged"])["unused"];
        assert_eq!(push(&unused[0]), ("arn:aws:iam::123456789012:user/forged", "123456789012", "r", false));
        bob.leave();
    });
}

fn assert_logins(shown: &Value, alices: &Key, alices_push: &str, bobs: &Key, bobs_push: &str) {
    for (key, id, principal) in [(alices, alices_push, ALICE), (bobs, bobs_push, BOB)] {
        let session = session(shown, key);
        assert_eq!(push(session), (principal, "123456789012", id, false));
        assert_eq!(session["joined_by"], "key-and-time");
    }
    let left = session(shown, alices);
    assert_eq!((&left["state"], left["seconds"].is_u64()), (&"closed".into(), true), "{left:#}");
    let unused = shown["unused"].as_array().unwrap();
    assert_eq!((unused.len(), push(&unused[0]).0, push(&unused[0]).3), (1, CAROL, false));
    assert_eq!(shown["refusals"][0]["reason"], "expired");
}

/// A compressed file that was cut is read as far as possible. The report and the exit status say that it is not
/// complete.
fn damage_is_reported(world: &World) {
    let whole = fs::read(world.path("etc/gzip")).unwrap();
    let cut = world.path("etc/cut.gz");
    fs::write(&cut, &whole[..whole.len() - 9]).unwrap();
    let said = ran(world, &[cut.to_str().unwrap(), "--json"]);
    let shown: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.status, &shown["complete"]), (Some(1), &false.into()), "{shown:#}");
    assert!(ids(&shown).contains(&"broken-off"), "{shown:#}");
    for (arguments, word) in [
        (&["/var/log/none"][..], "No such file"),
        (&["/dev/null"], "not a regular file"),
        (&["--open", "/var/log/auth.log"], "--open"),
        (&["--since", "yesterday"], "expected RFC 3339"),
        (&["--json", "--csv"], "--csv"),
    ] {
        let said = ran(world, arguments);
        assert_eq!((said.status, said.err.contains(word)), (Some(2), true), "{arguments:?}: {}", said.err);
    }
}

/// Writes lines of logins, of keys that were not used, and of other events that fill such a log. Returns the path and
/// the number of logins.
fn write_lines(world: &World, lines: usize) -> (String, usize) {
    let path = world.path("etc/million");
    let mut file = BufWriter::new(File::create(&path).unwrap());
    let mut logins = 0;
    for number in 0..lines / 10 {
        let (minute, second) = (number / 60 % 60, number % 60);
        let stamp = format!(
            "2026-03-{:02}T{:02}:{minute:02}:{second:02}.5+00:00 host",
            1 + number / 86_400,
            number / 3600 % 24
        );
        let key = format!("SHA256:{number:0>43}");
        let pid = 1000 + number;
        writeln!(file, "{stamp} eic-agent[9]: Providing ssh key from EC2 Instance Connect with fingerprint: {key}, request-id: r-{number}, for IAM principal: {ALICE}").unwrap();
        if number % 4 == 0 {
            logins += 1;
            writeln!(file, "{stamp} sshd[{pid}]: Accepted publickey for ec2-user from 192.0.2.7 port 4000 ssh2: ED25519 {key}").unwrap();
            writeln!(file, "{stamp} sshd[{pid}]: pam_unix(sshd:session): session closed for user ec2-user")
                .unwrap();
        }
        for _ in if number % 4 == 0 { 3 } else { 1 }..10 {
            writeln!(file, "{stamp} sshd[{pid}]: Invalid user admin from 203.0.113.9 port 4711").unwrap();
        }
    }
    file.into_inner().unwrap();
    (path.to_str().unwrap().to_owned(), logins)
}

#[test]
fn a_million_lines_take_bounded_memory() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (path, logins) = write_lines(world, 1_000_000);
        let measured = Command::new("/usr/bin/time")
            .args(["--quiet", "-f", "%M"])
            .arg(world.agent())
            .args(["sessions", "--json", &path])
            .output()
            .expect("GNU time; tests/setup installs it");
        let shown: Value = serde_json::from_slice(&measured.stdout).unwrap();
        assert_eq!((&shown["log"]["lines"], &shown["complete"]), (&1_000_000.into(), &true.into()));
        let sessions = shown["sessions"].as_array().unwrap();
        assert_eq!((sessions.len(), shown["unused"].as_array().unwrap().len()), (logins, 100_000 - logins));
        assert!(sessions.iter().all(|session| session["pushes"][0]["verified"] == false));
        let kib: u64 = String::from_utf8(measured.stderr).unwrap().trim().parse().expect("KiB");
        // The limit is for a hundred thousand keys and their logins. It allows for the allocator of another C
        // library.
        assert!(kib < 200 * 1024, "{kib} KiB");
    });
}

/// An export writes events while it reads, so it does not keep them.
#[test]
fn export_of_a_million_lines_takes_little_memory() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (path, logins) = write_lines(world, 1_000_000);
        let out = world.path("etc/events");
        let measured = Command::new("/usr/bin/time")
            .args(["--quiet", "-f", "%M"])
            .arg(world.agent())
            .args(["sessions", "--jsonl", &path])
            .stdout(File::create(&out).unwrap())
            .output()
            .expect("GNU time; tests/setup installs it");
        let text = fs::read_to_string(&out).unwrap();
        let coverage: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        let counts = (&coverage["log"]["lines"], &coverage["sessions"], &coverage["unused"]);
        assert_eq!(counts, (&1_000_000.into(), &logins.into(), &(100_000 - logins).into()));
        assert_eq!((text.lines().count(), &coverage["complete"]), (100_001, &true.into()));
        let kib: u64 = String::from_utf8(measured.stderr).unwrap().trim().parse().expect("KiB");
        assert!(kib < 64 * 1024, "{kib} KiB");
    });
}

/// The exit status and the report for a file with these lines.
fn of_lines(world: &World, lines: &[&str]) -> (Option<i32>, Value) {
    let file = world.path("etc/lines");
    fs::write(&file, lines.join("\n") + "\n").unwrap();
    let said = ran(world, &["--all", "--json", file.to_str().unwrap()]);
    let shown: Value = serde_json::from_str(&said.out).unwrap();
    is_valid(world, &shown).unwrap();
    (said.status, shown)
}

#[test]
fn line_of_every_form_is_read_or_reported() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let login = "Accepted publickey for moe from 192.0.2.5 port 4000 ssh2: ED25519 SHA256:\
                     aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let end = "pam_unix(sshd:session): session closed for user moe";
        for [first, last] in [
            ["<86>Nov 21 10:00:00 h sshd[77]: ", "<86>Nov 21 10:00:06 h sshd[77]: "],
            [
                "<86>1 2026-11-21T18:20:49.3+02:00 h sshd 77 - - ",
                "<86>1 2026-11-21T18:20:55.3+02:00 h sshd 77 - - ",
            ],
            ["Nov 21 10:00:00.5 h sshd-session[77]: ", "Nov 21 10:00:06.5 h sshd-session[77]: "],
            ["1795282648.500000 h sshd[77]: ", "1795282654.500000 h sshd[77]: "],
        ] {
            let (status, shown) = of_lines(world, &[&format!("{first}{login}"), &format!("{last}{end}")]);
            let session = &shown["sessions"][0];
            assert_eq!(
                (status, &session["user"], &session["seconds"]),
                (Some(0), &"moe".into(), &6.into()),
                "{shown:#}"
            );
        }
        for unknown in [
            "[   12.345678] h sshd[77]: ",
            "web-1  | Nov 21 10:00:00 h sshd[77]: ",
            "2026-11-21T10:00:00Z stdout F Nov 21 10:00:00 h sshd[77]: ",
        ] {
            let (status, shown) =
                of_lines(world, &[&format!("{unknown}{login}"), &format!("{unknown}{end}")]);
            assert_eq!((status, &shown["complete"]), (Some(1), &false.into()), "{shown:#}");
            let warning =
                shown["warnings"].as_array().unwrap().iter().find(|one| one["id"] == "unknown-format");
            assert!(warning.unwrap()["seen"].as_str().unwrap().starts_with("2 lines"), "{shown:#}");
        }
        // A text that is not a log contains no line about a login. It must be reported, unlike a log without a login.
        let (status, shown) = of_lines(world, &["[Unit]", "Description=x"]);
        assert_eq!((status, ids(&shown).contains(&"unknown-format")), (Some(1), true), "{shown:#}");
        let (status, shown) = of_lines(world, &["Nov 21 10:00:00 h cron[7]: x"]);
        assert_eq!((status, ids(&shown)), (Some(0), vec!["text-log"]), "{shown:#}");
    });
}
