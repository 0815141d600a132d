//! Files replaced at once or not at all: whatever happens, a power cut included, a reader finds the old
//! content or the new.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use crate::files::read_regular;
use crate::process::ask;

/// Longest file of sshd's configuration that is read, in bytes; real ones have a few thousand.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A change that was made to one file, and can be taken back.
#[derive(Debug)]
#[must_use]
pub struct Change {
    path: PathBuf,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    like: Likeness,
}

/// Owner and mode for a new file.
#[derive(Clone, Copy, Debug)]
struct Likeness {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl Likeness {
    fn of(model: &Metadata) -> Self {
        Self { uid: model.uid(), gid: model.gid(), mode: model.mode() & 0o7777 }
    }
}

/// The content of a file; none where there is no such file.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_regular(path, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// Where those who change sshd's configuration with this program wait for each other: a file that only root
/// can open, so that nobody else can hold it.
const LOCK: &str = "/run/eic-agent.lock";

/// How long another one is waited for.
const PATIENCE: Duration = Duration::from_secs(15);

/// Keeps others like us out while it is held. None where there is no `/run`, as in a bare chroot.
pub fn lock() -> io::Result<Option<Flock<File>>> {
    lock_at(Path::new(LOCK), PATIENCE)
}

fn lock_at(place: &Path, patience: Duration) -> io::Result<Option<Flock<File>>> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let mut file = match options.open(place) {
        // What is read-only there will be elsewhere, and says so then.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ReadOnlyFilesystem) => {
            return Ok(None);
        }
        opened => opened?,
    };
    let started = Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Some(held)),
            Err((given_back, Errno::EWOULDBLOCK)) if started.elapsed() < patience => file = given_back,
            Err((_, Errno::EWOULDBLOCK)) => {
                let why = format!("another eic-agent has been at it for {} s", patience.as_secs());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
            }
            Err((_, error)) => return Err(error.into()),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Change {
    /// Puts `after` in the place of `before`, or removes the file where `after` is none. A file that is not
    /// there yet gets owner and mode of `like`; one that is keeps its own, with its ACL and its label. Links
    /// are followed.
    pub fn make(
        path: &Path,
        before: Option<Vec<u8>>,
        after: Option<Vec<u8>>,
        like: &Path,
    ) -> io::Result<Self> {
        let path = if before.is_some() { path.canonicalize()? } else { path.to_owned() };
        let model = if before.is_some() { path.metadata()? } else { like.metadata()? };
        if before.is_some() && model.nlink() > 1 {
            return Err(io::Error::other(format!(
                "it has {} names, which a change would part",
                model.nlink()
            )));
        }
        if after.as_ref().is_some_and(|after| after.len() > MAX_BYTES) {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it would be larger than {MAX_BYTES} bytes"),
            ));
        }
        let like = Likeness::of(&model);
        let change = Self { path, before, after, like };
        swap(&change.path, change.before.as_deref(), change.after.as_deref(), like)?;
        Ok(change)
    }

    /// Puts back what was there, byte for byte, unless somebody else has changed it since.
    pub fn undo(self) -> io::Result<()> {
        swap(&self.path, self.after.as_deref(), self.before.as_deref(), self.like)
    }

    /// The file, links followed.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is gone.
    #[must_use]
    pub const fn removed(&self) -> bool {
        self.after.is_none()
    }
}

/// A file beside `path` that holds `content` until it is dropped: to have sshd judge what is not in place.
#[derive(Debug)]
pub struct Beside(PathBuf);

impl Beside {
    /// Writes it.
    pub fn write(path: &Path, content: &[u8]) -> io::Result<Self> {
        let real = path.canonicalize()?;
        let like = Likeness::of(&real.metadata()?);
        write_beside(&real, content, like).map(Self)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Removes what a run that was cut short has left beside `path`.
pub fn sweep(path: &Path) {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    for place in [path, &real] {
        let _ = std::fs::remove_file(beside(place));
    }
}

/// The name that a file has before it is in its place: hidden, and none that an `Include *.conf` reads.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".eic-agent");
    path.with_file_name(name)
}

/// Changes `path` from `old` to `new`; a file that is no more what it was is left alone.
fn swap(path: &Path, old: Option<&[u8]>, new: Option<&[u8]>, like: Likeness) -> io::Result<()> {
    let Some(new) = new else {
        expect(path, old)?;
        std::fs::remove_file(path)?;
        return sync_folder(path);
    };
    let fresh = write_beside(path, new, like)?;
    // The new content is on the disk before its name is.
    let swapped = expect(path, old).and_then(|()| std::fs::rename(&fresh, path));
    if swapped.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    swapped.and_then(|()| sync_folder(path))
}

fn write_beside(path: &Path, content: &[u8], like: Likeness) -> io::Result<PathBuf> {
    let place = beside(path);
    let fault = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", place.display()));
    match std::fs::remove_file(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&place).map_err(fault)?;
    // ACL and SELinux label, which a new file has from its folder; then what must be so in any case.
    if path.exists() {
        let mut program = Command::new("cp");
        program.args(["--attributes-only", "--preserve=all", "--"]).args([path, &place]);
        let _ = ask(&mut program, Duration::from_secs(5));
    }
    let written = fchown(&file, Some(like.uid), Some(like.gid))
        .and_then(|()| file.set_permissions(Permissions::from_mode(like.mode)))
        .and_then(|()| file.write_all(content))
        .and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(&place);
    }
    written.map_err(fault).map(|()| place)
}

fn expect(path: &Path, content: Option<&[u8]>) -> io::Result<()> {
    if read(path)?.as_deref() == content {
        return Ok(());
    }
    Err(io::Error::other("somebody else changed it just now; run this again"))
}

/// Makes the change of names itself durable.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_keeps_mode_and_links_and_can_be_taken_back() {
        let folder = std::env::temp_dir().join(format!("eic-agent-replace-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, link, new) = (folder.join("file"), folder.join("link"), folder.join("new.conf"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();

        let change = Change::make(&link, Some(b"old".into()), Some(b"fresh".into()), &file).unwrap();
        assert_eq!(
            (fs::read(&file).unwrap(), file.metadata().unwrap().mode() & 0o7777),
            (b"fresh".into(), 0o640)
        );
        assert!(link.symlink_metadata().unwrap().is_symlink());
        change.undo().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old");

        let made = Change::make(&new, None, Some(b"x".into()), &file).unwrap();
        assert_eq!(new.metadata().unwrap().mode() & 0o7777, 0o640);
        fs::write(&new, "edited").unwrap();
        assert!(made.undo().is_err(), "somebody else's edit is not lost");
        assert_eq!(fs::read(&new).unwrap(), b"edited");
        assert!(Change::make(&new, Some(b"x".into()), Some(b"y".into()), &file).is_err());
        let gone = Change::make(&new, Some(b"edited".into()), None, &file).unwrap();
        assert!(!new.exists() && gone.removed());
        gone.undo().unwrap();
        assert_eq!(fs::read(&new).unwrap(), b"edited");

        let held = Beside::write(&file, b"tried").unwrap();
        assert_eq!(
            (held.path().file_name().unwrap(), fs::read(held.path()).unwrap()),
            (".file.eic-agent".as_ref(), b"tried".into())
        );
        drop(held);
        let mut names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "link", "new.conf"], "nothing stays beside them");

        fs::hard_link(&file, folder.join("second name")).unwrap();
        let parted = Change::make(&file, Some(b"old".into()), Some(b"x".into()), &file).unwrap_err();
        assert!(parted.to_string().contains("2 names"), "{parted}");
        let large =
            Change::make(&new, Some(b"edited".into()), Some(vec![0; MAX_BYTES + 1]), &file).unwrap_err();
        assert_eq!((large.kind(), fs::read(&new).unwrap()), (io::ErrorKind::FileTooLarge, b"edited".into()));

        let (place, patience) = (folder.join("lock"), Duration::from_millis(50));
        let first = lock_at(&place, patience).unwrap();
        assert_eq!(lock_at(&place, patience).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        assert!(lock_at(&place, patience).unwrap().is_some());
        assert!(lock_at(&folder.join("absent/lock"), patience).unwrap().is_none());
        assert!(lock_at(&link, patience).is_err(), "no link is followed");
        fs::remove_dir_all(folder).unwrap();
    }
}
