//! `sessions --jsonl --state`: what the next export has, after kills, rotations and damage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use eic_emulator::Config;
use serde_json::{Value, json};

use super::exports::{export, ids, lines, of_kind};
use super::{ALICE, ran, report, session, wait_for_ends};
use crate::world::{BOB, Journald, Key, Rsyslog, Sshd, World, mount, on_an_instance, test_path, until};

const FOLDER: &str = "/var/log/state";
pub(super) const STATE: &str = "/var/log/state/sessions";

/// Makes the folder of the state, for the agent's user.
pub(super) fn make_folder(world: &World) {
    let uid = world.uid("eic-agent");
    fs::create_dir(FOLDER).unwrap();
    fs::set_permissions(FOLDER, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(FOLDER, Some(uid), Some(uid)).unwrap();
}

fn write(world: &World, path: &str, content: &[u8], mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let uid = world.uid("eic-agent");
    std::os::unix::fs::chown(path, Some(uid), Some(uid)).unwrap();
}

/// Finished sessions, one for each number.
fn logged(numbers: std::ops::Range<u32>) -> String {
    let line = |number: u32| {
        // Later than the lines that the log daemon writes in these tests.
        let (hour, minute, second) = (number / 3600, number / 60 % 60, number % 60);
        let stamp = format!("2099-03-01T{hour:02}:{minute:02}:{second:02}.5Z host");
        let (key, pid) = (format!("SHA256:{number:0>43}"), 1000 + number);
        format!(
            "{stamp} eic-agent[9]: Providing ssh key from EC2 Instance Connect with fingerprint: {key}, \
             request-id: r-{number}, for IAM principal: {ALICE}\n\
             {stamp} sshd[{pid}]: Accepted publickey for ec2-user from 192.0.2.7 port 4000 ssh2: ED25519 {key}\n\
             {stamp} sshd[{pid}]: pam_unix(sshd:session): session closed for user ec2-user\n"
        )
    };
    numbers.map(line).collect()
}

fn append(path: &str, text: &str) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Exports with the state, and appends the lines to the file, as the documentation shows. `wrapped` begins the command.
fn export_to(world: &World, wrapped: &[&str], out: &str, log: &str) -> Output {
    let out = OpenOptions::new().append(true).create(true).open(out).unwrap();
    let agent = world.agent();
    let mut words = wrapped.to_vec();
    words.extend([agent.to_str().unwrap(), "sessions", "--jsonl", "--state", STATE, log]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(out).stderr(Stdio::piped()).output().unwrap()
}

/// The last line of each event, without what depends on the export.
fn events(all: &[Value]) -> BTreeMap<String, Value> {
    let mut events = BTreeMap::new();
    for line in all.iter().filter(|line| line["kind"] != "coverage") {
        let mut line = line.clone();
        for name in ["exported_at", "export_number", "export_state", "seconds"] {
            line.as_object_mut().unwrap().remove(name);
        }
        events.insert(line["id"].as_str().unwrap().to_owned(), line);
    }
    events
}

/// Kills the export when it enters each of the calls that write. Then the next export finishes, and a third one adds what
/// came meanwhile.
#[test]
fn kill_at_each_write_loses_no_event_and_repeats_only_the_killed_export() {
    on_an_instance(test_path!(), Config::default(), |world| {
        mount(&["-t", "tmpfs", "tmpfs", "/var/log"]);
        make_folder(world);
        let (log, out, before) = ("/var/log/auth", "/var/log/out", "/var/log/before");
        append(log, &logged(0..40));
        assert!(export_to(world, &[], before, log).status.success());
        let kept = fs::read(STATE).unwrap();
        append(log, &logged(40..300));
        let whole = fs::read(log).unwrap();
        let mut kills = BTreeSet::new();
        for call in ["write", "fsync", "fchmod", "unlinkat", "renameat", "exit_group"] {
            for which in 1..100 {
                let what = format!("{call} {which}");
                write(world, STATE, &kept, 0o600);
                fs::write(log, &whole).unwrap();
                fs::copy(before, out).unwrap();
                let inject = format!("inject={call}:signal=KILL:when={which}");
                let trace = format!("trace={call}");
                let strace = ["strace", "-f", "-o", "/dev/null", "-e", &trace, "-e", &inject];
                let killed = export_to(world, &strace, out, log);
                let found = fs::metadata(STATE).unwrap();
                assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, world.uid("eic-agent")), "{what}");
                append(log, &logged(300..320));
                for _ in 0..2 {
                    let next = export_to(world, &[], out, log);
                    assert!(next.status.success(), "{what}: {next:?}");
                    append(log, &logged(320..330));
                }
                check(&fs::read_to_string(out).unwrap(), &what);
                if killed.status.success() {
                    assert!(which > 1, "{what}: there is no such call");
                    break;
                }
                kills.insert(what);
            }
        }
        assert!(kills.len() >= 10, "{kills:?}");
        lines(world, &fs::read_to_string(out).unwrap());
    });
}

/// Every event is there. A line is repeated only in an export that was killed, with the same number.
fn check(text: &str, what: &str) {
    let mut seen: BTreeMap<String, Value> = BTreeMap::new();
    for line in text.lines() {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{what}: {error}: {line}"));
        if line["kind"] == "session" {
            let number = line["export_number"].clone();
            let earlier = seen.insert(line["id"].as_str().unwrap().to_owned(), number.clone());
            assert!(earlier.is_none_or(|earlier| earlier == number), "{what}: {line}");
        }
    }
    assert_eq!(seen.len(), 330, "{what}");
}

#[test]
fn half_a_line_of_a_killed_export_does_not_spoil_the_next_line() {
    on_an_instance(test_path!(), Config::default(), |world| {
        mount(&["-t", "tmpfs", "tmpfs", "/var/log"]);
        make_folder(world);
        let (log, out) = ("/var/log/auth", "/var/log/out");
        append(log, &logged(0..3));
        fs::write(out, "{\"schema_version\":1,\"ki").unwrap();
        assert!(export_to(world, &[], out, log).status.success());
        let text = fs::read_to_string(out).unwrap();
        let (half, rest) = text.split_once('\n').unwrap();
        assert_eq!((half, lines(world, rest).len()), ("{\"schema_version\":1,\"ki", 4));
        // Nothing is added to a whole line, and nothing is lost if the output takes no line.
        append(log, &logged(3..4));
        let full = Command::new(world.agent())
            .args(["sessions", "--jsonl", "--state", STATE, log])
            .stdout(OpenOptions::new().write(true).open("/dev/full").unwrap())
            .output()
            .unwrap();
        assert_eq!(full.status.code(), Some(1), "{full:?}");
        let mut closed = Command::new(world.agent());
        let closed = closed.args(["sessions", "--jsonl", "--state", STATE, log]).stdout(Stdio::piped());
        let mut child = closed.stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(export_to(world, &[], out, log).status.success());
        let text = fs::read_to_string(out).unwrap();
        assert_eq!(lines(world, text.split_once('\n').unwrap().1).len(), 6);
    });
}

#[test]
fn rotated_compressed_and_truncated_logs_are_continued() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let rsyslog = Rsyslog::start(world);
        make_folder(world);
        append("/var/log/auth.log", &logged(0..10));
        let sessions = |count: usize| {
            let lines = export(world, &["--state", STATE]);
            assert_eq!(of_kind(&lines, "session").len(), count, "{lines:#?}");
            let gaps = lines.last().unwrap()["gaps"].as_array().unwrap().clone();
            gaps.iter().any(|gap| gap["id"] == "lost-between-exports")
        };
        assert!(!sessions(10));
        // More lines come, then logrotate renames the log.
        append("/var/log/auth.log", &logged(10..15));
        rsyslog.rotate();
        append("/var/log/auth.log", &logged(15..18));
        assert!(!sessions(8));
        // It compresses the old one.
        assert!(Command::new("gzip").arg("/var/log/auth.log.1").status().unwrap().success());
        assert!(!sessions(0));
        // Half a line is taken when it is whole.
        let next = logged(18..19);
        let (half, rest) = next.split_at(next.len() - 20);
        append("/var/log/auth.log", half);
        assert!(!sessions(1));
        append("/var/log/auth.log", rest);
        assert!(!sessions(1));
        // A line that is not finished later is taken as it is.
        append("/var/log/auth.log", logged(60..61).trim_end());
        assert!(!sessions(1));
        assert!(!sessions(1));
        append("/var/log/auth.log", "\n");
        assert!(!sessions(0));
        // copytruncate: the copy has the old name with a number, and the log begins again.
        append("/var/log/auth.log", &logged(19..20));
        fs::copy("/var/log/auth.log", "/var/log/auth.log.1").unwrap();
        File::create("/var/log/auth.log").unwrap();
        append("/var/log/auth.log", &logged(20..22));
        assert!(!sessions(3));
        // A log that lost its end, and one that is gone, are named. The events that are left come again.
        let text = fs::read_to_string("/var/log/auth.log").unwrap();
        let cut = text.len() - logged(21..22).len();
        fs::write("/var/log/auth.log", &text[..cut]).unwrap();
        append("/var/log/auth.log", &logged(30..40));
        assert!(sessions(1 + 10));
        assert!(!sessions(0));
        fs::remove_file("/var/log/auth.log").unwrap();
        append("/var/log/auth.log", &logged(50..51));
        assert!(sessions(1));
        assert!(!sessions(0));
    });
}

#[test]
fn journal_is_continued_after_rotation_and_loss() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        make_folder(world);
        let _sshd = Sshd::with_pam(world, "");
        let [alices, bobs, carols] = ["alice", "bob", "carol"].map(|name| Key::ed25519(world, name));
        let continued = || export(world, &["--all", "--state", STATE]);
        let gaps = |lines: &[Value]| {
            let gaps = lines.last().unwrap()["gaps"].as_array().unwrap().clone();
            gaps.iter().any(|gap| gap["id"] == "lost-between-exports")
        };
        world.emulator.push("ec2-user", &alices.line(), ALICE);
        assert!(world.ssh("ec2-user", &[&alices]).ok);
        world.emulator.push("ec2-user", &bobs.line(), BOB);
        let bob = world.ssh_stay("ec2-user", &bobs);
        wait_for_ends(world, 1);
        let mut all = continued();
        assert_eq!((of_kind(&all, "session").len(), gaps(&all)), (2, false), "{all:#?}");
        let none = continued();
        assert_eq!((none.len(), gaps(&none)), (1, false), "{none:#?}");
        journal.rotate();
        world.emulator.push("ec2-user", &carols.line(), ALICE);
        assert!(world.ssh("ec2-user", &[&carols]).ok);
        wait_for_ends(world, 2);
        let more = continued();
        assert_eq!((of_kind(&more, "session").len(), gaps(&more)), (1, false), "{more:#?}");
        all.extend(more);
        assert_eq!(events(&all), events(&export(world, &["--all"])));

        // The journal loses everything while a session is open. Its end is still exported, with who it was.
        let pid = session(&report(world, &[]), &bobs)["sshd_pid"].as_u64().unwrap();
        journal.vacuum();
        let closed = "session closed for user ec2-user";
        let left = journal.count(closed);
        bob.leave();
        journal.wait_for_lines(left + 1, closed);
        until("bob's process is gone", || !Path::new("/proc").join(pid.to_string()).exists());
        let last = continued();
        let [end] = of_kind(&last, "session")[..] else { panic!("{last:#?}") };
        assert!(ids(&all).contains(&end["id"].as_str().unwrap()) && gaps(&last), "{last:#?}");
        let seen = (&end["state"], &end["final"], &end["pushes"][0]["principal"]);
        assert_eq!(seen, (&json!("closed"), &json!(true), &json!(BOB)));
    });
}

#[test]
fn state_that_is_not_ours_is_left_alone() {
    on_an_instance(test_path!(), Config::default(), |world| {
        mount(&["-t", "tmpfs", "tmpfs", "/var/log"]);
        make_folder(world);
        let log = "/var/log/auth.log";
        append(log, &logged(0..3));
        assert_eq!(export(world, &["--state", STATE, log]).len(), 4);
        let good = fs::read(STATE).unwrap();
        let text = String::from_utf8(good.clone()).unwrap();
        let refused = |words: &str| {
            let before = fs::symlink_metadata(STATE).map(|found| (found.ino(), found.mtime_nsec())).ok();
            let said = ran(world, &["--jsonl", "--state", STATE, log]);
            assert_eq!((said.status, said.out.as_str()), (Some(2), ""), "{words}: {}", said.err);
            assert!(said.err.contains(words), "{words}: {}", said.err);
            let after = fs::symlink_metadata(STATE).map(|found| (found.ino(), found.mtime_nsec())).ok();
            assert_eq!(before, after, "{words}");
        };
        let remove = || drop(fs::remove_file(STATE));
        for (content, mode, words) in [
            (&b""[..], 0o600, "is not a state of eic-agent"),
            (b"root:x:0:0\n", 0o600, "is not a state of eic-agent"),
            (b"eic-agent sessions state 2 x\n{}", 0o600, "of a newer release"),
            (&good, 0o644, "expected mode 0600, got 0644"),
        ] {
            write(world, STATE, content, mode);
            refused(words);
        }
        remove();
        fs::write("/var/log/elsewhere", &good).unwrap();
        symlink("/var/log/elsewhere", STATE).unwrap();
        refused("is a symbolic link");
        remove();
        write(world, STATE, &good, 0o600);
        fs::hard_link(STATE, "/var/log/state/other").unwrap();
        refused("it has another name too");
        fs::remove_file("/var/log/state/other").unwrap();
        std::os::unix::fs::chown(STATE, Some(0), Some(0)).unwrap();
        refused("Permission denied");
        remove();
        fs::create_dir(STATE).unwrap();
        refused("it");
        fs::remove_dir(STATE).unwrap();
        write(world, STATE, &good, 0o600);
        fs::set_permissions(FOLDER, fs::Permissions::from_mode(0o770)).unwrap();
        refused("sudo install -d -o eic-agent -g eic-agent -m 0700 /var/log/state");
        fs::set_permissions(FOLDER, fs::Permissions::from_mode(0o700)).unwrap();

        // Another export has the folder.
        let mut holder = Command::new("flock").args(["-F", "-x", FOLDER, "sleep", "600"]).spawn().unwrap();
        until("the folder is locked", || {
            !Command::new("flock").args(["-n", FOLDER, "true"]).status().unwrap().success()
        });
        refused("another export uses the folder");
        holder.kill().unwrap();
        holder.wait().unwrap();

        // Other options would leave out events.
        for (arguments, words) in [
            (&["--all"][..], "with other options"),
            (&["--agent-user", "ubuntu"], "with other options"),
            (&["--user", "moe"], "--user"),
            (&["--since", "1h"], "--since"),
        ] {
            let said = ran(world, &[&["--jsonl", "--state", STATE, log], arguments].concat());
            assert_eq!((said.status, said.err.contains(words)), (Some(2), true), "{words}: {}", said.err);
        }

        // A state that is damaged, and one from an image, begin anew. All events come again, with the same ids.
        for (content, words) in [
            (text.replace("r-1", "r-2").replace("\"exports\":1", "\"exports\":9"), "is damaged"),
            (text[..text.len() / 2].to_owned(), "is damaged"),
            (of_another(&text), "is of another instance"),
        ] {
            write(world, STATE, content.as_bytes(), 0o600);
            // Without a file, the log is this instance's.
            let said = ran(world, &["--jsonl", "--state", STATE]);
            assert_eq!((said.status, said.err.contains(words)), (Some(0), true), "{words}: {}", said.err);
            let again = lines(world, &said.out);
            assert_eq!(again.len(), 4, "{words}");
            assert!(again[3]["gaps"].as_array().unwrap().iter().any(|gap| gap["id"] == "state-anew"));
            assert_ne!(fs::read(STATE).unwrap(), content.as_bytes());
        }
        assert!(!Path::new("/var/log/state/sessions.new").exists());
    });
}

/// The same state from another instance, with a matching digest.
fn of_another(text: &str) -> String {
    let (head, body) = text.split_once('\n').unwrap();
    let body = body.replace("\"instance_id\":null", "\"instance_id\":\"i-00000000000000000\"");
    let program = "import hashlib, sys; b = sys.stdin.buffer.read(); \
                   print(hashlib.sha256(len(b).to_bytes(8, 'big') + b).hexdigest()[:32])";
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let sum = String::from_utf8(python.wait_with_output().unwrap().stdout).unwrap();
    format!("{} {}\n{body}", head.rsplit_once(' ').unwrap().0, sum.trim())
}

/// The journal of this machine hides lines from a user without rights.
#[test]
fn export_with_a_state_needs_the_whole_journal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _journal = Journald::start(world);
        let folder = world.shared_folder().join("own");
        let uid = world.uid("ubuntu").to_string();
        let script = format!(
            "mkdir -m 700 {0}; {1} sessions --jsonl --state {0}/state; echo $?",
            folder.display(),
            world.agent().display()
        );
        let said = Command::new("setpriv")
            .args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "sh", "-c", &script])
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
        assert!(matches!(out.trim(), "1" | "2"), "{out}{err}");
        assert!(!folder.join("state").exists() && err.contains("sudo"), "{out}{err}");
    });
}
