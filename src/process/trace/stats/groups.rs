//! The stats of one request, before they are merged with those of others.

use std::collections::HashMap;

use super::{
    BUCKET_NANOSECONDS, Origin, aligned,
    key::{Key, KeyTags, Keys},
    sketch::Sketch,
};
use crate::process::{
    msgpack::Writer,
    trace::{
        chunk::{is_marked, is_top_level},
        span::Span,
        tags::CommonTags,
    },
};

/// Maximum number of buckets of a request before the current one: an hour's.
const MAX_BUCKETS: i64 = 360;

/// Maximum number of groups in a bucket of the concentrator, and in all buckets of one request; the spans of further ones are counted together.
pub(super) const MAX_GROUPS: usize = 7_000;

/// Maximum number of bins of all sketches, 16 bytes each. When they are used up, durations are counted in the next bin that there is.
pub(super) const MAX_BINS: usize = 256 << 10;

/// Maximum size of the keys of all groups in bytes. When they are used up, further groups are counted together.
pub(super) const MAX_KEY_BYTES: usize = 4 << 20;

/// Values by bucket and group. Made on the task that serves the request, so that only groups, not spans, are handed over.
#[derive(Debug, Default)]
pub struct Groups {
    pub(super) buckets: HashMap<i64, Bucket>,
    /// The start of the current bucket.
    current: i64,
    /// The tracer behind the request.
    pub(super) origin: Option<Origin>,
    /// Scratch space for keys.
    key: Writer,
    /// How many groups there are in all buckets, and what they take.
    count: usize,
    key_bytes: usize,
    bins: usize,
    /// How many spans were counted together because there were too many groups.
    pub(super) collapsed: usize,
}

/// The groups of one bucket of ten seconds.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// By the bytes of their keys.
    pub(super) groups: HashMap<Box<[u8]>, Values>,
    /// All of which there are too many.
    pub(super) others: Values,
}

/// Hits, errors and durations of one group.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Values {
    pub(super) hits: u64,
    pub(super) errors: u64,
    /// Nanoseconds.
    pub(super) duration: u64,
    pub(super) top_level_hits: u64,
    /// Durations in nanoseconds, without and with an error.
    pub(super) ok_summary: Sketch,
    pub(super) error_summary: Sketch,
}

impl Groups {
    /// None yet; `now` is in nanoseconds since the epoch.
    pub(in crate::process::trace) fn new(now: i64) -> Self {
        Self { current: aligned(now), ..Self::default() }
    }

    /// Whether there is nothing to merge.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// How many spans were counted.
    #[cfg(test)]
    pub(in crate::process::trace) fn hits(&self) -> u64 {
        self.buckets
            .values()
            .flat_map(|bucket| bucket.groups.values().chain([&bucket.others]))
            .map(|values| values.hits)
            .sum()
    }

    pub(in crate::process::trace) fn set_origin(&mut self, origin: Origin) {
        self.origin = Some(origin);
    }

    /// Counts a span, if it is of a kind that is counted. The tags are those that every span has.
    pub(in crate::process::trace) fn add(&mut self, span: &Span<'_>, common: &CommonTags, keys: &Keys) {
        let found = KeyTags::of(span, common);
        if !is_eligible(span, found.span_kind.unwrap_or_default()) {
            return;
        }
        self.key.clear();
        Key::of(span, &found, common, keys).write(&mut self.key);
        // So many buckets there can be at most, whatever times the spans have.
        let oldest = self.current.saturating_sub(MAX_BUCKETS * BUCKET_NANOSECONDS);
        let start = aligned(span.end()).clamp(oldest, self.current);
        let bucket = self.buckets.entry(start).or_default();
        let key = self.key.as_bytes();
        let values = match bucket.groups.get_mut(key) {
            Some(values) => values,
            None if self.count < MAX_GROUPS && self.key_bytes + key.len() <= MAX_KEY_BYTES => {
                self.count += 1;
                self.key_bytes += key.len();
                bucket.groups.entry(key.into()).or_default()
            }
            None => {
                self.collapsed += 1;
                &mut bucket.others
            }
        };
        let spare = MAX_BINS.saturating_sub(self.bins);
        let mut left = spare;
        values.add(span, &mut left);
        self.bins += spare - left;
    }
}

/// Spans that enter a service, that are marked to be measured, or whose kind says that they cross a border; never those that go on and are sent for a second time
/// when they have ended.
fn is_eligible(span: &Span<'_>, kind: &str) -> bool {
    let counts = is_top_level(span)
        || is_marked(span, "_dd.measured")
        || ["client", "consumer", "producer", "server"].iter().any(|border| kind.eq_ignore_ascii_case(border));
    counts && !span.metrics.get("_dd.partial_version").is_some_and(|version| *version >= 0.0)
}

impl Values {
    #[expect(clippy::cast_precision_loss, reason = "durations below 104 days are exact, longer ones need not be")]
    /// Adds a span; `spare` is how many bins the sketches may grow by.
    fn add(&mut self, span: &Span<'_>, spare: &mut usize) {
        let duration = u64::try_from(span.duration).unwrap_or_default();
        self.hits += 1;
        self.duration = self.duration.saturating_add(duration);
        self.top_level_hits += u64::from(is_top_level(span));
        if span.error == 0 {
            self.ok_summary.insert(duration as f64, spare);
        } else {
            self.errors += 1;
            self.error_summary.insert(duration as f64, spare);
        }
    }

    /// Adds all of another; `spare` is how many bins the sketches may grow by.
    pub(super) fn merge(&mut self, other: &Self, spare: &mut usize) {
        self.hits = self.hits.saturating_add(other.hits);
        self.errors = self.errors.saturating_add(other.errors);
        self.duration = self.duration.saturating_add(other.duration);
        self.top_level_hits = self.top_level_hits.saturating_add(other.top_level_hits);
        self.ok_summary.merge(&other.ok_summary, spare);
        self.error_summary.merge(&other.error_summary, spare);
    }

    /// How many bins its sketches have.
    pub(super) fn bins(&self) -> usize {
        self.ok_summary.len() + self.error_summary.len()
    }
}
