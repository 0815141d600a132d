//! `doctor` on a private instance. A login needs many things ("links"): metadata, the clock, the signer, sshd, its
//! command, the account. Each row breaks one link. `doctor` must name this link and its fix, and no other.

mod connections;
mod expired;
mod logins;
pub(crate) mod memory;
mod no_pid_file;
mod output;
mod pam_sessions;
mod reach;
mod revoked;
mod running;
mod server;
mod service;
mod silent;
mod sound;
mod system;
mod unseen;
mod verdict;
mod words;

use std::any::Any;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use eic_emulator::Config;
pub(crate) use sound::have_it_read;
use sound::{Sound, doctor, verdicts};

use crate::wiring::{CONFIG, INCLUDE, agent, lay_out};
use crate::world::{Key, Sshd, Syslog, World, on_an_instance_for, test_path, without_penalties};

/// Runs the closure at the end of a row, to restore the machine.
struct Undo<F: FnMut()>(F);

impl<F: FnMut()> Drop for Undo<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

type Broken = Box<dyn Any>;

/// What `doctor` must report for one check.
#[derive(Clone, Copy)]
struct Finding {
    check: &'static str,
    verdict: &'static str,
    /// A part of the reported state. `#` matches any digit.
    seen: &'static str,
    /// A part of the fix.
    fix: &'static str,
}

/// One broken link, and each check whose result it changes.
struct Row {
    name: &'static str,
    user: &'static str,
    breaks: Box<dyn Fn(&World) -> Broken>,
    /// The first one is the reported cause.
    says: Vec<Finding>,
    /// Ids of the checks that `doctor` then skips.
    follows: &'static [&'static str],
    /// Whether a pushed ed25519 key still logs in.
    login: Login,
    /// Whether the running sshd reads its configuration before `doctor` runs.
    is_read: bool,
}

#[derive(Clone, Copy)]
enum Login {
    /// The login fails exactly if a check fails.
    AsSaid,
    Refused,
    /// The login may succeed or fail, and `doctor` says that this is not known.
    Open,
    /// A login here does not show the result of the fault: the fault is imitated, or concerns another key.
    Either,
}

fn row(name: &'static str, breaks: impl Fn(&World) + 'static, says: Finding) -> Row {
    let breaks = Box::new(move |world: &World| -> Broken {
        breaks(world);
        Box::new(())
    });
    Row {
        name,
        user: "ec2-user",
        breaks,
        says: vec![says],
        follows: &[],
        login: Login::AsSaid,
        is_read: true,
    }
}

/// Adds lines to `sshd_config`, before the `Include`.
fn with(lines: &'static str) -> impl Fn(&World) {
    move |_| {
        let config = fs::read_to_string(CONFIG).unwrap();
        fs::write(CONFIG, format!("{lines}{config}")).unwrap();
    }
}

/// Adds lines at the end of `sshd_config`. A `Match` in these lines applies to no other line.
fn ending(lines: &'static str) -> impl Fn(&World) {
    move |_| {
        let config = fs::read_to_string(CONFIG).unwrap();
        fs::write(CONFIG, format!("{config}{lines}")).unwrap();
    }
}

/// Replaces a text in a file.
fn edited(file: &'static str, from: &'static str, to: &'static str) -> impl Fn(&World) {
    move |_| {
        let text = fs::read_to_string(file).unwrap();
        assert!(text.contains(from), "{file}: {text}");
        fs::write(file, text.replace(from, to)).unwrap();
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn run(words: &[&str]) {
    assert!(Command::new(words[0]).args(&words[1..]).status().unwrap().success(), "{words:?}");
}

/// Mounts `by` over `path` until the end of the row.
fn covered(by: &str, path: &'static str) -> Broken {
    run(&["mount", "--bind", by, path]);
    Box::new(Undo(move || run(&["umount", "--lazy", path])))
}

/// Whether `text` contains `words`. A `#` in `words` matches any digit.
pub(crate) fn shows(text: &str, words: &str) -> bool {
    let same = |(&seen, word): (&u8, u8)| seen == word || (word == b'#' && seen.is_ascii_digit());
    words.is_empty()
        || text.as_bytes().windows(words.len()).any(|part| part.iter().zip(words.bytes()).all(same))
}

const NOT_ASKED: &[&str] = &["command-user", "command-path", "providers", "answer"];
const NO_SSHD: &[&str] = &[
    "listener",
    "command",
    "command-user",
    "command-path",
    "public-keys",
    "auth-tries",
    "key-types",
    "revoked-keys",
    "providers",
    "access",
    "account",
    "answer",
    "pam",
];

fn refused(row: Row) -> Row {
    Row { login: Login::Refused, ..row }
}

fn either(row: Row) -> Row {
    Row { login: Login::Either, ..row }
}

fn open(row: Row) -> Row {
    Row { login: Login::Open, ..row }
}

fn follow(follows: &'static [&'static str], row: Row) -> Row {
    Row { follows, ..row }
}

/// Wires sshd and starts it, with a reader of the log.
fn wired(world: &World) -> (Sshd, Syslog) {
    (enabled(world), Syslog::bind())
}

/// An sshd after `enable`, without a log.
pub(crate) fn enabled(world: &World) -> Sshd {
    let host = Key::ed25519(world, "host");
    let (penalties, host) = (without_penalties(host.file()), host.file().display());
    lay_out(
        &format!(
            "{INCLUDE}HostKey {host}\nListenAddress 127.0.0.1\nUsePAM no\nPidFile /run/sshd.pid\n{penalties}"
        ),
        &[],
    );
    // The settings now have a long time limit. It also applies to the command that `enable` writes.
    world.configure_unhurried("");
    let ran = agent(world, &["enable"]);
    assert_eq!(ran.status, Some(0), "{}", ran.err);
    Sshd::listen(&[])
}

fn every_row(name: &str, rows: fn() -> Vec<Row>) {
    // Each row runs sshd a dozen times and logs in. On a busy machine, all rows take minutes.
    on_an_instance_for("1800", name, Config::default(), |world| {
        let _running = wired(world);
        let sound = Sound::new(world);
        sound.check_all(world, &rows());
    });
}

#[test]
fn broken_link_of_sshds_command_is_named() {
    every_row(test_path!(), server::rows);
}

#[test]
fn broken_link_of_the_service_is_named() {
    on_an_instance_for("1800", test_path!(), Config::default(), |world| {
        let _running = wired(world);
        service::restore(world);
        let sound = Sound::new(world);
        let check = |row: &Row| {
            let faults = sound.check(world, row);
            service::restore(world);
            faults
        };
        let faults: Vec<_> = service::rows().iter().flat_map(check).collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
        assert_eq!(verdicts(&doctor(world)), sound.checks, "the machine is sound again");
    });
}

#[test]
fn broken_link_of_keys_accounts_or_system_is_named() {
    every_row(test_path!(), || {
        let rows = logins::key_rows().into_iter().chain(logins::account_rows());
        rows.chain(system::rows()).chain(memory::rows()).collect()
    });
}
