//! The sshd processes that this machine runs now, and its time zone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ::time::OffsetDateTime;
use eic_core::sessions::programs::is_called_sshd;
use eic_core::sessions::running::Running;
use eic_core::sessions::text_log::Zone;
use eic_core::time::Timestamp;
use eic_host::files::head_of_regular;
use eic_host::ownership;
use eic_host::process::output_with_timeout;
use eic_host::sshd::process::{self, is_roots};

/// Microseconds per clock tick in /proc: `USER_HZ` is 100 on every EC2 instance (`proc_pid_stat(5)`).
const MICROS_PER_TICK: u64 = 10_000;
const MICROS: u64 = 1_000_000;

/// Timeout of zdump(8) and date(1).
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum number of processes that are read: the largest `pid_max`.
const MAX_PROCESSES: usize = 4_194_304;

/// The current boot of this machine, and its sshd processes.
pub(super) fn running(now: Timestamp) -> Running {
    let boot = text("/proc/sys/kernel/random/boot_id").trim().replace('-', "");
    let host = text("/proc/sys/kernel/hostname").trim().to_owned();
    let uptime = text("/proc/uptime").split('.').next().and_then(|seconds| seconds.parse::<u64>().ok());
    let since = now.as_unix().saturating_sub(uptime.unwrap_or_default()).saturating_mul(MICROS);
    let (mut sshd, mut logins) = (BTreeMap::new(), BTreeMap::new());
    for SshdProcess { pid, began, .. } in processes() {
        sshd.insert(pid, (since.saturating_add(began), began));
        let title = text(&format!("/proc/{pid}/cmdline"));
        if is_login(&title) {
            logins.insert(pid, title);
        }
    }
    let settled = uptime.unwrap_or_default().saturating_mul(MICROS).saturating_sub(SETTLED);
    let let_in = let_in(&logins, settled);
    Running { boot, host, since, sshd, logins: logins.into_keys().collect(), let_in }
}

/// The sshd processes that serve a login on this machine, as far as their titles show it.
pub(super) fn logins() -> BTreeSet<u32> {
    let is_one = |pid: &u32| is_login(&text(&format!("/proc/{pid}/cmdline"))) && is_of_our_machine(*pid);
    processes().map(|process| process.pid).filter(is_one).collect()
}

/// The sshd processes of root with this session id of the kernel, on this machine.
pub(super) fn with_session_id(id: u32) -> BTreeSet<u32> {
    processes().map(|process| process.pid).filter(|pid| session_id(*pid) == Some(id)).collect()
}

/// The kernel's session id of a process.
pub(super) fn session_id(pid: u32) -> Option<u32> {
    text(&format!("/proc/{pid}/sessionid")).trim().parse().ok()
}

/// The user of a process, if its four user ids are the same.
pub(super) fn user_of(pid: u32) -> Option<u32> {
    process::user(&text(&format!("/proc/{pid}/status")))
}

/// The first process of the process's session (`setsid(2)`).
pub(super) fn leader_of(pid: u32) -> Option<u32> {
    let stat = text(&format!("/proc/{pid}/stat"));
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(3)?.parse().ok()
}

/// The start of a process, by which it differs from a later one with the same id.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    started(&text(&format!("/proc/{pid}/stat")))
}

/// The parent of a process.
pub(super) fn parent_of(pid: u32) -> Option<u32> {
    parent(&text(&format!("/proc/{pid}/stat")))
}

/// Longest time from an event to its line in the log, in microseconds.
const SETTLED: u64 = 5_000_000;

/// The sshd processes among `logins` (process ids and titles) whose client has logged in. Such a process has a child
/// process that serves the client and that began at `by` or before, in microseconds since boot. For a user other than
/// root, the child is sshd's own process after the login (OpenSSH sshd-session.c, `privsep_postauth`). For root, the
/// child is any process that sshd started. sshd's child processes from before the login do not count. Their titles show
/// what they are.
fn let_in(logins: &BTreeMap<u32, String>, by: u64) -> Vec<u32> {
    let client_of = |pid: u32| {
        let stat = text(&format!("/proc/{pid}/stat"));
        let parent = parent(&stat)?;
        let title = logins.get(&parent).filter(|_| is_of_our_machine(parent))?;
        let began = if title.contains(" [priv]") {
            began(&stat).filter(|_| !is_before_login(&text(&format!("/proc/{pid}/cmdline"))))
        } else {
            started(&stat)
        };
        began.filter(|began| *began <= by).map(|_| parent)
    };
    if logins.is_empty() {
        return Vec::new();
    }
    let served: BTreeSet<_> = pids().filter_map(client_of).collect();
    served.into_iter().collect()
}

/// Whether a process is in our PID namespace. A login in a container is in the container's log. If we may not read the
/// namespace, the answer is yes.
fn is_of_our_machine(pid: u32) -> bool {
    let numbers = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    numbers(&pid.to_string()).is_none_or(|theirs| Some(theirs) == numbers("self"))
}

/// Whether this is the title of a process that sshd uses before the login.
fn is_before_login(title: &str) -> bool {
    ["[net]", "[pam]", "[accepted]"].iter().any(|part| title.contains(part))
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten().take(MAX_PROCESSES);
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Paths of the programs that run as sshd on this machine, without those that a user other than root can change. Only
/// root can read these paths. For other users, the list is empty.
pub(super) fn sshd_programs() -> Vec<String> {
    let programs = processes().filter_map(|process| {
        let path = process.program?;
        ownership::check(Path::new(&path)).ok().map(|_| path)
    });
    let programs: BTreeSet<_> = programs.collect();
    programs.into_iter().collect()
}

struct SshdProcess {
    pid: u32,
    /// Microseconds since the machine started.
    began: u64,
    /// Path of its program. `None` if we may not read it.
    program: Option<String>,
}

/// Processes that have the name of sshd, run entirely as root, and run a program with that name. The name alone is not
/// enough: a user can give that name to any process, also to a setuid program.
fn processes() -> impl Iterator<Item = SshdProcess> {
    pids().filter_map(|pid| {
        let began = began(&text(&format!("/proc/{pid}/stat")))?;
        if !is_roots(&text(&format!("/proc/{pid}/status"))) {
            return None;
        }
        let program = std::fs::read_link(format!("/proc/{pid}/exe"));
        let program = program.ok().map(|path| path.to_string_lossy().into_owned());
        if program.as_deref().is_some_and(|path| !is_called_sshd(path)) {
            return None;
        }
        let program = program.map(|path| path.strip_suffix(" (deleted)").unwrap_or(&path).to_owned());
        Some(SshdProcess { pid, began, program })
    })
}

fn text(path: &str) -> String {
    let bytes = head_of_regular(Path::new(path), 4096).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a process title of sshd is that of a process that serves a login: `sshd: USER [priv]`, or `sshd: root@pts/0`
/// for root, which has no second process. Before the login, the title is `sshd: unknown [priv]` or `sshd: [accepted]`.
/// The title of the server is `sshd: /usr/sbin/sshd -D [listener] …`.
fn is_login(title: &str) -> bool {
    let rest = title.strip_prefix("sshd: ").or_else(|| title.strip_prefix("sshd-session: "));
    rest.is_some_and(|rest| {
        let is_server = rest.starts_with(['/', '[']) || rest.contains("[listener]");
        !is_server && !rest.starts_with("unknown ") && (rest.contains(" [priv]") || rest.contains('@'))
    })
}

/// Start time of an sshd from its `/proc/PID/stat`, in microseconds since boot. `None` for another program.
fn began(stat: &str) -> Option<u64> {
    // A program's name may contain any character, also parentheses.
    let (head, _) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    if matches!(name, "sshd" | "sshd-session") { started(stat) } else { None }
}

/// Start time of any process from its `/proc/PID/stat`, in microseconds since boot. `None` if it has ended.
fn started(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    // A zombie is not a session.
    if rest.starts_with(['Z', 'X']) {
        return None;
    }
    rest.split(' ').nth(19)?.parse::<u64>().ok()?.checked_mul(MICROS_PER_TICK)
}

/// The parent's process id from `/proc/PID/stat`.
fn parent(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(1)?.parse().ok()
}

/// This machine's time zone. `None` if it cannot be determined.
pub(super) fn zone(now: Timestamp) -> Option<Zone> {
    const FILE: &str = "/etc/localtime";
    if !Path::new(FILE).exists() {
        // Without this file the zone is UTC (localtime(5)).
        return Some(Zone::default());
    }
    let now = OffsetDateTime::from_unix_timestamp(i64::try_from(now.as_unix()).ok()?).ok()?;
    // Ten years back is enough for any log.
    let years = format!("{},{}", now.year().saturating_sub(10), now.year().saturating_add(2));
    let changes = said(Command::new("zdump").args(["-v", "-c", &years, FILE]))?;
    let zone = Zone::of_zdump(&changes);
    // zdump prints only the changes of a zone. A zone without changes needs date(1).
    if zone.changes() { Some(zone) } else { Zone::of_date(said(Command::new("date").arg("+%z"))?.trim()) }
}

fn said(program: &mut Command) -> Option<String> {
    let said = output_with_timeout(program, TIMEOUT).ok().filter(|said| said.status.success())?;
    Some(String::from_utf8_lossy(&said.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_sshd_are_recognized() {
        let rest = "S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 17 18";
        assert_eq!(began(&format!("42 (sshd) {rest}")), Some(123_450_000));
        assert_eq!(began(&format!("42 (sshd-session) {rest}")), Some(123_450_000));
        assert_eq!(began(&format!("42 (x) (sshd) {rest}")), None);
        assert_eq!(began(&format!("42 (bash) {rest}")), None);
        assert_eq!(began(&format!("42 (sshd) {}", rest.replacen('S', "Z", 1))), None);
        assert_eq!(began(""), None);
        let shell = format!("42 (a) b) {}", rest.replacen("S 1", "S 7", 1));
        assert_eq!((parent(&shell), started(&shell)), (Some(7), Some(123_450_000)));
        assert!(is_before_login("sshd: ec2-user [net]") && !is_before_login("sshd: ec2-user@pts/0"));
    }

    #[test]
    fn processes_of_logins_are_recognized() {
        for title in [
            "sshd: ec2-user [priv]",
            "sshd-session: ec2-user [priv]",
            "sshd: root@pts/0\0\0",
            "sshd: root@notty",
        ] {
            assert!(is_login(title), "{title}");
        }
        for title in [
            "",
            "/usr/sbin/sshd\0-D\0",
            "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups",
            "sshd: [accepted]",
            "sshd: unknown [priv]",
            "sshd: ec2-user [net]",
            "vi\0sshd: ec2-user [priv]",
        ] {
            assert!(!is_login(title), "{title}");
        }
    }

    #[test]
    fn boot_of_this_machine_is_known() {
        let now = eic_host::clock::now();
        let running = running(now);
        assert_eq!(running.boot.len(), 32, "{}", running.boot);
        assert!(running.since / MICROS <= now.as_unix() && !running.host.is_empty());
    }
}
