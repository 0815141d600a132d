//! What the rules depend on besides the push, read with a time limit.

use std::time::{Duration, Instant};

use eic_core::identity::LoginName;
use eic_core::key_options::SessionStart;
use eic_core::policy::{MachineFacts, ZoneName, Zones};
use eic_host::sshd::release::installed_release;

use super::timeout::call_with_timeout;
use crate::config::{SessionForm, Settings, read_zones};
use crate::session_wrapper;

/// Longest wait for each fact. A quarter of the remaining time bounds it, too.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Reads what the rules for this user depend on. Most settings need nothing.
///
/// Each fact has its own time limit. So a slow sshd does not affect a rule that only needs a time zone.
pub(super) fn read(settings: &Settings, user: &LoginName, deadline: Instant) -> MachineFacts {
    let names = settings.zones(Some(user));
    let zones = if names.is_empty() { Zones::default() } else { zones(names, wait(deadline)) };
    let release = settings
        .needs_release(Some(user))
        .then(|| call_with_timeout(wait(deadline), || installed_release().ok()).flatten())
        .flatten();
    MachineFacts { zones, release, session: session(settings, user, deadline) }
}

/// How sessions of the user start. Without the wrapper, this reads nothing.
fn session(settings: &Settings, user: &LoginName, deadline: Instant) -> SessionStart {
    if settings.session.value == SessionForm::Plain {
        return SessionStart::Plain;
    }
    let (user, audit_required) = (user.clone(), settings.audit_required.value);
    let decide = move || session_wrapper::of_login(&user, audit_required);
    call_with_timeout(wait(deadline), decide)
        .unwrap_or_else(|| SessionStart::NotWrapped("this machine could not be checked in time".to_owned()))
}

fn wait(deadline: Instant) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    left.checked_div(4).unwrap_or(left).min(LONGEST_WAIT)
}

fn zones(names: Vec<ZoneName>, wait: Duration) -> Zones {
    let asked = names.clone();
    call_with_timeout(wait, move || read_zones(asked.clone())).unwrap_or_else(|| {
        let why = "its data could not be read in time";
        Zones::new(names.into_iter().map(|zone| (zone, Err(why.to_owned()))).collect())
    })
}
