//! Protobuf messages for `/api/beta/sketches`. A payload is a list of sketches in field 1.

use super::{
    merged,
    origin::{self, Metadata},
};
use crate::aggregate::{Sketch, contexts::Context, points::Distribution};

/// Maximum size of an uncompressed request in bytes. The intake accepts 62 MiB; at 5 MiB, compressing sketches needs no more memory than compressing
/// series.
pub(super) const MAX_BYTES: usize = 5 << 20;

/// The sketch of an enhanced metric.
pub(super) fn enhanced(distribution: &Distribution, function_tags: &[String]) -> Entry {
    let series = &distribution.series;
    Entry {
        metric: series.name.to_owned(),
        tags: merged(function_tags, series.tags.iter().map(String::as_str)),
        dogsketches: vec![dogsketch(series.second, &distribution.sketch)],
        metadata: origin::of(series.name),
    }
}

/// The sketch of a custom metric.
pub(super) fn custom(context: &Context<Sketch>, function_tags: &[String]) -> Entry {
    Entry {
        metric: context.name().to_owned(),
        tags: merged(function_tags, context.tags()),
        dogsketches: context.buckets.iter().map(|bucket| dogsketch(bucket.second, &bucket.value)).collect(),
        metadata: origin::of(context.name()),
    }
}

fn dogsketch(second: i64, sketch: &Sketch) -> Dogsketch {
    let bins = sketch.bins();
    Dogsketch {
        ts: second,
        cnt: i64::try_from(sketch.count()).unwrap_or(i64::MAX),
        min: sketch.min(),
        max: sketch.max(),
        avg: sketch.average(),
        sum: sketch.sum(),
        k: bins.iter().map(|bin| i32::from(bin.key)).collect(),
        n: bins.iter().map(|bin| bin.count).collect(),
    }
}

/// The message `Sketch`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub(super) metric: String,
    #[prost(string, repeated, tag = "4")]
    pub(super) tags: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    pub(super) dogsketches: Vec<Dogsketch>,
    #[prost(message, optional, tag = "8")]
    pub(super) metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Dogsketch {
    #[prost(int64, tag = "1")]
    pub(super) ts: i64,
    #[prost(int64, tag = "2")]
    pub(super) cnt: i64,
    #[prost(double, tag = "3")]
    pub(super) min: f64,
    #[prost(double, tag = "4")]
    pub(super) max: f64,
    #[prost(double, tag = "5")]
    pub(super) avg: f64,
    #[prost(double, tag = "6")]
    pub(super) sum: f64,
    #[prost(sint32, repeated, tag = "7")]
    pub(super) k: Vec<i32>,
    #[prost(uint32, repeated, tag = "8")]
    pub(super) n: Vec<u32>,
}
