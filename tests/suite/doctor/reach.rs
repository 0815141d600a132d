//! Paths that the user of a run cannot reach, and sshd's rule about the owner and mode of a program. Each case compares
//! `doctor`, `status` and `explain` with a real login, runs the fix if it is a command, and logs in again.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use super::sound::log_in;
use super::{enabled, have_it_read, mode, run};
use crate::machines::agreement::Attempt;
use crate::wiring::{OURS, agent};
use crate::world::{Key, World, on_an_instance, on_an_instance_for, test_path};

/// A group that only the tests use.
const GROUP: u32 = 60900;

/// What a case expects of one check of `doctor`.
struct Expected {
    check: &'static str,
    verdict: &'static str,
    seen: &'static str,
    /// The start of the fix. Empty if there must be none.
    fix: &'static str,
}

/// A change of the machine.
type Change<'w> = Box<dyn Fn() + 'w>;

struct Case {
    name: &'static str,
    breaks: Box<dyn Fn(&World)>,
    /// Whether a pushed key logs in.
    logs_in: bool,
    expected: Expected,
}

fn case(name: &'static str, logs_in: bool, breaks: impl Fn(&World) + 'static, expected: Expected) -> Case {
    Case { name, breaks: Box::new(breaks), logs_in, expected }
}

fn fails(check: &'static str, seen: &'static str, fix: &'static str) -> Expected {
    Expected { check, verdict: "fail", seen, fix }
}

/// Adds the group of the tests, with these members.
fn group(members: &str) {
    let text = fs::read_to_string("/etc/group").unwrap();
    fs::write("/etc/group", format!("{text}eictest:x:{GROUP}:{members}\n")).unwrap();
}

fn folder(world: &World, bits: u32, gid: u32) {
    chown(world.path("bin"), None, Some(gid)).unwrap();
    mode(&world.path("bin"), bits);
}

/// Files that cases change, and their state before.
struct Before {
    group: Vec<u8>,
    ours: Vec<u8>,
    bundle: Vec<u8>,
}

const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const SETTINGS: &str = "/etc/eic-agent.toml";

impl Before {
    fn new() -> Self {
        let [group, ours, bundle] = ["/etc/group", OURS, BUNDLE].map(|file| fs::read(file).unwrap());
        Self { group, ours, bundle }
    }

    fn restore(&self, world: &World) {
        fs::write("/etc/group", &self.group).unwrap();
        fs::write(OURS, &self.ours).unwrap();
        let _ = fs::remove_file(BUNDLE);
        fs::write(BUNDLE, &self.bundle).unwrap();
        chown(SETTINGS, None, Some(0)).unwrap();
        mode(Path::new(SETTINGS), 0o644);
        for path in ["/etc/ssl", "/etc/ssl/certs"] {
            mode(Path::new(path), 0o755);
        }
        folder(world, 0o755, 0);
        mode(&world.path(""), 0o755);
        mode(&world.agent(), 0o755);
        chown(world.agent(), Some(0), Some(0)).unwrap();
    }
}

fn report(world: &World, arguments: &[&str]) -> (Option<i32>, Value) {
    let ran = agent(world, arguments);
    let report = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{arguments:?}: {}", ran.err));
    (ran.status, report)
}

/// Every difference between the case, a real login, and what the commands say.
fn faults(world: &World, key: &Key, case: &Case) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            faults.push(format!("{}: {what}", case.name));
        }
    };
    (case.breaks)(world);
    have_it_read();
    let (status, doctor) = report(world, &["doctor", "--json", "--user", "ec2-user"]);
    let attempt = Attempt { world, user: "ec2-user", pushed: key, own: None, is_read: true };
    let observed = attempt.observe_with(status, doctor.clone());
    let logs_in = observed.logs_in();
    expect(logs_in == case.logs_in, &format!("the login: {}", observed.summary()));
    expect((status == Some(0)) == logs_in, &format!("doctor ends with {status:?}: {doctor:#}"));
    for contradiction in observed.contradictions() {
        expect(false, &contradiction);
    }
    let (status, told) = report(world, &["status", "--json"]);
    // `status` does not ask metadata for the signer. So it cannot know whether a different trust store contains the
    // signer's root.
    let warns = told["warnings"].to_string().contains(case.expected.seen);
    let agrees = (status == Some(0)) == logs_in || (warns && case.expected.check == "trust-store");
    expect(agrees, &format!("status ends with {status:?}: {told:#}"));
    let checks = doctor["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == case.expected.check).unwrap();
    let text = |name: &str| check[name].as_str().unwrap_or_default();
    let fix = text("fix");
    let is_told = text("verdict") == case.expected.verdict
        && text("seen").contains(case.expected.seen)
        && fix.starts_with(case.expected.fix)
        && (fix.is_empty() == case.expected.fix.is_empty());
    expect(is_told, &format!("{check:#}"));
    if !logs_in {
        expect(doctor["cause"] == case.expected.check, &format!("cause: {}", doctor["cause"]));
    }
    if let Some(command) = fix.strip_prefix("sudo ") {
        run(&["sh", "-c", command]);
        let (logs_in, said) = log_in(world, "ec2-user", key);
        expect(logs_in, &format!("after {command}: {said}"));
        let (status, doctor) = report(world, &["doctor", "--json", "--user", "ec2-user"]);
        expect(status == Some(0) && doctor["cause"].is_null(), &format!("after {command}: {doctor:#}"));
        let (status, told) = report(world, &["status", "--json"]);
        expect(status == Some(0), &format!("after {command}: {told:#}"));
    }
    faults
}

fn compare(name: &str, cases: fn() -> Vec<Case>) {
    on_an_instance_for("1800", name, Config::default(), |world| {
        let _sshd = enabled(world);
        let _log = crate::world::Syslog::bind();
        let before = Before::new();
        let key = Key::ed25519(world, "pushed");
        let mut all = Vec::new();
        for case in cases() {
            all.extend(faults(world, &key, &case));
            before.restore(world);
            have_it_read();
        }
        assert!(all.is_empty(), "{}", all.join("\n"));
    });
}

#[test]
fn path_of_the_command_is_judged_as_the_kernel_and_sshd_judge_it() {
    compare(test_path!(), command_cases);
}

#[test]
fn unreadable_file_of_a_run_is_not_reported_as_missing() {
    compare(test_path!(), file_cases);
}

/// Whether this sshd accepts a path that a group may write, if only root is in that group. Debian's sshd does.
fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists()
}

#[expect(clippy::too_many_lines, reason = "one table")]
fn command_cases() -> Vec<Case> {
    let ok = Expected { check: "command-path", verdict: "ok", seen: "", fix: "" };
    let refused = |seen, fix| fails("command-path", seen, fix);
    let mut cases = vec![
        case(
            "a folder of root's group",
            false,
            |world| folder(world, 0o750, 0),
            refused("bin is 0750, and eic-agent needs the right to enter it", "sudo chmod a+x /"),
        ),
        case(
            "a closed program",
            false,
            |world| mode(&world.agent(), 0o750),
            refused("eic-agent is 0750, and eic-agent needs the right to run it", "sudo chmod a+x /"),
        ),
        case(
            "a folder further up",
            false,
            |world| mode(&world.path(""), 0o750),
            refused("is 0750, and eic-agent needs the right to enter it", "sudo chmod a+x /"),
        ),
        case(
            "a folder of a group that the user is in",
            true,
            |world| {
                group("eic-agent");
                folder(world, 0o750, GROUP);
            },
            ok,
        ),
        case(
            "a folder that is closed to a group of the user, and open to others",
            false,
            |world| {
                group("eic-agent");
                folder(world, 0o705, GROUP);
            },
            refused("bin is 0705", "sudo chmod a+x /"),
        ),
        case(
            "a folder that all users may write",
            false,
            |world| folder(world, 0o777, 0),
            refused("its mode is 0777", "sudo chmod go-w /"),
        ),
        case(
            "a sticky folder that all users may write",
            false,
            |world| folder(world, 0o1777, 0),
            refused("its mode is 1777", "move the program"),
        ),
        case(
            "a folder that an empty group may write",
            false,
            |world| {
                group("");
                folder(world, 0o775, GROUP);
            },
            refused("its mode is 0775", "sudo chmod go-w /"),
        ),
        case(
            "a folder that a group with another member may write",
            false,
            |world| {
                group("root,ec2-user");
                folder(world, 0o2775, GROUP);
            },
            refused("its mode is 2775", "sudo chmod go-w /"),
        ),
        case(
            "a sticky folder that a group may write",
            false,
            |world| {
                group("");
                folder(world, 0o1775, GROUP);
            },
            refused("its mode is 1775", "move the program"),
        ),
        case(
            "a link in a folder that all users may write",
            true,
            |world| {
                let link = world.shared_folder().join("eic-agent");
                let _ = fs::remove_file(&link);
                symlink(world.agent(), &link).unwrap();
                let ours = fs::read_to_string(OURS).unwrap();
                let own = format!("{} authorized-keys", world.agent().display());
                assert!(ours.contains(&own));
                fs::write(OURS, ours.replace(&own, &format!("{} authorized-keys", link.display()))).unwrap();
            },
            Expected {
                check: "command-path",
                verdict: "warn",
                seen: "sshd runs it, but other users can change it",
                fix: "sudo chmod go-w /",
            },
        ),
    ];
    let alone = |name, members: &'static str, gid| {
        let breaks = move |world: &World| {
            group(members);
            folder(world, 0o775, gid);
        };
        if is_debian() {
            let seen = "bin may write it; sshd still runs it, as long as only its owner is in that group";
            case(
                name,
                true,
                breaks,
                Expected { check: "command-path", verdict: "warn", seen, fix: "sudo chmod go-w /" },
            )
        } else {
            case(name, false, breaks, refused("its mode is 0775", "sudo chmod go-w /"))
        }
    };
    cases.push(alone("a folder that root's group may write", "", 0));
    cases.push(alone("a folder that a group with root alone may write", "root", GROUP));
    // This case is the last one, because `restore` does not remove the access list.
    cases.push(case(
        "an access list",
        false,
        |world| access_list(&world.path("bin"), world.uid("eic-agent")),
        refused("the access list of", "change the access list of"),
    ));
    cases
}

/// Sets an ACL that keeps one user out of a folder of mode 0755 (`acl(5)`, the kernel's `posix_acl_xattr.h`).
fn access_list(path: &Path, uid: u32) {
    const ANY: u32 = u32::MAX;
    let entries: [(u16, u16, u32); 5] = [(1, 7, ANY), (2, 0, uid), (4, 5, ANY), (16, 5, ANY), (32, 5, ANY)];
    let mut bytes = 2_u32.to_le_bytes().to_vec();
    for (tag, bits, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(bits.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    let numbers: Vec<_> = bytes.iter().map(ToString::to_string).collect();
    let script = "import os,sys; os.setxattr(sys.argv[1], 'system.posix_acl_access', bytes(map(int, sys.argv[2].split())))";
    run(&["python3", "-c", script, path.to_str().unwrap(), &numbers.join(" ")]);
}

fn file_cases() -> Vec<Case> {
    let ok = |check| Expected { check, verdict: "ok", seen: "", fix: "" };
    vec![
        case(
            "/etc/ssl is closed",
            false,
            |_| mode(Path::new("/etc/ssl"), 0o750),
            fails(
                "trust-store",
                "the mode of /etc/ssl is 0750, and eic-agent needs the right to enter it",
                "sudo chmod a+x /etc/ssl",
            ),
        ),
        case(
            "the bundle is closed",
            false,
            |_| mode(Path::new(BUNDLE), 0o600),
            fails(
                "trust-store",
                "the mode of /etc/ssl/certs/ca-certificates.crt is 0600, and eic-agent needs the right to read it",
                "sudo chmod a+r /etc/ssl/certs/ca-certificates.crt",
            ),
        ),
        case(
            "the bundle is a link to itself",
            false,
            |_| {
                fs::remove_file(BUNDLE).unwrap();
                symlink("ca-certificates.crt", BUNDLE).unwrap();
            },
            fails("trust-store", "Too many levels of symbolic links", "correct the symbolic links"),
        ),
        case(
            "the settings are closed",
            false,
            |_| mode(Path::new(SETTINGS), 0o600),
            fails(
                "settings",
                "the mode of /etc/eic-agent.toml is 0600, and eic-agent needs the right to read it",
                "sudo chmod a+r /etc/eic-agent.toml",
            ),
        ),
        case(
            "settings of a group that the user is in",
            true,
            |_| {
                group("eic-agent");
                chown(SETTINGS, None, Some(GROUP)).unwrap();
                mode(Path::new(SETTINGS), 0o640);
            },
            ok("settings"),
        ),
        case(
            "CA certificates of a group that the user is in",
            true,
            |_| {
                group("eic-agent");
                chown(BUNDLE, None, Some(GROUP)).unwrap();
                mode(Path::new(BUNDLE), 0o640);
            },
            ok("trust-store"),
        ),
    ]
}

#[test]
fn enable_refuses_a_program_that_its_user_cannot_reach() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        let ran = agent(world, &["disable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        folder(world, 0o750, 0);
        let ran = agent(world, &["enable"]);
        let fix = format!("run: sudo chmod a+x {}", world.path("bin").display());
        assert!(ran.status == Some(1) && ran.err.contains(&fix), "{}{}", ran.out, ran.err);
        assert!(ran.err.contains("nothing is changed") && !Path::new(OURS).exists(), "{}", ran.err);
        run(&["sh", "-c", fix.strip_prefix("run: sudo ").unwrap()]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        let key = Key::ed25519(world, "pushed");
        let (logs_in, said) = log_in(world, "ec2-user", &key);
        assert!(logs_in, "{said}");
    });
}

#[test]
fn provider_that_its_user_cannot_run_is_named() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        let _log = crate::world::Syslog::bind();
        let key = Key::ed25519(world, "provided");
        let folder = world.path("provided");
        run(&["mkdir", folder.to_str().unwrap()]);
        run(&["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder.to_str().unwrap()]);
        let provider = folder.join("provider");
        fs::write(&provider, format!("#!/bin/sh\necho '{}'\n", key.line())).unwrap();
        mode(&provider, 0o755);
        let own = world.agent();
        let line = format!("{} authorized-keys --timeout 60 %u %f -- {}", own.display(), provider.display());
        fs::write(OURS, format!("AuthorizedKeysCommand {line}\nAuthorizedKeysCommandUser eic-agent\n"))
            .unwrap();
        // The key comes from the provider alone.
        let logs_in = || {
            let options = [
                "BatchMode=yes",
                "IdentitiesOnly=yes",
                "StrictHostKeyChecking=no",
                "UserKnownHostsFile=/dev/null",
            ];
            let mut ssh = Command::new("ssh");
            ssh.args(["-F", "none", "-o", "ProxyCommand=/usr/sbin/sshd -i"]);
            ssh.args(options.iter().flat_map(|option| ["-o", option])).arg("-i").arg(key.file());
            ssh.args(["ec2-user@instance", "id -un"]).output().unwrap().stdout == b"ec2-user\n"
        };
        let providers = || {
            let (_, doctor) = report(world, &["doctor", "--json", "--user", "ec2-user"]);
            doctor["checks"]
                .as_array()
                .unwrap()
                .iter()
                .find(|check| check["id"] == "providers")
                .unwrap()
                .clone()
        };
        assert!(logs_in() && providers()["verdict"] == "ok", "{:#}", providers());
        let cases: Vec<(Change<'_>, &str, String)> = vec![
            (
                Box::new(|| mode(&provider, 0o711)),
                "needs the right to read it",
                format!("sudo chmod a+r {}", provider.display()),
            ),
            (
                Box::new(|| mode(&provider, 0o644)),
                "needs the right to run it",
                format!("sudo chmod a+x {}", provider.display()),
            ),
            (
                Box::new(|| mode(&folder, 0o700)),
                "needs the right to enter it",
                format!("sudo chmod a+x {}", folder.display()),
            ),
            (
                Box::new(|| run(&["mount", "-o", "remount,noexec", folder.to_str().unwrap()])),
                "mounted with noexec",
                "move ".to_owned(),
            ),
        ];
        for (change, seen, fix) in cases {
            change();
            let check = providers();
            assert!(!logs_in(), "{seen}");
            assert!(
                check["verdict"] == "warn" && check["seen"].as_str().unwrap().contains(seen),
                "{check:#}"
            );
            assert!(check["fix"].as_str().unwrap().starts_with(&fix), "{fix}: {check:#}");
            if let Some(command) = check["fix"].as_str().unwrap().strip_prefix("sudo ") {
                run(&["sh", "-c", command]);
                assert!(logs_in() && providers()["verdict"] == "ok", "after {command}: {:#}", providers());
            }
        }
        run(&["umount", "--lazy", folder.to_str().unwrap()]);
    });
}
