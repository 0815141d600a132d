//! A file of sshd's configuration, held by descriptors. The checked file is the one that is read, copied and
//! replaced, even if its path leads to another file in the meantime.

use std::ffi::{CStr, OsString};
use std::fmt;
use std::fs::{File, Metadata, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstatat};
use nix::unistd::{Uid, UnlinkatFlags, unlinkat};
use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};

use crate::files::{open_regular, read_open};
use crate::ownership::{self, Folder, Insecure};

/// Longest configuration file that is read, in bytes. Real files have a few thousand bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// Maximum number of bytes of the attribute names, or of one extended attribute's value. This is the kernel's limit
/// (`xattr(7)`).
const MAX_ATTRIBUTE: usize = 64 * 1024;

/// Attributes that describe the content. The kernel creates new ones (`xattr(7)`, security attributes).
const OF_THE_CONTENT: [&[u8]; 2] = [b"security.ima", b"security.evm"];

/// A file that only root can change, or the path of a file that does not exist yet.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    folder: File,
    name: OsString,
    held: Option<Held>,
}

/// The file as it was when it was opened.
#[derive(Debug)]
struct Held {
    file: File,
    content: Vec<u8>,
}

/// Why a file is not read or not changed.
#[derive(Debug)]
pub enum PlaceError {
    /// A user other than root could change the file or its path.
    Insecure(Insecure),
    /// It cannot be read.
    Unreadable(PathBuf, io::Error),
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insecure(insecure) => insecure.fmt(f),
            Self::Unreadable(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl From<Insecure> for PlaceError {
    fn from(insecure: Insecure) -> Self {
        Self::Insecure(insecure)
    }
}

/// Owner and mode for a new file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileAttributes {
    uid: u32,
    gid: u32,
    mode: u32,
}

impl FileAttributes {
    fn of(model: &Metadata) -> Self {
        Self { uid: model.uid(), gid: model.gid(), mode: model.mode() & 0o7777 }
    }
}

/// Reads a file of sshd's configuration. Returns `None` if there is no file. Root reads only files that only root
/// can change.
pub fn read_config(path: &Path) -> Result<Option<Vec<u8>>, PlaceError> {
    let unreadable = |error| PlaceError::Unreadable(path.to_owned(), error);
    if path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let file = if Uid::effective().is_root() {
        ownership::open_trusted(path)?
    } else {
        open_regular(path).map_err(unreadable)?
    };
    read_open(&file, MAX_BYTES).map(Some).map_err(unreadable)
}

impl Place {
    /// Follows links, checks the file by sshd's rule for trusted files, and reads it. If the file does not exist,
    /// checks its folder by the same rule.
    pub fn find(path: &Path) -> Result<Self, PlaceError> {
        let is_absent = path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let (folder, name) = if is_absent {
            let folder = Folder::open(path.parent().unwrap_or(Path::new("/")))?;
            (folder, path.file_name().unwrap_or_default().to_owned())
        } else {
            ownership::locate(path)?
        };
        let real = folder.path().join(&name);
        let place = Self::open(folder.descriptor()?, &real);
        let place = place.map_err(|error| PlaceError::Unreadable(real.clone(), error))?;
        if let Some(held) = &place.held {
            ownership::check_open(&held.file, &real)?;
        }
        Ok(place)
    }

    /// Like `find`, without the checks: the files of tests are in a folder that all users can write.
    #[cfg(test)]
    pub(super) fn unchecked(path: &Path) -> Self {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        Self::open(File::open(real.parent().unwrap()).unwrap(), &real).unwrap()
    }

    fn open(folder: File, real: &Path) -> io::Result<Self> {
        let name = real.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        let mut place = Self { path: real.to_owned(), folder, name, held: None };
        place.held = place.open_held()?;
        Ok(place)
    }

    /// Opens and reads the file. Returns `None` if there is no file.
    fn open_held(&self) -> io::Result<Option<Held>> {
        // Do not block: the path may lead to a pipe.
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let file = match openat(&self.folder, self.name.as_os_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            opened => File::from(opened?),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let content = read_open(&file, MAX_BYTES)?;
        Ok(Some(Held { file, content }))
    }

    /// The path of the file, with links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The content when the file was opened. `None` if there was no file.
    #[must_use]
    pub fn content(&self) -> Option<&[u8]> {
        self.held.as_ref().map(|held| held.content.as_slice())
    }

    /// The number of the file's hard links.
    pub(super) fn names(&self) -> io::Result<u64> {
        self.held.as_ref().map_or(Ok(0), |held| held.file.metadata().map(|status| status.nlink()))
    }

    /// Owner and mode of the file. `None` if there was no file.
    pub(super) fn attributes(&self) -> io::Result<Option<FileAttributes>> {
        self.held
            .as_ref()
            .map(|held| held.file.metadata().map(|status| FileAttributes::of(&status)))
            .transpose()
    }

    /// The path of the temporary file. The name is hidden, and an `Include *.conf` does not match it.
    pub(super) fn beside(&self) -> PathBuf {
        self.path.with_file_name(self.temp_name())
    }

    fn temp_name(&self) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".eic-agent");
        name
    }

    /// Removes the temporary file of this run or of an interrupted run.
    pub fn sweep(&self) -> io::Result<()> {
        let name = self.temp_name();
        match unlinkat(&self.folder, name.as_os_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(()),
            // A read-only file system refuses the call before it looks for the name.
            Err(error) => match fstatat(&self.folder, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Err(Errno::ENOENT) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    /// Writes the temporary file with the owner and mode of `like`. Copies the ACL, the label and every other
    /// extended attribute of the original file.
    pub(super) fn write_temp(&self, content: &[u8], like: FileAttributes) -> io::Result<()> {
        self.sweep()?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let mut file = File::from(openat(&self.folder, self.temp_name().as_os_str(), flags, mode)?);
        let copied = self.held.as_ref().map_or(Ok(()), |held| copy_attributes(&held.file, &file));
        let written = copied
            .and_then(|()| fchown(&file, Some(like.uid), Some(like.gid)))
            .and_then(|()| file.set_permissions(Permissions::from_mode(like.mode)))
            .and_then(|()| file.write_all(content))
            .and_then(|()| file.sync_all());
        if written.is_err() {
            let _ = self.sweep();
        }
        written
    }

    /// Atomically replaces the file with the temporary file. Fails if the content is no longer `expected`.
    pub(super) fn put_in_place(&self, expected: Option<&[u8]>) -> io::Result<()> {
        let beside = self.temp_name();
        let put = self.expect(expected).and_then(|()| {
            Ok(renameat(&self.folder, beside.as_os_str(), &self.folder, self.name.as_os_str())?)
        });
        if put.is_err() {
            let _ = self.sweep();
        }
        put.and_then(|()| self.folder.sync_all())
    }

    /// Removes the file. Fails if the content is no longer `expected`.
    pub(super) fn remove(&self, expected: Option<&[u8]>) -> io::Result<()> {
        self.expect(expected)?;
        unlinkat(&self.folder, self.name.as_os_str(), UnlinkatFlags::NoRemoveDir)?;
        self.folder.sync_all()
    }

    fn expect(&self, content: Option<&[u8]>) -> io::Result<()> {
        if self.open_held()?.map(|held| held.content).as_deref() == content {
            return Ok(());
        }
        Err(io::Error::other("another program changed it just now; run this again"))
    }
}

/// Copies extended attributes from one open file to another. They contain the ACL and the label (`acl(5)`,
/// `xattr(7)`). An attribute that already has the right value is skipped, because setting it may be forbidden.
fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    for name in attribute_names(from)? {
        if OF_THE_CONTENT.contains(&name.to_bytes()) {
            continue;
        }
        let Some(value) = attribute(from, &name)? else { continue };
        if attribute(to, &name)?.as_ref() != Some(&value) {
            fsetxattr(to, name.as_c_str(), &value, XattrFlags::empty()).map_err(|error| {
                let error = io::Error::from(error);
                io::Error::new(error.kind(), format!("{} cannot be kept: {error}", name.to_string_lossy()))
            })?;
        }
    }
    Ok(())
}

fn attribute_names(file: &File) -> io::Result<Vec<std::ffi::CString>> {
    let mut names = vec![0_u8; MAX_ATTRIBUTE];
    let length = match flistxattr(file, names.as_mut_slice()) {
        // The file system does not support extended attributes.
        Err(error) if error == rustix::io::Errno::OPNOTSUPP => 0,
        listed => listed?,
    };
    let names = names.get(..length).unwrap_or_default();
    Ok(names
        .split_inclusive(|byte| *byte == 0)
        .filter_map(|name| CStr::from_bytes_with_nul(name).ok())
        .map(CStr::to_owned)
        .collect())
}

fn attribute(file: &File, name: &CStr) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0_u8; MAX_ATTRIBUTE];
    match fgetxattr(file, name, value.as_mut_slice()) {
        Err(error) if error == rustix::io::Errno::NODATA => Ok(None),
        read => {
            value.truncate(read?);
            Ok(Some(value))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn extended_attributes_are_copied_by_descriptor() {
        let folder = std::env::temp_dir().join(format!("eic-agent-place-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (file, other) = (folder.join("file"), folder.join("other"));
        fs::write(&file, "old").unwrap();
        fs::write(&other, "other").unwrap();
        let held = File::open(&file).unwrap();
        // user::rw-, user:1:r--, group::r--, mask::r--, other::--- (linux/posix_acl_xattr.h)
        let entries =
            [(1_u16, 6_u16, u32::MAX), (2, 4, 1), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
        let entries = entries.iter().flat_map(|(tag, mode, id)| {
            [&tag.to_le_bytes()[..], &mode.to_le_bytes(), &id.to_le_bytes()].concat()
        });
        let acl: Vec<u8> = 2_u32.to_le_bytes().into_iter().chain(entries).collect();
        fsetxattr(&held, "system.posix_acl_access", &acl, XattrFlags::empty()).unwrap();
        let place = Place::unchecked(&file);
        // An attacker creates a link at the path of the temporary file, and replaces the original file.
        symlink(&other, place.beside()).unwrap();
        fs::rename(&other, &file).unwrap();
        place.write_temp(b"new", place.attributes().unwrap().unwrap()).unwrap();
        let made = File::open(place.beside()).unwrap();
        assert_eq!(attribute(&made, c"system.posix_acl_access").unwrap(), Some(acl));
        assert_eq!(fs::read(place.beside()).unwrap(), b"new");
        assert_eq!(fs::read(&file).unwrap(), b"other", "the link is replaced, not followed");
        let changed = place.put_in_place(place.content()).unwrap_err();
        assert!(changed.to_string().contains("another program changed it"), "{changed}");
        assert!(!place.beside().exists());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn file_that_other_users_can_change_is_refused() {
        let file = std::env::temp_dir().join(format!("eic-agent-place-{}.conf", std::process::id()));
        for there in [false, true] {
            if there {
                fs::write(&file, "").unwrap();
            }
            assert!(matches!(Place::find(&file), Err(PlaceError::Insecure(_))), "{there}");
        }
        fs::remove_file(file).unwrap();
        assert!(Place::find(Path::new("etc/passwd")).is_err());
        assert!(Place::find(Path::new("/etc/passwd")).unwrap().content().is_some());
    }
}
