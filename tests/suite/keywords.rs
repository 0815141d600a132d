//! sshd from OpenSSH 10.4 on prints keywords in mixed case (`AuthorizedKeysCommand none`). Older releases print them
//! in lower case. Every command of the agent must read both forms.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use eic_emulator::Config;
use serde_json::Value;

use crate::wiring::{CONFIG, INCLUDE, OURS, agent, lay_out};
use crate::world::{Key, World, on_an_instance, test_path};

/// Keywords as `sshd -T` of OpenSSH 10.4 and later prints them.
const MIXED: [&str; 18] = [
    "AllowGroups",
    "AllowUsers",
    "AuthenticationMethods",
    "AuthorizedKeysCommand",
    "AuthorizedKeysCommandUser",
    "ChrootDirectory",
    "DenyGroups",
    "DenyUsers",
    "ForceCommand",
    "PermitRootLogin",
    "PermitUserEnvironment",
    "PidFile",
    "Port",
    "PubkeyAcceptedAlgorithms",
    "PubkeyAuthentication",
    "RequiredRSASize",
    "RevokedKeys",
    "UsePAM",
];

/// Mounts a script over the installed sshd. The script prints keywords like OpenSSH 10.4. Settings that the agent
/// does not read stay unchanged.
fn print_mixed_case(world: &World) {
    let mut script = String::new();
    for keyword in MIXED {
        writeln!(script, "s/^{keyword} /{keyword} /I").unwrap();
    }
    fs::write("/run/mixed.sed", script).unwrap();
    fs::copy("/usr/sbin/sshd", "/run/real-sshd").unwrap();
    let sshd = world.script(
        "mixed-sshd",
        "case \" $* \" in *' -T '*|*' -G '*) ;; *) exec /run/real-sshd \"$@\" ;; esac\n\
         printed=$(/run/real-sshd \"$@\") || exit\n\
         printf '%s\\n' \"$printed\" | sed -f /run/mixed.sed",
    );
    let covered = Command::new("mount").arg("--bind").arg(sshd).arg("/usr/sbin/sshd").status().unwrap();
    assert!(covered.success());
}

fn json(world: &World, arguments: &[&str]) -> (Option<i32>, Value) {
    let ran = agent(world, arguments);
    (ran.status, serde_json::from_str(&ran.out).unwrap())
}

fn check<'r>(report: &'r Value, id: &str) -> &'r Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap()
}

/// One keyword that a check must find.
struct Keyword {
    line: &'static str,
    /// The check that must find it.
    id: &'static str,
    verdict: &'static str,
    seen: &'static str,
}

const KEYWORDS: [Keyword; 9] = [
    Keyword {
        line: "AllowUsers root",
        id: "access",
        verdict: "fail",
        seen: "AllowUsers does not contain ec2-user (/etc/ssh/sshd_config:1)",
    },
    Keyword {
        line: "DenyUsers ec2-user",
        id: "access",
        verdict: "fail",
        seen: "DenyUsers contains ec2-user (/etc/ssh/sshd_config:1)",
    },
    Keyword {
        line: "AllowGroups root",
        id: "access",
        verdict: "fail",
        seen: "AllowGroups root (/etc/ssh/sshd_config:1)",
    },
    Keyword {
        line: "DenyGroups ec2-user",
        id: "access",
        verdict: "fail",
        seen: "DenyGroups contains ec2-user (/etc/ssh/sshd_config:1)",
    },
    Keyword {
        line: "PubkeyAuthentication no",
        id: "public-keys",
        verdict: "fail",
        seen: "PubkeyAuthentication is no",
    },
    Keyword {
        line: "AuthenticationMethods password",
        id: "public-keys",
        verdict: "fail",
        seen: "AuthenticationMethods is password",
    },
    Keyword {
        line: "PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256",
        id: "key-types",
        verdict: "fail",
        seen: "refuses ed25519 and RSA keys",
    },
    Keyword {
        line: "RevokedKeys /etc/ssh/none-there",
        id: "revoked-keys",
        verdict: "fail",
        seen: "RevokedKeys /etc/ssh/none-there",
    },
    Keyword { line: "ChrootDirectory /srv", id: "shell", verdict: "skipped", seen: "ChrootDirectory /srv" },
];

#[test]
fn keywords_in_mixed_case_are_read_by_every_command() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        let host = host.file().display();
        let base = format!("{INCLUDE}HostKey {host}\nListenAddress 127.0.0.1\nUsePAM no\nPidFile none\n");
        lay_out(&base, &[]);
        print_mixed_case(world);
        world.configure_unhurried("");
        let printed = Command::new("/usr/sbin/sshd").arg("-T").output().unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        assert!(printed.contains("\nAuthorizedKeysCommand none\n"), "{printed}");

        let ran = agent(world, &["enable"]);
        assert_eq!(ran.status, Some(0), "{}{}", ran.out, ran.err);
        let (code, report) = json(world, &["status", "--json"]);
        assert_eq!((code, &report["in_use"]), (Some(0), &Value::Bool(true)), "{report:#}");
        assert_eq!((&report["sshd"]["file"], &report["sshd"]["line"]), (&Value::from(OURS), &Value::from(2)));
        let doctor = || json(world, &["doctor", "--json", "--user", "ec2-user"]).1;
        let sound = doctor();
        for id in ["command", "command-user", "public-keys", "key-types", "access", "account", "answer"] {
            assert_eq!(check(&sound, id)["verdict"], "ok", "{sound:#}");
        }

        for Keyword { line, id, verdict, seen } in KEYWORDS {
            fs::write(CONFIG, format!("{line}\n{base}")).unwrap();
            let report = doctor();
            let check = check(&report, id);
            assert_eq!(check["verdict"], verdict, "{line}: {check:#}");
            assert!(check["seen"].as_str().unwrap().contains(seen), "{line}: {check:#}");
        }

        world.configure("[keys]\nenvironment = true\n");
        for (value, status, says) in [
            ("EIC_*", 0, ""),
            ("no", 1, "expected PermitUserEnvironment EIC_* in sshd_config, got no"),
            ("LANG", 1, "expected PermitUserEnvironment EIC_* in sshd_config, got LANG"),
        ] {
            fs::write(CONFIG, format!("PermitUserEnvironment {value}\n{base}")).unwrap();
            let ran = agent(world, &["config"]);
            assert_eq!(ran.status, Some(status), "{value}: {}", ran.err);
            assert!(ran.err.contains(says), "{value}: {}", ran.err);
        }
        fs::write(CONFIG, &base).unwrap();
        assert_eq!(agent(world, &["disable"]).status, Some(0));
        assert!(!fs::exists(OURS).unwrap());
    });
}

/// `sessions` reads logs of other machines too, so it cannot query the sshd that wrote them.
#[test]
fn settings_that_sessions_and_config_name_are_known_to_sshd() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host = Key::ed25519(world, "host");
        for setting in ["LogLevel INFO", "LogLevel VERBOSE", "UsePAM yes", "PermitUserEnvironment EIC_*"] {
            let asked = Command::new("/usr/sbin/sshd")
                .args(["-t", "-f", "/dev/null", "-o", setting, "-h"])
                .arg(host.file())
                .output()
                .unwrap();
            assert!(asked.status.success(), "{setting}: {}", String::from_utf8_lossy(&asked.stderr));
        }
    });
}
