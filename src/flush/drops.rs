//! Dropped data: counts per kind, and rate limiting of the log lines about them.

use std::{fmt, time::Duration};

use tokio::time::Instant;

use super::send_queue::{Limit, MAX_FLUSHES, MAX_UNANSWERED};
use crate::intake::{Kind, Payload};

/// Counts of dropped data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DropCounts {
    /// Logs.
    pub logs: u64,
    /// Distributions.
    pub sketches: u64,
    /// Counts and gauges.
    pub series: u64,
    /// Spans.
    pub spans: u64,
    /// Statistics of spans: groups of one interval.
    pub stats: u64,
    /// Requests of tracers that are passed on.
    pub proxied: u64,
    /// Requests of tracers that were refused, whatever was in them; a tracer may have sent it again.
    pub refused: u64,
    /// Values of the customer's metrics, before they could become one of the above.
    pub values: u64,
    /// Datagrams that were not read in time.
    pub datagrams: u64,
    /// Telemetry batches that were too long, malformed, or more than memory allowed.
    pub batches: u64,
}

impl DropCounts {
    /// The counts for a payload with this many items.
    pub(super) fn one(kind: Kind, items: u64) -> Self {
        match kind {
            Kind::Logs => Self { logs: items, ..Self::default() },
            Kind::Sketches => Self { sketches: items, ..Self::default() },
            Kind::Series => Self { series: items, ..Self::default() },
            Kind::Traces => Self { spans: items, ..Self::default() },
            Kind::Stats => Self { stats: items, ..Self::default() },
            Kind::Proxied(_) => Self { proxied: items, ..Self::default() },
        }
    }

    /// The counts for a payload.
    pub(super) fn of(payload: &Payload) -> Self {
        Self::one(payload.kind, payload.items)
    }

    /// Adds other counts.
    pub fn add(&mut self, other: Self) {
        self.logs += other.logs;
        self.sketches += other.sketches;
        self.series += other.series;
        self.spans += other.spans;
        self.stats += other.stats;
        self.proxied += other.proxied;
        self.refused += other.refused;
        self.values += other.values;
        self.datagrams += other.datagrams;
        self.batches += other.batches;
    }
}

impl fmt::Display for DropCounts {
    /// Lists the non-zero counts.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let all = [
            (self.logs, "logs"),
            (self.sketches, "distributions"),
            (self.series, "series"),
            (self.spans, "spans"),
            (self.stats, "trace statistics"),
            (self.proxied, "requests of tracers"),
            (self.refused, "refused requests of tracers"),
            (self.values, "values of metrics"),
            (self.datagrams, "datagrams"),
            (self.batches, "batches of telemetry"),
        ];
        let mut before = "";
        for (count, what) in all.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{before}{count} {what}")?;
            before = ", ";
        }
        Ok(())
    }
}

/// The reason why data is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// There is no client to send it.
    NoClient,
    /// The aggregates were full.
    Aggregates,
    /// Each is larger than a payload may be: this many bytes.
    Oversized(usize),
    /// The spans of one request take more than this many bytes.
    RequestTooLarge(usize),
    /// The memory budget was exceeded.
    Memory,
    /// It was not sent within this maximum age of its kind.
    Age(Duration),
    /// Sending it failed in [`MAX_FLUSHES`] flushes.
    Flushes,
    /// [`MAX_UNANSWERED`] requests with it got no response.
    Unanswered,
    /// The destination with this index rejected it.
    Rejected(usize),
}

impl From<Limit> for DropReason {
    fn from(limit: Limit) -> Self {
        match limit {
            Limit::Age(age) => Self::Age(age),
            Limit::Flushes => Self::Flushes,
            Limit::Unanswered => Self::Unanswered,
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::NoClient => f.write_str("nothing can be sent in this sandbox; further ones are counted"),
            Self::Aggregates => f.write_str("there is no room for more of them until a flush"),
            Self::Oversized(limit) => write!(f, "each is larger than {limit} bytes"),
            Self::RequestTooLarge(limit) => {
                write!(f, "with the function's tags, the spans of one request take more than {} MiB", limit >> 20)
            }
            Self::Memory => write!(f, "more than {} MiB wait to be sent", super::MAX_BYTES >> 20),
            Self::Age(age) => {
                write!(f, "they could not be sent before they were more than {} h old", age.as_secs() / 3600)
            }
            Self::Flushes => write!(f, "sending them failed in {MAX_FLUSHES} flushes"),
            Self::Unanswered => {
                write!(f, "{MAX_UNANSWERED} requests with them got no answer in time and may have arrived")
            }
            Self::Rejected(_) => f.write_str("Datadog refused them"),
        }
    }
}

/// Minimum interval between log lines for the same reason, so that an outage does not fill the customer's logs.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Counts all dropped data, and decides when to log it.
#[derive(Debug, Default)]
pub struct DropLog {
    total: DropCounts,
    reasons: Vec<DropLogEntry>,
}

#[derive(Debug)]
struct DropLogEntry {
    reason: DropReason,
    at: Instant,
    /// Items dropped since the last log line.
    unlogged: DropCounts,
}

impl DropLog {
    /// Counts items lost at the end, which the log reports only in total.
    pub fn count(&mut self, dropped: DropCounts) {
        self.total.add(dropped);
    }

    /// Counts dropped items. Returns the items to log for this reason, if any: these and those dropped since the last log line.
    pub fn record(&mut self, reason: DropReason, dropped: DropCounts, now: Instant) -> Option<DropCounts> {
        if dropped == DropCounts::default() {
            return None;
        }
        self.total.add(dropped);
        let Some(logged) = self.reasons.iter_mut().find(|logged| logged.reason == reason) else {
            self.reasons.push(DropLogEntry { reason, at: now, unlogged: DropCounts::default() });
            return Some(dropped);
        };
        logged.unlogged.add(dropped);
        // A sandbox without a client never gets one, so this is logged once.
        if reason == DropReason::NoClient || now - logged.at < LOG_INTERVAL {
            return None;
        }
        logged.at = now;
        Some(std::mem::take(&mut logged.unlogged))
    }

    /// Counts of all dropped data.
    pub fn total(&self) -> DropCounts {
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flush::send_queue::max_age;
    use crate::process::proxied::Product;

    fn logs(logs: u64) -> DropCounts {
        DropCounts { logs, ..DropCounts::default() }
    }

    #[test]
    fn every_kind_is_counted_by_itself() {
        let mut sum = DropCounts { values: 1, datagrams: 2, batches: 3, refused: 256, ..DropCounts::default() };
        let proxied = Kind::Proxied(Product::Profiling);
        let kinds = [Kind::Logs, Kind::Sketches, Kind::Series, Kind::Traces, Kind::Stats, proxied];
        for (kind, items) in kinds.into_iter().zip([4, 8, 16, 32, 64, 128]) {
            sum.add(DropCounts::one(kind, items));
        }
        sum.add(sum);
        let (logs, sketches, series, spans, stats, proxied) = (8, 16, 32, 64, 128, 256);
        let expected = DropCounts {
            logs,
            sketches,
            series,
            spans,
            stats,
            proxied,
            refused: 512,
            values: 2,
            datagrams: 4,
            batches: 6,
        };
        assert_eq!(sum, expected);
    }

    #[test]
    fn drops_are_logged_at_once_and_then_at_intervals() {
        let (mut log, now) = (DropLog::default(), Instant::now());
        assert_eq!(log.record(DropReason::Memory, logs(0), now), None);
        assert_eq!(log.record(DropReason::Memory, logs(1), now), Some(logs(1)));
        assert_eq!(log.record(DropReason::Memory, logs(2), now), None);
        assert_eq!(log.record(DropReason::Age(LOG_INTERVAL), logs(4), now), Some(logs(4)), "another reason");
        assert_eq!(log.record(DropReason::Memory, logs(8), now + LOG_INTERVAL), Some(logs(10)));
        assert_eq!(log.record(DropReason::Memory, logs(16), now + LOG_INTERVAL), None);
        log.count(logs(32));
        assert_eq!(log.total(), logs(63));
    }

    #[test]
    fn drop_reasons_name_the_limit_that_was_exceeded() {
        let text = |reason: DropReason| reason.to_string();
        for (kind, age) in [(Kind::Series, "1 h"), (Kind::Traces, "4 h"), (Kind::Logs, "18 h")] {
            let reason = text(Limit::Age(max_age(kind)).into());
            assert_eq!(reason, format!("they could not be sent before they were more than {age} old"));
        }
        assert!(text(DropReason::RequestTooLarge(64 << 20)).ends_with("one request take more than 64 MiB"));
    }

    #[test]
    fn refusals_are_logged_for_each_intake() {
        let (mut log, now) = (DropLog::default(), Instant::now());
        assert_eq!(log.record(DropReason::Rejected(0), logs(1), now), Some(logs(1)));
        assert_eq!(log.record(DropReason::Rejected(1), logs(2), now), Some(logs(2)));
        assert_eq!(log.record(DropReason::Rejected(0), logs(4), now), None);
    }

    #[test]
    fn undeliverable_sandbox_warns_once() {
        let (mut log, now) = (DropLog::default(), Instant::now());
        assert_eq!(log.record(DropReason::NoClient, logs(1), now), Some(logs(1)));
        assert_eq!(log.record(DropReason::NoClient, logs(1), now + LOG_INTERVAL * 100), None);
        assert_eq!(log.total(), logs(2));
    }

    #[test]
    fn only_what_there_is_any_of_is_listed() {
        let mut dropped = DropCounts::one(Kind::Series, 4);
        assert_eq!(dropped.to_string(), "4 series");
        dropped.add(DropCounts { logs: 2, datagrams: 7, ..DropCounts::default() });
        assert_eq!(dropped.to_string(), "2 logs, 4 series, 7 datagrams");
    }
}
