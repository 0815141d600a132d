//! `shell`: whether the user gets a session after sshd has accepted the key.

use std::path::Path;

use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::reach::{Reach, Subject, Use};
use eic_host::sshd::keyword::Keyword;

use super::check::Check;
use super::pam::{self, AccountStep};
use super::sshd::{Sshd, SshdUnavailable, shown_fix, then_reload};
use crate::sshd_setup::Fix;

pub(super) const SHELL: &str =
    "sshd refuses a user without a valid shell, and a shell such as nologin ends every session";

const SESSIONS: &str = "sshd accepts the key, but a login also needs a session";

const BLOCKED: &str = "while this file exists, only root may log in";

/// sshd's default of `MaxSessions`.
const USUAL_SESSIONS: &str = "10";

/// Shells that end every session at once.
const NO_SHELLS: [&str; 3] = ["nologin", "false", "true"];

/// Files that refuse all logins except root's: sshd's file, and those of `pam_nologin(8)`.
const NOLOGIN: &str = "/etc/nologin";
const PAM_NOLOGIN: [&str; 2] = ["/run/nologin", NOLOGIN];

/// A failure if sshd refuses every session.
fn sessions(sshd: &Result<Sshd, SshdUnavailable>) -> Option<Check> {
    const KEYWORD: Keyword = Keyword::MaxSessions;
    let sshd = sshd.as_ref().ok()?;
    let value = sshd.running.value(KEYWORD).filter(|value| *value == "0")?;
    let seen = format!("MaxSessions is 0{}: sshd refuses every session", sshd.place(KEYWORD, value));
    let then = then_reload(sshd);
    let fix = sshd
        .offer(KEYWORD, USUAL_SESSIONS)
        .map_or_else(|| format!("remove that line{then}"), |offer| format!("set {offer} there{then}"));
    Some(Check::fail("shell", SESSIONS, seen, fix))
}

/// The file that refuses all logins except root's. Without PAM, sshd looks for it itself (OpenSSH session.c,
/// `do_nologin`). With PAM, only the rules of the account step do.
fn nologin(
    sshd: &Result<Sshd, SshdUnavailable>,
    account: &Account,
    step: Option<&Result<AccountStep, String>>,
) -> Option<Check> {
    const ID: &str = "shell";
    let uses_pam = pam::is_used(sshd);
    let files = if uses_pam == Some(false) { &[NOLOGIN] } else { PAM_NOLOGIN.as_slice() };
    let file = files.iter().find(|file| account.uid != 0 && Path::new(file).exists())?;
    match step {
        Some(Ok(step)) if !step.is_refused_by_nologin() => return None,
        Some(Err(_)) | None if uses_pam == Some(true) => {
            let seen = format!(
                "{file} exists; run with sudo to see whether PAM's rules refuse a login because of it"
            );
            return Some(Check::skipped(ID, BLOCKED, seen));
        }
        _ => {}
    }
    let fix = format!("sudo rm {file}, unless the machine is starting or stopping");
    Some(Check::fail(ID, BLOCKED, format!("{file} blocks all users except root"), fix))
}

/// `shell`. `step` is PAM's account step, if sshd uses PAM.
pub(super) fn shell(
    sshd: &Result<Sshd, SshdUnavailable>,
    account: &Account,
    step: Option<&Result<AccountStep, String>>,
) -> Check {
    const ID: &str = "shell";
    let name = printable(&account.name, MAX_SHOWN);
    let running = sshd.as_ref().ok().map(|sshd| &sshd.running);
    if let Some(refused) = nologin(sshd, account, step) {
        return refused;
    }
    let setting = |keyword| running.and_then(|running| running.value(keyword));
    if let Some(root) = setting(Keyword::ChrootDirectory) {
        let seen = format!(
            "sessions run in ChrootDirectory {}; doctor does not check the shell there",
            printable(root, MAX_SHOWN)
        );
        return Check::skipped(ID, SHELL, seen);
    }
    if let Some(refused) = sessions(sshd) {
        return refused;
    }
    // passwd(5): an empty field means /bin/sh.
    let shell = if account.shell.is_empty() { "/bin/sh" } else { account.shell.as_str() };
    let shown = printable(shell, MAX_SHOWN);
    let other = format!("sudo usermod -s /bin/sh {name}");
    match std::fs::metadata(shell) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            return Check::skipped(ID, SHELL, format!("run with sudo to look at {shown}"));
        }
        Err(error) => return Check::fail(ID, SHELL, format!("the shell of {name}: {shown}: {error}"), other),
        Ok(status) => {
            use std::os::unix::fs::PermissionsExt as _;
            if !status.is_file() || status.permissions().mode() & 0o111 == 0 {
                return Check::fail(
                    ID,
                    SHELL,
                    format!("the shell of {name}, {shown}, is not an executable file"),
                    other,
                );
            }
        }
    }
    let reach = Subject::of(account).map(|subject| Reach::of(&subject, Path::new(shell), Use::Execute));
    match reach {
        Ok(Reach::No(obstacle)) => {
            let fix = shown_fix(Fix::of(&obstacle, "the shell"));
            return Check::fail(ID, SHELL, format!("the shell of {name}: {}", obstacle.seen()), fix);
        }
        Ok(Reach::Unknown(why)) | Err(why) => {
            return Check::skipped(
                ID,
                SHELL,
                format!("it is not known whether {name} can run {shown}: {why}"),
            );
        }
        Ok(Reach::Yes) => {}
    }
    let base = Path::new(shell).file_name().and_then(|base| base.to_str()).unwrap_or_default();
    // The internal SFTP server needs no shell.
    if NO_SHELLS.contains(&base)
        && !setting(Keyword::ForceCommand).is_some_and(|f| f.starts_with("internal-sftp"))
    {
        return Check::fail(ID, SHELL, format!("the shell of {name}, {shown}, ends every session"), other);
    }
    match setting(Keyword::ForceCommand).filter(|command| *command != "none") {
        None => Check::ok(ID, SHELL, shown),
        Some(command) => {
            let command = printable(command, MAX_SHOWN);
            let seen = format!(
                "{shown}; ForceCommand runs instead of every command: {command}; doctor does not check it"
            );
            Check::ok(ID, SHELL, seen).left_open()
        }
    }
}
