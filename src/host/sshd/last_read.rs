//! Whether the running server has read the configuration as it is now.
//!
//! A server reads its configuration when it starts and at SIGHUP. The start time of its process stays the same at
//! SIGHUP, and /proc has no time of the signal. But sshd then writes its pid file again (OpenSSH sshd.c, `main`), so
//! that the file's time is the time of the last reading. Without a pid file, only the time of the start is known.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::{Duration, Instant, SystemTime};

use super::globs::folder;
use super::process::{ProcFolder, start_ticks};
use super::sources::Sources;
use crate::files::{head_of_regular, read_open};
use crate::ownership::open_trusted;

/// Unit of the times in `/proc/PID/stat`: ticks per second (`USER_HZ`, the same on every Linux that is supported).
const TICKS: u64 = 100;

/// Maximum length of a pid file.
const MAX_PID_FILE: usize = 64;

/// How long a reload may take. After SIGHUP, a server closes its sockets and executes itself again.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often the time of a start is measured, and the longest delay of a good measurement: less than a tick.
const ATTEMPTS: u32 = 20;
const PROMPT: Duration = Duration::from_millis(5);

/// Time between two looks at the pid file.
const STEP: Duration = Duration::from_millis(20);

/// Maximum age of a recent change. After a recent change, a reload may be under way.
const RECENT: Duration = Duration::from_secs(15);

/// A file or folder of the configuration that the running server may not have read as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The file or folder.
    pub path: PathBuf,
    /// True: it changed after the last reading. False: it changed after the start, and the server may have read it since.
    pub is_certain: bool,
    changed: SystemTime,
}

impl Unread {
    /// The first file or folder that changed after the server `pid` read its configuration. `pid_file` is the path
    /// that the server writes its id to, if it has one. If the change is recent, this waits for a reload to end.
    #[must_use]
    pub fn find(pid: u32, pid_file: Option<&Path>, sources: &Sources) -> Option<Self> {
        Self::wait(pid, pid_file, || changes(sources))
    }

    /// The same for these files.
    #[must_use]
    pub fn among(pid: u32, pid_file: Option<&Path>, files: &[PathBuf]) -> Option<Self> {
        Self::wait(pid, pid_file, || with_times(files.iter().cloned()))
    }

    fn wait<C: Iterator<Item = (PathBuf, SystemTime)>>(
        pid: u32,
        pid_file: Option<&Path>,
        changes: impl Fn() -> C,
    ) -> Option<Self> {
        let started = Instant::now();
        loop {
            let unread = Self::now(pid, pid_file, changes())?;
            let is_recent = unread.changed.elapsed().is_ok_and(|age| age < RECENT);
            if pid_file.is_none() || !is_recent || started.elapsed() > PATIENCE {
                return Some(unread);
            }
            sleep(STEP);
        }
    }

    fn now(
        pid: u32,
        pid_file: Option<&Path>,
        mut sources: impl Iterator<Item = (PathBuf, SystemTime)>,
    ) -> Option<Self> {
        let written = pid_file.and_then(|file| written(file, pid));
        let read_at = written.or_else(|| started(pid));
        // The clock of files advances in steps of some milliseconds. So a change with the same time as the reading may have
        // come after it.
        let is_newer = |changed: SystemTime| read_at.is_none_or(|read_at| changed >= read_at);
        let (path, changed) = sources.find(|(_, changed)| is_newer(*changed))?;
        Some(Self { path, is_certain: written.is_some(), changed })
    }
}

/// The first of `paths` that was changed after the server `pid` read it. The server writes its process id into
/// `pid_file` at every start and reload. Returns `None` if the file does not contain `pid`, because the time of the
/// reload is then unknown.
#[must_use]
pub fn unread<'p>(pid: u32, pid_file: &Path, mut paths: impl Iterator<Item = &'p Path>) -> Option<&'p Path> {
    let said = head_of_regular(pid_file, 32).ok()?;
    let is_its = String::from_utf8_lossy(&said).trim() == pid.to_string();
    let read_at = fs::metadata(pid_file).ok()?.modified().ok().filter(|_| is_its)?;
    let now = SystemTime::now();
    paths.find(|path| {
        let changed = fs::metadata(path).and_then(|status| status.modified());
        changed.is_ok_and(|changed| changed > read_at && changed <= now)
    })
}

/// When the server `pid` wrote its id into this file. `None` if the file has another id, or if a user other than root
/// could have written it.
fn written(pid_file: &Path, pid: u32) -> Option<SystemTime> {
    let file = open_trusted(pid_file).ok()?;
    let content = read_open(&file, MAX_PID_FILE).ok()?;
    let is_its = String::from_utf8_lossy(&content).trim() == pid.to_string();
    let written = file.metadata().ok()?.modified().ok()?;
    // After the clock was set back, the times of files say nothing.
    (is_its && written <= SystemTime::now()).then_some(written)
}

/// When a process was started. The kernel stores this as the time since the boot. To get the current time in the same
/// units, this starts a thread and reads its start time. This also works in a container with its own uptime. The age of
/// the process is that time minus its own start time.
///
/// The clock is read before the thread starts. If this run is delayed between the two, the result is too early: a change
/// then counts as one that the server may not have read, and never the reverse. So a late attempt is repeated.
fn started(pid: u32) -> Option<SystemTime> {
    let then = start_ticks(&ProcFolder::open(Path::new(&format!("/proc/{pid}"))).ok()?.file("stat")?)?;
    let own = || start_ticks(&fs::read("/proc/thread-self/stat").ok()?);
    let mut latest = None;
    for _ in 0..ATTEMPTS {
        let (began, at) = (Instant::now(), SystemTime::now());
        let thread = thread::Builder::new().spawn(own).ok()?;
        let delay = began.elapsed();
        let age = thread.join().ok()??.checked_sub(then)?.checked_mul(1000)?.checked_div(TICKS)?;
        latest = latest.max(at.checked_sub(Duration::from_millis(age)));
        if delay < PROMPT {
            break;
        }
    }
    latest
}

/// The files of the configuration, and then the folders from which a file may have been removed, with the time of their
/// last change. This is the time at which the inode changed, because a copy can keep the time of its content.
fn changes(sources: &Sources) -> impl Iterator<Item = (PathBuf, SystemTime)> {
    let files = sources.files.iter().cloned();
    let patterns = sources.includes.iter().map(|include| PathBuf::from(&include.value));
    let folders =
        patterns.filter(|pattern| !pattern.exists()).filter_map(|pattern| watched(&folder(&pattern)));
    with_times(files.chain(folders))
}

fn with_times(paths: impl Iterator<Item = PathBuf>) -> impl Iterator<Item = (PathBuf, SystemTime)> {
    paths.filter_map(|path| {
        let changed = [fs::symlink_metadata(&path), fs::metadata(&path)].into_iter().flatten();
        let changed = changed.filter_map(|status| changed_at(&status)).max()?;
        Some((path, changed))
    })
}

/// The folder, or if it is missing, the next one up. `/etc` and `/` change too often to say anything.
fn watched(folder: &Path) -> Option<PathBuf> {
    let mut present = folder.ancestors().filter(|folder| folder.is_dir());
    present
        .next()
        .filter(|folder| *folder != Path::new("/etc") && *folder != Path::new("/"))
        .map(Path::to_owned)
}

fn changed_at(status: &Metadata) -> Option<SystemTime> {
    let seconds = u64::try_from(status.ctime()).ok()?;
    let nanoseconds = u32::try_from(status.ctime_nsec()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use std::hint;
    use std::process::Command;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn start_of_a_process_is_known_to_a_hundredth_of_a_second() {
        let before = SystemTime::now();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let after = SystemTime::now();
        sleep(Duration::from_millis(300));
        let found = started(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let tick = Duration::from_millis(20);
        assert!(found >= before - tick && found <= after + tick, "{before:?} {found:?} {after:?}");
    }

    /// Twice as many threads as a machine has processors delay each step of a measurement.
    #[test]
    fn busy_machine_makes_no_start_look_later_than_it_was() {
        let before = SystemTime::now();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let after = SystemTime::now();
        let is_over = AtomicBool::new(false);
        let load = 2 * thread::available_parallelism().unwrap().get();
        let found: Vec<_> = thread::scope(|scope| {
            for _ in 0..load {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        hint::spin_loop();
                    }
                });
            }
            let found = (0..50).map(|_| started(child.id())).collect();
            is_over.store(true, Ordering::Relaxed);
            found
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let tick = Duration::from_millis(20);
        let [first, last] = [found.iter().min(), found.iter().max()].map(|found| found.unwrap().unwrap());
        assert!(first >= before - tick && last <= after + tick, "{before:?} {first:?} {last:?} {after:?}");
    }

    #[test]
    fn file_newer_than_the_process_is_uncertain_without_a_pid_file() {
        let folder = std::env::temp_dir().join(format!("eic-agent-last-read-{}", std::process::id()));
        fs::create_dir_all(folder.join("d")).unwrap();
        let main = folder.join("main");
        fs::write(&main, format!("Include {}/d/*.conf\n", folder.display())).unwrap();
        fs::write(folder.join("d/a.conf"), "").unwrap();
        sleep(Duration::from_millis(50));
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        sleep(Duration::from_millis(50));
        let unread = || Unread::find(child.id(), None, &Sources::read_by(&main, false));
        assert_eq!(unread(), None);
        let found = |unread: Option<Unread>| unread.map(|unread| (unread.path, unread.is_certain));
        // The time of the content stays in the past.
        Command::new("touch").args(["-d", "2001-01-01"]).arg(folder.join("d/a.conf")).status().unwrap();
        assert_eq!(found(unread()), Some((folder.join("d/a.conf"), false)));
        fs::remove_file(folder.join("d/a.conf")).unwrap();
        assert_eq!(found(unread()), Some((folder.join("d"), false)));
        // Another user's pid file proves nothing.
        let pid_file = folder.join("pid");
        fs::write(&pid_file, child.id().to_string()).unwrap();
        assert_eq!(written(&pid_file, child.id()), None);
        child.kill().unwrap();
        child.wait().unwrap();
        fs::remove_dir_all(folder).unwrap();
    }
}
