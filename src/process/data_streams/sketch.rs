//! The distribution of latencies and sizes of one edge.
//!
//! Not the sketches of metrics and of trace statistics: Data Streams' intake takes the one that tracers send, with 1 % relative accuracy and bins without an offset.
//!
//! Source: C. Masson et al., "`DDSketch`", VLDB 2019, and `ddsketch.proto`.

use std::collections::BTreeMap;

use crate::process::protobuf::{self, Message, Sink};

/// Bins are this much wider than the one below: (1 + accuracy) / (1 - accuracy).
const GAMMA: f64 = 1.01 / 0.99;
/// Maximum number of bins between the lowest and the highest, both included. Below that range, the lowest takes all.
const MAX_RANGE: i32 = 2048;

#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Sketch {
    bins: BTreeMap<i32, u64>,
    zeros: u64,
}

impl Sketch {
    /// Adds a value; what is not positive counts as 0.
    pub(super) fn insert(&mut self, value: f64) {
        if value.is_nan() || value < f64::MIN_POSITIVE * GAMMA {
            self.zeros += 1;
            return;
        }
        let index = index(value);
        let highest = self.bins.last_key_value().map_or(index, |(highest, _)| index.max(*highest));
        let lowest = highest - MAX_RANGE + 1;
        *self.bins.entry(index.max(lowest)).or_default() += 1;
        while let Some((low, count)) = self.bins.pop_first() {
            *self.bins.entry(low.max(lowest)).or_default() += count;
            if low >= lowest {
                break;
            }
        }
    }

    /// The message `DDSketch`.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut message = Vec::new();
        self.write(&mut message);
        message
    }
}

/// The number of a positive value's bin, whose upper bound is this power of `GAMMA`.
#[expect(clippy::cast_possible_truncation, reason = "the logarithm of the greatest number is 35,490")]
fn index(value: f64) -> i32 {
    (value.min(f64::MAX).ln() / GAMMA.ln()).ceil() as i32
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}

impl Message for Sketch {
    fn write(&self, sink: &mut impl Sink) {
        protobuf::message(sink, 1, &Mapping);
        if !self.bins.is_empty() {
            protobuf::message(sink, 2, &Store(&self.bins));
        }
        protobuf::double(sink, 4, as_float(self.zeros));
    }
}

/// The message `IndexMapping`; offset and interpolation are the default, none.
struct Mapping;

impl Message for Mapping {
    fn write(&self, sink: &mut impl Sink) {
        protobuf::double(sink, 1, GAMMA);
    }
}

/// The message `Store`, as a map of counts by index.
struct Store<'s>(&'s BTreeMap<i32, u64>);

impl Message for Store<'_> {
    fn write(&self, sink: &mut impl Sink) {
        for bin in self.0 {
            protobuf::message(sink, 1, &Bin(bin));
        }
    }
}

/// An entry of the map.
struct Bin<'s>((&'s i32, &'s u64));

impl Message for Bin<'_> {
    fn write(&self, sink: &mut impl Sink) {
        let Self((index, count)) = self;
        protobuf::zigzag(sink, 1, **index);
        protobuf::double(sink, 2, as_float(**count));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use prost::Message as _;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct WireSketch {
        #[prost(message, optional, tag = "1")]
        mapping: Option<WireMapping>,
        #[prost(message, optional, tag = "2")]
        positive: Option<WireStore>,
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
    }

    fn decoded(values: &[f64]) -> WireSketch {
        let mut sketch = Sketch::default();
        for value in values {
            sketch.insert(*value);
        }
        WireSketch::decode(&*sketch.encode()).unwrap()
    }

    #[test]
    fn every_value_is_within_a_hundredth_of_its_bins_middle() {
        for value in [1e-300, 0.000_123, 0.5, 1.0, 17.0, 86_400.0, 6_291_456.0, f64::MAX] {
            let wire = decoded(&[value]);
            let gamma = wire.mapping.unwrap().gamma;
            let (index, count) = wire.positive.unwrap().by_index.into_iter().next().unwrap();
            let middle = 2.0 * gamma.powi(index) / (1.0 + gamma);
            assert!((count - 1.0).abs() < 1e-9 && (middle / value - 1.0).abs() < 0.010_1 || value > 1e300, "{value}");
        }
    }

    #[test]
    fn sketch_counts_every_value_and_invalid_latencies_as_zero() {
        let mut values = vec![0.0, -1.0, f64::NAN];
        values.extend((0..400).map(|number| 1.5_f64.powi(number - 200)));
        for order in [false, true] {
            if order {
                values.reverse();
            }
            let wire = decoded(&values);
            let bins = wire.positive.unwrap().by_index;
            let (low, high) = (bins.keys().min().unwrap(), bins.keys().max().unwrap());
            assert!((bins.values().sum::<f64>() - 400.0).abs() < 1e-9 && (wire.zeros - 3.0).abs() < 1e-9);
            assert!(high - low < MAX_RANGE, "{low} to {high}");
        }
    }
}
