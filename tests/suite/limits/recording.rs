//! The recipe of docs/settings.md for recorded sessions, with the real recorder of tlog.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use eic_emulator::Config;
use serde_json::Value;

use super::{CONTRACTOR, DEPLOY, push};
use crate::documents::block;
use crate::sessions::report;
use crate::world::{Journald, Key, Sshd, World, on_an_instance, test_path, until};

const RECORDER: &str = "/usr/bin/tlog-rec-session";

fn run(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    output
}

/// The recipe, without its limits of time.
fn recipe() -> String {
    let is_limit =
        |line: &&str| ["hours", "days", "time_zone", "max_age"].iter().any(|name| line.starts_with(name));
    let recipe = block("docs/settings.md", "[policy]");
    let other = "[[rule]]\naction = \"allow\"\nprincipals = [\"*:assumed-role/Deploy/*\"]\n";
    let lines = recipe.lines().filter(|line| !is_limit(line)).chain(other.lines());
    lines.collect::<Vec<_>>().join("\n")
}

/// An instance with the recorder as the recipe sets it up, journald, and an sshd with these further settings.
struct Recorded<'w> {
    world: &'w World,
    journal: Journald,
    _sshd: Sshd,
    key: Key,
}

impl<'w> Recorded<'w> {
    /// The recorder is as Debian installs it.
    fn new(world: &'w World, sshd_config: &str) -> Self {
        let journal = Journald::start(world);
        assert!(Path::new(RECORDER).exists(), "{RECORDER}; tests/setup installs it");
        // What systemd makes at the boot (tmpfiles.d).
        run("install", &["-m", "664", "-g", "utmp", "/dev/null", "/run/utmp"]);
        run("install", &["-d", "-o", "_tlog", "-g", "_tlog", "/run/tlog"]);
        let sshd = Sshd::with_pam(world, &format!("{sshd_config}\n"));
        let mut rules = fs::read_to_string("/etc/pam.d/sshd").unwrap();
        rules.push_str("session required pam_loginuid.so\n");
        fs::write("/etc/pam.d/sshd", rules).unwrap();
        world.configure_unhurried(&recipe());
        Self { world, journal, _sshd: sshd, key: Key::ed25519(world, "key") }
    }

    /// Makes a copy of the recorder that runs as its own user, as the RPM package of tlog does it.
    fn set_user_id(self) -> Self {
        let copy = self.world.path("bin/tlog-rec-session");
        let copy = copy.to_str().unwrap();
        run("install", &["-m", "6755", "-o", "_tlog", "-g", "_tlog", RECORDER, copy]);
        run("mount", &["--bind", copy, RECORDER]);
        self
    }

    fn push(&self, caller: &str) {
        push(self.world, "ec2-user", &self.key, caller, 0);
    }

    /// Runs ssh with these arguments.
    fn ssh(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = World::ssh_command(&[&self.key]).args(arguments).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout) + &text(&output.stderr))
    }

    /// Logs in with a terminal, and types these lines, each after a prompt. Waits until the session has ended.
    fn type_lines(&self, lines: &[&str]) -> (Option<i32>, String) {
        let mut ssh = World::ssh_command(&[&self.key]);
        let mut child = ssh
            .args(["-tt", "ec2-user@127.0.0.1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut typed, mut shown) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (mut all, mut lines) = (String::new(), lines.iter());
        let mut buffer = [0; 4096];
        loop {
            let length = shown.read(&mut buffer).unwrap();
            if length == 0 {
                break;
            }
            all.push_str(&String::from_utf8_lossy(&buffer[..length]));
            // Before the prompt, the recorder and the shell may throw away what is typed.
            if all.ends_with(PROMPT) {
                if let Some(line) = lines.next() {
                    typed.write_all(format!("{line}\n").as_bytes()).unwrap();
                }
            }
        }
        (child.wait().unwrap().code(), all)
    }

    /// Runs a second session in the connection of a first one. If sshd refuses this, ssh opens another connection.
    fn second_session(&self) -> String {
        self.push(CONTRACTOR);
        let socket = self.world.path("etc/master");
        let path = format!("ControlPath={}", socket.display());
        let mut first = World::ssh_command(&[&self.key]);
        first.args(["-o", "ControlMaster=yes", "-o", &path, "ec2-user@127.0.0.1", "echo first; sleep 600"]);
        let mut first = first.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 64];
        let mut all = String::new();
        while !all.contains("first") {
            let length = first.stdout.as_mut().unwrap().read(&mut said).unwrap();
            assert!(length > 0, "{all}");
            all.push_str(&String::from_utf8_lossy(&said[..length]));
        }
        until("the connection can be shared", || socket.exists());
        let second = ["-o", "ControlMaster=no", "-o", &path, "ec2-user@127.0.0.1", "echo second"];
        let (status, said) = self.ssh(&second);
        assert!(status == Some(0) && said.contains("second"), "{said}");
        first.kill().unwrap();
        first.wait().unwrap();
        self.recorded()
    }

    /// All that was recorded so far.
    fn recorded(&self) -> String {
        let entries = self.journal.entries("SYSLOG_IDENTIFIER=tlog-rec-session");
        entries.iter().map(|entry| entry["MESSAGE"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
    }
}

/// The prompt of the shells: no other output ends like this.
const PROMPT: &str = "$ ";

#[test]
fn recipe_records_the_sessions_of_one_role_with_their_request_ids() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let machine = Recorded::new(world, block("docs/settings.md", "MaxSessions 1"));
        let config = Command::new(world.agent()).arg("config").output().unwrap();
        assert_eq!(config.status.code(), Some(0), "{config:?}");

        // The other role is not recorded. Its session is a plain one.
        machine.push(DEPLOY);
        let (status, said) = machine.type_lines(&["echo plain $((6 * 7)); exit 4"]);
        assert!(status == Some(4) && said.contains("plain 42"), "{said}");
        assert_eq!(machine.recorded(), "");

        machine.push(CONTRACTOR);
        let (status, said) =
            machine.type_lines(&["echo shown $((6 * 7)); sh", "echo inner $((7 * 7))", "exit", "exit 5"]);
        assert_eq!(status, Some(5), "{said}");
        assert!(said.contains("Failed creating lock file"), "as Debian installs the recorder: {said}");
        for words in ["Push request r-1", "shown 42", "inner 49"] {
            assert!(said.contains(words) && machine.recorded().contains(words), "{words}: {said}");
        }
        // The command of a client, without a terminal.
        let (status, said) = machine.ssh(&["ec2-user@127.0.0.1", "echo \"single $((8 * 8))\"; exit 6"]);
        assert_eq!((status, said.contains("Push request r-1\nsingle 64\n")), (Some(6), true), "{said}");
        assert!(machine.recorded().contains("single 64"));

        // Each recording has the request id. The recorder runs as the user.
        let uid = world.uid("ec2-user").to_string();
        let firsts = machine.journal.entries("TLOG_ID=1");
        assert_eq!(firsts.len(), 2, "{firsts:#?}");
        for first in &firsts {
            assert!(
                first["MESSAGE"].as_str().unwrap().contains("\"out_txt\":\"Push request r-1"),
                "{first:#}"
            );
            assert_eq!(
                (&first["TLOG_USER"], &first["_UID"]),
                (&"ec2-user".into(), &uid.as_str().into()),
                "{first:#}"
            );
        }

        // The commands of the recipe find and play a recording.
        let commands =
            block("docs/settings.md", "sudo journalctl -o verbose SYSLOG_IDENTIFIER=tlog-rec-session");
        let (find, play) = commands.trim().split_once('\n').unwrap();
        let find = find.replace("930edeca-a17c", "r-1");
        let found = run("sh", &["-ec", find.strip_prefix("sudo ").unwrap()]);
        let found = String::from_utf8(found.stdout).unwrap();
        let recording = found.split("TLOG_REC=").nth(1).unwrap().lines().next().unwrap();
        let play = play.split_once("TLOG_REC=").unwrap().0.strip_prefix("sudo ").unwrap();
        let play = format!("script -qec '{play}TLOG_REC={recording}' /dev/null");
        let played = String::from_utf8(run("sh", &["-ec", &play]).stdout).unwrap();
        assert!(played.contains("Push request r-1") && played.contains("shown 42"), "{played}");

        // `sessions` shows what sshd was told to run.
        machine.journal.wait_for("session closed for user ec2-user");
        let ended = |report: &Value| {
            report["sessions"].as_array().unwrap().iter().all(|session| session["state"] == "closed")
        };
        until("all sessions have ended", || ended(&report(world, &[])));
        let report = report(world, &[]);
        let recorders: Vec<_> = report["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|session| {
                let push = &session["pushes"][session["pushes"].as_array().unwrap().len() - 1];
                (push["principal"].as_str().unwrap().to_owned(), push["recorder"].clone())
            })
            .collect();
        let recorder = Value::from("tlog-rec-session");
        let expected = [(DEPLOY, Value::Null), (CONTRACTOR, recorder.clone()), (CONTRACTOR, recorder)];
        assert_eq!(recorders, expected.map(|(who, what)| (who.to_owned(), what)), "{report:#}");
    });
}

#[test]
fn recording_does_not_see_what_the_recipe_says() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let machine = Recorded::new(world, block("docs/settings.md", "MaxSessions 1"));
        machine.push(CONTRACTOR);
        let file = world.path("home/ec2-user/written");
        let lines =
            ["read -s -p '$ ' word; echo \"$word\" > written; echo end $((6 * 7))", "secret-word", "exit"];
        let (_, said) = machine.type_lines(&lines);
        assert_eq!(fs::read_to_string(&file).unwrap(), "secret-word\n");
        let recorded = machine.recorded();
        assert!(recorded.contains("end 42") && !recorded.contains("secret-word"), "{said}{recorded}");

        // Files and ports of the client.
        let key = machine.key.file().to_str().unwrap().to_owned();
        let options = [
            "-q",
            "-F",
            "none",
            "-i",
            &key,
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ];
        let copied = world.path("etc/copied");
        for (program, place) in
            [("scp", "ec2-user@127.0.0.1:written"), ("sftp", "ec2-user@127.0.0.1:written")]
        {
            let output = Command::new(program)
                .args(options)
                .arg(place)
                .arg(&copied)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            assert!(!output.status.success() && !copied.exists(), "{program}: {output:?}");
        }
        let forward = [
            "-o",
            "ExitOnForwardFailure=yes",
            "-R",
            "127.0.0.1:0:127.0.0.1:22",
            "ec2-user@127.0.0.1",
            "true",
        ];
        assert_eq!(machine.ssh(&forward).0, Some(255));

        // Another key of the account.
        let own = Key::ed25519(world, "own");
        world.authorize("ec2-user", &own);
        assert!(world.ssh_run("ec2-user", &[&own], "echo other-key").said.contains("other-key"));

        // The user ends the recorder, and the session with it.
        let (status, said) = machine.type_lines(&["kill -9 $PPID; sleep 60; echo survived > written"]);
        assert!(status != Some(0), "{said}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "secret-word\n");

        // The login shell reads a file of the user before it starts the recorder.
        let home = world.path("home/ec2-user");
        let accounts = fs::read_to_string("/etc/passwd").unwrap();
        let accounts: String = accounts
            .lines()
            .map(|line| match line.strip_prefix("ec2-user:") {
                Some(_) => format!("{}:/bin/bash\n", line.rsplit_once(':').unwrap().0),
                None => format!("{line}\n"),
            })
            .collect();
        fs::write("/etc/passwd", accounts).unwrap();
        fs::write(home.join(".bashrc"), "echo start-up-file\nexit 9\n").unwrap();
        let (status, said) = machine.ssh(&["ec2-user@127.0.0.1", "true"]);
        assert_eq!((status, said.contains("start-up-file")), (Some(9), true), "{said}");
        fs::remove_file(home.join(".bashrc")).unwrap();
        // `restrict` turns off the other such file.
        fs::write(home.join(".ssh/rc"), "echo rc-file\n").unwrap();
        let (status, said) = machine.ssh(&["ec2-user@127.0.0.1", "echo recorded-again"]);
        assert!(status == Some(0) && !said.contains("rc-file"), "{said}");

        let recorded = machine.recorded();
        assert!(recorded.contains("recorded-again"), "{recorded}");
        for words in ["other-key", "start-up-file"] {
            assert!(!recorded.contains(words), "{words}: {recorded}");
        }

        // A session without a recorder ends. Another release than tlog 12 may not need this file.
        fs::remove_file("/run/utmp").unwrap();
        let (status, said) = machine.type_lines(&["exit"]);
        let is_twelve = run(RECORDER, &["--version"]).stdout.starts_with(b"tlog 12");
        assert_eq!(is_twelve, status == Some(1) && said.contains("Failed adding a utmp record"), "{said}");
    });
}

/// tlog records one session at a time of each audit session. All sessions of a connection are in one audit session.
#[test]
fn second_session_of_a_connection_is_not_recorded_without_max_sessions() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let recorded = Recorded::new(world, "MaxSessions 10").set_user_id().second_session();
        assert!(!recorded.contains("second"), "{recorded}");
    });
}

#[test]
fn second_session_of_a_connection_is_recorded_with_the_recipe() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let sshd_config = block("docs/settings.md", "MaxSessions 1");
        let recorded = Recorded::new(world, sshd_config).set_user_id().second_session();
        assert!(recorded.contains("second"), "{recorded}");
    });
}
