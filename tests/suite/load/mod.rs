//! Many logins at once, while some answers of metadata are faulty. Each login whose evidence was served succeeds, and
//! nothing stays behind.
//!
//! `make load` runs this test with a thousand logins and the shipped agent, and shows the figures.

mod crowd;
mod evidence;
mod figures;
mod traces;

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crowd::{Crowd, accounts};
use eic_emulator::http::{Request, Wire};
use eic_emulator::{Config, Fault};
use evidence::{token, unserved};
use figures::{Figures, Peak};
use traces::{Packets, Traces, cover_shared_folders};

use crate::documents::{assert_screen, block, document};
use crate::memory::make_folder;
use crate::world::{BOB, Key, Sshd, Syslog, World, on_an_instance, on_an_instance_for, test_path};

/// The number of logins, and how many run at once, unless `make load` sets them. They are enough for every kind of
/// fault, and few enough for other tests that run at the same time.
const LOGINS: usize = 40;
const AT_ONCE: usize = 8;

/// Seconds for all logins on the slowest machine. Each login has its own limit.
const LONGEST: &str = "1200";

/// The metadata path of all users' keys.
const KEYS: &str = "managed-ssh-keys/active-keys/";

/// With the default `MaxStartups` of 10:30:100, sshd drops some of fifty clients that connect at once
/// (`sshd_config(5)`). These would be refusals by sshd, not by the agent. Fifty clients share this machine's
/// processors with sshd, the agent and the metadata service, so a login gets more time.
const ROOM: &str = "MaxStartups 200\nLoginGraceTime 600\n";

/// The agent gets a minute for the same reason: a run may wait for a processor for five seconds although metadata
/// served it. Other tests cover the deadline.
fn ask_us(world: &World) -> String {
    let agent = world.agent();
    format!(
        "AuthorizedKeysCommand {} authorized-keys --timeout 60 %u %f\nAuthorizedKeysCommandUser eic-agent\n",
        agent.display()
    )
}

/// A number that `make load` sets in the environment.
fn set(name: &str, default: usize) -> usize {
    env::var(name)
        .map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}: a number, got {text}")))
}

/// Five kinds of faults, one answer in `each` of each kind, in turn. Status 401 is always for a user's keys, so that the
/// record shows whose session it was. One in `keys` answers with keys has it.
fn faults(each: u32, keys: u32) -> Vec<Fault> {
    let cut = |wire: &mut Wire, _: &Request| {
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4096\r\n\r\nhalf of it")
    };
    let kind = |place| Fault::everywhere().every(each).after(place * each / 5);
    vec![
        kind(0).status(503).named("503"),
        kind(1).raw(|wire, _| wire.reset()).named("reset"),
        kind(2).delay(Duration::from_secs(1)).named("slow"),
        kind(3).raw(cut).named("cut"),
        Fault::below(&format!("/latest/meta-data/{KEYS}"))
            .every(keys)
            .after(keys * 3 / 5)
            .status(401)
            .named("401"),
    ]
}

/// Whether the agent has a folder for its memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Memory {
    None,
    Folder,
}

#[test]
fn login_whose_evidence_was_served_succeeds_and_leaves_nothing_behind() {
    // One of the seven requests of a run is for the user's keys. So the last kind also hits 1/7 × 1/71, which is about
    // 1/500, of all requests. The five kinds together hit 1/100.
    succeed_and_leave_nothing_behind(test_path!(), Memory::None, faults(500, 71));
}

#[test]
fn login_with_a_memory_whose_evidence_was_served_succeeds_and_leaves_nothing_behind() {
    // Nearly all requests are for a user's keys. There are two for each login, so few logins need more faults to get every
    // kind.
    let each = set("EIC_LOAD_LOGINS", LOGINS).min(500).try_into().unwrap();
    succeed_and_leave_nothing_behind(test_path!(), Memory::Folder, faults(each, each));
}

fn succeed_and_leave_nothing_behind(test: &str, memory: Memory, faults: Vec<Fault>) {
    let kinds = faults.len();
    // Long enough for a login that waits for a processor. Other tests cover the expiry of a key.
    let config = Config { key_ttl: 180, ..Config::default() };
    let said = on_an_instance_for(LONGEST, test, config, |world| {
        let (logins, at_once) = (set("EIC_LOAD_LOGINS", LOGINS), set("EIC_LOAD_AT_ONCE", AT_ONCE));
        if let Some(agent) = env::var_os("EIC_LOAD_AGENT").map(PathBuf::from) {
            fs::copy(agent, world.agent()).unwrap();
        }
        cover_shared_folders();
        if memory == Memory::Folder {
            make_folder(world);
        }
        let syslog = Syslog::bind();
        let users = accounts(logins);
        let crowd = Crowd::new(world, at_once);
        let _sshd = Sshd::with(world, &format!("{ROOM}{}", ask_us(world)));
        // The first login makes the emulator create the signer's staples, and completes sshd's own lazy start.
        world.emulator.push("ubuntu", &crowd.key(0).line(), BOB);
        assert!(world.ssh("ubuntu", &[crowd.key(0)]).ok);
        world.emulator.clear_keys();
        let before = Traces::settled(world);
        world.emulator.take_requests();
        let packets = Packets::begin();

        for fault in faults {
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
        let (label, begins, lines) = match memory {
            Memory::None => ("load", "load: logins     ", figures.lines()),
            Memory::Folder => ("warm", "warm: logins     ", figures.lines_with_memory()),
        };
        let behind = format!("{label}: left behind       no process, socket or file");
        assert_screen("docs/performance.md", begins, &format!("{}\n{behind}", lines.join("\n")));
        eprintln!("{}", lines.join("\n"));

        assert_eq!(attempts.logins.len(), logins);
        let lines = syslog.agent_lines();
        for failed in attempts.logins.iter().filter(|login| !login.outcome.ok) {
            let about: Vec<_> = lines.iter().filter(|line| line.contains(&failed.user)).collect();
            let cause = unserved(&records, &failed.user);
            assert!(cause.is_some(), "{failed:?} failed although it was served: {about:#?}");
            eprintln!("{label}: {} was not served: {} {about:?}", failed.user, cause.unwrap());
        }
        let struck: Vec<_> = records.iter().filter_map(|record| record.fault).collect();
        let names: BTreeSet<_> = struck.iter().collect();
        assert_eq!(names.len(), kinds, "{struck:?}");
        match memory {
            Memory::None => {
                assert!((records.len() / 125..=records.len() / 70).contains(&struck.len()), "{struck:?}");
            }
            // Each minute, the runs of one moment may find evidence that is too old: they request everything.
            Memory::Folder => {
                let minutes = usize::try_from(attempts.took.as_secs() / 60).unwrap();
                let most = logins * 2 + minutes * at_once * 6 + struck.len() * 7;
                assert!((logins * 2..=most).contains(&records.len()), "{} requests", records.len());
            }
        }

        world.emulator.clear_keys();
        before.assert_nothing_new(world);
        eprintln!("{behind}");
    });
    for line in said.lines().filter(|line| line.starts_with("load: ") || line.starts_with("warm: ")) {
        eprintln!("{line}");
    }
}

#[test]
fn request_record_shows_whose_evidence_was_served() {
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

        // All evidence is served, and the agent still refuses the key. No fault explains the failure.
        fs::write("/sys/devices/virtual/dmi/id/board_asset_tag", "i-0fedcba9876543210\n").unwrap();
        assert_eq!(log_in(&users[3]), (false, None));
    });
}

#[test]
fn performance_md_calculates_with_the_defaults_of_sshd() {
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
            // The oldest supported sshd does not know PerSourceMaxStartups.
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
        let product = "MaxStartups 100 × MaxAuthTries 6 × 1 request × 10 packets = 6,000 packets";
        assert_eq!(block("docs/performance.md", "MaxStartups 100"), product);
    });
}

#[test]
fn client_with_many_keys_costs_two_requests_per_offer() {
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
        // Half of those users have a pushed key, which the client does not offer.
        for user in attacked.iter().step_by(2) {
            world.emulator.push(user, &crowd.key(0).line(), BOB);
        }

        // With its defaults, sshd ends a connection after six offers.
        let sshd = Sshd::with(world, &ask_us(world));
        world.emulator.take_requests();
        let refused = world.offer(&attacked[0], &offered);
        assert!(refused.said.contains("Too many authentication failures"), "{refused:?}");
        assert_eq!(
            world.emulator.take_requests().len(),
            6 * 2,
            "MaxAuthTries is 6, and an offer costs two requests"
        );
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
        // The offers refuse no other login, and each login costs only its own requests.
        for login in &attempts.logins {
            assert!(login.outcome.ok, "{login:?}");
        }
        let records = world.emulator.take_requests();
        // Each run has a token of its own. On a busy machine, a run whose answer is late repeats the request.
        let asked: BTreeSet<_> =
            records.iter().filter_map(|record| Some((token(record)?, record.path.as_str()))).collect();
        for user in attacked {
            let path = format!("/latest/meta-data/{KEYS}{user}/");
            assert_eq!(asked.iter().filter(|(_, asked)| *asked == path).count(), KEYS_OFFERED, "{user}");
        }
        let tokens: BTreeSet<_> = asked.iter().map(|(token, _)| token).collect();
        assert_eq!(tokens.len(), USERS * KEYS_OFFERED + GOOD * 2, "one token for each run");
        assert_eq!(asked.len(), USERS * KEYS_OFFERED + GOOD * 2 * 6, "two requests an offer, no other");
        let all = tokens.len() + asked.len();
        assert!((all..all + all / 10).contains(&records.len()), "{} requests", records.len());
        world.emulator.clear_keys();
        before.assert_nothing_new(world);
    });
}
