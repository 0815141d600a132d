//! When to retry, and when to give up.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// First pause, before jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// Longest pause, before jitter.
const LONGEST_PAUSE: Duration = Duration::from_millis(800);

/// Shortest time for one attempt at the last endpoint, including the connect, if the deadline allows it. The service
/// answers within milliseconds.
const ATTEMPT_TIME: Duration = Duration::from_secs(2);

/// Longest time for a connect.
const CONNECT_TIME: Duration = Duration::from_secs(1);

/// Maximum number of attempts that may end with a refused connection or a broken answer. A server that does not
/// listen will hardly start within seconds, and a login is waiting. Overload and lost packets are retried until the
/// deadline.
pub(super) const BROKEN_ATTEMPTS: u32 = 3;

/// Time limit of a connect in a run with the time limit `allowed`. Within `allowed`, the agent can try to connect to
/// both endpoints [`BROKEN_ATTEMPTS`] times. So if a packet is lost, the agent connects again before the kernel would
/// repeat the packet, and always has time to try the other endpoint.
pub(super) fn connect_time(allowed: Duration) -> Duration {
    allowed.checked_div(8).unwrap_or(allowed).min(CONNECT_TIME)
}

/// Time limit of one attempt: half of the remaining time, so that another attempt fits. At the last endpoint, a slow
/// service gets at least [`ATTEMPT_TIME`], or the whole remaining time if that is shorter.
pub(super) fn attempt_time(remaining: Duration, is_last: bool) -> Duration {
    let half = remaining.checked_div(2).unwrap_or(remaining);
    if is_last { half.max(ATTEMPT_TIME).min(remaining) } else { half }
}

/// The pause after attempt number `attempt` (from 0). The base doubles each time. The pause is a random value
/// between half of the base and the base, so that many logins that failed together do not retry together.
pub(super) fn pause(attempt: u32) -> Duration {
    jittered(attempt, RandomState::new().hash_one(attempt))
}

fn jittered(attempt: u32, random: u64) -> Duration {
    let factor = 1_u32.checked_shl(attempt.min(16)).unwrap_or(u32::MAX);
    let whole = FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE);
    let half = whole.checked_div(2).unwrap_or(whole);
    let share = u32::try_from(random >> 48).unwrap_or(0);
    let extra = half.saturating_mul(share).checked_div(1 << 16).unwrap_or_default();
    half.saturating_add(extra)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let longest = |attempt| jittered(attempt, u64::MAX);
        let shortest = |attempt| jittered(attempt, 0);
        assert_eq!(shortest(0), Duration::from_millis(25));
        assert!(longest(0) < Duration::from_millis(50) && longest(0) > Duration::from_millis(49));
        assert_eq!(shortest(2), Duration::from_millis(100));
        for attempt in [4, 5, 31, u32::MAX] {
            assert_eq!(shortest(attempt), Duration::from_millis(400));
            assert!(longest(attempt) < LONGEST_PAUSE);
        }
    }

    #[test]
    fn an_attempt_leaves_time_for_another() {
        let seconds = Duration::from_secs;
        assert_eq!(attempt_time(seconds(40), true), seconds(20));
        assert_eq!(attempt_time(seconds(3), true), seconds(2));
        assert_eq!(attempt_time(seconds(1), true), seconds(1));
        assert_eq!(attempt_time(seconds(1), false), Duration::from_millis(500));
    }

    #[test]
    fn connects_to_both_endpoints_fit_into_the_time() {
        for seconds in [1, 5, 60] {
            let allowed = Duration::from_secs(seconds);
            let pauses: Duration = (0..BROKEN_ATTEMPTS - 1).map(|attempt| jittered(attempt, u64::MAX)).sum();
            assert!(connect_time(allowed) * 2 * BROKEN_ATTEMPTS + pauses < allowed);
        }
        assert_eq!(connect_time(Duration::from_secs(60)), CONNECT_TIME);
    }

    #[test]
    fn jitter_differs() {
        let pauses: std::collections::HashSet<_> = (0..20).map(|_| pause(4)).collect();
        assert!(pauses.len() > 10);
    }
}
