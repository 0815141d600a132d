//! `memory`: whether a run uses what earlier runs remembered. Without a memory, each run requests everything.

use std::path::Path;

use eic_core::audit_line::IDENT;
use eic_host::instance::Machine;
use eic_login::config::Settings;
use eic_login::memory::{FOLDER, MemoryFault, MemoryState, NAME};
use nix::errno::Errno;

use super::check::{Check, CheckStatus};
use crate::run_memory::RunMemory;

const ID: &str = "memory";
pub(super) const MEMORY: &str =
    "with a memory, most runs request only the user's keys; logins do not need it";

/// Configuration files of systemd-tmpfiles(8) that make the folder, as packages and `make install` place them.
const TMPFILES: [&str; 3] = [
    "/etc/tmpfiles.d/eic-agent.conf",
    "/usr/local/lib/tmpfiles.d/eic-agent.conf",
    "/usr/lib/tmpfiles.d/eic-agent.conf",
];

/// The program that reads them.
const TMPFILES_PROGRAMS: [&str; 2] = ["/usr/bin/systemd-tmpfiles", "/bin/systemd-tmpfiles"];

/// Checks the memory of the user of a run, by name. Also returns whether a run that starts now would use remembered evidence. Call
/// this after root's rights were given up.
pub(super) fn check(settings: &Settings, machine: &Machine, user: Option<&str>) -> (Check, bool) {
    let memory = RunMemory::find(settings, machine, user);
    let seen = memory.seen();
    match memory {
        RunMemory::NoUser { is_known: true, .. } => (Check::ok(ID, MEMORY, seen), false),
        RunMemory::NoUser { is_known: false, .. } => (Check::skipped(ID, MEMORY, seen), false),
        RunMemory::State(MemoryState::Fault(fault)) => (of_fault(fault, seen), false),
        RunMemory::State(state) => {
            let is_used =
                matches!(state, MemoryState::Record { evidence: Some((kept, _)), .. } if kept.is_used);
            (Check::ok(ID, MEMORY, seen), is_used)
        }
    }
}

fn of_fault(fault: MemoryFault, seen: String) -> Check {
    let fix = match fault {
        MemoryFault::NoFolder => make_folder(),
        MemoryFault::NotAFolder => {
            format!("sudo sh -c 'rm {FOLDER} && {}'", make_folder().trim_start_matches("sudo "))
        }
        MemoryFault::FolderOwner(_) => {
            format!("sudo install -d -m 700 -o {IDENT} {FOLDER}")
        }
        MemoryFault::FolderMode(_) => format!("sudo chmod 700 {FOLDER}"),
        MemoryFault::FileIsFolder => format!("sudo rm -r {FOLDER}/{NAME}"),
        MemoryFault::Unfit(_) => return Check::ok(ID, MEMORY, seen),
        MemoryFault::Closed(Errno::EROFS) => "mount the file system of /run with the option rw".to_owned(),
        MemoryFault::Closed(_) => return Check::skipped(ID, MEMORY, seen),
    };
    Check::warn(ID, MEMORY, seen, fix)
}

/// The command that makes the folder.
///
/// Not `enable`: it would also change sshd's configuration if an operator wrote our line in another place.
fn make_folder() -> String {
    let exists = |paths: &[&str]| paths.iter().any(|path| Path::new(path).is_file());
    if exists(&TMPFILES) && exists(&TMPFILES_PROGRAMS) {
        return "sudo systemd-tmpfiles --create eic-agent.conf".to_owned();
    }
    format!("sudo install -d -m 700 -o {IDENT} {FOLDER}")
}

/// Marks failures of the evidence as uncertain: a run uses the remembered evidence until that is too old.
pub(super) fn doubt_failures(checks: &mut [Check]) {
    for check in checks.iter_mut().filter(|check| check.verdict == CheckStatus::Fail) {
        if ["region", "signer", "staples"].contains(&check.id) {
            check.is_open = true;
        }
    }
}
