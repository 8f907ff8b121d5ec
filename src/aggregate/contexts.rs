//! The customer's metrics that wait to leave: one entry for each name, set of tags and type, with what was measured in each bucket of time.

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::Sketch;
use crate::process::dogstatsd::{Metric, Value};

/// The width of a bucket in seconds; the backend's own resolution, and the agent's interval of counts.
pub const BUCKET_SECONDS: i64 = 10;

/// How many buckets of all entries may wait; the agent's own bound. New ones are refused and counted.
pub const MAX_BUCKETS: usize = 10_240;

/// What all of them may take, in bytes: a kibibyte each. Long tags, large sets and wide distributions meet this bound first.
const MAX_BYTES: usize = MAX_BUCKETS << 10;
/// What a bucket takes beside its entry's text: its share of the map, the entry itself and a first bin or member.
const BUCKET_BYTES: usize = 320;
/// What another member of a set or bin of a distribution takes at most.
const ELEMENT_BYTES: usize = 24;

/// The metrics. Those of different types never mix, whatever their names.
#[derive(Debug, Default)]
pub struct Contexts {
    counts: Table<f64>,
    gauges: Table<f64>,
    /// The members' hashes.
    sets: Table<BTreeSet<u64>>,
    distributions: Table<Sketch>,
    room: Room,
    /// Where the text of an entry is put together.
    text: String,
    refused: u64,
}

/// Everything that has waited, each list sorted by name and tags.
#[derive(Debug, Default, PartialEq)]
pub struct Drained {
    /// Sums.
    pub counts: Vec<Context<f64>>,
    /// The last state, or for a set how many distinct members it has.
    pub gauges: Vec<Context<f64>>,
    /// Distributions.
    pub distributions: Vec<Context<Sketch>>,
}

/// A metric with its tags.
#[derive(Debug, PartialEq)]
pub struct Context<T> {
    text: Box<str>,
    /// By rising time.
    pub buckets: Vec<Bucket<T>>,
}

/// What was measured within ten seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket<T> {
    /// The bucket's start, in seconds since the epoch.
    pub second: i64,
    /// All that was measured.
    pub value: T,
}

/// By the name and the tags: `name|tag,tag`. Neither can have a bar in it.
type Table<T> = HashMap<Box<str>, Vec<Bucket<T>>>;

impl Contexts {
    /// Adds a metric to what waits.
    pub fn push(&mut self, metric: &Metric) {
        self.text.clear();
        let _ = write!(self.text, "{}|", metric.name);
        for (index, tag) in metric.tags.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(self.text, "{comma}{tag}");
        }
        let second = metric.second.div_euclid(BUCKET_SECONDS) * BUCKET_SECONDS;
        let place = Place { text: &self.text, second };
        let refused = match &metric.value {
            Value::Count(count) => u64::from(!place.update(&mut self.counts, &mut self.room, |sum, _| {
                // One sum that is no number any more would cost the whole request.
                let fits = (*sum + count).is_finite();
                *sum += if fits { *count } else { 0.0 };
                fits
            })),
            Value::Gauge(state) => u64::from(!place.update(&mut self.gauges, &mut self.room, |last, _| {
                *last = *state;
                true
            })),
            Value::Set(member) => {
                let hash = hash(member);
                u64::from(!place.update(&mut self.sets, &mut self.room, |members, room| {
                    members.contains(&hash) || (room.take(ELEMENT_BYTES) && members.insert(hash))
                }))
            }
            Value::Distribution { values, weight } => {
                let mut taken = 0;
                place.update(&mut self.distributions, &mut self.room, |sketch, room| {
                    for value in values {
                        if sketch.has_bin_of(*value) || room.take(ELEMENT_BYTES) {
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

    /// Takes everything, sorted, so that equal metrics make equal payloads.
    pub fn drain(&mut self) -> Drained {
        self.room = Room::default();
        let mut gauges = drain(&mut self.gauges, |state| state);
        gauges.extend(drain(&mut self.sets, |members| size(&members)));
        gauges.sort_by(|left, right| left.text.cmp(&right.text));
        Drained {
            counts: drain(&mut self.counts, |sum| sum),
            gauges,
            distributions: drain(&mut self.distributions, |sketch| sketch),
        }
    }

    /// How many values were refused since this was last asked.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }
}

impl Drained {
    /// Whether nothing has waited.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.gauges.is_empty() && self.distributions.is_empty()
    }
}

impl<T> Context<T> {
    /// The metric's whole name.
    pub fn name(&self) -> &str {
        self.text.split_once('|').map_or(&self.text, |(name, _)| name)
    }

    /// Its own tags, without the function's; sorted.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let tags = self.text.split_once('|').map_or("", |(_, tags)| tags);
        tags.split(',').filter(|tag| !tag.is_empty())
    }
}

/// What is taken of the bounds.
#[derive(Debug, Default)]
struct Room {
    buckets: usize,
    bytes: usize,
}

impl Room {
    /// Takes so many bytes, if there are as many.
    fn take(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= MAX_BYTES;
        self.bytes += if fits { bytes } else { 0 };
        fits
    }

    fn take_bucket(&mut self, text: usize) -> bool {
        let fits = self.buckets < MAX_BUCKETS && self.take(BUCKET_BYTES + text);
        self.buckets += usize::from(fits);
        fits
    }
}

/// Which bucket of which entry.
struct Place<'a> {
    text: &'a str,
    second: i64,
}

impl Place<'_> {
    /// Changes the bucket, which is made if need be; false if there was no room for that or for the change.
    fn update<T: Default>(
        &self,
        table: &mut Table<T>,
        room: &mut Room,
        change: impl FnOnce(&mut T, &mut Room) -> bool,
    ) -> bool {
        let found = table.get_mut(self.text);
        if let Some(bucket) = found.and_then(|all| all.iter_mut().find(|bucket| bucket.second == self.second)) {
            return change(&mut bucket.value, room);
        }
        if !room.take_bucket(self.text.len()) {
            return false;
        }
        let mut value = T::default();
        if !change(&mut value, room) {
            return false;
        }
        // Most entries have one bucket only: a vector's own guess would be four.
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

#[expect(clippy::cast_precision_loss, reason = "there is room for far less than 2^53 members")]
fn size(members: &BTreeSet<u64>) -> f64 {
    members.len() as f64
}

/// The same in every sandbox. Two members of one set share a hash once in many billions.
fn hash(member: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    member.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
#[path = "contexts_tests.rs"]
mod tests;
