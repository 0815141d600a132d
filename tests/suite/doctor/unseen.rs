//! What `doctor` cannot see. It must say so. It must not guess, and it must not wait without end.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use eic_emulator::Config;
use serde_json::Value;

use super::{enabled, have_it_read, mode, run};
use crate::wiring::{OURS, agent};
use crate::world::{World, on_an_instance, test_path, until};

/// A file system whose server never answers: a FUSE mount whose requests no process reads.
struct Silent {
    holder: Child,
    folder: String,
}

impl Silent {
    fn mount(world: &World) -> Self {
        let folder = world.path("silent").display().to_string();
        run(&["mkdir", &folder]);
        run(&["mknod", "/dev/fuse", "c", "10", "229"]);
        let script = "
import ctypes, os, sys, time
fd = os.open('/dev/fuse', os.O_RDWR)
data = f'fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other'.encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b'silent', sys.argv[1].encode(), b'fuse', 0, data) != 0:
    sys.exit(os.strerror(ctypes.get_errno()))
time.sleep(600)
";
        let holder =
            Command::new("python3").args(["-c", script, &folder]).stdin(Stdio::null()).spawn().unwrap();
        let is_mounted =
            || fs::read_to_string("/proc/self/mounts").unwrap().contains(&format!(" {folder} fuse"));
        until("the file system is mounted", is_mounted);
        Self { holder, folder }
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Without a holder, every request ends with an error.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = Command::new("umount").args(["--lazy", &self.folder]).status();
    }
}

fn check(report: &str, id: &str) -> Value {
    let report: Value = serde_json::from_str(report).unwrap();
    report["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap().clone()
}

#[test]
fn file_server_that_does_not_answer_is_named() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        let silent = Silent::mount(world);
        let own = world.agent();
        let line = format!("{} authorized-keys %u %f -- {}/provider", own.display(), silent.folder);
        fs::write(OURS, format!("AuthorizedKeysCommand {line}\nAuthorizedKeysCommandUser eic-agent\n"))
            .unwrap();
        have_it_read();
        let started = Instant::now();
        let ran = agent(world, &["doctor", "--json"]);
        let check = check(&ran.out, "providers");
        assert!(check["seen"].as_str().unwrap().contains("does not answer within 5 s"), "{check:#}");
        assert!(check["fix"].as_str().unwrap().starts_with("check that the file server of "), "{check:#}");
        let ran = agent(world, &["explain", "--json", "ec2-user"]);
        assert!(ran.out.contains("does not answer within 5 s"), "{}{}", ran.out, ran.err);
        assert!(started.elapsed() < Duration::from_secs(300), "{:?}", started.elapsed());
    });
}

#[test]
fn closed_folder_of_sshd_is_not_reported_as_no_sshd() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        let folder = world.path("sbin");
        fs::create_dir(&folder).unwrap();
        fs::copy("/usr/sbin/sshd", folder.join("sshd")).unwrap();
        mode(&folder, 0o750);
        run(&["mount", "--bind", folder.to_str().unwrap(), "/usr/sbin"]);
        let as_nobody = |words: &[&str]| {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"])
                .arg(world.agent())
                .args(words);
            let said = command.output().unwrap();
            format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
        };
        let doctor = as_nobody(&["doctor"]);
        assert!(!doctor.contains("there is no sshd") && !doctor.contains("install openssh"), "{doctor}");
        assert!(doctor.contains("run with sudo"), "{doctor}");
        let status = as_nobody(&["status"]);
        assert!(status.contains("Permission denied") && status.contains("run with sudo"), "{status}");
        assert!(!status.contains("there is no sshd"), "{status}");
        run(&["umount", "/usr/sbin"]);
    });
}

/// Before release 8.8, sshd may start the command without the groups of its user.
#[test]
fn path_that_an_older_sshd_reaches_only_with_a_group_is_not_known() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        let group = fs::read_to_string("/etc/group").unwrap() + "keepers:x:60901:eic-agent\n";
        fs::write("/etc/group", group).unwrap();
        chown(world.path("bin"), None, Some(60901)).unwrap();
        mode(&world.path("bin"), 0o750);
        have_it_read();
        let doctor = || agent(world, &["doctor", "--json", "--user", "ec2-user"]).out;
        assert_eq!(check(&doctor(), "command-path")["verdict"], "ok");
        fs::copy("/usr/sbin/sshd", "/run/real-sshd").unwrap();
        mode(Path::new("/run/real-sshd"), 0o755);
        let old = world.path("old-sshd");
        fs::write(
            &old,
            "#!/bin/sh\n[ \"$1\" != -V ] && exec /run/real-sshd \"$@\"\necho OpenSSH_8.7p1 >&2\n",
        )
        .unwrap();
        mode(&old, 0o755);
        run(&["mount", "--bind", old.to_str().unwrap(), "/usr/sbin/sshd"]);
        let report = doctor();
        let path = check(&report, "command-path");
        let why = "only as a member of a group, and sshd before OpenSSH 8.8 may start a command without it";
        assert!(path["verdict"] == "skipped" && path["seen"].as_str().unwrap().contains(why), "{path:#}");
        assert_eq!(serde_json::from_str::<Value>(&report).unwrap()["login"], "not-known");
        let status = agent(world, &["status"]);
        assert!(status.out.contains("it is not known whether sshd can run this program"), "{}", status.out);
    });
}
