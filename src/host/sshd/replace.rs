//! Atomic replacement of files. A reader finds either the old content or the new content, also after a power
//! failure.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

use super::place::{FileAttributes, MAX_BYTES, Place};

/// A change that was made to one file and can be undone.
#[derive(Debug)]
#[must_use]
pub struct Change {
    place: Place,
    after: Option<Vec<u8>>,
    like: FileAttributes,
}

/// Lock file for runs of this program that change sshd's configuration. Only root can open it, so no other user can
/// hold the lock.
const LOCK: &str = "/run/eic-agent.lock";

/// Longest wait for another run.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Excludes other runs of this program while the lock is held. Returns `None` without a `/run`, as in a bare
/// chroot.
pub fn lock() -> io::Result<Option<Flock<File>>> {
    lock_at(Path::new(LOCK), TIMEOUT)
}

fn lock_at(place: &Path, timeout: Duration) -> io::Result<Option<Flock<File>>> {
    let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let mut file = match options.open(place) {
        // If `/run` is read-only, the configuration usually is too. Then the change itself reports the error.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ReadOnlyFilesystem) => {
            return Ok(None);
        }
        opened => opened?,
    };
    let started = Instant::now();
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Some(held)),
            Err((given_back, Errno::EWOULDBLOCK)) if started.elapsed() < timeout => file = given_back,
            Err((_, Errno::EWOULDBLOCK)) => {
                let why = format!("another eic-agent holds the lock, waited {} s", timeout.as_secs());
                return Err(io::Error::new(io::ErrorKind::WouldBlock, why));
            }
            Err((_, error)) => return Err(error.into()),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

impl Change {
    /// Replaces the content that was read with `after`, or removes the file if `after` is `None`. A new file gets
    /// the owner and mode of `like`. An existing file keeps its owner, mode, ACL and label.
    pub fn make(place: Place, after: Option<Vec<u8>>, like: &Place) -> io::Result<Self> {
        let names = place.names()?;
        if names > 1 {
            return Err(io::Error::other(format!(
                "it has {names} names (hard links); a change would separate them"
            )));
        }
        if after.as_ref().is_some_and(|after| after.len() > MAX_BYTES) {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it would be larger than {MAX_BYTES} bytes"),
            ));
        }
        let like = match place.attributes()? {
            Some(own) => own,
            None => like.attributes()?.ok_or(Errno::ENOENT)?,
        };
        swap(&place, place.content(), after.as_deref(), like)?;
        Ok(Self { place, after, like })
    }

    /// Restores the old content, byte for byte. Fails if the file was changed again in the meantime.
    pub fn undo(self) -> io::Result<()> {
        swap(&self.place, self.after.as_deref(), self.place.content(), self.like)
    }

    /// The path of the file, with links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Whether the change removed the file.
    #[must_use]
    pub const fn removed(&self) -> bool {
        self.after.is_none()
    }
}

/// A temporary file with `content` in the folder of a [`Place`]. sshd can check the content before it is installed.
/// The file is removed on drop.
#[derive(Debug)]
pub struct TempFile<'p> {
    place: &'p Place,
    path: PathBuf,
}

impl<'p> TempFile<'p> {
    /// Creates the file.
    pub fn write(place: &'p Place, content: &[u8]) -> io::Result<Self> {
        let like = place.attributes()?.ok_or(Errno::ENOENT)?;
        place.write_temp(content, like).map_err(|error| at(&place.beside(), &error))?;
        Ok(Self { place, path: place.beside() })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TempFile<'_> {
    fn drop(&mut self) {
        let _ = self.place.sweep();
    }
}

/// Changes a file from `old` to `new`. Leaves the file unchanged if its content is no longer `old`.
fn swap(place: &Place, old: Option<&[u8]>, new: Option<&[u8]>, like: FileAttributes) -> io::Result<()> {
    let Some(new) = new else { return place.remove(old) };
    // Write the new content to the disk before its name.
    place.write_temp(new, like).map_err(|error| at(&place.beside(), &error))?;
    place.put_in_place(old)
}

fn at(place: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", place.display()))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    /// Changes a file in a folder that is writable for all users.
    fn make(path: &Path, after: Option<&[u8]>, like: &Path) -> io::Result<Change> {
        Change::make(Place::unchecked(path), after.map(<[u8]>::to_vec), &Place::unchecked(like))
    }

    #[test]
    fn change_keeps_mode_and_links_and_can_be_undone() {
        let folder = std::env::temp_dir().join(format!("eic-agent-replace-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, link, new) = (folder.join("file"), folder.join("link"), folder.join("new.conf"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();

        let change = make(&link, Some(b"fresh"), &file).unwrap();
        assert_eq!(
            (fs::read(&file).unwrap(), file.metadata().unwrap().mode() & 0o7777),
            (b"fresh".into(), 0o640)
        );
        assert!(link.symlink_metadata().unwrap().is_symlink());
        change.undo().unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"old");

        let made = make(&new, Some(b"x"), &file).unwrap();
        assert_eq!(new.metadata().unwrap().mode() & 0o7777, 0o640);
        fs::write(&new, "edited").unwrap();
        assert!(made.undo().is_err(), "another program's edit is not lost");
        assert_eq!(fs::read(&new).unwrap(), b"edited");
        let stale = Place::unchecked(&new);
        fs::write(&new, "edited again").unwrap();
        assert!(Change::make(stale, Some(b"y".into()), &Place::unchecked(&file)).is_err());
        fs::write(&new, "edited").unwrap();
        let gone = make(&new, None, &file).unwrap();
        assert!(!new.exists() && gone.removed());
        gone.undo().unwrap();
        assert_eq!(fs::read(&new).unwrap(), b"edited");

        let place = Place::unchecked(&file);
        let held = TempFile::write(&place, b"tried").unwrap();
        assert_eq!(
            (held.path().file_name().unwrap(), fs::read(held.path()).unwrap()),
            (".file.eic-agent".as_ref(), b"tried".into())
        );
        drop(held);
        let mut names: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["file", "link", "new.conf"], "no temporary file remains");

        fs::hard_link(&file, folder.join("second name")).unwrap();
        let parted = make(&file, Some(b"x"), &file).unwrap_err();
        assert!(parted.to_string().contains("2 names"), "{parted}");
        let large = make(&new, Some(&vec![0; MAX_BYTES + 1]), &file).unwrap_err();
        assert_eq!((large.kind(), fs::read(&new).unwrap()), (io::ErrorKind::FileTooLarge, b"edited".into()));

        let (place, timeout) = (folder.join("lock"), Duration::from_millis(50));
        let first = lock_at(&place, timeout).unwrap();
        assert_eq!(lock_at(&place, timeout).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        assert!(lock_at(&place, timeout).unwrap().is_some());
        assert!(lock_at(&folder.join("absent/lock"), timeout).unwrap().is_none());
        assert!(lock_at(&link, timeout).is_err(), "no link is followed");
        fs::remove_dir_all(folder).unwrap();
    }
}
