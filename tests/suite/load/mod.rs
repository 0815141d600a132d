//! Many logins at once while some of metadata's answers are faulty: whoever's evidence was served comes in, and
//! nothing stays behind.
//!
//! `make load` runs this with a thousand logins and the agent that is shipped, and shows the figures.

mod crowd;
mod evidence;
mod figures;
mod traces;

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crowd::{Crowd, accounts};
use eic_emulator::http::{Request, Wire};
use eic_emulator::{Config, Fault};
use evidence::unserved;
use figures::{Figures, Peak};
use traces::{Packets, Traces, cover_shared_folders};

use crate::documents::{assert_screen, block, document};
use crate::world::{BOB, Key, Sshd, Syslog, World, on_an_instance, on_an_instance_for, test_path};

/// How many logins there are, and how many of them at once, where `make load` does not say: enough for every kind
/// of fault, and few enough for the tests that run beside this one.
const LOGINS: usize = 40;
const AT_ONCE: usize = 8;

/// Seconds for all of them on the slowest machine; a login has its own bound.
const LONGEST: &str = "1200";

/// Where a user's keys are.
const KEYS: &str = "managed-ssh-keys/active-keys/";

/// The default of `MaxStartups` is 10:30:100, and sshd drops some of fifty clients that come at once
/// (`sshd_config(5)`): they would be sshd's refusals, not ours. Fifty clients share this machine's processors with
/// sshd, the agent and the metadata service, so a login is given time.
const ROOM: &str = "MaxStartups 200\nLoginGraceTime 600\n";

/// The agent has a minute for the same reason: who waits for a processor for five seconds has been served, and the
/// deadline is tested elsewhere.
fn ask_us(world: &World) -> String {
    let agent = world.agent();
    format!(
        "AuthorizedKeysCommand {} authorized-keys --timeout 60 %u %f\nAuthorizedKeysCommandUser eic-agent\n",
        agent.display()
    )
}

/// A number that `make load` sets.
fn set(name: &str, default: usize) -> usize {
    env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number, got {text}")))
}

/// One answer in a hundred, of every kind in its turn. A refused token is always one for a user's keys, so that
/// the record tells whose session it was.
fn one_in_a_hundred() -> Vec<Fault> {
    let cut = |wire: &mut Wire, _: &Request| {
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4096\r\n\r\nhalf of it")
    };
    vec![
        Fault::everywhere().every(500).status(503).named("503"),
        Fault::everywhere().every(500).after(100).raw(|wire, _| wire.reset()).named("reset"),
        Fault::everywhere().every(500).after(200).delay(Duration::from_secs(1)).named("slow"),
        Fault::everywhere().every(500).after(300).raw(cut).named("cut"),
        // One of a run's seven requests is for the user's keys, and 1/71 of 1/7 is the last 1/500.
        Fault::below(&format!("/latest/meta-data/{KEYS}")).every(71).after(40).status(401).named("401"),
    ]
}

#[test]
fn login_whose_evidence_was_served_succeeds_and_leaves_nothing_behind() {
    // Long enough for a login that waits for a processor; how a key ends is tested elsewhere.
    let config = Config { key_ttl: 180, ..Config::default() };
    let said = on_an_instance_for(LONGEST, test_path!(), config, |world| {
        let (logins, at_once) = (set("EIC_LOAD_LOGINS", LOGINS), set("EIC_LOAD_AT_ONCE", AT_ONCE));
        if let Some(agent) = env::var_os("EIC_LOAD_AGENT").map(PathBuf::from) {
            fs::copy(agent, world.agent()).unwrap();
        }
        cover_shared_folders();
        let syslog = Syslog::bind();
        let users = accounts(logins);
        let crowd = Crowd::new(world, at_once);
        let _sshd = Sshd::with(world, &format!("{ROOM}{}", ask_us(world)));
        // The signer's staples are made when they are first asked for, and sshd's own lazy start is over.
        world.emulator.push("ubuntu", &crowd.key(0).line(), BOB);
        assert!(world.ssh("ubuntu", &[crowd.key(0)]).ok);
        world.emulator.clear_keys();
        let before = Traces::settled(world);
        world.emulator.take_requests();
        let packets = Packets::begin();

        for fault in one_in_a_hundred() {
            world.emulator.inject(fault);
        }
        let peak = Peak::watch();
        let attempts = crowd.log_in(&users);
        let records = world.emulator.take_requests();
        let figures = Figures {
            attempts: &attempts,
            records: &records,
            packets: Packets::since(&packets),
            peak: peak.seen(),
        };
        let lines = figures.lines();
        let behind = "load: left behind       no process, socket or file";
        assert_screen("docs/performance.md", "load: logins     ", &format!("{}\n{behind}", lines.join("\n")));
        eprintln!("{}", lines.join("\n"));

        assert_eq!(attempts.logins.len(), logins);
        let lines = syslog.agent_lines();
        for failed in attempts.logins.iter().filter(|login| !login.outcome.ok) {
            let about: Vec<_> = lines.iter().filter(|line| line.contains(&failed.user)).collect();
            let cause = unserved(&records, &failed.user);
            assert!(cause.is_some(), "{failed:?} was served: {about:#?}");
            eprintln!("load: {} was not served: {} {about:?}", failed.user, cause.unwrap());
        }
        let struck: Vec<_> = records.iter().filter_map(|record| record.fault).collect();
        assert!((records.len() / 125..=records.len() / 70).contains(&struck.len()), "{struck:?}");
        for kind in ["503", "reset", "slow", "cut", "401"] {
            assert!(struck.contains(&kind), "{kind} among {struck:?}");
        }

        world.emulator.clear_keys();
        before.assert_nothing_new(world);
        eprintln!("{behind}");
    });
    for line in said.lines().filter(|line| line.starts_with("load: ")) {
        eprintln!("{line}");
    }
}

#[test]
fn record_of_requests_tells_whose_evidence_was_served() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _syslog = Syslog::bind();
        let users = accounts(4);
        let crowd = Crowd::new(world, 1);
        let _sshd = Sshd::with(world, &format!("{ROOM}{}", ask_us(world)));
        let emulator = &world.emulator;
        let log_in = |user: &String| {
            let attempts = crowd.log_in(std::slice::from_ref(user));
            emulator.clear_faults();
            (attempts.logins[0].outcome.ok, unserved(&emulator.take_requests(), user))
        };
        assert_eq!(log_in(&users[0]), (true, None));

        emulator.inject(Fault::at("managed-ssh-keys/signer-cert").raw(|wire, _| wire.reset()).named("reset"));
        let kept_away = "/latest/meta-data/managed-ssh-keys/signer-cert/: reset".to_owned();
        assert_eq!(log_in(&users[1]), (false, Some(kept_away)));

        let keys = format!("/latest/meta-data/{KEYS}{}/", users[2]);
        emulator.inject(Fault::at(&keys).status(401).named("401"));
        assert_eq!(log_in(&users[2]), (false, Some(format!("{keys}: 401"))));

        // Served, and refused all the same: no excuse for a failure.
        fs::write("/sys/devices/virtual/dmi/id/board_asset_tag", "i-0fedcba9876543210\n").unwrap();
        assert_eq!(log_in(&users[3]), (false, None));
    });
}

#[test]
fn readme_calculates_with_the_defaults_of_sshd() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let host_key = Key::ed25519(world, "host");
        let asked = Command::new("/usr/sbin/sshd")
            .args(["-T", "-f", "/dev/null", "-h"])
            .arg(host_key.file())
            .output()
            .expect("sshd is installed");
        let settings = String::from_utf8(asked.stdout).unwrap();
        let known = [
            ("maxstartups", "10:30:100"),
            ("maxauthtries", "6"),
            ("logingracetime", "120"),
            ("persourcemaxstartups", "none"),
        ];
        for (name, default) in known {
            // PerSourceMaxStartups is younger than the oldest sshd that this runs on.
            let mut lines = settings.lines().filter_map(|line| line.split_once(' '));
            let said = lines.find_map(|(known, value)| known.eq_ignore_ascii_case(name).then_some(value));
            assert!(said == Some(default) || said.is_none() && name == "persourcemaxstartups", "{settings}");
            let text = document("docs/performance.md");
            assert!(text.to_ascii_lowercase().contains(&format!("`{name}`")));
            assert!(
                text.contains(&format!("`{default}`")),
                "docs/performance.md gives another default of {name}"
            );
        }
        let product = "MaxStartups 100 × MaxAuthTries 6 × 2 requests × 10 packets = 12,000 packets";
        assert_eq!(block("docs/performance.md", "MaxStartups 100"), product);
    });
}

#[test]
fn client_with_many_keys_costs_two_requests_an_offer_and_no_refusal() {
    on_an_instance(test_path!(), Config::default(), |world| {
        const KEYS_OFFERED: usize = 20;
        const USERS: usize = 10;
        const GOOD: usize = 12;
        cover_shared_folders();
        let _syslog = Syslog::bind();
        let all = accounts(USERS + GOOD);
        let (attacked, welcome) = all.split_at(USERS);
        let offered: Vec<_> =
            (0..KEYS_OFFERED).map(|number| Key::ed25519(world, &format!("offered-{number}"))).collect();
        let crowd = Crowd::new(world, USERS);
        // Half of those users have a key, which is not one of the client's.
        for user in attacked.iter().step_by(2) {
            world.emulator.push(user, &crowd.key(0).line(), BOB);
        }

        // As sshd is by default, it ends a connection after six offers.
        let sshd = Sshd::with(world, &ask_us(world));
        world.emulator.take_requests();
        let refused = world.offer(&attacked[0], &offered);
        assert!(refused.said.contains("Too many authentication failures"), "{refused:?}");
        assert_eq!(world.emulator.take_requests().len(), 6 * 2, "MaxAuthTries is 6, and an offer costs two");
        drop(sshd);
        fs::remove_file(world.path("etc/host")).unwrap();

        let _sshd = Sshd::with(world, &format!("{ROOM}MaxAuthTries 30\n{}", ask_us(world)));
        let before = Traces::settled(world);
        let (outcomes, attempts) = std::thread::scope(|scope| {
            let offers: Vec<_> =
                attacked.iter().map(|user| scope.spawn(|| world.offer(user, &offered))).collect();
            let attempts = crowd.log_in(welcome);
            (offers.into_iter().map(|offer| offer.join().unwrap()).collect::<Vec<_>>(), attempts)
        });
        for outcome in outcomes {
            assert!(!outcome.ok && outcome.said.contains("Permission denied"), "{outcome:?}");
        }
        // Nobody is kept out by it, and each pays for what he asks alone.
        for login in &attempts.logins {
            assert!(login.outcome.ok, "{login:?}");
        }
        let records = world.emulator.take_requests();
        for user in attacked {
            let path = format!("/latest/meta-data/{KEYS}{user}/");
            let asked = records.iter().filter(|record| record.path == path).count();
            assert_eq!(asked, KEYS_OFFERED, "{user}");
        }
        let tokens = records.iter().filter(|record| record.path == "/latest/api/token").count();
        assert_eq!(tokens, USERS * KEYS_OFFERED + GOOD * 2, "one for every time that sshd asks");
        assert_eq!(records.len(), USERS * KEYS_OFFERED * 2 + GOOD * 2 * 7, "two requests an offer, no other");
        world.emulator.clear_keys();
        before.assert_nothing_new(world);
    });
}
