//! Payloads for the metrics intakes: distributions as sketches, counts and gauges as series.
//!
//! Source: the public `agent-payload` protocol, which the Datadog agent uses with `/api/beta/sketches` and `/api/v2/series`.

mod origin;
mod series;
mod sketches;

use super::{
    Kind, Target, UnsealedPayload,
    descriptor::{Descriptor, Encoding, Success},
};
use crate::{
    aggregate::{
        EncodedBatches,
        contexts::AggregatedMetrics,
        encoded::{BatchFormat, EncodedBatch},
        points::Distribution,
    },
    config::Metrics,
};

/// The intakes' limit on entries per request.
const MAX_ENTRIES: usize = 1000;
/// The protobuf key of every entry: field 1, length-delimited.
const ENTRY: u8 = 0x0a;

/// The series intake's limit on a body as it is sent.
///
/// Source: Datadog API reference, "Submit metrics": 500 kilobytes (512,000 bytes).
const MAX_SEALED_SERIES_BYTES: usize = 512_000;

const METRICS: Descriptor = Descriptor {
    name: "METRICS",
    path: "",
    content_type: "application/x-protobuf",
    headers: &[],
    encoding: Encoding::Zstd,
    max_sealed_bytes: None,
    success: Success::Any,
};

/// Descriptor of distributions.
pub(super) const SKETCHES: Descriptor = Descriptor { path: "/api/beta/sketches", ..METRICS };

/// Descriptor of counts and gauges.
pub(super) const SERIES: Descriptor =
    Descriptor { path: "/api/v2/series", max_sealed_bytes: Some(MAX_SEALED_SERIES_BYTES), ..METRICS };

/// The metrics of one flush.
#[derive(Debug, Default)]
pub struct MetricSnapshot {
    /// Enhanced metrics.
    pub enhanced: Vec<Distribution>,
    /// Custom metrics.
    pub custom: AggregatedMetrics,
}

/// Encodes metrics in as many payloads as the limits require. Every entry carries the function's tags and its own, sorted.
pub fn unsealed(measured: &MetricSnapshot, function_tags: &[String], settings: &Metrics) -> Vec<UnsealedPayload> {
    let custom_tags = without(function_tags, &settings.excluded_tags);
    let MetricSnapshot { enhanced, custom } = measured;
    let mut sketches = batches(sketches::MAX_BYTES);
    for distribution in enhanced {
        push(&mut sketches, &sketches::enhanced(distribution, function_tags));
    }
    for context in &custom.distributions {
        push(&mut sketches, &sketches::custom(context, &custom_tags));
    }
    let mut series = batches(series::MAX_BYTES);
    for context in &custom.counts {
        push(&mut series, &series::count(context, &custom_tags));
    }
    for context in &custom.gauges {
        push(&mut series, &series::gauge(context, &custom_tags));
    }
    let mut all = payloads(Kind::Sketches, sketches, settings);
    all.extend(payloads(Kind::Series, series, settings));
    all
}

fn without(tags: &[String], excluded: &[String]) -> Vec<String> {
    let key = |tag: &str| tag.split_once(':').map_or(tag, |(key, _)| key).to_owned();
    tags.iter().filter(|tag| !excluded.contains(&key(tag))).cloned().collect()
}

/// The function's tags and the entry's own: sorted, without duplicates.
fn merged<'a>(function_tags: &[String], own: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut tags: Vec<_> = function_tags.iter().cloned().chain(own.map(str::to_owned)).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}

/// Entries, each behind its key, are the whole body.
fn batches(max_bytes: usize) -> EncodedBatches {
    EncodedBatches::new(BatchFormat { max_entries: MAX_ENTRIES, max_bytes, start: ENTRY, separator: ENTRY, end: None })
}

fn push(batches: &mut EncodedBatches, entry: &impl prost::Message) {
    batches.push(&entry.encode_length_delimited_to_vec());
}

fn payloads(kind: Kind, mut batches: EncodedBatches, settings: &Metrics) -> Vec<UnsealedPayload> {
    let payload = |EncodedBatch { body, entries: items }| {
        let (level, to) = (Some(settings.compression_level), Target::all(&settings.additional_endpoints));
        UnsealedPayload { kind, head: None, body: body.into(), level, items, to, plain_to: Vec::new() }
    };
    batches.drain().into_iter().map(payload).collect()
}

#[cfg(test)]
mod tests;
