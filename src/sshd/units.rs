//! systemd's units. sshd is reloaded and never restarted, and only where it runs as a unit: a reload keeps
//! every session, and a server that nobody started is not ours to start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::process::ask;
use crate::sshd::replace::read;
use crate::text::{MAX_SHOWN, printable_bytes};

/// sshd's unit: Debian's and Ubuntu's name, and everybody else's. Where both are there, one is the other.
const SSHD_UNITS: [&str; 2] = ["ssh.service", "sshd.service"];

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

/// How long systemd may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether systemd is this system's init and runs (`sd_booted(3)`).
#[must_use]
pub fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Reloads sshd if it runs as a unit; gives the unit. Under `ssh.socket` a server that was started for a
/// connection is such a unit, and one that is not there yet reads the new configuration by itself.
pub fn reload_sshd() -> Result<Option<&'static str>, String> {
    if !systemd_runs() {
        return Ok(None);
    }
    let is_active = |unit: &&&str| systemctl(&["is-active", "--quiet", unit]).is_ok();
    let Some(unit) = SSHD_UNITS.iter().find(is_active) else { return Ok(None) };
    systemctl(&["reload", unit]).map(|()| Some(*unit))
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

/// Files that change how sshd's unit is started and set `AuthorizedKeysCommand` there: such a setting wins
/// over every file of sshd's own from the next start on.
#[must_use]
pub fn overrides() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for folder in UNIT_FOLDERS {
        for unit in SSHD_UNITS {
            let drop_ins = fs::read_dir(Path::new(folder).join(format!("{unit}.d"))).into_iter().flatten();
            let mut files: Vec<_> = drop_ins.filter_map(|entry| Some(entry.ok()?.path())).collect();
            files.sort();
            files.retain(|file| file.extension().is_some_and(|extension| extension == "conf"));
            files.push(Path::new(folder).join(unit));
            found.extend(files.into_iter().filter(|file| sets_command(file)));
        }
    }
    // /lib is /usr/lib on most systems.
    let mut seen = Vec::new();
    found.retain(|file| {
        let real = file.canonicalize().unwrap_or_else(|_| file.clone());
        let is_new = !seen.contains(&real);
        seen.push(real);
        is_new
    });
    found
}

fn sets_command(file: &Path) -> bool {
    let content = read(file).ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&content).lines().any(|line| {
        line.trim_start().starts_with("Exec") && line.to_ascii_lowercase().contains("authorizedkeyscommand")
    })
}

fn own_unit_is_there() -> bool {
    UNIT_FOLDERS.iter().any(|folder| Path::new(folder).join(OWN_UNIT).exists())
        && ["/usr/bin/systemctl", "/bin/systemctl"].iter().any(|program| Path::new(program).exists())
}

fn systemctl(arguments: &[&str]) -> Result<(), String> {
    let fault = |what: String| format!("systemctl {}: {what}", arguments.join(" "));
    let said =
        ask(Command::new("systemctl").args(arguments), PATIENCE).map_err(|error| fault(error.to_string()))?;
    if said.status.success() {
        return Ok(());
    }
    Err(fault(format!("{}: {}", said.status, printable_bytes(said.stderr.trim_ascii(), MAX_SHOWN))))
}
