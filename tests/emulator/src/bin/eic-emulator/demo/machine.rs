//! What the demo needs of the machine that it runs on, and puts back afterwards.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use eic_emulator::directory::{TempDir, random_hex};
use nix::unistd::{User, geteuid};

/// Where a directory for the agent may go. sshd refuses a command below anything that another user may write.
const PLACES: [&str; 5] = ["/usr/local/libexec", "/usr/libexec", "/usr/lib", "/opt", "/var/lib"];

/// sshd changes users, and runs nothing that does not belong to root.
pub(crate) fn require_root() -> io::Result<()> {
    if geteuid().is_root() {
        return Ok(());
    }
    Err(io::Error::other(
        "the demo has to run as root, since its sshd changes to the user who logs in and runs an \
         AuthorizedKeysCommand only when it belongs to root: run it with sudo",
    ))
}

/// Finds a program on PATH or where administrators' programs are.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"].map(PathBuf::from))
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|file| is_executable(file))
}

/// The same, where it must be there.
pub(crate) fn require_program(name: &str) -> io::Result<PathBuf> {
    let missing = || io::Error::other(format!("{name} is not on this machine: install OpenSSH"));
    find_program(name).ok_or_else(missing)
}

/// The agent in a directory that sshd accepts.
pub(crate) struct InstalledAgent {
    /// Root's alone, like all folders above it: sshd and the agent trust what is in it.
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
                io::Error::other(format!("none of {places} is a directory that root alone may write"))
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

/// Who logs in.
pub(crate) struct Login {
    pub(crate) name: String,
    /// Why this one, for the screen.
    pub(crate) why: &'static str,
    /// How to remove the account, where the demo made it.
    temporary: Option<PathBuf>,
}

impl Login {
    /// The user behind sudo, else root, else an account for the time of the demo: the first that sshd lets in.
    pub(crate) fn choose(home: &Path) -> io::Result<Self> {
        let behind_sudo = std::env::var("SUDO_USER").ok().filter(|name| name != "root");
        let found = |name: String, why| Self { name, why, temporary: None };
        if let Some(name) = behind_sudo.filter(|name| can_log_in(name)) {
            return Ok(found(name, "the user behind sudo"));
        }
        if can_log_in("root") {
            return Ok(found("root".to_owned(), "the one who runs the demo"));
        }
        Self::create(home)
    }

    fn create(home: &Path) -> io::Result<Self> {
        let (Some(useradd), Some(userdel)) = (find_program("useradd"), find_program("userdel")) else {
            return Err(io::Error::other(
                "root's account is locked here, and there is no useradd to make another",
            ));
        };
        let name = format!("eic-demo-{}", random_hex(3));
        // Not locked, and no password matches: what sshd wants of an account that has only keys.
        let login =
            Self { name, why: "an account for this demo, since root's is locked", temporary: Some(userdel) };
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
            // The account may not have come to be.
            let _ = whole(Command::new(userdel).arg(&self.name));
        }
    }
}

/// Runs a program that must not be cut short, out of Ctrl-C's reach: it has the machine's accounts in hand.
fn whole(command: &mut Command) -> io::Result<Output> {
    command.stdin(Stdio::null()).process_group(0).output()
}

/// Whether sshd without PAM lets this user in: not locked, and with a shell that runs commands.
fn can_log_in(name: &str) -> bool {
    let Ok(Some(user)) = User::from_name(name) else { return false };
    let refuses = user.shell.file_name().is_some_and(|shell| shell == "nologin" || shell == "false");
    let shadow = std::fs::read_to_string("/etc/shadow").unwrap_or_default();
    let password = shadow.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    !refuses && is_executable(&user.shell) && password.is_some_and(|password| !password.starts_with('!'))
}
