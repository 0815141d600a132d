//! Instants that two runs can compare.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// An instant by two clocks, in milliseconds: the wall clock, and the time since the machine started.
///
/// The clock since the start also counts while the machine is suspended (`CLOCK_BOOTTIME`, `clock_gettime(2)`). It cannot
/// be set, so a wrong wall clock cannot make evidence look younger. The wall clock detects a copy of a running machine
/// that was resumed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since the Unix epoch.
    pub wall: u64,
    /// Since the machine started.
    pub boot: u64,
}

impl Moment {
    /// The current instant. `None` if the kernel has no such clock.
    #[must_use]
    pub fn now() -> Option<Self> {
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        Some(Self { wall: milliseconds(wall)?, boot: milliseconds(boot.into())? })
    }

    /// The time from this instant until `now`: the longer of both clocks. `None` if a clock went back.
    #[must_use]
    pub fn age(self, now: Self) -> Option<Duration> {
        let wall = now.wall.checked_sub(self.wall)?;
        let boot = now.boot.checked_sub(self.boot)?;
        Some(Duration::from_millis(wall.max(boot)))
    }
}

fn milliseconds(duration: Duration) -> Option<u64> {
    u64::try_from(duration.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_that_of_the_clock_that_went_further() {
        let then = Moment { wall: 1_000_000, boot: 5_000 };
        for (wall, boot, age) in [
            (1_000_000, 5_000, Some(0)),
            (1_060_000, 65_000, Some(60_000)),
            // The wall clock was set forward or back.
            (1_900_000, 6_000, Some(900_000)),
            (999_999, 6_000, None),
            // The machine was resumed, or started again.
            (1_001_000, 905_000, Some(900_000)),
            (1_060_000, 4_999, None),
            (u64::MAX, u64::MAX, Some(u64::MAX - 5_000)),
        ] {
            let now = Moment { wall, boot };
            assert_eq!(then.age(now), age.map(Duration::from_millis), "{now:?}");
        }
    }

    #[test]
    fn clocks_go_forward() {
        let first = Moment::now().unwrap();
        assert!(first.age(Moment::now().unwrap()).unwrap() < Duration::from_secs(60));
        assert!(first.boot > 0 && first.wall > 1_700_000_000_000);
    }
}
