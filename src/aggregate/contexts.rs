//! Aggregates of the customer's metrics: one entry per name, set of tags and type, with a value per time bucket.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::{
    Sketch,
    capacity::{self, BIN_BYTES, Capacity, MEMBER_BYTES},
};
use crate::process::dogstatsd::{Metric, Value};

/// Width of a bucket in seconds: the resolution of Datadog's backend, and the agent's interval for counts.
pub const BUCKET_SECONDS: i64 = 10;

/// Maximum number of buckets in all entries. Values for further buckets are dropped and counted.
pub const MAX_BUCKETS: usize = capacity::MAX_ENTRIES;

/// The aggregated metrics. Metrics of different types are separate, even under the same name.
#[derive(Debug, Default)]
pub struct Contexts {
    counts: Table<f64>,
    gauges: Table<f64>,
    /// Hashes of the members.
    sets: Table<BTreeSet<u64>>,
    distributions: Table<Sketch>,
    capacity: Capacity,
    /// Buffer in which the key of an entry is built.
    text: String,
    refused: u64,
}

/// All aggregated metrics, each list sorted by name and tags.
#[derive(Debug, Default, PartialEq)]
pub struct AggregatedMetrics {
    /// Sums.
    pub counts: Vec<Context<f64>>,
    /// Gauges, with the last value, and sets, with the number of distinct members.
    pub gauges: Vec<Context<f64>>,
    /// Distributions.
    pub distributions: Vec<Context<Sketch>>,
}

/// A metric context: name and tags, with its buckets.
#[derive(Debug, PartialEq)]
pub struct Context<T> {
    text: Box<str>,
    /// In ascending order of time.
    pub buckets: Vec<Bucket<T>>,
}

/// The aggregated value of ten seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket<T> {
    /// Start of the bucket in seconds since the epoch.
    pub second: i64,
    /// The aggregated value.
    pub value: T,
}

/// Entries by metric context: `name|tag,tag`. Names and tags cannot contain `|`.
type Table<T> = HashMap<Box<str>, Vec<Bucket<T>>>;

impl Contexts {
    /// Adds a metric to the aggregates.
    pub fn push(&mut self, metric: &Metric) {
        self.text.clear();
        let _ = write!(self.text, "{}|", metric.name);
        for (index, tag) in metric.tags.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(self.text, "{comma}{tag}");
        }
        let second = metric.second.div_euclid(BUCKET_SECONDS) * BUCKET_SECONDS;
        let bucket = BucketKey { text: &self.text, second };
        let refused = match &metric.value {
            Value::Count(count) => u64::from(!bucket.update(&mut self.counts, &mut self.capacity, |sum, _| {
                // A sum that is not finite would make the intake reject the whole request.
                let fits = (*sum + count).is_finite();
                *sum += if fits { *count } else { 0.0 };
                fits
            })),
            Value::Gauge(state) => u64::from(!bucket.update(&mut self.gauges, &mut self.capacity, |last, _| {
                *last = *state;
                true
            })),
            Value::Set(member) => {
                let hash = hash(member);
                u64::from(!bucket.update(&mut self.sets, &mut self.capacity, |members, capacity| {
                    members.contains(&hash) || (capacity.take(MEMBER_BYTES) && members.insert(hash))
                }))
            }
            Value::Distribution { values, weight } => {
                let mut taken = 0;
                bucket.update(&mut self.distributions, &mut self.capacity, |sketch, capacity| {
                    for value in values {
                        if !sketch.grows_with(*value) || capacity.take(BIN_BYTES) {
                            sketch.insert_times(*value, *weight);
                            taken += 1;
                        }
                    }
                    taken > 0
                });
                values.len() as u64 - taken
            }
        };
        self.refused += refused;
    }

    /// Whether there will soon be no room for further buckets.
    pub fn is_nearly_full(&self) -> bool {
        self.capacity.is_nearly_taken()
    }

    /// Removes and returns all metrics, sorted, so that equal metrics produce equal payloads.
    pub fn drain(&mut self) -> AggregatedMetrics {
        self.capacity = Capacity::default();
        let mut gauges = drain(&mut self.gauges, |state| state);
        gauges.extend(drain(&mut self.sets, |members| size(&members)));
        gauges.sort_by(|left, right| left.text.cmp(&right.text));
        AggregatedMetrics {
            counts: drain(&mut self.counts, |sum| sum),
            gauges,
            distributions: drain(&mut self.distributions, |sketch| sketch),
        }
    }

    /// Number of values dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

impl AggregatedMetrics {
    /// Whether there is no metric.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.gauges.is_empty() && self.distributions.is_empty()
    }
}

impl<T> Context<T> {
    /// The full metric name.
    pub fn name(&self) -> &str {
        self.text.split_once('|').map_or(&self.text, |(name, _)| name)
    }

    /// The metric's own tags, without the function's; sorted.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let tags = self.text.split_once('|').map_or("", |(_, tags)| tags);
        tags.split(',').filter(|tag| !tag.is_empty())
    }
}

/// The key of a bucket: entry and time.
struct BucketKey<'a> {
    text: &'a str,
    second: i64,
}

impl BucketKey<'_> {
    /// Updates a bucket, and creates it if it does not exist. Returns false if there is no capacity for the bucket or the change.
    fn update<T: Default>(
        &self,
        table: &mut Table<T>,
        capacity: &mut Capacity,
        change: impl FnOnce(&mut T, &mut Capacity) -> bool,
    ) -> bool {
        let found = table.get_mut(self.text);
        if let Some(bucket) = found.and_then(|all| all.iter_mut().find(|bucket| bucket.second == self.second)) {
            return change(&mut bucket.value, capacity);
        }
        let before = *capacity;
        if !capacity.take_entry(self.text.len()) {
            return false;
        }
        let mut value = T::default();
        if !change(&mut value, capacity) {
            *capacity = before;
            return false;
        }
        // Most entries have a single bucket; `Vec` would allocate room for four.
        let buckets = table.entry(self.text.into()).or_insert_with(|| Vec::with_capacity(1));
        buckets.push(Bucket { second: self.second, value });
        true
    }
}

fn drain<T, U>(table: &mut Table<T>, value: impl Fn(T) -> U) -> Vec<Context<U>> {
    let turned = |bucket: Bucket<T>| Bucket { second: bucket.second, value: value(bucket.value) };
    let mut all: Vec<_> = std::mem::take(table)
        .into_iter()
        .map(|(text, mut buckets)| {
            buckets.sort_by_key(|bucket| bucket.second);
            Context { text, buckets: buckets.into_iter().map(turned).collect() }
        })
        .collect();
    all.sort_by(|left, right| left.text.cmp(&right.text));
    all
}

#[expect(clippy::cast_precision_loss, reason = "the bound is far below 2^53 members")]
fn size(members: &BTreeSet<u64>) -> f64 {
    members.len() as f64
}

/// A hash that is the same in every sandbox. A 64-bit collision in a set is very unlikely.
fn hash(member: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    member.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "contexts_tests.rs"]
mod tests;
