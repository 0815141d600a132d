//! Options of rules: what a real sshd does with the line.

use std::fs;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use super::{CONTRACTOR, DEPLOY, contractors, push};
use crate::documents::block;
use crate::wiring::agent;
use crate::world::{Journald, Key, Sshd, Syslog, UNHURRIED, World, on_an_instance, test_path};

/// A rule that allows everything, with these options.
fn allow(options: &str) -> String {
    format!("[[rule]]\nname = \"all\"\naction = \"allow\"\noptions = '''{options}'''\n")
}

/// An sshd with the agent that permits variables of users.
fn sshd(world: &World) -> Sshd {
    let command =
        format!("AuthorizedKeysCommand {} authorized-keys {UNHURRIED} %u %f\n", world.agent().display());
    Sshd::with(world, &format!("{command}AuthorizedKeysCommandUser eic-agent\nPermitUserEnvironment yes\n"))
}

/// Whether the key can forward a port of the server.
fn forwards(key: &Key) -> bool {
    let forward =
        ["-o", "ExitOnForwardFailure=yes", "-R", "127.0.0.1:0:127.0.0.1:22", "ec2-user@127.0.0.1", "true"];
    World::ssh_command(&[key]).args(forward).output().unwrap().status.success()
}

#[test]
fn options_of_the_rule_apply_to_the_session() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = sshd(world);
        let key = Key::ed25519(world, "key");
        let keys = |options: &str| format!("[keys]\noptions = '{options}'\n");
        let say = "command=\"echo %{role} %{session} %{account} %{request_id}\"";
        for (settings, caller, said) in [
            (allow(say), DEPLOY, "Deploy run-17 123456789012 r-1"),
            // Two commands on one line would make sshd ignore the key.
            (keys("restrict,command=\"echo keys\"") + &allow("command=\"echo rule\""), DEPLOY, "rule"),
            (keys("restrict,command=\"echo keys\"") + &allow("pty"), DEPLOY, "keys"),
            (
                keys("from=\"198.51.100.0/24\"") + &allow("from=\"127.0.0.1\",command=\"echo %{principal}\""),
                DEPLOY,
                DEPLOY,
            ),
            (
                keys("environment=\"A=1\",environment=\"B=2\"")
                    + &allow("environment=\"A=%{role}\",command=\"echo $A $B\""),
                DEPLOY,
                "Deploy 2",
            ),
            (allow("command=\"echo \\\"%{role}\\\" 100% %%{x} `echo a`\""), DEPLOY, "Deploy 100% %{x} a"),
            (contractors(&format!("options = '{say}'")), DEPLOY, "free"),
            (
                allow(say),
                "arn:aws:iam::123456789012:user/bob",
                "option-value-missing: all (a rule of this instance) has options with %{role}, and the push has no role",
            ),
            (allow("expiry-time=\"20200101\""), DEPLOY, "options-expired: "),
            // sshd judges the address after the agent handed over the key.
            (allow("from=\"198.51.100.0/24\""), DEPLOY, "Permission denied"),
        ] {
            world.configure(&settings);
            push(world, "ec2-user", &key, caller, 0);
            syslog.clear();
            let login = world.ssh_run("ec2-user", &[&key], "echo free");
            let lines = syslog.agent_lines().concat();
            if said.contains(": ") {
                assert!(
                    !login.ok && lines.contains(said) && !lines.contains("Providing"),
                    "{settings}{login:?}{lines}"
                );
            } else if said == "Permission denied" {
                assert!(!login.ok && lines.contains("Providing"), "{settings}{login:?}{lines}");
            } else {
                assert_eq!((login.ok, login.said.trim()), (true, said), "{settings}{lines}");
            }
        }
        // Options restrict only the keys of their rule. A flag of the rule overrides one of all keys.
        for (settings, caller, can) in [
            (contractors("options = 'restrict,pty'"), CONTRACTOR, false),
            (contractors("options = 'restrict,pty'"), DEPLOY, true),
            (keys("restrict") + &contractors("options = 'port-forwarding'"), CONTRACTOR, true),
            (keys("restrict") + &contractors("options = 'port-forwarding'"), DEPLOY, false),
            (
                contractors("options = 'restrict,port-forwarding,permitlisten=\"127.0.0.1:9\"'"),
                CONTRACTOR,
                false,
            ),
        ] {
            world.configure(&settings);
            push(world, "ec2-user", &key, caller, 0);
            assert_eq!(forwards(&key), can, "{settings}{caller}");
        }
    });
}

#[test]
fn no_value_leaves_its_word_in_any_shell() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = sshd(world);
        let key = Key::ed25519(world, "key");
        world.configure(&allow(
            "environment=\"BY=%{session}\",command=\"printf '[%s]' %{session} \\\"%{role}\\\" x/%{session} $BY\"",
        ));
        let accounts = fs::read_to_string("/etc/passwd").unwrap();
        for shell in ["/bin/sh", "/bin/bash", "/usr/bin/zsh", "/usr/bin/fish"] {
            let of_user = |line: &str| {
                let (account, _) = line.rsplit_once(':').unwrap();
                if line.starts_with("ec2-user:") {
                    format!("{account}:{shell}\n")
                } else {
                    format!("{line}\n")
                }
            };
            fs::write("/etc/passwd", accounts.lines().map(of_user).collect::<String>()).unwrap();
            for (session, shown) in [
                ("..", "%2E."),
                ("=ls", "%3Dls"),
                ("LD_PRELOAD=x.so", "LD_PRELOAD%3Dx.so"),
                (
                    "$(id)`id`;id|id&&id \"x\\ *?[a]{b,c}~!^#'<>(x)$HOME%41",
                    "%24%28id%29%60id%60%3Bid%7Cid%26%26id%20%22x%5C%20%2A%3F%5Ba%5D%7Bb%2Cc%7D%7E%21%5E%23%27%3C%3E%28x%29%24HOME%2541",
                ),
                ("-n", "%2Dn"),
            ] {
                let caller =
                    format!("arn:aws:sts::123456789012:assumed-role/{}/{session}", session.replace('/', "_"));
                push(world, "ec2-user", &key, &caller, 0);
                let login = world.ssh_run("ec2-user", &[&key], "echo free");
                let expected = format!("[{shown}][{shown}][x/{shown}][{shown}]");
                assert_eq!((login.ok, login.said.as_str()), (true, expected.as_str()), "{shell} {session}");
            }
        }
        fs::write("/etc/passwd", accounts).unwrap();
        // The longest ARN, whose bytes are all encoded: sshd reads the line, or the agent refuses the key.
        let long = format!("arn:aws:sts::123456789012:assumed-role/R/{}", "\"".repeat(2007));
        push(world, "ec2-user", &key, &long, 0);
        world.configure(&allow("command=\"echo %{principal} | wc -c\""));
        let login = world.ssh_run("ec2-user", &[&key], "echo free");
        assert_eq!(login.said.trim(), (41 + 2007 * 3 + 1).to_string(), "{login:?}");
        world.configure(&allow("command=\"echo %{principal} %{principal} %{principal} | wc -c\""));
        let run = world.run(&["ec2-user"]);
        assert!(run.keys().is_empty() && run.notes().contains("refused: line-too-long: "), "{run:?}");
    });
}

#[test]
fn options_that_this_openssh_does_not_know_stop_only_the_keys_of_their_rule() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        world.configure(&contractors("options = 'verify-required'"));
        let config = || {
            let output = Command::new(world.agent()).arg("config").output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        push(world, "ec2-user", &key, CONTRACTOR, 0);
        assert!(world.run(&["ec2-user"]).keys().starts_with("verify-required ssh-ed25519 "));
        assert_eq!(config().0, Some(0));
        world.replace_sshd("OpenSSH_7.4p1, OpenSSL 1.0.2k-fips  26 Jan 2017");
        let words = "options that need OpenSSH 8.4 or later, this instance has OpenSSH 7.4";
        let run = world.run(&["ec2-user"]);
        assert!(
            run.keys().is_empty()
                && run.notes().contains(&format!(
                    "options-unsupported: contractors (a rule of this instance) has {words}"
                )),
            "{run:?}"
        );
        let (status, said) = config();
        assert_eq!(status, Some(1));
        assert!(said.contains("rule 1.options: needs OpenSSH 8.4 or later, this instance has OpenSSH 7.4; so the rule allows no key"), "{said}");
        push(world, "ec2-user", &key, DEPLOY, 0);
        assert!(world.run(&["ec2-user"]).keys().starts_with("ssh-ed25519 "));
    });
}

#[test]
fn recipe_for_a_deploy_role_runs_one_command() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let _sshd = sshd(world);
        world.script("deploy", "echo \"deploy $1 $2 as $(id -un)\"");
        let recipe = block("docs/settings.md", "[[rule]]\nname = \"deploy\"");
        world.configure(recipe);
        let test = block("docs/settings.md", "eic-agent rules test");
        let predicted = Command::new(world.agent()).args(test.split_whitespace().skip(1)).output().unwrap();
        let predicted = String::from_utf8(predicted.stdout).unwrap();
        assert!(
            predicted.contains("allowed   restrict,command=\"/usr/local/bin/deploy run-17 "),
            "{predicted}"
        );
        let deploy = world.path("bin/deploy");
        world.configure(&recipe.replace("/usr/local/bin/deploy", deploy.to_str().unwrap()));
        let config = Command::new(world.agent()).arg("config").output().unwrap();
        assert_eq!(config.status.code(), Some(0), "{config:?}");
        let key = Key::ed25519(world, "key");
        push(world, "ec2-user", &key, DEPLOY, 0);
        let login = world.ssh_run("ec2-user", &[&key], "id");
        assert_eq!(login.said, "deploy run-17 r-1 as ec2-user\n");
        assert!(!forwards(&key));
        // The role has no other account.
        push(world, "ubuntu", &key, DEPLOY, 0);
        syslog.clear();
        assert!(!world.ssh("ubuntu", &[&key]).ok);
        assert!(
            syslog.agent_lines().concat().contains("denied-by-rule: deploy as ec2-user only "),
            "{recipe}"
        );
        push(world, "ubuntu", &key, CONTRACTOR, 0);
        assert!(world.ssh("ubuntu", &[&key]).ok);
    });
}

#[test]
fn recipe_for_break_glass_gives_root_only_to_its_role_and_only_with_a_log() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let recipe = block("docs/settings.md", "[audit]");
        world.configure(recipe);
        let config = Command::new(world.agent()).arg("config").output().unwrap();
        assert_eq!(config.status.code(), Some(0), "{config:?}");
        let key = Key::ed25519(world, "key");
        let admin = "arn:aws:sts::123456789012:assumed-role/BreakGlass/alice";
        push(world, "root", &key, admin, 0);
        let run = world.run(&["root"]);
        assert!(run.keys().is_empty() && run.notes().contains("audit-unavailable"), "no log: {run:?}");
        let syslog = Syslog::bind();
        let run = world.run(&["root"]);
        assert_eq!(run.keys(), format!("restrict,pty {}\n", key.bare_line()), "{run:?}");
        assert!(syslog.agent_lines()[0].contains(admin));
        push(world, "root", &key, admin, 30);
        assert!(world.run(&["root"]).notes().contains("refused: push-too-old: break-glass "));
        push(world, "root", &key, DEPLOY, 0);
        assert!(world.run(&["root"]).notes().contains("refused: denied-by-rule: root is for break-glass "));
    });
}

#[test]
fn key_that_sshd_refuses_because_of_from_is_shown_as_not_used() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let journal = Journald::start(world);
        let _sshd = Sshd::with_pam(world, "");
        let key = Key::ed25519(world, "key");
        world.configure(&contractors("options = 'from=\"198.51.100.0/24\"'"));
        push(world, "ec2-user", &key, CONTRACTOR, 0);
        assert!(!world.ssh("ec2-user", &[&key]).ok);
        journal.wait_for("Providing ssh key");
        let report: Value = serde_json::from_str(&agent(world, &["sessions", "--json"]).out).unwrap();
        assert_eq!(report["sessions"], serde_json::json!([]), "{report:#}");
        assert_eq!(report["unused"][0]["fingerprint"], key.fingerprint(), "{report:#}");
    });
}
