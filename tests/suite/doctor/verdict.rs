//! The verdict of `doctor` is the verdict of a real login by a real sshd with PAM.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use eic_emulator::{Config, Emulator, Fault};
use serde_json::Value;

use super::sound::ask;
use super::{enabled, have_it_read, mode, run, with};
use crate::machines::agreement::Attempt;
use crate::wiring::{CONFIG, agent};
use crate::world::{BOB, Key, Sshd, Syslog, World, on_an_instance, on_an_instance_for, test_path};

const USER: &str = "ec2-user";
const GOOD: &str = "ec2-user:*:19000:0:99999:7:::";

/// What `doctor` says of the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// No fault.
    Good,
    /// This check fails.
    Fails(&'static str),
    /// `doctor` cannot tell whether the login works, because of this PAM module.
    Unknown(&'static str),
}

/// One state of an account and of PAM's rules.
struct Machine {
    name: &'static str,
    shadow: &'static str,
    /// The account rules of sshd.
    rules: &'static str,
    verdict: Verdict,
    /// Whether a pushed key logs in.
    logs_in: bool,
    /// A part of what `doctor` says: in the check that fails, in `pam` if the verdict is unknown, else in `account`.
    says: &'static str,
}

const UNIX: &str = "account required pam_nologin.so\naccount required pam_unix.so\n";

#[expect(clippy::too_many_lines, reason = "one table")]
fn machines() -> Vec<Machine> {
    use Verdict::{Fails, Good as Fine, Unknown};
    let machine =
        |name, shadow, rules, verdict, logs_in, says| Machine { name, shadow, rules, verdict, logs_in, says };
    let expired = "ec2-user:!!:0:0:99999:7:::";
    let debian = "account required pam_nologin.so\n@include common-account\n";
    let account = Fails("account");
    vec![
        machine("good", GOOD, debian, Fine, true, "neither locked nor expired"),
        machine(
            "locked",
            "ec2-user:!:19000:0:99999:7:::",
            UNIX,
            Fine,
            true,
            "password is locked, but a login with a key works",
        ),
        machine("no password, and it has to be changed", expired, debian, account, false, "there is none"),
        machine("old password", "ec2-user:*:19000:0:90:7:::", UNIX, account, false, "has to be changed"),
        machine(
            "dead password",
            "ec2-user:*:19000:0:90:7:14::",
            debian,
            account,
            false,
            "expired too long ago",
        ),
        machine("expired account", "ec2-user:*:19000:0:99999:7::19001:", debian, account, false, "expired "),
        machine("no line in shadow", "", debian, account, false, "no line of ec2-user"),
        machine(
            "no rule about dates",
            expired,
            "account required pam_permit.so\n",
            Fine,
            true,
            "\"pam\" says",
        ),
        machine(
            "no_pass_expiry",
            expired,
            "account required pam_unix.so no_pass_expiry\n",
            Fine,
            true,
            "\"pam\" says",
        ),
        machine(
            "deny",
            GOOD,
            "account required pam_deny.so\n",
            Fails("pam"),
            false,
            "pam_deny (/etc/pam.d/sshd:2)",
        ),
        machine(
            "missing module",
            GOOD,
            "-account required pam_nosuch.so\naccount required pam_unix.so\n",
            Fails("pam"),
            false,
            "module_unknown",
        ),
        machine(
            "access rule that refuses",
            GOOD,
            "account required pam_unix.so\naccount required pam_access.so\n",
            Unknown("pam_access"),
            false,
            "only a login shows",
        ),
        machine(
            "access rule behind pam_localuser",
            GOOD,
            "account required pam_unix.so\naccount sufficient pam_localuser.so\naccount required pam_access.so\n",
            Fine,
            true,
            "neither locked nor expired",
        ),
        machine(
            "access rule and an expired account",
            "ec2-user:*:19000:0:99999:7::19001:",
            "account required pam_access.so\naccount required pam_unix.so\n",
            account,
            false,
            "expired ",
        ),
        machine(
            "low user id",
            GOOD,
            "account sufficient pam_succeed_if.so uid < 1000 quiet\naccount requisite pam_deny.so\n",
            Fails("pam"),
            false,
            "pam_deny",
        ),
        machine(
            "jump over a refusal",
            GOOD,
            "account [success=1 default=ignore] pam_succeed_if.so uid >= 1000 quiet\naccount requisite pam_deny.so\naccount required pam_permit.so\n",
            Fine,
            true,
            "neither locked nor expired",
        ),
        machine("only ignored", GOOD, "account required pam_nologin.so\n", Fails("pam"), false, "no module"),
    ]
}

fn pam(rules: &str) {
    let rules = format!("auth required pam_permit.so\n{rules}session required pam_permit.so\n");
    fs::write("/etc/pam.d/sshd", rules).unwrap();
}

fn shadow(line: &str) {
    let text = fs::read_to_string("/etc/shadow").unwrap();
    let kept = text.lines().filter(|line| !line.starts_with("ec2-user:"));
    let lines: Vec<_> = kept.chain((!line.is_empty()).then_some(line)).collect();
    fs::write("/etc/shadow", lines.join("\n") + "\n").unwrap();
}

fn logs_in(world: &World, key: &Key) -> bool {
    world.emulator.push(USER, &key.line(), BOB);
    let ok = world.ssh(USER, &[key]).ok;
    world.emulator.clear_keys();
    ok
}

fn check<'r>(report: &'r Value, id: &str) -> &'r Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap()
}

fn text(report: &Value, id: &str, field: &str) -> String {
    check(report, id)[field].as_str().unwrap_or_default().to_owned()
}

/// Compares `doctor` with the login, and gives what differs.
fn differences(world: &World, key: &Key, machine: &Machine) -> Vec<String> {
    let (status, report) = ask(world, USER);
    let observed = Attempt { world, user: USER, pushed: key, own: None, is_read: true }
        .observe_with(status, report.clone());
    let login = observed.logs_in();
    let mut faults = observed.contradictions();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            faults.push(format!("{}: {what}: login {login}, status {status:?}, {report:#}", machine.name));
        }
    };
    expect(login == machine.logs_in, "login");
    let fails = matches!(machine.verdict, Verdict::Fails(_));
    expect(status == Some(i32::from(fails)), "status");
    let words = match machine.verdict {
        Verdict::Good => {
            expect(check(&report, "pam")["verdict"] == "ok", "pam");
            text(&report, "account", "seen")
        }
        Verdict::Fails(id) => {
            expect(report["cause"] == id, "cause");
            text(&report, id, "seen")
        }
        Verdict::Unknown(module) => {
            let seen = text(&report, "pam", "seen");
            expect(check(&report, "pam")["verdict"] == "skipped" && seen.contains(module), "pam");
            let screen = agent(world, &["doctor", "--user", USER]).out;
            expect(screen.contains("not known whether a login works"), &screen);
            seen
        }
    };
    expect(words.contains(machine.says), "words");
    // The fix is a command. It must repair the machine.
    if machine.verdict == Verdict::Fails("account") {
        let fix = text(&report, "account", "fix");
        let command = fix.strip_prefix("sudo ").unwrap_or_else(|| panic!("{fix}"));
        let ran =
            Command::new("sh").args(["-c", command]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").status();
        expect(ran.unwrap().success(), command);
        let (_, after) = ask(world, USER);
        expect(check(&after, "account")["verdict"] != "fail", &format!("after {command}: {after:#}"));
        if !machine.rules.contains("pam_access") {
            expect(logs_in(world, key), &format!("login after {command}"));
        }
    }
    faults
}

/// sshd with PAM, and a reader of the log.
fn with_pam(world: &World) -> (Sshd, Syslog) {
    let sshd = enabled(world);
    let config = fs::read_to_string(CONFIG).unwrap();
    fs::write(CONFIG, config.replace("UsePAM no", "UsePAM yes")).unwrap();
    sshd.reload();
    (sshd, Syslog::bind())
}

#[test]
fn verdict_about_pam_and_the_account_is_that_of_a_login() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let _running = with_pam(world);
        fs::write("/etc/security/access.conf", "-:ec2-user:ALL\n").unwrap();
        let key = Key::ed25519(world, "pushed");
        let mut faults = Vec::new();
        for machine in machines() {
            pam(machine.rules);
            shadow(machine.shadow);
            faults.extend(differences(world, &key, &machine));
        }
        assert!(faults.is_empty(), "{}", faults.join("\n"));

        // Without rules, pam_access lets everyone in, and doctor knows that.
        shadow(GOOD);
        pam("account required pam_unix.so\naccount required pam_access.so\n");
        fs::write("/etc/security/access.conf", "# none\n").unwrap();
        let _ = fs::remove_dir_all("/etc/security/access.d");
        let (_, report) = ask(world, USER);
        assert!(check(&report, "pam")["verdict"] == "ok" && logs_in(world, &key), "{report:#}");

        // If unix_chkpwd does not work, `doctor` makes no claim about the account.
        pam(UNIX);
        for program in ["/usr/sbin/unix_chkpwd", "/sbin/unix_chkpwd"] {
            if Path::new(program).exists() {
                run(&["mount", "--bind", "/bin/false", program]);
            }
        }
        let (status, report) = ask(world, USER);
        assert_eq!((status, &check(&report, "account")["verdict"]), (Some(0), &Value::from("skipped")));
        assert!(text(&report, "pam", "seen").contains("unix_chkpwd: exit status: 1"), "{report:#}");
    });
}

#[test]
fn refused_key_is_a_failure() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let key = Key::ed25519(world, "pushed");
        world.configure_unhurried("[[rule]]\nname = \"n\"\naction = \"deny\"\nusers = [\"ec2-user\"]\n");
        world.emulator.push(USER, &key.line(), BOB);
        let (status, report) = ask(world, USER);
        assert_eq!((status, &report["cause"]), (Some(1), &Value::from("answer")), "{report:#}");
        assert!(!logs_in(world, &key));
    });
}

#[test]
fn refused_configuration_is_named_before_the_stopped_server() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (sshd, _log) = (enabled(world), Syslog::bind());
        drop(sshd);
        let key = world.path("etc/host");
        let away = world.path("etc/host.away");
        fs::rename(&key, &away).unwrap();
        let (_, report) = ask(world, USER);
        let fix = text(&report, "listener", "fix");
        assert!(
            fix.contains(&format!(
                "sudo ssh-keygen -q -N '' -t ed25519 -f {}; then: start sshd",
                key.display()
            )),
            "{fix}"
        );
        fs::rename(&away, &key).unwrap();

        let drop_in = "/etc/ssh/sshd_config.d/05-x.conf";
        fs::write(drop_in, "PermitRotLogin no\n").unwrap();
        let screen = agent(world, &["doctor", "--user", USER]).out;
        assert!(screen.contains("Most likely cause of a refused login: command: "), "{screen}");
        let (status, report) = ask(world, USER);
        assert_eq!((status, &report["cause"]), (Some(1), &Value::from("command")));
        let fix = text(&report, "listener", "fix");
        assert!(fix.starts_with("first do what the check \"command\" says; then: start sshd"), "{fix}");
        // The fixes in that order repair the machine.
        fs::remove_file(drop_in).unwrap();
        let (_, report) = ask(world, USER);
        assert_eq!(report["cause"], "listener");
        let _sshd = Sshd::listen(&[]);
        let (status, report) = ask(world, USER);
        assert_eq!((status, &report["cause"]), (Some(0), &Value::Null));
        assert!(logs_in(world, &Key::ed25519(world, "pushed")));
    });
}

#[test]
fn useradd_is_not_advised_for_a_name_that_ec2_refuses() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let (status, report) = ask(world, "a$b");
        assert_eq!((status, &report["cause"]), (Some(1), &Value::from("answer")), "{report:#}");
        assert!(!report.to_string().contains("useradd"), "{report:#}");
        with("AllowUsers root\n")(world);
        have_it_read();
        fs::write(
            "/etc/passwd",
            fs::read_to_string("/etc/passwd").unwrap() + "a$b:x:60200:60200::/:/bin/sh\n",
        )
        .unwrap();
        let (_, report) = ask(world, "a$b");
        assert_eq!(report["cause"], "answer", "{report:#}");
        assert!(text(&report, "access", "fix").starts_with("first do what the check \"answer\" says"));
    });
}

#[test]
fn user_that_a_firewall_refuses_is_named() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let key = Key::ed25519(world, "pushed");
        world.configure("[imds]\ntimeout = 3\n");
        run(&["nft", "add table ip away"]);
        run(&["nft", "add chain ip away out { type filter hook output priority 0; }"]);
        for refusal in ["reject", "drop"] {
            run(&["nft", "flush chain ip away out"]);
            let rule = "add rule ip away out ip daddr 169.254.169.254 meta skuid eic-agent";
            run(&["nft", &format!("{rule} {refusal}")]);
            let (status, report) = ask(world, USER);
            assert_eq!((status, &report["cause"]), (Some(1), &Value::from("metadata")), "{report:#}");
            let seen = text(&report, "metadata", "seen");
            assert!(
                seen.ends_with(": a firewall refuses the user eic-agent, and lets root through"),
                "{seen}"
            );
            assert!(text(&report, "metadata", "fix").contains("let the user eic-agent through"));
            for command in [&["status"][..], &["explain", USER]] {
                let said = agent(world, command);
                let all = format!("{}{}", said.out, said.err);
                assert_eq!(said.status, Some(1), "{command:?}: {all}");
                assert!(all.contains("a firewall refuses the user eic-agent"), "{command:?}: {all}");
                assert!(!all.contains("in use    yes") && !all.contains("service is on and"), "{all}");
            }
            assert!(!logs_in(world, &key), "{refusal}");
        }
        // If the rule is for all users, `doctor` names no user.
        run(&["nft", "flush chain ip away out"]);
        run(&["nft", "add rule ip away out ip daddr 169.254.169.254 drop"]);
        let (_, report) = ask(world, USER);
        let seen = text(&report, "metadata", "seen");
        assert!(!seen.contains("a firewall refuses"), "{seen}");
        run(&["nft", "delete table ip away"]);
        // If the service accepts connections and never answers, `doctor` does not blame a firewall.
        world.emulator.inject(Fault::token().delay(Duration::from_secs(600)));
        let seen = text(&ask(world, USER).1, "metadata", "seen");
        assert!(seen.starts_with("metadata-timeout") && !seen.contains("firewall refuses"), "{seen}");
    });
}

#[test]
fn instance_with_ipv6_only_is_ok_and_the_faster_setting_works() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let v6 = Emulator::start(Config { imds: "[fd00:ec2::254]:80".parse().unwrap(), ..Config::default() });
        let v6 = v6.expect("IPv6 works on this machine");
        world.trust(&v6.ca_pem());
        world.lose_address("169.254.169.254/32");
        let key = Key::ed25519(world, "pushed");
        v6.push(USER, &key.line(), BOB);
        let (status, report) = ask(world, USER);
        assert_eq!((status, &report["cause"]), (Some(0), &Value::Null), "{report:#}");
        let seen = text(&report, "metadata", "seen");
        let setting = "endpoint = \"http://[fd00:ec2::254]\"";
        assert!(seen.contains(setting) && seen.contains("below [imds]"), "{seen}");
        assert!(world.ssh(USER, &[&key]).ok);
        world.configure(&format!("[imds]\ntimeout = 60\n{setting}\n"));
        let (status, report) = ask(world, USER);
        assert_eq!((status, &report["cause"]), (Some(0), &Value::Null), "{report:#}");
        assert!(!text(&report, "metadata", "seen").contains("does not answer"));
        assert!(world.ssh(USER, &[&key]).ok);
    });
}

/// The service at the first address accepts connections and refuses requests, so a login never tries the second.
#[test]
fn second_address_does_not_help_a_login_that_the_first_refuses() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let v6 = Emulator::start(Config { imds: "[fd00:ec2::254]:80".parse().unwrap(), ..Config::default() });
        let v6 = v6.expect("IPv6 works on this machine");
        let key = Key::ed25519(world, "pushed");
        v6.push(USER, &key.line(), BOB);
        world.emulator.inject(Fault::token().status(403));
        let (status, report) = ask(world, USER);
        assert_eq!((status, &report["cause"]), (Some(1), &Value::from("metadata")), "{report:#}");
        assert!(!world.ssh(USER, &[&key]).ok);
    });
}

#[test]
fn low_max_auth_tries_is_a_note_and_zero_is_a_failure() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (sshd, _log) = (enabled(world), Syslog::bind());
        let sound = fs::read_to_string(CONFIG).unwrap();
        let [other, key] = ["other", "pushed"].map(|name| Key::ed25519(world, name));
        for (tries, verdict, alone, after_another) in
            [("6", "ok", true, true), ("1", "ok", true, false), ("0", "fail", false, false)]
        {
            fs::write(CONFIG, format!("MaxAuthTries {tries}\n{sound}")).unwrap();
            sshd.reload();
            let (_, report) = ask(world, USER);
            assert_eq!(check(&report, "auth-tries")["verdict"], verdict, "{report:#}");
            let is_noted = text(&report, "auth-tries", "seen").contains("IdentitiesOnly=yes");
            assert_eq!(is_noted, tries == "1", "{report:#}");
            world.emulator.push(USER, &key.line(), BOB);
            assert_eq!(world.ssh(USER, &[&key]).ok, alone, "{tries}");
            world.emulator.push(USER, &key.line(), BOB);
            assert_eq!(world.ssh(USER, &[&other, &key]).ok, after_another, "{tries}");
        }
    });
}

#[test]
fn status_waits_for_metadata_as_long_as_a_login() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        world.emulator.inject(Fault::token().delay(Duration::from_secs(4)));
        world.configure("[imds]\ntimeout = 1\n");
        let ran = agent(world, &["status"]).out;
        assert!(ran.contains("within 1 s in all"), "{ran}");
        world.configure_unhurried("");
        let ran = agent(world, &["status"]).out;
        assert!(ran.contains("metadata  answers"), "{ran}");
    });
}

#[test]
fn sshd_that_hangs_is_reported_with_the_time_that_was_waited() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let slow = world.script("slow", "[ \"$1\" = -V ] && exec sleep 600\nexec /run/sshd.real \"$@\"");
        fs::copy("/usr/sbin/sshd", "/run/sshd.real").unwrap();
        mode(Path::new("/run/sshd.real"), 0o755);
        for program in ["/usr/sbin/sshd", "/usr/bin/ssh"] {
            run(&["mount", "--bind", slow.to_str().unwrap(), program]);
        }
        let (_, report) = ask(world, USER);
        let seen = text(&report, "openssh", "seen");
        assert!(seen.contains("/usr/sbin/sshd -V: timed out after 5 s"), "{report:#}");
    });
}
