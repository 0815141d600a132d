//! Follows a path one name at a time. Each folder is checked before the next name is looked up in it.
//!
//! sshd resolves the path first and then checks the folders of the result (OpenSSH misc.c, `safe_path`). This walk
//! also checks the folders that contain the links, because their owners decide where the path leads. Every check
//! uses a descriptor, and the next step uses the same descriptor. So no file can be exchanged between check and
//! use.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};

use super::{GROUP_WRITABLE, Insecure, STICKY, WRITABLE};

/// Maximum number of links in one path. This is the kernel's limit (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// The folders that a path may lead through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FolderRule {
    /// Folders that only root can change.
    Roots,
    /// Also folders of root that a group can write, if they have the sticky bit. Only root can remove or replace
    /// root's files there (`inode(7)`). Files of other users there are refused.
    OrSticky,
}

/// A folder that only root can change, like every folder above it. With `FolderRule::OrSticky`, others may add
/// files, but only root can change root's files.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    rule: FolderRule,
}

/// The target of a path, in a folder that only root can change. If the target is a folder or a regular file, it also
/// belongs to root.
#[derive(Debug)]
pub(super) enum ResolvedPath {
    Folder(Folder),
    /// A file of any other kind: its folder, its name, and whether it is a regular file.
    File(Folder, OsString, bool),
}

impl ResolvedPath {
    /// Follows an absolute path.
    pub(super) fn at(path: &Path) -> Result<Self, Insecure> {
        Self::by(FolderRule::Roots, path)
    }

    fn by(rule: FolderRule, path: &Path) -> Result<Self, Insecure> {
        if !path.is_absolute() {
            return Err(Insecure::NotAbsolute(path.to_owned()));
        }
        // The walk begins at the root.
        Folder::root(rule)?.follow(path.strip_prefix("/").unwrap_or(path))
    }

    /// The path without links.
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.path.clone(),
            Self::File(folder, name, _) => folder.path.join(name),
        }
    }

    /// Opens a regular file for reading. The open never blocks, even if the file was replaced with a pipe.
    fn open_regular(self) -> Result<File, Insecure> {
        let path = self.path();
        let Self::File(folder, name, true) = self else { return Err(Insecure::NotAFile(path)) };
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let fd = folder.at_name(&name, flags)?;
        let status = fstat(fd.as_fd()).map_err(|error| unreadable(&path, error))?;
        check(&path, &status)?;
        if kind(&status) == SFlag::S_IFREG { Ok(File::from(fd)) } else { Err(Insecure::NotAFile(path)) }
    }
}

impl Folder {
    /// Opens a folder. Follows links.
    pub fn open(path: &Path) -> Result<Self, Insecure> {
        match ResolvedPath::at(path)? {
            ResolvedPath::Folder(folder) => Ok(folder),
            ResolvedPath::File(..) => Err(unreadable(path, Errno::ENOTDIR)),
        }
    }

    /// Opens a regular file of this folder for reading. Follows a link.
    pub(crate) fn open_file(&self, name: &OsStr) -> Result<File, Insecure> {
        self.again()?.follow(Path::new(name))?.open_regular()
    }

    /// At most `limit` names in this folder, in the kernel's order.
    pub fn names(&self, limit: usize) -> io::Result<Vec<OsString>> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut listing = Dir::openat(self.fd.as_fd(), ".", flags, Mode::empty())?;
        let mut names = Vec::new();
        for entry in listing.iter().take(limit) {
            names.push(OsStr::from_bytes(entry?.file_name().to_bytes()).to_owned());
        }
        Ok(names)
    }

    /// The path of the folder, without links.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor of the folder, open for reading and syncing.
    pub fn descriptor(&self) -> Result<File, Insecure> {
        self.at_name(OsStr::new("."), OFlag::O_RDONLY | OFlag::O_DIRECTORY).map(File::from)
    }

    fn root(rule: FolderRule) -> Result<Self, Insecure> {
        let path = PathBuf::from("/");
        let fd = open("/", FOLDER, Mode::empty()).map_err(|error| unreadable(&path, error))?;
        Self { fd, path, rule }.checked()
    }

    fn again(&self) -> Result<Self, Insecure> {
        let fd = self.fd.try_clone().map_err(|error| Insecure::Unreadable(self.path.clone(), error))?;
        Ok(Self { fd, path: self.path.clone(), rule: self.rule })
    }

    fn checked(self) -> Result<Self, Insecure> {
        let status = fstat(self.fd.as_fd()).map_err(|error| unreadable(&self.path, error))?;
        check_folder(&self.path, &status, self.rule)?;
        Ok(self)
    }

    fn at_name(&self, name: &OsStr, flags: OFlag) -> Result<OwnedFd, Insecure> {
        openat(self.fd.as_fd(), name, flags | OFlag::O_CLOEXEC, Mode::empty())
            .map_err(|error| unreadable(&self.path.join(name), error))
    }

    fn follow(self, path: &Path) -> Result<ResolvedPath, Insecure> {
        let rule = self.rule;
        let mut here = self;
        let mut links = MAX_LINKS;
        let mut ahead: VecDeque<_> = steps(path).collect();
        while let Some(step) = ahead.pop_front() {
            let name = match step {
                Step::Root => {
                    here = Self::root(rule)?;
                    continue;
                }
                Step::Up => {
                    let fd = here.at_name(OsStr::new(".."), FOLDER)?;
                    let path = here.path.parent().map_or_else(|| here.path.clone(), Path::to_owned);
                    here = Self { fd, path, rule }.checked()?;
                    continue;
                }
                Step::Down(name) => name,
            };
            let path = here.path.join(&name);
            let fd = here.at_name(&name, OFlag::O_PATH | OFlag::O_NOFOLLOW)?;
            let status = fstat(fd.as_fd()).map_err(|error| unreadable(&path, error))?;
            if rule == FolderRule::OrSticky {
                // Check a link too: in a sticky folder, it may belong to another user.
                check_owner(&path, &status)?;
            }
            match kind(&status) {
                SFlag::S_IFLNK => {
                    links = links.checked_sub(1).ok_or_else(|| unreadable(&path, Errno::ELOOP))?;
                    // Only root could have replaced the link in the meantime: it is in a folder of root, and if
                    // others can write there, root owns the link.
                    let target = readlinkat(here.fd.as_fd(), name.as_os_str())
                        .map_err(|error| unreadable(&path, error))?;
                    let target: Vec<_> = steps(Path::new(&target)).collect();
                    target.into_iter().rev().for_each(|step| ahead.push_front(step));
                }
                SFlag::S_IFDIR => {
                    check_folder(&path, &status, rule)?;
                    here = Self { fd, path, rule };
                }
                _ if !ahead.is_empty() => return Err(unreadable(&path, Errno::ENOTDIR)),
                SFlag::S_IFREG => {
                    check(&path, &status)?;
                    return Ok(ResolvedPath::File(here, name, true));
                }
                // The agent does not use such a file, so its permissions do not matter.
                _ => return Ok(ResolvedPath::File(here, name, false)),
            }
        }
        Ok(ResolvedPath::Folder(here))
    }
}

/// Opens a regular file for reading, if only root can change the file and every folder on its path. Follows links.
pub fn open_trusted(path: &Path) -> Result<File, Insecure> {
    ResolvedPath::at(path)?.open_regular()
}

/// The same for a distribution's own file. Its path may contain a sticky folder of root that a group can write:
/// NixOS keeps all of its files in one (`/nix/store`).
pub(crate) fn open_of_distribution(path: &Path) -> Result<File, Insecure> {
    ResolvedPath::by(FolderRule::OrSticky, path)?.open_regular()
}

/// The folder and the name of a regular file after links are followed. Both satisfy the rule of [`open_trusted`].
pub(crate) fn locate(path: &Path) -> Result<(Folder, OsString), Insecure> {
    match ResolvedPath::at(path)? {
        ResolvedPath::File(folder, name, true) => Ok((folder, name)),
        found => Err(Insecure::NotAFile(found.path())),
    }
}

/// Open folders with `O_PATH`: passing through a folder needs no right to list it.
const FOLDER: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// One step of a path.
pub(crate) enum Step {
    Root,
    Up,
    Down(OsString),
}

pub(crate) fn steps(path: &Path) -> impl Iterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::RootDir => Some(Step::Root),
        Component::ParentDir => Some(Step::Up),
        Component::Normal(name) => Some(Step::Down(name.to_owned())),
        Component::CurDir | Component::Prefix(_) => None,
    })
}

fn kind(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT
}

fn check_owner(path: &Path, status: &FileStat) -> Result<(), Insecure> {
    if status.st_uid == 0 { Ok(()) } else { Err(Insecure::Owner(path.to_owned(), status.st_uid)) }
}

fn check_folder(path: &Path, status: &FileStat, rule: FolderRule) -> Result<(), Insecure> {
    let shared = status.st_mode & (STICKY | WRITABLE);
    if rule == FolderRule::OrSticky && shared == STICKY | GROUP_WRITABLE {
        return check_owner(path, status);
    }
    check(path, status)
}

fn check(path: &Path, status: &FileStat) -> Result<(), Insecure> {
    check_owner(path, status)?;
    if status.st_mode & WRITABLE != 0 {
        return Err(Insecure::Writable(path.to_owned(), status.st_mode & 0o7777));
    }
    Ok(())
}

fn unreadable(path: &Path, error: Errno) -> Insecure {
    Insecure::Unreadable(path.to_owned(), error.into())
}
