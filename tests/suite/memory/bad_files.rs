//! Files that hold no good memory. Every run ends as it would without the file.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use eic_emulator::Config;
use eic_emulator::pki::{CertStatus, Hierarchy, KeyPool};
use eic_login::memory::{KeptEvidence, Moment, Record, SignerBytes};

use super::{belong_to, file, make_folder, push, record, run, write_bytes};
use crate::world::{World, on_an_instance, test_path};

/// Replaces the file by this record.
fn write(world: &World, record: &Record) {
    write_bytes(world, &record.to_bytes().unwrap());
}

fn remove() {
    let _ = fs::remove_file(file());
}

type Spoil = fn(&World, Record);

/// How the file is spoiled, and how many requests the next run makes: 7 if it starts from nothing.
const ROWS: &[(&str, Spoil, usize)] = &[
    ("empty", |world, _| write_bytes(world, b""), 7),
    ("garbage", |world, _| write_bytes(world, &[0xa5; 4000]), 7),
    ("a text of another program", |world, _| write_bytes(world, b"of another program"), 7),
    (
        "torn in its head",
        |world, good| {
            let bytes = good.to_bytes().unwrap();
            write_bytes(world, &bytes[..200]);
        },
        7,
    ),
    (
        "torn",
        |world, good| {
            let bytes = good.to_bytes().unwrap();
            write_bytes(world, &bytes[..bytes.len() - 1]);
        },
        6,
    ),
    (
        "longer than its record",
        |world, good| {
            write_bytes(world, &[good.to_bytes().unwrap(), vec![0]].concat());
        },
        6,
    ),
    (
        "100 MB",
        |world, good| {
            write(world, &good);
            fs::File::options().write(true).open(file()).unwrap().set_len(100 << 20).unwrap();
        },
        7,
    ),
    (
        "a FIFO",
        |world, _| {
            remove();
            assert!(Command::new("mkfifo").arg(file()).status().unwrap().success());
            belong_to(world, "eic-agent", 0o600);
        },
        7,
    ),
    (
        "a folder",
        |world, _| {
            remove();
            fs::create_dir(file()).unwrap();
            belong_to(world, "eic-agent", 0o700);
        },
        7,
    ),
    (
        "a link to a good file",
        |world, good| {
            write(world, &good);
            let other = file().with_extension("other");
            fs::rename(file(), &other).unwrap();
            symlink(&other, file()).unwrap();
        },
        7,
    ),
    (
        "a hard link",
        |world, good| {
            write(world, &good);
            let other = file().with_extension("other");
            let _ = fs::remove_file(&other);
            fs::hard_link(file(), &other).unwrap();
        },
        7,
    ),
    (
        "of another owner",
        |world, good| {
            write(world, &good);
            belong_to(world, "ubuntu", 0o600);
        },
        7,
    ),
    (
        "of another owner, open to all",
        |world, good| {
            write(world, &good);
            belong_to(world, "ubuntu", 0o666);
        },
        7,
    ),
    (
        "readable by others",
        |world, good| {
            write(world, &good);
            belong_to(world, "eic-agent", 0o640);
        },
        7,
    ),
    (
        "of another version",
        |world, mut good| {
            good.scope.version.push('0');
            write(world, &good);
        },
        7,
    ),
    (
        "of another start of the machine",
        |world, mut good| {
            good.scope.boot = String::from("00000000-0000-0000-0000-000000000000");
            write(world, &good);
        },
        7,
    ),
    (
        "of another instance",
        |world, mut good| {
            good.scope.instance = String::from("i-0123456789abcdef1");
            write(world, &good);
        },
        7,
    ),
    (
        "of another endpoint",
        |world, mut good| {
            good.scope.endpoint = String::from("http://127.0.0.1:1");
            write(world, &good);
        },
        7,
    ),
    (
        "too old by the wall clock",
        |world, mut good| {
            shift(&mut good, |at| at.wall -= 61_000);
            write(world, &good);
        },
        7,
    ),
    (
        "too old by the boot clock",
        |world, mut good| {
            shift(&mut good, |at| at.boot = at.boot.saturating_sub(61_000));
            write(world, &good);
        },
        7,
    ),
    (
        "of the future by the wall clock",
        |world, mut good| {
            shift(&mut good, |at| at.wall += 3_600_000);
            write(world, &good);
        },
        7,
    ),
    (
        "of the future by the boot clock",
        |world, mut good| {
            shift(&mut good, |at| at.boot += 3_600_000);
            write(world, &good);
        },
        7,
    ),
    (
        "with a token that ends soon",
        |world, mut good| {
            good.token.as_mut().unwrap().lifetime = std::time::Duration::from_secs(1);
            write(world, &good);
        },
        2,
    ),
    (
        "with a token that is refused",
        |world, mut good| {
            good.token.as_mut().unwrap().value = b"refused".to_vec();
            write(world, &good);
        },
        3,
    ),
    (
        "with a token that is no token",
        |world, mut good| {
            good.token.as_mut().unwrap().value = b"a\r\nb".to_vec();
            write(world, &good);
        },
        2,
    ),
    (
        "without a token",
        |world, mut good| {
            good.token = None;
            write(world, &good);
        },
        2,
    ),
    (
        "without evidence",
        |world, mut good| {
            good.evidence = None;
            write(world, &good);
        },
        6,
    ),
    (
        "with the region of another signer",
        |world, mut good| {
            edit(&mut good, |signer| signer.region = Some("eu-west-1".parse().unwrap()));
            write(world, &good);
        },
        6,
    ),
    (
        "with the domain of another signer",
        |world, mut good| {
            edit(&mut good, |signer| signer.domain = Some("amazonaws.com.cn".parse().unwrap()));
            write(world, &good);
        },
        6,
    ),
    (
        "with another, untrusted signer",
        |world, mut good| {
            let (name, now) = (world.emulator.signer_name(), world.emulator.now());
            let other = Hierarchy::of_family(&KeyPool::shared(), "stranger", &name, now);
            edit(&mut good, |signer| {
                signer.chain = other.bundle_pem().into_bytes();
                signer.staples = other.staples(now).iter().map(|staple| staple.text().into_bytes()).collect();
            });
            write(world, &good);
        },
        6,
    ),
    (
        "with a revoked staple",
        |world, mut good| {
            let now = world.emulator.now();
            let staple = world
                .emulator
                .hierarchy()
                .staple(0, now)
                .status(CertStatus::Revoked { at: now - 60, reason: None })
                .build();
            edit(&mut good, |signer| signer.staples.push(staple.text().into_bytes()));
            write(world, &good);
        },
        6,
    ),
    (
        "with an expired staple",
        |world, mut good| {
            let now = world.emulator.now();
            let staple =
                world.emulator.hierarchy().staple(0, now).updates(now - 7200, Some(now - 3600)).build();
            edit(&mut good, |signer| signer.staples[0] = staple.text().into_bytes());
            write(world, &good);
        },
        6,
    ),
    (
        "without staples",
        |world, mut good| {
            edit(&mut good, |signer| signer.staples.clear());
            write(world, &good);
        },
        6,
    ),
    (
        "with an unreadable staple",
        |world, mut good| {
            edit(&mut good, |signer| signer.staples.push(b"!".to_vec()));
            write(world, &good);
        },
        6,
    ),
    (
        "with an unreadable chain",
        |world, mut good| {
            edit(&mut good, |signer| signer.chain = b"!".to_vec());
            write(world, &good);
        },
        6,
    ),
];

/// Changes the evidence of a record.
pub(super) fn edit(record: &mut Record, change: impl FnOnce(&mut SignerBytes)) {
    let kept = record.evidence.as_ref().unwrap();
    let mut signer = kept.signer().unwrap();
    change(&mut signer);
    record.evidence = Some(KeptEvidence::new(kept.since, &signer));
}

fn shift(record: &mut Record, change: fn(&mut Moment)) {
    change(&mut record.token.as_mut().unwrap().since);
    change(&mut record.evidence.as_mut().unwrap().since);
}

#[test]
fn every_run_ends_as_without_the_file() {
    on_an_instance(test_path!(), Config::default(), |world| {
        make_folder(world);
        // So that a machine that started a minute ago has an older record too.
        world.configure("[imds]\nremember = 60\n");
        let (_, line) = push(world, "ec2-user", "key");
        let mut failed = Vec::new();
        for (what, spoil, requests) in ROWS {
            remove();
            let _ = fs::remove_dir(file());
            assert_eq!(run(world, "ec2-user").0, line);
            let good = record().unwrap_or_else(|| panic!("{what}: no record"));
            assert_eq!(run(world, "ec2-user").1.len(), 1, "{what}");
            spoil(world, good);
            let (keys, paths) = run(world, "ec2-user");
            if keys != line || paths.len() != *requests {
                failed.push(format!(
                    "{what}: {keys:?}, {} requests instead of {requests}: {paths:?}",
                    paths.len()
                ));
            }
            // A user without a key gets none.
            assert_eq!(run(world, "ubuntu").0, "", "{what}");
        }
        assert!(failed.is_empty(), "{failed:#?}");
    });
}
