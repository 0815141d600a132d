//! Remembered evidence that a run must not use, or not alone.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use eic_emulator::pki::{CertStatus, Hierarchy, KeyPool, RsaKey};
use eic_emulator::{Config, Entry, Fault};
use eic_login::memory::Record;

use super::bad_files::edit;
use super::{
    Compared, LASTING, SIGNER, compare, file, filled, keys_of, make_folder, push, record, replace_signer,
    run, second_service, write_bytes,
};
use crate::world::{BOB, INSTANCE, Key, World, on_an_instance, test_path};

fn entry(world: &World, key: &Key) -> Entry {
    Entry::new(key.line())
        .timestamp(world.emulator.now() + 3000)
        .instance(INSTANCE)
        .caller(BOB)
        .request("r-1")
}

/// A long key takes so much of the budget for checks that the last entry stays unchecked. Under the new signer, whose key
/// is short, it is checked.
#[test]
fn entry_that_is_unchecked_under_the_remembered_signer_is_judged_under_the_new_one() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let short = (*world.emulator.hierarchy()).clone();
        let mut long = short.clone();
        long.leaf_key = RsaKey::longer();
        let leaf = long.leaf(&world.emulator.signer_name(), world.emulator.now());
        let long = long.with_leaf(leaf);
        world.emulator.set_hierarchy(long.clone());
        let (_, kept) = filled(world);
        world.emulator.set_hierarchy(short.clone());
        let old = entry(world, &Key::ed25519(world, "old")).sign(&long.leaf_key);
        let new = Key::ed25519(world, "new");
        let entries = [old.repeat(700), entry(world, &new).sign(&short.leaf_key)].concat();
        world.emulator.set_entries("ec2-user", entries);
        let Compared { without, with } = compare(world, &kept, "", &["ec2-user"]);
        assert!(without.keys().contains(&new.bare_line()), "without {}", without.said());
        assert!(with.keys().contains(&new.bare_line()), "with {}", with.said());
    });
}

#[test]
fn one_bad_push_costs_three_requests_and_leaves_the_memory() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_, kept) = filled(world);
        let bad = entry(world, &Key::ed25519(world, "bad")).sign(&KeyPool::shared().get("foreign"));
        world.emulator.set_entries("ubuntu", bad.repeat(2048));
        let Compared { without, with } = compare(world, &kept, "", &["ubuntu"]);
        for ran in [&without, &with] {
            assert_eq!(ran.keys(), "");
            assert!(ran.run.notes().contains("bad-signature"), "{}", ran.said());
        }
        assert_eq!(with.run.notes(), without.run.notes());
        assert_eq!((without.paths.len(), with.paths.len()), (7, 4), "{}", with.said());
        assert_eq!(fs::read(file()).unwrap(), kept, "the memory has changed");
        // The service has another signer, and it did not sign the entries either.
        replace_signer(world);
        world.emulator.set_entries("ubuntu", bad.repeat(2048));
        let Compared { without, with } = compare(world, &kept, "", &["ubuntu"]);
        assert_eq!((without.keys(), with.keys()), (String::new(), String::new()));
        assert!(with.paths.len() <= without.paths.len(), "{}\n{}", without.said(), with.said());
        assert_eq!(run(world, "ec2-user").1.len(), 1, "the run has remembered the new signer");
    });
}

/// The service answers only when the evidence has become too old.
#[test]
fn age_counts_when_the_evidence_is_used() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, _) = filled(world);
        world.configure("[imds]\nremember = 2\n");
        world.emulator.inject(Fault::at(&keys_of("ec2-user")).delay(Duration::from_millis(2100)));
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!(keys, line);
        assert!(paths.iter().any(|path| path == SIGNER), "evidence that is too old was used: {paths:?}");
    });
}

#[test]
fn evidence_of_one_endpoint_does_not_become_that_of_another() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let second = second_service(world, &line);
        world.lose_address("169.254.169.254/32");
        for what in ["with a key", "without a key"] {
            write_bytes(world, &kept);
            let user = if what == "with a key" { "ec2-user" } else { "ubuntu" };
            let (keys, _) = run(world, user);
            assert_eq!(keys, if user == "ubuntu" { "" } else { line.as_str() }, "{what}");
            let paths: Vec<_> = second.take_requests().into_iter().map(|request| request.path).collect();
            let record = record().unwrap();
            let is_proven_here = paths.iter().any(|path| path == SIGNER);
            assert!(
                record.scope.endpoint.contains("169.254.169.254")
                    || is_proven_here
                    || record.evidence.is_none(),
                "{what}: evidence of {}, but {paths:?}",
                record.scope.endpoint
            );
        }
    });
}

/// Settings that change after the evidence was remembered, and whether the run can judge it by itself.
#[test]
fn changed_settings_hold_for_remembered_evidence() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (_, kept) = filled(world);
        let (name, now) = (world.emulator.signer_name(), world.emulator.now());
        let stranger = Hierarchy::of_family(&KeyPool::shared(), "stranger", &name, now);
        fs::write("/etc/other-ca.pem", stranger.anchor_pem()).unwrap();
        for (settings, is_enough) in [
            ("[trust]\nroots = \"amazon\"\n", false),
            ("[trust]\nca_file = \"/etc/other-ca.pem\"\n", false),
            ("[trust]\nregion = \"eu-west-1\"\n", false),
            ("[trust]\ndomain = \"amazonaws.com.cn\"\n", false),
            ("[trust]\nrevocation = \"when-stapled\"\n", true),
            // A rule refuses an entry that was verified. Fresh evidence cannot change that.
            ("[[rule]]\naction = \"deny\"\n", true),
        ] {
            let Compared { without, with } = compare(world, &kept, settings, &["ec2-user"]);
            assert_eq!(
                (with.keys(), with.run.notes(), with.run.status()),
                (without.keys(), without.run.notes(), without.run.status()),
                "{settings}"
            );
            assert_eq!(
                with.paths.iter().any(|path| path == SIGNER),
                !is_enough,
                "{settings}: {}",
                with.said()
            );
        }
    });
}

/// With `when-stapled`, a certificate without a staple is accepted. Only the service knows whether a staple exists.
#[test]
fn evidence_without_every_staple_is_neither_stored_nor_used_alone() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let settings = "[trust]\nrevocation = \"when-stapled\"\n";
        let (hierarchy, now) = (world.emulator.hierarchy(), world.emulator.now());
        for (what, staples) in [("one staple", vec![hierarchy.staple(1, now).build()]), ("none", Vec::new())]
        {
            let mut record = Record::parse(&kept).unwrap();
            let texts: Vec<_> = staples.iter().map(|staple| staple.text().into_bytes()).collect();
            edit(&mut record, |signer| signer.staples = texts);
            // The service has a staple by which the signer is revoked.
            let revoked = CertStatus::Revoked { at: now - 60, reason: None };
            let revoked = hierarchy.staple(0, now).status(revoked).build();
            world.emulator.set_staples(vec![revoked, hierarchy.staple(1, now).build()]);
            let Compared { without, with } =
                compare(world, &record.to_bytes().unwrap(), settings, &["ec2-user"]);
            assert_eq!((without.keys(), with.keys()), (String::new(), String::new()), "{what}");
            // The service has no more staples than the record.
            world.emulator.set_staples(staples);
            let Compared { without, with } = compare(world, b"", settings, &["ec2-user"]);
            assert_eq!((without.keys(), with.keys()), (line.clone(), line.clone()), "{what}");
            let stored = super::record().unwrap();
            assert!(stored.token.is_some() && stored.evidence.is_none(), "{what}: {stored:?}");
        }
    });
}

#[test]
fn new_token_does_not_renew_the_age_of_the_evidence() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let before = Record::parse(&kept).unwrap();
        world.emulator.invalidate_tokens();
        assert_eq!(run(world, "ec2-user").0, line);
        let after = record().unwrap();
        assert_ne!(after.token, before.token);
        assert_eq!(after.evidence, before.evidence);
    });
}

/// Evidence that does not fit into the file.
#[test]
fn large_evidence_is_not_remembered_and_the_token_is() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, _) = filled(world);
        let chain = format!("{}{}", world.emulator.hierarchy().bundle_pem(), "\n".repeat(66_000));
        world.emulator.set_item("managed-ssh-keys/signer-cert", chain);
        fs::remove_file(file()).unwrap();
        for (place, requests) in [7, 6, 6].into_iter().enumerate() {
            let (keys, paths) = run(world, "ec2-user");
            assert_eq!((keys, paths.len()), (line.clone(), requests), "run {place}: {paths:?}");
            let record = record().unwrap();
            assert!(record.token.is_some() && record.evidence.is_none(), "run {place}: {record:?}");
        }
    });
}

/// A process of the agent's user writes the record that takes longest to judge.
#[test]
fn expensive_record_costs_no_login() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        let (hierarchy, now) = (world.emulator.hierarchy(), world.emulator.now());
        let pem: Vec<_> = hierarchy.chain.iter().map(|(certificate, _)| certificate.pem()).collect();
        let staples = |count: i64| -> Vec<Vec<u8>> {
            let of = |number| hierarchy.staple(usize::try_from(number % 2).unwrap(), now - number);
            (0..count).map(|number| of(number).build().text().into_bytes()).collect()
        };
        for (what, chain, staples) in [
            ("many certificates of one name", format!("{}{}", pem[0], pem[1].repeat(24)), staples(2)),
            ("the chain many times", pem.concat().repeat(8), staples(2)),
            ("many staples", pem.concat(), staples(20)),
            ("no staple", pem.concat().repeat(8), Vec::new()),
        ] {
            let mut record = Record::parse(&kept).unwrap();
            edit(&mut record, |signer| {
                signer.chain = chain.into_bytes();
                signer.staples = staples;
            });
            let bytes = record.to_bytes().unwrap_or_else(|| panic!("{what}: too large"));
            let Compared { without, with } = compare(world, &bytes, "", &["ec2-user"]);
            assert_eq!((without.keys(), with.keys()), (line.clone(), line.clone()), "{what}");
            assert!(with.run.is_soon() && with.paths.len() <= 7, "{what}: {}", with.said());
        }
    });
}

/// One wait for the age of the evidence, and one for that of the token.
#[test]
fn evidence_and_token_end_with_the_setting() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let (line, kept) = filled(world);
        sleep(Duration::from_millis(1100));
        world.configure("[imds]\nremember = 1\n");
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!((keys, paths.len()), (line.clone(), 7), "{paths:?}");
        // The record is still valid for a run with a longer setting.
        world.configure(LASTING);
        write_bytes(world, &kept);
        assert_eq!(run(world, "ec2-user").1.len(), 1);
        push(world, "ubuntu", "other");
        assert_eq!(run(world, "ubuntu").1.len(), 1);
    });
}

/// A bundle may hold several certificates of the signer's name. Its staples show which of them is the signer.
#[test]
fn another_certificate_of_the_same_bundle_becomes_the_signer() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        let (name, now) = (world.emulator.signer_name(), world.emulator.now());
        let first = (*world.emulator.hierarchy()).clone();
        let mut second = first.clone();
        second.leaf_key = KeyPool::shared().get("second-leaf");
        let leaf = second.leaf(&name, now);
        let second = second.with_leaf(leaf);
        let bundle = format!("{}{}", first.bundle_pem(), second.leaf_certificate().pem());
        world.emulator.set_item(crate::metadata::SIGNER, bundle);
        let others = [second.staple(0, now).build(), first.staple(1, now).build()];
        world.emulator.set_staples([&[first.staple(0, now).build()], &others[..]].concat());
        let signed_by = |key: &RsaKey, pushed: &Key| entry(world, pushed).sign(key);
        let (old, new) = (Key::ed25519(world, "by-first"), Key::ed25519(world, "by-second"));
        world.emulator.set_entries("ec2-user", signed_by(&first.leaf_key, &old));
        assert_eq!(run(world, "ec2-user").0, format!("{}\n", old.bare_line()));
        assert!(record().unwrap().evidence.is_some());
        // The service revokes the first certificate, and signs with the second one.
        let revoked = first.staple(0, now).status(CertStatus::Revoked { at: now - 60, reason: None }).build();
        world.emulator.set_staples([&[revoked], &others[..]].concat());
        world.emulator.set_entries("ec2-user", signed_by(&second.leaf_key, &new));
        let (keys, paths) = run(world, "ec2-user");
        assert_eq!(keys, format!("{}\n", new.bare_line()), "{paths:?}");
    });
}
