//! The messages of the intake as another encoder has them, to read what ours has written.

use std::collections::HashMap;

use prost::Message as _;

use super::{TracerPayload, agent_payload};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AgentPayload {
    #[prost(message, repeated, tag = "5")]
    pub(super) tracers: Vec<Tracer>,
    #[prost(double, tag = "8")]
    pub(super) target_tps: f64,
    #[prost(double, tag = "9")]
    pub(super) error_tps: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Tracer {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(string, tag = "2")]
    pub(super) language: String,
    #[prost(string, tag = "3")]
    pub(super) language_version: String,
    #[prost(string, tag = "4")]
    pub(super) version: String,
    #[prost(string, tag = "5")]
    pub(super) runtime_id: String,
    #[prost(message, repeated, tag = "6")]
    pub(super) chunks: Vec<Chunk>,
    #[prost(map = "string, string", tag = "7")]
    pub(super) tags: HashMap<String, String>,
    #[prost(string, tag = "8")]
    pub(super) env: String,
    #[prost(string, tag = "9")]
    pub(super) hostname: String,
    #[prost(string, tag = "10")]
    pub(super) app_version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Chunk {
    #[prost(int32, tag = "1")]
    pub(super) priority: i32,
    #[prost(string, tag = "2")]
    pub(super) origin: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) spans: Vec<Span>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Span {
    #[prost(string, tag = "1")]
    pub(super) service: String,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, tag = "3")]
    pub(super) resource: String,
    #[prost(uint64, tag = "4")]
    pub(super) trace_id: u64,
    #[prost(uint64, tag = "5")]
    pub(super) id: u64,
    #[prost(uint64, tag = "6")]
    pub(super) parent_id: u64,
    #[prost(int64, tag = "7")]
    pub(super) start: i64,
    #[prost(int64, tag = "8")]
    pub(super) duration: i64,
    #[prost(int32, tag = "9")]
    pub(super) error: i32,
    #[prost(map = "string, string", tag = "10")]
    pub(super) meta: HashMap<String, String>,
    #[prost(map = "string, double", tag = "11")]
    pub(super) metrics: HashMap<String, f64>,
    #[prost(string, tag = "12")]
    pub(super) kind: String,
    #[prost(map = "string, bytes", tag = "13")]
    pub(super) meta_struct: HashMap<String, Vec<u8>>,
    #[prost(message, repeated, tag = "14")]
    pub(super) links: Vec<Link>,
    #[prost(message, repeated, tag = "15")]
    pub(super) events: Vec<Event>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Link {
    #[prost(uint64, tag = "1")]
    pub(super) trace_id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) trace_id_high: u64,
    #[prost(uint64, tag = "3")]
    pub(super) span_id: u64,
    #[prost(map = "string, string", tag = "4")]
    pub(super) attributes: HashMap<String, String>,
    #[prost(string, tag = "5")]
    pub(super) tracestate: String,
    #[prost(uint32, tag = "6")]
    pub(super) flags: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    #[prost(fixed64, tag = "1")]
    pub(super) time: u64,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(map = "string, message", tag = "3")]
    pub(super) attributes: HashMap<String, Attribute>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Attribute {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(string, tag = "2")]
    pub(super) text: String,
    #[prost(bool, tag = "3")]
    pub(super) bool: bool,
    #[prost(int64, tag = "4")]
    pub(super) int: i64,
    #[prost(double, tag = "5")]
    pub(super) double: f64,
    #[prost(message, optional, tag = "6")]
    pub(super) array: Option<Elements>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Elements {
    #[prost(message, repeated, tag = "1")]
    pub(super) values: Vec<Element>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Element {
    #[prost(int32, tag = "1")]
    pub(super) kind: i32,
    #[prost(string, tag = "2")]
    pub(super) text: String,
    #[prost(bool, tag = "3")]
    pub(super) bool: bool,
    #[prost(int64, tag = "4")]
    pub(super) int: i64,
    #[prost(double, tag = "5")]
    pub(super) double: f64,
}

/// Reads what the intake would be sent.
pub(super) fn decode(payloads: &[TracerPayload]) -> AgentPayload {
    AgentPayload::decode(agent_payload(payloads.to_vec())).unwrap()
}

/// All spans that the intake would be sent.
pub(super) fn spans(payloads: &[TracerPayload]) -> Vec<Span> {
    let tracers = decode(payloads).tracers.into_iter();
    tracers.flat_map(|tracer| tracer.chunks).flat_map(|chunk| chunk.spans).collect()
}
