//! What every command prints fits into 80 columns, and its advice suits the reader.

use std::process::Command;

use eic_emulator::Config;

use crate::doctor::{enabled, have_it_read};
use crate::wiring::agent;
use crate::world::{BOB, Key, World, installed, on_an_instance, test_path};

const COMMANDS: [&str; 11] = [
    "authorized-keys",
    "verify",
    "doctor",
    "explain",
    "capture",
    "sessions",
    "host-keys",
    "config",
    "enable",
    "disable",
    "status",
];

/// Fails for a line of more than `width` columns, unless its last word alone is too long.
fn assert_fits(text: &str, width: usize) {
    for line in text.lines() {
        let is_one_word = line.trim_start().split(' ').count() == 1;
        assert!(line.chars().count() <= width || is_one_word, "{} columns: {line}", line.chars().count());
    }
}

/// The text with one space instead of each gap and line end.
pub(crate) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text without the codes of its colours.
fn uncoloured(text: &str) -> String {
    let parts = text.split("\u{1b}[").enumerate();
    parts.map(|(index, part)| if index == 0 { part } else { part.split_once('m').unwrap().1 }).collect()
}

/// Runs the agent on a terminal of this width, with these variables.
pub(crate) fn on_a_terminal(
    world: &World,
    columns: u16,
    variables: &[(&str, &str)],
    arguments: &[&str],
) -> (Option<i32>, String) {
    let program = "import fcntl, os, pty, struct, sys, termios\n\
                   pid, terminal = pty.fork()\n\
                   if pid == 0:\n\
                   \x20   size = struct.pack('HHHH', 24, int(sys.argv[1]), 0, 0)\n\
                   \x20   fcntl.ioctl(1, termios.TIOCSWINSZ, size)\n\
                   \x20   os.execv(sys.argv[2], sys.argv[2:])\n\
                   said = b''\n\
                   try:\n\
                   \x20   while part := os.read(terminal, 65536): said += part\n\
                   except OSError: pass\n\
                   sys.stdout.buffer.write(said.replace(b'\\r\\n', b'\\n'))\n\
                   sys.stdout.flush()\n\
                   sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let ran = Command::new(installed("python3"))
        .args(["-c", program, &columns.to_string()])
        .arg(world.agent())
        .args(arguments)
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(ran.stderr.is_empty(), "{}", String::from_utf8_lossy(&ran.stderr));
    (ran.status.code(), String::from_utf8(ran.stdout).unwrap())
}

#[test]
fn help_fits_into_80_columns() {
    on_an_instance(test_path!(), Config::default(), |world| {
        assert_fits(&agent(world, &["--help"]).out, 80);
        for command in COMMANDS {
            let help = agent(world, &[command, "--help"]);
            assert_eq!(help.status, Some(0), "{}", help.err);
            assert_fits(&help.out, 80);
            let (status, wide) = on_a_terminal(world, 200, &[], &[command, "--help"]);
            assert_eq!((status, words(&wide)), (Some(0), words(&help.out)));
            assert_fits(&wide, 100);
            assert_fits(&on_a_terminal(world, 60, &[], &["config", "--help"]).1, 60);
        }
    });
}

#[test]
fn doctor_fits_into_80_columns_and_into_its_terminal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        std::fs::write("/etc/ssh/sshd_config.d/05-site.conf", "AuthorizedKeysCommand /usr/bin/id %u\n")
            .unwrap();
        have_it_read();
        let piped = agent(world, &["doctor", "--user", "ec2-user"]).out;
        assert_fits(&piped, 80);
        assert!(piped.lines().any(|line| line.starts_with("                        ")), "{piped}");
        assert!(words(&piped).contains("AuthorizedKeysCommand is /usr/bin/id %u"), "{piped}");
        for (columns, most) in [(60, 60), (100, 100), (250, 100), (0, 80)] {
            let (status, shown) = on_a_terminal(world, columns, &[], &["doctor", "--user", "ec2-user"]);
            assert_eq!(status, Some(1));
            assert!(shown.contains("\u{1b}[31;1mFAIL\u{1b}[0m"), "{shown}");
            assert_fits(&uncoloured(&shown), most);
        }
    });
}

#[test]
fn colours_obey_no_color_term_and_the_option() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        let coloured = |variables: &[(&str, &str)], arguments: &[&str]| {
            on_a_terminal(world, 80, variables, arguments).1.contains('\u{1b}')
        };
        assert!(coloured(&[], &["doctor"]));
        assert!(coloured(&[("NO_COLOR", "")], &["doctor"]));
        assert!(!coloured(&[("NO_COLOR", "1")], &["doctor"]));
        assert!(!coloured(&[("TERM", "dumb")], &["doctor"]));
        assert!(!coloured(&[], &["doctor", "--no-color"]));
    });
}

#[test]
fn quiet_doctor_shows_only_what_is_not_ok() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        let sound = agent(world, &["doctor", "--quiet", "--user", "ec2-user"]);
        assert_eq!(sound.status, Some(0), "{}", sound.out);
        assert!(!sound.out.lines().any(|line| line.starts_with("ok ")), "{}", sound.out);
        std::fs::write("/etc/ssh/sshd_config.d/05-site.conf", "AuthorizedKeysCommand /usr/bin/id %u\n")
            .unwrap();
        have_it_read();
        let broken = agent(world, &["doctor", "--quiet", "--user", "ec2-user"]);
        assert_eq!(broken.status, Some(1), "{}", broken.out);
        assert!(broken.out.contains("FAIL     command "), "{}", broken.out);
        assert!(broken.out.contains("Do this first: "), "{}", broken.out);
        assert!(!broken.out.lines().any(|line| line.starts_with("ok ")), "{}", broken.out);
        assert_eq!(agent(world, &["doctor", "--quiet", "--json"]).status, Some(2));
    });
}

#[test]
fn authorized_keys_explains_itself_only_on_a_terminal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        for (arguments, expected) in [
            (&["authorized-keys", "no name"][..], "USER: expected a login name"),
            (&["authorized-keys", "--sysfs", "/home", "ec2-user"], "--sysfs /home: expected a folder"),
            (
                &["authorized-keys", "--config", "/missing", "no name"],
                "settings-unreadable: /missing: cannot be read: No such file or directory",
            ),
        ] {
            let by_sshd = agent(world, arguments);
            assert_eq!(
                (by_sshd.status, by_sshd.out.as_str(), by_sshd.err.as_str()),
                (Some(0), "", ""),
                "{arguments:?}"
            );
            let (status, shown) = on_a_terminal(world, 80, &[], arguments);
            assert_eq!(status, Some(0), "{shown}");
            assert!(words(&shown).contains(expected), "{shown}");
        }
        // With a valid name, the log has the reason, too.
        let (status, shown) =
            on_a_terminal(world, 80, &[], &["authorized-keys", "--config", "/missing", "ec2-user"]);
        assert_eq!(status, Some(1), "{shown}");
        assert!(shown.contains("settings-unreadable"), "{shown}");
        world.without_asset_tag();
        let (status, shown) = on_a_terminal(world, 80, &[], &["authorized-keys", "ec2-user"]);
        assert_eq!(status, Some(0), "{shown}");
        assert!(words(&shown).contains("this machine is not an EC2 instance"), "{shown}");
        assert_eq!(agent(world, &["authorized-keys", "ec2-user"]).err, "");
    });
}

/// Another cloud's service may answer at the metadata address.
#[test]
fn capture_outside_ec2_asks_no_metadata_and_leaves_no_file() {
    on_an_instance(test_path!(), Config::default(), |world| {
        world.without_asset_tag();
        world.emulator.take_requests();
        let file = world.path("etc/case.json");
        let ran = agent(world, &["capture", file.to_str().unwrap()]);
        assert_eq!(ran.status, Some(1), "{}", ran.out);
        assert!(ran.err.contains("this machine is not an EC2 instance"), "{}", ran.err);
        assert!(world.emulator.take_requests().is_empty());
        assert!(!file.exists());
    });
}

#[test]
fn nearest_subcommand_or_option_is_suggested() {
    on_an_instance(test_path!(), Config::default(), |world| {
        for (arguments, suggested) in [
            (&["docter"][..], "a similar subcommand exists: 'doctor'"),
            (&["sesions", "--open"], "a similar subcommand exists: 'sessions'"),
            (&["doctor", "--quite"], "a similar argument exists: '--quiet'"),
            (&["capture", "--usr", "u", "x"], "a similar argument exists: '--user'"),
        ] {
            let ran = agent(world, arguments);
            assert_eq!(ran.status, Some(2), "{}", ran.err);
            assert!(ran.err.contains(suggested), "{}", ran.err);
        }
    });
}

#[test]
fn misspelt_option_of_authorized_keys_is_named_only_on_a_terminal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let arguments = ["authorized-keys", "--timout=3", "ec2-user"];
        let by_sshd = agent(world, &arguments);
        assert_eq!((by_sshd.status, by_sshd.out.as_str(), by_sshd.err.as_str()), (Some(0), "", ""));
        let (status, shown) = on_a_terminal(world, 80, &[], &arguments);
        assert_eq!(status, Some(2), "{shown}");
        assert!(words(&shown).contains("a similar argument exists: '--timeout'"), "{shown}");
    });
}

#[test]
fn reports_fit_into_their_terminal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        let key = Key::ed25519(world, "key");
        world.emulator.push("ec2-user", &key.line(), BOB);
        std::fs::write("/etc/ssh/sshd_config.d/05-site.conf", "AuthorizedKeysCommand /usr/bin/id %u\n")
            .unwrap();
        for arguments in [&["status"][..], &["explain", "ec2-user"], &["sessions"], &["config"], &["enable"]]
        {
            for columns in [70, 80] {
                let (_, shown) = on_a_terminal(world, columns, &[], arguments);
                assert!(!shown.is_empty());
                assert_fits(&shown, usize::from(columns));
            }
        }
        assert_fits(&agent(world, &["explain", "ec2-user"]).out, 80);
        // Without a terminal, a message is not wrapped, so that the journal has it in one entry.
        let enabled = agent(world, &["enable"]).err;
        assert_eq!(enabled.lines().count(), 1, "{enabled}");
        let missing = agent(world, &["verify", "--capture", "/missing"]);
        assert!(missing.err.ends_with("No such file or directory\n"), "{}", missing.err);
    });
}

/// sshd may offer a key of a user whose name looks like an option. So the word before a fingerprint is a login name, but
/// not for a person at a terminal.
#[test]
fn misspelt_option_before_a_fingerprint_is_named_only_on_a_terminal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        for (arguments, expected) in [
            (&["authorized-keys", "--timout", "SHA256:x"][..], "a similar argument exists: '--timeout'"),
            (&["authorized-keys", "--confg=/x", "SHA256:x"], "a similar argument exists: '--config'"),
            (
                &["authorized-keys", "--timeout", "SHA256:x"],
                "invalid value 'SHA256:x' for '--timeout <SECONDS>'",
            ),
            (&["authorized-keys", "--timeout=3", "SHA256:x"], "got 'SHA256:x'; no key can be pushed for it"),
        ] {
            let by_sshd = agent(world, arguments);
            assert_eq!(
                (by_sshd.status, by_sshd.out.as_str(), by_sshd.err.as_str()),
                (Some(0), "", ""),
                "{arguments:?}"
            );
            let shown = on_a_terminal(world, 80, &[], arguments).1;
            assert!(words(&shown).contains(expected), "{arguments:?}: {shown}");
        }
    });
}
