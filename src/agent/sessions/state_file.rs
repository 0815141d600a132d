//! The file of an export's state, and the file that standard output may be.

use std::fs::File;
use std::io::{self, Write as _, stdout};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use eic_core::audit_line::IDENT;
use eic_core::sessions::export::state::MAX_STATE_BYTES;
use eic_host::files::read_open;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat};
use nix::unistd::{Uid, UnlinkatFlags, fsync, unlinkat};

/// The mode of the file.
const MODE: u32 = 0o600;

/// The state's file. While this value lives, no other export can use the folder.
pub(super) struct StateFile {
    folder: Flock<OwnedFd>,
    name: String,
    /// The path, for messages.
    pub(super) shown: String,
    /// The content. `None` if there is no file yet.
    pub(super) content: Option<Vec<u8>>,
}

impl StateFile {
    /// Opens the file. Its folder must belong to this user alone.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let shown = super::log_error::shown(path);
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| format!("--state {shown}: expected the path of a file"))?.to_owned();
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or_else(|| Path::new("."));
        let folder = open_folder(parent)?;
        let folder =
            Flock::lock(folder, FlockArg::LockExclusiveNonblock).map_err(|(_, error)| match error {
                Errno::EWOULDBLOCK => format!("another export uses the folder of {shown} now"),
                error => format!("{shown}: {error}"),
            })?;
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let content = match openat(&*folder, name.as_str(), flags, Mode::empty()) {
            Ok(file) => Some(read_state(file).map_err(|why| format!("{shown}: {why}"))?),
            Err(Errno::ENOENT) => None,
            Err(Errno::ELOOP) => return Err(format!("{shown} is a symbolic link; name a file")),
            Err(error) => return Err(format!("{shown}: {error}")),
        };
        Ok(Self { folder, name, shown, content })
    }

    /// Replaces the file. At every moment, the old content or the new one is there.
    pub(super) fn replace(&self, content: &[u8]) -> Result<(), String> {
        self.write(content).map_err(|error| format!("{}: {error}", self.shown))
    }

    fn write(&self, content: &[u8]) -> io::Result<()> {
        let new = format!("{}.new", self.name);
        // An export that was killed may have left it.
        match unlinkat(&*self.folder, new.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(&*self.folder, new.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // A strict umask can remove the owner's rights.
        fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR)?;
        let mut file = File::from(file);
        file.write_all(content)?;
        file.sync_all()?;
        renameat(&*self.folder, new.as_str(), &*self.folder, self.name.as_str())?;
        fsync(&*self.folder)?;
        Ok(())
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, String> {
    let shown = super::log_error::shown(path);
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let found = open(path, flags, Mode::empty()).and_then(|folder| Ok((fstat(&folder)?, folder)));
    let user = Uid::effective();
    let make = format!("make one: sudo install -d -o {IDENT} -g {IDENT} -m 0700 {}", quoted(path));
    match found {
        Ok((found, folder)) if found.st_uid == user.as_raw() && found.st_mode & 0o022 == 0 => Ok(folder),
        Ok((found, _)) => Err(format!(
            "{shown}: expected a folder that belongs to the user with the id {user} and that no other user can write, got owner {} and mode {:04o}; {make}",
            found.st_uid,
            found.st_mode & 0o7777
        )),
        Err(error) => Err(format!("{shown}: {error}; {make}")),
    }
}

/// A path as a word of a command.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+".contains(&b));
    if is_plain { text.into_owned() } else { "FOLDER".to_owned() }
}

fn read_state(file: OwnedFd) -> Result<Vec<u8>, String> {
    judge(&fstat(&file).map_err(|error| error.to_string())?)?;
    read_open(&file.into(), MAX_STATE_BYTES).map_err(|error| error.to_string())
}

fn judge(found: &FileStat) -> Result<(), String> {
    let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
    let (user, mode) = (Uid::effective(), found.st_mode & 0o7777);
    if kind != SFlag::S_IFREG {
        return Err("it is not a regular file; name another one".to_owned());
    }
    if found.st_uid != user.as_raw() {
        return Err(format!(
            "it belongs to the user with the id {}, not {user}; name another file",
            found.st_uid
        ));
    }
    if mode != MODE {
        return Err(format!("expected mode 0600, got {mode:04o}: others could change it; name another file"));
    }
    if found.st_nlink != 1 {
        return Err("it has another name too; name another file".to_owned());
    }
    Ok(())
}

/// A line end, if standard output is a file whose last line has none. An export that was killed may have written half a line.
pub(super) fn complete_last_line() -> &'static str {
    let last = || {
        let size = size_of_output().ok()??;
        let file = File::open("/proc/self/fd/1").ok()?;
        let mut last = [0];
        file.read_exact_at(&mut last, size.checked_sub(1)?).ok()?;
        Some(last)
    };
    if last().is_some_and(|last| last != *b"\n") { "\n" } else { "" }
}

/// If standard output is a file, waits until its content is on the disk.
pub(super) fn sync() -> io::Result<()> {
    if size_of_output()?.is_some() {
        fsync(stdout().as_fd())?;
    }
    Ok(())
}

/// The size of the file that standard output is. `None` if it is no file.
fn size_of_output() -> io::Result<Option<u64>> {
    let found = fstat(stdout().as_fd())?;
    let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
    Ok(if kind == SFlag::S_IFREG { u64::try_from(found.st_size).ok() } else { None })
}
