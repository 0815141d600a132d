//! The data of time zones, read with a time limit.

use std::time::Instant;

use eic_core::policy::{ZoneName, Zones};

use super::timeout::call_with_timeout;
use crate::config::read_zones;

/// Reads the data of these time zones, and waits for it no longer than `until`.
pub(super) fn open(names: Vec<ZoneName>, until: Instant) -> Zones {
    if names.is_empty() {
        return Zones::default();
    }
    let timeout = until.saturating_duration_since(Instant::now());
    let wanted = names.clone();
    let late = || {
        let why = "its data could not be read in time".to_owned();
        Zones::new(names.into_iter().map(|name| (name, Err(why.clone()))).collect())
    };
    call_with_timeout(timeout, move || read_zones(wanted.clone())).unwrap_or_else(late)
}
