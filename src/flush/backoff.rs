//! Exponential backoff after failures.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Consecutive failures and the backoff after them: 100 ms, doubled with each failure, at most 30 s.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    /// Whether the backoff is over.
    pub fn is_ready(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// Whether the last attempt failed.
    pub fn is_failing(&self) -> bool {
        self.failures > 0
    }

    /// Records a successful attempt.
    pub fn succeed(&mut self) {
        *self = Self::default();
    }

    /// Records a failed attempt. Jitter shortens the pause by up to half, so that sandboxes do not retry all at once. `at_least`, for example from
    /// `Retry-After`, can lengthen it up to 30 s. Returns the number of consecutive failures.
    pub fn fail(&mut self, now: Instant, at_least: Option<Duration>) -> u32 {
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(self.failures.min(16))).min(LONGEST_PAUSE);
        let pause =
            pause.mul_f64(rand::rng().random_range(0.5..=1.0)).max(at_least.unwrap_or_default().min(LONGEST_PAUSE));
        self.failures = self.failures.saturating_add(1);
        // If several attempts fail at once, the longest pause applies.
        self.until = self.until.max(Some(now + pause));
        self.failures
    }

    /// Ends the pause at `until` if it would last longer.
    pub fn shorten(&mut self, until: Instant) {
        self.until = self.until.map(|pause_end| pause_end.min(until));
    }

    /// Ends the pause now.
    pub fn reset(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn pauses_grow_up_to_a_bound_and_end_with_the_first_success() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        assert!(backoff.is_ready(now) && !backoff.is_failing());
        backoff.fail(now, None);
        assert!(!backoff.is_ready(now) && backoff.is_failing());
        assert!(!backoff.is_ready(now + MS * 33), "at least a half of it");
        assert!(backoff.is_ready(now + MS * 100));
        backoff.fail(now, None);
        assert!(!backoff.is_ready(now + MS * 90));
        assert!(backoff.is_ready(now + MS * 200));
        for _ in 0..40 {
            backoff.fail(now, None);
        }
        assert!(!backoff.is_ready(now + MS * 10_000));
        assert!(backoff.is_ready(now + MS * 30_000));
        backoff.succeed();
        assert!(backoff.is_ready(now) && !backoff.is_failing());
    }

    #[test]
    fn the_intake_may_ask_for_a_longer_pause_but_not_for_an_endless_one() {
        let now = Instant::now();
        let mut backoff = Backoff::default();
        backoff.fail(now, Some(Duration::from_secs(5)));
        assert!(!backoff.is_ready(now + Duration::from_secs(4)));
        backoff.fail(now, Some(Duration::from_hours(9)));
        assert!(backoff.is_ready(now + MS * 30_000));
    }

    #[test]
    fn a_pause_can_be_shortened_but_not_made_longer() {
        let (now, second) = (Instant::now(), Duration::from_secs(1));
        let mut backoff = Backoff::default();
        backoff.shorten(now + second);
        assert!(backoff.is_ready(now), "there is none");
        backoff.fail(now, Some(second * 5));
        backoff.shorten(now + second);
        backoff.shorten(now + second * 2);
        assert!(!backoff.is_ready(now) && backoff.is_ready(now + second) && backoff.is_failing());
        backoff.reset();
        assert!(backoff.is_ready(now) && backoff.is_failing());
    }
}
