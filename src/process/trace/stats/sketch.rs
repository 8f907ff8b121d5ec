//! The distribution of durations in a group.
//!
//! Not the sketch of `aggregate`: the intake of stats takes another message, whose bins are numbered without a sign and count in floating point.
//!
//! Source: C. Masson et al., "`DDSketch`", VLDB 2019, and `ddsketch.proto`; the parameters are those of Datadog's backend.

use crate::process::protobuf::{self, Message, Sink};

/// A bin is 1/64 wider than the one below it.
const GAMMA: f64 = 1.015_625;
/// Puts a billionth into bin 1.
const INDEX_OFFSET: f64 = 1338.5;
/// Maximum number of bins between the lowest and the highest, both included. Below that range, the lowest takes all.
const MAX_RANGE: i32 = 2048;

/// How many values fell into each bin.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sketch {
    /// By rising index; no count is zero.
    bins: Vec<Bin>,
    zeros: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bin {
    index: i32,
    count: u64,
}

impl Sketch {
    /// Adds a value that is not negative. `spare` is how many bins may be added; without any, it goes to the next bin that there is.
    pub(super) fn insert(&mut self, value: f64, spare: &mut usize) {
        if value < f64::MIN_POSITIVE * GAMMA {
            self.zeros += 1;
        } else {
            self.add(Bin { index: index(value), count: 1 }, spare);
        }
    }

    /// Adds all of another. `spare` is how many bins may be added; without any, a count goes to the next bin that there is.
    pub(super) fn merge(&mut self, other: &Self, spare: &mut usize) {
        self.zeros = self.zeros.saturating_add(other.zeros);
        for bin in &other.bins {
            self.add(*bin, spare);
        }
    }

    /// How many bins it has.
    pub(super) fn len(&self) -> usize {
        self.bins.len()
    }

    fn add(&mut self, mut new: Bin, spare: &mut usize) {
        let highest = self.bins.last().map_or(new.index, |bin| bin.index).max(new.index);
        new.index = new.index.max(highest - MAX_RANGE + 1);
        match self.bins.binary_search_by_key(&new.index, |bin| bin.index) {
            Ok(at) => self.count(at, new.count),
            Err(at) if *spare == 0 && !self.bins.is_empty() => self.count(at.min(self.bins.len() - 1), new.count),
            Err(at) => {
                *spare = spare.saturating_sub(1);
                self.bins.insert(at, new);
                self.trim(highest - MAX_RANGE + 1);
            }
        }
    }

    fn count(&mut self, at: usize, count: u64) {
        if let Some(bin) = self.bins.get_mut(at) {
            bin.count = bin.count.saturating_add(count);
        }
    }

    /// Merges all bins below the lowest into it.
    fn trim(&mut self, lowest: i32) {
        let below = self.bins.partition_point(|bin| bin.index < lowest);
        if below == 0 {
            return;
        }
        let count = self.bins.drain(..below).fold(0_u64, |sum, bin| sum.saturating_add(bin.count));
        match self.bins.first_mut() {
            Some(bin) if bin.index == lowest => bin.count = bin.count.saturating_add(count),
            _ => self.bins.insert(0, Bin { index: lowest, count }),
        }
    }

    /// The message `DDSketch`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        protobuf::message(&mut bytes, 1, &Mapping);
        protobuf::message(&mut bytes, 2, &Store(&self.bins));
        protobuf::message(&mut bytes, 3, &Store(&[]));
        protobuf::double(&mut bytes, 4, as_float(self.zeros));
        bytes
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the logarithm of a finite float lies between -50,000 and 50,000")]
fn index(value: f64) -> i32 {
    (value.min(f64::MAX).ln() / GAMMA.ln() + INDEX_OFFSET).floor() as i32
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}

/// The message `IndexMapping`; its interpolation is the default, none.
struct Mapping;

impl Message for Mapping {
    fn write(&self, sink: &mut impl Sink) {
        protobuf::double(sink, 1, GAMMA);
        protobuf::double(sink, 2, INDEX_OFFSET);
    }
}

/// The message `Store`: all counts from the lowest bin to the highest, and the lowest bin's index; or, where these would be zero for the most part, a map of counts
/// by index.
struct Store<'s>(&'s [Bin]);

/// How many times as wide as it has bins a store's range is at most for a list: an entry of the map takes 14 bytes, an element of the list 8.
const MAX_LIST: usize = 2;

impl Message for Store<'_> {
    fn write(&self, sink: &mut impl Sink) {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return };
        let range = usize::try_from(last.index - first.index + 1).unwrap_or_default();
        if range > MAX_LIST * self.0.len() {
            for bin in self.0 {
                protobuf::message(sink, 1, bin);
            }
            return;
        }
        protobuf::begin(sink, 2, 8 * range);
        let mut bins = self.0.iter().peekable();
        for index in first.index..=last.index {
            let count = bins.next_if(|bin| bin.index == index).map_or(0, |bin| bin.count);
            sink.bytes(&as_float(count).to_le_bytes());
        }
        protobuf::zigzag(sink, 3, first.index);
    }
}

/// An entry of the map.
impl Message for Bin {
    fn write(&self, sink: &mut impl Sink) {
        protobuf::zigzag(sink, 1, self.index);
        protobuf::double(sink, 2, as_float(self.count));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct WireSketch {
        #[prost(message, optional, tag = "1")]
        mapping: Option<WireMapping>,
        #[prost(message, optional, tag = "2")]
        positive: Option<WireStore>,
        #[prost(message, optional, tag = "3")]
        negative: Option<WireStore>,
        #[prost(double, tag = "4")]
        zeros: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct WireMapping {
        #[prost(double, tag = "1")]
        gamma: f64,
        #[prost(double, tag = "2")]
        offset: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    struct WireStore {
        #[prost(map = "sint32, double", tag = "1")]
        by_index: HashMap<i32, f64>,
        #[prost(double, repeated, tag = "2")]
        counts: Vec<f64>,
        #[prost(sint32, tag = "3")]
        offset: i32,
    }

    fn decoded(sketch: &Sketch) -> WireSketch {
        prost::Message::decode(&*sketch.encode()).unwrap()
    }

    impl WireStore {
        /// All counts that are not zero, by index.
        fn all(&self) -> BTreeMap<i32, f64> {
            let list = (self.offset..).zip(self.counts.iter().copied());
            list.chain(self.by_index.clone()).filter(|(_, count)| *count > 0.0).collect()
        }
    }

    #[test]
    fn a_quantile_is_within_the_promised_error() {
        let mut sketch = Sketch::default();
        let values: Vec<f64> = (1..=2000).map(|number| f64::from(number) * f64::from(number) * 1000.0).collect();
        for value in &values {
            sketch.insert(*value, &mut usize::MAX.clone());
        }
        let wire = decoded(&sketch);
        let counts = wire.positive.unwrap().all();
        assert!((counts.values().sum::<f64>() - 2000.0).abs() < 1e-9);
        for rank in [0, 500, 1000, 1999] {
            let mut seen = 0.0;
            let at = counts.iter().find(|(_, count)| {
                seen += *count;
                seen > f64::from(u32::try_from(rank).unwrap())
            });
            let index = *at.unwrap().0;
            let lower = GAMMA.powf(f64::from(index) - INDEX_OFFSET);
            let exact = values[rank];
            assert!(lower <= exact * 1.000_001 && exact <= lower * GAMMA * 1.000_001, "{rank}: {exact} from {lower}");
        }
    }

    #[test]
    fn the_mapping_is_the_backends() {
        let mapping = decoded(&Sketch::default()).mapping.unwrap();
        assert_eq!((mapping.gamma, mapping.offset), (1.015_625, 1338.5));
        assert_eq!((index(1.0), index(1e-9), index(1e9)), (1338, 1, 2675));
    }

    #[test]
    fn zeros_are_counted_apart() {
        let mut sketch = Sketch::default();
        sketch.insert(0.0, &mut usize::MAX.clone());
        sketch.insert(0.0, &mut usize::MAX.clone());
        sketch.insert(1.0, &mut usize::MAX.clone());
        let wire = decoded(&sketch);
        assert_eq!((wire.zeros, wire.positive.unwrap().counts), (2.0, vec![1.0]));
        assert_eq!(wire.negative, Some(WireStore::default()));
    }

    #[test]
    fn the_lowest_bins_are_merged_when_the_range_is_too_wide() {
        let mut rising = Sketch::default();
        for value in &[1e-9, 1e-3, 1e9, 1e18] {
            rising.insert(*value, &mut usize::MAX.clone());
        }
        let mut falling = Sketch::default();
        for value in &[1e18, 1e9, 1e-3, 1e-9] {
            falling.insert(*value, &mut usize::MAX.clone());
        }
        assert_eq!(rising, falling);
        let highest = index(1e18);
        let expected = BTreeMap::from([(highest - 2047, 2.0), (index(1e9), 1.0), (highest, 1.0)]);
        assert_eq!(decoded(&rising).positive.unwrap().all(), expected);
    }

    #[test]
    fn bins_far_from_each_other_take_bytes_for_themselves_alone() {
        // The lowest bin has a negative index, and one is zero, which is a default.
        let mut sketch = Sketch::default();
        for value in [5e-10, 1e-9 / GAMMA, 1.0, 1.0] {
            sketch.insert(value, &mut usize::MAX.clone());
        }
        let store = decoded(&sketch).positive.unwrap();
        assert_eq!(store.by_index, HashMap::from([(index(5e-10), 1.0), (0, 1.0), (1338, 2.0)]));
        assert!(store.counts.is_empty() && store.offset == 0 && index(5e-10) < 0);
        assert!(sketch.encode().len() < 100, "{}", sketch.encode().len());
    }

    #[test]
    fn bins_side_by_side_are_a_list() {
        for (apart, is_list) in [(1, true), (2, true), (3, false)] {
            let bins = (0..100).map(|number| Bin { index: 1000 + number * apart, count: 1 }).collect();
            let store = decoded(&Sketch { bins, zeros: 0 }).positive.unwrap();
            assert_eq!((!store.counts.is_empty(), store.by_index.is_empty()), (is_list, is_list), "{apart}");
            assert_eq!(store.all().len(), 100);
        }
    }

    #[test]
    fn merging_adds_up_and_keeps_within_the_spare_bins() {
        let (mut one, mut other) = (Sketch::default(), Sketch::default());
        for value in &[1.0, 2.0, 0.0] {
            one.insert(*value, &mut usize::MAX.clone());
        }
        for value in &[2.0, 4.0, 8.0, 0.0] {
            other.insert(*value, &mut usize::MAX.clone());
        }
        let mut whole = one.clone();
        let mut spare = 10;
        whole.merge(&other, &mut spare);
        assert_eq!((whole.len(), spare, whole.zeros), (4, 8, 2));
        let mut spare = 1;
        one.merge(&other, &mut spare);
        assert_eq!((one.len(), spare), (3, 0));
        assert_eq!(one.bins.iter().map(|bin| bin.count).sum::<u64>(), 5, "no value is lost");
    }
}
