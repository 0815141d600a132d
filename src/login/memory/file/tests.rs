//! Which files and folders a run uses.

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
