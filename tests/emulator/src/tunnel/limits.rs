//! The limits of tunnels.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The limits of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelLimits {
    /// The most tunnels at once. AWS allows 20 per endpoint (EC2 User Guide, "Quotas for EC2 Instance Connect
    /// Endpoint").
    pub tunnels: usize,
    /// The most connections at once, with those that have no tunnel yet.
    pub connections: usize,
    /// The time until a client must have sent its whole request.
    pub handshake: Duration,
    /// How long a client or the instance may leave data unread.
    pub stall: Duration,
}

impl Default for TunnelLimits {
    fn default() -> Self {
        Self {
            tunnels: 20,
            connections: 100,
            handshake: Duration::from_secs(10),
            stall: Duration::from_secs(60),
        }
    }
}

/// A number of places, which users take and give back.
#[derive(Debug)]
pub(super) struct Places(AtomicUsize);

/// A taken place. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place<'p>(&'p Places);

impl Places {
    pub(super) fn new(free: usize) -> Self {
        Self(AtomicUsize::new(free))
    }

    /// Takes a place, if one is free.
    pub(super) fn take(&self) -> Option<Place<'_>> {
        let fewer = |free: usize| free.checked_sub(1);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, fewer).ok().map(|_| Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}
