//! `status`, `doctor` and `explain` must report what the running server does. The cases are a server that has not read
//! the files, a second server, and a command on the server's command line.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use eic_emulator::Config;
use serde_json::Value;

use super::{CONFIG, DROP_INS, INCLUDE, OURS, agent, lay_out, status};
use crate::world::{BOB, Key, Sshd, World, on_an_instance, test_path, until, without_penalties};

/// A machine with a running sshd, and a key to push.
pub(super) struct Instance<'w> {
    world: &'w World,
    base: String,
    pushed: Key,
}

impl<'w> Instance<'w> {
    pub(super) fn new(world: &'w World, pid_file: &str) -> Self {
        let host = Key::ed25519(world, "host");
        let base = format!(
            "{INCLUDE}HostKey {}\nListenAddress 127.0.0.1\nUsePAM no\nPidFile {pid_file}\n{}",
            host.file().display(),
            without_penalties(host.file())
        );
        lay_out(&base, &[]);
        world.configure_unhurried("");
        Self { world, base, pushed: Key::ed25519(world, "pushed") }
    }

    /// Whether a pushed key logs in at this port.
    pub(super) fn logs_in_at(&self, port: u16) -> bool {
        self.world.emulator.push("ubuntu", &self.pushed.line(), BOB);
        let mut ssh = World::ssh_command(&[&self.pushed]);
        let ran = ssh.args(["-p", &port.to_string(), "ubuntu@127.0.0.1", "id -un"]).stdin(Stdio::null());
        let out = ran.output().unwrap();
        self.world.emulator.clear_keys();
        String::from_utf8_lossy(&out.stdout).trim() == "ubuntu"
    }

    pub(super) fn enable(&self) {
        let ran = agent(self.world, &["enable"]);
        assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
    }

    /// The check `command` of `doctor`, and its exit status.
    pub(super) fn doctor(&self) -> (Option<i32>, Value) {
        let ran = agent(self.world, &["doctor", "--json", "--user", "ubuntu"]);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let checks = report["checks"].as_array().unwrap();
        (ran.status, checks.iter().find(|check| check["id"] == "command").unwrap().clone())
    }

    pub(super) fn explain(&self) -> Value {
        let ran = agent(self.world, &["explain", "--json", "ubuntu"]);
        serde_json::from_str::<Value>(&ran.out).unwrap()["sshd"].clone()
    }

    /// Compares the commands with a login: the server uses the agent, and every command says so.
    fn assert_in_use(&self, what: &str) {
        let (code, report) = status(self.world);
        assert_eq!((code, &report["sshd"]["unread"]), (Some(0), &Value::Null), "{what}: {report:#}");
        let (code, check) = self.doctor();
        assert!(code == Some(0) && check["verdict"] == "ok", "{what}: {check:#}");
        assert_eq!(self.explain()["asks"], true, "{what}");
        assert!(self.logs_in_at(22), "{what}");
    }

    /// `status`, `doctor` and `explain` name the same path, and do not say that the server uses the agent. Returns the
    /// problem that `status` reports.
    fn assert_unread(&self, what: &str, path: &str, verdict: &str) -> String {
        let (code, report) = status(self.world);
        assert_eq!((code, &report["sshd"]["unread"]), (Some(1), &Value::from(path)), "{what}: {report:#}");
        let problem = report["problems"][0].as_str().unwrap().to_owned();
        assert!(agent(self.world, &["status"]).out.starts_with("in use    not known\n"), "{what}");
        let (code, check) = self.doctor();
        assert_eq!(check["verdict"], verdict, "{what}: {check:#}");
        assert_eq!(code, Some(i32::from(verdict == "fail")), "{what}: {check:#}");
        let seen = problem.split(';').next().unwrap();
        assert!(check["seen"].as_str().unwrap().starts_with(seen), "{what}: {check:#}");
        let explained = self.explain();
        assert_eq!((&explained["asks"], &explained["note"]), (&Value::Bool(false), &Value::from(&*problem)));
        problem
    }
}

/// Runs the command at the end of a message.
fn obey(message: &str) {
    let (_, command) = message.rsplit_once("run: sudo ").expect(message);
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
}

#[test]
fn server_that_has_not_read_the_files_is_reported_with_the_command_to_reload_it() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let instance = Instance::new(world, "/run/sshd.pid");
        let sshd = Sshd::listen(&[]);
        instance.enable();
        assert!(!instance.logs_in_at(22));
        let problem = instance.assert_unread("enabled", OURS, "fail");
        assert!(problem.contains(&format!("sshd (pid {}) has not read", sshd.pid())), "{problem}");
        obey(&problem);
        sshd.wait_until_it_listens();
        instance.assert_in_use("reloaded");

        // A copied file can keep an old modification time, so the agent must compare the change time.
        let old = Path::new(DROP_INS).join("05-foreign.conf");
        fs::write(&old, "AuthorizedKeysCommand /usr/bin/env %u\nAuthorizedKeysCommandUser nobody\n").unwrap();
        assert!(Command::new("touch").args(["-d", "2020-01-01"]).arg(&old).status().unwrap().success());
        assert!(instance.logs_in_at(22), "the server still uses the agent");
        instance.assert_unread("another command", old.to_str().unwrap(), "fail");
        sshd.reload();
        assert!(!instance.logs_in_at(22));
        let (code, report) = status(world);
        assert_eq!((code, &report["sshd"]["unread"]), (Some(1), &Value::Null), "{report:#}");
        assert!(report["problems"][0].as_str().unwrap().contains("05-foreign.conf:1"), "{report:#}");

        // If a file is removed, only the time of its folder changes.
        fs::remove_file(&old).unwrap();
        assert!(!instance.logs_in_at(22), "the server still uses the other command");
        instance.assert_unread("removed", DROP_INS, "fail");
        sshd.reload();
        instance.assert_in_use("reloaded again");

        // The same holds after `disable`.
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert!(instance.logs_in_at(22));
        instance.assert_unread("disabled", DROP_INS, "fail");
    });
}

#[test]
fn server_without_a_pid_file_of_its_own_is_judged_by_its_start() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let instance = Instance::new(world, "none");
        instance.enable();
        let sshd = Sshd::listen(&[]);
        instance.assert_in_use("enabled before the start");
        fs::write(CONFIG, format!("{}# x\n", instance.base)).unwrap();
        let problem = instance.assert_unread("changed", CONFIG, "skipped");
        assert!(problem.contains("is not known") && problem.contains("restart sshd"), "{problem}");
        drop(sshd);
        let sshd = Sshd::listen(&[]);
        instance.assert_in_use("restarted");
        drop(sshd);

        // A pid file proves nothing if another user can write it, or if it has the number of another process.
        let theirs = PathBuf::from("/run/theirs");
        fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(60100), None).unwrap();
        for (pid_file, holds) in [("/run/theirs/sshd.pid", None), ("/run/other.pid", Some("1\n"))] {
            fs::write(CONFIG, instance.base.replace("none", pid_file)).unwrap();
            let sshd = Sshd::listen(&[]);
            until("sshd writes its pid", || Path::new(pid_file).exists());
            instance.assert_in_use(pid_file);
            fs::write(CONFIG, instance.base.replace("none", pid_file)).unwrap();
            fs::write(pid_file, holds.map_or_else(|| format!("{}\n", sshd.pid()), str::to_owned)).unwrap();
            instance.assert_unread(pid_file, CONFIG, "skipped");
        }
    });
}

/// A second server on port 2222 with its own configuration.
struct Second(Child);

impl Second {
    fn start(config: &Path) -> Self {
        let child =
            Command::new("/usr/sbin/sshd").args(["-D", "-f"]).arg(config).stdin(Stdio::null()).spawn();
        let second = Self(child.unwrap());
        second.wait();
        second
    }

    fn wait(&self) {
        until("the second sshd listens", || {
            let line = fs::read(format!("/proc/{}/cmdline", self.0.id())).unwrap_or_default();
            let pid = fs::read_to_string("/run/second.pid").unwrap_or_default();
            String::from_utf8_lossy(&line).contains(" [listener] ") && pid.trim() == self.0.id().to_string()
        });
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn second_server_is_judged_separately() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let instance = Instance::new(world, "/run/sshd.pid");
        instance.enable();
        let _first = Sshd::listen(&[]);
        let config = Path::new("/etc/ssh/second_config");
        let base = instance.base.replace(INCLUDE, "").replace("/run/sshd.pid", "/run/second.pid");
        fs::write(config, format!("Port 2222\n{base}")).unwrap();
        let second = Second::start(config);
        instance.assert_in_use("the first");
        assert!(!instance.logs_in_at(2222));
        let other = || {
            let (code, report) = status(world);
            assert_eq!((code, &report["in_use"]), (Some(0), &Value::Bool(true)), "{report:#}");
            assert_eq!(report["others"].as_array().unwrap().len(), 1, "{report:#}");
            report["others"][0].clone()
        };
        let judged = other();
        assert_eq!((&judged["pid"], &judged["ports"]), (&second.0.id().into(), &Value::from(vec![2222])));
        assert_eq!((&judged["config"], &judged["command"]), (&Value::from(config.to_str()), &Value::Null));
        assert_eq!(judged["in_use"], false);
        let problem = judged["problems"][0].as_str().unwrap();
        let setting = |keyword: &str| {
            let (_, rest) = problem.split_once(&format!("\"{keyword} ")).expect(problem);
            format!("{keyword} {}\n", rest.split('"').next().unwrap())
        };
        let shown = format!("another   sshd (pid {}, port 2222, {}): ", second.0.id(), config.display());
        assert!(agent(world, &["status"]).out.contains(&shown), "{}", agent(world, &["status"]).out);
        let note = format!("note: this does not change another sshd (pid {}, port 2222, ", second.0.id());
        assert!(agent(world, &["enable"]).out.contains(&note));

        // The settings that the message advises work after a reload. Until then, `status` asks for the reload.
        let advised = [setting("AuthorizedKeysCommand"), setting("AuthorizedKeysCommandUser")].concat();
        fs::write(config, format!("{advised}Port 2222\n{base}")).unwrap();
        let judged = other();
        assert_eq!(judged["in_use"], false, "{judged:#}");
        let problem = judged["problems"][0].as_str().unwrap();
        assert!(problem.contains("has not read /etc/ssh/second_config"), "{problem}");
        assert!(!instance.logs_in_at(2222));
        fs::remove_file("/run/second.pid").unwrap();
        obey(problem);
        second.wait();
        let judged = other();
        assert_eq!((&judged["in_use"], &judged["problems"]), (&Value::Bool(true), &Value::Array(vec![])));
        assert!(instance.logs_in_at(2222) && instance.logs_in_at(22));
    });
}

#[test]
fn all_commands_give_the_same_fix_for_a_command_on_the_servers_command_line() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let instance = Instance::new(world, "/run/sshd.pid");
        let amazons = "/usr/share/ec2-instance-connect/eic_run_authorized_keys";
        let sshd = Sshd::listen(&[
            "-o",
            &format!("AuthorizedKeysCommand {amazons} %u %f"),
            "-o",
            "AuthorizedKeysCommandUser nobody",
        ]);
        for what in ["first", "again"] {
            let ran = agent(world, &["enable"]);
            assert_eq!(ran.status, Some(0), "{what}: {}", ran.err);
            if what == "again" {
                sshd.reload();
            }
            assert!(!instance.logs_in_at(22), "{what}");
            let fix = format!(
                "remove -o AuthorizedKeysCommand from the unit or script that starts sshd (pid {})",
                sshd.pid()
            );
            assert!(ran.out.contains(&fix), "{what}: {}", ran.out);
            let (code, report) = status(world);
            assert_eq!(code, Some(1), "{what}: {report:#}");
            let (_, check) = instance.doctor();
            let note = instance.explain()["note"].as_str().unwrap().to_owned();
            for said in [report["problems"][0].as_str().unwrap(), check["fix"].as_str().unwrap(), &note] {
                assert!(said.contains(&fix) && !said.contains("enable"), "{what}: {said}");
            }
        }
        drop(sshd);
        let _sshd = Sshd::listen(&[]);
        instance.assert_in_use("started without the option");
    });
}

#[test]
fn root_at_a_root_shell_is_not_told_to_use_sudo() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let instance = Instance::new(world, "/run/sshd.pid");
        let _sshd = Sshd::listen(&[]);
        let says = |arguments: &[&str], is_root: bool| {
            let mut command = Command::new(world.agent());
            command.args(arguments);
            if is_root {
                command.env_remove("SUDO_USER");
            }
            let ran = command.output().unwrap();
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr))
        };
        for arguments in [&["status"][..], &["doctor"], &["explain", "ubuntu"]] {
            let root = says(arguments, true);
            assert!(root.contains("eic-agent enable") && !root.contains("sudo"), "{arguments:?}: {root}");
            let operator = says(arguments, false);
            assert!(operator.contains("sudo eic-agent enable"), "{arguments:?}: {operator}");
        }
        instance.enable();
        let root = says(&["status"], true);
        assert!(root.contains("; run: kill -HUP ") && !root.contains("sudo"), "{root}");
    });
}
