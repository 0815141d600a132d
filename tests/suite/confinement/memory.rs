//! What a run can do with the open file of its memory. A run that an attacker took over must not fill the file system, and
//! must not wait for the lock.

use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;

use nix::fcntl::{FcntlArg, FlockArg, OFlag, fcntl};

use super::attempts::Tier::{Bounds, Filter};
use super::attempts::{Row, told};

/// More than a record, and less than a disk of any test machine.
const LARGE: u64 = 1 << 20;

pub(super) const ATTEMPTS: &[Row] = &[
    ("write the memory", &[], |scene| told(scene.memory.write_all_at(&[1; 4096], 0))),
    ("cut the memory", &[], |scene| told(scene.memory.set_len(100))),
    ("try the lock", &[], |scene| lock(&scene.memory, FlockArg::LockExclusiveNonblock)),
    ("write the memory far from its start", &[Filter, Bounds], |scene| {
        told(scene.memory.write_all_at(&[1; 4096], LARGE))
    }),
    ("write the memory very far from its start", &[Filter, Bounds], |scene| {
        told(scene.memory.write_all_at(&[1; 4096], 1 << 33))
    }),
    ("write much into the memory", &[Filter, Bounds], |scene| {
        told(scene.memory.write_all_at(&vec![1; 1 << 20], 0))
    }),
    ("lengthen the memory", &[Filter, Bounds], |scene| told(scene.memory.set_len(LARGE))),
    ("lengthen the memory very much", &[Filter, Bounds], |scene| told(scene.memory.set_len(1 << 33))),
    // The filter cannot tell one descriptor of write(2) from another.
    ("write on from the end of the memory", &[Bounds], |scene| {
        let mut memory = &scene.memory;
        told(memory.seek(SeekFrom::End(0)).and_then(|_| memory.write_all(&vec![1; 1 << 20])))
    }),
    ("seek and write", &[Bounds], |scene| {
        let mut memory = &scene.memory;
        told(memory.seek(SeekFrom::Start(LARGE)).and_then(|_| memory.write_all(&[1; 4096])))
    }),
    // With O_APPEND, Linux ignores the position of pwrite(2).
    ("append to the memory again and again", &[Bounds], |scene| {
        fcntl(&scene.memory, FcntlArg::F_SETFL(OFlag::O_APPEND)).map_err(|error| error.to_string())?;
        told((0..300).try_for_each(|_| scene.memory.write_all_at(&[1; 4096], 0)))
    }),
    ("write another file at a position", &[Filter], |scene| told(scene.another.write_all_at(&[1], 0))),
    ("cut another file", &[Filter], |scene| told(scene.another.set_len(0))),
    ("wait for the lock", &[Filter], |scene| lock(&scene.memory, FlockArg::LockExclusive)),
    ("share the lock", &[Filter], |scene| lock(&scene.memory, FlockArg::LockSharedNonblock)),
    ("lock another file", &[Filter], |scene| lock(&scene.another, FlockArg::LockExclusiveNonblock)),
];

#[allow(deprecated, reason = "the other function takes the file, and releases the lock")]
fn lock(file: &File, how: FlockArg) -> Result<(), String> {
    told(nix::fcntl::flock(file.as_raw_fd(), how))
}
