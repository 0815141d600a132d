//! Settings that end every connection or login, and accounts without a line in `/etc/shadow`.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use eic_emulator::Config;

use super::{Finding, Row, edited, enabled, every_row, have_it_read, row, run, with};
use crate::machines::advice::refused_settings;
use crate::machines::agreement::{Attempt, Observation};
use crate::wiring::{CONFIG, OURS, agent};
use crate::world::{Key, Syslog, World, on_an_instance, test_path};

const USER: &str = "ec2-user";

fn rows() -> Vec<Row> {
    let without_line = |world: &World| {
        let text = fs::read_to_string("/etc/shadow").unwrap();
        let kept = text.split_inclusive('\n').filter(|line| !line.starts_with("ec2-user:"));
        fs::write("/etc/shadow", kept.collect::<String>()).unwrap();
        let _ = world;
    };
    vec![
        row(
            "LoginGraceTime below the time limit of a run",
            with("LoginGraceTime 50\n"),
            Finding {
                check: "listener",
                verdict: "warn",
                seen: "LoginGraceTime is 50 s (/etc/ssh/sshd_config:1), but a run of the agent may take 60 s (imds.timeout)",
                fix: "set LoginGraceTime 120 there, then: sudo kill -HUP",
            },
        ),
        row(
            "no line in shadow, without PAM",
            without_line,
            Finding { check: "account", verdict: "ok", seen: "sshd needs none without PAM", fix: "" },
        ),
        row(
            "a locked entry of passwd, without PAM",
            move |world| {
                without_line(world);
                edited("/etc/passwd", "ec2-user:x:", "ec2-user:!:")(world);
            },
            Finding {
                check: "account",
                verdict: "fail",
                seen: "ec2-user is locked (! in /etc/passwd), and UsePAM is no",
                fix: "sudo usermod -p '*' ec2-user",
            },
        ),
    ]
}

#[test]
fn setting_or_account_that_ends_logins_is_named() {
    every_row(test_path!(), rows);
}

/// What the commands say of a machine with this line in `sshd_config`, and what a login does.
fn observed(world: &World, pushed: &Key, line: &str) -> Observation {
    let sound = fs::read_to_string(CONFIG).unwrap();
    fs::write(CONFIG, format!("{line}\n{sound}")).unwrap();
    assert!(have_it_read());
    let observed = Attempt { world, user: USER, pushed, own: None, is_read: false }.observe();
    let mut faults = observed.contradictions();
    faults.extend(refused_settings(world, observed.report()));
    fs::write(CONFIG, sound).unwrap();
    assert!(have_it_read());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    observed
}

fn is_known(setting: &str) -> bool {
    let said = Command::new("/usr/sbin/sshd")
        .args(["-T", "-o", setting])
        .args(["-C", "user=root,host=h,addr=127.0.0.1,laddr=127.0.0.1,lport=22"])
        .output();
    said.unwrap().status.success()
}

/// These settings refuse connections, so a login shows them only at the running server.
#[test]
fn setting_that_drops_every_connection_is_a_failure() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let key = Key::ed25519(world, "pushed");
        assert!(observed(world, &key, "MaxStartups 1:100:1").logs_in());
        for (setting, says) in [
            (
                "PerSourceMaxStartups 0",
                "PerSourceMaxStartups is 0 (/etc/ssh/sshd_config:1): sshd drops every connection",
            ),
            // Since OpenSSH 9.9.
            ("RefuseConnection yes", "RefuseConnection is yes (/etc/ssh/sshd_config:1)"),
        ] {
            if !is_known(setting) {
                continue;
            }
            let observed = observed(world, &key, setting);
            assert!(!observed.logs_in(), "{setting}");
            assert_eq!(observed.forecast(), "fails", "{}", observed.summary());
            assert!(observed.summary().contains(says), "{}", observed.summary());
        }
    });
}

/// A connection to port 22 does not show which program listens there.
#[test]
fn another_program_at_the_port_leaves_the_login_open() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (sshd, _log) = (enabled(world), Syslog::bind());
        drop(sshd);
        let key = Key::ed25519(world, "pushed");
        let attempt = Attempt { world, user: USER, pushed: &key, own: None, is_read: false };
        let stopped = attempt.observe();
        assert_eq!(stopped.contradictions(), [""; 0]);
        assert_eq!(stopped.forecast(), "fails", "{}", stopped.summary());
        let other = TcpListener::bind("127.0.0.1:22").unwrap();
        std::thread::spawn(move || other.incoming().for_each(drop));
        let observed = attempt.observe();
        assert_eq!(observed.contradictions(), [""; 0]);
        assert_eq!(observed.forecast(), "not-known", "{}", observed.summary());
    });
}

/// `explain` tries the connection as the user of a run, in another process.
#[test]
fn firewall_that_refuses_only_the_user_of_a_run_is_named_by_explain() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        world.configure("[imds]\ntimeout = 3\n");
        let key = Key::ed25519(world, "pushed");
        run(&["nft", "add table ip away"]);
        run(&["nft", "add chain ip away out { type filter hook output priority 0; }"]);
        run(&["nft", "add rule ip away out ip daddr 169.254.169.254 meta skuid provider reject"]);
        edited(OURS, "User eic-agent", "User provider")(world);
        let observed = observed(world, &key, "");
        assert!(!observed.logs_in() && observed.forecast() == "fails", "{}", observed.summary());
        let said = agent(world, &["explain", USER]);
        assert_eq!(said.status, Some(1));
        let words = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains("a firewall refuses the user provider, as whom sshd runs the agent"),
            "{words}"
        );
    });
}

/// Debian's sshd obeys the rules of TCP wrappers.
#[test]
fn rules_of_tcp_wrappers_leave_the_login_open() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let key = Key::ed25519(world, "pushed");
        fs::write("/etc/hosts.deny", "sshd: 127.0.0.1\n").unwrap();
        let observed = observed(world, &key, "");
        assert_eq!(observed.forecast(), "not-known", "{}", observed.summary());
        assert!(observed.summary().contains("/etc/hosts.deny has rules"), "{}", observed.summary());
        // Since OpenSSH 9.8, another program serves a connection.
        let programs = ["/usr/sbin/sshd", "/usr/lib/openssh/sshd-session"];
        let linked = Command::new("ldd").args(programs).output().unwrap();
        let obeys = String::from_utf8_lossy(&linked.stdout).contains("libwrap");
        assert_eq!(observed.logs_in(), !obeys);
        fs::write("/etc/hosts.deny", "# sshd: 127.0.0.1\n").unwrap();
        let observed = self::observed(world, &key, "");
        assert!(observed.logs_in() && observed.forecast() == "works", "{}", observed.summary());
    });
}

/// Options of `[keys]` that no login of this client satisfies.
#[test]
fn options_of_the_settings_that_refuse_a_key_are_not_reported_as_working() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let key = Key::ed25519(world, "pushed");
        for (options, forecast, logs_in) in [
            ("from=\"10.0.0.1\"", "not-known", false),
            ("from=\"!10.0.0.1,*\"", "not-known", true),
            ("expiry-time=\"20200101\"", "fails", false),
            ("expiry-time=\"20990101\"", "not-known", true),
            ("no-port-forwarding", "works", true),
        ] {
            world.configure_unhurried(&format!("[keys]\noptions = '{options}'\n"));
            let observed = observed(world, &key, "");
            assert_eq!(
                (observed.forecast(), observed.logs_in()),
                (forecast, logs_in),
                "{options}: {}",
                observed.summary()
            );
        }
    });
}

/// sshd reads a `Match` of an included file as a block of that file only.
#[test]
fn match_of_an_included_file_is_judged_as_sshd_reads_it() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _running = (enabled(world), Syslog::bind());
        let key = Key::ed25519(world, "pushed");
        for (included, line, logs_in) in [
            ("Match User ec2-user\n PubkeyAuthentication no\n", "Include /etc/ssh/inner.conf", false),
            ("Match User ubuntu\n PubkeyAuthentication no\n", "Include /etc/ssh/inner.conf", true),
            ("Match User ubuntu\n", "Include /etc/ssh/inner.conf\nPubkeyAuthentication no", false),
        ] {
            fs::write("/etc/ssh/inner.conf", included).unwrap();
            let observed = observed(world, &key, line);
            assert_eq!(observed.logs_in(), logs_in, "{included}{line}: {}", observed.summary());
            assert_eq!(
                observed.forecast(),
                if logs_in { "works" } else { "fails" },
                "{}",
                observed.summary()
            );
        }
        assert_eq!(agent(world, &["status"]).status, Some(0));
    });
}
