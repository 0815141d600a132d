//! `enable --chain` with configuration that sshd and the agent could read differently. `enable` then changes nothing
//! and names the line.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;
use eic_host::sshd::sources::{Setting, Sources};
use proptest::prelude::*;
use proptest::test_runner::{Config as Runs, RngAlgorithm, TestCaseError, TestRng, TestRunner};

use crate::wiring::{CONFIG, INCLUDE, agent, lay_out, snapshot};
use crate::world::{Key, on_an_instance, on_an_instance_for, test_path};

const SITE: &str = "/etc/ssh/site.conf";
/// The command for every login that no `Match` applies to.
const GLOBAL: &str = "AuthorizedKeysCommand /usr/bin/id\nAuthorizedKeysCommandUser nobody\n";

/// Writes an `sshd_config` that first includes a file with this content, and then sets a command for all logins.
fn with(included: &[u8]) {
    lay_out(&format!("Include {SITE}\n{GLOBAL}"), &[]);
    fs::write(SITE, included).unwrap();
}

/// Ways to hide a command for bob in a `Match`: the name of the case, the included lines, and the number of the line
/// that `enable` must report.
fn hidden() -> Vec<(&'static str, Vec<u8>, usize)> {
    let long = |text: &str| format!("{text}\n").into_bytes();
    let within = |line: &str| long(&format!("Match User bob\n  {line}"));
    vec![
        ("a quoted keyword", within("\"AuthorizedKeysCommand\" /usr/bin/id %u"), 2),
        ("a keyword with empty quotes", within("AuthorizedKeysCommand\"\" /usr/bin/id %u"), 2),
        ("a keyword partly in quotes", within("Authorized\"Keys\"Command /usr/bin/id"), 2),
        ("= before the keyword", within("=AuthorizedKeysCommand /usr/bin/id %u"), 2),
        ("two =", within("AuthorizedKeysCommandUser = = nobody"), 2),
        ("CR as a separator", within("AuthorizedKeysCommand\r/usr/bin/id %u"), 2),
        ("CR inside a value", within("AuthorizedKeysCommand /usr/bin/id\r%u"), 2),
        ("a quoted Match", long("\"Match\" User bob\n  AuthorizedKeysCommand /usr/bin/id"), 1),
        ("a quoted criterion", long("Match \"User\" bob\n  AuthorizedKeysCommand /usr/bin/id"), 1),
        ("CR behind Match", long("Match\rUser bob\n  AuthorizedKeysCommand /usr/bin/id"), 1),
        ("a quoted Include", long("\"Include\" /etc/ssh/more.cfg"), 1),
        ("an Include partly in quotes", long("Include /etc/ssh/\"more\".cfg"), 1),
        ("an Include in single quotes", long("Include '/etc/ssh/more.cfg'"), 1),
        ("a class in a glob", long("Include /etc/ssh/[[:alpha:]]ore.cfg"), 1),
        ("a set in a glob", long("Include /etc/ssh/[m]ore.cfg"), 1),
        ("a backslash in a glob", long("Include /etc/ssh/\\more.cfg"), 1),
        ("a glob in a folder", long("Include /etc/s*/more.cfg"), 1),
        ("an Include that is not absolute", long("Include more.cfg"), 1),
        ("a tilde", long("Include ~/more.cfg"), 1),
        ("= in an Include", long("Include /etc/ssh/a=more.cfg"), 1),
        ("a comment behind an Include", long("Include /etc/ssh/more.cfg # x"), 1),
        ("a comment behind Match", long("Match User bob # x\n  X11Forwarding no"), 1),
        ("a comment behind a command", within("AuthorizedKeysCommand /usr/bin/id #x"), 2),
        ("a comment inside a word", within("AuthorizedKeysCommand /usr/bin/id a#b"), 2),
        ("a user in quotes", within("AuthorizedKeysCommandUser \"nobody\""), 2),
        ("NUL, which joins two lines", within("Authorized\0x\nKeysCommand /usr/bin/id"), 2),
        ("a BOM", b"\xef\xbb\xbf# UTF-8\n".to_vec(), 1),
        ("form feed", within("AuthorizedKeysCommandUser nobody\x0c"), 2),
        ("bytes that are no UTF-8", b"Match User bob\nAuthorizedKeysCommand /usr/bin/id \xff\n".to_vec(), 2),
        ("a quoted keyword of another kind", long("\"X11Forwarding\" no"), 1),
        ("a keyword inside another value", long("Banner /etc/ssh/Include"), 1),
        ("a line of 5000 bytes", format!("#\nBanner /{}\n", "x".repeat(5000)).into_bytes(), 2),
        ("an older name of the user", within("AuthorizedKeysCommandRunAs nobody"), 2),
        ("a loop", format!("Include {SITE}\n").into_bytes(), 1),
        ("a folder", long("Include /etc/ssh/folde?"), 1),
        ("a link that leads nowhere", long("Include /etc/ssh/now*"), 1),
        ("a pipe", long("Include /etc/ssh/pipe"), 1),
        ("a file that is too long", long("Include /etc/ssh/large"), 1),
        ("a name that is not ASCII", long("Include /etc/ssh/names/*"), 1),
        ("a folder that others can write", long("Include /etc/ssh/open/*"), 1),
        ("a missing folder below one that others can write", long("Include /etc/ssh/open/to/come"), 1),
    ]
}

/// Creates the files that the hidden lines refer to.
fn lay_traps() {
    fs::write("/etc/ssh/more.cfg", "Match User bob\n  AuthorizedKeysCommand /usr/bin/id\n").unwrap();
    fs::create_dir_all("/etc/ssh/folder").unwrap();
    let _ = symlink("/etc/ssh/nothing", "/etc/ssh/nowhere");
    let _ = Command::new("mkfifo").arg("/etc/ssh/pipe").status();
    let large = "#".repeat(4000) + "\n";
    fs::write("/etc/ssh/large", large.repeat(263) + "Match User bob\nAuthorizedKeysCommand /usr/bin/id\n")
        .unwrap();
    for folder in ["names", "open"] {
        fs::create_dir_all(Path::new("/etc/ssh").join(folder)).unwrap();
    }
    fs::write("/etc/ssh/names/caf\u{e9}.conf", "X11Forwarding no\n").unwrap();
    fs::set_permissions("/etc/ssh/open", fs::Permissions::from_mode(0o777)).unwrap();
}

/// The content of every regular file below `/etc/ssh`. This function removes the pipe first, because reading it would
/// block. It creates the pipe again at the end.
fn everything() -> std::collections::BTreeMap<String, (Vec<u8>, u32)> {
    let _ = fs::remove_file("/etc/ssh/pipe");
    let held = snapshot();
    let _ = Command::new("mkfifo").arg("/etc/ssh/pipe").status();
    held
}

#[test]
fn line_that_chain_does_not_understand_is_refused_and_named() {
    on_an_instance_for("600", test_path!(), Config::default(), |world| {
        // The `Match` for bob sets a command and no user, so sshd runs the command as the global user `nobody`. After
        // `enable --chain`, the global user would be root, and sshd would run this command as root.
        for (name, included, line) in hidden() {
            with(&included);
            lay_traps();
            let before = everything();
            let ran = agent(world, &["enable", "--chain"]);
            let said = format!("{}{}", ran.out, ran.err);
            assert!(ran.status == Some(3) || ran.status == Some(1), "{name}: {said}");
            assert!(ran.err.contains("nothing is changed"), "{name}: {said}");
            assert_eq!(everything(), before, "{name}: {said}");
            // sshd itself refuses some of these lines, and names them too.
            let is_named = said.contains(&format!("{SITE}:{line}"))
                || said.contains(&format!("{SITE}: line {line}:"))
                || said.contains(&format!("{SITE} line {line}:"))
                || said.contains("/etc/ssh/nowhere")
                || said.contains("/etc/ssh/large")
                || said.contains("/etc/ssh/folder")
                || said.contains("timed out after")
                || said.contains("/etc/ssh/open")
                || said.contains("Too many recursive");
            assert!(is_named, "{name}: {said}");
        }
    });
}

#[test]
fn files_that_cannot_be_read_to_their_end_are_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        // More files than the agent reads, without a loop that sshd refuses.
        lay_out(&format!("Include /etc/ssh/many/*\n{GLOBAL}"), &[]);
        fs::create_dir("/etc/ssh/many").unwrap();
        for number in 0..1100 {
            fs::write(format!("/etc/ssh/many/{number:04}"), "X11Forwarding no\n").unwrap();
        }
        fs::write("/etc/ssh/many/zzzz", "Match User bob\n  AuthorizedKeysCommand /usr/bin/id\n").unwrap();
        let ran = agent(world, &["enable", "--chain"]);
        assert!(ran.status == Some(3) && ran.err.contains("files"), "{}{}", ran.out, ran.err);
    });
}

#[test]
fn plain_enable_refuses_only_unclear_lines_that_may_set_a_command() {
    on_an_instance(test_path!(), Config::default(), |world| {
        for (name, included, status) in [
            ("no command in it", "\"X11Forwarding\" no\n", 0),
            ("a file without a command", "Include /etc/ssh/[h]armless\n", 0),
            ("an Include that is not absolute", "include=\"harmless\"\n", 0),
            ("a folder, which sshd reads as an empty file", "Include /etc/ssh/folde?\n", 0),
            ("a command", "Match User bob\n  \"AuthorizedKeysCommand\" /usr/bin/id\n", 3),
            ("a command behind a glob", "Include /etc/ssh/[[:alpha:]]ore.cfg\n", 3),
        ] {
            lay_out(&format!("Include {SITE}\n"), &[]);
            fs::write(SITE, included).unwrap();
            fs::create_dir("/etc/ssh/folder").unwrap();
            fs::write("/etc/ssh/harmless", "X11Forwarding no\n").unwrap();
            fs::write("/etc/ssh/more.cfg", "Match User bob\n  AuthorizedKeysCommand /usr/bin/id\n").unwrap();
            let before = snapshot();
            let ran = agent(world, &["enable"]);
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.status, Some(status), "{name}: {said}");
            if status == 0 {
                assert_eq!(agent(world, &["status"]).status, Some(0), "{name}");
                assert_eq!(agent(world, &["disable"]).status, Some(0), "{name}");
            } else {
                assert!(said.contains(&format!("{SITE}:")), "{name}: {said}");
            }
            assert_eq!(snapshot(), before, "{name}");
        }
        // An unclear line that is added after `enable` is reported. `disable` still works.
        lay_out(&format!("Include {SITE}\n"), &[]);
        fs::write(SITE, "X11Forwarding no\n").unwrap();
        let before = snapshot();
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        let later =
            "Match User bob\n  \"AuthorizedKeysCommand\" /usr/bin/id\n  AuthorizedKeysCommandUser nobody\n";
        fs::write(SITE, later).unwrap();
        for command in [&["status"][..], &["doctor"]] {
            let ran = agent(world, command);
            assert!(ran.out.contains(&format!("{SITE}:2")), "{command:?}: {}{}", ran.out, ran.err);
        }
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        fs::write(SITE, "X11Forwarding no\n").unwrap();
        assert_eq!(snapshot(), before);
    });
}

#[test]
fn drop_in_that_links_to_dev_null_does_not_prevent_enable() {
    on_an_instance(test_path!(), Config::default(), |world| {
        for command in [&["enable", "--chain"][..], &["enable"]] {
            let config = if command.len() == 1 { INCLUDE.to_owned() } else { format!("{INCLUDE}{GLOBAL}") };
            lay_out(&config, &[("50-site.conf", "X11Forwarding no\n")]);
            symlink("/dev/null", "/etc/ssh/sshd_config.d/20-off.conf").unwrap();
            symlink("../../../dev/null", "/etc/ssh/sshd_config.d/30-off.conf").unwrap();
            symlink("20-off.conf", "/etc/ssh/sshd_config.d/40-off.conf").unwrap();
            let before = snapshot();
            let ran = agent(world, command);
            assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
            assert_eq!(agent(world, &["status"]).status, Some(0));
            assert_eq!(agent(world, &["disable"]).status, Some(0));
            assert_eq!(snapshot(), before);
        }
    });
}

#[test]
fn chain_keeps_every_byte_of_a_foreign_command() {
    on_an_instance(test_path!(), Config::default(), |world| {
        for command in
            ["/usr/bin/id a\u{a0}", "/usr/bin/id \u{2003}x\u{2003}", "/usr/bin/id  two\tand 'a b' "]
        {
            lay_out(&format!("AuthorizedKeysCommand {command}\nAuthorizedKeysCommandUser nobody\n"), &[]);
            let ran = agent(world, &["enable", "--chain"]);
            assert_eq!(ran.status, Some(0), "{command:?}: {}", ran.err);
            let config = fs::read_to_string(CONFIG).unwrap();
            let line = format!(" -- {}\nAuthorizedKeysCommandUser root\n", command.trim_end_matches(' '));
            assert!(config.contains(&line), "{command:?}: {config}");
        }
    });
}

#[test]
fn match_that_sets_only_another_user_is_refused() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out(&format!("{GLOBAL}Match User git\n  AuthorizedKeysCommandUser provider\n"), &[]);
        let before = snapshot();
        let ran = agent(world, &["enable", "--chain"]);
        assert!(
            ran.status == Some(3) && ran.err.contains("/etc/ssh/sshd_config:4"),
            "{}{}",
            ran.out,
            ran.err
        );
        assert_eq!(snapshot(), before);
    });
}

/// Pieces of lines, valid and hostile.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "AuthorizedKeysCommand",
        "authorizedkeyscommand",
        "AuthorizedKeysCommandUser",
        "Match",
        "MATCH",
        "Include",
        "AuthorizedKeysCommand /usr/bin/id %u\n",
        "AuthorizedKeysCommandUser nobody\n",
        "AuthorizedKeysCommand none\n",
        "AuthorizedKeysCommandUser root\n",
        "Match User bob\n",
        "Match all\n",
        "Match User alice,bob\n",
        "  AuthorizedKeysCommand=/usr/bin/true a\n",
        "\tAuthorizedKeysCommandUser = daemon\n",
        "X11Forwarding no\n",
        "Include /etc/ssh/gen/a.conf\n",
        "Include /etc/ssh/gen/*.conf\n",
        "Include /etc/ssh/gen/? /etc/ssh/gen/b.conf\n",
        "Include \"/etc/ssh/gen/a.conf\"\n",
        "# Match User bob\n",
        "#\n",
        "\r\n",
        "\n",
        "\n",
        "\n",
        " ",
        "\t",
        "=",
        "\"",
        "'",
        "\\",
        "#",
        "\r",
        "\0",
        "\u{c}",
        "\u{a0}",
        "/usr/bin/id",
        "/usr/bin/true",
        "nobody",
        "root",
        "User",
        "bob",
        "alice",
        "all",
        "/etc/ssh/gen/[ab].conf",
        "/etc/ssh/gen/a.conf",
        "/etc/ssh/gen/[[:alpha:]].conf",
        "gen/a.conf",
    ])
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..9).prop_map(|pieces| pieces.concat())
}

/// Whether a generated `Match` applies to a user. `None` if this test cannot evaluate the `Match`.
fn is_about(within: &str, user: &str) -> Option<bool> {
    let words: Vec<_> = within.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [all] if all.eq_ignore_ascii_case("all") => Some(true),
        [criterion, names] if criterion.eq_ignore_ascii_case("user") => {
            Some(names.split(',').any(|name| name == user))
        }
        _ => None,
    }
}

/// The agent's value for a user: the first one in a `Match` that applies, else the first one outside. Returns an
/// error for a `Match` that this test cannot judge.
fn read_for(settings: &[Setting], user: &str) -> Result<Option<String>, ()> {
    let mut outside = None;
    for setting in settings {
        match &setting.within {
            None => outside = outside.or(Some(setting.value.clone())),
            Some(within) if is_about(within, user).ok_or(())? => return Ok(Some(setting.value.clone())),
            Some(_) => {}
        }
    }
    Ok(outside)
}

/// sshd's effective values. `None` if sshd refuses the configuration.
fn said_for(key: &Path, user: &str) -> Option<(Option<String>, Option<String>)> {
    let connection = format!("user={user},host=x,addr=192.0.2.1,laddr=192.0.2.2,lport=22");
    let said =
        Command::new("/usr/sbin/sshd").args(["-T", "-C", &connection, "-h"]).arg(key).output().unwrap();
    said.status.success().then_some(())?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let value = |keyword: &str| {
        let mut lines = said.split('\n').filter_map(|line| line.split_once(' '));
        lines.find(|(word, _)| word.eq_ignore_ascii_case(keyword)).map(|(_, value)| value.to_owned())
    };
    Some((value("authorizedkeyscommand"), value("authorizedkeyscommanduser")))
}

#[test]
fn line_that_the_agent_understands_is_read_alike_by_sshd() {
    let said = on_an_instance_for("900", test_path!(), Config::default(), |world| {
        lay_out("", &[]);
        fs::create_dir("/etc/ssh/gen").unwrap();
        let key = Key::ed25519(world, "probe");
        let (mut understood, mut both) = (0_u32, 0_u32);
        let strategy = (text(), text(), text());
        // The inputs are the same in each run, so a failure can be repeated.
        let runs = Runs { cases: 400, failure_persistence: None, max_shrink_time: 60_000, ..Runs::default() };
        let mut runner = TestRunner::new_with_rng(runs, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        let counts = std::cell::RefCell::new((&mut understood, &mut both));
        runner
            .run(&strategy, |(main, a, b)| {
                fs::write(CONFIG, &main).unwrap();
                fs::write("/etc/ssh/gen/a.conf", &a).unwrap();
                fs::write("/etc/ssh/gen/b.conf", &b).unwrap();
                let sources = Sources::read(Path::new(CONFIG));
                if !sources.unclear.is_empty() {
                    return Ok(());
                }
                *counts.borrow_mut().0 += 1;
                for user in ["alice", "bob", "carol"] {
                    let (Ok(command), Ok(runs_as)) =
                        (read_for(&sources.commands, user), read_for(&sources.users, user))
                    else {
                        continue;
                    };
                    let Some((said_command, said_user)) = said_for(key.file(), user) else { return Ok(()) };
                    *counts.borrow_mut().1 += 1;
                    let none =
                        |value: Option<String>| value.filter(|value| !value.eq_ignore_ascii_case("none"));
                    let (ours, sshds) =
                        ((none(command), none(runs_as)), (none(said_command), none(said_user)));
                    if ours != sshds {
                        let why = format!("{user}: read {ours:?}, sshd says {sshds:?}: {main:?} {a:?} {b:?}");
                        return Err(TestCaseError::fail(why));
                    }
                }
                Ok(())
            })
            .unwrap();
        println!("understood {understood}, compared {both}");
        assert!(understood > 30 && both > 60, "understood {understood}, compared {both}");
    });
    print!("{said}");
}
