//! Running servers: their command line, their unit, and logins through them.

use std::fs;
use std::path::Path;

use eic_emulator::Config;
use serde_json::Value;

use super::{CONFIG, DROP_INS, INCLUDE, agent, lay_out, snapshot, status};
use crate::world::{BOB, Key, Sshd, on_an_instance, test_path};

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
        assert!(ran.out.contains(&format!("reload it: sudo kill -HUP {}", sshd.pid())), "{}", ran.out);
        sshd.reload();
        assert!(world.ssh("ubuntu", &[&pushed]).ok);
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        sshd.reload();
        assert!(!world.ssh("ubuntu", &[&pushed]).ok);
    });
}

#[test]
fn running_servers_command_line_is_respected() {
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
                ran.err.contains("-o AuthorizedKeysCommand /usr/bin/id %u, which overrides every file"),
                "{}",
                ran.err
            );
            assert_eq!(snapshot(), before);
        }
        drop(sshd);

        // sshd runs with Amazon's options. `enable` wires the files and advises a restart.
        let amazons = [
            "-o",
            "AuthorizedKeysCommand /usr/share/ec2-instance-connect/eic_run_authorized_keys %u %f",
            "-o",
            "AuthorizedKeysCommandUser ec2-instance-connect",
        ];
        let sshd = Sshd::listen(&amazons);
        let ran = agent(world, &["enable"]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        assert!(
            ran.out.contains("remove -o AuthorizedKeysCommand from the unit or script that starts sshd"),
            "{}",
            ran.out
        );
        assert!(!ran.out.contains("kill -HUP"), "a reload would change nothing: {}", ran.out);
        let (code, report) = status(world);
        assert_eq!((code, &report["sshd"]["pid"]), (Some(1), &Value::from(sshd.pid())), "{report:#}");
        assert!(report["problems"][0].as_str().unwrap().contains("which overrides every file"), "{report:#}");
        drop(sshd);
        assert_eq!(status(world).0, Some(0));
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert_eq!(snapshot(), before);

        // sshd reads another file than the usual one. `enable` wires that file.
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
fn enable_names_the_setting_that_would_override_its_lines() {
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
        refuses("a server with another command on its command line", 3, "overrides every file");
        drop(sshd);
        let sshd = Sshd::listen(&["-o", "ForceCommand /bin/true -q x", "-f", CONFIG]);
        let ran = agent(world, &["enable"]);
        assert!(ran.status == Some(1) && ran.err.contains("cannot separate its arguments"), "{}", ran.err);
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
