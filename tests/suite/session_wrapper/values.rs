//! Values of a push on the wrapper's command line: no value leaves its place, in any shell.

use std::collections::BTreeSet;
use std::process::Command;

use eic_core::identity::LoginName;
use eic_core::key_options::{KeyOptions, LinePrefix, SessionStart, SessionWrapper, Values, session_argument};
use eic_emulator::Config;
use proptest::prelude::*;

use super::{SFTP, set_shell, shells, ssh, start, wrapper};
use crate::limits::push;
use crate::world::{Key, Syslog, on_an_instance_for, test_path};

/// The form of the variables: every byte that no ARN has is `%XX`.
fn encoded(text: &str) -> String {
    let keeps = |byte: &u8| byte.is_ascii_alphanumeric() || b":/_+=.@-".contains(byte);
    let one = |byte: u8| if keeps(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

#[test]
fn hostile_principals_reach_the_session_unchanged_in_every_shell() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let _syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let _sshd = start(world, SFTP);
        let hostile = [
            "x\" ssh-ed25519 AAAA,command=\"id",
            "$(id)`id`;id|id&&id \\ *?[a]{b,c}~!^#'<>(x)$HOME%41 %{role}",
            "--command=id --shell=/bin/id -x =ls @file .. ../..",
            "\u{e9}\u{1f600}\t%%self %1 !! ^a^b",
            "",
        ];
        let long = "\"".repeat(2007);
        for shell in shells() {
            set_shell("ec2-user", shell);
            for session in hostile.iter().copied().chain([long.as_str()]) {
                let caller = format!("arn:aws:sts::123456789012:assumed-role/R/{session}");
                push(world, "ec2-user", &key, &caller, 0);
                let said = ssh(&key, &[], &["echo $EIC_PRINCIPAL; echo $EIC_ACCOUNT"], b"");
                let expected = format!("{}\n123456789012\n", encoded(&caller));
                assert_eq!((said.status, said.out), (Some(0), expected), "{shell} {session}");
            }
        }
    });
}

#[test]
fn long_command_of_the_client_reaches_the_session() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let _syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let _sshd = start(world, SFTP);
        push(world, "ec2-user", &key, super::CALLER, 0);
        // Linux passes no longer variable (MAX_ARG_STRLEN): 131,072 bytes with its name and its end.
        let of_length = |length: usize| format!("echo in; #{}", "x".repeat(length - 10));
        let fits: BTreeSet<_> = [131_050, 131_051]
            .into_iter()
            .filter(|length| ssh(&key, &[], &[&of_length(*length)], b"").out == "in\n")
            .collect();
        assert_eq!(fits, [131_050].into());
    });
}

#[test]
fn wrapper_starts_the_shell_of_the_line() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let _syslog = Syslog::bind();
        let run = |arguments: &[&str], shell: &str, command: &str| {
            let mut program = Command::new(world.agent());
            program.arg("session").args(arguments).env_clear().env("SHELL", shell);
            program.env("SSH_ORIGINAL_COMMAND", command);
            let output = program.output().unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            (output.status.code(), text(&output.stdout), text(&output.stderr))
        };
        let line = ["--user=ec2-user", "--shell=%2Fbin/sh"];
        let forced = ["--user=ec2-user", "--shell=%2Fbin/sh", "--command=echo%20forced%20%240"];
        for (arguments, shell, said) in [
            (&line[..], "/bin/sh", "sh"),
            // A startup file can change this variable.
            (&line, "/bin/bash", "sh"),
            (&line, "/bin/false", "sh"),
            (&line, "/nonexistent/zsh", "sh"),
            (&line, "bash", "sh"),
            (&line, "", "sh"),
            (&forced, "/bin/bash", "forced sh"),
        ] {
            assert_eq!(
                run(arguments, shell, "echo $0"),
                (Some(0), said.to_owned(), String::new()),
                "{shell}"
            );
        }
        let gone = run(&["--user=ec2-user", "--shell=%2Fgone/sh"], "", "echo in");
        assert_eq!((gone.0, gone.1.as_str()), (Some(1), ""));
        assert!(gone.2.starts_with("eic-agent: /gone/sh: No such file"), "{gone:?}");
        let bad = run(&["--user=%zz", "--shell=%2Fbin/sh"], "", "echo in");
        assert_eq!(bad.2, "eic-agent: expected an argument of a key's line, got %zz");
        assert_eq!(run(&["--user=ec2-user"], "", "echo in").0, Some(2));
    });
}

proptest! {
    /// Any value of a push and any forced command: the line has one command of harmless words, and each word has its value.
    #[test]
    fn line_carries_every_value_in_its_place(
        principal in any::<String>(),
        request_id in any::<String>(),
        command in "[ -~]{0,300}[!-\\[\\]-~]",
    ) {
        let text = format!("pty,command=\"{}\"", command.replace('"', "\\\""));
        let Ok(options) = KeyOptions::parse(&text) else { return Ok(()) };
        let user = LoginName::try_from("ec2-user").unwrap();
        let wrapper = SessionWrapper::new("/usr/bin/eic-agent", &user, "/bin/sh", false).unwrap();
        let values = Values { principal: Some(&principal), request_id: Some(&request_id) };
        let prefix = LinePrefix { options: Some(options), environment: false };
        let made = prefix.of_session(None, &values, &SessionStart::Wrapped(wrapper)).unwrap();
        prop_assume!(made.is_wrapped);
        let words = made.options.strip_prefix("pty,command=\"exec /usr/bin/eic-agent session ").unwrap();
        let words = words.strip_suffix("\" ").unwrap();
        prop_assert!(words.bytes().all(|b| b.is_ascii_alphanumeric() || b" :/_+.@%-=".contains(&b)), "{}", words);
        let found: Vec<_> = words.split(' ').map(|word| word.split_once('=').unwrap()).collect();
        let expected = [
            ("--user", "ec2-user"),
            ("--shell", "/bin/sh"),
            ("--principal", principal.as_str()),
            ("--request-id", request_id.as_str()),
            ("--command", command.as_str()),
        ];
        prop_assert_eq!(found.len(), expected.len());
        for ((name, word), (expected, value)) in found.into_iter().zip(expected) {
            prop_assert_eq!(name, expected);
            // No argument begins with `%` or `-`: it begins with `--NAME=`.
            prop_assert_eq!(session_argument(word).unwrap(), value.as_bytes());
        }
    }
}
