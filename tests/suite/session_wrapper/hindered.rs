//! Sessions that cannot have the wrapper: they start as without it, and the log has the reason.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;

use super::clients::script;
use super::{CALLER, SFTP, set_shell, ssh, sshd_config, start, wrapper};
use crate::limits::push;
use crate::wiring::{CONFIG, agent, lay_out};
use crate::world::{Key, Sshd, Syslog, World, on_an_instance_for, test_path};

const RECORD: &str = "/var/lib/eic-agent/sshd-session.json";
const SAY: &[&str] = &["echo principal: $EIC_PRINCIPAL"];

/// Logs in as `user`. Returns what the session said, and the agent's line about the key.
fn log_in(world: &World, syslog: &Syslog, key: &Key, user: &str) -> (String, String) {
    push(world, user, key, CALLER, 0);
    syslog.clear();
    let login = world.ssh_run(user, &[key], SAY[0]);
    let lines = syslog.agent_lines();
    let line = lines.into_iter().find(|line| line.starts_with("Providing")).unwrap_or_default();
    (login.said.trim().to_owned(), line)
}

fn assert_wrapped(said: &(String, String), what: &str) {
    assert_eq!(said.0, format!("principal: {CALLER}"), "{what} {said:?}");
    let line = format!("for IAM principal: {CALLER}; with options: command=\"exec ");
    assert!(said.1.contains(&line), "{what} {said:?}");
}

fn assert_plain(said: &(String, String), reason: &str, what: &str) {
    assert_eq!(said.0, "principal:", "{what} {said:?}");
    assert_reason(&said.1, reason, what);
}

fn assert_reason(line: &str, reason: &str, what: &str) {
    let (_, why) =
        line.split_once("; session without the wrapper: ").unwrap_or_else(|| panic!("{what}: {line}"));
    assert!(why.starts_with(reason), "{what}: expected {reason}, got {why}");
}

#[test]
fn sshds_settings_decide_about_the_wrapper() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let root = "the user is root";
        let chroot = "ChrootDirectory of sshd may apply";
        // The user, lines of sshd, the reason. Without a reason, the session has the wrapper.
        for (user, lines, reason) in [
            ("ec2-user", "", ""),
            ("root", "PermitRootLogin yes\n", root),
            ("root", "", root),
            ("ec2-user", "PermitRootLogin forced-commands-only\n", ""),
            ("ec2-user", "Match User ubuntu\nChrootDirectory /srv\n", ""),
            ("ec2-user", "Match Group nogroup\nChrootDirectory /srv\nForceCommand internal-sftp\n", ""),
            ("ec2-user", "Match Group nogroup\nChrootDirectory /srv\n", chroot),
        ] {
            let _sshd = start(world, lines);
            let said = log_in(world, &syslog, &key, user);
            if reason.is_empty() {
                assert_wrapped(&said, lines);
            } else {
                assert_plain(&said, reason, lines);
            }
        }
        // Below the new root directory, there is no agent and no shell, but sshd's own internal-sftp works.
        let place = world.path("").display().to_string();
        let chroots =
            format!("Subsystem sftp internal-sftp\nChrootDirectory {}\n", place.trim_end_matches('/'));
        let sshd = start(world, &chroots);
        push(world, "ec2-user", &key, CALLER, 0);
        syslog.clear();
        let said = script(world, &key, "echo pwd | sftp -q -b - $SSH ec2-user@127.0.0.1");
        assert_eq!(said.out.lines().last(), Some("Remote working directory: /"), "{said:?}");
        assert_reason(&syslog.agent_lines()[0], chroot, &chroots);
        drop(sshd);
        // A wrapped key would open a root shell that the key does not open.
        let _sshd = start(world, "PermitRootLogin forced-commands-only\n");
        let (said, line) = log_in(world, &syslog, &key, "root");
        assert!(!said.contains("principal"), "{said}");
        assert_reason(&line, root, "forced-commands-only");
    });
}

#[test]
fn login_with_two_keys_works() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        world.configure(wrapper());
        let (one, other) = (Key::ed25519(world, "one"), Key::ed25519(world, "other"));
        let _sshd = start(world, "AuthenticationMethods publickey,publickey\n");
        for key in [&one, &other] {
            world.emulator.push("ec2-user", &key.line(), CALLER);
        }
        let login = world.ssh_run("ec2-user", &[&one, &other], "echo in");
        assert_eq!(login.said, "in\n");
        let lines = syslog.agent_lines();
        assert_reason(&lines[0], "AuthenticationMethods of sshd may need two keys", "");
    });
}

#[test]
fn wrapper_needs_a_known_shell_and_an_account_of_this_machine() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let _sshd = start(world, SFTP);
        fs::copy("/bin/bash", world.path("bin/bash")).unwrap();
        let elsewhere = world.path("bin/bash").display().to_string();
        let unknown = |shell: &str| format!("the login shell {shell} is not one that the agent knows");
        for (shell, reason) in
            [("/bin/bash", String::new()), ("", String::new()), (&elsewhere, unknown(&elsewhere))]
        {
            set_shell("ec2-user", shell);
            let said = log_in(world, &syslog, &key, "ec2-user");
            if reason.is_empty() { assert_wrapped(&said, shell) } else { assert_plain(&said, &reason, shell) }
        }
        for shell in ["/bin/rbash", "/usr/bin/git-shell", "/usr/sbin/nologin", "/bin/false"] {
            set_shell("ec2-user", shell);
            let (said, line) = log_in(world, &syslog, &key, "ec2-user");
            assert!(!said.contains(CALLER) && !said.contains("eic-agent"), "{shell}: {said}");
            if !line.is_empty() {
                assert_reason(&line, &unknown(shell), shell);
            }
        }
        set_shell("ec2-user", "/bin/sh");
        // Folders that the user cannot enter.
        let bin = world.path("bin");
        fs::set_permissions(&bin, Permissions::from_mode(0o750)).unwrap();
        let group = format!("{}:eic-agent", "root");
        assert!(Command::new("chown").arg(group).arg(&bin).status().unwrap().success());
        assert_plain(&log_in(world, &syslog, &key, "ec2-user"), "not every user can execute ", "bin");
    });
}

#[test]
fn agent_under_another_name_is_no_wrapper() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let amazons = world.path("bin/eic_run_authorized_keys");
        fs::copy(world.agent(), &amazons).unwrap();
        fs::set_permissions(&amazons, Permissions::from_mode(0o755)).unwrap();
        let config = sshd_config(world, "")
            .replace(&format!("{} authorized-keys", world.agent().display()), &amazons.display().to_string());
        lay_out(&config, &[]);
        let _sshd = Sshd::listen(&[]);
        assert_eq!(agent(world, &["config"]).status, Some(0));
        let reason = format!("the agent runs as {}, not under the name eic-agent", amazons.display());
        assert_plain(&log_in(world, &syslog, &key, "ec2-user"), &reason, "copy");
        // Under that name, the program does not act as the wrapper.
        let output = Command::new(&amazons)
            .args(["session", "--user=ec2-user", "--shell=%2Fbin/sh"])
            .env("SSH_ORIGINAL_COMMAND", "echo acted")
            .output()
            .unwrap();
        assert!(!String::from_utf8_lossy(&output.stdout).contains("acted"), "{output:?}");
        // A link with that name leads to the agent.
        fs::remove_file(&amazons).unwrap();
        world.agent_as("eic_run_authorized_keys");
        assert_wrapped(&log_in(world, &syslog, &key, "ec2-user"), "link");
    });
}

#[test]
fn session_is_not_wrapped_if_the_record_does_not_show_what_sshd_does() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        let unknown = "it is not known what sshd does with sessions: ";
        let log_in = || log_in(world, &syslog, &key, "ec2-user");
        lay_out(&sshd_config(world, ""), &[]);
        let sshd = Sshd::listen(&[]);
        assert_plain(&log_in(), &format!("{unknown}there is no record of it"), "no record");
        // `status` writes the record, too.
        agent(world, &["status"]);
        assert_wrapped(&log_in(), "a record");
        // The file changed, and sshd has not read it: the record cannot be renewed, and the old one does not count.
        fs::write(CONFIG, sshd_config(world, "PermitEmptyPasswords no\n")).unwrap();
        assert_plain(&log_in(), &format!("{unknown}the record is out of date: "), "a change");
        let config = agent(world, &["config"]);
        assert!(
            config.status == Some(1) && config.err.contains("keys.session: sessions have no wrapper: "),
            "{}",
            config.err
        );
        assert!(config.err.contains("reload sshd, then run: sudo eic-agent config"), "{}", config.err);
        assert_plain(&log_in(), unknown, "an old record");
        let warned = agent(world, &["status"]);
        assert!(
            warned.out.contains("keys.session: ") || warned.err.contains("keys.session: "),
            "{}{}",
            warned.out,
            warned.err
        );
        // sshd still has the old configuration in memory. The files say that there is no other root directory.
        fs::write(CONFIG, sshd_config(world, "ChrootDirectory /srv\n")).unwrap();
        sshd.reload();
        fs::write(CONFIG, sshd_config(world, "")).unwrap();
        assert_eq!(agent(world, &["config"]).status, Some(1));
        assert_reason(&log_in().1, unknown, "ChrootDirectory in memory");
        sshd.reload();
        assert_eq!(agent(world, &["config"]).status, Some(0));
        assert_wrapped(&log_in(), "a reload");
        // Another start of sshd has read the same files.
        drop(sshd);
        let sshd = Sshd::listen(&[]);
        assert_wrapped(&log_in(), "another start");
        // A start with options that the record does not have.
        drop(sshd);
        let sshd = Sshd::listen(&["-o", "ChrootDirectory=/srv"]);
        assert_reason(&log_in().1, unknown, "options");
        drop(sshd);
        let _sshd = Sshd::listen(&[]);
        assert_wrapped(&log_in(), "without options");
        // A record that another user could have written.
        fs::set_permissions(RECORD, Permissions::from_mode(0o666)).unwrap();
        assert_plain(&log_in(), &format!("{unknown}its record cannot be trusted: "), "mode");
        fs::set_permissions(RECORD, Permissions::from_mode(0o644)).unwrap();
        fs::write(RECORD, "{}").unwrap();
        assert_plain(&log_in(), &format!("{unknown}{RECORD} does not have the form"), "form");
        assert_eq!(agent(world, &["config"]).status, Some(0));
        assert_wrapped(&log_in(), "renewed");
        agent(world, &["disable"]);
        assert!(!Path::new(RECORD).exists());
    });
}

#[test]
fn server_that_started_before_a_change_of_its_files_wraps_no_session() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        lay_out(&sshd_config(world, "ChrootDirectory /srv\nPidFile none\n"), &[]);
        // This server reads its configuration before the change. The record is about a server that reads it later.
        let old = Sshd::listen(&["-p", "22"]);
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::write(CONFIG, sshd_config(world, "PidFile none\n")).unwrap();
        let config = agent(world, &["config"]);
        assert_eq!(config.status, Some(1), "{}", config.err);
        assert!(config.err.contains("restart sshd, then run: sudo eic-agent config"), "{}", config.err);
        let (_, line) = log_in(world, &syslog, &key, "ec2-user");
        assert_reason(&line, "it is not known what sshd does with sessions: ", "an old server");
        // A server that starts later has read the file.
        drop(old);
        let new = Sshd::listen(&[]);
        assert_eq!(agent(world, &["config"]).status, Some(0));
        assert_wrapped(&log_in(world, &syslog, &key, "ec2-user"), "a new server");
        drop(new);
    });
}

#[test]
fn forced_commands_are_wrapped_and_sshds_own_command_replaces_the_wrapper() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        let keys = |options: &str| format!("{}\noptions = '''{options}'''\n", wrapper());
        let rule = |options: &str| format!("[[rule]]\naction = \"allow\"\noptions = '''{options}'''\n");
        world.configure(wrapper());
        let sshd = start(world, SFTP);
        let show = "command=\"echo \\\"$EIC_ACCOUNT\\\" 'x  y'; echo $SSH_ORIGINAL_COMMAND\"";
        let shown = "123456789012 x  y\necho free 1\n";
        let with_values = rule("command=\"echo %{role} $EIC_REQUEST_ID 100%\"");
        for (settings, said) in [
            (keys(show), shown),
            (keys("restrict,command=\"echo keys\"") + &rule(show), shown),
            (format!("{}\n{with_values}", wrapper()), "Admin r-1 100%\n"),
            (keys("restrict"), "free 1\n"),
        ] {
            world.configure(&settings);
            push(world, "ec2-user", &key, CALLER, 0);
            syslog.clear();
            let got = ssh(&key, &[], &["echo free 1"], b"");
            assert_eq!(got.out, said, "{settings} {got:?}");
            assert!(syslog.agent_lines().concat().contains("Session with a key"), "{settings}");
        }
        // A line that is too long has no wrapper.
        let long = format!("command=\"echo {}\"", "~".repeat(4060));
        for (options, reason) in [
            ("command=\"internal-sftp -R\"", "sshd itself runs internal-sftp"),
            (&long, "the options would have 12"),
        ] {
            world.configure(&keys(options));
            push(world, "ec2-user", &key, CALLER, 0);
            syslog.clear();
            ssh(&key, &[], &["echo free"], b"");
            let lines = syslog.agent_lines();
            assert_reason(&lines[0], reason, options);
            assert!(!lines.concat().contains("Session with a key"), "{lines:?}");
        }
        drop(sshd);
        world.configure(wrapper());
        let _sshd = start(world, "ForceCommand echo sshd\n");
        push(world, "ec2-user", &key, CALLER, 0);
        assert_eq!(ssh(&key, &[], &["echo free"], b"").out, "sshd\n");
        let words =
            "ForceCommand of sshd replaces the wrapper: sessions run echo sshd, without the principal";
        let explained = agent(world, &["explain", "ec2-user"]);
        let one_line = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(one_line(&explained.out).contains(words), "{}", explained.out);
        let doctor = agent(world, &["doctor", "--user", "ec2-user", "--no-color"]);
        assert!(one_line(&doctor.out).contains(words), "{}", doctor.out);
    });
}

#[test]
fn root_is_not_wrapped_after_a_configuration_was_swapped_in_and_out() {
    on_an_instance_for("900", test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = Key::ed25519(world, "key");
        world.configure(wrapper());
        lay_out("", &[]);
        for (name, text) in [("a", "PermitRootLogin yes\n"), ("b", "PermitRootLogin forced-commands-only\n")]
        {
            let file = format!("/etc/ssh/config.{name}");
            fs::write(&file, sshd_config(world, text)).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        }
        let switch_to = |file: &str| {
            let _ = fs::remove_file(CONFIG);
            std::os::unix::fs::symlink(file, CONFIG).unwrap();
        };
        switch_to("config.a");
        let sshd = Sshd::listen(&[]);
        assert_eq!(agent(world, &["config"]).status, Some(0));
        // sshd has the other configuration in memory. The files are as in the record.
        switch_to("config.b");
        sshd.reload();
        switch_to("config.a");
        let (said, line) = log_in(world, &syslog, &key, "root");
        assert!(!said.contains("principal"), "{said}");
        assert_reason(&line, "the user is root", "swapped");
    });
}
