//! systemd's units. sshd is reloaded, and only where it runs as a unit: a reload keeps every session, and a
//! server that nobody started is not ours to start. It is restarted only where systemd holds its port.

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

/// sshd's unit: Debian's and Ubuntu's name, and everybody else's. Where both are there, one is the other.
const SSHD_UNITS: [&str; 2] = ["ssh.service", "sshd.service"];

/// What holds the port for it where it is started by the first connection.
const SSHD_SOCKETS: [&str; 2] = ["ssh.socket", "sshd.socket"];

/// Our own unit, which says in `systemctl status` whether sshd uses us.
pub const OWN_UNIT: &str = "eic-agent.service";

/// Where units lie; the first that has one wins.
const UNIT_FOLDERS: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// Where distributions keep words for sshd's command line.
const ENVIRONMENT_FILES: [&str; 3] = ["/etc/default/ssh", "/etc/sysconfig/sshd", "/etc/default/sshd"];

/// How long systemd may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long it may take to say what it knows.
const SHOW_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether systemd is this system's init and runs (`sd_booted(3)`).
#[must_use]
pub fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Has sshd read its configuration again if it runs as a unit; gives what was done. Under a socket a server that
/// was started for a connection is such a unit, and one that is not there yet reads the new configuration by
/// itself. Debian 12's does not find the socket again after a reload, and ends: there it is restarted, through
/// which sessions stay as well (`KillMode=process`), and the socket loses no connection.
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

/// The process that systemd has started as sshd, and holds for it.
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

/// The first of these units that runs.
fn first_active(units: [&'static str; 2]) -> Result<Option<&'static str>, String> {
    for unit in units {
        if is_active(unit)? {
            return Ok(Some(unit));
        }
    }
    Ok(None)
}

/// Whether a unit runs: systemctl(1) says 3 where it does not, 4 where there is none such.
fn is_active(unit: &str) -> Result<bool, String> {
    let arguments = ["is-active", "--quiet", unit];
    match output_with_timeout(Command::new("systemctl").args(arguments), TIMEOUT) {
        Ok(said) if said.status.success() => Ok(true),
        Ok(said) if matches!(said.status.code(), Some(3 | 4)) => Ok(false),
        Ok(said) => Err(format!("systemctl {}: {}", arguments.join(" "), said.status)),
        Err(error) => Err(format!("systemctl {}: {error}", arguments.join(" "))),
    }
}

/// Has our own unit started now, where systemd runs, and at every boot. True where there was a unit.
pub fn start_own() -> Result<bool, String> {
    if !own_unit_is_there() {
        return Ok(false);
    }
    systemctl(&["enable", "--quiet", OWN_UNIT])?;
    if systemd_runs() {
        // Started anew, since it stays active with what it found the last time.
        systemctl(&["restart", "--no-block", OWN_UNIT])?;
    }
    Ok(true)
}

/// Takes that back.
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

/// Files that decide how sshd's unit is started and set `AuthorizedKeysCommand` there: such a setting wins
/// over every file of sshd's own from the next start on.
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
    // The last ExecStart counts, and an empty one takes back those before.
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

/// Whether what such a file sets is Amazon's own command.
#[must_use]
pub fn starts_amazons(file: &Path) -> bool {
    let content = read_unit_file(file).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(&content).into_owned();
    let mut words = text.split([' ', '\t', '"', '\'', '=', '\n']);
    words.any(|word| is_amazons(Path::new(word)))
}

/// Such files that we may not read, so that they may say what they like.
#[must_use]
pub fn unreadable() -> Vec<PathBuf> {
    let files = unit_files().into_iter().chain(ENVIRONMENT_FILES.iter().map(PathBuf::from));
    files
        .filter(|file| read_unit_file(file).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied))
        .collect()
}

/// sshd's unit and its drop-ins, in systemd's order (systemd.unit(5)): the unit first, the drop-ins by their
/// names, and of two files of one name that of the first folder. A link to /dev/null takes one out.
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

/// The name of sshd's unit here, as an operator is told to use it.
#[must_use]
pub fn sshd_unit() -> &'static str {
    let lies = |unit: &&&str| UNIT_FOLDERS.iter().any(|folder| Path::new(folder).join(unit).exists());
    let unit = SSHD_UNITS.iter().find(lies).unwrap_or(&"sshd.service");
    unit.strip_suffix(".service").unwrap_or(unit)
}

/// What systemd says of our own unit: `LoadState`, `UnitFileState`, `ActiveState` and `Result`.
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

/// The content of a file that systemd obeys, whoever can change it: it is searched, and nothing of it is run. None
/// where there is no such file.
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
