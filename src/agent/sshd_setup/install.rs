//! Writes our lines where they are in force, and has sshd confirm that. After each step, the configuration is valid.

use std::io;
use std::path::{Path, PathBuf};

use eic_core::audit_line::IDENT;
use eic_host::accounts::Account;
use eic_host::sshd::block;
use eic_host::sshd::command::plain;
use eic_host::sshd::place::{Place, PlaceError};
use eic_host::sshd::replace::{Change, TempFile};
use eic_host::sshd::server::EffectiveCommand;
use eic_host::sshd::sources::Sources;

use super::{DROP_IN, SshdState, placed, shown};

/// `AuthorizedKeysCommand` and its `AuthorizedKeysCommandUser`.
pub(super) struct CommandAndUser {
    pub(super) command: String,
    pub(super) user: String,
}

impl CommandAndUser {
    pub(super) fn is(&self, effective: &EffectiveCommand) -> bool {
        effective.command.as_deref() == Some(&self.command) && effective.user.as_deref() == Some(&self.user)
    }
}

/// Why the settings were not written.
pub(super) enum InstallError {
    /// Nothing is changed.
    Clean(String),
    /// The previous file could not be restored.
    Stuck(String),
}

impl From<String> for InstallError {
    fn from(why: String) -> Self {
        Self::Clean(why)
    }
}

/// Writes the settings into our drop-in if sshd reads it, else at the top of the main file. Returns the change after
/// sshd has confirmed that the settings are in force.
pub(super) fn put_in(machine: &SshdState, pair: &CommandAndUser) -> Result<Change, InstallError> {
    let lines = block::lines(&pair.command, &pair.user);
    try_beside(machine, pair, &lines)?;
    let drop_in = PathBuf::from(DROP_IN);
    let reads_drop_in = Sources::read(&machine.config).would_read(&drop_in);
    let mut why = String::new();
    for place in reads_drop_in.then_some(drop_in).into_iter().chain([machine.config.clone()]) {
        match put_into(machine, pair, &lines, &place)? {
            Ok(change) => return Ok(change),
            Err(lost) => why = lost,
        }
    }
    Err(InstallError::Clean(why))
}

/// Before any file is changed, has sshd check a temporary copy of the main file. The copy is in the same directory, and
/// has our lines at the top. Lines that are not in force at the top cannot be in force anywhere. This also finds lines
/// that this release of sshd does not know.
fn try_beside(machine: &SshdState, pair: &CommandAndUser, lines: &str) -> Result<(), String> {
    let config = &machine.config;
    let fault = |error: io::Error| format!("{}: {error}", config.display());
    let place = Place::find(config).map_err(|error| error.to_string())?;
    let content = place.content().unwrap_or_default();
    let trial = TempFile::write(&place, &block::put_in(content, lines)).map_err(fault)?;
    machine.server.test(trial.path()).map_err(|error| error.to_string())?;
    let effective = machine.server.effective(trial.path(), &[]).map_err(|error| error.to_string())?;
    if pair.is(&effective) {
        return Ok(());
    }
    // Only a Match that applies to every login wins over the first line of the file.
    let sources = Sources::read(config);
    let winner = sources.of_command(effective.command.as_deref().unwrap_or("none"));
    let place = winner.map_or_else(String::new, |winner| format!(" ({})", placed(winner)));
    Err(format!("{}{place} would stay in force; change that first", shown_pair(&effective)))
}

/// Writes the lines into one file. The inner error is the reason why they would not be in force there. The file is then
/// restored.
fn put_into(
    machine: &SshdState,
    pair: &CommandAndUser,
    lines: &str,
    place: &Path,
) -> Result<Result<Change, String>, InstallError> {
    let fault = |error: io::Error| InstallError::Clean(format!("{}: {error}", place.display()));
    let find = |path| Place::find(path).map_err(|error: PlaceError| error.to_string());
    let (found, config) = (find(place)?, find(&machine.config)?);
    found.sweep().map_err(fault)?;
    let after = block::put_in(found.content().unwrap_or_default(), lines);
    let change = Change::make(found, Some(after), &config).map_err(fault)?;
    let test = machine.server.test(&machine.config);
    let effective = test.and_then(|()| machine.server.effective(&machine.config, &[]));
    let lost = match effective {
        Ok(effective) if pair.is(&effective) => return Ok(Ok(change)),
        Ok(effective) => format!("{} would not override {}", place.display(), shown_pair(&effective)),
        Err(error) => format!("{}: {error}", place.display()),
    };
    undo(change).map_err(InstallError::Stuck)?;
    Ok(Err(lost))
}

pub(super) fn undo(change: Change) -> Result<(), String> {
    let path = change.path().display().to_string();
    change.undo().map_err(|error| format!("{path} could not be restored: {error}; check it with `sshd -t`"))
}

fn shown_pair(effective: &EffectiveCommand) -> String {
    match &effective.command {
        None => "AuthorizedKeysCommand none".to_owned(),
        Some(command) => {
            format!("{} as {}", shown(Some(command)), effective.user.as_deref().unwrap_or("no user"))
        }
    }
}

/// Why `enable` failed.
pub(super) enum EnableError {
    /// `enable` failed and changed nothing.
    Failed(String),
    /// Another command is in force, and was not changed.
    LeftAlone(String),
    /// `enable` failed after a change that it could not undo.
    Stuck(String),
}

impl std::fmt::Display for EnableError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Failed(why) | Self::LeftAlone(why) | Self::Stuck(why)) = self;
        f.write_str(why)
    }
}

impl From<String> for EnableError {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<InstallError> for EnableError {
    fn from(failure: InstallError) -> Self {
        match failure {
            InstallError::Clean(why) => Self::Failed(why),
            InstallError::Stuck(why) => Self::Stuck(why),
        }
    }
}

pub(super) fn own_pair(machine: &SshdState) -> Result<CommandAndUser, EnableError> {
    if Account::find(IDENT).is_none() {
        return Err(EnableError::Failed(format!(
            "there is no user {IDENT} for sshd to run it as; run: sudo systemd-sysusers eic-agent.conf, or: sudo useradd --system --no-create-home --shell /usr/sbin/nologin {IDENT}"
        )));
    }
    Ok(CommandAndUser { command: plain(&machine.own), user: IDENT.to_owned() })
}
