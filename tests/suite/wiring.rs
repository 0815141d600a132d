//! `enable`, `disable` and `status` on a private `/etc/ssh`: what is wired, what is left alone, and that
//! everything can be taken back.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use crate::world::{BOB, INSTANCE, Key, Sshd, World, on_an_instance, test_path, until};

pub(crate) const CONFIG: &str = "/etc/ssh/sshd_config";
pub(crate) const DROP_INS: &str = "/etc/ssh/sshd_config.d";
pub(crate) const OURS: &str = "/etc/ssh/sshd_config.d/10-eic-agent.conf";
pub(crate) const INCLUDE: &str = "Include /etc/ssh/sshd_config.d/*.conf\n";
const SSS: &str = "AuthorizedKeysCommand /usr/bin/id\nAuthorizedKeysCommandUser nobody\n";

/// One run of the agent by hand.
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn agent(world: &World, arguments: &[&str]) -> Ran {
    let output = Command::new(world.agent()).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// `/etc/ssh` with this `sshd_config` and these drop-ins.
pub(crate) fn lay_out(config: &str, drop_ins: &[(&str, &str)]) {
    for entry in fs::read_dir("/etc/ssh").unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
    fs::write(CONFIG, config).unwrap();
    fs::set_permissions(CONFIG, fs::Permissions::from_mode(0o600)).unwrap();
    if config.to_ascii_lowercase().contains("include") {
        fs::create_dir(DROP_INS).unwrap();
    }
    for (name, text) in drop_ins {
        fs::write(Path::new(DROP_INS).join(name), text).unwrap();
    }
}

/// Every file below `/etc/ssh`: content and mode.
pub(crate) fn snapshot() -> BTreeMap<String, (Vec<u8>, u32)> {
    fn walk(folder: &Path, found: &mut BTreeMap<String, (Vec<u8>, u32)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = path.symlink_metadata().unwrap().permissions().mode();
            let content = if path.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            if path.is_dir() {
                walk(&path, found);
            }
            found.insert(path.to_str().unwrap().to_owned(), (content, mode));
        }
    }
    let mut found = BTreeMap::new();
    walk(Path::new("/etc/ssh"), &mut found);
    found
}

/// sshd's own word for the pair in force, for this user; the host key is one to throw away.
fn pair(world: &World, user: &str) -> (String, String) {
    let key = world.path("etc/probe");
    if !key.exists() {
        Key::ed25519(world, "probe");
    }
    let connection = format!("user={user},host=x,addr=127.0.0.1,laddr=127.0.0.1,lport=22");
    let said =
        Command::new("/usr/sbin/sshd").args(["-T", "-C", &connection, "-h"]).arg(key).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let said = String::from_utf8(said.stdout).unwrap();
    let value = |keyword: &str| {
        said.lines()
            .filter_map(|line| line.split_once(' '))
            .find_map(|(name, value)| name.eq_ignore_ascii_case(keyword).then_some(value))
            .unwrap_or("none")
            .to_owned()
    };
    (value("AuthorizedKeysCommand"), value("AuthorizedKeysCommandUser"))
}

/// One layout of `/etc/ssh`, and what becomes of it.
struct Case {
    name: &'static str,
    config: String,
    drop_ins: Vec<(&'static str, &'static str)>,
    arguments: &'static [&'static str],
    status: i32,
    /// The file that gets our lines.
    wired: Option<&'static str>,
    /// What stands after `authorized-keys ` in our command, and the user.
    ours: (&'static str, &'static str),
    /// Words of what is said.
    says: &'static str,
}

fn cases() -> Vec<Case> {
    let plain = ("%u %f", "eic-agent");
    let sound = |name, config: &str, drop_ins, wired, ours| Case {
        name,
        config: config.to_owned(),
        drop_ins,
        arguments: &["enable"],
        status: 0,
        wired: Some(wired),
        ours,
        says: "AuthorizedKeysCommand ",
    };
    let chained = ("--provider-user nobody %u %f -- /usr/bin/id %u", "root");
    let refused = |name, config: &str, drop_ins, status, says| Case {
        name,
        config: config.to_owned(),
        drop_ins,
        arguments: &["enable"],
        status,
        wired: None,
        ours: plain,
        says,
    };
    let chain = |case: Case| Case { arguments: &["enable", "--chain"], ..case };
    let amazons = "AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\nAuthorizedKeysCommandUser ec2-instance-connect\n";
    let userdb = (
        "20-systemd-userdb.conf",
        "AuthorizedKeysCommand /usr/bin/true ssh-authorized-keys %u\nAuthorizedKeysCommandUser root\n",
    );
    vec![
        sound("empty file", "", vec![], CONFIG, plain),
        sound("no final newline", "Port 22", vec![], CONFIG, plain),
        sound("CRLF", "Port 22\r\nUsePAM no\r\n", vec![], CONFIG, plain),
        sound("Include", INCLUDE, vec![("50-redhat.conf", "UsePAM yes\n")], OURS, plain),
        sound("Include with quotes and =", "include=\"sshd_config.d/*.conf\"\n", vec![], OURS, plain),
        sound("Include after other settings", &format!("Port 22\n{INCLUDE}"), vec![], OURS, plain),
        sound("Include inside a Match", &format!("Port 22\nMatch all\n{INCLUDE}"), vec![], CONFIG, plain),
        sound("Match at the end", "Port 22\nMatch User git\n  X11Forwarding no", vec![], CONFIG, plain),
        sound("Amazon's in the file", &format!("UsePAM no\n{amazons}"), vec![], CONFIG, plain),
        sound("Amazon's before an Include", &format!("{amazons}{INCLUDE}"), vec![], CONFIG, plain),
        sound("Amazon's in a drop-in that sorts first", INCLUDE, vec![("05-a.conf", amazons)], CONFIG, plain),
        sound(
            "a user alone, in a drop-in that sorts first",
            INCLUDE,
            vec![("05-a.conf", "AuthorizedKeysCommandUser nobody\n")],
            CONFIG,
            plain,
        ),
        sound(
            "a drop-in that ends inside a Match",
            INCLUDE,
            vec![("05-a.conf", "Match User git\nX11Forwarding no\n")],
            OURS,
            plain,
        ),
        sound(
            "another name in our file",
            INCLUDE,
            vec![("10-eic-agent.conf", "# mine\nUsePAM no\n")],
            OURS,
            plain,
        ),
        Case {
            says: "Match User git",
            ..sound(
                "a command for git alone",
                "Match User git\n  AuthorizedKeysCommand /bin/gitkeys %u\n  AuthorizedKeysCommandUser nobody\n",
                vec![],
                CONFIG,
                plain,
            )
        },
        refused("SSSD", SSS, vec![], 3, "(/etc/ssh/sshd_config:1): /usr/bin/id as nobody"),
        refused(
            "SSSD in a drop-in",
            INCLUDE,
            vec![("04-ipa.conf", SSS)],
            3,
            "(/etc/ssh/sshd_config.d/04-ipa.conf:1)",
        ),
        refused("userdb", INCLUDE, vec![userdb], 3, "eic-agent enable --chain"),
        refused(
            "a command and a user of different files",
            &format!("{INCLUDE}AuthorizedKeysCommand /bin/true\n"),
            vec![("90-a.conf", "AuthorizedKeysCommandUser nobody\n")],
            3,
            "/bin/true as nobody",
        ),
        refused(
            "a Match about everybody",
            "Match all\nAuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser nobody\n",
            vec![],
            3,
            "/bin/true as nobody",
        ),
        refused("a fault", "Port 22\nNoSuchSetting yes\n", vec![], 1, "NoSuchSetting"),
        refused("a fault in a drop-in", INCLUDE, vec![("50-x.conf", "Port x\n")], 1, "50-x.conf"),
        chain(sound("SSSD", SSS, vec![], CONFIG, chained)),
        chain(sound(
            "SSSD in a drop-in that sorts first",
            INCLUDE,
            vec![("04-ipa.conf", SSS)],
            CONFIG,
            chained,
        )),
        chain(sound("SSSD in a later drop-in", INCLUDE, vec![("50-sss.conf", SSS)], OURS, chained)),
        chain(sound(
            "userdb",
            INCLUDE,
            vec![userdb],
            OURS,
            ("%u %f -- /usr/bin/true ssh-authorized-keys %u", "root"),
        )),
        chain(sound(
            "as the login name",
            "AuthorizedKeysCommand /bin/true %h\nAuthorizedKeysCommandUser %u\n",
            vec![],
            CONFIG,
            ("%u %f -- /bin/true %h", "%u"),
        )),
        chain(sound("nobody's", "", vec![], CONFIG, plain)),
        chain(refused(
            "a Match that names no user for its command",
            &format!("{SSS}Match User git\n  AuthorizedKeysCommand /bin/gitkeys %u\n"),
            vec![],
            3,
            "/etc/ssh/sshd_config:4, inside \"Match User git\", would be run by root instead of nobody",
        )),
        refused(
            "a Match that names no user, where one is set outside",
            "AuthorizedKeysCommandUser nobody\nMatch User git\n  AuthorizedKeysCommand /bin/gitkeys %u\n",
            vec![],
            3,
            "would be run by eic-agent instead of nobody",
        ),
        chain(refused(
            "a percent sign in a program's name",
            "AuthorizedKeysCommand /bin/100%z %u\nAuthorizedKeysCommandUser nobody\n",
            vec![],
            3,
            "has a \"%\"",
        )),
        chain(refused(
            "a program that is not there",
            "AuthorizedKeysCommand /bin/not-there %u\nAuthorizedKeysCommandUser nobody\n",
            vec![],
            3,
            "/bin/not-there: No such file",
        )),
        refused(
            "a Match about everybody but us",
            "Match User *,!eic-agent\n  Include /etc/ssh/[s]shd_config.d/*.conf\n",
            vec![("50-a.conf", SSS)],
            3,
            "/usr/bin/id as nobody",
        ),
        refused(
            "a Match about the port that it listens on",
            "Port 2222\nMatch LocalPort 2222\n  AuthorizedKeysCommand /bin/true\n  AuthorizedKeysCommandUser nobody\n",
            vec![],
            3,
            "/bin/true as nobody",
        ),
        refused(
            "none set inside a Match about everybody",
            "Match all\n  AuthorizedKeysCommand None\n",
            vec![],
            1,
            "none (/etc/ssh/sshd_config:2, inside \"Match all\") would stay in force",
        ),
        chain(refused(
            "an unknown user",
            "AuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser nosuch\n",
            vec![],
            3,
            "nosuch, who does not stand in /etc/passwd",
        )),
        chain(refused(
            "a separator",
            "AuthorizedKeysCommand /bin/true -- %u\nAuthorizedKeysCommandUser root\n",
            vec![],
            3,
            "put it into a script",
        )),
        chain(refused(
            "a Match about everybody",
            "Match all\nAuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser nobody\n",
            vec![],
            1,
            "(/etc/ssh/sshd_config:2, inside \"Match all\")",
        )),
    ]
}

#[test]
fn every_layout_is_wired_or_left_as_it_was() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let own = world.agent().display().to_string();
        for case in cases() {
            let name = format!("{} {:?}", case.name, case.arguments);
            lay_out(&case.config, &case.drop_ins);
            let before = snapshot();
            let ran = agent(world, case.arguments);
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.status, Some(case.status), "{name}: {said}");
            assert!(said.contains(case.says), "{name}: {said}");
            let after = snapshot();
            let changed: Vec<_> = after
                .iter()
                .filter(|(path, held)| before.get(*path) != Some(*held))
                .map(|(path, _)| path.as_str())
                .collect();
            assert_eq!(changed, Vec::from_iter(case.wired), "{name}: {said}");
            assert!(before.keys().all(|path| after.contains_key(path)), "{name}");
            if case.wired.is_none() {
                assert!(ran.err.contains("nothing is changed"), "{name}: {said}");
                continue;
            }
            assert_eq!(
                pair(world, "ec2-user"),
                (format!("{own} authorized-keys {}", case.ours.0), case.ours.1.to_owned()),
                "{name}"
            );
            if case.name.contains("git") {
                assert_eq!(pair(world, "git").0, "/bin/gitkeys %u", "{name}");
            }
            let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert!(case.wired != Some(CONFIG) || mode(CONFIG) == 0o600, "{name}");
            assert!(case.wired != Some(OURS) || before.contains_key(OURS) || mode(OURS) == 0o600, "{name}");

            let again = agent(world, case.arguments);
            assert_eq!((again.status, snapshot() == after), (Some(0), true), "{name}: {}", again.err);
            assert!(again.out.contains("wired already"), "{name}: {}", again.out);

            let out = agent(world, &["disable"]);
            assert_eq!(out.status, Some(0), "{name}: {}", out.err);
            assert_eq!(snapshot(), before, "{name}: every byte and mode is as it was");
            let out = agent(world, &["disable"]);
            assert_eq!((out.status, snapshot() == before), (Some(0), true), "{name}");
            assert!(out.out.contains("there is nothing of eic-agent's"), "{name}: {}", out.out);
        }
    });
}

#[test]
fn later_edits_stay() {
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

        // By hand, and so not ours to take out.
        let by_hand = format!(
            "AuthorizedKeysCommand {} authorized-keys %u\nAuthorizedKeysCommandUser eic-agent\n",
            world.agent().display()
        );
        lay_out(&by_hand, &[]);
        let ran = agent(world, &["disable"]);
        assert_eq!((ran.status, fs::read_to_string(CONFIG).unwrap()), (Some(0), by_hand));
        assert!(ran.out.contains("/etc/ssh/sshd_config:1 still names this program"), "{}", ran.out);

        // What is ours comes out of a configuration that sshd refuses, and where sshd is gone.
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
fn what_cannot_be_written_or_run_changes_nothing() {
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
        // The folder can be written, the one of the drop-ins cannot.
        run(&["mount", "--bind", DROP_INS, DROP_INS]);
        run(&["mount", "-o", "remount,bind,ro", DROP_INS]);
        refuses("a read-only folder of drop-ins", "Read-only file system");
        run(&["umount", DROP_INS]);

        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        fs::write("/etc/passwd", passwd.replace("eic-agent:", "other:")).unwrap();
        refuses("no user to run it", "systemd-sysusers");
        fs::write("/etc/passwd", passwd).unwrap();

        fs::set_permissions(world.path("bin"), fs::Permissions::from_mode(0o775)).unwrap();
        refuses("a program that sshd would not run", "sshd would not run this program");
        fs::set_permissions(world.path("bin"), fs::Permissions::from_mode(0o755)).unwrap();

        let ran = Command::new("setpriv")
            .args(["--reuid=nobody", "--clear-groups"])
            .arg(world.agent())
            .arg("enable")
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(1));
        assert!(String::from_utf8(ran.stderr).unwrap().contains("this takes root"));

        // No sshd at all.
        run(&["mount", "--bind", "/dev/null", "/usr/sbin/sshd"]);
        refuses("no sshd", "there is no sshd on this machine");
        let ran = agent(world, &["disable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert_eq!(agent(world, &["status"]).status, Some(1));
    });
}

#[test]
fn a_login_works_after_enable_and_not_after_disable() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        let pushed = Key::ed25519(world, "pushed");
        lay_out(
            &format!("{INCLUDE}HostKey {}\nListenAddress 127.0.0.1\nUsePAM no\n", host.file().display()),
            &[],
        );
        world.configure_unhurried("");
        let sshd = Sshd::listen(&[]);
        world.emulator.push("ubuntu", &pushed.line(), BOB);
        assert!(!world.ssh("ubuntu", &[&pushed]).ok);
        let ran = agent(world, &["enable"]);
        assert!(ran.out.contains(&format!("tell it: kill -HUP {}", sshd.pid())), "{}", ran.out);
        sshd.reload();
        assert!(world.ssh("ubuntu", &[&pushed]).ok);
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        sshd.reload();
        assert!(!world.ssh("ubuntu", &[&pushed]).ok);
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

fn status(world: &World) -> (Option<i32>, Value) {
    let plain = agent(world, &["status"]);
    let json = agent(world, &["status", "--json"]);
    assert_eq!(plain.status, json.status, "{}", plain.err);
    let report: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(plain.out.contains("in use    yes\n"), report["in_use"] == true, "{}", plain.out);
    for problem in report["problems"].as_array().unwrap() {
        assert!(plain.err.contains(problem.as_str().unwrap()), "{}", plain.err);
    }
    (json.status, report)
}

#[test]
fn status_tells_what_is_wrong() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let wrong = |name: &str, says: &str| {
            let (code, report) = status(world);
            assert_eq!((code, &report["in_use"]), (Some(1), &Value::Bool(false)), "{name}: {report:#}");
            assert!(report["problems"].to_string().contains(says), "{name}: {report:#}");
        };
        lay_out(INCLUDE, &[]);
        wrong("not wired", "AuthorizedKeysCommand is none; run: eic-agent enable");
        lay_out(SSS, &[]);
        wrong("another's", "run: eic-agent enable --chain");
        lay_out("NoSuchSetting\n", &[]);
        wrong("a fault", "NoSuchSetting");

        lay_out(INCLUDE, &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        // It waits two seconds for a token, and a busy machine may need more.
        until("metadata gives a token in time", || status(world).1["metadata"] == true);
        let (code, report) = status(world);
        assert_eq!(
            (code, &report["in_use"], &report["schema_version"]),
            (Some(0), &Value::Bool(true), &Value::from(1))
        );
        assert_eq!((&report["sshd"]["file"], &report["sshd"]["line"]), (&Value::from(OURS), &Value::from(2)));
        assert_eq!((&report["instance"], &report["metadata"]), (&Value::from(INSTANCE), &Value::Bool(true)));
        assert_eq!(
            (&report["problems"], &report["warnings"]),
            (&Value::Array(vec![]), &Value::Array(vec![]))
        );
        // Nobody but root may read this configuration, so nobody else is told.
        let ran = Command::new("setpriv")
            .args(["--reuid=nobody", "--clear-groups"])
            .arg(world.agent())
            .arg("status")
            .output()
            .unwrap();
        assert_eq!(ran.status.code(), Some(1));

        let with = |line: &str| fs::write(CONFIG, format!("{INCLUDE}{line}\n")).unwrap();
        with("PubkeyAuthentication no");
        wrong("no keys", "PubkeyAuthentication is no");
        with("");
        world.configure("[imds]\ntimout = 3\n");
        wrong("settings", "settings-invalid");
        world.configure("");
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        fs::write("/etc/passwd", passwd.replace("eic-agent:", "other:")).unwrap();
        wrong("no user", "AuthorizedKeysCommandUser \\\"eic-agent\\\" does not stand in /etc/passwd");
        fs::write("/etc/passwd", passwd).unwrap();
        fs::set_permissions(world.path("bin"), fs::Permissions::from_mode(0o775)).unwrap();
        wrong("a folder", "writable");
        fs::set_permissions(world.path("bin"), fs::Permissions::from_mode(0o755)).unwrap();

        let folder = Path::new("/run/systemd/system/ssh.service.d");
        fs::create_dir_all(folder).unwrap();
        fs::write(
            folder.join("x.conf"),
            "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -o \"AuthorizedKeysCommand /x\"\n",
        )
        .unwrap();
        let (code, report) = status(world);
        assert_eq!(code, Some(0));
        assert!(
            report["warnings"][0]
                .as_str()
                .unwrap()
                .starts_with("/run/systemd/system/ssh.service.d/x.conf starts sshd"),
            "{report:#}"
        );
        fs::remove_dir_all("/run/systemd").unwrap();

        world.lose_address("169.254.169.254/32");
        let (code, report) = status(world);
        assert_eq!((code, &report["metadata"]), (Some(0), &Value::Bool(false)), "metadata is a warning");
        assert!(
            report["warnings"][0]
                .as_str()
                .unwrap()
                .starts_with("the metadata service gives no token: metadata-unreachable"),
            "{report:#}"
        );
        assert_eq!(agent(world, &["status", "--is-ec2"]).status, Some(0));
        world.without_asset_tag();
        assert_eq!(agent(world, &["status", "--is-ec2"]).status, Some(1));
        assert_eq!(status(world).0, Some(0), "outside of EC2 it is wired all the same");
    });
}

#[test]
fn the_running_servers_own_command_line_counts() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        let base = format!("HostKey {}\nListenAddress 127.0.0.1\n", host.file().display());
        let foreign =
            ["-o", "AuthorizedKeysCommand /usr/bin/id %u", "-o", "AuthorizedKeysCommandUser nobody"];
        lay_out(&base, &[]);
        let before = snapshot();
        let sshd = Sshd::listen(&foreign);
        for arguments in [&["enable"][..], &["enable", "--chain"]] {
            let ran = agent(world, arguments);
            assert_eq!(ran.status, Some(3), "{}", ran.err);
            assert!(
                ran.err.contains("-o AuthorizedKeysCommand /usr/bin/id %u, which wins over every file"),
                "{}",
                ran.err
            );
            assert_eq!(snapshot(), before);
        }
        drop(sshd);

        // Amazon's: the files are wired, and what runs is said.
        let amazons = [
            "-o",
            "AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f",
            "-o",
            "AuthorizedKeysCommandUser ec2-instance-connect",
        ];
        let sshd = Sshd::listen(&amazons);
        let ran = agent(world, &["enable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert!(ran.out.contains("systemctl restart sshd"), "{}", ran.out);
        assert!(!ran.out.contains("kill -HUP"), "a reload would change nothing: {}", ran.out);
        let (code, report) = status(world);
        assert_eq!((code, &report["sshd"]["pid"]), (Some(1), &Value::from(sshd.pid())), "{report:#}");
        assert!(report["problems"][0].as_str().unwrap().contains("which it was started with"), "{report:#}");
        drop(sshd);
        assert_eq!(status(world).0, Some(0));
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(snapshot(), before);

        // Another file than the usual: it is the one that is wired.
        let other = world.path("etc/other_config");
        fs::write(&other, &base).unwrap();
        let sshd = Sshd::listen(&["-f", other.to_str().unwrap()]);
        let ran = agent(world, &["enable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert!(fs::read_to_string(&other).unwrap().starts_with("# >>> eic-agent"));
        assert_eq!(snapshot(), before);
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(fs::read_to_string(&other).unwrap(), base);
        drop(sshd);
    });
}

#[test]
fn links_stay_links() {
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

/// What anybody can do while root runs `enable` or `disable`.
#[test]
fn nobody_else_has_a_say() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out(INCLUDE, &[]);
        let before = snapshot();
        let home = world.path("home/ubuntu");
        fs::write(home.join("sshd_config"), "").unwrap();
        let title = format!(
            "sshd: /usr/sbin/sshd -D -f {}/sshd_config -o AuthorizedKeysCommand /bin/x [listener] 0 of 10-100 startups",
            home.display()
        );
        let user = ["--reuid=ubuntu", "--regid=ubuntu", "--clear-groups"];
        let mut pretender = Command::new("setpriv")
            .args(user)
            .args(["bash", "-c", "exec -a \"$0\" sleep 600", &title])
            .spawn()
            .unwrap();
        let mut holder =
            Command::new("setpriv").args(user).args(["flock", "/etc/ssh", "sleep", "600"]).spawn().unwrap();
        until("the pretender has its name", || {
            let name = fs::read(format!("/proc/{}/cmdline", pretender.id())).unwrap();
            name.starts_with(title.as_bytes())
        });
        until("the folder is locked", || {
            let lock = format!(" {} ", holder.id());
            let locks = fs::read_to_string("/proc/locks").unwrap();
            locks.lines().any(|line| line.contains("FLOCK") && line.contains(&lock))
        });
        let ran = agent(world, &["enable"]);
        assert!(ran.status == Some(0) && ran.out.contains(OURS), "{}{}", ran.out, ran.err);
        assert_eq!(fs::read_to_string(home.join("sshd_config")).unwrap(), "");
        assert_eq!(status(world).1["sshd"]["pid"], Value::Null);
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(snapshot(), before);
        for process in [&mut pretender, &mut holder] {
            process.kill().unwrap();
            process.wait().unwrap();
        }

        // A configuration that others may write is none to write as root.
        fs::set_permissions(DROP_INS, fs::Permissions::from_mode(0o777)).unwrap();
        let ran = agent(world, &["enable"]);
        assert!(ran.status == Some(1) && ran.err.contains("writable by its owner only"), "{}", ran.err);
    });
}

#[test]
fn what_wins_later_is_told() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        let base = format!("{INCLUDE}HostKey {}\nListenAddress 127.0.0.1\n", host.file().display());
        lay_out(&base, &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        let refuses = |what: &str, code: i32, words: &str| {
            let ran = agent(world, &["enable"]);
            assert_eq!(ran.status, Some(code), "{what}: {}{}", ran.out, ran.err);
            assert!(ran.err.contains(words), "{what}: {}", ran.err);
            assert_eq!(agent(world, &["status"]).status, Some(1), "{what}");
        };
        let foreign =
            ["-o", "AuthorizedKeysCommand /usr/bin/id %u", "-o", "AuthorizedKeysCommandUser nobody"];
        let sshd = Sshd::listen(&foreign);
        refuses("a server that was started otherwise", 3, "wins over every file");
        drop(sshd);
        let sshd = Sshd::listen(&["-o", "ForceCommand /bin/true -q x", "-f", CONFIG]);
        let ran = agent(world, &["enable"]);
        assert!(ran.status == Some(1) && ran.err.contains("cannot be told apart"), "{}", ran.err);
        drop(sshd);

        fs::write(Path::new(DROP_INS).join("05-a.conf"), "AuthorizedKeysCommandUser nosuch\n").unwrap();
        refuses("a user that is not there", 1, "nosuch");
        fs::remove_file(Path::new(DROP_INS).join("05-a.conf")).unwrap();

        let unit = Path::new("/run/systemd/system/ssh.service.d");
        fs::create_dir_all(unit).unwrap();
        fs::write(
            unit.join("x.conf"),
            "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D \\\n  -o \"AuthorizedKeysCommand /bin/x\"\n",
        )
        .unwrap();
        let ran = agent(world, &["enable"]);
        assert!(ran.status == Some(3) && ran.err.contains("ssh.service.d/x.conf"), "{}", ran.err);
        fs::remove_dir_all("/run/systemd").unwrap();
        assert_eq!(agent(world, &["enable"]).status, Some(0));
    });
}

#[test]
fn our_own_line_follows_the_program() {
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
        // The file of the drop-in is masked, as administrators do; ours elsewhere comes out all the same.
        fs::create_dir(DROP_INS).unwrap();
        symlink("/dev/null", OURS).unwrap();
        assert_eq!(run("disable").status.code(), Some(0));
        assert_eq!(fs::read_to_string(CONFIG).unwrap(), "UsePAM no\n");
    });
}

#[test]
fn who_is_in_more_groups_is_not_chained() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let groups = fs::read_to_string("/etc/group").unwrap() + "extra:x:60999:ubuntu,provider\n";
        fs::write("/etc/group", groups).unwrap();
        lay_out("AuthorizedKeysCommand /usr/bin/id\nAuthorizedKeysCommandUser provider\n", &[]);
        let ran = agent(world, &["enable", "--chain"]);
        assert!(ran.status == Some(3) && ran.err.contains("in the group extra as well"), "{}", ran.err);
    });
}
