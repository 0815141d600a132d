//! systemd units. If sshd runs as a unit, the agent reloads it: a reload keeps every session. The agent does not start
//! a server that is not running. It restarts sshd only if a systemd socket holds the port.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eic_core::text::{MAX_SHOWN, printable_bytes};

use crate::files::read_regular;
use crate::process::output_with_timeout;
use crate::sshd::command::is_amazons;
use crate::sshd::keyword::Keyword;
use crate::sshd::place::MAX_BYTES;

/// sshd's unit: the name on Debian and Ubuntu, and the name elsewhere. If both exist, one is an alias of the other.
const SSHD_UNITS: [&str; 2] = ["ssh.service", "sshd.service"];

/// The socket unit that starts sshd at the first connection.
const SSHD_SOCKETS: [&str; 2] = ["ssh.socket", "sshd.socket"];

/// The agent's own unit. `systemctl status` shows there whether sshd uses the agent.
pub const OWN_UNIT: &str = "eic-agent.service";

/// Folders of units. The first folder with a file of that name has priority.
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Files in which distributions keep arguments for sshd.
const ENVIRONMENT_FILES: [&str; 3] = ["/etc/default/ssh", "/etc/sysconfig/sshd", "/etc/default/sshd"];

/// Time limit for a change by systemctl.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Time limit for a query by systemctl.
const SHOW_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether systemd is this system's init and runs (`sd_booted(3)`).
#[must_use]
pub fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Reloads sshd if it runs as a unit. Returns a description of what was done.
///
/// With socket activation, a server that was started for a connection also runs as sshd's unit. A server that does not run
/// yet reads the new configuration when it starts. On Debian 12, sshd loses the socket after a reload and ends. So
/// a server with a socket is restarted. Sessions survive the restart (`KillMode=process`), and the socket loses no
/// connection.
pub fn reload_sshd() -> Result<Option<String>, String> {
    if !systemd_runs() {
        return Ok(None);
    }
    let Some(unit) = first_active(SSHD_UNITS)? else { return Ok(None) };
    let (verb, done) = match first_active(SSHD_SOCKETS)? {
        Some(socket) => ("restart", format!("restarted {unit}, for {socket}")),
        None => ("reload", format!("reloaded {unit}")),
    };
    systemctl(&[verb, unit]).map(|()| Some(done))
}

/// Whether a socket of systemd's starts sshd.
#[must_use]
pub fn has_socket() -> bool {
    systemd_runs() && first_active(SSHD_SOCKETS).is_ok_and(|socket| socket.is_some())
}

/// The main process of sshd's unit.
#[must_use]
pub fn sshd_pid() -> Option<u32> {
    if !systemd_runs() {
        return None;
    }
    SSHD_UNITS.iter().find_map(|unit| {
        let mut program = Command::new("systemctl");
        let said =
            output_with_timeout(program.args(["show", "--property", "MainPID", unit]), SHOW_TIMEOUT).ok()?;
        let text = String::from_utf8_lossy(&said.stdout).into_owned();
        text.trim().strip_prefix("MainPID=")?.parse().ok().filter(|pid| *pid != 0)
    })
}

/// The first of these units that is active.
fn first_active(units: [&'static str; 2]) -> Result<Option<&'static str>, String> {
    for unit in units {
        if is_active(unit)? {
            return Ok(Some(unit));
        }
    }
    Ok(None)
}

/// Whether a unit is active. systemctl(1) exits with 3 if the unit is inactive and with 4 if it does not exist.
fn is_active(unit: &str) -> Result<bool, String> {
    let arguments = ["is-active", "--quiet", unit];
    match output_with_timeout(Command::new("systemctl").args(arguments), TIMEOUT) {
        Ok(said) if said.status.success() => Ok(true),
        Ok(said) if matches!(said.status.code(), Some(3 | 4)) => Ok(false),
        Ok(said) => Err(format!("systemctl {}: {}", arguments.join(" "), said.status)),
        Err(error) => Err(format!("systemctl {}: {error}", arguments.join(" "))),
    }
}

/// Enables the agent's own unit, and restarts it if systemd runs. Returns whether the unit exists.
pub fn start_own() -> Result<bool, String> {
    if !own_unit_is_there() {
        return Ok(false);
    }
    systemctl(&["enable", "--quiet", OWN_UNIT])?;
    if systemd_runs() {
        // Restart, because the unit stays active with the result of its last run.
        systemctl(&["restart", "--no-block", OWN_UNIT])?;
    }
    Ok(true)
}

/// Disables and stops the agent's own unit.
pub fn stop_own() -> Result<(), String> {
    if !own_unit_is_there() {
        return Ok(());
    }
    systemctl(&["disable", "--quiet", OWN_UNIT])?;
    if systemd_runs() {
        systemctl(&["stop", "--no-block", OWN_UNIT])?;
    }
    Ok(())
}

/// Files that set `AuthorizedKeysCommand` on the command line of sshd's unit. From the next start on, such a
/// setting overrides every configuration file.
#[must_use]
pub fn overrides() -> Vec<PathBuf> {
    let files = unit_files().into_iter().chain(ENVIRONMENT_FILES.iter().map(PathBuf::from));
    let contents: Vec<_> = files
        .map(|file| {
            let content = read_unit_file(&file).ok().flatten().unwrap_or_default();
            (file, String::from_utf8_lossy(&content).replace("\\\n", " "))
        })
        .collect();
    let sets = |line: &str| Keyword::AuthorizedKeysCommand.is_in(line.as_bytes());
    // The last ExecStart is effective. An empty ExecStart clears the ones before it.
    let mut starts: Option<(&Path, bool)> = None;
    let mut found: Vec<&Path> = Vec::new();
    for (file, content) in &contents {
        for line in content.lines().map(str::trim) {
            match line.strip_prefix("ExecStart").and_then(|rest| rest.trim_start().strip_prefix('=')) {
                Some(value) if value.trim().is_empty() => starts = None,
                Some(value) => starts = Some((file, sets(value))),
                None if !line.starts_with(['#', ';']) && sets(line) && !found.contains(&file.as_path()) => {
                    found.push(file);
                }
                None => {}
            }
        }
    }
    let start = starts.and_then(|(file, sets)| sets.then_some(file));
    start
        .into_iter()
        .chain(found.into_iter().filter(|file| Some(*file) != start))
        .map(Path::to_owned)
        .collect()
}

/// Whether a file of [`overrides`] sets Amazon's own command.
#[must_use]
pub fn starts_amazons(file: &Path) -> bool {
    let content = read_unit_file(file).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&content).into_owned();
    let mut words = text.split([' ', '\t', '"', '\'', '=', '\n']);
    words.any(|word| is_amazons(Path::new(word)))
}

/// Files that [`overrides`] skips, because this user may not read them.
#[must_use]
pub fn unreadable() -> Vec<PathBuf> {
    let files = unit_files().into_iter().chain(ENVIRONMENT_FILES.iter().map(PathBuf::from));
    files
        .filter(|file| read_unit_file(file).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied))
        .collect()
}

/// sshd's unit and its drop-ins in systemd's order (systemd.unit(5)): first the unit, then the drop-ins sorted by
/// name. If two drop-ins have the same name, the one in the first folder is used. A link to /dev/null disables a
/// file.
fn unit_files() -> Vec<PathBuf> {
    let mut units =
        UNIT_FOLDERS.iter().flat_map(|folder| SSHD_UNITS.map(|unit| Path::new(folder).join(unit)));
    let mut drop_ins: BTreeMap<OsString, PathBuf> = BTreeMap::new();
    for folder in UNIT_FOLDERS {
        for unit in SSHD_UNITS {
            let entries = fs::read_dir(Path::new(folder).join(format!("{unit}.d"))).into_iter().flatten();
            for file in entries.filter_map(|entry| Some(entry.ok()?.path())) {
                let Some(name) = file.file_name().map(OsStr::to_owned) else { continue };
                if file.extension().is_some_and(|extension| extension == "conf") {
                    drop_ins.entry(name).or_insert(file);
                }
            }
        }
    }
    units.find(|unit| unit.exists()).into_iter().chain(drop_ins.into_values()).collect()
}

/// The name of sshd's unit on this system, for commands that the agent shows to the operator.
#[must_use]
pub fn sshd_unit() -> &'static str {
    let lies = |unit: &&&str| UNIT_FOLDERS.iter().any(|folder| Path::new(folder).join(unit).exists());
    let unit = SSHD_UNITS.iter().find(lies).unwrap_or(&"sshd.service");
    unit.strip_suffix(".service").unwrap_or(unit)
}

/// The state of the agent's own unit: `LoadState`, `UnitFileState`, `ActiveState` and `Result`.
pub fn own_state() -> Result<BTreeMap<String, String>, String> {
    let properties = "--property=LoadState,UnitFileState,ActiveState,Result";
    let mut program = Command::new("systemctl");
    let said = output_with_timeout(program.args(["show", properties, OWN_UNIT]), SHOW_TIMEOUT);
    let said = said.map_err(|error| format!("systemctl: {error}"))?;
    if !said.status.success() {
        let words = printable_bytes(said.stderr.trim_ascii(), MAX_SHOWN);
        return Err(format!("systemctl: {}: {words}", said.status));
    }
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The content of a file that systemd uses. The owner does not matter, because the agent only searches the text.
/// Returns `None` if there is no file.
fn read_unit_file(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_regular(file, MAX_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

fn own_unit_is_there() -> bool {
    UNIT_FOLDERS.iter().any(|folder| Path::new(folder).join(OWN_UNIT).exists())
        && ["/usr/bin/systemctl", "/bin/systemctl"].iter().any(|program| Path::new(program).exists())
}

fn systemctl(arguments: &[&str]) -> Result<(), String> {
    let fault = |what: String| format!("systemctl {}: {what}", arguments.join(" "));
    let said = output_with_timeout(Command::new("systemctl").args(arguments), TIMEOUT)
        .map_err(|error| fault(error.to_string()))?;
    if said.status.success() {
        return Ok(());
    }
    Err(fault(format!("{}: {}", said.status, printable_bytes(said.stderr.trim_ascii(), MAX_SHOWN))))
}
