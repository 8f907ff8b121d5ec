//! Trace statistics of `/api/v0.2/stats`: the agent's msgpack, whose durations are sketches in protobuf.

use prost::Message;
use serde::Serialize;

use super::msgpack::{self, Value};

/// What one request holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StatsPayload {
    pub agent_hostname: String,
    pub agent_env: String,
    pub agent_version: String,
    pub client_computed: bool,
    pub split_payload: bool,
    pub stats: Vec<ClientStats>,
}

/// What one tracer, or the extension, has counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ClientStats {
    pub hostname: String,
    pub env: String,
    pub version: String,
    pub lang: String,
    pub tracer_version: String,
    pub runtime_id: String,
    pub sequence: u64,
    pub agent_aggregation: String,
    pub service: String,
    pub container_id: String,
    pub tags: Vec<String>,
    pub buckets: Vec<StatsBucket>,
}

/// An interval.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StatsBucket {
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds.
    pub duration: u64,
    pub groups: Vec<StatsGroup>,
}

/// Spans that have everything in common that is counted by.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StatsGroup {
    pub service: String,
    pub name: String,
    pub resource: String,
    pub http_status: u32,
    #[serde(rename = "type")]
    pub kind: String,
    pub span_kind: String,
    pub synthetics: bool,
    /// 0 unset, 1 true, 2 false.
    pub is_trace_root: i32,
    pub peer_tags: Vec<String>,
    pub grpc_status: String,
    pub http_method: String,
    pub http_endpoint: String,
    pub service_source: String,
    pub hits: u64,
    pub errors: u64,
    pub top_level_hits: u64,
    /// Nanoseconds, of all of them together.
    pub duration: u64,
    /// How many durations the sketch of those without an error has.
    pub ok_count: f64,
    /// How many durations the sketch of those with an error has.
    pub error_count: f64,
}

/// Decodes a msgpack body.
pub(super) fn decode(body: &[u8], problems: &mut Vec<String>) -> Result<StatsPayload, String> {
    let mut payload = StatsPayload::default();
    for (key, value) in msgpack::decode(body)?.fields()? {
        match key.as_str() {
            "AgentHostname" => payload.agent_hostname = value.text()?,
            "AgentEnv" => payload.agent_env = value.text()?,
            "AgentVersion" => payload.agent_version = value.text()?,
            "ClientComputed" => payload.client_computed = value.bool()?,
            "SplitPayload" => payload.split_payload = value.bool()?,
            "Stats" => {
                payload.stats =
                    value.list()?.into_iter().map(|value| client(value, problems)).collect::<Result<_, _>>()?;
            }
            _ => problems.push(format!("unknown field {key} of a stats payload")),
        }
    }
    if payload.stats.iter().all(|client| client.buckets.iter().all(|bucket| bucket.groups.is_empty())) {
        problems.push("a stats payload without statistics".to_owned());
    }
    Ok(payload)
}

fn client(value: Value, problems: &mut Vec<String>) -> Result<ClientStats, String> {
    let mut client = ClientStats::default();
    for (key, value) in value.fields()? {
        match key.as_str() {
            "Hostname" => client.hostname = value.text()?,
            "Env" => client.env = value.text()?,
            "Version" => client.version = value.text()?,
            "Lang" => client.lang = value.text()?,
            "TracerVersion" => client.tracer_version = value.text()?,
            "RuntimeID" => client.runtime_id = value.text()?,
            "Sequence" => client.sequence = value.integer()?,
            "AgentAggregation" => client.agent_aggregation = value.text()?,
            "Service" => client.service = value.text()?,
            "ContainerID" => client.container_id = value.text()?,
            "Tags" => client.tags = value.texts()?,
            "GitCommitSha" | "ImageTag" | "ProcessTagsHash" | "ProcessTags" => {}
            "Stats" => {
                client.buckets =
                    value.list()?.into_iter().map(|value| bucket(value, problems)).collect::<Result<_, _>>()?;
            }
            _ => problems.push(format!("unknown field {key} of a client's stats")),
        }
    }
    Ok(client)
}

fn bucket(value: Value, problems: &mut Vec<String>) -> Result<StatsBucket, String> {
    let mut bucket = StatsBucket::default();
    for (key, value) in value.fields()? {
        match key.as_str() {
            "Start" => bucket.start = value.integer()?,
            "Duration" => bucket.duration = value.integer()?,
            "AgentTimeShift" => {}
            "Stats" => {
                bucket.groups =
                    value.list()?.into_iter().map(|value| group(value, problems)).collect::<Result<_, _>>()?;
            }
            _ => problems.push(format!("unknown field {key} of a stats bucket")),
        }
    }
    if bucket.duration == 0 {
        problems.push("a stats bucket has no duration".to_owned());
    }
    Ok(bucket)
}

fn group(value: Value, problems: &mut Vec<String>) -> Result<StatsGroup, String> {
    let mut group = StatsGroup::default();
    for (key, value) in value.fields()? {
        match key.as_str() {
            "Service" => group.service = value.text()?,
            "Name" => group.name = value.text()?,
            "Resource" => group.resource = value.text()?,
            "HTTPStatusCode" => group.http_status = value.integer()?,
            "Type" => group.kind = value.text()?,
            "SpanKind" => group.span_kind = value.text()?,
            "Synthetics" => group.synthetics = value.bool()?,
            "IsTraceRoot" => group.is_trace_root = value.integer()?,
            "PeerTags" => group.peer_tags = value.texts()?,
            "GRPCStatusCode" => group.grpc_status = value.text()?,
            "HTTPMethod" => group.http_method = value.text()?,
            "HTTPEndpoint" => group.http_endpoint = value.text()?,
            "srv_src" => group.service_source = value.text()?,
            "Hits" => group.hits = value.integer()?,
            "Errors" => group.errors = value.integer()?,
            "TopLevelHits" => group.top_level_hits = value.integer()?,
            "Duration" => group.duration = value.integer()?,
            "OkSummary" => group.ok_count = count(&value.bytes()?)?,
            "ErrorSummary" => group.error_count = count(&value.bytes()?)?,
            "DBType" | "SpanDerivedPrimaryTags" | "AdditionalMetricTags" => {}
            _ => problems.push(format!("unknown field {key} of a stats group")),
        }
    }
    Ok(group)
}

/// How many values a sketch has.
fn count(sketch: &[u8]) -> Result<f64, String> {
    let sketch = wire::Sketch::decode(sketch).map_err(|error| format!("a summary is no DDSketch: {error}"))?;
    let store = |store: Option<wire::Store>| {
        let store = store.unwrap_or_default();
        store.counts.values().sum::<f64>() + store.contiguous.iter().sum::<f64>()
    };
    Ok(sketch.zero_count + store(sketch.positive) + store(sketch.negative))
}

/// The protobuf messages of the sketch.
///
/// Source: Datadog's public `sketches-go`, `ddsketch.proto`.
mod wire {
    use std::collections::HashMap;

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Sketch {
        #[prost(message, optional, tag = "1")]
        pub mapping: Option<Mapping>,
        #[prost(message, optional, tag = "2")]
        pub positive: Option<Store>,
        #[prost(message, optional, tag = "3")]
        pub negative: Option<Store>,
        #[prost(double, tag = "4")]
        pub zero_count: f64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Mapping {
        #[prost(double, tag = "1")]
        pub gamma: f64,
        #[prost(double, tag = "2")]
        pub index_offset: f64,
        #[prost(int32, tag = "3")]
        pub interpolation: i32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Store {
        #[prost(map = "sint32, double", tag = "1")]
        pub counts: HashMap<i32, f64>,
        #[prost(double, repeated, packed = "true", tag = "2")]
        pub contiguous: Vec<f64>,
        #[prost(sint32, tag = "3")]
        pub first_index: i32,
    }
}
