//! A process of this machine that may be an sshd, by what the kernel says of it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, fstatat};

/// Most of a file of the kernel's that is read, in bytes.
const MAX_BYTES: usize = 64 * 1024;

/// A process, held by its folder in /proc. All that is read there is about one process, even if its number is reused.
pub(super) struct ProcFolder(File);

impl ProcFolder {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
        OpenOptions::new().read(true).custom_flags(flags).open(folder).map(Self)
    }

    /// The first [`MAX_BYTES`] bytes of a file of the kernel's about it.
    pub(super) fn file(&self, name: &str) -> Option<Vec<u8>> {
        let file = openat(&self.0, name, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX);
        File::from(file).take(limit).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// Its parent, if that is root's, and runs this program with the same root directory as ours.
    pub(super) fn genuine(&self, program: &Path) -> Option<u32> {
        let status = self.file("status")?;
        let status = String::from_utf8_lossy(&status);
        let is_same_root = self.is_same("root", Path::new("/"));
        (is_roots(&status) && self.runs(program) && is_same_root).then_some(())?;
        field(&status, "PPid:")?.trim().parse().ok()
    }

    /// The number of its parent.
    pub(super) fn parent(&self) -> Option<u32> {
        let status = self.file("status")?;
        field(&String::from_utf8_lossy(&status), "PPid:")?.trim().parse().ok()
    }

    /// Whether it runs this program, or the one that an upgrade has replaced there.
    pub(super) fn runs(&self, program: &Path) -> bool {
        let Ok(runs) = readlinkat(&self.0, "exe") else { return false };
        match runs.as_bytes().strip_suffix(b" (deleted)") {
            Some(replaced) => replaced == program.as_os_str().as_bytes(),
            // The same name may be another file in another mount namespace.
            None => runs.as_os_str() == program.as_os_str() && self.is_same("exe", program),
        }
    }

    /// Whether a path leads it to the same file as us. A relative one is refused elsewhere.
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

/// A line of a process' status (`proc_pid_status(5)`).
fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name))
}

/// Whether every id of a process is root's, by its `/proc/PID/status`.
#[must_use]
pub fn is_roots(status: &str) -> bool {
    let ids = field(status, "Uid:").unwrap_or_default();
    ids.split_whitespace().count() == 4 && ids.split_whitespace().all(|id| id == "0")
}
