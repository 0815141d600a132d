//! What every command prints fits into 80 columns, and its advice suits the reader.

use std::process::Command;

use eic_emulator::Config;

use crate::doctor::enabled;
use crate::wiring::agent;
use crate::world::{World, installed, on_an_instance, test_path};

const COMMANDS: [&str; 10] = [
    "authorized-keys",
    "verify",
    "doctor",
    "explain",
    "capture",
    "sessions",
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
        let broken = agent(world, &["doctor", "--quiet", "--user", "ec2-user"]);
        assert_eq!(broken.status, Some(1), "{}", broken.out);
        assert!(broken.out.contains("FAIL     command "), "{}", broken.out);
        assert!(broken.out.contains("Do this first: "), "{}", broken.out);
        assert!(!broken.out.lines().any(|line| line.starts_with("ok ")), "{}", broken.out);
        assert_eq!(agent(world, &["doctor", "--quiet", "--json"]).status, Some(2));
    });
}
