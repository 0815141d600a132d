//! The folder in which runs remember evidence. At each start of a machine with the package, systemd-tmpfiles(8) makes it.
//! `enable` makes it for machines on which nothing else does.

use std::fs::{DirBuilder, File, Permissions, remove_dir};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, fchown};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use eic_core::audit_line::IDENT;
use eic_host::accounts::Account;
use eic_host::ownership;
use eic_host::process::output_with_timeout;
use eic_login::memory::{FOLDER, NAME};
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Only its owner may enter it.
const MODE: u32 = 0o700;

/// Exists if the kernel has `SELinux`.
const SELINUX: &str = "/sys/fs/selinux/enforce";

/// Timeout of restorecon(8).
const TIMEOUT: Duration = Duration::from_secs(15);

/// Makes the folder, or corrects its owner and its mode. Returns what it did, for the operator. Does nothing without the
/// agent's own user: another user has no memory.
pub(super) fn make() -> Result<Option<String>, String> {
    let Some(user) = Account::find(IDENT).filter(|user| user.uid != 0) else { return Ok(None) };
    let fault = |error: io::Error| format!("{FOLDER}: {error}; without it, each run requests everything");
    // If another user could replace the folder, this would change the owner of a folder that this user chooses.
    let above = Path::new(FOLDER).parent().unwrap_or(Path::new("/"));
    ownership::check_folder(above).map_err(|insecure| format!("{FOLDER}: {}", insecure.seen()))?;
    let is_new = match DirBuilder::new().mode(MODE).create(FOLDER) {
        Ok(()) => true,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
        Err(error) => return Err(fault(error)),
    };
    let folder = open_folder().map_err(fault)?;
    let found = folder.metadata().map_err(fault)?;
    let is_right = (found.uid(), found.mode() & 0o7777) == (user.uid, MODE);
    if is_new || !is_right {
        fchown(&folder, Some(user.uid), Some(user.gid)).map_err(fault)?;
        folder.set_permissions(Permissions::from_mode(MODE)).map_err(fault)?;
    }
    label();
    Ok(match (is_new, is_right) {
        (true, _) => Some(format!("made {FOLDER}, in which runs of the agent remember evidence")),
        (false, false) => Some(format!("corrected owner and mode of {FOLDER}")),
        (false, true) => None,
    })
}

/// Removes the file and the folder. The file holds a token of the metadata service, which nothing needs any more.
pub(super) fn remove() -> io::Result<()> {
    let folder = match open_folder() {
        Ok(folder) => folder,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let _ = unlinkat(&folder, NAME, UnlinkatFlags::NoRemoveDir);
    remove_dir(FOLDER)
}

fn open_folder() -> io::Result<File> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    Ok(open(FOLDER, flags, Mode::empty())?.into())
}

/// Gives the folder the label of the policy. Without it, an enforcing `SELinux` lets no run write there. A new file in the
/// folder gets the folder's label. What is in the folder already is not relabelled, because its owner could exchange it for a
/// link at the same time.
fn label() {
    if Path::new(SELINUX).exists() {
        let _ = output_with_timeout(Command::new("restorecon").arg(FOLDER), TIMEOUT);
    }
}
