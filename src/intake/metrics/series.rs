//! Protobuf messages for `/api/v2/series`. A payload is a list of series in field 1.

use super::{
    merged,
    origin::{self, Metadata},
};
use crate::aggregate::contexts::{BUCKET_SECONDS, Context};

/// The intake's limit on an uncompressed request in bytes.
///
/// Source: Datadog API reference, "Submit metrics": 5 MB.
pub(super) const MAX_BYTES: usize = 5 << 20;

/// Prefix of a tag that names a resource of the metric besides the function; type and name follow, separated by a colon.
const RESOURCE: &str = "dd.internal.resource:";

/// Metric types of the API.
const COUNT: i32 = 1;
const GAUGE: i32 = 3;

/// The series of a count, with the count of each interval.
pub(super) fn count(context: &Context<f64>, function_tags: &[String]) -> Entry {
    Entry { interval: BUCKET_SECONDS, ..entry(COUNT, context, function_tags) }
}

/// The series of a gauge.
pub(super) fn gauge(context: &Context<f64>, function_tags: &[String]) -> Entry {
    entry(GAUGE, context, function_tags)
}

fn entry(kind: i32, context: &Context<f64>, function_tags: &[String]) -> Entry {
    let (about, tags) =
        merged(function_tags, context.tags()).into_iter().partition::<Vec<_>, _>(|tag| tag.starts_with(RESOURCE));
    Entry {
        resources: about.iter().filter_map(|tag| resource(tag)).collect(),
        metric: context.name().to_owned(),
        tags,
        points: context.buckets.iter().map(|bucket| Point { value: bucket.value, timestamp: bucket.second }).collect(),
        kind,
        interval: 0,
        metadata: origin::of(context.name()),
    }
}

fn resource(tag: &str) -> Option<Resource> {
    let (kind, name) = tag.strip_prefix(RESOURCE)?.split_once(':')?;
    Some(Resource { kind: kind.to_owned(), name: name.to_owned() })
}

/// The message `MetricSeries`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(message, repeated, tag = "1")]
    pub(super) resources: Vec<Resource>,
    #[prost(string, tag = "2")]
    pub(super) metric: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) tags: Vec<String>,
    #[prost(message, repeated, tag = "4")]
    pub(super) points: Vec<Point>,
    #[prost(int32, tag = "5")]
    pub(super) kind: i32,
    /// In seconds.
    #[prost(int64, tag = "8")]
    pub(super) interval: i64,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Point {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    #[prost(int64, tag = "2")]
    pub(super) timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Resource {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
}
