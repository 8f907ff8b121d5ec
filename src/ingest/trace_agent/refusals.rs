//! Requests that are refused although a tracer sent data with them: counted, and told once for each cause, because few tracers do.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

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

/// Receiver and path of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint<'p> {
    receiver: Receiver,
    path: &'p str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiver {
    TraceAgent,
    Otlp,
}

impl<'p> Endpoint<'p> {
    /// A path of the trace agent.
    pub const fn trace_agent(path: &'p str) -> Self {
        Self { receiver: Receiver::TraceAgent, path }
    }

    /// A path of the receiver for OTLP.
    pub const fn otlp(path: &'p str) -> Self {
        Self { receiver: Receiver::Otlp, path }
    }

    /// Prefix of its log lines.
    fn name(self) -> &'static str {
        match self.receiver {
            Receiver::TraceAgent => "TRACE_AGENT",
            Receiver::Otlp => "OTLP",
        }
    }
}

/// Requests that were refused in this sandbox, by reason.
#[derive(Debug, Default)]
pub struct Refusals {
    count: AtomicU64,
    /// A bit for each receiver and cause that was told: eight of each receiver's.
    told: AtomicU16,
}

impl Refusals {
    /// Counts a request, and warns if it is the first of its receiver's with this cause.
    pub fn record(&self, cause: Cause, endpoint: Endpoint<'_>, reason: &str) {
        let (name, path) = (endpoint.name(), endpoint.path);
        if self.is_first(cause, endpoint.receiver) {
            tracing::warn!("{name} | a request to {path} is refused: {reason}; further ones like it are counted");
        } else {
            tracing::debug!("{name} | a request to {path} is refused: {reason}");
        }
    }

    fn is_first(&self, cause: Cause, receiver: Receiver) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        let bit = 1 << (8 * receiver as u16 + cause as u16);
        self.told.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// Number of refused requests.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_is_counted_and_each_cause_logged_once() {
        let refusals = Refusals::default();
        let causes = [Cause::TooLong, Cause::Closed, Cause::TooLong, Cause::Compressed, Cause::Closed];
        let is_first = |cause| refusals.is_first(cause, Receiver::TraceAgent);
        assert_eq!(causes.map(is_first), [true, true, false, true, false]);
        let of_otlp = [Cause::Closed, Cause::TooLong, Cause::Closed];
        assert_eq!(of_otlp.map(|cause| refusals.is_first(cause, Receiver::Otlp)), [true, true, false]);
        assert_eq!(refusals.count(), 8);
    }
}
