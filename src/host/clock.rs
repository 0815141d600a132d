//! The clock of this machine.

use std::time::{SystemTime, UNIX_EPOCH};

use eic_core::time::Timestamp;

/// The instant that the clock shows now, in whole seconds.
#[must_use]
pub fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

/// The same instant in whole seconds. One before 1970 is read as 1970: every certificate is then not yet valid, and no
/// key is accepted.
#[must_use]
pub fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from_unix(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
