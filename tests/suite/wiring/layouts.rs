//! Layouts of `/etc/ssh`: which file `enable` changes or why it refuses, and that `disable` restores the layout.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use eic_emulator::Config;

use super::{CONFIG, INCLUDE, OURS, SSS, agent, lay_out, pair, snapshot};
use crate::world::{on_an_instance, test_path};

/// One layout of `/etc/ssh`, and what `enable` does with it.
struct Layout {
    name: &'static str,
    config: String,
    drop_ins: Vec<(&'static str, &'static str)>,
    arguments: &'static [&'static str],
    status: i32,
    /// The file that gets the agent's lines.
    wired: Option<&'static str>,
    /// What follows `authorized-keys ` in the agent's command.
    command: &'static str,
    /// The `AuthorizedKeysCommandUser` of that command.
    user: &'static str,
    /// A part of the output.
    says: &'static str,
}

const CHAIN: &[&str] = &["enable", "--chain"];
const AMAZONS: &str = "AuthorizedKeysCommand /opt/aws/bin/eic_run_authorized_keys %u %f\nAuthorizedKeysCommandUser ec2-instance-connect\n";
const USERDB: (&str, &str) = (
    "20-systemd-userdb.conf",
    "AuthorizedKeysCommand /usr/bin/true ssh-authorized-keys %u\nAuthorizedKeysCommandUser root\n",
);

/// `enable` puts the agent's lines into this file.
fn wired_in(file: &'static str) -> Layout {
    Layout {
        name: "",
        config: String::new(),
        drop_ins: Vec::new(),
        arguments: &["enable"],
        status: 0,
        wired: Some(file),
        command: "%u %f",
        user: "eic-agent",
        says: "AuthorizedKeysCommand ",
    }
}

/// `enable --chain` puts the agent's lines into this file. The provider is that of [`SSS`], unless the row changes
/// it.
fn chained_in(file: &'static str) -> Layout {
    Layout {
        arguments: CHAIN,
        command: "--provider-user nobody %u %f -- /usr/bin/id %u",
        user: "root",
        ..wired_in(file)
    }
}

/// `enable` changes nothing. Status 3 means that another command is in force. A row with another fault sets its own
/// status.
fn refused() -> Layout {
    Layout { status: 3, wired: None, says: "", ..wired_in("") }
}

fn layouts() -> Vec<Layout> {
    [free(), chained(), occupied(), not_chained()].into_iter().flatten().collect()
}

/// No other command is in force.
fn free() -> Vec<Layout> {
    const FOR_GIT: &str =
        "Match User git\n  AuthorizedKeysCommand /bin/gitkeys %u\n  AuthorizedKeysCommandUser nobody\n";
    vec![
        Layout { name: "empty file", config: String::new(), ..wired_in(CONFIG) },
        Layout { name: "no final newline", config: "Port 22".into(), ..wired_in(CONFIG) },
        Layout { name: "CRLF", config: "Port 22\r\nUsePAM no\r\n".into(), ..wired_in(CONFIG) },
        Layout {
            name: "Include",
            config: INCLUDE.into(),
            drop_ins: vec![("50-redhat.conf", "UsePAM yes\n")],
            ..wired_in(OURS)
        },
        Layout {
            name: "Include with quotes and =",
            config: "include=\"sshd_config.d/*.conf\"\n".into(),
            ..wired_in(OURS)
        },
        Layout {
            name: "Include after other settings",
            config: format!("Port 22\n{INCLUDE}"),
            ..wired_in(OURS)
        },
        Layout {
            name: "Include inside a Match",
            config: format!("Port 22\nMatch all\n{INCLUDE}"),
            ..wired_in(CONFIG)
        },
        Layout {
            name: "Match at the end",
            config: "Port 22\nMatch User git\n  X11Forwarding no".into(),
            ..wired_in(CONFIG)
        },
        Layout { name: "Amazon's in the file", config: format!("UsePAM no\n{AMAZONS}"), ..wired_in(CONFIG) },
        Layout {
            name: "Amazon's before an Include",
            config: format!("{AMAZONS}{INCLUDE}"),
            ..wired_in(CONFIG)
        },
        Layout {
            name: "Amazon's in a drop-in that sorts first",
            config: INCLUDE.into(),
            drop_ins: vec![("05-a.conf", AMAZONS)],
            ..wired_in(CONFIG)
        },
        Layout {
            name: "a user alone, in a drop-in that sorts first",
            config: INCLUDE.into(),
            drop_ins: vec![("05-a.conf", "AuthorizedKeysCommandUser nobody\n")],
            ..wired_in(CONFIG)
        },
        Layout {
            name: "a drop-in that ends inside a Match",
            config: INCLUDE.into(),
            drop_ins: vec![("05-a.conf", "Match User git\nX11Forwarding no\n")],
            ..wired_in(OURS)
        },
        Layout {
            name: "our file exists and has other settings",
            config: INCLUDE.into(),
            drop_ins: vec![("10-eic-agent.conf", "# mine\nUsePAM no\n")],
            ..wired_in(OURS)
        },
        Layout {
            name: "a command for git alone",
            config: FOR_GIT.into(),
            says: "Match User git",
            ..wired_in(CONFIG)
        },
    ]
}

/// `enable --chain` runs the agent and the other command. The last row has no other command.
fn chained() -> Vec<Layout> {
    vec![
        Layout { name: "SSSD", config: SSS.into(), ..chained_in(CONFIG) },
        Layout {
            name: "SSSD in a drop-in that sorts first",
            config: INCLUDE.into(),
            drop_ins: vec![("04-ipa.conf", SSS)],
            ..chained_in(CONFIG)
        },
        Layout {
            name: "SSSD in a later drop-in",
            config: INCLUDE.into(),
            drop_ins: vec![("50-sss.conf", SSS)],
            ..chained_in(OURS)
        },
        Layout {
            name: "userdb",
            config: INCLUDE.into(),
            drop_ins: vec![USERDB],
            command: "%u %f -- /usr/bin/true ssh-authorized-keys %u",
            user: "root",
            ..chained_in(OURS)
        },
        Layout {
            name: "a command that runs as the login name",
            config: "AuthorizedKeysCommand /bin/true %h\nAuthorizedKeysCommandUser %u\n".into(),
            command: "%u %f -- /bin/true %h",
            user: "%u",
            ..chained_in(CONFIG)
        },
        Layout { name: "no other command", config: String::new(), arguments: CHAIN, ..wired_in(CONFIG) },
    ]
}

/// `enable` refuses.
fn occupied() -> Vec<Layout> {
    const AT_ITS_PORT: &str = "Port 2222\nMatch LocalPort 2222\n  AuthorizedKeysCommand /bin/true\n  AuthorizedKeysCommandUser nobody\n";
    const USER_OUTSIDE: &str =
        "AuthorizedKeysCommandUser nobody\nMatch User git\n  AuthorizedKeysCommand /bin/gitkeys %u\n";
    vec![
        Layout {
            name: "SSSD",
            config: SSS.into(),
            says: "(/etc/ssh/sshd_config:1): /usr/bin/id as nobody",
            ..refused()
        },
        Layout {
            name: "SSSD in a drop-in",
            config: INCLUDE.into(),
            drop_ins: vec![("04-ipa.conf", SSS)],
            says: "(/etc/ssh/sshd_config.d/04-ipa.conf:1)",
            ..refused()
        },
        Layout {
            name: "userdb",
            config: INCLUDE.into(),
            drop_ins: vec![USERDB],
            says: "to run both, run: sudo eic-agent enable --chain",
            ..refused()
        },
        Layout {
            name: "a command and a user in different files",
            config: format!("{INCLUDE}AuthorizedKeysCommand /bin/true\n"),
            drop_ins: vec![("90-a.conf", "AuthorizedKeysCommandUser nobody\n")],
            says: "/bin/true as nobody",
            ..refused()
        },
        Layout {
            name: "a Match for all users",
            config: "Match all\nAuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser nobody\n".into(),
            says: "/bin/true as nobody",
            ..refused()
        },
        Layout {
            name: "a fault",
            config: "Port 22\nNoSuchSetting yes\n".into(),
            status: 1,
            says: "NoSuchSetting",
            ..refused()
        },
        Layout {
            name: "a fault in a drop-in",
            config: INCLUDE.into(),
            drop_ins: vec![("50-x.conf", "Port x\n")],
            status: 1,
            says: "50-x.conf",
            ..refused()
        },
        Layout {
            name: "a Match without a user, and a user outside",
            config: USER_OUTSIDE.into(),
            says: "would run as eic-agent instead of nobody",
            ..refused()
        },
        Layout {
            name: "a Match for all users except eic-agent",
            config: "Match User *,!eic-agent\n  Include /etc/ssh/[s]shd_config.d/*.conf\n".into(),
            drop_ins: vec![("50-a.conf", SSS)],
            says: "/usr/bin/id as nobody",
            ..refused()
        },
        Layout {
            name: "a Match for sshd's own port",
            config: AT_ITS_PORT.into(),
            says: "/bin/true as nobody",
            ..refused()
        },
        Layout {
            name: "none set inside a Match for all users",
            config: "Match all\n  AuthorizedKeysCommand None\n".into(),
            status: 1,
            says: "none (/etc/ssh/sshd_config:2, inside \"Match all\") would stay in force",
            ..refused()
        },
    ]
}

/// `enable --chain` refuses.
fn not_chained() -> Vec<Layout> {
    vec![
        Layout {
            name: "a Match with a command and no user",
            config: format!("{SSS}Match User git\n  AuthorizedKeysCommand /bin/gitkeys %u\n"),
            arguments: CHAIN,
            says: "/etc/ssh/sshd_config:4, inside \"Match User git\", would run as root instead of nobody",
            ..refused()
        },
        Layout {
            name: "a percent sign in a program's name",
            config: "AuthorizedKeysCommand /bin/100%z %u\nAuthorizedKeysCommandUser nobody\n".into(),
            arguments: CHAIN,
            says: "has a \"%\"",
            ..refused()
        },
        Layout {
            name: "a program that is not there",
            config: "AuthorizedKeysCommand /bin/not-there %u\nAuthorizedKeysCommandUser nobody\n".into(),
            arguments: CHAIN,
            says: "/bin/not-there: No such file",
            ..refused()
        },
        Layout {
            name: "an unknown user",
            config: "AuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser nosuch\n".into(),
            arguments: CHAIN,
            says: "nosuch, which is not in /etc/passwd",
            ..refused()
        },
        Layout {
            name: "a separator",
            config: "AuthorizedKeysCommand /bin/true -- %u\nAuthorizedKeysCommandUser root\n".into(),
            arguments: CHAIN,
            says: "put it into a script",
            ..refused()
        },
        Layout {
            name: "a Match for all users",
            config: "Match all\nAuthorizedKeysCommand /bin/true\nAuthorizedKeysCommandUser nobody\n".into(),
            arguments: CHAIN,
            status: 1,
            says: "(/etc/ssh/sshd_config:2, inside \"Match all\")",
            ..refused()
        },
    ]
}

#[test]
fn every_layout_is_wired_or_left_as_it_was() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let own = world.agent().display().to_string();
        for layout in layouts() {
            let name = format!("{} {:?}", layout.name, layout.arguments);
            lay_out(&layout.config, &layout.drop_ins);
            let before = snapshot();
            let ran = agent(world, layout.arguments);
            let said = format!("{}{}", ran.out, ran.err);
            assert_eq!(ran.status, Some(layout.status), "{name}: {said}");
            assert!(said.contains(layout.says), "{name}: {said}");
            let after = snapshot();
            let changed: Vec<_> = after
                .iter()
                .filter(|(path, held)| before.get(*path) != Some(*held))
                .map(|(path, _)| path.as_str())
                .collect();
            assert_eq!(changed, Vec::from_iter(layout.wired), "{name}: {said}");
            assert!(before.keys().all(|path| after.contains_key(path)), "{name}");
            if layout.wired.is_none() {
                assert!(ran.err.contains("nothing is changed"), "{name}: {said}");
                continue;
            }
            assert_eq!(
                pair(world, "ec2-user"),
                (format!("{own} authorized-keys {}", layout.command), layout.user.to_owned()),
                "{name}"
            );
            if layout.name.contains("git") {
                assert_eq!(pair(world, "git").0, "/bin/gitkeys %u", "{name}");
            }
            let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert!(layout.wired != Some(CONFIG) || mode(CONFIG) == 0o600, "{name}");
            assert!(layout.wired != Some(OURS) || before.contains_key(OURS) || mode(OURS) == 0o600, "{name}");

            let again = agent(world, layout.arguments);
            assert_eq!((again.status, snapshot() == after), (Some(0), true), "{name}: {}", again.err);
            assert!(again.out.contains("already uses eic-agent"), "{name}: {}", again.out);

            let out = agent(world, &["disable"]);
            assert_eq!(out.status, Some(0), "{name}: {}", out.err);
            assert_eq!(snapshot(), before, "{name}: every byte and mode is as it was");
            let out = agent(world, &["disable"]);
            assert_eq!((out.status, snapshot() == before), (Some(0), true), "{name}");
            assert!(out.out.contains("has no lines of eic-agent"), "{name}: {}", out.out);
        }
    });
}
