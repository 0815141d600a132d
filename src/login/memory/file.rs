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
    /// Opens the file in `folder`, and makes it if it is absent. `None` if this user has no such folder.
    ///
    /// The folder and the file must belong to this user. Their modes must be 0700 and 0600. A file that
    /// breaks this rule, is no regular file, has another name too or is too large is removed. The next run makes a new
    /// one.
    pub(super) fn open(folder: &Path) -> Option<Self> {
        let user = Uid::effective();
        let folder = open_folder(folder, user).ok()?;
        match open_file(&folder, OFlag::O_CREAT) {
            Ok(file) => {
                let found = fstat(&file).ok()?;
                // A strict umask can remove the owner's rights from a new file.
                let is_new = found.st_size == 0 && found.st_mode & RIGHTS & !FILE_MODE == 0;
                if is_new && found.st_mode & RIGHTS != FILE_MODE {
                    fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR).ok()?;
                }
                if judge_file(&fstat(&file).ok()?, user).is_ok() {
                    return Some(Self(file.into()));
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
        Self(file.into())
            .read()
            .map(Some)
            .map_err(|error| MemoryFault::Closed(error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)))
    }

    /// The descriptor, for the filter of system calls.
    pub(super) fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// The bytes of the file.
    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        read_open(&self.0, MAX_RECORD_BYTES)
    }

    /// Replaces the content if it is the `expected` one and no other run is replacing it.
    ///
    /// Nothing waits here. If the process ends in between, or the disk is full, the file is torn, and its digest shows
    /// this to the next run.
    ///
    /// Returns the lock. The kernel releases it when the process ends. The filter refuses to release it earlier, and
    /// [`Flock`] would panic.
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

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("eic-agent-memory-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join(NAME)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Writes, and releases the lock as the end of the process does.
    fn write(folder: &Folder, bytes: &[u8], expected: &Expected) {
        if let Some(lock) = MemoryFile::open(&folder.0).unwrap().write(bytes, expected) {
            drop(ManuallyDrop::into_inner(lock));
        }
    }

    #[test]
    fn file_is_made_written_and_read() {
        let folder = Folder::new("whole");
        let open = || MemoryFile::open(&folder.0).unwrap();
        assert!(open().read().unwrap().is_empty());
        assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o7777, 0o600);
        write(&folder, b"a long record", &Expected::Anything);
        assert_eq!(open().read().unwrap(), b"a long record");
        // A shorter record leaves nothing of a longer one.
        write(&folder, b"short", &Expected::Anything);
        assert_eq!(open().read().unwrap(), b"short");
    }

    #[test]
    fn record_of_another_run_is_not_replaced_by_less() {
        let folder = Folder::new("seen");
        let open = || MemoryFile::open(&folder.0).unwrap();
        write(&folder, b"token", &Expected::Mark(b"".to_vec()));
        assert_eq!(open().read().unwrap(), b"token");
        write(&folder, b"mine", &Expected::Mark(b"".to_vec()));
        assert_eq!(open().read().unwrap(), b"token");
        write(&folder, b"mine", &Expected::Mark(b"token".to_vec()));
        assert_eq!(open().read().unwrap(), b"mine");
    }

    #[test]
    fn no_run_waits_for_the_lock_of_another() {
        let folder = Folder::new("locked");
        let other =
            File::options().read(true).write(true).create(true).truncate(true).open(folder.file()).unwrap();
        fs::set_permissions(folder.file(), Permissions::from_mode(0o600)).unwrap();
        let held = Flock::lock(other, FlockArg::LockExclusive).unwrap();
        write(&folder, b"mine", &Expected::Anything);
        assert!(MemoryFile::open(&folder.0).unwrap().read().unwrap().is_empty());
        drop(held);
        write(&folder, b"mine", &Expected::Anything);
        assert_eq!(MemoryFile::open(&folder.0).unwrap().read().unwrap(), b"mine");
    }

    #[test]
    fn unfit_file_is_removed() {
        let folder = Folder::new("unfit");
        let elsewhere = folder.0.join("elsewhere");
        fs::write(&elsewhere, "of another program").unwrap();
        let at = folder.file();
        let with_mode = |mode| {
            fs::write(&at, "x").unwrap();
            fs::set_permissions(&at, Permissions::from_mode(mode)).unwrap();
        };
        let makers: [(&str, &dyn Fn()); 8] = [
            ("a link", &|| symlink(&elsewhere, &at).unwrap()),
            ("a hard link", &|| fs::hard_link(&elsewhere, &at).unwrap()),
            ("a pipe", &|| assert!(Command::new("mkfifo").arg(&at).status().unwrap().success())),
            ("a socket", &|| drop(UnixListener::bind(&at).unwrap())),
            ("readable by others", &|| with_mode(0o644)),
            ("writable by the group", &|| with_mode(0o620)),
            ("closed to its owner", &|| with_mode(0o400)),
            ("too large", &|| {
                with_mode(0o600);
                File::options().write(true).open(&at).unwrap().set_len(100 << 20).unwrap();
            }),
        ];
        for (what, make) in makers {
            make();
            // Looking says what a run will do, and changes nothing.
            let before = at.symlink_metadata().unwrap();
            let user = Uid::effective();
            assert!(matches!(MemoryFile::look(&folder.0, user), Err(MemoryFault::Unfit(_))), "{what}");
            assert_eq!(at.symlink_metadata().unwrap().ino(), before.ino(), "{what}");
            assert!(MemoryFile::open(&folder.0).is_none(), "{what}");
            assert!(at.symlink_metadata().is_err(), "{what} is still there");
            assert_eq!(MemoryFile::look(&folder.0, user), Ok(None), "after {what}");
            assert!(at.symlink_metadata().is_err(), "looking made a file after {what}");
            assert!(MemoryFile::open(&folder.0).is_some(), "after {what}");
            fs::remove_file(&at).unwrap();
        }
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "of another program");
        fs::create_dir(&at).unwrap();
        assert!(MemoryFile::open(&folder.0).is_none());
        assert_eq!(MemoryFile::look(&folder.0, Uid::effective()), Err(MemoryFault::FileIsFolder));
    }

    #[test]
    fn folder_of_others_is_not_used() {
        let folder = Folder::new("folder");
        for mode in [0o755, 0o770, 0o701, 0o500, 0o600, 0] {
            fs::set_permissions(&folder.0, Permissions::from_mode(mode)).unwrap();
            assert!(MemoryFile::open(&folder.0).is_none(), "{mode:o}");
            let fault = Err(MemoryFault::FolderMode(mode));
            assert_eq!(MemoryFile::look(&folder.0, Uid::effective()), fault, "{mode:o}");
        }
        fs::set_permissions(&folder.0, Permissions::from_mode(0o700)).unwrap();
        let link = folder.0.join("link");
        symlink(&folder.0, &link).unwrap();
        assert!(MemoryFile::open(&link).is_none());
        assert!(MemoryFile::open(&folder.0.join("absent")).is_none());
        let look = |path: &Path, user| MemoryFile::look(path, user);
        let user = Uid::effective();
        assert_eq!(look(&folder.0.join("absent"), user), Err(MemoryFault::NoFolder));
        assert_eq!(look(&link, user), Err(MemoryFault::NotAFolder));
        let owner = Err(MemoryFault::FolderOwner(user.as_raw()));
        assert_eq!(look(&folder.0, Uid::from_raw(user.as_raw() ^ 1)), owner);
        assert!(!folder.file().exists());
    }
}
