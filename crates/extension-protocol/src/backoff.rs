//! The pauses between attempts at the platform's APIs: 10 ms, doubled, at most 1 s.

use core::time::Duration;

const FIRST_MS: u64 = 10;
const LONGEST_MS: u64 = 1000;

/// How often a registration or a subscription that has failed for the time being is repeated: for 1.3 s, of the 10 s that Lambda gives an init.
pub const INIT_RETRIES: usize = 7;

/// Pauses without end. Start again with a new one after a success.
#[derive(Debug, Clone)]
pub struct Backoff {
    next_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next_ms: FIRST_MS }
    }
}

impl Backoff {
    /// The pause before the next attempt.
    pub fn pause(&mut self) -> Duration {
        let pause = Duration::from_millis(self.next_ms);
        self.next_ms = self.next_ms.saturating_mul(2).min(LONGEST_MS);
        pause
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.pause())
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn pauses_double_up_to_a_second_and_never_end() {
        let pauses: Vec<u128> = Backoff::default().take(9).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        assert_eq!(Backoff::default().nth(10_000), Some(Duration::from_millis(LONGEST_MS)));
    }

    #[test]
    fn retries_of_the_init_phase_take_less_than_two_seconds() {
        assert!(Backoff::default().take(INIT_RETRIES).sum::<Duration>() < Duration::from_secs(2));
    }
}
