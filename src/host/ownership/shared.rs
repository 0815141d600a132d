//! Folders whose mode must not be changed for the sake of one program.

use std::path::Path;

use super::{STICKY, WRITABLE};

/// Folders that belong to all users or programs. A change of their mode breaks other programs.
const SHARED: [&str; 9] =
    ["/", "/home", "/tmp", "/var/tmp", "/dev", "/dev/shm", "/run", "/run/lock", "/proc"];

/// Folders of the system that only root changes. They are not shared, even if one has the sticky bit and a group may
/// write it.
const SYSTEM: [&str; 11] = [
    "/usr",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/libexec",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/sbin",
    "/etc",
    "/bin",
    "/sbin",
];

/// Whether many users or programs share this folder, so that its mode must not change for one program.
#[must_use]
pub(crate) fn is_shared(path: &Path, mode: u32) -> bool {
    let is = |list: &[&str]| list.iter().any(|folder| path == Path::new(folder));
    is(&SHARED) || (mode & STICKY != 0 && mode & WRITABLE != 0 && !is(&SYSTEM))
}
