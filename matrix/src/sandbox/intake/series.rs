//! Series payloads of `/api/v2/series`: JSON as in the public API reference ("Submit metrics", v2), or the agent's protobuf.

use prost::Message;
use serde::{Deserialize, Serialize};

use super::proto::{Field, Shape, unknown_fields};

/// One metric with its points.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Series {
    pub metric: String,
    pub kind: Kind,
    pub points: Vec<SeriesPoint>,
    pub tags: Vec<String>,
    pub resources: Vec<Resource>,
    /// The interval of a count or a rate in seconds; 0 means none.
    pub interval: i64,
    pub unit: String,
    pub source_type_name: String,
    pub origin: Option<Origin>,
}

/// The metric types of the v2 API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Unspecified,
    Count,
    Rate,
    Gauge,
    /// A number that the API does not define.
    Undefined(i64),
}

/// One point.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// Seconds since the epoch.
    pub timestamp: i64,
    pub value: f64,
}

/// A resource of a metric, such as a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    #[serde(rename = "type")]
    pub kind: String,
    pub name: String,
}

/// The origin of a metric: product, category (sub-product) and service (product detail), as numbers from Datadog's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    pub product: u32,
    pub category: u32,
    pub service: u32,
}

impl From<i64> for Kind {
    fn from(number: i64) -> Self {
        match number {
            0 => Self::Unspecified,
            1 => Self::Count,
            2 => Self::Rate,
            3 => Self::Gauge,
            other => Self::Undefined(other),
        }
    }
}

/// Decodes a JSON body.
pub(super) fn decode_json(body: &[u8], problems: &mut Vec<String>) -> Result<Vec<Series>, String> {
    let payload: json::Payload =
        serde_json::from_slice(body).map_err(|error| format!("the body is not a series document: {error}"))?;
    let series: Vec<Series> = payload.series.into_iter().map(Series::from).collect();
    check(&series, problems);
    Ok(series)
}

/// Decodes a protobuf body.
pub(super) fn decode_protobuf(body: &[u8], problems: &mut Vec<String>) -> Result<Vec<Series>, String> {
    let payload =
        wire::MetricPayload::decode(body).map_err(|error| format!("the body is no MetricPayload: {error}"))?;
    problems.extend(unknown_fields(body, &PAYLOAD).into_iter().map(|path| format!("unknown protobuf field {path}")));
    let series: Vec<Series> = payload.series.into_iter().map(Series::from).collect();
    check(&series, problems);
    Ok(series)
}

fn check(all: &[Series], problems: &mut Vec<String>) {
    for series in all {
        if series.metric.is_empty() {
            problems.push("a series has no metric name".to_owned());
        }
        if let Kind::Undefined(number) = series.kind {
            problems.push(format!("{}: metric type {number} is not defined", series.metric));
        }
        if series.points.is_empty() {
            problems.push(format!("{}: a series has no points", series.metric));
        }
    }
}

/// The JSON document.
mod json {
    use serde::Deserialize;

    use super::{Origin, Resource, SeriesPoint};

    #[derive(Deserialize)]
    pub(super) struct Payload {
        pub(super) series: Vec<Series>,
    }

    #[derive(Deserialize)]
    pub(super) struct Series {
        metric: String,
        #[serde(default, rename = "type")]
        kind: i64,
        points: Vec<SeriesPoint>,
        #[serde(default)]
        tags: Vec<String>,
        #[serde(default)]
        resources: Vec<Resource>,
        #[serde(default)]
        interval: i64,
        #[serde(default)]
        unit: String,
        #[serde(default)]
        source_type_name: String,
        metadata: Option<Metadata>,
    }

    #[derive(Deserialize)]
    struct Metadata {
        origin: Option<Numbers>,
    }

    #[derive(Deserialize)]
    struct Numbers {
        #[serde(default, rename = "origin_product")]
        product: u32,
        #[serde(default, rename = "origin_sub_product")]
        category: u32,
        #[serde(default, rename = "origin_product_detail")]
        service: u32,
    }

    impl From<Series> for super::Series {
        fn from(series: Series) -> Self {
            let origin = series.metadata.and_then(|metadata| metadata.origin).map(|numbers| Origin {
                product: numbers.product,
                category: numbers.category,
                service: numbers.service,
            });
            Self {
                metric: series.metric,
                kind: series.kind.into(),
                points: series.points,
                tags: series.tags,
                resources: series.resources,
                interval: series.interval,
                unit: series.unit,
                source_type_name: series.source_type_name,
                origin,
            }
        }
    }
}

/// The protobuf messages, named as in the agent's payload definitions.
pub(super) mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricPayload {
        #[prost(message, repeated, tag = "1")]
        pub series: Vec<MetricSeries>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricSeries {
        #[prost(message, repeated, tag = "1")]
        pub resources: Vec<Resource>,
        #[prost(string, tag = "2")]
        pub metric: String,
        #[prost(string, repeated, tag = "3")]
        pub tags: Vec<String>,
        #[prost(message, repeated, tag = "4")]
        pub points: Vec<MetricPoint>,
        #[prost(int32, tag = "5")]
        pub kind: i32,
        #[prost(string, tag = "6")]
        pub unit: String,
        #[prost(string, tag = "7")]
        pub source_type_name: String,
        #[prost(int64, tag = "8")]
        pub interval: i64,
        #[prost(message, optional, tag = "9")]
        pub metadata: Option<Metadata>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct MetricPoint {
        #[prost(double, tag = "1")]
        pub value: f64,
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Resource {
        #[prost(string, tag = "1")]
        pub kind: String,
        #[prost(string, tag = "2")]
        pub name: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Metadata {
        #[prost(message, optional, tag = "1")]
        pub origin: Option<Origin>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Origin {
        #[prost(uint32, tag = "4")]
        pub product: u32,
        #[prost(uint32, tag = "5")]
        pub category: u32,
        #[prost(uint32, tag = "6")]
        pub service: u32,
    }
}

/// The metadata message, which sketches share.
pub(super) const METADATA: Shape = Shape(&[Field::message(
    1,
    "origin",
    &Shape(&[Field::leaf(4, "origin_product"), Field::leaf(5, "origin_category"), Field::leaf(6, "origin_service")]),
)]);

const SERIES: Shape = Shape(&[
    Field::message(1, "resources", &Shape(&[Field::leaf(1, "type"), Field::leaf(2, "name")])),
    Field::leaf(2, "metric"),
    Field::leaf(3, "tags"),
    Field::message(4, "points", &Shape(&[Field::leaf(1, "value"), Field::leaf(2, "timestamp")])),
    Field::leaf(5, "type"),
    Field::leaf(6, "unit"),
    Field::leaf(7, "source_type_name"),
    Field::leaf(8, "interval"),
    Field::message(9, "metadata", &METADATA),
]);

const PAYLOAD: Shape = Shape(&[Field::message(1, "series", &SERIES)]);

impl From<wire::MetricSeries> for Series {
    fn from(series: wire::MetricSeries) -> Self {
        let point = |point: wire::MetricPoint| SeriesPoint { timestamp: point.timestamp, value: point.value };
        let resource = |resource: wire::Resource| Resource { kind: resource.kind, name: resource.name };
        Self {
            metric: series.metric,
            kind: i64::from(series.kind).into(),
            points: series.points.into_iter().map(point).collect(),
            tags: series.tags,
            resources: series.resources.into_iter().map(resource).collect(),
            interval: series.interval,
            unit: series.unit,
            source_type_name: series.source_type_name,
            origin: series.metadata.and_then(Origin::of),
        }
    }
}

impl Origin {
    pub(super) fn of(metadata: wire::Metadata) -> Option<Self> {
        metadata.origin.map(|origin| Self {
            product: origin.product,
            category: origin.category,
            service: origin.service,
        })
    }
}
