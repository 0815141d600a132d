//! Failures of the metadata service: the reason that the agent reports, the time that it takes, and what it retries.

use std::process::Command;
use std::time::{Duration, Instant};

use eic_emulator::http::Response;
use eic_emulator::pki::StapleName;
use eic_emulator::{Config, Entry, Fault};

use crate::limits::public_key;
use crate::metadata::{KEYS, SIGNER, STAPLES, USER, paths, pushed};
use crate::world::{INSTANCE, Run, SOON, Syslog, on_an_instance, test_path};

/// See signal(7). The number is the same on every architecture of EC2.
const SIGALRM: i32 = 14;

/// Checks that the run came to no decision, for this reason, and reported it on stderr.
pub(crate) fn assert_undecided(run: &Run, reason: &str, case: &str) {
    assert_eq!(run.status(), Some(1), "{case}: {run:?}");
    assert_eq!(run.keys(), "", "{case}");
    assert!(run.notes().starts_with(&format!("eic-agent: {reason}: ")), "{case}: {}", run.notes());
}

/// The faults of the service, and the reason that the run must report.
fn faults_and_reasons() -> Vec<(&'static str, &'static str, Vec<Fault>)> {
    let huge = |size: usize| Response::text(vec![b'a'; size]);
    vec![
        ("forbidden token", "metadata-forbidden", vec![Fault::token().status(403)]),
        ("forbidden item", "metadata-forbidden", vec![Fault::at(SIGNER).status(403)]),
        ("token refused", "metadata-token-refused", vec![Fault::at(KEYS).status(401)]),
        ("not an IMDS", "metadata-malformed", vec![Fault::token().status(404)]),
        ("bad request", "metadata-malformed", vec![Fault::token().status(400)]),
        (
            "redirect",
            "metadata-malformed",
            vec![Fault::at(KEYS).respond(Response::status(302).header("Location", "http://127.0.0.1:1/"))],
        ),
        ("empty token", "metadata-malformed", vec![Fault::token().respond(Response::text(""))]),
        (
            "a page instead of a token",
            "metadata-malformed",
            vec![Fault::token().respond(Response::text("<html> </html>"))],
        ),
        (
            "token with a line end",
            "metadata-malformed",
            vec![Fault::token().respond(Response::text("a\r\nX: y"))],
        ),
        ("huge token", "metadata-malformed", vec![Fault::token().respond(huge(1025))]),
        ("huge item", "metadata-malformed", vec![Fault::at("services/domain").respond(huge(1025))]),
        ("huge chain", "metadata-malformed", vec![Fault::at(SIGNER).respond(huge(128 * 1024 + 1))]),
        (
            "huge staple",
            "metadata-malformed",
            vec![
                Fault::below("/latest/meta-data/managed-ssh-keys/signer-ocsp/").respond(huge(32 * 1024 + 1)),
            ],
        ),
        (
            "huge header",
            "metadata-malformed",
            vec![Fault::at(KEYS).respond(Response::text("x").header("X-Big", &"h".repeat(17 * 1024)))],
        ),
        (
            "not UTF-8",
            "metadata-malformed",
            vec![Fault::at("services/domain").respond(Response::text(b"\xff".to_vec()))],
        ),
        ("500 for ever", "metadata-throttled", vec![Fault::token().status(500)]),
        ("429 for ever", "metadata-throttled", vec![Fault::at(SIGNER).status(429)]),
        ("silent", "metadata-timeout", vec![Fault::at(KEYS).delay(Duration::from_secs(3600))]),
        ("no signer", "metadata-missing", vec![Fault::at(SIGNER).status(404)]),
        ("no domain", "metadata-missing", vec![Fault::at("services/domain").status(404)]),
        (
            "region",
            "region-malformed",
            vec![Fault::at("placement/region").respond(Response::text("us-east-1.evil"))],
        ),
        (
            "zone",
            "region-malformed",
            vec![
                Fault::at("placement/region").status(404),
                Fault::at("placement/availability-zone").respond(Response::text("nowhere")),
            ],
        ),
        (
            "look-alike domain",
            "domain-unknown",
            vec![Fault::at("services/domain").respond(Response::text("amazonaws.com.evil.example"))],
        ),
        ("empty chain", "signer-malformed", vec![Fault::at(SIGNER).respond(Response::text(""))]),
        (
            "no staples",
            "staple-missing",
            vec![Fault::below("/latest/meta-data/managed-ssh-keys/signer-ocsp").status(404)],
        ),
        (
            "rubbish staples",
            "staple-malformed",
            vec![
                Fault::below("/latest/meta-data/managed-ssh-keys/signer-ocsp/")
                    .respond(Response::text("AAAA")),
            ],
        ),
    ]
}

#[test]
fn every_failure_of_a_run_has_its_reason() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let syslog = Syslog::bind();
        let key = pushed(world, "key");
        let emulator = &world.emulator;
        for (case, reason, faults) in faults_and_reasons() {
            for fault in faults {
                emulator.inject(fault);
            }
            // A run with such a fault lasts until its time limit.
            let run = if matches!(reason, "metadata-throttled" | "metadata-timeout") {
                world.run_out_of_time("root", &[USER], |run| {
                    let is_told = run.notes().contains(reason);
                    if !is_told {
                        syslog.clear();
                    }
                    is_told
                })
            } else {
                world.run(&[USER])
            };
            assert_undecided(&run, reason, case);
            assert!(run.is_soon(), "{case}: {:?}", run.took);
            let lines = syslog.agent_lines();
            let start = format!("No ssh keys from EC2 Instance Connect for user {USER}: {reason}: ");
            assert!(lines.len() == 1 && lines[0].starts_with(&start), "{case}: {lines:#?}");
            syslog.clear();
            emulator.clear_faults();
        }
        assert_eq!(
            world.run(&[USER]).keys(),
            format!("{}\n", key.bare_line()),
            "without a fault, the key is printed"
        );

        let empty = world.path("etc/empty.pem");
        std::fs::write(&empty, "# no certificates\n").unwrap();
        let run = world.run(&["--ca-file", empty.to_str().unwrap(), USER]);
        assert_undecided(&run, "trust-store-unusable", "an empty trust store");
        world.become_xen();
        emulator.set_item("instance-id", "i-nonsense");
        assert_undecided(&world.run(&[USER]), "instance-id-malformed", "bad instance id");
    });
}

#[test]
fn temporary_failure_is_retried_until_it_passes() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        let emulator = &world.emulator;
        for (case, faults) in [
            ("429 twice", vec![Fault::token().status(429).times(2)]),
            (
                "503 once in every place",
                ["/latest/api/token", KEYS, SIGNER, "services/domain", "placement/region"]
                    .map(|path| Fault::at(path).status(503).times(1))
                    .to_vec(),
            ),
            ("reset twice", vec![Fault::at(KEYS).raw(|wire, _| wire.reset()).times(2)]),
            (
                "cut off once",
                vec![
                    Fault::at(SIGNER)
                        .raw(|wire, _| {
                            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n-----BEGIN")
                        })
                        .times(1),
                ],
            ),
            ("401 once", vec![Fault::at(SIGNER).status(401).times(1)]),
            (
                "401 for all at once",
                vec![
                    Fault::at(SIGNER).status(401).times(1),
                    Fault::at("services/domain").status(401).times(1),
                    Fault::at("placement/region").status(401).times(1),
                ],
            ),
        ] {
            for fault in faults {
                emulator.inject(fault);
            }
            let run = world.run(&[USER]);
            assert_eq!(
                (run.status(), run.keys()),
                (Some(0), format!("{}\n", key.bare_line())),
                "{case}: {run:?}"
            );
            let tokens = paths(emulator).iter().filter(|path| path.starts_with("PUT")).count();
            assert!(tokens <= 3, "{case}: {tokens} tokens");
            emulator.clear_faults();
        }
    });
}

#[test]
fn refusal_by_the_service_is_not_retried() {
    on_an_instance(test_path!(), Config::default(), |world| {
        pushed(world, "key");
        let emulator = &world.emulator;
        for (fault, most) in [
            (Fault::token().status(403), 1),
            (Fault::token().status(400), 1),
            (Fault::at(KEYS).status(403), 2),
            // The item, a new token, and the item again.
            (Fault::at(KEYS).status(401), 4),
        ] {
            emulator.inject(fault);
            assert_eq!(world.run(&[USER]).status(), Some(1));
            assert_eq!(paths(emulator).len(), most);
            emulator.clear_faults();
        }
    });
}

#[test]
fn address_that_refuses_connections_ends_the_run_at_once() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let run = world.run(&["--imds-endpoint", "http://127.0.0.1:9", USER]);
        assert_undecided(&run, "metadata-unreachable", "refused");
        assert!(run.notes().contains("http://127.0.0.1:9"), "{}", run.notes());
        assert!(run.is_soon(), "{:?}", run.took);
    });
}

#[test]
fn pipe_instead_of_a_file_is_refused_without_waiting() {
    on_an_instance(test_path!(), Config::default(), |world| {
        pushed(world, "key");
        let pipe = world.path("etc/pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let run = world.run(&["--ca-file", pipe.to_str().unwrap(), USER]);
        assert_undecided(&run, "trust-store-unusable", "a pipe");
        assert!(run.is_soon(), "{:?}", run.took);
    });
}

#[test]
fn run_stuck_in_its_output_is_ended_by_the_kernels_alarm() {
    on_an_instance(test_path!(), Config::default(), |world| {
        // The keys are more than a pipe can buffer, and the reader never reads.
        let until = world.emulator.now() + 600;
        let signer = &world.emulator.hierarchy().leaf_key;
        let entries = (0..1200)
            .map(|number| Entry::new(public_key(number)).timestamp(until).instance(INSTANCE).sign(signer));
        world.emulator.set_entries(USER, entries.collect::<Vec<_>>().concat());
        // A busy machine may not judge all of them within a short time. Then the run writes nothing.
        let mut times = [3, 12, 50].into_iter();
        let (time, took, status) = loop {
            let time = times.next().expect("the agent judges all entries in time");
            let started = Instant::now();
            let mut stuck = Command::new(world.agent())
                .args(["authorized-keys", "--timeout", &time.to_string(), USER])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let status = stuck.wait().unwrap();
            if status.code() != Some(1) {
                break (Duration::from_secs(time), started.elapsed(), status);
            }
        };
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(SIGALRM), "{status}");
        assert!(took < time + SOON, "{took:?}");
    });
}

#[test]
fn peer_that_never_stops_sending_does_not_move_the_deadline() {
    on_an_instance(test_path!(), Config::default(), |world| {
        pushed(world, "key");
        for path in ["/latest/api/token", KEYS, SIGNER] {
            world.emulator.inject(Fault::at(path).raw(|wire, _| {
                let informational = format!("HTTP/1.1 103 Early Hints\r\n{}\r\n", "A: b\r\n".repeat(50));
                loop {
                    wire.send(informational.repeat(100).as_bytes())?;
                }
            }));
            let run = world.run_out_of_time("root", &[USER], |_| true);
            assert_undecided(&run, "metadata-timeout", path);
            assert!(run.is_soon(), "{path}: {:?}", run.took);
            world.emulator.clear_faults();
        }
    });
}

/// An instance loses packets if another program uses up its link-local packet limit.
#[test]
fn lost_packets_delay_the_key_and_do_not_lose_it() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        world.lose_address("fd00:ec2::254/128");
        let nft =
            |rules: &str| assert!(Command::new("nft").args([rules]).status().unwrap().success(), "{rules}");
        nft("add table ip lossy");
        nft("add chain ip lossy out { type filter hook output priority 0; }");
        nft("add rule ip lossy out ip daddr 169.254.169.254 tcp flags syn drop");
        let later = std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(3500));
            Command::new("nft").arg("delete table ip lossy").status().unwrap().success()
        });
        let run = world.run(&["--timeout", "60", USER]);
        assert!(later.join().unwrap());
        assert_eq!((run.status(), run.keys()), (Some(0), format!("{}\n", key.bare_line())), "{run:?}");
    });
}

#[test]
fn login_works_with_a_broken_staple_that_no_path_needs() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        let emulator = &world.emulator;
        // The path's staples have other names, so the agent needs the list. The list contains one more staple.
        let signer = emulator.hierarchy();
        let named = |place: usize| {
            signer.staple(place, emulator.now()).named(StapleName::Other(format!("staple-{place}"))).build()
        };
        let junk = signer.staple(0, emulator.now()).named(StapleName::Other("0-junk".to_owned())).build();
        emulator.set_staples(vec![junk, named(0), named(1), named(2), named(3)]);
        let path = format!("{STAPLES}0-junk");
        for (case, fault) in [
            ("403", Fault::at(&path).status(403)),
            ("400", Fault::at(&path).status(400)),
            ("too large", Fault::at(&path).respond(Response::text(vec![b'A'; 40_000]))),
            ("reset", Fault::at(&path).raw(|wire, _| wire.reset())),
            ("500 for ever", Fault::at(&path).status(500)),
            ("silent", Fault::at(&path).delay(Duration::from_secs(3600))),
        ] {
            emulator.inject(fault);
            let run = world.run(&[USER]);
            assert_eq!(
                (run.status(), run.keys()),
                (Some(0), format!("{}\n", key.bare_line())),
                "{case}: {run:?}"
            );
            assert!(run.is_soon(), "{case}: {:?}", run.took);
            emulator.clear_faults();
        }
        // The service never answers the request for the staple's usual name. The agent waits for it for half of its
        // time, and then requests the list. The list contains the staple under another name.
        let own = signer.leaf_certificate().sha1_fingerprint();
        emulator.inject(Fault::at(&format!("{STAPLES}{own}")).delay(Duration::from_secs(3600)));
        let run = world.run_out_of_time("root", &[USER], |run| run.status() == Some(0));
        assert_eq!(run.keys(), format!("{}\n", key.bare_line()), "{run:?}");
    });
}

#[test]
fn slow_answer_within_the_deadline_is_used() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let key = pushed(world, "key");
        world.emulator.inject(Fault::at(SIGNER).delay(Duration::from_millis(2500)));
        let run = world.run(&["--timeout", "60", USER]);
        assert_eq!(run.keys(), format!("{}\n", key.bare_line()), "{run:?}");
    });
}
