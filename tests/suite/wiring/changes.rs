//! What `enable` and `disable` change, and what they leave unchanged.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;

use super::{CONFIG, DROP_INS, INCLUDE, OURS, agent, lay_out, pair, snapshot};
use crate::world::{on_an_instance, test_path};

#[test]
fn later_edits_stay_after_disable() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("UsePAM no\n", &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        let edited = fs::read_to_string(CONFIG)
            .unwrap()
            .replace("UsePAM no", "UsePAM no\nPrintMotd no")
            .replace("# <<< eic-agent", "MaxAuthTries 4\n# <<< eic-agent");
        fs::write(CONFIG, edited).unwrap();
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(fs::read_to_string(CONFIG).unwrap(), "MaxAuthTries 4\nUsePAM no\nPrintMotd no\n");

        lay_out(INCLUDE, &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        let edited = fs::read_to_string(OURS).unwrap() + "LoginGraceTime 30\n";
        fs::write(OURS, edited).unwrap();
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(fs::read_to_string(OURS).unwrap(), "LoginGraceTime 30\n");

        // `disable` does not remove lines that the operator wrote.
        let by_hand = format!(
            "AuthorizedKeysCommand {} authorized-keys %u\nAuthorizedKeysCommandUser eic-agent\n",
            world.agent().display()
        );
        lay_out(&by_hand, &[]);
        let ran = agent(world, &["disable"]);
        assert_eq!((ran.status, fs::read_to_string(CONFIG).unwrap()), (Some(0), by_hand));
        assert!(ran.out.contains("/etc/ssh/sshd_config:1 still names this program"), "{}", ran.out);

        // `disable` also removes the agent's lines if sshd refuses the configuration.
        lay_out("UsePAM no\n", &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        let broken = fs::read_to_string(CONFIG).unwrap() + "NoSuchSetting yes\n";
        fs::write(CONFIG, broken).unwrap();
        let ran = agent(world, &["disable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert_eq!(fs::read_to_string(CONFIG).unwrap(), "UsePAM no\nNoSuchSetting yes\n");
        assert!(
            ran.out.contains("sshd was not reloaded: sshd says: ") && ran.out.contains("NoSuchSetting"),
            "{}",
            ran.out
        );
    });
}

#[test]
fn enable_that_cannot_write_or_run_changes_nothing() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let refuses = |name: &str, says: &str| {
            let before = snapshot();
            let ran = agent(world, &["enable"]);
            assert_eq!(ran.status, Some(1), "{name}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains(says), "{name}: {}", ran.err);
            assert_eq!(snapshot(), before, "{name}");
        };
        let run = |words: &[&str]| {
            assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{words:?}");
        };
        for config in ["UsePAM no\n", INCLUDE] {
            lay_out(config, &[]);
            run(&["mount", "--bind", "/etc/ssh", "/etc/ssh"]);
            run(&["mount", "-o", "remount,bind,ro", "/etc/ssh"]);
            refuses("a read-only folder", "Read-only file system");
            run(&["umount", "/etc/ssh"]);
        }
        // `/etc/ssh` is writable, and the folder of drop-ins is not.
        run(&["mount", "--bind", DROP_INS, DROP_INS]);
        run(&["mount", "-o", "remount,bind,ro", DROP_INS]);
        refuses("a read-only folder of drop-ins", "Read-only file system");
        run(&["umount", DROP_INS]);

        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        fs::write("/etc/passwd", passwd.replace("eic-agent:", "other:")).unwrap();
        refuses("no user to run it", "systemd-sysusers");
        fs::write("/etc/passwd", passwd).unwrap();

        fs::set_permissions(world.path("bin"), fs::Permissions::from_mode(0o777)).unwrap();
        refuses("a program that sshd would not run", "sshd would not run this program");
        fs::set_permissions(world.path("bin"), fs::Permissions::from_mode(0o755)).unwrap();

        let ran = Command::new("setpriv")
            .args(["--reuid=nobody", "--clear-groups"])
            .arg(world.agent())
            .arg("enable")
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(1));
        assert!(String::from_utf8(ran.stderr).unwrap().contains("this needs root"));

        // No sshd at all.
        run(&["mount", "--bind", "/dev/null", "/usr/sbin/sshd"]);
        refuses("no sshd", "there is no sshd on this machine");
        let ran = agent(world, &["disable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert_eq!(agent(world, &["status"]).status, Some(1));
    });
}

#[test]
fn temporary_file_of_a_killed_run_is_removed_by_disable() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out(INCLUDE, &[]);
        let left = Path::new(DROP_INS).join(".10-eic-agent.conf.eic-agent");
        fs::write(&left, "").unwrap();
        let ran = agent(world, &["disable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert!(!left.exists(), "{}", ran.out);
    });
}

#[test]
fn linked_configuration_stays_a_link() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("", &[]);
        let real = world.path("etc/managed_config");
        fs::write(&real, "UsePAM no\n").unwrap();
        fs::remove_file(CONFIG).unwrap();
        symlink(&real, CONFIG).unwrap();
        let before = snapshot();
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        assert!(Path::new(CONFIG).symlink_metadata().unwrap().is_symlink());
        assert!(fs::read_to_string(&real).unwrap().starts_with("# >>> eic-agent"));
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(snapshot(), before);
    });
}

#[test]
fn own_line_is_updated_when_the_program_has_moved() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("UsePAM no\n", &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        let edited =
            fs::read_to_string(CONFIG).unwrap().replace("authorized-keys ", "authorized-keys --timeout 3 ");
        fs::write(CONFIG, edited).unwrap();
        fs::create_dir(world.path("bin2")).unwrap();
        fs::rename(world.agent(), world.path("bin2/eic-agent")).unwrap();
        let moved = world.path("bin2/eic-agent");
        let run = |argument: &str| Command::new(&moved).arg(argument).output().unwrap();
        assert_eq!(run("enable").status.code(), Some(0));
        assert_eq!(pair(world, "ubuntu").0, format!("{} authorized-keys --timeout 3 %u %f", moved.display()));
        // A link to /dev/null masks the drop-in. `disable` still removes the lines in `sshd_config`.
        fs::create_dir(DROP_INS).unwrap();
        symlink("/dev/null", OURS).unwrap();
        assert_eq!(run("disable").status.code(), Some(0));
        assert_eq!(fs::read_to_string(CONFIG).unwrap(), "UsePAM no\n");
    });
}
