//! Runs that write at the same time, and runs that are killed while they write.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use eic_emulator::{Config, Fault};
use eic_login::memory::Record;

use super::bad_files::edit;
use super::{SIGNER, beside, file, filled, keys_of, make_folder, push, record, run, write_bytes};
use crate::world::{Sshd, World, on_an_instance, on_an_instance_for, test_path, until};

const TOKEN: &str = "/latest/api/token";

/// The run is killed when it enters the system call for the `which`th time.
fn killed_at(world: &World, call: &str, which: u32) -> Output {
    let uid = world.uid("eic-agent").to_string();
    Command::new("setpriv")
        .args(["--reuid", &uid, "--regid", &uid, "--clear-groups", "--"])
        .args(["strace", "-f", "-o", "/dev/null", "-e", &format!("trace={call}")])
        .args(["-e", &format!("inject={call}:signal=KILL:when={which}")])
        .arg(world.agent())
        .args(["authorized-keys", "--timeout", "60", "ec2-user"])
        .stdin(Stdio::null())
        .output()
        .expect("strace, which tests/setup installs")
}

/// A record that is too old and longer than the next one.
fn long_and_old(kept: &[u8]) -> Vec<u8> {
    let mut record = Record::parse(kept).unwrap();
    edit(&mut record, |signer| signer.chain.extend([b'\n'; 5000]));
    record.token = None;
    record.evidence.as_mut().unwrap().since.wall -= 400_000;
    record.to_bytes().unwrap()
}

#[test]
fn kill_at_each_call_of_the_write_leaves_the_next_run_unaffected() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let old = long_and_old(&kept);
        let mut kills = 0;
        for (before, content) in [("no file", None), ("an older, longer record", Some(&old))] {
            for call in ["flock", "pwrite64", "ftruncate", "exit_group"] {
                for which in 1..=3 {
                    let what = format!("{before}, {call} {which}");
                    match content {
                        Some(content) => write_bytes(world, content),
                        None => fs::remove_file(file()).unwrap(),
                    }
                    let killed = killed_at(world, call, which);
                    // The keys are printed before the write.
                    assert_eq!(String::from_utf8_lossy(&killed.stdout), line, "{what}: {killed:?}");
                    let (keys, paths) = run(world, "ec2-user");
                    assert_eq!(keys, line, "{what}: {paths:?}");
                    assert!(paths.len() <= 7, "{what}: {paths:?}");
                    assert_eq!(run(world, "ec2-user"), (line.clone(), vec![keys_of("ec2-user")]), "{what}");
                    if killed.status.success() {
                        assert!(which > 1, "{what}: there is no such call");
                        break;
                    }
                    kills += 1;
                }
            }
        }
        assert!(kills >= 8, "{kills}");
    });
}

#[test]
fn fifty_runs_at_once_leave_a_whole_record() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, _) = filled(world);
        fs::remove_file(file()).unwrap();
        world.emulator.take_requests();
        let runs: Vec<_> = (0..50).map(|_| beside(world, "ec2-user").spawn().unwrap()).collect();
        for run in runs {
            let output = run.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), line, "{output:?}");
        }
        let requests = world.emulator.take_requests().len();
        println!("fifty runs at once: {requests} requests");
        assert!(requests <= 50 * 7, "{requests}");
        assert_eq!(run(world, "ec2-user"), (line, vec![keys_of("ec2-user")]));
    });
}

/// One run proves a signer, and one stores only a token.
#[test]
fn two_runs_at_once_leave_the_record_of_one_of_them() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let old = long_and_old(&kept);
        for round in 0..12 {
            if round % 2 == 0 {
                fs::remove_file(file()).unwrap();
            } else {
                write_bytes(world, &old);
            }
            let runs = ["ubuntu", "ec2-user"].map(|user| beside(world, user).spawn().unwrap());
            let [other, with_key] = runs.map(|run| run.wait_with_output().unwrap());
            assert_eq!(String::from_utf8_lossy(&with_key.stdout), line, "round {round}: {with_key:?}");
            assert!(other.status.success() && other.stdout.is_empty(), "round {round}: {other:?}");
            assert!(record().is_some_and(|record| record.token.is_some()), "round {round}: no record");
            let (keys, paths) = run(world, "ec2-user");
            assert_eq!(keys, line);
            assert!(paths.len() == 1 || paths.len() == 6, "round {round}: {paths:?}");
            assert_eq!(run(world, "ec2-user").1, [keys_of("ec2-user")], "round {round}");
        }
    });
}

/// A run without a key has less to store than a run with one, which may end earlier.
#[test]
fn run_that_learned_only_a_token_does_not_replace_newer_evidence() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        for (what, content) in [("an empty file", Vec::new()), ("an old record", long_and_old(&kept))] {
            write_bytes(world, &content);
            world.emulator.take_requests();
            world.emulator.inject(Fault::at(&keys_of("ubuntu")).delay(Duration::from_secs(3)).times(1));
            let mut without_a_key = beside(world, "ubuntu").spawn().unwrap();
            // The run has read the file before.
            until("the run has a token", || {
                world.emulator.take_requests().iter().any(|request| request.path == TOKEN)
            });
            assert_eq!(run(world, "ec2-user").0, line);
            let newer = fs::read(file()).unwrap();
            assert_ne!(newer, content);
            assert!(without_a_key.wait().unwrap().success(), "{what}");
            assert_eq!(fs::read(file()).unwrap(), newer, "{what}");
        }
    });
}

/// A run that was killed leaves such a file. Runs without a key must not stay cold because of it.
#[test]
fn run_that_learned_only_a_token_replaces_half_a_record() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_, kept) = filled(world);
        for (what, content) in
            [("half a record", &kept[..60]), ("a part of its first line", &kept[..9]), ("nothing", b"")]
        {
            write_bytes(world, content);
            let (keys, paths) = run(world, "ubuntu");
            assert_eq!((keys.as_str(), paths.len()), ("", 2), "{what}: {paths:?}");
            assert_eq!(run(world, "ubuntu").1, [keys_of("ubuntu")], "{what}");
        }
    });
}

/// Clients at once, and logins of each.
const CLIENTS: usize = 50;
const LOGINS: usize = 4;

/// sshd runs the agent twice for each login.
///
/// A run is cold if no record is there yet. When the first run of a login has ended, a record is there: it wrote one, or
/// another run held the lock and wrote one. So in each minute, at most one run of each client is cold, and makes seven
/// requests instead of one. On a busy machine, a run with a remembered token may wait for so long that it asks for a new
/// one too, and then asks for the keys again.
#[test]
fn two_hundred_logins_fifty_at_once_succeed_with_few_requests() {
    let said = on_an_instance_for("900", test_path!(), Config::default(), |world| {
        make_folder(world);
        world.configure("");
        let agent = world.agent();
        let _sshd = Sshd::with(
            world,
            &format!(
                "MaxStartups 200\nAuthorizedKeysCommand {} authorized-keys --timeout 60 %u %f\n\
                 AuthorizedKeysCommandUser eic-agent\n",
                agent.display()
            ),
        );
        let (key, _) = push(world, "ec2-user", "key");
        world.emulator.take_requests();
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    for _ in 0..LOGINS {
                        let login = world.ssh("ec2-user", &[&key]);
                        assert!(login.ok, "{login:?}");
                    }
                });
            }
        });
        let took = begun.elapsed();
        let requests = world.emulator.take_requests();
        let of = |path: &str| requests.iter().filter(|request| request.path == path).count();
        let (cold, tokens, runs) = (of(SIGNER), of(TOKEN), 2 * CLIENTS * LOGINS);
        println!(
            "CROWD {} logins, {CLIENTS} at once, in {took:?}: {} requests, {cold} cold runs, {tokens} tokens",
            CLIENTS * LOGINS,
            requests.len()
        );
        let minutes = usize::try_from(took.as_secs() / 60 + 1).unwrap();
        assert!(cold <= CLIENTS * minutes, "{cold} cold runs in {minutes} minutes");
        let late = tokens.saturating_sub(cold);
        assert!(requests.len() <= runs + 6 * cold + 2 * late, "{} requests", requests.len());
        let record = record().unwrap();
        assert!(record.evidence.is_some_and(|evidence| evidence.signer().is_some()));
    });
    // libtest begins the line.
    said.lines().filter_map(|line| line.split_once("CROWD ")).for_each(|(_, figures)| println!("{figures}"));
}
