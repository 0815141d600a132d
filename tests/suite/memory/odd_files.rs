//! Other things under the name of the file, races for the name, and strange rights.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use eic_emulator::Config;
use eic_login::memory::FOLDER;

use super::{belong_to, file, filled, in_shell, keys_of, run, write_bytes};
use crate::world::{on_an_instance, test_path};

#[test]
fn device_under_the_name_is_replaced() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, _) = filled(world);
        // /dev/null, zero, urandom and tty, and a device that no driver has.
        for device in [["c", "1", "3"], ["c", "1", "5"], ["c", "1", "9"], ["c", "5", "0"], ["b", "240", "0"]]
        {
            fs::remove_file(file()).unwrap();
            assert!(Command::new("mknod").arg(file()).args(device).status().unwrap().success());
            belong_to(world, "eic-agent", 0o600);
            let (keys, paths) = run(world, "ec2-user");
            assert_eq!((keys, paths.len()), (line.clone(), 7), "{device:?}: {paths:?}");
            assert!(fs::symlink_metadata(file()).is_err(), "{device:?} is still there");
            run(world, "ec2-user");
            assert_eq!(run(world, "ec2-user").1, [keys_of("ec2-user")], "after {device:?}");
        }
    });
}

/// The name cannot be unlinked then.
#[test]
fn mount_over_the_file_is_not_used_and_not_written() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, _) = filled(world);
        for place in ["/dev/zero", "/dev/full", "/proc/version", "/etc/passwd"] {
            write_bytes(world, b"");
            assert!(Command::new("mount").arg("--bind").arg(place).arg(file()).status().unwrap().success());
            let before = fs::metadata(place).unwrap().len();
            let (keys, paths) = run(world, "ec2-user");
            assert_eq!((keys, paths.len()), (line.clone(), 7), "{place}: {paths:?}");
            assert_eq!(fs::metadata(place).unwrap().len(), before, "{place}");
            assert!(Command::new("umount").arg(file()).status().unwrap().success());
        }
    });
}

/// Another process of the agent's user replaces the name all the time: by links to a file of its own, by a FIFO, by an
/// empty file.
#[test]
fn races_for_the_name_change_no_other_file_and_lose_no_key() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, _) = filled(world);
        let uid = world.uid("eic-agent");
        let victim = "/run/victim";
        fs::write(victim, "of another program").unwrap();
        chown(victim, Some(uid), Some(uid)).unwrap();
        fs::set_permissions(victim, fs::Permissions::from_mode(0o600)).unwrap();
        // `ln /run/victim x` needs a folder of the same file system, which /run/eic-agent is.
        let race = format!(
            "cd {FOLDER}; while :; do
                ln -sf {victim} evidence; ln -f {victim} x; mv -f x evidence; rm -f evidence
                : >evidence; mv evidence old; mkfifo evidence; mv -f old evidence
            done"
        );
        let mut racer = Command::new("sh")
            .args(["-c", &race])
            .uid(uid)
            .gid(uid)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for number in 0..60 {
            let run = world.run_as("eic-agent", &["ec2-user"]);
            assert_eq!((run.status(), run.keys()), (Some(0), line.clone()), "run {number}: {run:?}");
            assert!(run.is_soon(), "run {number}: {:?}", run.took);
        }
        assert_eq!(racer.try_wait().unwrap(), None, "the race went on");
        racer.kill().unwrap();
        racer.wait().unwrap();
        assert_eq!(fs::read_to_string(victim).unwrap(), "of another program");
    });
}

#[test]
fn file_has_the_same_mode_for_each_umask() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, _) = filled(world);
        for umask in ["000", "022", "077", "0277", "0777"] {
            fs::remove_file(file()).unwrap();
            let output = in_shell(world, &format!("umask {umask}; exec $A"));
            assert_eq!(String::from_utf8_lossy(&output.stdout), line, "{umask}");
            let mode = fs::metadata(file()).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o600, "{umask}: {mode:o}");
            assert_eq!(run(world, "ec2-user").1, [keys_of("ec2-user")], "{umask}");
        }
    });
}
