//! What is on the private instance besides what ought to be: processes, sockets and files; and what went over its
//! wire.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::world::World;

/// How long what ends may take to be gone.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Where programs leave files.
const FOLDERS: [&str; 4] = ["/tmp", "/var/tmp", "/run", "/dev"];

/// Of TCP's states in `/proc/net/tcp` (`include/net/tcp_states.h`), the one that no process has a part in.
const TIME_WAIT: &str = "06";

/// Everything that a run could leave behind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Traces {
    /// Names by pid.
    processes: BTreeMap<u32, String>,
    /// Those of TCP, UDP and Unix, each as the kernel lists it but for its address in memory.
    sockets: BTreeMap<String, usize>,
    /// Sizes by path.
    files: BTreeMap<String, u64>,
    /// Of the emulator and the test.
    descriptors: usize,
    threads: usize,
}

/// Takes away from sight what the machine's other programs do in its shared folders.
pub(super) fn cover_shared_folders() {
    for folder in ["/tmp", "/var/tmp"] {
        let covered = Command::new("mount").args(["-t", "tmpfs", "tmpfs", folder]).status().unwrap();
        assert!(covered.success(), "{folder}");
    }
}

impl Traces {
    /// What is there when nothing changes any more.
    pub(super) fn settled(world: &World) -> Self {
        let started = Instant::now();
        let mut seen = Self::now(world);
        loop {
            sleep(Duration::from_millis(300));
            let now = Self::now(world);
            if now == seen {
                return now;
            }
            assert!(started.elapsed() < TIMEOUT, "it never becomes quiet: {:#?}", now.differences(&seen));
            seen = now;
        }
    }

    /// Waits until nothing is there but what was there before.
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
        let own = format!("{} descriptors and {} threads of ours", self.descriptors, self.threads);
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
        Self {
            processes: process_names(),
            sockets: sockets(),
            files,
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: fs::read_dir("/proc/self/task").unwrap().count(),
        }
    }
}

/// The name of every process that has not ended, as the kernel has it.
///
/// What has ended and belongs to nobody waits for the first process, which is this test and no init: sshd leaves one
/// such process for each connection.
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

/// Lists a folder with all that is below it on any file system that is not the kernel's own.
fn list(folder: &Path, files: &mut BTreeMap<String, u64>) {
    let mut left: BTreeSet<_> = BTreeSet::from([folder.to_owned()]);
    while let Some(folder) = left.pop_first() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            // Terminals come with their sessions, and descriptors are counted elsewhere.
            if path.starts_with("/dev/pts") || path == Path::new("/dev/fd") {
                continue;
            }
            // Gone between the listing and the look: then it was not left behind.
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
    /// Begins to count. On loopback every packet goes out once, whichever way it is bound.
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

    /// How many there were since `begun`: to metadata, and from it.
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
