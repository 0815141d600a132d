//! Why no key may be printed, independent of the metadata.

use std::time::Instant;

use eic_core::key_options::{LinePrefix, Release};
use eic_core::reason::Reason;
use eic_host::sshd::environment::PermittedVariables;
use eic_host::sshd::release::too_old;

use super::timeout::call_with_timeout;
use crate::environment::{self, EnvironmentError};

/// Whether sshd would ignore keys with this prefix, or leave out their variables. Programs may block, so the agent waits no
/// longer than `until`. Runs no program if every supported release of sshd does what the settings say.
pub(super) fn find(
    prefix: LinePrefix,
    permitted: Option<PermittedVariables>,
    until: Instant,
) -> Option<(Reason, String)> {
    if prefix.needs() <= Release::OLDEST && !prefix.environment {
        return None;
    }
    let timeout = until.saturating_duration_since(Instant::now());
    let look = move || check_release(&prefix).or_else(|| check_environment(&prefix, permitted.as_ref()));
    let late = || Some((Reason::SettingsInvalid, "[keys]: sshd did not answer in time".to_owned()));
    call_with_timeout(timeout, look).unwrap_or_else(late)
}

/// sshd silently ignores a key with an option that it does not know. So the agent reports it.
fn check_release(prefix: &LinePrefix) -> Option<(Reason, String)> {
    let (needed, installed) = too_old(prefix)?;
    let has = installed.map_or_else(
        || "the release of this instance is unknown".to_owned(),
        |installed| format!("this instance has {installed}"),
    );
    Some((Reason::SettingsInvalid, format!("[keys] needs {needed} or later, {has}")))
}

/// sshd also silently omits a variable that it does not permit.
fn check_environment(prefix: &LinePrefix, asked: Option<&PermittedVariables>) -> Option<(Reason, String)> {
    let decided = if prefix.environment { environment::decide_run(asked) } else { Ok(()) };
    decided.err().map(|error: EnvironmentError| (error.reason(), error.to_string()))
}
