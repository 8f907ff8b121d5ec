//! Payloads for the metrics intakes: distributions as sketches, counts and gauges as series.
//!
//! Source: the public `agent-payload` protocol, which the Datadog agent uses with `/api/beta/sketches` and `/api/v2/series`.

mod origin;
mod series;
mod sketches;

use std::sync::Arc;

use super::{
    Kind, Target, UnsealedPayload,
    descriptor::{Descriptor, Encoding, Success},
};
use crate::{
    aggregate::{contexts::AggregatedMetrics, points::Distribution},
    config::{Endpoint, Metrics},
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

/// What the intake of distributions takes.
pub(super) const SKETCHES: Descriptor = Descriptor { path: "/api/beta/sketches", ..METRICS };

/// What the intake of counts and gauges takes.
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
    let mut sketches = Requests::new(Kind::Sketches, sketches::MAX_BYTES, settings);
    for distribution in enhanced {
        sketches.push(&sketches::enhanced(distribution, function_tags));
    }
    for context in &custom.distributions {
        sketches.push(&sketches::custom(context, &custom_tags));
    }
    let mut series = Requests::new(Kind::Series, series::MAX_BYTES, settings);
    for context in &custom.counts {
        series.push(&series::count(context, &custom_tags));
    }
    for context in &custom.gauges {
        series.push(&series::gauge(context, &custom_tags));
    }
    let mut payloads = sketches.finish();
    payloads.extend(series.finish());
    payloads
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

/// Distributes entries over requests.
struct Requests<'a> {
    kind: Kind,
    max_bytes: usize,
    level: i32,
    also_to: &'a [Arc<Endpoint>],
    open: Vec<u8>,
    open_entries: usize,
    full: Vec<UnsealedPayload>,
}

impl<'a> Requests<'a> {
    fn new(kind: Kind, max_bytes: usize, settings: &'a Metrics) -> Self {
        let (level, also_to) = (settings.compression_level, &settings.additional_endpoints);
        Self { kind, max_bytes, level, also_to, open: Vec::new(), open_entries: 0, full: Vec::new() }
    }

    /// Adds an entry. An entry larger than the limit gets a request of its own.
    fn push(&mut self, entry: &impl prost::Message) {
        let entry = entry.encode_length_delimited_to_vec();
        if self.open_entries == MAX_ENTRIES || self.open.len() + 1 + entry.len() > self.max_bytes {
            self.close();
        }
        self.open.push(ENTRY);
        self.open.extend_from_slice(&entry);
        self.open_entries += 1;
    }

    fn close(&mut self) {
        if self.open_entries > 0 {
            let mut body = std::mem::take(&mut self.open);
            // The allocated size counts in the memory budget.
            body.shrink_to_fit();
            self.full.push(UnsealedPayload {
                kind: self.kind,
                head: None,
                body: body.into(),
                level: Some(self.level),
                items: std::mem::take(&mut self.open_entries),
                to: Target::all(self.also_to),
                plain_to: Vec::new(),
            });
        }
    }

    fn finish(mut self) -> Vec<UnsealedPayload> {
        self.close();
        self.full
    }
}

#[cfg(test)]
mod tests;
