//! The commands say neither more than they can see, nor less than what sshd still does.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use super::running::Instance;
use super::{CONFIG, OURS, agent, status};
use crate::screens::words;
use crate::world::{Sshd, World, on_an_instance, test_path};

/// An option that the title of a running sshd does not show with its end.
const AMBIGUOUS: &str = "ForceCommand=/bin/sh -c id";

/// Exit status, standard output and standard error, together, of a command that the user `nobody` runs.
fn as_nobody(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("setpriv");
    let ran = command.args(["--reuid=nobody", "--clear-groups"]).arg(world.agent()).args(arguments).output();
    let ran = ran.unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    (ran.status.code(), String::from_utf8(said).unwrap())
}

/// Makes the configuration readable for every user. Many distributions ship it like this.
fn open_configuration() {
    for path in [CONFIG, "/etc/ssh/sshd_config.d", OURS] {
        let mode = if Path::new(path).is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

#[test]
fn without_root_it_is_not_known_whether_sshd_uses_the_agent() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let instance = Instance::new(world, "/run/sshd.pid");
        instance.enable();
        open_configuration();
        // The first server uses the agent. The second one was started with an option that overrides the files. Another
        // user than root cannot see the difference.
        for (options, in_use) in [(&[][..], true), (&["-o", "AuthorizedKeysCommand=none"], false)] {
            let sshd = Sshd::listen(options);
            assert_eq!(instance.logs_in_at(22), in_use);
            assert_eq!(status(world).1["in_use"], in_use);
            let (code, said) = as_nobody(world, &["status"]);
            assert!(code == Some(1) && said.starts_with("in use    not known\n"), "{said}");
            assert!(
                words(&said).contains("run with sudo to see what the running sshd was started with"),
                "{said}"
            );
            // The rest was seen.
            assert!(
                said.contains("authorized-keys %u %f") && said.contains("user      eic-agent\n"),
                "{said}"
            );
            let (code, said) = as_nobody(world, &["status", "--json"]);
            let json = said.lines().take_while(|line| *line != "}").collect::<Vec<_>>().join("\n") + "}";
            let report: Value = serde_json::from_str(&json).unwrap();
            assert_eq!((code, &report["in_use"], &report["known"]), (Some(1), &false.into(), &false.into()));
            let (_, said) = as_nobody(world, &["explain", "--json", "ubuntu"]);
            let report: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(
                (&report["sshd"]["asks"], &report["sshd"]["known"]),
                (&false.into(), &false.into()),
                "{said}"
            );
            let (_, said) = as_nobody(world, &["explain", "ubuntu"]);
            assert!(words(&said).contains("It is not known what sshd would get for ubuntu"), "{said}");
            let (_, said) = as_nobody(world, &["doctor"]);
            assert!(said.contains("skipped  command "), "{said}");
            drop(sshd);
        }
    });
}

#[test]
fn option_that_the_title_of_sshd_does_not_show_whole_leaves_the_use_unknown() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let instance = Instance::new(world, "/run/sshd.pid");
        instance.enable();
        let _sshd = Sshd::listen(&["-o", AMBIGUOUS]);
        let ran = agent(world, &["status"]);
        assert!(
            ran.status == Some(1) && ran.out.starts_with("in use    not known\n"),
            "{}{}",
            ran.out,
            ran.err
        );
        assert!(ran.err.contains("the agent cannot separate its arguments"), "{}", ran.err);
        assert_eq!(status(world).1["known"], false);
        let (_, check) = instance.doctor();
        assert_eq!(check["verdict"], "skipped", "{check:#}");
        assert_eq!(instance.explain()["known"], false);
    });
}

#[test]
fn disable_names_the_server_that_still_runs_the_agent() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let instance = Instance::new(world, "/run/sshd.pid");
        instance.enable();
        let sshd = Sshd::listen(&[]);
        let sound = fs::read_to_string(CONFIG).unwrap();
        fs::write(CONFIG, format!("{sound}NoSuchSetting yes\n")).unwrap();
        let ran = agent(world, &["disable"]);
        // The lines are gone, as the exit status says. The message says what that did not change.
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert!(!Path::new(OURS).exists());
        assert!(instance.logs_in_at(22), "the server has not read the files");
        let still =
            format!("sshd (pid {}) keeps what it read before, and may still run eic-agent", sshd.pid());
        assert!(ran.out.contains(&still) && ran.out.contains("NoSuchSetting"), "{}", ran.out);

        fs::write(CONFIG, sound).unwrap();
        let command =
            ran.out.lines().find_map(|line| line.split_once("; correct that, then: sudo ")).unwrap().1;
        assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
        sshd.wait_until_it_listens();
        assert!(!instance.logs_in_at(22));
    });
}

/// Without systemd, `disable` cannot reload sshd, even if its configuration is sound.
#[test]
fn disable_says_how_to_reload_a_server_without_a_unit() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let instance = Instance::new(world, "/run/sshd.pid");
        instance.enable();
        let sshd = Sshd::listen(&[]);
        let ran = agent(world, &["disable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert!(instance.logs_in_at(22));
        assert!(ran.out.contains(&format!("run: sudo kill -HUP {}\n", sshd.pid())), "{}", ran.out);
        sshd.reload();
        assert!(!instance.logs_in_at(22));
        // At a root shell, the command has no sudo. Nothing was removed, so nothing is said about the server.
        assert!(!agent(world, &["disable"]).out.contains("kill"));
        instance.enable();
        let said = Command::new(world.agent())
            .arg("disable")
            .env_remove("SUDO_USER")
            .env_remove("JOURNAL_STREAM")
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains(&format!("run: kill -HUP {}\n", sshd.pid())), "{said}");
    });
}
