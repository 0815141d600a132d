//! Which files and folders a run uses.

use std::fs::{self, Permissions};
use std::io::Read as _;
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
    let (file, _) = MemoryFile::open(&folder.0).unwrap();
    if let Some(lock) = file.write(bytes, expected) {
        drop(ManuallyDrop::into_inner(lock));
    }
}

fn content(folder: &Folder) -> Vec<u8> {
    MemoryFile::open(&folder.0).unwrap().1
}

/// Content that a run may have written.
fn begun(rest: &str) -> Vec<u8> {
    [b"eic-agent evidence 1\n", rest.as_bytes()].concat()
}

#[test]
fn file_is_made_written_and_read() {
    let folder = Folder::new("whole");
    assert!(content(&folder).is_empty());
    assert_eq!(fs::metadata(folder.file()).unwrap().permissions().mode() & 0o7777, 0o600);
    for record in ["a long record", "short"] {
        write(&folder, &begun(record), &Expected::Anything);
        assert_eq!(content(&folder), begun(record));
    }
}

#[test]
fn record_of_another_run_is_not_replaced_by_less() {
    let folder = Folder::new("seen");
    let (token, mine) = (begun("token"), begun("mine"));
    write(&folder, &token, &Expected::Mark(Vec::new()));
    assert_eq!(content(&folder), token);
    write(&folder, &mine, &Expected::Mark(Vec::new()));
    assert_eq!(content(&folder), token);
    write(&folder, &mine, &Expected::Mark(token));
    assert_eq!(content(&folder), mine);
}

/// While this process opens the file, another one of the same user can link a file of its own to the name, and unlink it
/// again. The open file then has one name, as a memory has. Only the content tells them apart.
#[test]
fn file_of_another_program_is_not_changed() {
    let folder = Folder::new("other-program");
    let user = Uid::effective();
    let ours = begun("");
    for (what, content, is_ours) in [
        ("nothing", &b""[..], true),
        ("one byte", &ours[..1], true),
        ("a part of the first line", &ours[..ours.len() - 1], true),
        ("the first line", &ours, true),
        ("a text", b"of another program", false),
        ("zeros", &[0; 40], false),
        ("another form", b"eic-agent evidence 2\n", false),
        ("a byte before the form", &[b" ", &ours[..]].concat(), false),
    ] {
        fs::write(folder.file(), content).unwrap();
        fs::set_permissions(folder.file(), Permissions::from_mode(0o600)).unwrap();
        let mut held = File::open(folder.file()).unwrap();
        assert_eq!(MemoryFile::look(&folder.0, user).is_ok(), is_ours, "{what}");
        assert_eq!(MemoryFile::open(&folder.0).is_some(), is_ours, "{what}");
        assert_eq!(folder.file().exists(), is_ours, "{what}");
        let mut left = Vec::new();
        held.read_to_end(&mut left).unwrap();
        assert_eq!(left, content, "{what}");
    }
}

#[test]
fn no_run_waits_for_the_lock_of_another() {
    let folder = Folder::new("locked");
    let other =
        File::options().read(true).write(true).create(true).truncate(true).open(folder.file()).unwrap();
    fs::set_permissions(folder.file(), Permissions::from_mode(0o600)).unwrap();
    let held = Flock::lock(other, FlockArg::LockExclusive).unwrap();
    write(&folder, &begun("mine"), &Expected::Anything);
    assert!(content(&folder).is_empty());
    drop(held);
    write(&folder, &begun("mine"), &Expected::Anything);
    assert_eq!(content(&folder), begun("mine"));
}

#[test]
fn unfit_file_is_removed() {
    let folder = Folder::new("unfit");
    let elsewhere = folder.0.join("elsewhere");
    fs::write(&elsewhere, "of another program").unwrap();
    let at = folder.file();
    let with_mode = |mode| {
        fs::write(&at, begun("")).unwrap();
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
