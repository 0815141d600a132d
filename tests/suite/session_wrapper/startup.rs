//! Startup files of the user, arguments of `internal-sftp`, PAM, and arguments of another release.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use eic_emulator::Config;

use super::clients::script;
use super::{CALLER, SFTP, set_shell, ssh, start, wrapper};
use crate::limits::push;
use crate::wiring::agent;
use crate::world::{Key, Sshd, Syslog, on_an_instance_for, test_path};

#[test]
fn session_has_the_shell_of_the_account_whatever_startup_files_set() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let _syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let _sshd = start(world, SFTP);
        set_shell("ec2-user", "/bin/bash");
        let startup = world.path("home/ec2-user/.bashrc");
        for shell in ["/bin/false", "/usr/bin/fish", "/nowhere"] {
            fs::write(&startup, format!("export SHELL={shell}\n")).unwrap();
            fs::set_permissions(&startup, fs::Permissions::from_mode(0o644)).unwrap();
            push(world, "ec2-user", &key, CALLER, 0);
            let said = ssh(&key, &[], &["echo $0 $EIC_PRINCIPAL; echo $SHELL"], b"");
            assert_eq!((said.status, said.out), (Some(0), format!("bash {CALLER}\n{shell}\n")));
            let said = ssh(&key, &[], &[], b"echo $0; exit 3\n");
            assert_eq!((said.status, said.out.as_str()), (Some(3), "-bash\n"));
        }
    });
}

#[test]
fn startup_file_that_ends_the_shell_ends_sessions_of_pushed_keys_only() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let _syslog = Syslog::bind();
        let (pushed, own) = (Key::ed25519(world, "key"), Key::ed25519(world, "own"));
        world.configure(wrapper());
        let _sshd = start(world, SFTP);
        set_shell("ec2-user", "/bin/bash");
        let startup = world.path("home/ec2-user/.bashrc");
        fs::write(&startup, "[ -z \"$PS1\" ] && exit\n").unwrap();
        fs::set_permissions(&startup, fs::Permissions::from_mode(0o644)).unwrap();
        push(world, "ec2-user", &pushed, CALLER, 0);
        world.authorize("ec2-user", &own);
        for (key, is_in) in [(&pushed, false), (&own, true)] {
            let said = ssh(key, &["-tt"], &[], b"stty -echo; echo I am $((1 + 1)); exit\n");
            assert_eq!(said.out.contains("I am 2"), is_in, "{said:?}");
        }
    });
}

#[test]
fn arguments_of_internal_sftp_are_no_words_of_a_shell() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let _syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure("");
        // A start folder with characters that a shell reads. sshd splits at spaces only.
        let name = "~;$HOME*(x)&";
        let folder = world.path("home/ec2-user").join(name);
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        for settings in ["", wrapper()] {
            world.configure(settings);
            let _sshd =
                start(world, &format!("Subsystem sftp internal-sftp  -l ERROR -d {}\n", folder.display()));
            push(world, "ec2-user", &key, CALLER, 0);
            let said = script(world, &key, "echo pwd | sftp -q -b - $SSH ec2-user@127.0.0.1");
            let expected = format!("Remote working directory: {}", folder.display());
            assert_eq!(said.out.lines().last(), Some(expected.as_str()), "{settings} {said:?}");
        }
    });
}

#[test]
fn session_with_pam_has_the_principal() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let _sshd = Sshd::with_pam(world, "");
        let config = agent(world, &["config"]);
        assert_eq!(config.status, Some(0), "{}", config.err);
        push(world, "ec2-user", &key, CALLER, 0);
        let said = ssh(&key, &[], &["echo $EIC_PRINCIPAL; exit 7"], b"");
        assert_eq!((said.status, said.out), (Some(7), format!("{CALLER}\n")), "{:?}", syslog.agent_lines());
        // The command line of the server can differ from what the files say.
        let tested = agent(world, &["rules", "test", "--principal", CALLER, "--user", "ec2-user"]);
        let words = tested.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains("the wrapper of [keys] session depends on the running sshd"),
            "{}",
            tested.out
        );
    });
}

#[test]
fn argument_of_a_newer_release_does_not_end_the_session() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let _syslog = Syslog::bind();
        let output = Command::new(world.agent())
            .args(["session", "--user=ec2-user", "--newer=x", "--shell=%2Fbin/sh", "--also", "--principal=p"])
            .env("SSH_ORIGINAL_COMMAND", "echo $EIC_PRINCIPAL")
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "p\n", "{output:?}");
    });
}
