//! Reads the settings for the commands that people run. Unlike a run, such a command has no alarm that ends it, so it must
//! not wait for a silent file server.

use std::io;

use eic_core::identity::LoginName;
use eic_core::key_options::SessionStart;
use eic_core::policy::{MachineFacts, Policy, Zones};
use eic_host::reach::Obstacle;
use eic_host::sshd::release::installed_release;
use eic_login::config::{
    CommandLine, ConfigError, DEFAULT_PATH, FileError, SessionForm, Settings, path_of_zone, read_zones,
};
use eic_login::session_wrapper;

use crate::reach::{silence_of, silent};

/// The settings, read as [`Settings::resolve`] does. Does not wait for a silent file server.
pub(super) fn resolve(line: &CommandLine) -> Result<Settings, ConfigError> {
    let file = line.config.clone().unwrap_or_else(|| DEFAULT_PATH.into());
    if silent(std::slice::from_ref(&file)).is_some() {
        let error = io::Error::new(io::ErrorKind::TimedOut, "its file system does not answer");
        return Err(ConfigError::File(file, FileError::Unreadable(error)));
    }
    Settings::resolve(line)
}

/// The rules, for this user, with what they depend on. Does not wait for a silent file server.
pub(super) fn policy(settings: &Settings, user: Option<&LoginName>) -> Policy {
    settings.policy(user.cloned(), machine_facts(settings, user))
}

/// What the rules for this user depend on. Does not wait for a silent file server.
pub(super) fn machine_facts(settings: &Settings, user: Option<&LoginName>) -> MachineFacts {
    let release = if settings.needs_release(user) { installed_release().ok() } else { None };
    let session = match (settings.session.value, user) {
        (SessionForm::Wrapper, Some(user)) => {
            session_wrapper::of_command(user, settings.audit_required.value, None)
        }
        _ => SessionStart::Plain,
    };
    MachineFacts { zones: zones(settings, user), release, session }
}

fn zones(settings: &Settings, user: Option<&LoginName>) -> Zones {
    let names = settings.zones(user);
    let paths: Vec<_> = names.iter().map(path_of_zone).collect();
    match silent(&paths).filter(|_| !paths.is_empty()) {
        Some(silent) => {
            let why = silent.seen();
            Zones::new(names.into_iter().map(|name| (name, Err(why.clone()))).collect())
        }
        None => read_zones(names),
    }
}

/// The file of this error, if its file server is silent.
pub(super) fn silent_file(error: &ConfigError) -> Option<Obstacle> {
    match error {
        ConfigError::File(path, FileError::Unreadable(error)) if error.kind() == io::ErrorKind::TimedOut => {
            Some(silence_of(path))
        }
        _ => None,
    }
}

/// The file or folder of roots whose file server is silent.
pub(super) fn silent_roots(settings: &Settings) -> Option<Obstacle> {
    let places: Vec<_> = settings.trust_store().places().into_iter().map(|(path, _)| path).collect();
    silent(&places)
}
