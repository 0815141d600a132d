//! sshd: its release, the command in force, and the providers behind it.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;

use super::service::{NO_ANSWER, NO_METADATA};
use super::{
    Finding, Login, NO_SSHD, NOT_ASKED, Row, Undo, covered, edited, ending, follow, mode, row, run, with,
};
use crate::wiring::{CONFIG, DROP_INS, INCLUDE, OURS};
use crate::world::World;

const FOREIGN: &str = "AuthorizedKeysCommand /usr/bin/env\nAuthorizedKeysCommandUser nobody\n";

/// The agent's command line with a provider behind it.
fn chained(options: &str, provider: &str) -> impl Fn(&World) {
    let (options, provider) = (options.to_owned(), provider.to_owned());
    move |world| {
        let own = world.agent();
        let own = own.display();
        let pair = format!("AuthorizedKeysCommand {own} authorized-keys {options}%u %f -- {provider}\n");
        fs::write(OURS, format!("{pair}AuthorizedKeysCommandUser root\n")).unwrap();
    }
}

pub(super) fn rows() -> Vec<Row> {
    [command_rows(), runnable_rows(), provider_rows(), answer_rows()].into_iter().flatten().collect()
}

/// Whether sshd runs the agent.
#[expect(clippy::too_many_lines, reason = "one table")]
fn command_rows() -> Vec<Row> {
    vec![
        Row {
            breaks: Box::new(|_| covered("/dev/null", "/usr/sbin/sshd")),
            ..follow(
                NO_SSHD,
                row(
                    "no sshd",
                    |_| {},
                    Finding {
                        check: "openssh",
                        verdict: "fail",
                        seen: "there is no sshd",
                        fix: "install openssh",
                    },
                ),
            )
        },
        Row {
            breaks: Box::new(|world| {
                let old = world.script(
                    "old-sshd",
                    "[ \"$1\" != -V ] && exec /run/real-sshd \"$@\"; echo OpenSSH_7.2p2 >&2",
                );
                fs::copy("/usr/sbin/sshd", "/run/real-sshd").unwrap();
                covered(old.to_str().unwrap(), "/usr/sbin/sshd")
            }),
            // sshd would run the script at SIGHUP.
            is_read: false,
            ..row(
                "an old sshd",
                |_| {},
                Finding {
                    check: "openssh",
                    verdict: "warn",
                    seen: "expected OpenSSH 7.4 or later, got OpenSSH 7.2",
                    fix: "update",
                },
            )
        },
        follow(
            &NO_SSHD[2..],
            row(
                "a fault in sshd_config",
                with("NoSuchSetting yes\n"),
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "sshd_config: line 1: Bad configuration option: NoSuchSetting",
                    fix: "sudo sshd -t",
                },
            ),
        ),
        follow(
            NOT_ASKED,
            row(
                "not wired",
                |_| fs::remove_file(OURS).unwrap(),
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "AuthorizedKeysCommand is none",
                    fix: "sudo eic-agent enable",
                },
            ),
        ),
        follow(
            NOT_ASKED,
            row(
                "a foreign drop-in first",
                |_| fs::write(Path::new(DROP_INS).join("05-x.conf"), FOREIGN).unwrap(),
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "is /usr/bin/env (/etc/ssh/sshd_config.d/05-x.conf:1); eic-agent's line is at /etc/ssh/sshd_config.d/10-eic-agent.conf:2, but sshd uses the first value",
                    fix: "sudo eic-agent enable --chain",
                },
            ),
        ),
        follow(
            NOT_ASKED,
            row(
                "a Match for this user",
                ending(
                    "Match User ec2-user\n  AuthorizedKeysCommand /usr/bin/env\n  AuthorizedKeysCommandUser nobody\n",
                ),
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "inside \"Match User ec2-user\"); eic-agent's line is at /etc/ssh/sshd_config.d/10-eic-agent.conf:2, but a Match block overrides it",
                    fix: "authorized-keys --provider-user nobody %u %f -- /usr/bin/env %u and AuthorizedKeysCommandUser root there",
                },
            ),
        ),
        follow(
            NOT_ASKED,
            row(
                "ours inside a Match",
                |_| {
                    let ours = fs::read_to_string(OURS).unwrap();
                    fs::write(OURS, format!("Match User git\n{ours}")).unwrap();
                },
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "10-eic-agent.conf:3, inside \"Match User git\", which does not apply to this login",
                    fix: "sudo eic-agent enable",
                },
            ),
        ),
        follow(
            NOT_ASKED,
            row(
                "no Include",
                edited(CONFIG, INCLUDE, ""),
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "sshd does not read eic-agent's lines in /etc/ssh/sshd_config.d/10-eic-agent.conf: /etc/ssh/sshd_config does not include it",
                    fix: "sudo eic-agent enable",
                },
            ),
        ),
        follow(
            &["providers", "answer"],
            row(
                "an unknown option",
                edited(OURS, "authorized-keys", "authorized-keys --timout 3"),
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "unexpected argument '--timout'",
                    fix: "authorized-keys --help",
                },
            ),
        ),
        follow(
            NOT_ASKED,
            Row {
                breaks: Box::new(|_| {
                    let folder = "/opt/aws/bin";
                    run(&["mount", "-t", "tmpfs", "tmpfs", "/opt"]);
                    fs::create_dir_all(folder).unwrap();
                    fs::write(format!("{folder}/eic_run_authorized_keys"), "").unwrap();
                    fs::write(OURS, "AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\nAuthorizedKeysCommandUser nobody\n").unwrap();
                    Box::new(Undo(|| run(&["umount", "--lazy", "/opt"])))
                }),
                login: Login::Refused,
                ..row(
                    "Amazon's",
                    |_| {},
                    Finding {
                        check: "command",
                        verdict: "warn",
                        seen: "sshd runs Amazon's command",
                        fix: "sudo eic-agent enable",
                    },
                )
            },
        ),
    ]
}

/// Whether sshd can run the command.
fn runnable_rows() -> Vec<Row> {
    let broken = |row: Row| match (row.says[0].verdict, row.follows) {
        ("fail", []) => follow(&["answer"], row),
        _ => row,
    };
    let rows = vec![
        follow(
            &["memory", "answer"],
            row(
                "no such AuthorizedKeysCommandUser",
                edited(OURS, "User eic-agent", "User nosuch"),
                Finding {
                    check: "command-user",
                    verdict: "fail",
                    seen: "AuthorizedKeysCommandUser \"nosuch\" is neither in /etc/passwd",
                    fix: "eic-agent",
                },
            ),
        ),
        row(
            "the system user is gone",
            |world| {
                // useradd chooses another number. The folder of the memory still belongs to the old one.
                world.configure("[imds]\nremember = 0\ntimeout = 60\n");
                edited("/etc/passwd", "\neic-agent:", "\nother:")(world);
                edited("/etc/shadow", "\neic-agent:", "\nother:")(world);
                edited("/etc/group", "\neic-agent:", "\nother:")(world);
            },
            Finding {
                check: "command-user",
                verdict: "fail",
                seen: "nor known to getent",
                fix: "sudo useradd --system",
            },
        ),
        row(
            "a folder that everybody may write",
            |world| mode(&world.path("bin"), 0o777),
            Finding {
                check: "command-path",
                verdict: "fail",
                seen: "bin to be writable by its owner only, its mode is 0777",
                fix: "sudo chmod go-w /",
            },
        ),
        row(
            "a folder that the group may write",
            |world| mode(&world.path("bin"), 0o775),
            // Debian's sshd accepts a folder that root's group may write, if only root is in that group.
            if Path::new("/etc/debian_version").exists() {
                Finding {
                    check: "command-path",
                    verdict: "warn",
                    seen: "bin may write it; sshd still runs it",
                    fix: "sudo chmod go-w /",
                }
            } else {
                Finding {
                    check: "command-path",
                    verdict: "fail",
                    seen: "its mode is 0775",
                    fix: "sudo chmod go-w /",
                }
            },
        ),
        row(
            "another owner",
            |world| chown(world.agent(), Some(60100), None).unwrap(),
            Finding {
                check: "command-path",
                verdict: "fail",
                seen: "it belongs to uid 60100",
                fix: "sudo chown root /",
            },
        ),
        row(
            "a folder that is closed",
            |world| mode(&world.path("bin"), 0o700),
            Finding {
                check: "command-path",
                verdict: "fail",
                seen: "bin is 0700, and eic-agent needs the right to enter it",
                fix: "sudo chmod a+x /",
            },
        ),
        row(
            "a unit's drop-in",
            |_| {
                let folder = "/etc/systemd/system/ssh.service.d";
                fs::create_dir_all(folder).unwrap();
                let start = "ExecStart=/usr/sbin/sshd -D -o \"AuthorizedKeysCommand /x %%u\" $SSHD_OPTS";
                fs::write(format!("{folder}/x.conf"), format!("[Service]\nExecStart=\n{start}\n")).unwrap();
            },
            Finding {
                check: "unit-override",
                verdict: "warn",
                seen: "/etc/systemd/system/ssh.service.d/x.conf starts sshd with an AuthorizedKeysCommand of its own, from sshd's next start",
                fix: "remove AuthorizedKeysCommand from /etc/systemd/system/ssh.service.d/x.conf",
            },
        ),
    ];
    rows.into_iter().map(broken).collect()
}

/// Whether the agent can run the providers.
fn provider_rows() -> Vec<Row> {
    vec![
        row(
            "a provider that is not there",
            chained("", "/usr/bin/nosuch %u"),
            Finding {
                check: "providers",
                verdict: "warn",
                seen: "/usr/bin/nosuch is not run: /usr/bin/nosuch: No such file",
                fix: "put /usr/bin/nosuch back",
            },
        ),
        row(
            "a provider that others may write",
            |world| {
                let provider = world.script("open", "true");
                mode(&provider, 0o777);
                chained("", provider.to_str().unwrap())(world);
            },
            Finding {
                check: "providers",
                verdict: "warn",
                seen: "open to be writable by its owner only",
                fix: "sudo chmod go-w /",
            },
        ),
        row(
            "no such provider's user",
            chained("--provider-user nosuch ", "/usr/bin/env"),
            Finding {
                check: "providers",
                verdict: "warn",
                seen: "--provider-user nosuch is not in /etc/passwd",
                fix: "10-eic-agent.conf:1",
            },
        ),
        row(
            "a provider's user, and sshd does not run the agent as root",
            |world| {
                chained("--provider-user nobody ", "/usr/bin/env")(world);
                edited(OURS, "User root", "User eic-agent")(world);
            },
            Finding {
                check: "providers",
                verdict: "warn",
                seen: "runs as eic-agent, not as --provider-user nobody",
                fix: "AuthorizedKeysCommandUser root",
            },
        ),
    ]
}

/// A command line whose one metadata address, 169.254.169.253, does not answer.
fn unreachable(name: &'static str, breaks: impl Fn(&World) + 'static) -> Row {
    let finding = Finding {
        check: "metadata",
        verdict: "fail",
        seen: "no connection to http://169.254.169.253",
        fix: "ip route get 169.254.169.253",
    };
    follow(NO_ANSWER, row(name, breaks, finding))
}

/// Faults that only a run of the agent shows.
fn answer_rows() -> Vec<Row> {
    vec![
        unreachable("another settings file on our line", |world| {
            fs::write("/etc/other.toml", "[imds]\nendpoint = \"http://169.254.169.253\"\n").unwrap();
            edited(OURS, "authorized-keys", "authorized-keys --config /etc/other.toml")(world);
        }),
        unreachable(
            "another endpoint on our line",
            edited(OURS, "authorized-keys", "authorized-keys --imds-endpoint http://169.254.169.253"),
        ),
        follow(
            NO_METADATA,
            row(
                "another settings file on our line, with a fault",
                |world| {
                    fs::write("/etc/other.toml", "nonsense").unwrap();
                    edited(OURS, "authorized-keys", "authorized-keys --config /etc/other.toml")(world);
                },
                Finding {
                    check: "settings",
                    verdict: "fail",
                    seen: "settings-invalid: /etc/other.toml",
                    fix: "sudo eic-agent config --config /etc/other.toml",
                },
            ),
        ),
        row(
            "a fault of the default settings, which our line does not use",
            |world| {
                fs::write("/etc/other.toml", "[imds]\ntimeout = 60\n").unwrap();
                world.configure("nonsense");
                edited(OURS, "authorized-keys", "authorized-keys --config /etc/other.toml")(world);
            },
            Finding { check: "settings", verdict: "ok", seen: "/etc/other.toml is valid", fix: "" },
        ),
        follow(
            &["answer"],
            row(
                "another /sys on our line",
                edited(OURS, "authorized-keys", "authorized-keys --sysfs /home"),
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "/home does not identify an EC2 instance",
                    fix: "remove --sysfs",
                },
            ),
        ),
        follow(
            &["answer"],
            row(
                "the tokens swapped",
                edited(OURS, "%u %f", "%f %u"),
                Finding {
                    check: "command",
                    verdict: "fail",
                    seen: "as the first argument of AuthorizedKeysCommand, got SHA256:",
                    fix: "write %u %f as its arguments, in this order, in /etc/ssh/sshd_config.d/10-eic-agent.conf:2, then: sudo kill -HUP",
                },
            ),
        ),
    ]
}
