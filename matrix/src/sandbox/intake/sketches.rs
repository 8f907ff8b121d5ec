//! Sketch payloads of `/api/beta/sketches`: the agent's protobuf, with bins of a logarithmic mapping.

use prost::Message;
use serde::Serialize;

use super::proto::{Field, Shape, unknown_fields};
use super::series::{METADATA, Origin, wire::Metadata};

/// One metric of a sketch payload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sketch {
    pub metric: String,
    pub host: String,
    pub tags: Vec<String>,
    pub distributions: Vec<Distribution>,
    pub origin: Option<Origin>,
}

/// One sketch: the distribution of the samples of ten seconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Distribution {
    /// Seconds since the epoch.
    pub ts: i64,
    pub cnt: i64,
    pub min: f64,
    pub max: f64,
    pub avg: f64,
    pub sum: f64,
    pub bins: Vec<Bin>,
}

/// A bin with its number of samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bin {
    pub key: i32,
    pub count: u32,
    /// The value of the bin's key; infinite for the last key, negative for negative keys.
    pub low: f64,
}

/// The growth factor of a bin: one plus twice the agent's relative error of 1/128.
const GAMMA: f64 = 1.015_625;
/// The key of the value 1.
const BIAS: i32 = 1338;
/// The last key, for all values above the range of the bins.
const LAST: i32 = 32_767;
const FIRST: i32 = -LAST;
/// Maximum number of bins. A sketch with this many has merged its lowest bins, so they say nothing about the sum any more.
const BIN_LIMIT: usize = 4096;
/// Relative tolerance for sums that were added in another order.
const ROUNDING: f64 = 1e-6;

impl Bin {
    fn new(key: i32, count: u32) -> Self {
        let low = match key {
            0 => 0.0,
            LAST.. => f64::INFINITY,
            1.. => GAMMA.powi(key - BIAS),
            i32::MIN..=FIRST => f64::NEG_INFINITY,
            _ => -GAMMA.powi(-key - BIAS),
        };
        Self { key, count, low }
    }
}

/// Decodes a protobuf body.
pub(super) fn decode(body: &[u8], problems: &mut Vec<String>) -> Result<Vec<Sketch>, String> {
    let payload =
        wire::SketchPayload::decode(body).map_err(|error| format!("the body is no SketchPayload: {error}"))?;
    problems.extend(unknown_fields(body, &PAYLOAD).into_iter().map(|path| format!("unknown protobuf field {path}")));
    let mut sketches = Vec::with_capacity(payload.sketches.len());
    for sketch in payload.sketches {
        if sketch.metric.is_empty() {
            problems.push("a sketch has no metric name".to_owned());
        }
        if sketch.dogsketches.is_empty() {
            problems.push(format!("{}: a sketch entry has no sketch in it", sketch.metric));
        }
        for dogsketch in &sketch.dogsketches {
            if dogsketch.k.len() != dogsketch.n.len() {
                let (keys, counts) = (dogsketch.k.len(), dogsketch.n.len());
                problems.push(format!("{}: {keys} bin keys but {counts} bin counts", sketch.metric));
            }
        }
        let distributions: Vec<Distribution> = sketch.dogsketches.into_iter().map(Distribution::from).collect();
        for distribution in &distributions {
            problems.extend(distribution.faults().into_iter().map(|fault| format!("{}: {fault}", sketch.metric)));
        }
        let origin = sketch.metadata.and_then(Origin::of);
        sketches.push(Sketch { metric: sketch.metric, host: sketch.host, tags: sketch.tags, distributions, origin });
    }
    Ok(sketches)
}

impl Distribution {
    /// Contradictions between the sketch's numbers.
    fn faults(&self) -> Vec<String> {
        let Self { cnt, min, max, avg, sum, bins, .. } = self;
        let mut faults = Vec::new();
        let binned: i64 = bins.iter().map(|bin| i64::from(bin.count)).sum();
        if *cnt <= 0 {
            faults.push(format!("a sketch of {cnt} samples"));
        }
        if binned != *cnt {
            faults.push(format!("{cnt} samples but {binned} in the bins"));
        }
        if min > max {
            faults.push(format!("min {min} is above max {max}"));
        }
        #[expect(clippy::cast_precision_loss, reason = "a count beyond 2^53 has long failed elsewhere")]
        let count = *cnt as f64;
        if !close(avg * count, *sum) {
            faults.push(format!("avg {avg} times {cnt} samples is not the sum {sum}"));
        }
        if !bins.is_sorted_by_key(|bin| bin.key) {
            faults.push("bin keys are not in ascending order".to_owned());
        }
        if bins.len() < BIN_LIMIT {
            faults.extend(self.sum_fault());
            faults.extend(edge_fault("min", *min, bins.first()));
        }
        faults.extend(edge_fault("max", *max, bins.last()));
        faults
    }

    /// A contradiction between the sum and the bins. A value lies within half a bin of its key's value; the check allows a whole bin.
    fn sum_fault(&self) -> Option<String> {
        if self.bins.iter().any(|bin| bin.low.is_infinite()) {
            return None;
        }
        let (mut least, mut most) = (0.0, 0.0);
        for bin in &self.bins {
            let (a, b) = (f64::from(bin.count) * bin.low / GAMMA, f64::from(bin.count) * bin.low * GAMMA);
            least += a.min(b);
            most += a.max(b);
        }
        // Values below the range of the bins are in bin 0. Each may add up to the smallest value of a bin.
        let room = 1e-9 * f64::from(self.bins.iter().filter(|bin| bin.key == 0).map(|bin| bin.count).sum::<u32>());
        let inside = self.sum >= least - room && self.sum <= most + room;
        let near = close(self.sum, least) || close(self.sum, most);
        (!inside && !near).then(|| format!("the sum {} is not what its bins add up to, {least} to {most}", self.sum))
    }
}

fn edge_fault(name: &str, value: f64, bin: Option<&Bin>) -> Option<String> {
    let bin = bin.filter(|bin| bin.low.is_finite())?;
    let (a, b) = (bin.low / GAMMA, bin.low * GAMMA);
    let room = if bin.key == 0 { 1e-9 } else { 0.0 };
    let inside = value >= a.min(b) - room && value <= a.max(b) + room;
    (!inside).then(|| format!("{name} {value} is not in its bin, whose key {} stands for {}", bin.key, bin.low))
}

fn close(a: f64, b: f64) -> bool {
    // Equality comes first, because the difference of infinities is not a number.
    #[expect(clippy::float_cmp, reason = "an exact match is a match")]
    let same = a == b;
    same || (a - b).abs() <= ROUNDING * a.abs().max(b.abs()).max(1e-9)
}

/// The protobuf messages, named as in the agent's payload definitions.
pub(super) mod wire {
    use super::Metadata;

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SketchPayload {
        #[prost(message, repeated, tag = "1")]
        pub sketches: Vec<Sketch>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Sketch {
        #[prost(string, tag = "1")]
        pub metric: String,
        #[prost(string, tag = "2")]
        pub host: String,
        #[prost(string, repeated, tag = "4")]
        pub tags: Vec<String>,
        #[prost(message, repeated, tag = "7")]
        pub dogsketches: Vec<Dogsketch>,
        #[prost(message, optional, tag = "8")]
        pub metadata: Option<Metadata>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Dogsketch {
        #[prost(int64, tag = "1")]
        pub ts: i64,
        #[prost(int64, tag = "2")]
        pub cnt: i64,
        #[prost(double, tag = "3")]
        pub min: f64,
        #[prost(double, tag = "4")]
        pub max: f64,
        #[prost(double, tag = "5")]
        pub avg: f64,
        #[prost(double, tag = "6")]
        pub sum: f64,
        #[prost(sint32, repeated, tag = "7")]
        pub k: Vec<i32>,
        #[prost(uint32, repeated, tag = "8")]
        pub n: Vec<u32>,
    }
}

const DOGSKETCH: Shape = Shape(&[
    Field::leaf(1, "ts"),
    Field::leaf(2, "cnt"),
    Field::leaf(3, "min"),
    Field::leaf(4, "max"),
    Field::leaf(5, "avg"),
    Field::leaf(6, "sum"),
    Field::leaf(7, "k"),
    Field::leaf(8, "n"),
]);

/// Field 3, the distributions of an older format, is known and ignored.
const SKETCH: Shape = Shape(&[
    Field::leaf(1, "metric"),
    Field::leaf(2, "host"),
    Field::leaf(3, "distributions"),
    Field::leaf(4, "tags"),
    Field::message(7, "dogsketches", &DOGSKETCH),
    Field::message(8, "metadata", &METADATA),
]);

const PAYLOAD: Shape = Shape(&[Field::message(1, "sketches", &SKETCH), Field::leaf(2, "metadata")]);

impl From<wire::Dogsketch> for Distribution {
    fn from(sketch: wire::Dogsketch) -> Self {
        let bins = sketch.k.into_iter().zip(sketch.n).map(|(key, count)| Bin::new(key, count)).collect();
        Self {
            ts: sketch.ts,
            cnt: sketch.cnt,
            min: sketch.min,
            max: sketch.max,
            avg: sketch.avg,
            sum: sketch.sum,
            bins,
        }
    }
}

#[cfg(test)]
mod tests;
