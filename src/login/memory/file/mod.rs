//! The file that the runs of one user share.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use eic_host::files::read_open;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, Flock, FlockArg, OFlag, open, openat};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat};
use nix::unistd::{AccessFlags, Uid, UnlinkatFlags, faccessat, unlinkat};

use super::record::{MARK_BYTES, MAX_RECORD_BYTES, Record};

/// The name of the file in its folder.
pub const NAME: &str = "evidence";

/// The rights in a mode.
const RIGHTS: u32 = 0o777;
/// The mode of the folder.
const FOLDER_MODE: u32 = 0o700;
/// The mode of the file.
const FILE_MODE: u32 = 0o600;

/// The open file. After the confinement, a run has no other access to it.
#[derive(Debug)]
pub(super) struct MemoryFile(File);

impl MemoryFile {
    /// Opens the file in `folder`, and makes it if it is absent. Returns its content, too. `None` if this user has no such
    /// folder.
    ///
    /// The folder and the file must belong to this user. Their modes must be 0700 and 0600. A file that breaks this rule,
    /// is no regular file, has another name too, is too large or has the content of another program is removed. The next
    /// run makes a new one.
    ///
    /// The content is judged because the count of names can change after it was read: a process of this user can link a
    /// file of its own to the name, and unlink it after this run opened it.
    pub(super) fn open(folder: &Path) -> Option<(Self, Vec<u8>)> {
        let user = Uid::effective();
        let folder = open_folder(folder, user).ok()?;
        match open_file(&folder, OFlag::O_CREAT) {
            Ok(file) => {
                let mut found = fstat(&file).ok()?;
                // A strict umask can remove the owner's rights from a new file.
                let is_new = found.st_size == 0 && found.st_mode & RIGHTS & !FILE_MODE == 0;
                if is_new && found.st_mode & RIGHTS != FILE_MODE {
                    fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR).ok()?;
                    found = fstat(&file).ok()?;
                }
                if judge_file(&found, user).is_ok() {
                    let file = Self(file.into());
                    let content = file.read().unwrap_or_default();
                    if judge_content(&content).is_ok() {
                        return Some((file, content));
                    }
                }
            }
            // The file system takes no file now. What is there may be good.
            Err(Errno::ENOSPC | Errno::EDQUOT | Errno::EROFS | Errno::EMFILE | Errno::ENFILE) => return None,
            Err(_) => {}
        }
        let _ = unlinkat(&folder, NAME, UnlinkatFlags::NoRemoveDir);
        None
    }

    /// The bytes that a run of `user` would find, by the same rules. `None` if there is no file yet. Makes and removes
    /// nothing. For commands that explain.
    pub(super) fn look(folder: &Path, user: Uid) -> Result<Option<Vec<u8>>, MemoryFault> {
        let folder = open_folder(folder, user)?;
        // First without opening the file, because opening a device or a pipe may have an effect.
        let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(&folder, NAME, flags, Mode::empty()) {
            Ok(found) => judge_file(&fstat(&found)?, user)?,
            Err(Errno::ENOENT) => {
                let (needed, how) = (AccessFlags::W_OK | AccessFlags::X_OK, AtFlags::AT_EACCESS);
                return faccessat(&folder, ".", needed, how).map(|()| None).map_err(MemoryFault::Closed);
            }
            Err(error) => return Err(MemoryFault::Closed(error)),
        }
        let file = open_file(&folder, OFlag::empty())?;
        judge_file(&fstat(&file)?, user)?;
        let content = Self(file.into())
            .read()
            .map_err(|error| MemoryFault::Closed(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))?;
        judge_content(&content).map(|()| Some(content))
    }

    /// The descriptor, for the filter of system calls.
    pub(super) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The bytes of the file.
    fn read(&self) -> io::Result<Vec<u8>> {
        read_open(&self.0, MAX_RECORD_BYTES)
    }

    /// Replaces the content if it is the `expected` one and no other run is replacing it.
    ///
    /// Nothing waits here. If the process ends in between, or the disk is full, the file is torn, and its digest shows
    /// this to the next run.
    ///
    /// Returns the lock. A run must not drop it: the filter refuses to release it, and then [`Flock`] panics. The kernel
    /// releases it when the process ends.
    pub(super) fn write(self, bytes: &[u8], expected: &Expected) -> Option<ManuallyDrop<Flock<File>>> {
        // Beyond a limit for file sizes, the kernel sends this signal, which would end the run. Blocked, it has no effect.
        let mut too_large = SigSet::empty();
        too_large.add(Signal::SIGXFSZ);
        too_large.thread_block().ok()?;
        let file = ManuallyDrop::new(Flock::lock(self.0, FlockArg::LockExclusiveNonblock).ok()?);
        let is_expected = match expected {
            Expected::Anything => true,
            Expected::Mark(seen) => mark(&file).as_ref() == Some(seen),
            Expected::NoRecord => {
                read_open(&file, MAX_RECORD_BYTES).is_ok_and(|bytes| Record::parse(&bytes).is_none())
            }
        };
        if is_expected && file.write_all_at(bytes, 0).is_ok() {
            let _ = file.set_len(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        Some(file)
    }
}

/// The content of the file that a run may replace.
#[derive(Debug, Clone, Default)]
pub(super) enum Expected {
    /// Any content.
    #[default]
    Anything,
    /// The content that begins with these bytes.
    Mark(Vec<u8>),
    /// No whole record. The run that wrote a torn one may have ended, or may have been in the middle of its write when
    /// this run read the file.
    NoRecord,
}

/// The first bytes of the file. They differ if its content differs.
fn mark(file: &File) -> Option<Vec<u8>> {
    let mut mark = vec![0; MARK_BYTES];
    // The kernel reads the start of a regular file at once.
    let count = file.read_at(&mut mark, 0).ok()?;
    mark.truncate(count);
    Some(mark)
}

/// Why a run does not use what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryFault {
    /// There is no folder.
    NoFolder,
    /// The folder is a file or a link.
    NotAFolder,
    /// The folder belongs to the user with this number.
    FolderOwner(u32),
    /// The folder has this mode. Other users have rights to it, or its owner lacks one.
    FolderMode(u32),
    /// A folder has the name of the file. A run cannot remove it.
    FileIsFolder,
    /// The next run removes the file, for this reason.
    Unfit(&'static str),
    /// The system refuses to open the folder or the file.
    Closed(Errno),
}

impl From<Errno> for MemoryFault {
    fn from(error: Errno) -> Self {
        Self::Closed(error)
    }
}

/// Opens the folder if it belongs to `user` alone.
fn open_folder(folder: &Path, user: Uid) -> Result<OwnedFd, MemoryFault> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let folder = open(folder, flags, Mode::empty()).map_err(|error| match error {
        Errno::ENOENT => MemoryFault::NoFolder,
        Errno::ENOTDIR | Errno::ELOOP => MemoryFault::NotAFolder,
        error => MemoryFault::Closed(error),
    })?;
    let found = fstat(&folder)?;
    if found.st_uid != user.as_raw() {
        return Err(MemoryFault::FolderOwner(found.st_uid));
    }
    if found.st_mode & RIGHTS != FOLDER_MODE {
        return Err(MemoryFault::FolderMode(found.st_mode & 0o7777));
    }
    Ok(folder)
}

fn open_file(folder: &OwnedFd, more: OFlag) -> Result<OwnedFd, Errno> {
    // Opening a FIFO for reading and writing does not block. O_NONBLOCK is for devices and leases.
    let flags = OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    openat(folder, NAME, flags | more, Mode::S_IRUSR | Mode::S_IWUSR)
}

fn judge_file(found: &FileStat, user: Uid) -> Result<(), MemoryFault> {
    let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
    let size = u64::try_from(found.st_size).unwrap_or(u64::MAX);
    let limit = u64::try_from(MAX_RECORD_BYTES).unwrap_or(u64::MAX);
    if kind == SFlag::S_IFDIR {
        return Err(MemoryFault::FileIsFolder);
    }
    let faults = [
        (kind != SFlag::S_IFREG, "it is not a regular file"),
        (found.st_uid != user.as_raw(), "it belongs to another user"),
        (found.st_mode & RIGHTS != FILE_MODE, "its mode is not 0600"),
        (found.st_nlink != 1, "it has another name too"),
        (size > limit, "it is too large"),
    ];
    let fault = faults.into_iter().find_map(|(is_so, fault)| is_so.then_some(fault));
    fault.map_or(Ok(()), |fault| Err(MemoryFault::Unfit(fault)))
}

fn judge_content(content: &[u8]) -> Result<(), MemoryFault> {
    Record::may_begin(content).then_some(()).ok_or(MemoryFault::Unfit("another program wrote it"))
}

#[cfg(test)]
mod tests;
