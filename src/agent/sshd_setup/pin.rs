//! `enable --pin`: writes the region and domain that metadata reports into the settings, once.
//!
//! A separate process without root's privileges queries metadata: `eic-agent placement`. It reports a region and domain
//! only if their signer is served here and leads to a trusted root. With a pin for another signer, the agent would
//! refuse all pushed keys.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use eic_core::audit_line::IDENT;
use eic_core::identity::{Domain, Region};
use eic_core::text::printable_bytes;
use eic_host::process::output_with_timeout;
use eic_host::sshd::command::split;
use eic_host::sshd::place::Place;
use eic_host::sshd::replace::Change;
use eic_login::config::DEFAULT_PATH;

use crate::config::pin::{Pinned, pin};

/// Timeout of the query: the longest timeout that can be set, plus 5 seconds.
const TIMEOUT: Duration = Duration::from_secs(65);

/// A new settings file gets the owner and mode of this file. The agent's user must be able to read the settings, and
/// every user may read them.
const READ_BY_ALL: &str = "/etc/passwd";

/// A planned change of the settings. `enable` carries it out after sshd is set up.
pub(super) struct Plan {
    region: Region,
    domain: Domain,
    /// `None` if the file already has both.
    change: Option<Pinned>,
}

impl Plan {
    /// Queries metadata, and computes the new text of the settings file.
    pub(super) fn make() -> Result<Self, String> {
        let (region, domain) = placement()?;
        let change = pin(Path::new(DEFAULT_PATH), &region, &domain).map_err(|error| error.to_string())?;
        Ok(Self { region, domain, change })
    }

    /// Writes the file, and returns a message about what was done.
    pub(super) fn carry_out(self) -> Result<String, String> {
        let Self { region, domain, change } = self;
        let Some(Pinned { before, after }) = change else {
            return Ok(format!("region {region} and domain {domain} are pinned already in {DEFAULT_PATH}"));
        };
        replace(before.as_deref(), after)
            .map(|()| format!("pinned region {region} and domain {domain} in {DEFAULT_PATH}"))
            .map_err(|why| format!("sshd uses eic-agent, but region and domain are not pinned: {why}"))
    }
}

fn replace(before: Option<&str>, after: String) -> Result<(), String> {
    let find = |path| Place::find(Path::new(path)).map_err(|error| error.to_string());
    let (found, like) = (find(DEFAULT_PATH)?, find(READ_BY_ALL)?);
    if found.content() != before.map(str::as_bytes) {
        return Err(format!("{DEFAULT_PATH} was changed during this run; run this again"));
    }
    let fault = |error| format!("{DEFAULT_PATH}: {error}");
    found.sweep().map_err(fault)?;
    Change::make(found, Some(after.into_bytes()), &like).map(|_| ()).map_err(fault)
}

/// The settings file that the effective command names, if it is not the default file. `--pin` writes only the default
/// file.
pub(super) fn other_settings(command: Option<&str>) -> Option<PathBuf> {
    let words = split(command?);
    let own: Vec<_> = words.iter().take_while(|word| *word != "--").collect();
    let named = own.iter().enumerate().find_map(|(place, word)| match word.strip_prefix("--config") {
        Some("") => own.get(place.checked_add(1)?).map(PathBuf::from),
        Some(value) => value.strip_prefix('=').map(PathBuf::from),
        None => None,
    });
    named.filter(|file| file != Path::new(DEFAULT_PATH))
}

/// Runs `eic-agent placement`, which prints the region on the first line and the domain on the second.
fn placement() -> Result<(Region, Domain), String> {
    let fault = |what: String| format!("region and domain cannot be pinned: {what}");
    let mut program = Command::new("/proc/self/exe");
    let said = output_with_timeout(program.arg0(IDENT).arg("placement"), TIMEOUT)
        .map_err(|error| fault(error.to_string()))?;
    if !said.status.success() {
        let why = printable_bytes(said.stderr.trim_ascii(), 1024);
        return Err(fault(why.strip_prefix("eic-agent: ").unwrap_or(&why).to_owned()));
    }
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let (region, domain) = text.trim_end().split_once('\n').unwrap_or_default();
    let region = region.parse().map_err(|error| fault(format!("{error}")))?;
    let domain = domain.parse().map_err(|error| fault(format!("{error}")))?;
    Ok((region, domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_settings_file_is_found_in_the_command() {
        for (command, other) in [
            ("/usr/bin/eic-agent authorized-keys %u %f", None),
            ("/usr/bin/eic-agent authorized-keys --config /etc/eic-agent.toml %u %f", None),
            ("/usr/bin/eic-agent authorized-keys --config /etc/x.toml %u %f", Some("/etc/x.toml")),
            ("/usr/bin/eic-agent authorized-keys --config=/etc/x.toml %u %f", Some("/etc/x.toml")),
            ("/usr/bin/eic-agent authorized-keys %u %f -- /bin/x --config /y", None),
        ] {
            assert_eq!(other_settings(Some(command)), other.map(PathBuf::from), "{command}");
        }
        assert_eq!(other_settings(None), None);
    }
}
