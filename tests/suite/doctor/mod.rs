//! `doctor` on a private instance whose links are broken one at a time: it names that one and its fix, and
//! says nothing of the others.

mod logins;
mod server;
mod service;
mod system;

use std::any::Any;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use crate::wiring::{CONFIG, INCLUDE, OURS, agent, lay_out};
use crate::world::{BOB, Key, Sshd, Syslog, World, installed, on_an_instance, on_an_instance_for, test_path};

/// What is undone when the row is over.
struct Undo<F: FnMut()>(F);

impl<F: FnMut()> Drop for Undo<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

type Broken = Box<dyn Any>;

/// One broken link, and all that `doctor` says differently then.
struct Row {
    name: &'static str,
    user: &'static str,
    breaks: Box<dyn Fn(&World) -> Broken>,
    /// Id, verdict, words of what was seen (`#` is any digit), words of the fix. The first is the cause.
    says: Vec<(&'static str, &'static str, &'static str, &'static str)>,
    /// Ids that cannot be looked at then.
    follows: &'static [&'static str],
    /// Whether a pushed ed25519 key logs in all the same.
    login: Login,
}

#[derive(Clone, Copy)]
enum Login {
    /// Not where something failed.
    AsSaid,
    Refused,
    /// Nothing is really broken, or a part of the machine decides that is not ours.
    Either,
}

fn row(
    name: &'static str,
    breaks: impl Fn(&World) + 'static,
    says: (&'static str, &'static str, &'static str, &'static str),
) -> Row {
    let breaks = Box::new(move |world: &World| -> Broken {
        breaks(world);
        Box::new(())
    });
    Row { name, user: "ec2-user", breaks, says: vec![says], follows: &[], login: Login::AsSaid }
}

/// More lines of `sshd_config`, before the `Include`.
fn with(lines: &'static str) -> impl Fn(&World) {
    move |_| {
        let config = fs::read_to_string(CONFIG).unwrap();
        fs::write(CONFIG, format!("{lines}{config}")).unwrap();
    }
}

/// The same at the end, where a `Match` harms nobody else.
fn ending(lines: &'static str) -> impl Fn(&World) {
    move |_| {
        let config = fs::read_to_string(CONFIG).unwrap();
        fs::write(CONFIG, format!("{config}{lines}")).unwrap();
    }
}

/// Another text in one of the files.
fn edited(file: &'static str, from: &'static str, to: &'static str) -> impl Fn(&World) {
    move |_| {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(from), "{file}: {text}");
        fs::write(file, text.replace(from, to)).unwrap();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn run(words: &[&str]) {
    assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{words:?}");
}

/// Covers one path with another for a row.
fn covered(by: &str, path: &'static str) -> Broken {
    run(&["mount", "--bind", by, path]);
    Box::new(Undo(move || run(&["umount", "--lazy", path])))
}

/// Whether a text has these words, with any digit in the place of a `#`.
fn shows(text: &str, words: &str) -> bool {
    let same = |(&seen, word): (&u8, u8)| seen == word || (word == b'#' && seen.is_ascii_digit());
    words.is_empty()
        || text.as_bytes().windows(words.len()).any(|part| part.iter().zip(words.bytes()).all(same))
}

const NOT_ASKED: &[&str] = &["command-user", "command-path", "providers", "answer"];
const NO_SSHD: &[&str] = &[
    "listener",
    "command",
    "command-user",
    "command-path",
    "public-keys",
    "key-types",
    "revoked-keys",
    "providers",
    "access",
    "account",
    "answer",
];

fn refused(row: Row) -> Row {
    Row { login: Login::Refused, ..row }
}

fn either(row: Row) -> Row {
    Row { login: Login::Either, ..row }
}

fn follow(follows: &'static [&'static str], row: Row) -> Row {
    Row { follows, ..row }
}

/// Everything that rows change, as it is when all is well.
struct Sound {
    files: BTreeMap<PathBuf, Vec<u8>>,
    checks: BTreeMap<String, String>,
    key: Key,
}

const KEPT: [&str; 5] = [CONFIG, OURS, "/etc/passwd", "/etc/shadow", "/etc/group"];

impl Sound {
    fn new(world: &World) -> Self {
        let files = KEPT.iter().map(|file| (PathBuf::from(file), fs::read(file).unwrap())).collect();
        let report = doctor(world);
        for check in report["checks"].as_array().unwrap() {
            assert!(check["verdict"] != "warn" && check["verdict"] != "fail", "all is well: {check:#}");
            assert_eq!(check["fix"], Value::Null, "{check:#}");
        }
        assert_eq!(report["cause"], Value::Null);
        let key = Key::ed25519(world, "pushed");
        assert!(log_in(world, "ec2-user", &key).0 && log_in(world, "root", &key).0, "a login works");
        Self { files, checks: verdicts(&report), key }
    }

    fn restore(&self, world: &World) {
        for (file, content) in &self.files {
            fs::write(file, content).unwrap();
        }
        for path in ["/etc/nologin", "/etc/ssh/sshd_config.d/05-x.conf"] {
            let _ = fs::remove_file(path);
        }
        for path in ["/etc/systemd/system/ssh.service.d", "/run/systemd", "/sys/fs"] {
            let _ = fs::remove_dir_all(path);
        }
        mode(&world.path("bin"), 0o755);
        chown(world.agent(), Some(0), None).unwrap();
    }

    /// Breaks one link, and looks whether that one is named and no other; gives what is otherwise.
    fn check(&self, world: &World, row: &Row) -> Vec<String> {
        let broken = (row.breaks)(world);
        let (status, report) = ask(world, row.user);
        let mut faults = Vec::new();
        let mut expect = |holds: bool, what: &Value| {
            if !holds {
                faults.push(format!("{}: {what:#}", row.name));
            }
        };
        let fails = row.says.iter().any(|says| says.1 == "fail");
        expect(status == Some(i32::from(fails)), &Value::from(status));
        let cause = if row.says[0].1 == "ok" { Value::Null } else { Value::from(row.says[0].0) };
        expect(report["cause"] == cause, &report["cause"]);
        for check in report["checks"].as_array().unwrap() {
            let text = |name: &str| check[name].as_str().unwrap_or_default();
            let (id, verdict) = (text("id"), text("verdict"));
            for setting in advised(text("fix")) {
                expect(accepts(world, &setting), &Value::from(format!("sshd refuses the advice: {setting}")));
            }
            if let Some((_, expected, seen, fix)) = row.says.iter().find(|says| says.0 == id) {
                let told = shows(text("seen"), seen) && text("fix").contains(fix);
                expect(verdict == *expected && told, check);
            } else if row.follows.contains(&id) {
                expect(verdict == "skipped", check);
            } else {
                expect(verdict == self.checks[id], check);
            }
        }
        let expected = match row.login {
            Login::AsSaid => Some(!fails),
            Login::Refused => Some(false),
            Login::Either => None,
        };
        let (logs_in, said) = log_in(world, row.user, &self.key);
        expect(expected.is_none_or(|expected| expected == logs_in), &Value::from(said));
        if let Some(report) = tried(world, row, &report) {
            expect(verdicts(&report) == self.checks, &report);
        }
        drop(broken);
        self.restore(world);
        faults
    }

    fn check_all(&self, world: &World, rows: &[Row]) {
        let faults: Vec<_> = rows.iter().flat_map(|row| self.check(world, row)).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert_eq!(verdicts(&doctor(world)), self.checks, "all is well again");
    }
}

/// Pushes the key, and logs in through an sshd of its own, which reads the configuration as it is now.
fn log_in(world: &World, user: &str, key: &Key) -> (bool, String) {
    world.emulator.push(user, &key.line(), BOB);
    let options = ["BatchMode=yes", "IdentitiesOnly=yes", "LogLevel=ERROR", "StrictHostKeyChecking=no"];
    let ran = Command::new("ssh")
        .args(["-F", "none", "-o", "UserKnownHostsFile=/dev/null", "-o", "ProxyCommand=/usr/sbin/sshd -i"])
        .args(options.iter().flat_map(|option| ["-o", option]))
        .arg("-i")
        .arg(key.file())
        .args([&format!("{user}@instance"), "id -un"])
        .output()
        .unwrap();
    world.emulator.clear_keys();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&ran.stdout).trim() == user, format!("{}{}", text(&ran.stdout), text(&ran.stderr)))
}

/// The settings that a fix names, as lines of `sshd_config`.
fn advised(fix: &str) -> Vec<String> {
    let end = |text: &str| {
        let ends = [", then", " there", " in /", "; then"].iter().filter_map(|end| text.find(end));
        text[..ends.min().unwrap_or(text.len())].to_owned()
    };
    let set = fix.split("set ").skip(1).map(end);
    let asked = fix.split("have both asked: ").nth(1).map(end);
    let asked = asked.iter().flat_map(|pair| pair.split(" and ").map(str::to_owned)).collect::<Vec<_>>();
    let added = fix.split("add ").skip(1).filter_map(|text| {
        let (value, rest) = text.split_once(" to ")?;
        let keyword = rest.split(',').next()?;
        keyword.starts_with(char::is_uppercase).then(|| format!("{keyword} {value}"))
    });
    set.chain(asked).chain(added).filter(|setting| setting.starts_with(char::is_uppercase)).collect()
}

/// sshd's own word on a setting. It takes neither half of the pair without the other, and of two the first.
fn accepts(world: &World, setting: &str) -> bool {
    let said = Command::new("/usr/sbin/sshd")
        .args(["-t", "-f", "/dev/null", "-o", setting])
        .args(["-o", "AuthorizedKeysCommand /bin/true", "-o", "AuthorizedKeysCommandUser root", "-h"])
        .arg(world.path("etc/host"))
        .output()
        .unwrap();
    said.status.success()
}

/// Programs that a fix may name, and that mend what they can mend here and now.
const MENDING: [&str; 6] = ["eic-agent", "chmod", "chown", "chage", "usermod", "useradd"];

/// Does as the first fix says, if it is a command; gives what is seen after it.
fn tried(world: &World, row: &Row, report: &Value) -> Option<Value> {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == row.says[0].0).unwrap();
    let command = check["fix"].as_str()?.strip_prefix("sudo ")?;
    let program = command.split(' ').next().unwrap();
    MENDING.contains(&program).then_some(())?;
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", world.path("bin").display());
    let ran = Command::new("sh").args(["-c", command]).env("PATH", path).output().unwrap();
    assert!(ran.status.success(), "{}: {command}: {}", row.name, String::from_utf8_lossy(&ran.stderr));
    Some(ask(world, row.user).1)
}

fn ask(world: &World, user: &str) -> (Option<i32>, Value) {
    let ran = agent(world, &["doctor", "--json", "--user", user]);
    assert_eq!(ran.err, "");
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["user"], user);
    (ran.status, report)
}

/// What it says where nothing is broken.
fn doctor(world: &World) -> Value {
    let (status, report) = ask(world, "ec2-user");
    assert_eq!(status, Some(0), "{report:#}");
    report
}

fn verdicts(report: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap();
    checks.iter().map(|check| (text(&check["id"]), text(&check["verdict"]))).collect()
}

/// sshd wired and running, and somebody who reads the log.
fn wired(world: &World) -> (Sshd, Syslog) {
    let host = Key::ed25519(world, "host");
    let host = host.file().display();
    lay_out(&format!("{INCLUDE}HostKey {host}\nListenAddress 127.0.0.1\nUsePAM no\nPidFile none\n"), &[]);
    // The command that `enable` writes, and those that ask metadata themselves.
    world.configure_unhurried("");
    let ran = agent(world, &["enable"]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    (Sshd::listen(&[]), Syslog::bind())
}

fn every_row(name: &str, rows: fn() -> Vec<Row>) {
    // Each row asks sshd a dozen times and logs in: a busy machine takes minutes.
    on_an_instance_for("1800", name, Config::default(), |world| {
        let _running = wired(world);
        let sound = Sound::new(world);
        sound.check_all(world, &rows());
    });
}

#[test]
fn what_sshd_asks_is_judged() {
    every_row(test_path!(), server::rows);
}

/// The documented shape, by a validator that knows nothing of us.
#[test]
fn json_has_the_shape_of_its_schema() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = wired(world);
        let schema = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/schema/doctor.schema.json");
        let file = world.path("etc/report.json");
        let validate = |report: &str| {
            fs::write(&file, report).unwrap();
            let program = "import json, sys, jsonschema\n\
                           schema, report = (json.load(open(name)) for name in sys.argv[1:])\n\
                           jsonschema.Draft202012Validator.check_schema(schema)\n\
                           jsonschema.Draft202012Validator(schema).validate(report)";
            let python = installed("python3");
            let ran = Command::new(python).args(["-c", program, schema]).arg(&file).output().unwrap();
            (ran.status.success(), String::from_utf8_lossy(&ran.stderr).into_owned())
        };
        for arguments in [&["doctor", "--json"][..], &["doctor", "--json", "--user", "ec2-user"]] {
            let (valid, said) = validate(&agent(world, arguments).out);
            assert!(valid, "{said}");
        }
        with("DenyUsers ec2-user\n")(world);
        let broken = agent(world, &["doctor", "--json", "--user", "ec2-user"]).out;
        assert!(broken.contains("\"fail\"") && validate(&broken).0);
        for (from, to) in [
            ("\"fail\"", "\"broken\""),
            ("\"schema_version\": 1", "\"schema_version\": 2"),
            ("\"why\"", "\"because\""),
        ] {
            assert!(!validate(&broken.replace(from, to)).0, "{to} is not of that shape");
        }
    });
}

#[test]
fn the_service_is_judged() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let _running = wired(world);
        service::restore(world);
        let sound = Sound::new(world);
        let check = |row: &Row| {
            let faults = sound.check(world, row);
            service::restore(world);
            faults
        };
        let faults: Vec<_> = service::rows().iter().flat_map(check).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert_eq!(verdicts(&doctor(world)), sound.checks, "all is well again");
    });
}

#[test]
fn keys_and_accounts_are_judged() {
    every_row(test_path!(), || {
        logins::key_rows().into_iter().chain(logins::account_rows()).chain(system::rows()).collect()
    });
}

#[test]
fn the_running_server_is_judged() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (sshd, _log) = wired(world);
        let sound = Sound::new(world);
        drop(sshd);
        let foreign =
            ["-o", "AuthorizedKeysCommand /usr/bin/env %u", "-o", "AuthorizedKeysCommandUser nobody"];
        let sshd = Sshd::listen(&foreign);
        let told = "AuthorizedKeysCommand is /usr/bin/env %u, which it was started with and which wins over every file";
        let started = row(
            "-o",
            |_| {},
            ("command", "fail", told, "take -o AuthorizedKeysCommand out of what starts sshd (pid "),
        );
        let mut faults = sound.check(world, &either(follow(NOT_ASKED, started)));
        let by_a_unit = Row {
            says: vec![
                (
                    "command",
                    "fail",
                    told,
                    "take AuthorizedKeysCommand out of /etc/default/ssh, then: sudo systemctl daemon-reload",
                ),
                (
                    "unit-override",
                    "fail",
                    "/etc/default/ssh starts sshd with",
                    "take AuthorizedKeysCommand out of /etc/default/ssh",
                ),
            ],
            ..row(
                "-o of the environment",
                |_| {
                    fs::write("/etc/default/ssh", "SSHD_OPTS='-o \"AuthorizedKeysCommand /usr/bin/env\"'\n")
                        .unwrap();
                },
                ("", "", "", ""),
            )
        };
        faults.extend(sound.check(world, &either(follow(NOT_ASKED, by_a_unit))));
        fs::write("/etc/default/ssh", "# AuthorizedKeysCommand in a comment\n").unwrap();
        drop(sshd);

        // What is changed behind a running server's back.
        let sshd = Sshd::listen(&["-o", "PidFile=/run/sshd.pid"]);
        assert_eq!(verdicts(&doctor(world)), sound.checks);
        let stale = row(
            "not reloaded",
            ending("# x\n"),
            ("command", "warn", "sshd_config was changed after sshd had read it", "sudo kill -HUP"),
        );
        faults.extend(sound.check(world, &stale));
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        sshd.reload();
        assert_eq!(verdicts(&doctor(world)), sound.checks);
        drop(sshd);

        // sshd of a pipe, as here, needs no server; ssh elsewhere does.
        let away = row("no sshd runs", |_| {}, ("listener", "fail", "no sshd runs", "start sshd: sudo /"));
        let faults = sound.check(world, &either(away));
        assert!(faults.is_empty(), "{}", faults.join("\n"));

        // A vendor's drop-in that the operator took out by a link of its name.
        fs::create_dir_all("/run/systemd/system/ssh.service.d").unwrap();
        fs::write(
            "/run/systemd/system/ssh.service.d/ec2-instance-connect.conf",
            "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -o \"AuthorizedKeysCommand /x\"\n",
        )
        .unwrap();
        let folder = "/etc/systemd/system/ssh.service.d";
        fs::create_dir_all(folder).unwrap();
        symlink("/dev/null", format!("{folder}/ec2-instance-connect.conf")).unwrap();
        assert_eq!(verdicts(&ask(world, "ec2-user").1)["unit-override"], "ok");
    });
}

#[test]
fn text_is_for_a_tired_person_and_root_is_not_needed() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = wired(world);
        let ran = agent(world, &["doctor"]);
        assert_eq!(ran.status, Some(0), "{}", ran.out);
        assert!(ran.out.contains("skipped  access         no login name; add --user USER\n"), "{}", ran.out);
        assert!(ran.out.ends_with("\nNothing is wrong that can be seen from here.\n"), "{}", ran.out);

        with("DenyUsers ec2-user\n")(world);
        let ran = agent(world, &["doctor", "--user", "ec2-user"]);
        assert_eq!(ran.status, Some(1), "{}", ran.out);
        let seen = "DenyUsers has ec2-user (/etc/ssh/sshd_config:1)";
        assert!(ran.out.contains(&format!("FAIL     access         {seen}\n")), "{}", ran.out);
        assert!(
            ran.out.contains("fix: take ec2-user out of DenyUsers, then: sudo kill -HUP "),
            "{}",
            ran.out
        );
        assert!(
            ran.out.contains(&format!("\nMost likely cause of a refused login: access: {seen}\n")),
            "{}",
            ran.out
        );
        assert!(!ran.out.contains('\u{1b}'), "no colour where it is no terminal");

        // sshd tells root only, since its configuration is root's: no false verdict in either direction.
        let report = as_nobody(world);
        for check in report["checks"].as_array().unwrap() {
            if NO_SSHD.contains(&check["id"].as_str().unwrap()) {
                assert_eq!(check["verdict"], "skipped", "{check:#}");
                assert!(check["seen"].as_str().unwrap().contains("run with sudo"), "{check:#}");
            }
        }
        let told = verdicts(&report);
        for id in ["openssh", "unit-override", "shell", "selinux", "log"] {
            assert_eq!(told[id], "ok", "{report:#}");
        }

        // Where everybody may read it, only what takes root is left open.
        for file in [CONFIG, OURS] {
            mode(Path::new(file), 0o644);
        }
        let report = as_nobody(world);
        let told = verdicts(&report);
        for (id, verdict) in
            [("command", "skipped"), ("account", "skipped"), ("command-path", "ok"), ("access", "fail")]
        {
            assert_eq!(told[id], verdict, "{report:#}");
        }
        assert!(report.to_string().contains("run with sudo to see what the running sshd was started with"));
        edited("/etc/passwd", "/home/ec2-user:/bin/sh", "/home/ec2-user:/bin/nosuch")(world);
        for (readable, verdict) in [(0o644, "fail"), (0o600, "skipped")] {
            mode(Path::new(CONFIG), readable);
            assert_eq!(verdicts(&as_nobody(world))["shell"], verdict);
        }
    });
}

fn as_nobody(world: &World) -> Value {
    let ran = Command::new("setpriv")
        .args(["--reuid=nobody", "--clear-groups"])
        .arg(world.agent())
        .args(["doctor", "--json", "--user", "ec2-user"])
        .output()
        .unwrap();
    serde_json::from_slice(&ran.stdout).unwrap()
}
