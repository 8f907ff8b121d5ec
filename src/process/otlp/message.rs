//! The messages of OTLP that carry spans, as far as they are used. Texts are slices of the request body.
//!
//! Source: `opentelemetry/proto/{collector/trace,trace,resource,common}/v1/*.proto`.

use std::borrow::Cow;

use crate::process::trace::span::Text;

/// `ExportTraceServiceRequest`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request<'b> {
    pub resource_spans: Vec<ResourceSpans<'b>>,
}

/// Spans of one resource, which is usually the function.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ResourceSpans<'b> {
    pub resource: Resource<'b>,
    pub scope_spans: Vec<ScopeSpans<'b>>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource<'b> {
    pub attributes: Vec<Attribute<'b>>,
}

/// Spans of one instrumentation library.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ScopeSpans<'b> {
    pub scope: Scope<'b>,
    pub spans: Vec<Span<'b>>,
}

/// `InstrumentationScope`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope<'b> {
    pub name: Text<'b>,
    pub version: Text<'b>,
    pub attributes: Vec<Attribute<'b>>,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span<'b> {
    /// None where it does not have 16 bytes.
    pub trace_id: Option<u128>,
    /// 0 where it does not have eight bytes; here and below.
    pub span_id: u64,
    pub trace_state: Text<'b>,
    pub parent_span_id: u64,
    pub name: Text<'b>,
    pub kind: Kind,
    /// Nanoseconds since the epoch, here and below.
    pub start: u64,
    pub end: u64,
    pub attributes: Vec<Attribute<'b>>,
    pub events: Vec<Event<'b>>,
    pub links: Vec<Link<'b>>,
    pub status: Option<Status<'b>>,
}

/// `SpanKind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Event<'b> {
    pub time: u64,
    pub name: Text<'b>,
    pub attributes: Vec<Attribute<'b>>,
    pub dropped_attributes: u64,
}

/// A reference to a span of another trace.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Link<'b> {
    pub trace_id: Option<u128>,
    pub span_id: u64,
    pub trace_state: Text<'b>,
    pub attributes: Vec<Attribute<'b>>,
    pub dropped_attributes: u64,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status<'b> {
    pub message: Text<'b>,
    /// 0 unset, 1 ok, 2 error.
    pub code: i64,
}

/// The code of a status that says that the operation failed.
pub const STATUS_ERROR: i64 = 2;

/// `KeyValue`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Attribute<'b> {
    pub key: Text<'b>,
    pub value: Value<'b>,
}

/// `AnyValue`.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value<'b> {
    /// No value is set.
    #[default]
    Unset,
    Text(Text<'b>),
    Bool(bool),
    Int(i64),
    Double(f64),
    Array(Vec<Value<'b>>),
    Map(Vec<Attribute<'b>>),
    Bytes(Cow<'b, [u8]>),
}

/// `ArrayValue`.
#[derive(Debug, Default)]
pub(super) struct ArrayValue<'b> {
    pub(super) values: Vec<Value<'b>>,
}

/// `KeyValueList`.
#[derive(Debug, Default)]
pub(super) struct KeyValueList<'b> {
    pub(super) values: Vec<Attribute<'b>>,
}

impl Kind {
    /// Every kind by its number.
    pub(super) const ALL: [Self; 6] =
        [Self::Unspecified, Self::Internal, Self::Server, Self::Client, Self::Producer, Self::Consumer];

    /// The value of the tag `span.kind`.
    pub fn text(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// The name in the `.proto` file.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "SPAN_KIND_UNSPECIFIED",
            Self::Internal => "SPAN_KIND_INTERNAL",
            Self::Server => "SPAN_KIND_SERVER",
            Self::Client => "SPAN_KIND_CLIENT",
            Self::Producer => "SPAN_KIND_PRODUCER",
            Self::Consumer => "SPAN_KIND_CONSUMER",
        }
    }
}
