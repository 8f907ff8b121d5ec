//! What a tracer reports about an invocation on the lifecycle port, decoded on the task that serves the call.
//!
//! Tracers of Java, .NET, Go and Ruby call `start-invocation` with the event before the handler runs, and `end-invocation` with its response afterwards. A body
//! that cannot be read counts as empty, so that the headers still count.

mod capture;
mod end;
mod start;

use crate::{
    platform::ids::RequestId,
    process::{event::Timestamp, trace::Span},
};
pub use capture::MAX_CAPTURED_BYTES;

/// A tag of a span.
pub type Tag = (String, String);

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// The handler is about to run.
    Start(Box<StartCall>),
    /// The handler has returned or failed.
    End(Box<EndCall>),
}

/// `start-invocation`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StartCall {
    /// None from tracers that do not know it.
    pub request_id: Option<RequestId>,
    pub time: Timestamp,
    /// The span that caused the invocation, if the event names it.
    pub parent: Option<Parent>,
    /// Spans of the services that the event came through.
    pub inferred: Option<InferredSpans>,
    /// Tags about the trigger, for the span of the invocation.
    pub trigger_tags: Vec<Tag>,
    /// References to what the event is about, for the root span: the value of `_dd.span_links`.
    pub span_links: Option<String>,
    /// The event as tags.
    pub captured: Vec<Tag>,
}

/// The span that caused an invocation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parent {
    /// The low half of the trace id.
    pub trace_id: u64,
    pub span_id: u64,
    pub priority: Option<i32>,
    /// Tags that belong to the first span of the trace here; the high half of the trace id is one of them.
    pub tags: Vec<Tag>,
}

/// Spans of the services that an event came through. Their trace, parents and durations follow when the invocation is over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct InferredSpans {
    /// The service that invoked the function.
    pub outer: Span<'static>,
    /// Whether the service did not wait for the function, so that its span ends where that of the invocation begins.
    pub is_async: bool,
    /// A service whose message was inside that of the outer one.
    pub inner: Option<Span<'static>>,
}

/// `end-invocation`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EndCall {
    /// None from tracers that do not know it.
    pub request_id: Option<RequestId>,
    pub time: Timestamp,
    pub trace_id: Option<u64>,
    pub parent_id: Option<u64>,
    /// The span of the invocation; the spans of the handler are below it.
    pub span_id: Option<u64>,
    pub priority: Option<f64>,
    /// Tags of the trace.
    pub trace_tags: Vec<Tag>,
    pub error: Option<CallError>,
    /// The HTTP status code that the response names.
    pub status_code: Option<i64>,
    /// The response as tags.
    pub captured: Vec<Tag>,
}

/// An error of the handler. Each part may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallError {
    pub message: Option<String>,
    pub kind: Option<String>,
    pub stack: Option<String>,
}

/// Decodes calls. `header` gives the value of a header by its lower-case name; of one that is repeated, the last.
#[derive(Debug, Clone, Default)]
pub struct Decoder {
    /// The number of levels of a payload that become tags of their own; None: payloads are not captured.
    pub capture_depth: Option<u32>,
}

/// The header that names the invocation.
const REQUEST_ID: &str = "lambda-runtime-aws-request-id";

impl Decoder {
    /// Decodes `start-invocation`.
    pub fn start<'h>(&self, header: impl Fn(&str) -> Option<&'h str>, body: &[u8], time: Timestamp) -> StartCall {
        start::decode(self, header, body, time)
    }

    /// Decodes `end-invocation`.
    pub fn end<'h>(&self, header: impl Fn(&str) -> Option<&'h str>, body: &[u8], time: Timestamp) -> EndCall {
        end::decode(self, header, body, time)
    }

    fn capture(&self, prefix: &str, body: &str) -> Vec<Tag> {
        self.capture_depth.map(|depth| capture::tags(prefix, body, depth)).unwrap_or_default()
    }
}

/// A header of the answer to `start-invocation`.
#[derive(Debug, PartialEq, Eq)]
pub struct ReplyHeader {
    pub name: &'static str,
    pub value: String,
}

impl StartCall {
    /// The trace that the tracer is to continue; empty if the event names none.
    pub fn reply(&self) -> Vec<ReplyHeader> {
        let Some(parent) = &self.parent else { return Vec::new() };
        let high = parent.tags.iter().find(|(key, _)| key == "_dd.p.tid");
        let header = |name, value: Option<String>| value.map(|value| ReplyHeader { name, value });
        let headers = [
            header("x-datadog-trace-id", Some(parent.trace_id.to_string())),
            header("x-datadog-sampling-priority", parent.priority.map(|priority| priority.to_string())),
            header("x-datadog-tags", high.map(|(key, value)| format!("{key}={value}"))),
        ];
        headers.into_iter().flatten().collect()
    }
}

fn request_id(id: Option<&str>) -> Option<RequestId> {
    id.map(str::trim).filter(|id| !id.is_empty()).map(RequestId::from)
}

impl Call {
    pub(super) fn request_id(&self) -> Option<&RequestId> {
        match self {
            Self::Start(start) => start.request_id.as_ref(),
            Self::End(end) => end.request_id.as_ref(),
        }
    }

    pub(super) fn time(&self) -> Timestamp {
        match self {
            Self::Start(start) => start.time,
            Self::End(end) => end.time,
        }
    }

    /// An estimate of the memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Start(start) => start.bytes(),
            Self::End(end) => end.bytes(),
        }
    }
}

impl StartCall {
    pub(super) fn bytes(&self) -> usize {
        let spans = self.inferred.iter().flat_map(|inferred| [Some(&inferred.outer), inferred.inner.as_ref()]);
        size_of::<Self>()
            + self.parent.iter().map(|parent| tags_bytes(&parent.tags)).sum::<usize>()
            + spans.flatten().map(span_bytes).sum::<usize>()
            + tags_bytes(&self.trigger_tags)
            + self.span_links.as_ref().map_or(0, String::len)
            + tags_bytes(&self.captured)
    }
}

impl EndCall {
    pub(super) fn bytes(&self) -> usize {
        let error = self.error.iter().flat_map(|error| [&error.message, &error.kind, &error.stack]);
        size_of::<Self>()
            + tags_bytes(&self.trace_tags)
            + tags_bytes(&self.captured)
            + error.flatten().map(String::len).sum::<usize>()
    }
}

fn tags_bytes(tags: &[Tag]) -> usize {
    tags.iter().map(|(key, value)| capture::tag_bytes(key, value)).sum()
}

fn span_bytes(span: &Span<'_>) -> usize {
    let texts = span.meta.iter().map(|(key, value)| capture::tag_bytes(key, value));
    size_of::<Span>() + span.service.len() + span.resource.len() + texts.sum::<usize>()
}
