//! Faults of the metadata service, the network, the machine and the log. Each row is one fault, with what a run must
//! then print, log and cost.
//!
//! Every row runs the real program as sshd does, under sshd's user, and within the same bounds. The run ends within
//! its time limit and 100 ms, uses at most [`World::most_memory`], makes few requests, and leaves no process. One row
//! of each theme also logs in through the real sshd with an ordinary key during the fault.

mod addresses;
mod http;
mod identity;
mod logging;
mod retry;
mod status;
mod token;
mod transport;

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use eic_emulator::http::Response;
use eic_emulator::{Config, Emulator, Fault};

use crate::metadata::{USER, pushed};
use crate::world::{Key, Measured, Sshd, Syslog, World, on_an_instance};

/// How long a run may take beyond its time limit.
const SLACK: Duration = Duration::from_millis(100);

/// The most requests of a run. A failing service must not get a flood of requests.
const MOST_REQUESTS: usize = 40;

/// The most time that ssh and sshd need for themselves on a busy machine.
const LOGIN: Duration = Duration::from_secs(10);

/// How often a late row may run again. A busy machine can delay a run, and the service that it uses, until the time
/// is over. No other failure is repeated.
const AGAIN: usize = 5;

/// The required outcome of a run. Each variant covers every line that the run may log.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// The pushed key, and one line about it.
    Key,
    /// No key, no line, status 0.
    Nothing,
    /// No key, one line with this reason and these words, status 1.
    Undecided(&'static str, &'static str),
    /// No key, status 0, and this number of lines with this reason and these words.
    Refused(&'static str, &'static str, usize),
}

struct Row {
    name: String,
    expected: Expected,
    breaks: Box<dyn Fn(&Bench)>,
    /// `--timeout`, in seconds.
    within: f32,
    /// Whether the run's line reaches a log that the bench reads.
    is_logged: bool,
    /// Whether a login is also tried during the fault.
    with_login: bool,
}

fn row(name: impl Into<String>, expected: Expected, breaks: impl Fn(&Bench) + 'static) -> Row {
    // If a run should end before its time limit, this limit is long enough on a busy machine too.
    let (name, breaks) = (name.into(), Box::new(breaks));
    Row { name, expected, breaks, within: 5.0, is_logged: true, with_login: false }
}

/// A row that only injects faults into the metadata service.
fn faulty(
    name: impl Into<String>,
    expected: Expected,
    faults: impl IntoIterator<Item = Fault> + Clone + 'static,
) -> Row {
    row(name, expected, move |bench| bench.inject(faults.clone()))
}

impl Row {
    fn within(self, seconds: f32) -> Self {
        Self { within: seconds, ..self }
    }

    fn with_login(self) -> Self {
        Self { with_login: true, ..self }
    }
}

/// The private instance of one theme, with a pushed key and a log that is read.
struct Bench<'w> {
    world: &'w World,
    syslog: Syslog,
    key: Key,
    /// The service at its second address, if a row needs it.
    v6: RefCell<Option<Emulator>>,
    /// Sockets that are open and not read.
    held: RefCell<Vec<OwnedFd>>,
}

/// The result of one row.
struct Held {
    took: Duration,
    memory: u64,
    requests: usize,
    faults: String,
}

/// Checks every row on a private instance. `test` is the test's full name.
fn hold(test: &str, rows: fn() -> Vec<Row>) {
    hold_with(test, rows, |_| {});
}

/// Like [`hold`]. `restore` undoes what a row changed outside the emulator's faults and the packet filter.
fn hold_with(test: &str, rows: fn() -> Vec<Row>, restore: fn(&Bench)) {
    on_an_instance(test, Config::default(), |world| {
        let bench = Bench {
            world,
            syslog: Syslog::bind(),
            key: pushed(world, "key"),
            v6: RefCell::default(),
            held: RefCell::default(),
        };
        let (mut table, mut failed) = (String::new(), String::new());
        for row in rows() {
            let mut held = bench.hold(&row, restore);
            for _ in 0..AGAIN {
                let late = held.took >= Duration::from_secs_f32(row.within);
                if held.faults.is_empty() || !late {
                    break;
                }
                writeln!(table, "again: {}: {}", row.name, held.faults.trim()).unwrap();
                held = bench.hold(&row, restore);
            }
            let Held { took, memory, requests, faults } = held;
            let (name, expected) = (&row.name, row.expected);
            writeln!(table, "{name} | {expected:?} | {took:?} | {memory} KiB | {requests} requests").unwrap();
            failed += &faults;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(test), &table).unwrap();
        assert!(failed.is_empty(), "{failed}\nThe whole table:\n{table}");
    });
}

impl Bench<'_> {
    /// Injects the fault, runs the agent, restores the instance, and judges the run.
    fn hold(&self, row: &Row, restore: fn(&Bench)) -> Held {
        let put_right = || {
            self.world.emulator.clear_faults();
            self.world.emulator.clear_on_connect();
            packet_filter("flush ruleset");
            restore(self);
        };
        self.syslog.clear();
        self.world.emulator.take_requests();
        (row.breaks)(self);
        let ran = self.world.measure_as("eic-agent", &["--timeout", &row.within.to_string(), USER]);
        let left = processes("eic-agent");
        put_right();
        let mut held = self.judge(row, &ran, &left);
        if row.with_login {
            held.faults += &(0..AGAIN)
                .find_map(|again| {
                    (row.breaks)(self);
                    let (faults, is_late) = self.log_in(row);
                    put_right();
                    (faults.is_empty() || !is_late || again + 1 == AGAIN).then_some(faults)
                })
                .unwrap_or_default();
        }
        held
    }

    fn judge(&self, row: &Row, ran: &Measured, left: &[String]) -> Held {
        let Measured { took, memory, status, keys, notes } = ran;
        let requests = self.world.emulator.take_requests().len();
        let mut faults = String::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                let name = &row.name;
                writeln!(faults, "{name}: {what}; it took {took:?}, {memory} KiB, {requests} requests")
                    .unwrap();
            }
        };
        let (expected, line, lines) = self.expected(row);
        let printed = String::from_utf8_lossy(keys);
        let logged = self.syslog.agent_lines();
        must(*status == Some(expected), &format!("expected status {expected}, got {status:?}"));
        must(printed == line, &format!("expected {line:?} on stdout, got {printed:?}"));
        must(lines.are(&logged), &format!("expected {lines:?} in the log, got {logged:#?}"));
        let deadline = Duration::from_secs_f32(row.within) + SLACK;
        must(*took <= deadline, &format!("expected an end within {deadline:?}; {notes}"));
        let allowed = self.world.most_memory();
        must(*memory <= allowed, &format!("expected at most {allowed} KiB"));
        must(requests <= MOST_REQUESTS, &format!("expected at most {MOST_REQUESTS} requests"));
        must(left.is_empty(), &format!("expected no process to be left, got {left:?}"));
        Held { took: *took, memory: *memory, requests, faults }
    }

    /// The required status, output and log.
    fn expected(&self, row: &Row) -> (i32, String, Lines) {
        let line = format!("{}\n", self.key.bare_line());
        let refused = "Refusing ssh key from EC2 Instance Connect for user ec2-user: ";
        let provided = "Providing ssh key from EC2 Instance Connect with fingerprint: ";
        let (status, keys, start, words, count) = match row.expected {
            Expected::Key => (0, line, format!("{provided}{}", self.key.fingerprint()), "", 1),
            Expected::Nothing => (0, String::new(), String::new(), "", 0),
            Expected::Undecided(reason, words) => {
                let start = format!("No ssh keys from EC2 Instance Connect for user {USER}: {reason}: ");
                (1, String::new(), start, words, 1)
            }
            Expected::Refused(reason, words, count) => {
                (0, String::new(), format!("{refused}{reason}: "), words, count)
            }
        };
        (status, keys, Lines { start, words, count: if row.is_logged { count } else { 0 } })
    }

    /// Logs in with the pushed key if the row expects it, else with the key in the user's own file, which ssh offers
    /// second. Returns what was wrong, and whether the login took as long as a run may take.
    fn log_in(&self, row: &Row) -> (String, bool) {
        let own = Key::ed25519(self.world, "own");
        self.world.authorize(USER, &own);
        let host = Key::ed25519(self.world, "host");
        let config = self.world.path("etc/sshd_config");
        let text = format!(
            "ListenAddress 127.0.0.1:22\nHostKey {}\nPidFile none\nUsePAM no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nAuthorizedKeysCommandUser eic-agent\n\
             AuthorizedKeysCommand {} authorized-keys --timeout {} %u %f\n",
            host.file().display(),
            self.world.agent().display(),
            row.within
        );
        fs::write(&config, text).unwrap();
        // sshd logs to a file, because rows change /dev/log.
        let log = self.world.path("etc/sshd.log");
        let sshd = Sshd::listen(&["-E", log.to_str().unwrap(), "-f", config.to_str().unwrap()]);
        let login = self.world.ssh(USER, &[&self.key, &own]);
        drop(sshd);
        let said = fs::read_to_string(&log).unwrap();
        let good = if matches!(row.expected, Expected::Key) { &self.key } else { &own };
        let is_in =
            |line: &str| line.starts_with("Accepted publickey") && line.ends_with(&good.fingerprint());
        // sshd runs the agent when a key is offered, and again when it is used.
        let longest = (Duration::from_secs_f32(row.within) + SLACK) * 2 + LOGIN;
        let holds = login.ok && login.took < longest && said.lines().any(is_in);
        for file in [own.file(), &own.public_file(), host.file(), &host.public_file(), &log] {
            fs::remove_file(file).unwrap();
        }
        let name = &row.name;
        let faults = if holds {
            String::new()
        } else {
            format!("{name}: a login within {longest:?}: {login:?}\n{said}\n")
        };
        (faults, login.took >= Duration::from_secs_f32(row.within))
    }

    fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        for fault in faults {
            self.world.emulator.inject(fault);
        }
    }
}

/// All lines that the log must contain.
#[derive(Debug)]
struct Lines {
    start: String,
    words: &'static str,
    count: usize,
}

impl Lines {
    fn are(&self, logged: &[String]) -> bool {
        logged.len() == self.count
            && logged.iter().all(|line| line.starts_with(&self.start) && line.contains(self.words))
    }
}

/// The processes of this name in the private instance.
fn processes(name: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let is_it = |path: &Path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
    entries.filter(|path| is_it(path)).map(|path| path.display().to_string()).collect()
}

/// Applies a rule of the packet filter to outgoing packets.
fn outgoing(rule: &str) {
    packet_filter(&format!(
        "table inet away {{\nchain out {{\ntype filter hook output priority 0\n{rule}\n}}\n}}\n"
    ));
}

fn packet_filter(commands: &str) {
    let mut nft = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    nft.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    assert!(nft.wait().unwrap().success(), "nft: {commands}");
}

/// Answers a path with these bytes instead of an HTTP answer, and closes the connection.
fn sends(path: &str, bytes: impl Into<Vec<u8>>) -> Fault {
    let bytes = bytes.into();
    Fault::at(path).raw(move |wire, _| wire.send(&bytes))
}

/// Answers a path with this text.
fn says(path: &str, text: impl Into<Vec<u8>>) -> Fault {
    Fault::at(path).respond(Response::text(text))
}

#[test]
fn every_theme_has_a_login_and_row_names_are_unique() {
    let themes = [
        addresses::rows(),
        http::rows(),
        identity::rows(),
        logging::rows(),
        retry::rows(),
        status::rows(),
        token::rows(),
        transport::rows(),
    ];
    for theme in &themes {
        assert!(theme.iter().any(|row| row.with_login), "every theme needs a row with a login");
    }
    let mut names: Vec<_> = themes.iter().flatten().map(|row| row.name.as_str()).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "row names must be unique");
    assert!(count >= 60, "{count}");
}
