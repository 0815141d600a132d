//! The session wrapper (`[keys] session = "wrapper"`): whether a session of a user can have it, and the wrapper itself.
//!
//! | file | does |
//! | --- | --- |
//! | this one | decides for a login, as the agent's user, whether the key's line starts the wrapper |
//! | [`session`] | the wrapper, which sshd starts as the user |
//!
//! A session that sshd's settings or the account would let fail has no wrapper, and root's sessions never have it. The audit
//! line about the key then has the reason. If something about the machine is unknown, there is no wrapper.

pub mod session;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use eic_core::audit_line::IDENT;
use eic_core::identity::LoginName;
use eic_core::key_options::{SessionStart, SessionWrapper};
use eic_core::text::{MAX_SHOWN, printable};
use eic_host::accounts::Account;
use eic_host::ownership;
use eic_host::sshd::listener::Listener;
use eic_host::sshd::record::RecordError;
use eic_host::sshd::session::{PLACE, SessionRecord, sftp_server};

/// The shell of an account that names none (passwd(5)).
const DEFAULT_SHELL: &str = "/bin/sh";

/// Folders of login shells. A program elsewhere may be a restricted shell under a usual name.
const SHELL_FOLDERS: [&str; 3] = ["/bin", "/usr/bin", "/usr/local/bin"];

/// Login shells that can start the wrapper and that run a command with `-c`. Restricted shells (`rbash`, `git-shell`) refuse
/// to start a program by its path.
const SHELLS: [&str; 13] =
    ["sh", "ash", "dash", "bash", "zsh", "ksh", "ksh93", "mksh", "lksh", "yash", "fish", "tcsh", "csh"];

/// Programs that a link with the name of a shell can lead to, and that are no such shell.
const NO_SHELLS: [&str; 5] = ["rbash", "rksh", "rzsh", "git-shell", "nologin"];

/// Decides for a login that sshd asks about. The server above this process must have read the recorded files.
#[must_use]
pub fn of_login(user: &LoginName, audit_required: bool) -> SessionStart {
    let server = || match Listener::above() {
        Some(listener) if listener.is_clear => Ok(Some(listener)),
        Some(_) => Err("the command line of the running sshd cannot be split into words".to_owned()),
        None => Err("the running sshd is not known".to_owned()),
    };
    start(user, audit_required, server)
}

/// Decides for a command that a person runs. `server` is the server that accepts logins, if it is known.
#[must_use]
pub fn of_command(user: &LoginName, audit_required: bool, server: Option<&Listener>) -> SessionStart {
    start(user, audit_required, || match server {
        Some(listener) if !listener.is_clear => {
            Err("the command line of the running sshd cannot be split into words".to_owned())
        }
        server => Ok(server.cloned()),
    })
}

fn start(
    user: &LoginName,
    audit_required: bool,
    server: impl FnOnce() -> Result<Option<Listener>, String>,
) -> SessionStart {
    let wrapper = || {
        let program = own_program()?;
        let account = Account::find(user.as_str()).ok_or("the user is not in /etc/passwd")?;
        // With `PermitRootLogin forced-commands-only`, a key with the wrapper would open a root shell that the key alone does
        // not open. No file shows for certain what the running sshd has in memory.
        if account.uid == 0 {
            return Err("the user is root".to_owned());
        }
        let shell = shell_of(&account)?;
        sftp_server().ok_or("there is no sftp-server, which replaces internal-sftp")?;
        let facts =
            SessionRecord::facts(Path::new(PLACE), server()?.as_ref()).map_err(|error| unknown(&error))?;
        facts.hindrance(user.as_str()).map_or(Ok(()), Err)?;
        let program = program.to_str().ok_or("the path of the agent has unusual characters")?.to_owned();
        SessionWrapper::new(&program, user, &shell, audit_required)
            .ok_or_else(|| "the path of the agent or of the shell has unusual characters".to_owned())
    };
    match wrapper() {
        Ok(wrapper) => SessionStart::Wrapped(wrapper),
        Err(why) => SessionStart::NotWrapped(why),
    }
}

/// Why the record does not show what sshd does with sessions, and what to do.
#[must_use]
pub fn unknown(error: &RecordError) -> String {
    let remedy = match error {
        RecordError::NotRead(_) => crate::environment::RELOAD.to_owned(),
        error => crate::environment::remedy(error),
    };
    format!("it is not known what sshd does with sessions: {error}; {remedy}")
}

/// The path of this program, if sessions of every user can start it. Under another name it is no wrapper: Amazon's names
/// stand for `authorized-keys`. After an upgrade, the kernel adds `(deleted)` to the name.
fn own_program() -> Result<PathBuf, String> {
    let shown = |path: &Path| printable(&path.to_string_lossy(), MAX_SHOWN);
    let program =
        std::env::current_exe().map_err(|error| format!("the agent's program is unknown: {error}"))?;
    if program.file_name().is_none_or(|name| name != IDENT) {
        return Err(format!("the agent runs as {}, not under the name {IDENT}", shown(&program)));
    }
    let program = ownership::check(&program).map_err(|insecure| insecure.seen())?;
    match program.ancestors().find(|part| !others_can_execute(part)) {
        Some(part) => Err(format!("not every user can execute {}", shown(part))),
        None => Ok(program),
    }
}

/// Whether the mode lets other users execute the file, or search the folder.
fn others_can_execute(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|status| status.permissions().mode() & 0o001 != 0)
}

/// The login shell of the account, if the wrapper can be started from it.
fn shell_of(account: &Account) -> Result<String, String> {
    let shell = if account.shell.is_empty() { DEFAULT_SHELL } else { &account.shell };
    let refuse = |why: &str| Err(format!("the login shell {} {why}", printable(shell, MAX_SHOWN)));
    let path = Path::new(shell);
    let folder = path.parent().and_then(Path::to_str).unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if !SHELL_FOLDERS.contains(&folder) || !SHELLS.contains(&name) {
        return refuse("is not one that the agent knows");
    }
    let Ok(real) = path.canonicalize() else { return refuse("does not exist") };
    if real.file_name().and_then(|name| name.to_str()).is_none_or(|name| NO_SHELLS.contains(&name)) {
        return refuse("leads to one that cannot start the wrapper");
    }
    if real.is_file() && others_can_execute(&real) {
        Ok(shell.to_owned())
    } else {
        refuse("cannot be executed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_shells_start_the_wrapper() {
        let shell = |shell: &str| {
            let account = Account {
                uid: 1000,
                gid: 1000,
                name: "u".to_owned(),
                home: "/".to_owned(),
                shell: shell.to_owned(),
            };
            shell_of(&account).map_err(|why| why.split_once(' ').unwrap().1.to_owned())
        };
        assert_eq!(shell("").as_deref(), Ok("/bin/sh"));
        assert_eq!(shell("/bin/sh").as_deref(), Ok("/bin/sh"));
        for bad in [
            "/sbin/nologin",
            "/usr/sbin/nologin",
            "/bin/false",
            "/bin/rbash",
            "/usr/bin/git-shell",
            "/home/u/bash",
            "/opt/a b/bash",
            "bash",
            "/usr/bin/../bin/bash",
            "/usr/local/bin/yash",
            "/bin/bash -r",
        ] {
            assert!(shell(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn program_of_another_name_is_no_wrapper() {
        let why = own_program().unwrap_err();
        assert!(why.contains("not under the name eic-agent"), "{why}");
    }
}
