//! Follows a path as the kernel does, and reports the first place that stops it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, stat};
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};

use super::Subject;
use super::obstacle::{Allowed, EXECUTE, READ, allowed};
use crate::ownership::{Step, steps};

/// Maximum number of links in one path. This is the kernel's limit (`path_resolution(7)`).
const MAX_LINKS: usize = 40;

/// What a path is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Run the program. A script must also be readable.
    Execute,
    /// Read the file.
    Read,
    /// List the folder, and open files in it.
    List,
}

impl Use {
    /// The bits of one class that the file needs.
    const fn bits(self) -> u32 {
        match self {
            Self::Execute => EXECUTE,
            Self::Read => READ,
            Self::List => READ | EXECUTE,
        }
    }

    /// The word for the hidden subcommand.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Read => "read",
            Self::List => "list",
        }
    }

    /// Parses [`Self::word`].
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Execute, Self::Read, Self::List].into_iter().find(|need| need.word() == word)
    }
}

/// The place that stops the use of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// The bytes of the path, without links.
    place: Vec<u8>,
    /// The kernel's error.
    errno: i32,
    /// The mode bits of one class that the use needs there.
    pub(super) bits: u32,
}

impl Stop {
    fn new(place: &Path, errno: Errno, bits: u32) -> Self {
        Self { place: place.as_os_str().as_bytes().to_owned(), errno: errno as i32, bits }
    }

    pub(super) fn place(&self) -> PathBuf {
        PathBuf::from(OsString::from_vec(self.place.clone()))
    }

    pub(super) const fn errno(&self) -> Errno {
        Errno::from_raw(self.errno)
    }
}

/// Tries to use the path with the rights of this process.
pub fn try_path(path: &Path, need: Use) -> Result<(), Stop> {
    let Err(errno) = use_it(path, need) else { return Ok(()) };
    // The kernel does not tell where. Walk the same way to find the place.
    let found = follow(path, |_, _, _| Ok::<(), Stop>(()), |stop| stop)?;
    Err(Stop::new(&found.path, errno, need.bits()))
}

fn use_it(path: &Path, need: Use) -> Result<(), Errno> {
    // Do not wait for the writer of a FIFO.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let status = stat(path)?;
    match (need, kind(&status)) {
        (Use::List, SFlag::S_IFDIR) => {
            access(path, AccessFlags::X_OK)?;
            Dir::open(path, flags | OFlag::O_DIRECTORY, Mode::empty())?.iter().next().transpose().map(drop)
        }
        (Use::List, _) => Err(Errno::ENOTDIR),
        (_, SFlag::S_IFDIR) => Err(Errno::EISDIR),
        (Use::Execute, SFlag::S_IFREG) => access(path, AccessFlags::X_OK),
        (Use::Read, SFlag::S_IFREG) => {
            let mut file = File::from(open(path, flags, Mode::empty())?);
            // An error of the disk or of the file server shows only now.
            let read = file.read(&mut [0; 1]).map(drop);
            read.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
        }
        _ => Err(Errno::EINVAL),
    }
}

/// Computes whether `subject` can use the path. The error is the reason why this is unknown.
pub(super) fn compute(subject: &Subject, path: &Path, need: Use) -> Result<Result<(), Stop>, String> {
    enum Ended {
        Stopped(Stop),
        Unknown(String),
    }
    let judge = |place: &Path, status: &FileStat, bits: u32| match allowed(subject, place, status, bits) {
        Allowed::Yes => Ok(()),
        Allowed::No => Err(Ended::Stopped(Stop::new(place, Errno::EACCES, bits))),
        Allowed::Unknown(why) => Err(Ended::Unknown(why)),
    };
    // If this process may not look into a folder, it does not know whether the other user may.
    let unseen = |stop: Stop| match stop.errno() {
        Errno::EACCES | Errno::EPERM => {
            Ended::Unknown(format!("this user has no access to {}; run with sudo", stop.place().display()))
        }
        _ => Ended::Stopped(stop),
    };
    let judged = follow(path, judge, unseen).and_then(|found| {
        let stopped = |errno| Err(Ended::Stopped(Stop::new(&found.path, errno, 0)));
        match (need, kind(&found.status)) {
            (Use::List, SFlag::S_IFDIR) | (Use::Read | Use::Execute, SFlag::S_IFREG) => {
                judge(&found.path, &found.status, need.bits())
            }
            (Use::List, _) => stopped(Errno::ENOTDIR),
            (_, SFlag::S_IFDIR) => stopped(Errno::EISDIR),
            _ => stopped(Errno::EINVAL),
        }
    });
    match judged {
        Ok(()) => Ok(Ok(())),
        Err(Ended::Stopped(stop)) => Ok(Err(stop)),
        Err(Ended::Unknown(why)) => Err(why),
    }
}

/// The target of a path.
struct Target {
    fd: OwnedFd,
    /// Without links.
    path: PathBuf,
    status: FileStat,
}

/// Opened with `O_PATH`: this needs no right to the file itself.
const PATH: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

/// Follows an absolute path. Calls `judge` with each folder before a name is looked up in it, and with the bits that
/// the lookup needs. Converts the kernel's errors with `unseen`.
fn follow<E>(
    path: &Path,
    judge: impl Fn(&Path, &FileStat, u32) -> Result<(), E>,
    unseen: impl Fn(Stop) -> E,
) -> Result<Target, E> {
    let root = || -> Result<Target, E> {
        let stopped = |errno| unseen(Stop::new(Path::new("/"), errno, EXECUTE));
        let fd = open("/", PATH | OFlag::O_DIRECTORY, Mode::empty()).map_err(stopped)?;
        let status = fstat(fd.as_fd()).map_err(stopped)?;
        Ok(Target { fd, path: "/".into(), status })
    };
    let mut here = root()?;
    let mut links = MAX_LINKS;
    let mut ahead: VecDeque<_> = steps(path).collect();
    while let Some(step) = ahead.pop_front() {
        let (name, place) = match step {
            Step::Root => {
                here = root()?;
                continue;
            }
            Step::Up => (OsString::from(".."), here.path.parent().unwrap_or(&here.path).to_owned()),
            Step::Down(name) => {
                let place = here.path.join(&name);
                (name, place)
            }
        };
        if kind(&here.status) != SFlag::S_IFDIR {
            return Err(unseen(Stop::new(&here.path, Errno::ENOTDIR, 0)));
        }
        judge(&here.path, &here.status, EXECUTE)?;
        let fd = openat(here.fd.as_fd(), name.as_os_str(), PATH | OFlag::O_NOFOLLOW, Mode::empty());
        // The right to look a name up is a right to the folder.
        let fd = fd.map_err(|errno| match errno {
            Errno::EACCES => unseen(Stop::new(&here.path, errno, EXECUTE)),
            _ => unseen(Stop::new(&place, errno, 0)),
        })?;
        let status = fstat(fd.as_fd()).map_err(|errno| unseen(Stop::new(&place, errno, 0)))?;
        let next = Target { fd, path: place, status };
        if kind(&next.status) == SFlag::S_IFLNK {
            links = links.checked_sub(1).ok_or_else(|| unseen(Stop::new(path, Errno::ELOOP, 0)))?;
            let target = readlinkat(here.fd.as_fd(), name.as_os_str())
                .map_err(|errno| unseen(Stop::new(&next.path, errno, 0)))?;
            let target: Vec<_> = steps(Path::new(&target)).collect();
            target.into_iter().rev().for_each(|step| ahead.push_front(step));
        } else {
            here = next;
        }
    }
    Ok(here)
}

fn kind(status: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(status.st_mode) & SFlag::S_IFMT
}
