//! The flush strategy: decides once per invocation when to flush, from the configured strategy and the frequency of invocations.

use std::{collections::VecDeque, time::Duration};

use crate::config::FlushStrategy;

/// Number of invocations that the adaptive strategy looks back on.
const LOOK_BACK: usize = 20;
/// Average interval above which invocations are rare. The sandbox then idles between them, so every invocation flushes at its end.
const RARE: Duration = Duration::from_mins(2);
/// Flush interval of the adaptive strategy for a busy function.
const BUSY_INTERVAL: Duration = Duration::from_secs(20);
/// Flush interval of the adaptive strategy during a long invocation.
const LONG_INVOCATION: Duration = Duration::from_mins(1);
/// Longer than any invocation, which Lambda limits to 15 minutes.
const NEVER: Duration = Duration::from_mins(15);

/// When to flush in this invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Wait for the end of the function, flush, then let the sandbox freeze.
    End,
    /// Flush at once, then let the sandbox freeze.
    Periodic,
    /// Start a flush without waiting for it.
    Continuous,
    /// Do not flush.
    Skip,
}

/// Decides when to flush.
#[derive(Debug)]
pub struct FlushDecider {
    strategy: FlushStrategy,
    /// With the adaptive strategy, the function is busy if the looked-back invocations span less than this.
    busy_within: Duration,
    last_flush: Duration,
    invocations: VecDeque<Duration>,
}

impl FlushDecider {
    /// `now`, here and below, is the time since any fixed instant.
    pub fn new(strategy: FlushStrategy, flush_timeout: Duration, now: Duration) -> Self {
        Self { strategy, busy_within: flush_timeout, last_flush: now, invocations: VecDeque::with_capacity(LOOK_BACK) }
    }

    /// Decides at the start of an invocation; called once per invocation.
    pub fn decide(&mut self, now: Duration) -> Decision {
        if self.invocations.len() == LOOK_BACK {
            self.invocations.pop_front();
        }
        self.invocations.push_back(now);
        let (interval, decision) = match self.concrete(now) {
            FlushStrategy::EndPeriodically(interval) => (interval, Decision::End),
            FlushStrategy::Periodically(interval) => (interval, Decision::Periodic),
            FlushStrategy::Continuously(interval) => (interval, Decision::Continuous),
            FlushStrategy::End | FlushStrategy::Default => return Decision::End,
        };
        if now.saturating_sub(self.last_flush) > interval {
            self.last_flush = now;
            decision
        } else {
            Decision::Skip
        }
    }

    /// Flush interval during a long invocation.
    pub fn long_invocation_interval(&self) -> Duration {
        match self.strategy {
            FlushStrategy::Default => LONG_INVOCATION,
            FlushStrategy::EndPeriodically(interval) => interval,
            FlushStrategy::End | FlushStrategy::Periodically(_) | FlushStrategy::Continuously(_) => NEVER,
        }
    }

    /// The strategy that the adaptive strategy selects now; any other strategy is returned as it is.
    fn concrete(&self, now: Duration) -> FlushStrategy {
        if self.strategy != FlushStrategy::Default {
            return self.strategy;
        }
        let Some(oldest) = self.invocations.front().filter(|_| self.invocations.len() == LOOK_BACK) else {
            return FlushStrategy::End;
        };
        let span = now.saturating_sub(*oldest);
        if span >= RARE * 19 {
            FlushStrategy::End
        } else if span < self.busy_within {
            FlushStrategy::Continuously(BUSY_INTERVAL)
        } else {
            FlushStrategy::Periodically(BUSY_INTERVAL)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The decisions for `count` invocations, `apart` seconds apart.
    fn decisions(strategy: FlushStrategy, apart: u64, count: u64) -> Vec<Decision> {
        let mut decider = FlushDecider::new(strategy, seconds(30), seconds(0));
        (0..count).map(|number| decider.decide(seconds(100 + number * apart))).collect()
    }

    #[test]
    fn the_adaptive_strategy_flushes_at_the_end_until_it_knows_the_function() {
        assert_eq!(decisions(FlushStrategy::Default, 1, 19), [Decision::End; 19]);
    }

    #[test]
    fn adaptive_strategy_follows_invocation_rate() {
        assert_eq!(decisions(FlushStrategy::Default, 1, 20).last(), Some(&Decision::Continuous));
        assert_eq!(decisions(FlushStrategy::Default, 1, 21).last(), Some(&Decision::Skip));
        assert_eq!(decisions(FlushStrategy::Default, 1, 41).last(), Some(&Decision::Continuous));
        assert_eq!(decisions(FlushStrategy::Default, 2, 20).last(), Some(&Decision::Periodic));
        assert_eq!(decisions(FlushStrategy::Default, 119, 20).last(), Some(&Decision::Periodic));
        assert_eq!(decisions(FlushStrategy::Default, 120, 20).last(), Some(&Decision::End));
    }

    #[test]
    fn end_is_always_the_end() {
        assert_eq!(decisions(FlushStrategy::End, 0, 40), [Decision::End; 40]);
    }

    #[test]
    fn intervals_are_kept() {
        use Decision::{End, Periodic, Skip};
        let periodically = FlushStrategy::Periodically(seconds(10));
        assert_eq!(decisions(periodically, 6, 5), [Periodic, Skip, Periodic, Skip, Periodic]);
        let end = FlushStrategy::EndPeriodically(seconds(10));
        assert_eq!(decisions(end, 6, 3), [End, Skip, End]);
        let continuously = FlushStrategy::Continuously(Duration::from_millis(1500));
        assert_eq!(decisions(continuously, 1, 3), [Decision::Continuous, Skip, Decision::Continuous]);
    }

    #[test]
    fn long_invocations_flush_on_the_way() {
        let interval = |strategy| FlushDecider::new(strategy, seconds(30), seconds(0)).long_invocation_interval();
        assert_eq!(interval(FlushStrategy::Default), seconds(60));
        assert_eq!(interval(FlushStrategy::EndPeriodically(seconds(7))), seconds(7));
        assert_eq!(interval(FlushStrategy::End), seconds(900));
    }
}
