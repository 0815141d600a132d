//! The changes that the demo makes to the machine, and their removal.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use eic_emulator::directory::{TempDir, random_hex};
use nix::unistd::{User, geteuid};

/// Candidate parents for the agent's directory. sshd refuses a command below a directory that another user may write.
const PLACES: [&str; 5] = ["/usr/local/libexec", "/usr/libexec", "/usr/lib", "/opt", "/var/lib"];

/// Fails without root. sshd changes users, and refuses a command that root does not own.
pub(crate) fn require_root() -> io::Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    Err(io::Error::other(
        "run the demo with sudo: its sshd changes to the user who logs in, and sshd runs an \
         AuthorizedKeysCommand only if root owns it",
    ))
}

/// Finds a program on PATH or in the directories for administration programs.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| is_executable(file))
}

/// Like [`find_program`], but fails if the program is missing.
pub(crate) fn require_program(name: &str) -> io::Result<PathBuf> {
    let missing = || io::Error::other(format!("{name} is not on this machine: install OpenSSH"));
    find_program(name).ok_or_else(missing)
}

/// A copy of the agent in a directory that sshd accepts.
pub(crate) struct InstalledAgent {
    /// Only root may write this directory and its ancestors. sshd and the agent trust the files in it.
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
}

impl InstalledAgent {
    pub(crate) fn copy(agent: &Path) -> io::Result<Self> {
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", agent.display()));
        if !is_executable(agent) {
            return Err(failed(io::Error::other("not an executable file")));
        }
        let directory = PLACES
            .iter()
            .map(Path::new)
            .filter(|place| only_root_writes(place))
            .find_map(|place| TempDir::new_in(place, "eic-demo").ok())
            .ok_or_else(|| {
                let places = PLACES.join(", ");
                io::Error::other(format!("found no directory that only root may write among {places}"))
            })?;
        let path = directory.path().join("eic-agent");
        std::fs::copy(agent, &path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(Self { directory, path })
    }
}

fn only_root_writes(directory: &Path) -> bool {
    directory.canonicalize().is_ok_and(|directory| {
        directory.ancestors().all(|part| {
            std::fs::metadata(part)
                .is_ok_and(|meta| meta.is_dir() && meta.uid() == 0 && meta.mode() & 0o022 == 0)
        })
    })
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
}

/// The user who logs in.
pub(crate) struct Login {
    pub(crate) name: String,
    /// Why the demo chose this user, for the screen.
    pub(crate) why: &'static str,
    /// The path of `userdel`, if the demo made the account and must remove it.
    temporary: Option<PathBuf>,
}

impl Login {
    /// Chooses the first user whom sshd accepts: the user who ran sudo, then root, then a temporary account.
    pub(crate) fn choose(home: &Path) -> io::Result<Self> {
        let behind_sudo = std::env::var("SUDO_USER").ok().filter(|name| name != "root");
        let found = |name: String, why| Self { name, why, temporary: None };
        if let Some(name) = behind_sudo.filter(|name| can_log_in(name)) {
            return Ok(found(name, "the user who ran sudo"));
        }
        if can_log_in("root") {
            return Ok(found("root".to_owned(), "the user who runs the demo"));
        }
        Self::create(home)
    }

    fn create(home: &Path) -> io::Result<Self> {
        let (Some(useradd), Some(userdel)) = (find_program("useradd"), find_program("userdel")) else {
            return Err(io::Error::other(
                "root's account is locked, and useradd is missing, so the demo has no user",
            ));
        };
        let name = format!("eic-demo-{}", random_hex(3));
        // The password field `*` matches no password but does not lock the account. sshd refuses locked accounts.
        let login =
            Self { name, why: "a temporary account, because root's is locked", temporary: Some(userdel) };
        let mut command = Command::new(useradd);
        command.args(["--system", "--no-create-home", "--password", "*", "--shell", "/bin/sh", "--home-dir"]);
        let made = whole(command.arg(home).arg(&login.name))?;
        if made.status.success() {
            return Ok(login);
        }
        Err(io::Error::other(format!("useradd: {}", String::from_utf8_lossy(&made.stderr).trim())))
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        if let Some(userdel) = &self.temporary {
            // useradd may have failed, so the account may not exist.
            let _ = whole(Command::new(userdel).arg(&self.name));
        }
    }
}

/// Runs a program in its own process group, so that Ctrl-C does not interrupt a change to the account database.
fn whole(command: &mut Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).process_group(0).output()
}

/// Whether sshd without PAM accepts this user: the account is not locked, and its shell runs commands.
fn can_log_in(name: &str) -> bool {
    let Ok(Some(user)) = User::from_name(name) else { return false };
    let refuses = user.shell.file_name().is_some_and(|shell| shell == "nologin" || shell == "false");
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap_or_default();
    let password = shadow.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    !refuses && is_executable(&user.shell) && password.is_some_and(|password| !password.starts_with('!'))
}
