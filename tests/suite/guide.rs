//! The guide in the emulator's README: one script runs its blocks in order, from an empty folder to a login to a private
//! instance and its records.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use eic_emulator::Config;

use crate::world::{Journald, World, installed, on_an_instance, test_path};

const README: &str = include_str!("../emulator/README.md");
const STEPS: usize = 10;

/// The numbers and the blocks of the steps, and the block that ends them.
fn steps() -> Vec<(usize, &'static str)> {
    let start = "\n## The guide, step by step\n";
    let section = README.split(start).nth(1).and_then(|rest| rest.split("\n## ").next()).expect(start);
    let mut steps = Vec::new();
    let mut number = 0;
    for (place, part) in section.split("\n```").enumerate() {
        if place % 2 == 1 {
            steps.push((number, part));
            continue;
        }
        for heading in part.split("\n**").skip(1) {
            let named: usize = heading.split('.').next().unwrap().parse().unwrap();
            assert_eq!(named, number + 1, "{heading}");
            number = named;
        }
        if part.contains("\nTo end, ") {
            number += 1;
        }
    }
    assert!((1..=STEPS + 1).all(|wanted| steps.iter().any(|(number, _)| *number == wanted)), "{steps:#?}");
    steps
}

/// A folder with the programs of the guide, as an installation has them.
fn programs(world: &World) -> String {
    let folder = world.path("bin");
    let emulator = Path::new(env!("CARGO_BIN_EXE_eic-agent")).with_file_name("eic-emulator");
    assert!(emulator.exists(), "{}: cargo build --package eic-emulator makes it", emulator.display());
    for (name, program) in [("eic-emulator", emulator), ("aws", installed("aws"))] {
        symlink(program, folder.join(name)).unwrap();
    }
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display())
}

#[test]
fn steps_lead_from_an_empty_folder_to_a_private_login_and_its_records() {
    on_an_instance(test_path!(), Config::default(), |world| {
        let _journal = Journald::start(world);
        let path = programs(world);
        let folder = world.path("try");
        fs::create_dir(&folder).unwrap();
        let mut script = "set -eu\n".to_owned();
        for (number, block) in steps() {
            script.extend([&format!("echo '=== {number}'\n"), block, "\n"]);
        }
        let output = Command::new("timeout")
            .args(["300", "sh", "-c", &script])
            .current_dir(&folder)
            .env("PATH", path)
            .env("HOME", &folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let logs: Vec<_> = ["aws.log", "sshd.log"]
            .iter()
            .map(|log| fs::read_to_string(folder.join(log)).unwrap_or_default())
            .collect();
        let all = format!("{said}\n{}\n{}", String::from_utf8_lossy(&output.stderr), logs.join("\n"));
        assert!(output.status.success(), "{all}");
        let of = |number: usize| {
            let rest =
                said.split(&format!("=== {number}\n")).nth(1).unwrap_or_else(|| panic!("{number}: {all}"));
            rest.split("=== ").next().unwrap()
        };
        assert_eq!(of(2), "127.0.0.1\tsubnet-0123456789abcdef0\trunning\n", "{all}");
        assert!(of(6).contains("\"Success\": true"), "{all}");
        assert_eq!(of(7), "ec2-user\n", "{all}");
        assert!(of(8).starts_with("eice-0123456789abcdef0\tcreate-complete\t"), "{all}");
        assert!(of(9).ends_with("ec2-user\n"), "{all}");
        let (records, lines): (Vec<_>, Vec<_>) = of(10).lines().partition(|line| line.contains('\t'));
        let alice = "arn:aws:iam::123456789012:user/alice";
        let of_kind = |name: &str| {
            let is_it = |line: &&&str| line.contains(&format!("\t{name}\t")) && line.ends_with(alice);
            records.iter().filter(is_it).map(|line| line.split('\t').nth(2).unwrap()).collect::<Vec<_>>()
        };
        let (pushes, tunnels) = (of_kind("SendSSHPublicKey"), of_kind("OpenTunnel"));
        assert_eq!((pushes.len(), tunnels.len(), records.len()), (2, 1, 3), "{all}");
        for request in pushes {
            assert!(
                lines.iter().any(|line| line.contains(request) && line.contains(alice)),
                "{request}: {all}"
            );
        }
    });
}
