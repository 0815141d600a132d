//! A process that may be an sshd, checked with what the kernel reports.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, fstatat};

/// Maximum number of bytes of a kernel file that are read.
const MAX_BYTES: usize = 64 * 1024;

/// A process, held by a descriptor of its folder in /proc. So all reads are about the same process, even if its id
/// is reused.
pub(super) struct ProcFolder(File);

impl ProcFolder {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
        OpenOptions::new().read(true).custom_flags(flags).open(folder).map(Self)
    }

    /// The first [`MAX_BYTES`] bytes of a file in the process' folder.
    pub(super) fn file(&self, name: &str) -> Option<Vec<u8>> {
        let file = openat(&self.0, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
        File::from(file).take(limit).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The parent's id, if this process has only root's ids, runs `program` and has the same root directory as this
    /// run.
    pub(super) fn genuine(&self, program: &Path) -> Option<u32> {
        let status = self.file("status")?;
        let status = String::from_utf8_lossy(&status);
        let is_same_root = self.is_same("root", Path::new("/"));
        (is_roots(&status) && self.runs(program) && is_same_root).then_some(())?;
        field(&status, "PPid:")?.trim().parse().ok()
    }

    /// The parent's process id.
    pub(super) fn parent(&self) -> Option<u32> {
        let status = self.file("status")?;
        field(&String::from_utf8_lossy(&status), "PPid:")?.trim().parse().ok()
    }

    /// Whether the process runs this program, or the old file of this program after an upgrade.
    pub(super) fn runs(&self, program: &Path) -> bool {
        let Ok(runs) = readlinkat(&self.0, "exe") else { return false };
        match runs.as_bytes().strip_suffix(b" (deleted)") {
            Some(replaced) => replaced == program.as_os_str().as_bytes(),
            // The same path may lead to another file in another mount namespace.
            None => runs.as_os_str() == program.as_os_str() && self.is_same("exe", program),
        }
    }

    /// Whether `path` leads the process to the same file as this run. A relative path is refused elsewhere.
    pub(super) fn sees(&self, path: &Path) -> bool {
        let theirs = Path::new("root").join(path.strip_prefix("/").unwrap_or(path));
        !path.is_absolute() || self.is_same(&theirs, path) || (!self.has(&theirs) && !path.exists())
    }

    fn has(&self, path: &Path) -> bool {
        fstatat(&self.0, path, AtFlags::empty()).is_ok()
    }

    pub(super) fn is_same(&self, theirs: impl AsRef<Path>, ours: &Path) -> bool {
        let Ok(ours) = fs::metadata(ours) else { return false };
        let theirs = fstatat(&self.0, theirs.as_ref(), AtFlags::empty());
        theirs.is_ok_and(|theirs| (theirs.st_dev, theirs.st_ino) == (ours.dev(), ours.ino()))
    }
}

/// The value of a field in `/proc/PID/status` (`proc_pid_status(5)`).
fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

/// The start time in `/proc/PID/stat`, in ticks since the boot (`proc_pid_stat(5)`, field 22). The name of the program,
/// field 2, may contain spaces and parentheses.
pub(super) fn start_ticks(stat: &[u8]) -> Option<u64> {
    let stat = String::from_utf8_lossy(stat);
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// The start time of a process, in ticks since the boot. `None` if there is no such process.
pub(super) fn started_ticks(pid: u32) -> Option<u64> {
    start_ticks(&ProcFolder::open(Path::new(&format!("/proc/{pid}"))).ok()?.file("stat")?)
}

/// Whether all four user ids in this `/proc/PID/status` are root's.
#[must_use]
pub fn is_roots(status: &str) -> bool {
    user(status) == Some(0)
}

/// The user in this `/proc/PID/status`. `None` if its four user ids differ.
#[must_use]
pub fn user(status: &str) -> Option<u32> {
    let ids: Vec<_> = field(status, "Uid:")?.split_whitespace().collect();
    let (first, rest) = ids.split_first()?;
    (rest.len() == 3 && rest.iter().all(|id| id == first)).then(|| first.parse().ok())?
}
