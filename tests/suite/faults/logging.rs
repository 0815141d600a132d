//! The log is stuck, missing, or not a socket. The key is still given, and no run waits for long.

use std::fs;
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::time::Duration;

use eic_emulator::{Entry, Fault};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect, listen, socket};

use super::Expected::{Key, Refused, Undecided};
use super::{Bench, Row, hold_with, row, says};
use crate::metadata::KEYS;
use crate::world::test_path;

const LOG: &str = "/dev/log";
const JOURNAL: &str = "/run/systemd/journal/socket";
/// The path of the bench's log while a row has something else at [`LOG`].
const ASIDE: &str = "/dev/log-aside";

#[test]
fn every_fault_has_its_outcome() {
    hold_with(test_path!(), rows, |bench| {
        drop(bench.held.take());
        remove(JOURNAL);
        if Path::new(ASIDE).exists() {
            // A line in a regular file reaches no log, so the file must be empty.
            assert!(fs::metadata(LOG).map_or(true, |file| !file.is_file() || file.len() == 0));
            remove(LOG);
            fs::rename(ASIDE, LOG).unwrap();
        }
        fs::set_permissions(LOG, fs::Permissions::from_mode(0o666)).unwrap();
    });
}

pub(super) fn rows() -> Vec<Row> {
    [absent_rows(), stuck_rows(), journal_rows()].into_iter().flatten().collect()
}

fn remove(path: &str) {
    let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
}

/// A row whose lines do not reach the bench's log.
fn unread(row: Row) -> Row {
    Row { is_logged: false, ..row }
}

/// Moves the log to [`ASIDE`]. `place` may create something else at its path.
fn aside(place: impl Fn(&Bench) + 'static) -> impl Fn(&Bench) + 'static {
    move |bench| {
        fs::rename(LOG, ASIDE).unwrap();
        place(bench);
    }
}

fn for_all(path: &str) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
}

/// Creates a socket with a full queue, which stays open and is not read.
fn stuck(bench: &Bench, path: &str) {
    fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    let reader = UnixDatagram::bind(path).unwrap();
    for_all(path);
    let writer = UnixDatagram::unbound().unwrap();
    writer.set_nonblocking(true).unwrap();
    while writer.send_to(b"not read", path).is_ok() {}
    let full = writer.send_to(b"not read", path).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    bench.held.borrow_mut().push(reader.into());
    bench.held.borrow_mut().push(writer.into());
}

/// Creates a socket file that no process has open.
fn stale(path: &str) {
    fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    drop(UnixDatagram::bind(path).unwrap());
    for_all(path);
    assert!(fs::metadata(path).unwrap().file_type().is_socket());
}

/// A log daemon with a stream socket, as in old syslog daemons. It accepts no connection, and its backlog is full.
fn crowded(bench: &Bench, path: &str) {
    let stream = || {
        socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
            .unwrap()
    };
    let address = UnixAddr::new(path).unwrap();
    let daemon = stream();
    bind(daemon.as_raw_fd(), &address).unwrap();
    listen(&daemon, Backlog::new(1).unwrap()).unwrap();
    for_all(path);
    loop {
        let waiting = stream();
        match connect(waiting.as_raw_fd(), &address) {
            Ok(()) => bench.held.borrow_mut().push(waiting),
            Err(error) => break assert_eq!(error, nix::Error::EAGAIN),
        }
    }
    bench.held.borrow_mut().push(daemon);
}

fn forbidden() -> Fault {
    Fault::token().status(403)
}

fn silent() -> Fault {
    Fault::at(KEYS).delay(Duration::from_secs(3600))
}

const FORBIDDEN: super::Expected = Undecided("metadata-forbidden", "/latest/api/token answered 403");
const SILENT: super::Expected = Undecided("metadata-timeout", "");

fn absent_rows() -> Vec<Row> {
    let absent = |name: &str, place: fn(&Bench)| unread(row(format!("/dev/log {name}"), Key, aside(place)));
    vec![
        absent("is gone", |_| {}).with_login(),
        absent("is a regular file", |_| {
            fs::write(LOG, "").unwrap();
            for_all(LOG);
        }),
        absent("is a folder", |_| fs::create_dir(LOG).unwrap()),
        absent("is a link to nowhere", |_| symlink("/nonexistent", LOG).unwrap()),
        absent("is a link to itself", |_| symlink(LOG, LOG).unwrap()),
        absent("is a link to a device", |_| symlink("/dev/zero", LOG).unwrap()),
        absent("is a pipe without a reader", |_| {
            nix::unistd::mkfifo(LOG, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        }),
        absent("was left behind by its daemon", |_| stale(LOG)),
        unread(row("/dev/log is closed to sshd's user", Key, |_| {
            fs::set_permissions(LOG, fs::Permissions::from_mode(0o600)).unwrap();
        })),
        unread(row(
            "/dev/log is gone, and metadata forbids",
            FORBIDDEN,
            aside(|bench| bench.inject([forbidden()])),
        )),
        unread(
            row("/dev/log is gone, and metadata is silent", SILENT, aside(|bench| bench.inject([silent()])))
                .within(0.5),
        ),
    ]
}

fn stuck_rows() -> Vec<Row> {
    let on_log = |name: &str, expected, fault: Option<Fault>| {
        let place = aside(move |bench| {
            stuck(bench, LOG);
            bench.inject(fault.clone());
        });
        unread(row(format!("/dev/log is stuck{name}"), expected, place))
    };
    vec![
        on_log("", Key, None).with_login(),
        on_log(", and metadata forbids", FORBIDDEN, Some(forbidden())),
        on_log(", and metadata is silent", SILENT, Some(silent())).within(0.5),
        unread(row(
            "/dev/log is stuck, and there are many refusals",
            Refused("bad-signature", "", 9),
            aside(|bench| {
                stuck(bench, LOG);
                let entry = Entry::new(bench.key.line()).timestamp(bench.world.emulator.now() + 600);
                let entry = entry.instance(crate::world::INSTANCE).with_signature(&[7; 256]);
                bench.inject([says(KEYS, entry.repeat(40))]);
            }),
        )),
        unread(row(
            "/dev/log is a stream that accepts no connection",
            Key,
            aside(|bench| crowded(bench, LOG)),
        )),
        unread(
            row(
                "/dev/log is a stream that accepts no connection, and metadata is silent",
                SILENT,
                aside(|bench| {
                    crowded(bench, LOG);
                    bench.inject([silent()]);
                }),
            )
            .within(0.5),
        ),
        unread(row(
            "/dev/log is a stream that is not read",
            Key,
            aside(|bench| {
                bench.held.borrow_mut().push(UnixListener::bind(LOG).unwrap().into());
                for_all(LOG);
            }),
        )),
    ]
}

fn journal_rows() -> Vec<Row> {
    let journal = |name: &str, place: fn(&Bench)| {
        row(format!("the journal's socket {name}"), Key, move |bench: &Bench| {
            fs::create_dir_all(Path::new(JOURNAL).parent().unwrap()).unwrap();
            place(bench);
        })
    };
    vec![
        // If the agent cannot connect to the journal's socket, it writes the line to /dev/log, once.
        journal("is a regular file", |_| fs::write(JOURNAL, "").unwrap()),
        journal("is a folder", |_| fs::create_dir(JOURNAL).unwrap()),
        journal("is a link to nowhere", |_| symlink("/nonexistent", JOURNAL).unwrap()),
        journal("was left behind by its daemon", |_| stale(JOURNAL)),
        journal("is closed to sshd's user", |bench| {
            bench.held.borrow_mut().push(UnixDatagram::bind(JOURNAL).unwrap().into());
            fs::set_permissions(JOURNAL, fs::Permissions::from_mode(0o600)).unwrap();
        }),
        // If the journal is there and slow, the agent waits for it. It never sends the line twice.
        unread(journal("is stuck", |bench| stuck(bench, JOURNAL))),
        unread(journal("and /dev/log are stuck", |bench| {
            stuck(bench, JOURNAL);
            aside(|bench| stuck(bench, LOG))(bench);
        })),
        unread(
            row("the journal's socket is stuck, and metadata is silent", SILENT, |bench| {
                stuck(bench, JOURNAL);
                bench.inject([silent()]);
            })
            .within(0.5),
        ),
        unread(journal("is gone, and so is /dev/log", |bench| {
            aside(|_| {})(bench);
        })),
    ]
}
