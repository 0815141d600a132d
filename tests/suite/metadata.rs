//! What the agent requests from the metadata service, and what it reads elsewhere.

use std::process::Command;
use std::time::Duration;

use eic_emulator::pki::StapleName;
use eic_emulator::{Config, Emulator, Entry, Fault};

use crate::doctor::enabled;
use crate::failures::assert_undecided;
use crate::wiring::agent;
use crate::world::{BOB, INSTANCE, Key, Syslog, World, on_an_instance, test_path};

pub(crate) const USER: &str = "ec2-user";
pub(crate) const KEYS: &str = "managed-ssh-keys/active-keys/ec2-user/";
pub(crate) const SIGNER: &str = "managed-ssh-keys/signer-cert/";
pub(crate) const STAPLES: &str = "managed-ssh-keys/signer-ocsp/";

/// Pushes a fresh key for [`USER`].
pub(crate) fn pushed(world: &World, name: &str) -> Key {
    let key = Key::ed25519(world, name);
    world.emulator.push(USER, &key.line(), BOB);
    key
}

pub(crate) fn paths(emulator: &Emulator) -> Vec<String> {
    let requests = emulator.take_requests();
    requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
}

#[test]
fn run_makes_two_requests_without_a_key_and_seven_with_one() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let emulator = &world.emulator;
        assert_eq!(world.run(&[USER]).status(), Some(0));
        assert_eq!(
            paths(emulator),
            ["PUT /latest/api/token", "GET /latest/meta-data/managed-ssh-keys/active-keys/ec2-user/"],
            "no key is pushed"
        );

        let key = pushed(world, "key");
        let run = world.run(&[USER, &key.fingerprint()]);
        assert_eq!((run.status(), run.keys()), (Some(0), format!("{}\n", key.bare_line())));
        let mut seven = paths(emulator);
        assert_eq!(seven.len(), 7, "{seven:#?}");
        let staples: Vec<_> = seven.drain(5..).collect();
        assert!(
            staples.iter().all(|path| path.starts_with(&format!("GET /latest/meta-data/{STAPLES}"))),
            "{staples:?}"
        );
        seven[2..].sort();
        assert_eq!(
            seven[2..],
            [
                "GET /latest/meta-data/managed-ssh-keys/signer-cert/",
                "GET /latest/meta-data/placement/region/",
                "GET /latest/meta-data/services/domain/"
            ]
        );

        // Under Xen, the machine's firmware does not contain the instance id. The agent requests it.
        world.become_xen();
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        assert_eq!(paths(emulator).len(), 8);

        // The staples have other names than usual. The agent requests the list, and then the staples in it at the
        // same time. It gives up the rest when it has the staples of its path.
        let signer = emulator.hierarchy();
        let staples = (0..4).map(|place| {
            signer.staple(place, emulator.now()).named(StapleName::Other(format!("staple-{place}"))).build()
        });
        emulator.set_staples(staples.collect());
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        let requests = paths(emulator);
        let list = format!("GET /latest/meta-data/{STAPLES}");
        assert_eq!(requests.get(8), Some(&list), "{requests:#?}");
        assert!((8 + 1 + 2..=8 + 1 + 4).contains(&requests.len()), "{requests:#?}");
    });
}

#[test]
fn run_takes_four_round_trips() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        // On a busy machine, the requests of one round can be as far apart as a short delay. So longer delays follow.
        for delay in [400, 2000, 8000].map(Duration::from_millis) {
            world.emulator.inject(Fault::everywhere().delay(delay));
            let run = world.run(&[USER]);
            assert_eq!(run.keys(), format!("{}\n", key.bare_line()));
            world.emulator.clear_faults();
            // The agent starts the next round only after the answers of this round, which take at least `delay`. So a
            // request that comes less than `delay` after the first one of a round belongs to the same round.
            let requests = world.emulator.take_requests();
            let mut rounds = vec![requests[0].at];
            for request in &requests {
                if request.at - rounds[rounds.len() - 1] >= delay {
                    rounds.push(request.at);
                }
            }
            if rounds.len() == 4 {
                return;
            }
            eprintln!("{} rounds with a delay of {delay:?}: {requests:#?}", rounds.len());
        }
        panic!("expected four rounds with one of the delays");
    });
}

#[test]
fn bad_login_name_or_machine_outside_ec2_causes_no_request() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        for name in ["a/b", "", "-x", "..", "a b", "root\n", &"x".repeat(33), "1234", "\u{e9}"] {
            let run = world.run(&[name]);
            assert_eq!(
                (run.status(), run.keys(), run.notes()),
                (Some(0), String::new(), String::new()),
                "{name:?}"
            );
        }
        world.without_asset_tag();
        let run = world.run(&[USER]);
        assert_eq!((run.status(), run.keys(), run.notes()), (Some(0), String::new(), String::new()));
        assert!(world.emulator.take_requests().is_empty());
        assert!(syslog.agent_lines().is_empty());
    });
}

#[test]
fn region_and_domain_come_from_metadata() {
    let config = Config { zone: "us-gov-west-1b".into(), ..Config::default() };
    on_an_instance(test_path!(), config, |world| {
        let key = pushed(world, "key");
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        // Without a region, the agent derives it from the zone.
        world.emulator.remove_item("placement/region");
        world.emulator.take_requests();
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        assert!(
            paths(&world.emulator).contains(&"GET /latest/meta-data/placement/availability-zone/".to_owned())
        );
        // The signer of us-gov-west-1 is not valid for us-east-1.
        world.emulator.set_item("placement/region", "us-east-1");
        assert_undecided(&world.run(&[USER]), "signer-name-mismatch", "another region");
    });
}

#[test]
fn v6_address_is_asked_when_v4_is_unreachable() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let on_v6 = Config { imds: "[fd00:ec2::254]:80".parse().unwrap(), ..Config::default() };
        let v6 = Emulator::start(on_v6).expect("IPv6 works on this machine");
        world.trust(&v6.ca_pem());
        let key = Key::ed25519(world, "key");
        v6.push(USER, &key.line(), BOB);

        assert_eq!(world.run(&[USER]).keys(), "", "v4 answers, and has no key");
        assert!(v6.take_requests().is_empty());
        world.lose_address("169.254.169.254/32");
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        assert_eq!(v6.take_requests().len(), 7);
    });
}

#[test]
fn connection_that_is_kept_alive_is_used_again() {
    let config = Config { keep_alive: true, ..Config::default() };
    on_an_instance(test_path!(), config, |world| {
        let key = pushed(world, "key");
        assert_eq!(world.run(&[USER]).keys(), format!("{}\n", key.bare_line()));
        let mut connections: Vec<_> =
            world.emulator.take_requests().iter().map(|request| request.connection).collect();
        connections.sort_unstable();
        connections.dedup();
        assert!(connections.len() <= 3, "{connections:?}");
    });
}

#[test]
fn environment_variables_have_no_effect() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        let mut command = Command::new(world.agent());
        command.args(["authorized-keys", "--timeout", "60", USER]);
        for name in [
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
            "REQUEST_METHOD",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        ] {
            command.env(name, "http://127.0.0.1:9");
        }
        for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "TZ", "RUST_LOG", "HOME", "PATH"] {
            command.env(name, "/nonexistent");
        }
        let output = command.output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{}\n", key.bare_line()));
    });
}

#[test]
fn thousands_of_entries_are_answered_in_time() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = Key::ed25519(world, "key");
        let until = world.emulator.now() + 600;
        let signer = &world.emulator.hierarchy().leaf_key;
        let good = Entry::new(key.line()).timestamp(until).instance(INSTANCE).request("good").sign(signer);
        let bad = Entry::new(key.line()).timestamp(until).instance(INSTANCE).with_signature(&[7; 256]);
        let mut bundle = bad.repeat(2047);
        bundle.extend(&good);
        bundle.extend(bad.repeat(200));
        assert!(bundle.len() < 2 * 1024 * 1024, "{}", bundle.len());
        world.emulator.set_entries(USER, bundle);
        let run = world.run(&[USER]);
        assert_eq!((run.status(), run.keys()), (Some(0), format!("{}\n", key.bare_line())));
        assert_eq!(run.notes().lines().count(), 8, "{}", run.notes());
    });
}

#[test]
fn advice_for_a_disabled_service_names_the_instance_if_its_id_is_known() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _sshd = enabled(world);
        world.emulator.inject(Fault::token().status(403));
        let told = || {
            let by_hand = [&["status"][..], &["explain", USER]].map(|words| {
                let ran = agent(world, words);
                format!("{}{}", ran.out, ran.err)
            });
            let said = by_hand.into_iter().chain([world.run(&[USER]).notes()]);
            said.map(|said| said.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        for said in told() {
            assert!(said.contains("--instance-id i-0123456789abcdef0 --http-endpoint enabled"), "{said}");
        }
        world.become_xen();
        for said in told() {
            assert!(said.contains("--instance-id ID (ID: the id of this instance)"), "{said}");
        }
    });
}
