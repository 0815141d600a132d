//! What the rules depend on besides the push, read with a time limit.

use std::time::Instant;

use eic_core::identity::LoginName;
use eic_core::policy::{MachineFacts, ZoneName, Zones};
use eic_host::sshd::release::installed_release;

use super::timeout::call_with_timeout;
use crate::config::{Settings, read_zones};

/// Reads what the rules for this user depend on, and waits for it no longer than `until`. Most settings need nothing.
pub(super) fn read(settings: &Settings, user: &LoginName, until: Instant) -> MachineFacts {
    let zones = settings.zones(Some(user));
    let needs_release = settings.needs_release(Some(user));
    if zones.is_empty() && !needs_release {
        return MachineFacts::default();
    }
    let names = zones.clone();
    let read = move || MachineFacts {
        zones: read_zones(names.clone()),
        release: if needs_release { installed_release().ok() } else { None },
    };
    let timeout = until.saturating_duration_since(Instant::now());
    call_with_timeout(timeout, read).unwrap_or_else(|| late(zones))
}

fn late(zones: Vec<ZoneName>) -> MachineFacts {
    let why = "its data could not be read in time";
    let zones = zones.into_iter().map(|zone| (zone, Err(why.to_owned()))).collect();
    MachineFacts { zones: Zones::new(zones), release: None }
}
