//! The system clock.

use std::time::{SystemTime, UNIX_EPOCH};

use eic_core::time::Timestamp;

/// The current time, in whole seconds.
#[must_use]
pub fn now() -> Timestamp {
    timestamp(SystemTime::now())
}

/// Converts to whole seconds. A time before 1970 becomes 1970. Then every certificate is not yet valid, and no
/// key is accepted.
#[must_use]
pub fn timestamp(time: SystemTime) -> Timestamp {
    Timestamp::from_unix(time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
