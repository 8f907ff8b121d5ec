//! Requests that are refused although a tracer sent data with them: counted, and told once for each cause, because few tracers do.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Its body is longer than the route takes.
    TooLong,
    /// Its body is compressed.
    Compressed,
    /// There is no memory for its body.
    NoMemory,
    /// Its body stopped coming.
    Stalled,
    /// Its body takes too much memory once it is decoded.
    TooLarge,
    /// Its body can't be decoded.
    Malformed,
    /// The sandbox is about to end.
    Closed,
}

/// What was refused in this sandbox.
#[derive(Debug, Default)]
pub struct Refusals {
    count: AtomicU64,
    /// A bit for each cause that was told.
    told: AtomicU8,
}

impl Refusals {
    /// Counts a request, and warns if it is the first with this cause.
    pub fn record(&self, cause: Cause, path: &str, reason: &str) {
        if self.is_first(cause) {
            tracing::warn!("TRACE_AGENT | a request to {path} is refused: {reason}; further ones like it are counted");
        } else {
            tracing::debug!("TRACE_AGENT | a request to {path} is refused: {reason}");
        }
    }

    fn is_first(&self, cause: Cause) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        let bit = 1 << cause as u8;
        self.told.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// How many requests were refused.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_request_is_counted_and_every_cause_told_once() {
        let refusals = Refusals::default();
        let causes = [Cause::TooLong, Cause::Closed, Cause::TooLong, Cause::Compressed, Cause::Closed];
        assert_eq!(causes.map(|cause| refusals.is_first(cause)), [true, true, false, true, false]);
        assert_eq!(refusals.count(), 5);
    }
}
