//! What the commands advise: settings that sshd must accept, and commands that must repair the machine.

use std::process::Command;

use serde_json::Value;

use super::agreement::{Attempt, Observation};
use crate::world::World;

/// The settings that a fix names, as lines of `sshd_config`.
fn advised(fix: &str) -> Vec<String> {
    let end = |text: &str| {
        let ends = [", then", " there", " in /", "; then"].iter().filter_map(|end| text.find(end));
        text[..ends.min().unwrap_or(text.len())].to_owned()
    };
    let set = fix.split("set ").skip(1).map(end);
    let asked = fix.split("have both asked: ").nth(1).map(end);
    let asked = asked.iter().flat_map(|pair| pair.split(" and ").map(str::to_owned)).collect::<Vec<_>>();
    let added = fix.split("add ").skip(1).filter_map(|text| {
        let (value, rest) = text.split_once(" to ")?;
        let keyword = rest.split(',').next()?;
        keyword.starts_with(char::is_uppercase).then(|| format!("{keyword} {value}"))
    });
    set.chain(asked).chain(added).filter(|setting| setting.starts_with(char::is_uppercase)).collect()
}

/// The settings in all fixes of a report that the installed sshd does not accept.
pub(crate) fn refused_settings(world: &World, report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().unwrap().iter();
    let settings = checks.filter_map(|check| check["fix"].as_str()).flat_map(advised);
    let refused = settings.filter(|setting| !accepts(world, setting));
    refused.map(|setting| format!("sshd refuses the advice: {setting}")).collect()
}

/// Whether sshd accepts a setting. sshd refuses `AuthorizedKeysCommand` without its user and the user without the
/// command, so both are added. The first value of a keyword wins, so the setting comes first.
fn accepts(world: &World, setting: &str) -> bool {
    let said = Command::new("/usr/sbin/sshd")
        .args(["-t", "-f", "/dev/null", "-o", setting])
        .args(["-o", "AuthorizedKeysCommand /bin/true", "-o", "AuthorizedKeysCommandUser root", "-h"])
        .arg(world.path("etc/host"))
        .output()
        .unwrap();
    said.status.success()
}

/// Programs in a fix that the tests run, because their effect is immediate.
const MENDING: [&str; 10] = [
    "eic-agent",
    "chmod",
    "chown",
    "chage",
    "usermod",
    "useradd",
    "pwconv",
    "rm",
    "install",
    "systemd-tmpfiles",
];

/// At most this many faults of one machine are mended.
const MAX_FAULTS: usize = 8;

/// Runs a command of a fix as an operator does. The error is what it printed.
pub(crate) fn run(world: &World, command: &str) -> Result<(), String> {
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", world.path("bin").display());
    let ran = Command::new("sh").args(["-c", command]).env("PATH", path).output().unwrap();
    if ran.status.success() {
        return Ok(());
    }
    Err(format!("{command}: {}", String::from_utf8_lossy(&ran.stderr)))
}

/// Whether the tests run this command of a fix.
pub(crate) fn is_mending(command: &str) -> bool {
    MENDING.contains(&command.split(' ').next().unwrap_or_default())
}

/// The commands of a fix: after `sudo`, and after `then: sudo`.
pub(crate) fn commands(fix: &str) -> Vec<String> {
    let ends = [", unless", "; then", ", then", " (", ", or "];
    let parts = fix.split("then: ").map(str::trim);
    let command = |part: &str| {
        let command = part.strip_prefix("sudo ")?;
        let end = ends.iter().filter_map(|end| command.find(end)).min().unwrap_or(command.len());
        Some(command[..end].to_owned())
    };
    parts.map_while(command).collect()
}

/// Whether the command makes sshd read its configuration. The tests do that by themselves, because they have to wait.
fn is_reload(command: &str) -> bool {
    command.starts_with("kill -HUP ")
}

impl Attempt<'_> {
    /// Does what `doctor` says first, as long as that is a command. Returns every fix that did not help.
    pub(crate) fn mend(&self, observed: &Observation, have_it_read: impl Fn() -> bool) -> Vec<String> {
        let mut done: Vec<(String, Value)> = Vec::new();
        for round in 0..MAX_FAULTS {
            let later;
            let doctor = if round == 0 {
                &observed.doctor
            } else {
                later = self.doctor();
                &later
            };
            let Some(cause) = doctor.report["cause"].as_str() else { return self.confirmed(&done) };
            let checks = doctor.report["checks"].as_array().unwrap();
            let check = checks.iter().find(|check| check["id"] == cause).unwrap();
            let (verdict, fix) = (&check["verdict"], check["fix"].as_str().unwrap());
            if let Some((fix, _)) = done.iter().find(|(_, seen)| *seen == check["seen"]) {
                return vec![format!("{fix}: did not help: {check:#}")];
            }
            let commands = commands(fix);
            if verdict != "fail" {
                return self.confirmed(&done);
            }
            let first = commands.first().map_or("", String::as_str);
            if !is_mending(first) && !is_reload(first) {
                return Vec::new();
            }
            for command in &commands {
                if is_reload(command) {
                    have_it_read();
                } else if let Err(why) = run(self.world, command) {
                    return vec![why];
                }
            }
            if first.starts_with("eic-agent ") {
                have_it_read();
            }
            done.push((fix.to_owned(), check["seen"].clone()));
        }
        vec![format!("no end of faults: {done:#?}")]
    }

    /// Compares the mended machine with logins.
    fn confirmed(&self, done: &[(String, Value)]) -> Vec<String> {
        if done.is_empty() {
            return Vec::new();
        }
        let found = Self { is_read: false, ..*self }.observe().contradictions();
        found.iter().map(|found| format!("after {done:#?}: {found}")).collect()
    }
}
