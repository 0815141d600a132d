//! Staples that do not arrive. Only status 404 of the service means that a staple does not exist. After any other
//! failure, the run's reason is that failure, with the staple's path. This holds for a login and for every command
//! that judges the same evidence.

use std::fs;
use std::time::Duration;

use eic_emulator::pki::StapleName;
use eic_emulator::{Config, Fault};
use serde_json::Value;

use crate::failures::assert_undecided;
use crate::metadata::{STAPLES, USER, pushed};
use crate::wiring::{agent, lay_out};
use crate::world::{TIMES, World, on_an_instance, test_path};

type Case = (&'static str, &'static str, fn(&str) -> Fault);

const CASES: [Case; 5] = [
    ("silent", "metadata-timeout", |path| Fault::at(path).delay(Duration::from_secs(3600))),
    ("reset", "metadata-malformed", |path| {
        Fault::at(path).raw(|wire, _| {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n0")?;
            wire.pause(Duration::from_millis(20))?;
            wire.reset()
        })
    }),
    ("503", "metadata-throttled", |path| Fault::at(path).status(503)),
    ("403", "metadata-forbidden", |path| Fault::at(path).status(403)),
    ("400", "metadata-malformed", |path| Fault::at(path).status(400)),
];

const WHEN_STAPLED: &str = "[trust]\nrevocation = \"when-stapled\"\n";

/// The paths of the signer's staple, of its issuer's staple, and of the list of staples.
fn places(world: &World) -> [String; 3] {
    let signer = world.emulator.hierarchy();
    let own = signer.leaf_certificate().sha1_fingerprint();
    let issuer = signer.chain[1].0.sha1_fingerprint();
    [format!("{STAPLES}{own}"), format!("{STAPLES}{issuer}"), STAPLES.to_owned()]
}

/// Serves the staples under names that only the list contains.
fn rename(world: &World) {
    let signer = world.emulator.hierarchy();
    let named = |place| {
        signer.staple(place, world.emulator.now()).named(StapleName::Other(format!("staple-{place}"))).build()
    };
    world.emulator.set_staples((0..4).map(named).collect());
}

/// Whether the text contains the whole path.
fn names(said: &str, path: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric());
    said.split(&format!("/latest/meta-data/{path}")).skip(1).any(ends)
}

/// Runs the agent until the reason is about the staple. On a busy machine, an earlier request can time out.
fn login(world: &World, case: &str, reason: &str, path: &str) {
    let run = world.run_out_of_time("root", &[USER], |run| names(&run.notes(), path));
    assert_undecided(&run, reason, case);
    assert!(names(&run.notes(), path), "{case}: {}", run.notes());
}

#[test]
fn lost_staple_is_reported_as_the_metadata_fault_and_named() {
    on_an_instance(test_path!(), Config::default(), |world| {
        pushed(world, "key");
        let [own, issuer, list] = places(world);
        for (settings, cases) in [("", &CASES[..]), (WHEN_STAPLED, &CASES[..1])] {
            world.configure(settings);
            for (name, reason, fault) in cases {
                for path in [&own, &issuer] {
                    world.emulator.inject(fault(path));
                    login(world, &format!("{name} at {path} with {settings:?}"), reason, path);
                    world.emulator.clear_faults();
                }
            }
            // The issuer's staple cannot be read, and the signer's own staple is forbidden.
            world.emulator.inject(Fault::at(&issuer).respond(eic_emulator::http::Response::text("AAAA")));
            world.emulator.inject(Fault::at(&own).status(403));
            login(world, "together with an unreadable staple", "metadata-forbidden", &own);
            world.emulator.clear_faults();
        }
        rename(world);
        for (settings, cases) in [("", &CASES[..]), (WHEN_STAPLED, &CASES[..1])] {
            world.configure(settings);
            for (name, reason, fault) in cases {
                world.emulator.inject(fault(&list));
                login(world, &format!("{name} at the list with {settings:?}"), reason, &list);
                world.emulator.clear_faults();
            }
        }
    });
}

/// The request and the run have the same deadline. The reason must not depend on which of them ends first.
#[test]
fn staple_that_is_pending_at_the_deadline_is_never_called_missing() {
    on_an_instance(test_path!(), Config::default(), |world| {
        pushed(world, "key");
        let [own, ..] = places(world);
        world.emulator.inject(Fault::at(&own).delay(Duration::from_secs(3600)));
        for time in ["1", "1.013", "1.1"].iter().cycle().take(15) {
            // A busy machine may not get as far as the staples. It must not report them as missing either.
            let run = world.run(&["--timeout", time, USER]);
            assert_undecided(&run, "metadata-timeout", time);
        }
    });
}

/// Tries `holds` with each of [`TIMES`] in the settings. Some faults last until the time limit, and a busy machine
/// may not reach the faulty request within a short one.
fn holds_in_time(world: &World, holds: impl Fn() -> Result<(), String>) {
    let mut last = Ok(());
    for seconds in TIMES {
        world.configure(&format!("[imds]\ntimeout = {seconds}\n"));
        last = holds();
        if last.is_ok() {
            return;
        }
    }
    last.unwrap();
}

/// Returns `said` as an error, unless `holds`.
fn must(holds: bool, said: impl std::fmt::Display) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("{said:#}")) }
}

fn json_of(world: &World, arguments: &[&str]) -> Value {
    serde_json::from_str(&agent(world, arguments).out).unwrap()
}

fn check_of(world: &World, id: &str) -> Value {
    let diagnosed = json_of(world, &["doctor", "--user", USER, "--json"]);
    diagnosed["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap().clone()
}

/// Every command that judges the evidence must report this reason and this path.
fn all_report(world: &World, case: &str, reason: &str, path: &str) -> Result<(), String> {
    let told = |said: &str, command: &str| {
        assert!(!said.contains("staple-missing"), "{case}, {command}: {said}");
        must(said.contains(reason) && names(said, path), format!("{case}, {command}: {said}"))
    };
    let explained = json_of(world, &["explain", USER, "--json"]);
    told(&explained.to_string(), "explain")?;
    must(explained["judgement"]["signer"]["reason"] == reason, format!("{case}: {explained:#}"))?;
    let staples = check_of(world, "staples");
    told(&staples.to_string(), "doctor")?;
    must(staples["verdict"] == "fail", format!("{case}: {staples:#}"))?;
    let capture = world.path("etc/capture.json").display().to_string();
    let _ = fs::remove_file(&capture);
    assert_eq!(agent(world, &["capture", "--user", USER, &capture]).status, Some(0));
    let verified = agent(world, &["verify", "--capture", &capture]);
    assert_eq!(verified.status, Some(1), "{case}: {}", verified.err);
    told(&verified.err, "verify --capture")
}

#[test]
fn every_command_reports_a_lost_staple_as_a_login_does() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("", &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        pushed(world, "key");
        let [own, _, list] = places(world);
        let tell = |case: &str, reason: &str, path: &str| {
            holds_in_time(world, || all_report(world, case, reason, path));
        };
        for (name, reason, fault) in CASES {
            world.emulator.inject(fault(&own));
            tell(name, reason, &own);
            world.emulator.clear_faults();
        }
        // A list that never arrives does not matter if the staples are found without it.
        world.emulator.inject(Fault::at(&list).delay(Duration::from_secs(3600)));
        holds_in_time(world, || {
            let explained = json_of(world, &["explain", USER, "--json"]);
            must(explained["keys_given"] == 1, explained)
        });
        world.emulator.clear_faults();
        rename(world);
        for (name, reason, fault) in CASES {
            world.emulator.inject(fault(&list));
            tell(name, reason, &list);
            world.emulator.clear_faults();
        }
    });
}

#[test]
fn doctor_reports_the_path_that_failed_and_does_not_blame_the_sender() {
    on_an_instance(test_path!(), Config::default(), |world| {
        lay_out("", &[]);
        assert_eq!(agent(world, &["enable"]).status, Some(0));
        for (path, id) in [
            (crate::metadata::KEYS, "metadata"),
            ("instance-id", "instance"),
            ("services/domain", "region"),
            (crate::metadata::SIGNER, "signer"),
        ] {
            world.emulator.inject(Fault::at(path).status(503));
            holds_in_time(world, || {
                let check = check_of(world, id);
                let seen = check["seen"].as_str().unwrap();
                let is_told =
                    seen.starts_with("metadata-throttled: ") || seen.contains(": metadata-throttled: ");
                must(is_told && seen.contains(path) && check["verdict"] == "fail", &check)?;
                let fix = check["fix"].as_str().unwrap();
                must(fix.starts_with("find out why metadata answers late"), &check)
            });
            world.emulator.clear_faults();
        }
    });
}
