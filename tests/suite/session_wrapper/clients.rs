//! A table of clients: each must say the same with and without the wrapper.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;

use super::{CALLER, SFTP, Said, run, set_shell, shells, ssh, start, wrapper};
use crate::limits::push;
use crate::world::{Journal, Key, Syslog, World, on_an_instance_for, test_path, until};

/// A row: its name, and the client.
type Row<'r> = (&'r str, Box<dyn Fn() -> Said + 'r>);

/// Runs a client that uses ssh below it, such as scp: a script in which `$SSH` has the options of ssh.
pub(super) fn script(world: &World, key: &Key, text: &str) -> Said {
    let options = "-F none -o BatchMode=yes -o IdentitiesOnly=yes -o LogLevel=ERROR \
                   -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no";
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("cd {}; {text}", world.path("etc").display()));
    command.env("SSH", format!("{options} -i {}", key.file().display()));
    run(command.env("HOME", world.path("etc")), b"")
}

/// An interactive shell. Prompts and the echo of the input come in any order, so only the results between plus signs count.
fn terminal(key: &Key) -> Said {
    let mut said = ssh(key, &["-tt"], &[], b"echo +$0+; echo +`tty | cut -c1-9`+; exit 5\n");
    let is_result = |piece: &&str| !piece.contains(['$', '`', ' ', '\r', '\n']);
    said.out = said.out.split('+').filter(is_result).collect::<Vec<_>>().join(" ");
    said
}

/// What clients of every kind say.
fn rows<'r>(world: &'r World, key: &'r Key) -> Vec<Row<'r>> {
    let mut rows: Vec<Row<'r>> = Vec::new();
    for (name, options, command, input) in [
        ("command", &[][..], &["echo out; echo err >&2; exit 7"][..], &b""[..]),
        ("words", &[], &["echo", "a  b", "$HOME", "'x y'"], b""),
        ("signal", &[], &["kill -TERM $$; sleep 60"], b""),
        ("program's name", &[], &["echo $0"], b""),
        ("login shell", &[], &[], b"echo $0\nexit 3\n"),
        ("terminal and command", &["-tt"], &["tty | cut -c1-9; stty -a | head -1; exit 4"], b""),
        ("client's variable", &["-o", "SetEnv=LANG=C.UTF-8"], &["echo $LANG"], b""),
        // Without a UTF-8 locale, fish changes such bytes in every variable, so in the client's command, too.
        ("bytes", &["-o", "SetEnv=LANG=C.UTF-8"], &["printf '\u{e9}\\377' | od -c"], b""),
        ("missing program", &[], &["no-such-program 2>/dev/null"], b""),
        ("agent", &["-A"], &["ssh-add -l"], b""),
        ("no session", &["-N", "-o", "ExitOnForwardFailure=yes", "-W", "127.0.0.1:22"], &[], b""),
    ] {
        rows.push((name, Box::new(move || ssh(key, options, command, input))));
    }
    rows.push(("terminal", Box::new(move || terminal(key))));
    let long = format!("echo {} | wc -c", "x".repeat(120_000));
    let input = vec![0xff; 300_000];
    rows.push(("input", Box::new(move || ssh(key, &[], &["wc -c"], &input))));
    rows.push(("long command", Box::new(move || ssh(key, &[], &[&long], b""))));
    for (name, text) in [
        (
            "scp",
            "scp -q $SSH big ec2-user@127.0.0.1:new && scp -q $SSH ec2-user@127.0.0.1:new back && cmp big back",
        ),
        (
            "scp -O",
            "scp -q -O $SSH big ec2-user@127.0.0.1:new && scp -q -O $SSH ec2-user@127.0.0.1:new back && cmp big back",
        ),
        ("scp -O of no file", "scp -q -O $SSH ec2-user@127.0.0.1:absent back"),
        (
            "sftp",
            "printf 'put big new\\nls\\nget new back\\nrm new\\n' | sftp -q -b - $SSH ec2-user@127.0.0.1 && cmp big back",
        ),
        (
            "sftp without a subsystem",
            "echo pwd | sftp -q -b - -s /usr/lib/openssh/sftp-server $SSH ec2-user@127.0.0.1",
        ),
        (
            "git",
            "rm -rf clone; GIT_SSH_COMMAND=\"ssh $SSH\" git clone -q ec2-user@127.0.0.1:repository clone && cat clone/file",
        ),
        ("rsync", "rsync -a -e \"ssh $SSH\" big ec2-user@127.0.0.1:new && echo copied"),
        (
            "local forwarding",
            "ssh $SSH -f -N -o ExitOnForwardFailure=yes -L 2201:127.0.0.1:22 ec2-user@127.0.0.1 -S ctl -M \
            && ssh $SSH -p 2201 ec2-user@127.0.0.1 echo through; ssh -S ctl -O exit x 2>/dev/null; status=$?; \
            while [ -S ctl ]; do sleep 0.01; done; exit $status",
        ),
        (
            "remote forwarding",
            "ssh $SSH -o ExitOnForwardFailure=yes -R 2202:127.0.0.1:22 ec2-user@127.0.0.1 echo forwarded",
        ),
        (
            "X11",
            "exec 2>/dev/null; export DISPLAY=127.0.0.1:9; xauth -q -f xa add $DISPLAY MIT-MAGIC-COOKIE-1 0123456789abcdef0123456789abcdef; \
            XAUTHORITY=$PWD/xa ssh $SSH -Y ec2-user@127.0.0.1 'echo $DISPLAY; xauth list | wc -l'",
        ),
        (
            "one connection for many sessions",
            "ssh $SSH -f -N -M -S ctl2 ec2-user@127.0.0.1; for i in 1 2 3; do \
            ssh -S ctl2 x \"echo $i; exit $i\"; echo $?; done; ssh -S ctl2 -O exit x 2>/dev/null; \
            status=$?; while [ -S ctl2 ]; do sleep 0.01; done; exit $status",
        ),
    ] {
        rows.push((name, Box::new(move || script(world, key, text))));
    }
    rows
}

/// Makes what the clients of [`rows`] use.
fn prepare(world: &World) {
    let home = world.path("home/ec2-user");
    let etc = world.path("etc");
    fs::write(etc.join("big"), vec![7; 700_000]).unwrap();
    let repository = home.join("repository");
    let made = Command::new("sh")
        .arg("-c")
        .arg(format!(
            "set -e; git init -q {0}; cd {0}; echo content >file; git add file; \
             git -c user.name=a -c user.email=a@b commit -qm x; chown -R ec2-user: {0}",
            repository.display()
        ))
        .env("HOME", &etc)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    // With the wrapper, sshd shows neither the message of the day nor the last login.
    fs::write(home.join(".hushlogin"), "").unwrap();
    // Startup files that print nothing.
    for file in [".bashrc", ".profile", ".zshenv", ".zshrc"] {
        fs::write(home.join(file), "export FROM_STARTUP=yes\n").unwrap();
        fs::set_permissions(home.join(file), fs::Permissions::from_mode(0o644)).unwrap();
    }
}

/// Pushes the key, and runs a client.
fn said(world: &World, key: &Key, row: &Row<'_>) -> Said {
    push(world, "ec2-user", key, CALLER, 0);
    row.1()
}

/// What the comparisons share.
struct Prepared<'w> {
    world: &'w World,
    key: Key,
    syslog: Syslog,
}

impl<'w> Prepared<'w> {
    fn of(world: &'w World) -> Self {
        prepare(world);
        Self { world, key: Key::ed25519(world, "key"), syslog: Syslog::bind() }
    }
}

/// Compares the rows of one shell. More sessions than `sessions` have the wrapper.
fn compare(
    place: &Prepared<'_>,
    (shell, subsystem): (&str, &str),
    is_row: fn(&str) -> bool,
    sessions: usize,
) {
    let Prepared { world, key, syslog } = place;
    set_shell("ec2-user", shell);
    world.configure(wrapper());
    let _sshd = start(world, subsystem);
    let rows = rows(world, key);
    let rows: Vec<_> = rows.iter().filter(|row| is_row(row.0)).collect();
    world.configure("");
    let plain: Vec<_> = rows.iter().map(|row| said(world, key, row)).collect();
    world.configure(wrapper());
    syslog.clear();
    for (row, plain) in rows.iter().zip(plain) {
        let wrapped = said(world, key, row);
        assert_eq!(wrapped, plain, "{shell} {}", row.0);
        // fish has other words for commands in commands.
        let is_shown = row.0 != "terminal" || shell.ends_with("fish") || wrapped.out.ends_with("/dev/pts/");
        assert!(is_shown, "{shell}: {wrapped:?}");
    }
    let lines = syslog.agent_lines();
    let claims = lines.iter().filter(|line| line.starts_with("Session with a key")).count();
    assert!(claims > sessions, "{lines:#?}");
    assert!(!lines.concat().contains("without the wrapper"), "{lines:#?}");
}

#[test]
fn clients_say_the_same_with_and_without_the_wrapper() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let place = Prepared::of(world);
        compare(&place, ("/bin/sh", SFTP), |_| true, 25);
    });
}

#[test]
fn clients_of_internal_sftp_say_the_same_with_and_without_the_wrapper() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let place = Prepared::of(world);
        let subsystem = "Subsystem sftp internal-sftp -l ERROR\n";
        compare(&place, ("/bin/sh", subsystem), |name| name.contains("sftp") || name.contains("scp"), 4);
    });
}

#[test]
fn clients_say_the_same_in_every_shell() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let place = Prepared::of(world);
        for shell in shells() {
            // The user's shell has no part in the other rows, or the same as in these.
            let is_row = |name: &str| {
                ![
                    "scp",
                    "sftp without a subsystem",
                    "input",
                    "one connection for many sessions",
                    "no session",
                ]
                .contains(&name)
                    && !name.ends_with("forwarding")
                    && !["X11", "agent", "rsync", "git"].contains(&name)
            };
            compare(&place, (shell, SFTP), is_row, 10);
        }
    });
}

/// The variables of a session, by name.
fn variables(said: &Said) -> BTreeMap<String, String> {
    let lines = said.out.lines().filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn session_has_the_principal_and_otherwise_the_usual_variables() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        for shell in shells() {
            set_shell("ec2-user", shell);
            world.configure(wrapper());
            let _sshd = start(world, SFTP);
            for command in [&["env"][..], &[]] {
                // The client sends a variable in our name.
                let options = ["-o", "SetEnv=EIC_PRINCIPAL=forged EIC_ACCOUNT=forged EIC_OTHER=x"];
                let env = || {
                    push(world, "ec2-user", &key, CALLER, 0);
                    variables(&ssh(&key, &options, command, b"env\n"))
                };
                world.configure("");
                let mut plain = env();
                world.configure(wrapper());
                syslog.clear();
                let mut wrapped = env();
                for (name, value) in
                    [("EIC_PRINCIPAL", CALLER), ("EIC_REQUEST_ID", "r-1"), ("EIC_ACCOUNT", "123456789012")]
                {
                    assert_eq!(wrapped.remove(name).as_deref(), Some(value), "{shell} {wrapped:?}");
                    plain.remove(name);
                }
                // A shell that starts another program changes these, and the ports differ.
                for name in ["_", "SHLVL", "PWD", "OLDPWD", "SSH_CLIENT", "SSH_CONNECTION"] {
                    plain.remove(name);
                    wrapped.remove(name);
                }
                assert_eq!(wrapped, plain, "{shell}");
                let lines = syslog.agent_lines();
                let session = lines.iter().find(|line| line.starts_with("Session with a key")).unwrap();
                let begins = format!(
                    "Session with a key from EC2 Instance Connect for user ec2-user, request-id: r-1, for IAM principal: {CALLER}; pid "
                );
                assert!(session.starts_with(&begins) && !session.contains("tty"), "{session}");
            }
            push(world, "ec2-user", &key, CALLER, 0);
            syslog.clear();
            let said = ssh(&key, &["-tt"], &["echo $$; tty"], b"");
            let mut words = said.out.split_whitespace();
            let (pid, tty) = (words.next().unwrap(), words.next().unwrap());
            let end = format!("; pid {pid}, tty {tty}");
            // fish has no `$$`.
            if !shell.ends_with("fish") {
                assert!(syslog.agent_lines().iter().any(|line| line.ends_with(&end)), "{end}");
            }
        }
    });
}

#[test]
fn events_of_a_session_are_claims_and_the_line_about_the_key_is_evidence() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let journal = Journal::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let _sshd = start(world, SFTP);
        for (shell, is_wrapped) in [("/bin/sh", true), ("/bin/rbash", false)] {
            set_shell("ec2-user", shell);
            push(world, "ec2-user", &key, CALLER, 0);
            ssh(&key, &["-tt"], &["echo in"], b"");
            let events = journal.events();
            let of = |kind: &str| {
                events.iter().rev().find(|event| event["EIC_EVENT"] == kind).cloned().unwrap_or_default()
            };
            let provided = of("provided");
            assert_eq!(provided["EIC_PRINCIPAL"], CALLER);
            assert_eq!(provided.contains_key("EIC_NOT_WRAPPED"), !is_wrapped, "{provided:?}");
            if is_wrapped {
                let session = of("session");
                assert_eq!(session["EIC_CLAIMED_PRINCIPAL"], CALLER);
                assert_eq!(session["EIC_CLAIMED_REQUEST_ID"], "r-1");
                assert_eq!(session["EIC_USER"], "ec2-user");
                assert!(session["EIC_TTY"].starts_with("/dev/pts/"), "{session:?}");
                // The parent is no process that sshd's log names.
                for field in ["EIC_PRINCIPAL", "EIC_SSHD_PID"] {
                    assert!(!session.contains_key(field), "{session:?}");
                }
            }
        }
    });
}

#[test]
fn session_without_a_log_starts_unless_the_settings_require_one() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        let control = world.path("etc/control").display().to_string();
        let master = ["-f", "-N", "-M", "-S", &control];
        for required in [false, true] {
            let syslog = Syslog::bind();
            world.configure(&format!("{}\n[audit]\nrequired = {required}\n", wrapper()));
            let _sshd = start(world, SFTP);
            push(world, "ec2-user", &key, CALLER, 0);
            let mut open = World::ssh_command(&[&key]);
            assert!(open.args(master).arg("ec2-user@127.0.0.1").status().unwrap().success());
            until("the connection is shared", || Path::new(&control).exists());
            let session = || ssh(&key, &["-S", &control], &["echo in"], b"");
            assert_eq!(session().out, "in\n");
            drop(syslog);
            fs::remove_file("/dev/log").unwrap();
            let unlogged = session();
            if required {
                let expected =
                    "eic-agent: no log accepted the line about this session, but [audit] required = true\n";
                assert_eq!((unlogged.status, unlogged.err.as_str()), (Some(1), expected));
            } else {
                assert_eq!(unlogged.out, "in\n", "{unlogged:?}");
            }
            ssh(&key, &["-S", &control, "-O", "exit"], &[], b"");
            until("the connection is not shared any more", || !Path::new(&control).exists());
        }
    });
}
