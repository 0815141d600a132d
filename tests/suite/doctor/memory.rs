//! The memory: each state of its folder and its file.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use eic_login::memory::{FOLDER, NAME, Record};

use super::{Finding, Row, edited, row};
use crate::wiring::OURS;
use crate::world::World;

/// A state of the memory, what `doctor` says about it, and what a run then does.
pub(crate) struct State {
    pub(crate) name: &'static str,
    pub(crate) make: fn(&World),
    pub(crate) verdict: &'static str,
    /// A part of what `doctor` says.
    pub(crate) seen: &'static str,
    pub(crate) fix: &'static str,
    pub(crate) runs: Runs,
}

/// What two runs do in this state, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Both use what is remembered.
    Warm,
    /// The first one requests everything, and the second one uses what it remembered.
    ColdThenWarm,
    /// Two runs request everything, and the third one uses what is remembered.
    ColdTwice,
    /// No run uses what another one requested.
    Cold,
}

fn file() -> PathBuf {
    Path::new(FOLDER).join(NAME)
}

/// Makes the folder as the package does, without a file.
pub(crate) fn fresh(world: &World) {
    let _ = fs::remove_file(FOLDER);
    let _ = fs::remove_dir_all(FOLDER);
    fs::DirBuilder::new().mode(0o700).create(FOLDER).unwrap();
    let uid = world.uid("eic-agent");
    chown(FOLDER, Some(uid), Some(uid)).unwrap();
}

fn write(world: &World, bytes: &[u8]) {
    fs::write(file(), bytes).unwrap();
    let uid = world.uid("eic-agent");
    chown(file(), Some(uid), Some(uid)).unwrap();
    fs::set_permissions(file(), fs::Permissions::from_mode(0o600)).unwrap();
}

fn gone() {
    fs::remove_dir_all(FOLDER).unwrap();
}

fn rights(path: &Path, uid: u32, mode: u32) {
    chown(path, Some(uid), None).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Changes the record that a run made.
fn changed(world: &World, change: impl Fn(&mut Record)) {
    assert!(world.run_as("eic-agent", &["ec2-user"]).keys().is_empty());
    let mut record = Record::parse(&fs::read(file()).unwrap()).unwrap();
    change(&mut record);
    write(world, &record.to_bytes().unwrap());
}

/// All states. A user without a key is enough: then a run remembers the token.
pub(crate) const STATES: &[State] = &[
    State {
        name: "no folder",
        make: |_| gone(),
        verdict: "warn",
        seen: "none: there is no folder /run/eic-agent, so each run requests everything",
        fix: "sudo install -d -m 700 -o eic-agent /run/eic-agent",
        runs: Runs::Cold,
    },
    State {
        name: "no folder, on a machine with systemd-tmpfiles",
        make: |_| {
            gone();
            let line = include_str!("../../../systemd/eic-agent.tmpfiles.conf");
            fs::create_dir_all("/etc/tmpfiles.d").unwrap();
            fs::write("/etc/tmpfiles.d/eic-agent.conf", line).unwrap();
        },
        verdict: "warn",
        seen: "none: there is no folder /run/eic-agent",
        fix: "sudo systemd-tmpfiles --create eic-agent.conf",
        runs: Runs::Cold,
    },
    State {
        name: "a file instead of the folder",
        make: |_| {
            gone();
            fs::write(FOLDER, "").unwrap();
        },
        verdict: "warn",
        seen: "none: /run/eic-agent is not a folder",
        fix: "sudo sh -c 'rm /run/eic-agent && install -d",
        runs: Runs::Cold,
    },
    State {
        name: "a link instead of the folder",
        make: |world| {
            gone();
            symlink(world.path("home/eic-agent"), FOLDER).unwrap();
        },
        verdict: "warn",
        seen: "none: /run/eic-agent is not a folder",
        fix: "sudo sh -c 'rm /run/eic-agent && install -d",
        runs: Runs::Cold,
    },
    State {
        name: "a folder of root",
        make: |_| rights(Path::new(FOLDER), 0, 0o755),
        verdict: "warn",
        seen: "none: /run/eic-agent belongs to the user with the number 0, not to eic-agent",
        fix: "sudo install -d -m 700 -o eic-agent /run/eic-agent",
        runs: Runs::Cold,
    },
    State {
        name: "a folder with rights for others",
        make: |world| rights(Path::new(FOLDER), world.uid("eic-agent"), 0o750),
        verdict: "warn",
        seen: "none: /run/eic-agent has the mode 0750, not 0700, so each run requests everything",
        fix: "sudo chmod 700 /run/eic-agent",
        runs: Runs::Cold,
    },
    State {
        name: "a folder that its owner cannot change",
        make: |world| rights(Path::new(FOLDER), world.uid("eic-agent"), 0o500),
        verdict: "warn",
        seen: "none: /run/eic-agent has the mode 0500, not 0700",
        fix: "sudo chmod 700 /run/eic-agent",
        runs: Runs::Cold,
    },
    State {
        name: "a file that its owner cannot write",
        make: |world| {
            write(world, b"");
            rights(&file(), world.uid("eic-agent"), 0o400);
        },
        verdict: "ok",
        seen: "removes /run/eic-agent/evidence: its mode is not 0600",
        fix: "",
        runs: Runs::ColdTwice,
    },
    State {
        name: "a folder with the name of the file",
        make: |world| {
            fs::create_dir(file()).unwrap();
            rights(&file(), world.uid("eic-agent"), 0o700);
        },
        verdict: "warn",
        seen: "none: /run/eic-agent/evidence is a folder",
        fix: "sudo rm -r /run/eic-agent/evidence",
        runs: Runs::Cold,
    },
    State {
        name: "a file of another user",
        make: |world| {
            write(world, b"");
            rights(&file(), 0, 0o600);
        },
        verdict: "ok",
        seen: "none for the next run, which removes /run/eic-agent/evidence: it belongs to another user",
        fix: "",
        runs: Runs::ColdTwice,
    },
    State {
        name: "a file that others can read",
        make: |world| {
            write(world, b"");
            rights(&file(), world.uid("eic-agent"), 0o644);
        },
        verdict: "ok",
        seen: "none for the next run, which removes /run/eic-agent/evidence: its mode is not 0600",
        fix: "",
        runs: Runs::ColdTwice,
    },
    State {
        name: "a torn file",
        make: |world| write(world, b"eic-agent evidence 1\nx"),
        verdict: "ok",
        seen: "the file holds no whole record; the next run replaces it",
        fix: "",
        runs: Runs::ColdThenWarm,
    },
    State {
        name: "a record of another version",
        make: |world| changed(world, |record| record.scope.version.push('0')),
        verdict: "ok",
        seen: "the record is of another version, start of the machine, instance or address; the next run",
        fix: "",
        runs: Runs::ColdThenWarm,
    },
    State {
        name: "a record that is too old",
        make: |world| {
            changed(world, |record| {
                let token = record.token.as_mut().unwrap();
                token.since.wall -= 400_000;
            });
        },
        verdict: "ok",
        seen: "too old, so the next run requests everything: the token, 40# s old (not used)",
        fix: "",
        runs: Runs::ColdThenWarm,
    },
    State {
        name: "a record of the future",
        make: |world| {
            changed(world, |record| record.token.as_mut().unwrap().since.wall += 400_000);
        },
        verdict: "ok",
        seen: "the token, from before the clock was set back (not used)",
        fix: "",
        runs: Runs::ColdThenWarm,
    },
    State {
        name: "no file",
        make: |_| {},
        verdict: "ok",
        seen: "nothing is remembered yet in /run/eic-agent",
        fix: "",
        runs: Runs::ColdThenWarm,
    },
    State {
        name: "a good record",
        make: |world| changed(world, |_| {}),
        verdict: "ok",
        seen: "in use: the token, ",
        fix: "",
        runs: Runs::Warm,
    },
    State {
        name: "a memory that the settings disable",
        make: |world| world.configure("[imds]\nremember = 0\ntimeout = 20\n"),
        verdict: "ok",
        seen: "none: [imds] remember is 0",
        fix: "",
        runs: Runs::Cold,
    },
];

/// Rows of the states that a run of `doctor` does not change, and of the user of a run.
pub(super) fn rows() -> Vec<Row> {
    let is_lasting = |state: &&State| state.runs == Runs::Cold;
    let of_state = |state: &'static State| {
        let State { verdict, seen, fix, .. } = *state;
        row(state.name, state.make, Finding { check: "memory", verdict, seen, fix })
    };
    let of_user = |name, line, seen| {
        row(
            name,
            edited(OURS, "User eic-agent", line),
            Finding { check: "memory", verdict: "ok", seen, fix: "" },
        )
    };
    let mut rows: Vec<_> = STATES.iter().filter(is_lasting).map(of_state).collect();
    rows.push(of_user(
        "a run as nobody",
        "User nobody",
        "none: sshd runs the agent as nobody, and only eic-agent has a memory",
    ));
    rows.push(of_user("a run as root", "User root", "in use: the token, "));
    rows
}
