//! Slow answers. If a login succeeds without the memory, it also succeeds with it.

use std::process::Command;
use std::time::Duration;

use eic_emulator::pki::KeyPool;
use eic_emulator::{Config, Entry, Fault};

use super::{Compared, SIGNER, compare, filled, keys_of, replace_signer, second_service, token_alone};
use crate::world::{BOB, INSTANCE, Key, World, on_an_instance, test_path};

/// Time limits of a run in seconds. The delays are parts of the limit. A busy machine needs a longer limit: the run itself
/// needs time too. If every answer takes a fifth of the limit, no limit above 10 s helps: an attempt ends after half of the
/// time that remains, or after 2 s. Six seconds leave a second for each attempt and for the run.
const LIMITS: [u64; 5] = [3, 6, 6, 6, 27];

/// Runs the agent without the memory, and with this content of the file. `slow` makes the service slow for a run with the
/// time limit that it gets. Both runs must print the key within one of [`LIMITS`].
fn assert_no_login_is_lost(world: &World, what: &str, line: &str, kept: &[u8], slow: impl Fn(Duration)) {
    let mut said = Vec::new();
    for limit in LIMITS {
        slow(Duration::from_secs(limit));
        let limit = limit.to_string();
        let Compared { without, with } = compare(world, kept, "", &["--timeout", &limit, "ec2-user"]);
        world.emulator.clear_faults();
        if [&without, &with].iter().all(|ran| ran.keys().contains(line)) {
            return;
        }
        said.push(format!("limit {limit} s, without {}", without.said()));
        said.push(format!("limit {limit} s, with {}", with.said()));
    }
    panic!("{what}: {said:#?}");
}

/// A part of a time limit, in hundredths.
fn part(limit: Duration, hundredths: u32) -> Duration {
    limit * hundredths / 100
}

#[test]
fn slow_keys_lose_no_login() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        for hundredths in [5, 30, 42, 48] {
            assert_no_login_is_lost(world, &format!("{hundredths} %"), &line, &kept, |limit| {
                world.emulator.inject(Fault::at(&keys_of("ec2-user")).delay(part(limit, hundredths)));
            });
        }
    });
}

#[test]
fn token_that_a_slow_service_refuses_loses_no_login() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        world.emulator.invalidate_tokens();
        for (what, kept) in [("the token alone", &token_alone(&kept)), ("evidence too", &kept)] {
            assert_no_login_is_lost(world, what, &line, kept, |limit| {
                world.emulator.inject(Fault::everywhere().delay(part(limit, 20)));
            });
        }
    });
}

#[test]
fn slow_service_with_a_new_signer_loses_no_login() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_, kept) = filled(world);
        let line = replace_signer(world);
        assert_no_login_is_lost(world, "slow certificates", &line, &kept, |limit| {
            world.emulator.inject(Fault::at(SIGNER).delay(part(limit, 45)));
        });
        assert_no_login_is_lost(world, "slow answers", &line, &kept, |limit| {
            world.emulator.inject(Fault::everywhere().delay(part(limit, 20)));
        });
    });
}

/// Under Xen, a run asks for the id of the instance before it can judge remembered evidence.
#[test]
fn slow_service_with_a_new_signer_loses_no_login_under_xen() {
    on_an_instance(test_path!(), Config::default(), |world| {
        world.become_xen();
        let (_, kept) = filled(world);
        let line = replace_signer(world);
        assert_no_login_is_lost(world, "slow answers", &line, &kept, |limit| {
            world.emulator.inject(Fault::everywhere().delay(part(limit, 20)));
        });
    });
}

#[test]
fn first_address_that_drops_packets_and_slow_second_one_lose_no_login() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let second = second_service(world, &line);
        nft("add table ip away");
        nft("add chain ip away out { type filter hook output priority 0; }");
        nft("add rule ip away out ip daddr 169.254.169.254 drop");
        for (what, kept) in [("the token alone", &token_alone(&kept)), ("evidence too", &kept)] {
            assert_no_login_is_lost(world, what, &line, kept, |limit| {
                second.clear_faults();
                second.inject(Fault::everywhere().delay(part(limit, 18)));
            });
        }
    });
}

fn nft(rule: &str) {
    assert!(Command::new("nft").arg(rule).status().unwrap().success());
}

/// The old signer signed none of the entries. Their signatures must not be checked under both signers.
#[test]
fn flood_of_entries_of_a_new_signer_loses_no_login() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_, kept) = filled(world);
        replace_signer(world);
        let entry = |key: &Key| {
            let now = world.emulator.now();
            Entry::new(key.line()).timestamp(now + 3000).instance(INSTANCE).caller(BOB).request("r-1")
        };
        let good = Key::ed25519(world, "good");
        let bad = entry(&Key::ed25519(world, "bad")).sign(&KeyPool::shared().get("foreign"));
        let signed = entry(&good).sign(&world.emulator.hierarchy().leaf_key);
        world.emulator.set_entries("ec2-user", [signed, bad.repeat(2047)].concat());
        assert_no_login_is_lost(world, "2,048 entries", &good.bare_line(), &kept, |_| ());
    });
}
