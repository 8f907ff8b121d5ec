//! Clocks: wall time for timestamps, monotonic time for waiting, CPU time for costs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Now, in milliseconds since the Unix epoch. A clock set before 1970 reads as the epoch.
pub fn epoch_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The instant at which the wall clock shows `deadline_ms` (milliseconds since the epoch); now if that has passed.
pub fn instant_at(deadline_ms: i64) -> Instant {
    let left = u64::try_from(deadline_ms.saturating_sub(epoch_ms())).unwrap_or(0);
    // Lambda's deadlines are minutes away. The limit of a day keeps an invalid value from overflowing the monotonic clock.
    Instant::now() + Duration::from_millis(left).min(Duration::from_hours(24))
}

/// CPU time of this thread. Does not include time for which the sandbox is frozen or throttled.
pub fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_past_deadline_is_now_and_an_absurd_one_does_not_overflow() {
        assert!(instant_at(0) <= Instant::now());
        assert!(instant_at(i64::MIN) <= Instant::now());
        assert!(instant_at(i64::MAX) <= Instant::now() + Duration::from_hours(25));
    }

    #[test]
    fn a_future_deadline_lies_ahead() {
        assert!(instant_at(epoch_ms() + 60_000) > Instant::now() + Duration::from_secs(30));
    }

    #[test]
    fn thread_time_grows_with_work() {
        let before = thread_time();
        while thread_time() == before {
            std::hint::spin_loop();
        }
        assert!(thread_time() > before);
    }
}
