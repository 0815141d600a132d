//! PAM's session rules. If one of them refuses the session, sshd accepts the key and ends the login.

use std::fs;
use std::path::Path;

use eic_emulator::Config;
use serde_json::Value;

use super::sound::ask;
use super::{enabled, have_it_read};
use crate::machines::agreement::Attempt;
use crate::wiring::CONFIG;
use crate::world::{Key, Syslog, World, on_an_instance_for, test_path};

const USER: &str = "ec2-user";
const LIMITS: &str = "/etc/security/limits.conf";
const PERMIT: &str = "session required pam_permit.so\n";
const LIMITED: &str = "session required pam_limits.so\n";

/// What `doctor` says of the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Works,
    Fails(&'static str),
    NotKnown(&'static str),
}

struct Machine {
    name: &'static str,
    account: &'static str,
    session: &'static str,
    limits: &'static str,
    says: Says,
    logs_in: bool,
}

/// Rules of the session step.
const fn rules(name: &'static str, session: &'static str, says: Says) -> Machine {
    let logs_in = matches!(says, Says::Works);
    Machine { name, account: "account required pam_permit.so\n", session, limits: "", says, logs_in }
}

/// Rules of `pam_limits`.
const fn limits(name: &'static str, limits: &'static str, says: Says) -> Machine {
    Machine { limits, ..rules(name, LIMITED, says) }
}

/// The rules of Amazon Linux 2023.
const AMAZON: &str = "session required pam_selinux.so close\nsession required pam_loginuid.so\n\
    session required pam_selinux.so open env_params\nsession required pam_namespace.so\n\
    session optional pam_keyinit.so force revoke\nsession optional pam_motd.so\n\
    session optional pam_keyinit.so revoke\nsession required pam_limits.so\n-session optional pam_systemd.so\n\
    session [success=1 default=ignore] pam_succeed_if.so service in crond quiet use_uid\n\
    session required pam_unix.so\nsession optional pam_sss.so\n\
    session [success=1 default=ignore] pam_succeed_if.so service !~ gdm* service !~ su* quiet\n\
    session [default=1] pam_lastlog.so nowtmp showfailed\nsession optional pam_lastlog.so silent noupdate\n";

/// The rules of Debian, with modules of other packages.
const DEBIAN: &str = "session [success=ok ignore=ignore module_unknown=ignore default=bad] pam_selinux.so close\n\
    session required pam_loginuid.so\nsession optional pam_keyinit.so force revoke\n@include common-session\n\
    session optional pam_mkhomedir.so\nsession optional pam_tmpdir.so\nsession optional pam_sss.so\n\
    session optional pam_krb5.so\nsession optional pam_exec.so /bin/false\nsession optional pam_umask.so\n\
    session optional pam_motd.so motd=/run/motd.dynamic\nsession optional pam_motd.so noupdate\n\
    session optional pam_mail.so standard noenv\nsession required pam_limits.so\nsession required pam_env.so\n\
    session required pam_env.so user_readenv=1 envfile=/etc/default/locale\n\
    session [success=ok ignore=ignore module_unknown=ignore default=bad] pam_selinux.so open\n";

#[expect(clippy::too_many_lines, reason = "one table")]
fn machines() -> Vec<Machine> {
    use Says::{Fails, NotKnown, Works};
    vec![
        rules("Debian", DEBIAN, Works),
        rules("Amazon Linux", AMAZON, Works),
        rules(
            "a missing module",
            "session required pam_nosuch.so\n",
            Fails("pam_nosuch (/etc/pam.d/sshd:3): module_unknown"),
        ),
        rules("a missing module behind a dash", "-session requisite pam_nosuch.so\n", Fails("pam_nosuch")),
        rules(
            "pam_deny",
            "session required pam_permit.so\nsession required pam_deny.so\n",
            Fails("session step refuses ec2-user: pam_deny (/etc/pam.d/sshd:4)"),
        ),
        rules(
            "an include",
            "session include eictest\nsession required pam_permit.so\n",
            Fails("/etc/pam.d/eictest:1"),
        ),
        rules(
            "an include of Debian",
            "@include eictest\nsession required pam_permit.so\n",
            Fails("/etc/pam.d/eictest:1"),
        ),
        rules(
            "a substack",
            "session substack eictest\nsession required pam_permit.so\n",
            Fails("/etc/pam.d/eictest:1"),
        ),
        rules(
            "an optional refusal",
            "session required pam_permit.so\nsession optional pam_deny.so\nsession optional pam_nosuch.so\n",
            Works,
        ),
        rules(
            "a jump over a refusal",
            "session [success=1 default=ignore] pam_permit.so\nsession requisite pam_deny.so\nsession required pam_permit.so\n",
            Works,
        ),
        rules(
            "only rules that are ignored",
            "session optional pam_deny.so\n",
            Fails("no module of PAM's session step"),
        ),
        rules(
            "a module without a session step",
            "session required pam_nologin.so\nsession required pam_permit.so\n",
            Fails("pam_nologin (/etc/pam.d/sshd:3): module_unknown"),
        ),
        rules(
            "a program that refuses",
            "session required pam_exec.so /bin/false\n",
            NotKnown("pam_exec (/etc/pam.d/sshd:3)"),
        ),
        rules(
            "a program that refuses before a certain refusal",
            "session required pam_exec.so /bin/false\nsession required pam_deny.so\n",
            Fails("pam_deny"),
        ),
        rules(
            "a user without rules about the user",
            "session required pam_succeed_if.so quiet uid < 1000\n",
            Fails("pam_succeed_if"),
        ),
        rules("the rules of the service other", "", Works),
        limits(
            "usual limits",
            "* soft core 0\n* hard nproc 4096\n@ec2-user - nofile 4096\n* - memlock unlimited\n* hard maxlogins 10\nroot - maxlogins 0\n",
            Works,
        ),
        limits(
            "no login of the user",
            "ec2-user - maxlogins 0\n",
            Fails("ec2-user - maxlogins 0 (/etc/security/limits.conf:1)"),
        ),
        limits("no login of all", "* hard MaxLogins 0 # x\n", Fails("* hard MaxLogins 0 (/etc")),
        limits("no login of the group", "@ec2-user hard maxlogins 0\n", Fails("@ec2-user hard maxlogins 0")),
        limits(
            "no login of all members of the group",
            "%ec2-user - maxlogins 0\n",
            Fails("%ec2-user - maxlogins 0"),
        ),
        limits("no login of user ids", "1000: - maxsyslogins 0\n", Fails("maxsyslogins 0")),
        limits("the user's own line wins", "ec2-user - maxlogins 5\n* - maxlogins 0\n", Works),
        limits("no limit for the user", "ec2-user -\n* - maxlogins 0\n", Works),
        limits("another user", "ubuntu - maxlogins 0\n@ubuntu - maxlogins 0\n:1 - maxlogins 0\n", Works),
        limits("files up to the kernel's bound", "* - nofile 1048576\n", Works),
        Machine {
            logs_in: true,
            ..limits("more files than the kernel allows", "* - nofile 9000000000\n", NotKnown("pam_limits"))
        },
        limits("files without bound", "* hard nofile unlimited\n", Works),
        limits("no process", "* hard nproc 0\n", NotKnown("pam_limits")),
        Machine {
            account: "account required pam_permit.so\naccount optional pam_debug.so acct=new_authtok_reqd\n",
            ..rules(
                "an optional module that asks for a new password",
                PERMIT,
                NotKnown("pam_debug (/etc/pam.d/sshd:3)"),
            )
        },
        Machine {
            account: "account sufficient pam_debug.so acct=new_authtok_reqd\naccount required pam_permit.so\n",
            ..rules(
                "a sufficient module that asks for a new password",
                PERMIT,
                NotKnown("pam_debug (/etc/pam.d/sshd:2)"),
            )
        },
        Machine {
            account: "account required pam_permit.so\naccount optional pam_shells.so\n",
            ..rules("an optional module that checks no password", PERMIT, Works)
        },
        Machine {
            account: "account required pam_env.so\n",
            ..rules("a module whose account step refuses", PERMIT, NotKnown("pam_env"))
        },
        Machine {
            account: "account required pam_limits.so\naccount required pam_permit.so\n",
            ..rules(
                "a module without an account step",
                PERMIT,
                Fails("pam_limits (/etc/pam.d/sshd:2): module_unknown"),
            )
        },
    ]
}

fn text(report: &Value, field: &str) -> String {
    let checks = report["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["id"] == "pam").unwrap();
    check[field].as_str().unwrap_or_default().to_owned()
}

/// Compares `doctor` with the login, and gives what differs.
fn differences(world: &World, key: &Key, machine: &Machine) -> Vec<String> {
    let Machine { name, account, session, .. } = machine;
    fs::write("/etc/pam.d/sshd", format!("auth required pam_permit.so\n{account}{session}")).unwrap();
    fs::write(LIMITS, machine.limits).unwrap();
    let (status, report) = ask(world, USER);
    let observed = Attempt { world, user: USER, pushed: key, own: None, is_read: true }
        .observe_with(status, report.clone());
    let seen = text(&report, "seen");
    let (login, words) = match machine.says {
        Says::Works => ("works", "PAM's account and session rules let ec2-user in"),
        Says::Fails(words) => ("fails", words),
        Says::NotKnown(words) => ("not-known", words),
    };
    let mut faults = observed.contradictions();
    // To count logins, pam_limits asks another program. Some releases have none, and then only a login shows the answer.
    let counts = machine.limits.lines().any(|line| line.contains("maxlogins") && !line.ends_with(" 0"));
    let is_unknown = report["login"] == "not-known" && seen.contains("only a login shows what pam_limits");
    if counts && login == "works" && is_unknown && observed.logs_in() {
        return faults.iter().map(|fault| format!("{name}: {fault}")).collect();
    }
    if observed.logs_in() != machine.logs_in || report["login"] != login || !seen.contains(words) {
        faults.push(format!("expected {login}, {words}; login {}: {report:#}", observed.logs_in()));
    }
    faults.iter().map(|fault| format!("{name}: {fault}")).collect()
}

#[test]
fn verdict_about_pams_session_rules_is_that_of_a_login() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let (_sshd, _log) = (enabled(world), Syslog::bind());
        let config = fs::read_to_string(CONFIG).unwrap();
        fs::write(CONFIG, config.replace("UsePAM no", "UsePAM yes")).unwrap();
        assert!(have_it_read());
        fs::write("/etc/pam.d/eictest", "session requisite pam_deny.so\n").unwrap();
        if Path::new("/etc/security/limits.d").exists() {
            fs::remove_dir_all("/etc/security/limits.d").unwrap();
        }
        let key = Key::ed25519(world, "pushed");
        let found: Vec<_> = machines().iter().flat_map(|machine| differences(world, &key, machine)).collect();
        assert!(found.is_empty(), "{}", found.join("\n"));

        // The files of the folder come after the file, in the order of their names.
        fs::create_dir("/etc/security/limits.d").unwrap();
        fs::write("/etc/security/limits.d/20-x.conf", "* - maxlogins 0\n").unwrap();
        let machine = limits("a file of the folder", "", Says::Fails("(/etc/security/limits.d/20-x.conf:1)"));
        let mut found = differences(world, &key, &machine);
        let machine = limits("the user's line wins over the folder", "ec2-user - maxlogins 3\n", Says::Works);
        found.extend(differences(world, &key, &machine));
        assert!(found.is_empty(), "{}", found.join("\n"));
    });
}
