//! The processes, sockets and files on the private instance that a load run could leave behind, and the packets that
//! it causes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use eic_login::memory::{FOLDER, NAME};

use crate::world::World;

/// How long a process or socket that ends may take to disappear.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Folders in which programs leave files.
const FOLDERS: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev"];

/// The TCP state in `/proc/net/tcp` (`include/net/tcp_states.h`) of a socket that no process owns.
const TIME_WAIT: &str = "06";

/// Everything that a run could leave behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Traces {
    /// Names by pid.
    processes: BTreeMap<u32, String>,
    /// Counts of TCP, UDP, raw and Unix sockets, by the kernel's line without the address in memory.
    sockets: BTreeMap<String, usize>,
    /// Sizes by path.
    files: BTreeMap<String, u64>,
    /// Open files of this process, which contains the emulator and the test.
    descriptors: usize,
    threads: usize,
}

/// Covers the shared folders with empty ones, because the machine's other programs write there.
pub(super) fn cover_shared_folders() {
    for folder in ["/tmp", "/var/tmp"] {
        let covered = Command::new("mount").args(["-t", "tmpfs", "tmpfs", folder]).status().unwrap();
        assert!(covered.success(), "{folder}");
    }
}

impl Traces {
    /// Waits until nothing changes any more, and returns that state.
    pub(super) fn settled(world: &World) -> Self {
        let started = Instant::now();
        let mut seen = Self::now(world);
        loop {
            sleep(Duration::from_millis(300));
            let now = Self::now(world);
            if now == seen {
                return now;
            }
            assert!(
                started.elapsed() < TIMEOUT,
                "the instance does not become quiet: {:#?}",
                now.differences(&seen)
            );
            seen = now;
        }
    }

    /// Waits until the state is the same as this one.
    pub(super) fn assert_nothing_new(&self, world: &World) {
        let started = Instant::now();
        loop {
            let now = Self::now(world);
            if now == *self {
                return;
            }
            assert!(started.elapsed() < TIMEOUT, "left behind: {:#?}", now.differences(self));
            sleep(Duration::from_millis(100));
        }
    }

    fn lines(&self) -> BTreeSet<String> {
        let processes = self.processes.iter().map(|(pid, name)| format!("process {pid} {name}"));
        let sockets = self.sockets.iter().map(|(socket, count)| format!("{count} times {socket}"));
        let files = self.files.iter().map(|(path, size)| format!("{path} of {size} bytes"));
        let own = format!("{} descriptors and {} threads of this process", self.descriptors, self.threads);
        processes.chain(sockets).chain(files).chain([own]).collect()
    }

    fn differences(&self, before: &Self) -> Vec<String> {
        let (now, before) = (self.lines(), before.lines());
        let new = now.difference(&before).map(|line| format!("now: {line}"));
        new.chain(before.difference(&now).map(|line| format!("before: {line}"))).collect()
    }

    fn now(world: &World) -> Self {
        let mut files = BTreeMap::new();
        let own = world.path("");
        for folder in FOLDERS.iter().map(Path::new).chain([own.as_path()]) {
            list(folder, &mut files);
        }
        // A run replaces the evidence by the next, which may have another size.
        files.entry(format!("{FOLDER}/{NAME}")).and_modify(|size| *size = 0);
        Self {
            processes: process_names(),
            sockets: sockets(),
            files,
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: fs::read_dir("/proc/self/task").unwrap().count(),
        }
    }
}

/// The name of every process that has not ended, by pid.
///
/// The kernel gives a child without a parent to process 1, which is this test. The test does not wait for such a
/// child, so the ended child stays in the list as a zombie. sshd leaves one for each connection.
pub(super) fn process_names() -> BTreeMap<u32, String> {
    let pids = fs::read_dir("/proc").unwrap().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        // PID (NAME) STATE PARENT …, where the name may hold anything (proc(5)).
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (name, rest) = line.split_once(" (")?.1.rsplit_once(") ")?;
        (!rest.starts_with("Z 1 ")).then(|| (pid, name.to_owned()))
    })
    .collect()
}

fn sockets() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (table, columns) in [("tcp", 1..4), ("tcp6", 1..4), ("udp", 1..4), ("udp6", 1..4), ("raw", 1..4)] {
        let lines = fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for line in lines.lines().skip(1) {
            let words: Vec<_> = line.split_whitespace().collect();
            if words[3] != TIME_WAIT || !table.starts_with("tcp") {
                *found.entry(format!("{table} {}", words[columns.clone()].join(" "))).or_default() += 1;
            }
        }
    }
    // Num RefCount Protocol Flags Type St Inode Path
    for line in fs::read_to_string("/proc/net/unix").unwrap().lines().skip(1) {
        let words: Vec<_> = line.split_whitespace().collect();
        let path = words.get(7).unwrap_or(&"unnamed");
        *found.entry(format!("unix {} {} {path}", words[4], words[5])).or_default() += 1;
    }
    found
}

/// Lists a folder with everything below it.
fn list(folder: &Path, files: &mut BTreeMap<String, u64>) {
    let mut left: BTreeSet<_> = BTreeSet::from([folder.to_owned()]);
    while let Some(folder) = left.pop_first() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            // A terminal exists as long as its session, and `descriptors` counts open files.
            if path.starts_with("/dev/pts") || path == Path::new("/dev/fd") {
                continue;
            }
            // The file disappeared after the listing, so it was not left behind.
            let Ok(status) = path.symlink_metadata() else { continue };
            if status.is_dir() {
                left.insert(path.clone());
            }
            let size = if status.is_file() { status.len() } else { 0 };
            files.insert(path.display().to_string(), size);
        }
    }
}

/// Counts the packets to and from metadata.
pub(super) struct Packets {
    to: u64,
    from: u64,
}

impl Packets {
    /// Begins to count. On loopback, every packet passes the output hook once, in either direction.
    pub(super) fn begin() -> Self {
        for line in [
            "add table ip load",
            "add counter ip load to",
            "add counter ip load from",
            "add chain ip load out { type filter hook output priority 0; }",
            "add rule ip load out ip daddr 169.254.169.254 tcp dport 80 counter name to",
            "add rule ip load out ip saddr 169.254.169.254 tcp sport 80 counter name from",
        ] {
            let added = Command::new("nft").args(line.split(' ')).status().expect("nft is installed");
            assert!(added.success(), "nft {line}");
        }
        Self::so_far()
    }

    /// Packets since `begun`: to metadata, and from it.
    pub(super) fn since(begun: &Self) -> (u64, u64) {
        let now = Self::so_far();
        (now.to - begun.to, now.from - begun.from)
    }

    fn so_far() -> Self {
        Self { to: counted("to"), from: counted("from") }
    }
}

fn counted(counter: &str) -> u64 {
    let listed = Command::new("nft").args(["list", "counter", "ip", "load", counter]).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
    words.nth(1).and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("a count in {text}"))
}
