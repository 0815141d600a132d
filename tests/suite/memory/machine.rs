//! Limits, disks, descriptors and locks that keep a run from its memory. Every login succeeds as without it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use eic_emulator::Config;
use eic_login::memory::FOLDER;

use super::{file, filled, in_shell, keys_of, make_folder, push, record, run, write_bytes};
use crate::stuck::Gone;
use crate::world::{SOON, World, installed, on_an_instance, test_path};

/// Runs a shell line in which `$A` is the agent. Returns what is wrong with its result.
fn fault_of(world: &World, what: &str, line: &str, expected: &str) -> Option<String> {
    let output = in_shell(world, line);
    let keys = String::from_utf8_lossy(&output.stdout);
    let is_good = keys == expected && output.status.success();
    (!is_good).then(|| format!("{what}: {}: {output:?}", output.status))
}

/// The key, and what a provider prints.
#[test]
fn folder_on_a_file_system_that_never_answers_loses_no_key() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        let (_, line) = push(world, "ec2-user", "key");
        let _gone = Gone::mount_over(world, FOLDER, "40700", "eic-agent");
        let provider = world.script("provider", "echo provided");
        let expected = format!("{line}provided\n");
        for user in ["root", "eic-agent"] {
            let words = ["--provider-user", "nobody", "ec2-user", "--", provider.to_str().unwrap()];
            let run = world.run_out_of_time(user, &words, |run| run.keys() == expected);
            assert_eq!((run.status(), run.keys()), (Some(0), expected.clone()), "{user}: {}", run.notes());
            assert!(run.is_soon(), "{user}: {:?}", run.took);
        }
    });
}

#[test]
fn limit_for_file_sizes_loses_no_key() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let mut failed = Vec::new();
        for size in [0, 1, 100, 4096, 8192] {
            for is_there in [false, true] {
                if is_there {
                    write_bytes(world, &kept[..200]);
                } else {
                    fs::remove_file(file()).unwrap();
                }
                let what = format!("{size} bytes, file {is_there}");
                failed.extend(fault_of(
                    world,
                    &what,
                    &format!("exec prlimit --fsize={size}:{size} $A"),
                    &line,
                ));
                failed.extend(fault_of(world, &format!("after {what}"), "exec $A", &line));
                if run(world, "ec2-user").1 != [keys_of("ec2-user")] {
                    failed.push(format!("{what}: the memory did not recover"));
                }
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    });
}

/// The kernel gives the file the lowest free number. It must not be that of standard output.
#[test]
fn closed_descriptors_put_no_key_into_the_file() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, _) = filled(world);
        let mut failed = Vec::new();
        for closed in ["<&-", "2>&-", "<&- 2>&-", ">&-", "<&- >&- 2>&-"] {
            for is_there in [false, true] {
                if !is_there {
                    fs::remove_file(file()).unwrap();
                }
                let expected = if closed.contains(" >&-") || closed == ">&-" { "" } else { line.as_str() };
                let what = format!("{closed}, file {is_there}");
                failed.extend(fault_of(world, &what, &format!("exec $A {closed}"), expected));
                let written = fs::read(file()).unwrap();
                if written.windows(11).any(|bytes| bytes == b"ssh-ed25519") || record().is_none() {
                    failed.push(format!("{what}: {} bytes, no record", written.len()));
                }
            }
        }
        assert!(failed.is_empty(), "{failed:#?}");
    });
}

#[test]
fn full_and_read_only_disks_lose_no_key() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let uid = world.uid("eic-agent");
        let mut failed = Vec::new();
        for disk in ["size=4k", "size=8k", "size=12k", "nr_inodes=1", "ro"] {
            let options = format!("mode=700,uid={uid},gid={uid},{disk}");
            mount(&["-t", "tmpfs", "-o", &options, "tmpfs", FOLDER]);
            failed.extend(fault_of(world, disk, "exec $A", &line));
            failed.extend(fault_of(world, &format!("{disk}, again"), "exec $A", &line));
            assert!(Command::new("umount").arg(FOLDER).status().unwrap().success());
        }
        // A good record on a disk that became read-only is still used.
        mount(&["--bind", FOLDER, FOLDER]);
        mount(&["-o", "remount,bind,ro", FOLDER]);
        failed.extend(fault_of(world, "a good record, read-only", "exec $A", &line));
        assert_eq!(fs::read(file()).unwrap(), kept);
        assert!(failed.is_empty(), "{failed:#?}");
    });
}

fn mount(arguments: &[&str]) {
    assert!(Command::new("mount").args(arguments).status().unwrap().success(), "{arguments:?}");
}

/// Another process that holds the file. It says when it does.
struct Holder(Child);

impl Holder {
    fn start(opening: &str, hold: &str) -> Self {
        let script = format!(
            "import fcntl, os, signal, time\n\
             signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
             file = os.open('{}', os.{opening})\n\
             {hold}\n\
             print('held', flush=True)\n\
             time.sleep(600)\n",
            file().display()
        );
        let mut child =
            Command::new(installed("python3")).args(["-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "held\n", "{hold}");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn leases_and_locks_of_another_process_delay_no_run() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        for (opening, hold) in [
            ("O_RDONLY", "fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)"),
            ("O_RDONLY", "fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)"),
            ("O_RDWR", "fcntl.flock(file, fcntl.LOCK_EX)"),
            ("O_RDWR", "fcntl.flock(file, fcntl.LOCK_SH)"),
            ("O_RDWR", "fcntl.lockf(file, fcntl.LOCK_EX)"),
        ] {
            for content in [&kept[..], b""] {
                write_bytes(world, content);
                let holder = Holder::start(opening, hold);
                for _ in 0..2 {
                    let run = world.run_as("eic-agent", &["ec2-user"]);
                    assert_eq!((run.status(), run.keys()), (Some(0), line.clone()), "{hold}: {run:?}");
                    assert!(run.took < SOON, "{hold}: {:?}", run.took);
                }
                drop(holder);
            }
            run(world, "ec2-user");
            assert_eq!(run(world, "ec2-user").1, [keys_of("ec2-user")], "after {hold}");
        }
    });
}

/// The name of the boot is that of another one, or the kernel does not tell it.
#[test]
fn record_of_an_earlier_boot_is_replaced_and_without_a_boot_id_there_is_no_memory() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let other = world.path("etc/boot_id");
        fs::write(&other, "01234567-89ab-cdef-0123-456789abcdef\n").unwrap();
        mount(&["--bind", other.to_str().unwrap(), "/proc/sys/kernel/random/boot_id"]);
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!((keys, paths.len()), (line.clone(), 7), "{paths:?}");
        assert_eq!(run(world, "ec2-user"), (line.clone(), vec![keys_of("ec2-user")]));
        for (what, content) in [("empty", &b""[..]), ("blank", b"\n"), ("no text", b"\xff\xfe")] {
            fs::write(&other, content).unwrap();
            write_bytes(world, &kept);
            for _ in 0..2 {
                let (keys, paths) = run(world, "ec2-user");
                assert_eq!((keys, paths.len()), (line.clone(), 7), "{what}: {paths:?}");
            }
            assert_eq!(fs::read(file()).unwrap(), kept, "{what}");
        }
    });
}
