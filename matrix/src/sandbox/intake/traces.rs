//! Trace payloads of `/api/v0.2/traces`: the agent's protobuf.

use std::collections::BTreeMap;

use prost::Message;
use serde::{Serialize, Serializer};

use super::proto::{Field, Shape, unknown_fields};
use super::proxied::hexadecimal;

/// What one request holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AgentPayload {
    pub hostname: String,
    pub env: String,
    pub agent_version: String,
    pub target_tps: f64,
    pub error_tps: f64,
    pub tags: BTreeMap<String, String>,
    pub tracer_payloads: Vec<TracerPayload>,
}

/// What one tracer has sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TracerPayload {
    pub container_id: String,
    pub language_name: String,
    pub language_version: String,
    pub tracer_version: String,
    pub runtime_id: String,
    pub env: String,
    pub hostname: String,
    pub app_version: String,
    pub tags: BTreeMap<String, String>,
    pub chunks: Vec<TraceChunk>,
}

/// Spans of one trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TraceChunk {
    pub priority: i32,
    pub origin: String,
    pub dropped: bool,
    pub tags: BTreeMap<String, String>,
    pub spans: Vec<Span>,
}

/// One operation. Ids are text in JSON, because many readers of JSON round large numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Span {
    pub service: String,
    pub name: String,
    pub resource: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// The low half.
    #[serde(serialize_with = "as_text")]
    pub trace_id: u64,
    #[serde(serialize_with = "as_text")]
    pub span_id: u64,
    /// 0 for a root.
    #[serde(serialize_with = "as_text")]
    pub parent_id: u64,
    /// Nanoseconds since the epoch.
    pub start: i64,
    /// Nanoseconds.
    pub duration: i64,
    pub error: i32,
    pub meta: BTreeMap<String, String>,
    pub metrics: BTreeMap<String, f64>,
    /// The values in hexadecimal.
    pub meta_struct: BTreeMap<String, String>,
    pub links: Vec<SpanLink>,
    pub events: Vec<SpanEvent>,
}

/// A reference to a span of another trace.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SpanLink {
    #[serde(serialize_with = "as_text")]
    pub trace_id: u64,
    #[serde(serialize_with = "as_text")]
    pub trace_id_high: u64,
    #[serde(serialize_with = "as_text")]
    pub span_id: u64,
    pub attributes: BTreeMap<String, String>,
    pub tracestate: String,
    pub flags: u32,
}

/// Something that happened at one moment of a span.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SpanEvent {
    /// Nanoseconds since the epoch.
    pub time: u64,
    pub name: String,
    /// Each value as it is debugged.
    pub attributes: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn as_text<S: Serializer>(id: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(id)
}

/// Decodes a protobuf body.
pub(super) fn decode(body: &[u8], problems: &mut Vec<String>) -> Result<AgentPayload, String> {
    let payload = wire::AgentPayload::decode(body).map_err(|error| format!("the body is no AgentPayload: {error}"))?;
    problems.extend(unknown_fields(body, &PAYLOAD).into_iter().map(|path| format!("unknown protobuf field {path}")));
    let payload = AgentPayload {
        hostname: payload.hostname,
        env: payload.env,
        agent_version: payload.agent_version,
        target_tps: payload.target_tps,
        error_tps: payload.error_tps,
        tags: payload.tags.into_iter().collect(),
        tracer_payloads: payload.tracer_payloads.into_iter().map(TracerPayload::from).collect(),
    };
    check(&payload, problems);
    Ok(payload)
}

fn check(payload: &AgentPayload, problems: &mut Vec<String>) {
    for chunk in payload.tracer_payloads.iter().flat_map(|tracer| &tracer.chunks) {
        if chunk.spans.is_empty() {
            problems.push("a trace chunk has no spans".to_owned());
        }
        for span in &chunk.spans {
            let name = &span.name;
            if span.trace_id == 0 || span.span_id == 0 {
                problems.push(format!("{name}: a span has no id"));
            }
            if span.service.is_empty() || name.is_empty() || span.resource.is_empty() {
                problems.push(format!("{name}: a span needs a service, a name and a resource"));
            }
            if chunk.spans.first().is_some_and(|first| first.trace_id != span.trace_id) {
                problems.push(format!("{name}: a trace chunk has spans of two traces"));
            }
        }
    }
}

impl From<wire::TracerPayload> for TracerPayload {
    fn from(payload: wire::TracerPayload) -> Self {
        let chunk = |chunk: wire::TraceChunk| TraceChunk {
            priority: chunk.priority,
            origin: chunk.origin,
            dropped: chunk.dropped,
            tags: chunk.tags.into_iter().collect(),
            spans: chunk.spans.into_iter().map(Span::from).collect(),
        };
        Self {
            container_id: payload.container_id,
            language_name: payload.language_name,
            language_version: payload.language_version,
            tracer_version: payload.tracer_version,
            runtime_id: payload.runtime_id,
            env: payload.env,
            hostname: payload.hostname,
            app_version: payload.app_version,
            tags: payload.tags.into_iter().collect(),
            chunks: payload.chunks.into_iter().map(chunk).collect(),
        }
    }
}

impl From<wire::Span> for Span {
    fn from(span: wire::Span) -> Self {
        let link = |link: wire::SpanLink| SpanLink {
            trace_id: link.trace_id,
            trace_id_high: link.trace_id_high,
            span_id: link.span_id,
            attributes: link.attributes.into_iter().collect(),
            tracestate: link.tracestate,
            flags: link.flags,
        };
        let event = |event: wire::SpanEvent| SpanEvent {
            time: event.time,
            name: event.name,
            attributes: event.attributes.into_iter().map(|(key, value)| (key, format!("{value:?}"))).collect(),
        };
        Self {
            service: span.service,
            name: span.name,
            resource: span.resource,
            kind: span.kind,
            trace_id: span.trace_id,
            span_id: span.span_id,
            parent_id: span.parent_id,
            start: span.start,
            duration: span.duration,
            error: span.error,
            meta: span.meta.into_iter().collect(),
            metrics: span.metrics.into_iter().collect(),
            meta_struct: span.meta_struct.into_iter().map(|(key, value)| (key, hexadecimal(&value))).collect(),
            links: span.links.into_iter().map(link).collect(),
            events: span.events.into_iter().map(event).collect(),
        }
    }
}

/// The protobuf messages, named as in the agent's payload definitions.
#[expect(clippy::struct_field_names, reason = "the names are the protocol's")]
mod wire {
    use std::collections::HashMap;

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct AgentPayload {
        #[prost(string, tag = "1")]
        pub hostname: String,
        #[prost(string, tag = "2")]
        pub env: String,
        #[prost(message, repeated, tag = "5")]
        pub tracer_payloads: Vec<TracerPayload>,
        #[prost(map = "string, string", tag = "6")]
        pub tags: HashMap<String, String>,
        #[prost(string, tag = "7")]
        pub agent_version: String,
        #[prost(double, tag = "8")]
        pub target_tps: f64,
        #[prost(double, tag = "9")]
        pub error_tps: f64,
        #[prost(bool, tag = "10")]
        pub rare_sampler: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TracerPayload {
        #[prost(string, tag = "1")]
        pub container_id: String,
        #[prost(string, tag = "2")]
        pub language_name: String,
        #[prost(string, tag = "3")]
        pub language_version: String,
        #[prost(string, tag = "4")]
        pub tracer_version: String,
        #[prost(string, tag = "5")]
        pub runtime_id: String,
        #[prost(message, repeated, tag = "6")]
        pub chunks: Vec<TraceChunk>,
        #[prost(map = "string, string", tag = "7")]
        pub tags: HashMap<String, String>,
        #[prost(string, tag = "8")]
        pub env: String,
        #[prost(string, tag = "9")]
        pub hostname: String,
        #[prost(string, tag = "10")]
        pub app_version: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TraceChunk {
        #[prost(int32, tag = "1")]
        pub priority: i32,
        #[prost(string, tag = "2")]
        pub origin: String,
        #[prost(message, repeated, tag = "3")]
        pub spans: Vec<Span>,
        #[prost(map = "string, string", tag = "4")]
        pub tags: HashMap<String, String>,
        #[prost(bool, tag = "5")]
        pub dropped: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Span {
        #[prost(string, tag = "1")]
        pub service: String,
        #[prost(string, tag = "2")]
        pub name: String,
        #[prost(string, tag = "3")]
        pub resource: String,
        #[prost(uint64, tag = "4")]
        pub trace_id: u64,
        #[prost(uint64, tag = "5")]
        pub span_id: u64,
        #[prost(uint64, tag = "6")]
        pub parent_id: u64,
        #[prost(int64, tag = "7")]
        pub start: i64,
        #[prost(int64, tag = "8")]
        pub duration: i64,
        #[prost(int32, tag = "9")]
        pub error: i32,
        #[prost(map = "string, string", tag = "10")]
        pub meta: HashMap<String, String>,
        #[prost(map = "string, double", tag = "11")]
        pub metrics: HashMap<String, f64>,
        #[prost(string, tag = "12")]
        pub kind: String,
        #[prost(map = "string, bytes", tag = "13")]
        pub meta_struct: HashMap<String, Vec<u8>>,
        #[prost(message, repeated, tag = "14")]
        pub links: Vec<SpanLink>,
        #[prost(message, repeated, tag = "15")]
        pub events: Vec<SpanEvent>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SpanLink {
        #[prost(uint64, tag = "1")]
        pub trace_id: u64,
        #[prost(uint64, tag = "2")]
        pub trace_id_high: u64,
        #[prost(uint64, tag = "3")]
        pub span_id: u64,
        #[prost(map = "string, string", tag = "4")]
        pub attributes: HashMap<String, String>,
        #[prost(string, tag = "5")]
        pub tracestate: String,
        #[prost(uint32, tag = "6")]
        pub flags: u32,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SpanEvent {
        #[prost(fixed64, tag = "1")]
        pub time: u64,
        #[prost(string, tag = "2")]
        pub name: String,
        #[prost(map = "string, message", tag = "3")]
        pub attributes: HashMap<String, AnyValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct AnyValue {
        #[prost(enumeration = "AnyType", tag = "1")]
        pub kind: i32,
        #[prost(string, tag = "2")]
        pub text: String,
        #[prost(bool, tag = "3")]
        pub boolean: bool,
        #[prost(int64, tag = "4")]
        pub integer: i64,
        #[prost(double, tag = "5")]
        pub double: f64,
        #[prost(message, optional, tag = "6")]
        pub array: Option<Array>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
    #[repr(i32)]
    pub enum AnyType {
        Text = 0,
        Boolean = 1,
        Integer = 2,
        Double = 3,
        Array = 4,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Array {
        #[prost(message, repeated, tag = "1")]
        pub values: Vec<ArrayValue>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub struct ArrayValue {
        #[prost(enumeration = "AnyType", tag = "1")]
        pub kind: i32,
        #[prost(string, tag = "2")]
        pub text: String,
        #[prost(bool, tag = "3")]
        pub boolean: bool,
        #[prost(int64, tag = "4")]
        pub integer: i64,
        #[prost(double, tag = "5")]
        pub double: f64,
    }
}

const ENTRY: Shape = Shape(&[Field::leaf(1, "key"), Field::leaf(2, "value")]);

const LINK: Shape = Shape(&[
    Field::leaf(1, "traceID"),
    Field::leaf(2, "traceID_high"),
    Field::leaf(3, "spanID"),
    Field::message(4, "attributes", &ENTRY),
    Field::leaf(5, "tracestate"),
    Field::leaf(6, "flags"),
]);

const EVENT: Shape =
    Shape(&[Field::leaf(1, "time_unix_nano"), Field::leaf(2, "name"), Field::message(3, "attributes", &ENTRY)]);

const SPAN: Shape = Shape(&[
    Field::leaf(1, "service"),
    Field::leaf(2, "name"),
    Field::leaf(3, "resource"),
    Field::leaf(4, "traceID"),
    Field::leaf(5, "spanID"),
    Field::leaf(6, "parentID"),
    Field::leaf(7, "start"),
    Field::leaf(8, "duration"),
    Field::leaf(9, "error"),
    Field::message(10, "meta", &ENTRY),
    Field::message(11, "metrics", &ENTRY),
    Field::leaf(12, "type"),
    Field::message(13, "meta_struct", &ENTRY),
    Field::message(14, "spanLinks", &LINK),
    Field::message(15, "spanEvents", &EVENT),
]);

const CHUNK: Shape = Shape(&[
    Field::leaf(1, "priority"),
    Field::leaf(2, "origin"),
    Field::message(3, "spans", &SPAN),
    Field::message(4, "tags", &ENTRY),
    Field::leaf(5, "droppedTrace"),
]);

const TRACER: Shape = Shape(&[
    Field::leaf(1, "containerID"),
    Field::leaf(2, "languageName"),
    Field::leaf(3, "languageVersion"),
    Field::leaf(4, "tracerVersion"),
    Field::leaf(5, "runtimeID"),
    Field::message(6, "chunks", &CHUNK),
    Field::message(7, "tags", &ENTRY),
    Field::leaf(8, "env"),
    Field::leaf(9, "hostname"),
    Field::leaf(10, "appVersion"),
]);

const PAYLOAD: Shape = Shape(&[
    Field::leaf(1, "hostName"),
    Field::leaf(2, "env"),
    Field::message(5, "tracerPayloads", &TRACER),
    Field::message(6, "tags", &ENTRY),
    Field::leaf(7, "agentVersion"),
    Field::leaf(8, "targetTPS"),
    Field::leaf(9, "errorTPS"),
    Field::leaf(10, "rareSamplerEnabled"),
]);
