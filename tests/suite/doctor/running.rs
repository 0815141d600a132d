//! A running sshd whose configuration differs from the files.

use std::fs;
use std::os::unix::fs::symlink;

use eic_emulator::Config;

use super::sound::{Sound, ask, doctor, verdicts};
use super::{Finding, NOT_ASKED, Row, ending, follow, open, row, wired};
use crate::world::{Sshd, on_an_instance, test_path};

#[test]
fn running_server_that_differs_from_the_files_is_reported() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (sshd, _log) = wired(world);
        let sound = Sound::new(world);
        drop(sshd);
        let foreign =
            ["-o", "AuthorizedKeysCommand /usr/bin/env %u", "-o", "AuthorizedKeysCommandUser nobody"];
        let sshd = Sshd::listen(&foreign);
        let told =
            "AuthorizedKeysCommand is /usr/bin/env %u, from sshd's command line, which overrides every file";
        let started = row(
            "-o",
            |_| {},
            Finding {
                check: "command",
                verdict: "fail",
                seen: told,
                fix: "remove -o AuthorizedKeysCommand from the unit or script that starts sshd (pid ",
            },
        );
        let mut faults = sound.check(world, &follow(NOT_ASKED, started));
        let by_a_unit = Row {
            says: vec![
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: told,
                    fix: "remove AuthorizedKeysCommand from /etc/default/ssh, then: sudo systemctl daemon-reload",
                },
                Finding {
                    check: "unit-override",
                    verdict: "fail",
                    seen: "/etc/default/ssh starts sshd with",
                    fix: "remove AuthorizedKeysCommand from /etc/default/ssh",
                },
            ],
            ..row(
                "-o in the unit's environment file",
                |_| {
                    fs::write("/etc/default/ssh", "SSHD_OPTS='-o \"AuthorizedKeysCommand /usr/bin/env\"'\n")
                        .unwrap();
                },
                Finding { check: "", verdict: "", seen: "", fix: "" },
            )
        };
        faults.extend(sound.check(world, &follow(NOT_ASKED, by_a_unit)));
        fs::write("/etc/default/ssh", "# AuthorizedKeysCommand in a comment\n").unwrap();
        drop(sshd);

        // The files change after sshd has read them.
        let sshd = Sshd::listen(&[]);
        assert_eq!(verdicts(&doctor(world)), sound.checks);
        let stale = Row {
            is_read: false,
            ..open(row(
                "not reloaded",
                ending("# x\n"),
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "has not read /etc/ssh/sshd_config since it changed",
                    fix: "sudo kill -HUP",
                },
            ))
        };
        faults.extend(sound.check(world, &stale));
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        sshd.reload();
        assert_eq!(verdicts(&doctor(world)), sound.checks);
        drop(sshd);

        let away = row(
            "no sshd runs",
            |_| {},
            Finding { check: "listener", verdict: "fail", seen: "no sshd runs", fix: "start sshd: sudo /" },
        );
        let faults = sound.check(world, &away);
        assert!(faults.is_empty(), "{}", faults.join("\n"));

        // The operator disabled a vendor's drop-in with a link of the same name to /dev/null.
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
