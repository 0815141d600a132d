//! What this machine runs now, and its time zone.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use ::time::OffsetDateTime;

use crate::files::head_of_regular;
use crate::ownership;
use crate::process::ask;
use crate::sessions::programs::is_called_sshd;
use crate::sessions::running::Running;
use crate::sessions::text_log::Zone;
use crate::sshd::process::is_roots;
use crate::time::Timestamp;

/// Parts of a second that /proc counts in: `USER_HZ`, 100 on every machine that Amazon has (`proc_pid_stat(5)`).
const MICROS_PER_TICK: u64 = 10_000;
const MICROS: u64 = 1_000_000;

/// zdump(8) reads one file.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most processes that are looked at: the largest `pid_max`.
const MAX_PROCESSES: usize = 4_194_304;

/// This run of this machine, and its sshd processes.
pub(super) fn running(now: Timestamp) -> Running {
    let boot = text("/proc/sys/kernel/random/boot_id").trim().replace('-', "");
    let host = text("/proc/sys/kernel/hostname").trim().to_owned();
    let uptime = text("/proc/uptime").split('.').next().and_then(|seconds| seconds.parse::<u64>().ok());
    let since = now.as_unix().saturating_sub(uptime.unwrap_or_default()).saturating_mul(MICROS);
    let (mut sshd, mut logins) = (HashMap::new(), Vec::new());
    for Process { pid, began, .. } in processes() {
        sshd.insert(pid, (since.saturating_add(began), began));
        if is_login(&text(&format!("/proc/{pid}/cmdline"))) {
            logins.push(pid);
        }
    }
    Running { boot, host, since, sshd, logins }
}

/// The programs that this machine runs as sshd, each of which only root can have put where it is. Only root can look;
/// for other users there is none.
pub(super) fn sshd_programs() -> Vec<String> {
    let programs = processes().filter_map(|process| {
        let path = process.program?;
        ownership::check(Path::new(&path)).ok().map(|_| path)
    });
    let programs: BTreeSet<_> = programs.collect();
    programs.into_iter().collect()
}

/// A process of sshd.
struct Process {
    pid: u32,
    /// Microseconds since the machine started.
    began: u64,
    /// Its program's path; none if we may not look.
    program: Option<String>,
}

/// Processes that are called sshd, are root's in every way, and run a program of that name. A user can give his own
/// process that name, also that of a setuid program that he starts.
fn processes() -> impl Iterator<Item = Process> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten().take(MAX_PROCESSES);
    entries.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
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
        Some(Process { pid, began, program })
    })
}

fn text(path: &str) -> String {
    let bytes = head_of_regular(Path::new(path), 4096).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether sshd's own title is that of a process that serves a login: `sshd: USER [priv]`, or `sshd: root@pts/0` for
/// root, who needs no second process. Before the login it is `sshd: unknown [priv]`, `sshd: [accepted]`, and that of
/// the server `sshd: /usr/sbin/sshd -D [listener] …`.
fn is_login(title: &str) -> bool {
    let rest = title.strip_prefix("sshd: ").or_else(|| title.strip_prefix("sshd-session: "));
    rest.is_some_and(|rest| {
        let is_server = rest.starts_with(['/', '[']) || rest.contains("[listener]");
        !is_server && !rest.starts_with("unknown ") && (rest.contains(" [priv]") || rest.contains('@'))
    })
}

/// When an sshd of `/proc/PID/stat` began, in microseconds since the machine started; none for another program.
fn began(stat: &str) -> Option<u64> {
    // A program's name may hold anything, parentheses as well.
    let (head, rest) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once(" (")?;
    // One that has ended, and that nobody has asked for what it ended with, is no session.
    if !matches!(name, "sshd" | "sshd-session") || rest.starts_with(['Z', 'X']) {
        return None;
    }
    rest.split(' ').nth(19)?.parse::<u64>().ok()?.checked_mul(MICROS_PER_TICK)
}

/// This machine's time zone; none where it cannot be told.
pub(super) fn zone(now: Timestamp) -> Option<Zone> {
    const FILE: &str = "/etc/localtime";
    if !Path::new(FILE).exists() {
        // Without the file it is UTC (localtime(5)).
        return Some(Zone::default());
    }
    let now = OffsetDateTime::from_unix_timestamp(i64::try_from(now.as_unix()).ok()?).ok()?;
    // A log of more than ten years has other troubles.
    let years = format!("{},{}", now.year().saturating_sub(10), now.year().saturating_add(2));
    let changes = said(Command::new("zdump").args(["-v", "-c", &years, FILE]))?;
    let zone = Zone::of_zdump(&changes);
    // It tells changes alone.
    if zone.changes() { Some(zone) } else { Zone::of_date(said(Command::new("date").arg("+%z"))?.trim()) }
}

fn said(program: &mut Command) -> Option<String> {
    let said = ask(program, PATIENCE).ok().filter(|said| said.status.success())?;
    Some(String::from_utf8_lossy(&said.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_sshd_are_told_from_others() {
        let rest = "S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 17 18";
        assert_eq!(began(&format!("42 (sshd) {rest}")), Some(123_450_000));
        assert_eq!(began(&format!("42 (sshd-session) {rest}")), Some(123_450_000));
        assert_eq!(began(&format!("42 (x) (sshd) {rest}")), None);
        assert_eq!(began(&format!("42 (bash) {rest}")), None);
        assert_eq!(began(&format!("42 (sshd) {}", rest.replacen('S', "Z", 1))), None);
        assert_eq!(began(""), None);
    }

    #[test]
    fn processes_of_logins_are_told_from_others() {
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
    fn this_run_is_known() {
        let now = Timestamp::from(std::time::SystemTime::now());
        let running = running(now);
        assert_eq!(running.boot.len(), 32, "{}", running.boot);
        assert!(running.since / MICROS <= now.as_unix() && !running.host.is_empty());
    }
}
