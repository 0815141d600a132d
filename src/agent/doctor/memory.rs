//! `memory`: whether a run uses what earlier runs remembered. Without a memory, each run requests everything.

use std::path::Path;
use std::time::Duration;

use eic_core::audit_line::IDENT;
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::instance::Machine;
use eic_login::config::Settings;
use eic_login::memory::{FOLDER, Kept, MemoryFault, MemoryState, NAME, inspect};
use nix::errno::Errno;
use nix::unistd::Uid;

use super::check::{Check, CheckStatus};
use super::service::Runs;

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

/// Checks the memory of the user of a run. Also returns whether a run that starts now would use remembered evidence. Call
/// this after root's rights were given up.
pub(super) fn check(settings: &Settings, machine: &Machine, runs: &Runs) -> (Check, bool) {
    if settings.remember.value.is_zero() {
        return (Check::ok(ID, MEMORY, "none: [imds] remember is 0"), false);
    }
    // A run as root becomes the agent's own user.
    let name = runs.name.as_deref().filter(|name| *name != "root").unwrap_or(IDENT);
    let shown = printable(name, MAX_SHOWN);
    if name.contains('%') {
        let seen = format!("sshd runs the agent as {shown}, which depends on the login");
        return (Check::skipped(ID, MEMORY, seen), false);
    }
    let user = match Account::look_up(name) {
        Ok(Some(user)) => user.uid,
        Ok(None) => {
            let seen = format!("none: there is no user {shown}");
            return (Check::skipped(ID, MEMORY, seen), false);
        }
        Err(why) => return (Check::skipped(ID, MEMORY, why), false),
    };
    let times = (settings.remember.value, settings.timeout.value);
    let state = inspect(Path::new(FOLDER), Uid::from_raw(user), machine, &settings.endpoints(), times);
    let is_used = matches!(&state, MemoryState::Record { evidence: Some((kept, _)), .. } if kept.is_used);
    let is_theirs = !matches!(state, MemoryState::Fault(MemoryFault::NoFolder | MemoryFault::FolderOwner(_)));
    if name != IDENT && !is_theirs {
        let seen = format!("none: sshd runs the agent as {shown}, and only {IDENT} has a memory");
        return (Check::ok(ID, MEMORY, seen), false);
    }
    (of_state(state, times.0), is_used)
}

fn of_state(state: MemoryState, remember: Duration) -> Check {
    let seen = match state {
        MemoryState::Off => "none: [imds] remember is 0".to_owned(),
        MemoryState::Fault(fault) => return of_fault(fault),
        MemoryState::UnknownBoot => "none: the kernel does not show its boot id".to_owned(),
        MemoryState::Empty => format!("nothing is remembered yet in {FOLDER}"),
        MemoryState::Torn => "the file holds no whole record; the next run replaces it".to_owned(),
        MemoryState::Foreign => "what was remembered is of another version, start of the machine, instance or address; the next run replaces it".to_owned(),
        MemoryState::Record { token, evidence } => {
            let evidence = evidence.map(|(kept, _)| kept);
            let parts = [part("the signer's evidence", evidence), part("the token", token)];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            let limit = format!("[imds] remember = {}", remember.as_secs());
            let used = [evidence, token].into_iter().flatten().any(|kept| kept.is_used);
            if used { format!("in use: {} ({limit})", parts.join(", ")) } else { format!("too old, so the next run requests everything: {} ({limit})", parts.join(", ")) }
        }
    };
    Check::ok(ID, MEMORY, seen)
}

fn part(what: &str, kept: Option<Kept>) -> Option<String> {
    let Kept { age, is_used } = kept?;
    let age = age.map_or_else(
        || "from before the clock was set back".to_owned(),
        |age| format!("{} s old", age.as_secs()),
    );
    let unused = if is_used { "" } else { " (not used)" };
    Some(format!("{what}, {age}{unused}"))
}

fn of_fault(fault: MemoryFault) -> Check {
    let file = format!("{FOLDER}/{NAME}");
    let (seen, fix) = match fault {
        MemoryFault::NoFolder => (format!("none: there is no folder {FOLDER}"), make_folder("")),
        MemoryFault::NotAFolder => {
            (format!("none: {FOLDER} is not a folder"), make_folder(&format!("sudo rm {FOLDER}")))
        }
        MemoryFault::FolderOwner(uid) => (
            format!("none: {FOLDER} belongs to the user with the number {uid}, not to {IDENT}"),
            format!("sudo chown {IDENT} {FOLDER} && sudo chmod 700 {FOLDER}"),
        ),
        MemoryFault::FolderMode(mode) => (
            format!("none: other users have rights to {FOLDER} (mode {mode:04o})"),
            format!("sudo chmod 700 {FOLDER}"),
        ),
        MemoryFault::FileIsFolder => {
            (format!("none: {file} is a folder, which a run does not remove"), format!("sudo rm -r {file}"))
        }
        MemoryFault::Unfit(why) => {
            return Check::ok(ID, MEMORY, format!("none for the next run, which removes {file}: {why}"));
        }
        MemoryFault::Closed(Errno::EROFS) => (
            format!("none: {FOLDER} is read-only"),
            "mount the file system of /run so that it can be written".to_owned(),
        ),
        MemoryFault::Closed(Errno::EACCES)
            if Account::find(IDENT).is_none_or(|user| user.uid != Uid::effective().as_raw()) =>
        {
            return Check::skipped(ID, MEMORY, "run with sudo to see what runs remember");
        }
        MemoryFault::Closed(error) => {
            return Check::skipped(ID, MEMORY, format!("{file} cannot be opened: {}", error.desc()));
        }
    };
    Check::warn(ID, MEMORY, format!("{seen}, so each run requests everything"), fix)
}

/// The command that makes the folder, after another command.
///
/// Not `enable`: it would also change sshd's configuration if an operator wrote our line in another place.
fn make_folder(first: &str) -> String {
    let exists = |paths: &[&str]| paths.iter().any(|path| Path::new(path).is_file());
    let first = if first.is_empty() { String::new() } else { format!("{first} && ") };
    if exists(&TMPFILES) && exists(&TMPFILES_PROGRAMS) {
        return format!("{first}sudo systemd-tmpfiles --create eic-agent.conf");
    }
    format!("{first}sudo install -d -m 700 -o {IDENT} {FOLDER}")
}

/// Leaves failures of the evidence open. Until it is too old, a run uses the remembered evidence instead.
pub(super) fn doubt_failures(checks: &mut [Check]) {
    for check in checks.iter_mut().filter(|check| check.verdict == CheckStatus::Fail) {
        if ["region", "signer", "staples"].contains(&check.id) {
            check.is_open = true;
        }
    }
}
