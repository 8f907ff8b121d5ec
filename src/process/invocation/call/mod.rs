//! What a tracer reports about an invocation on the lifecycle port, decoded on the task that serves the call.
//!
//! Tracers of Java, .NET, Go and Ruby call `start-invocation` with the event before the handler runs, and `end-invocation` with its response afterwards. A body
//! that cannot be read counts as empty, so that the headers still count.

mod capture;
mod end;
mod redaction;
mod runtime;
#[cfg(test)]
pub mod test_decoder;

use crate::{
    platform::ids::RequestId,
    process::{
        appsec::SecurityTags,
        data_streams::{self, Point},
        event::Timestamp,
        propagation::{Carrier, Propagator, TraceContext},
        trace::Span,
        trigger::{self, Event, InferredSpans, Kind, Tags},
    },
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
    /// A request or its response has been evaluated for attacks.
    Security(Box<SecurityCall>),
}

/// What is found in a request, and in its response once that has been evaluated too.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SecurityCall {
    /// That of the call whose body was evaluated.
    pub request_id: Option<RequestId>,
    pub time: Timestamp,
    /// The number of the evaluation, which no other has. Later ones have greater numbers.
    pub evaluation: u64,
    pub tags: SecurityTags,
}

/// `start-invocation`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StartCall {
    /// None from tracers that do not know it.
    pub request_id: Option<RequestId>,
    pub time: Timestamp,
    /// The trace that the invocation continues, if anything names one.
    pub context: Option<TraceContext>,
    /// Spans of the services that the event came through.
    pub inferred: Option<InferredSpans>,
    /// Tags about the trigger, for the span of the invocation.
    pub trigger_tags: Tags,
    /// Checkpoints of Data Streams Monitoring, one for each record of the event.
    pub checkpoints: Vec<Point>,
    /// The event as tags.
    pub captured: Vec<Tag>,
    /// The trigger of the event; `None` if it is not recognized.
    pub trigger: Option<Kind>,
    /// The number of the evaluation of the request, whose [`SecurityCall`] follows; None: there is none.
    pub evaluation: Option<u64>,
    /// The span of the invocation, where no tracer names one: the spans of the handler that have the parent of the invocation are put below it.
    pub span_id: Option<u64>,
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
    pub trace_tags: Tags,
    pub error: Option<CallError>,
    /// The HTTP status code that the response names.
    pub status_code: Option<i64>,
    /// The response as tags.
    pub captured: Vec<Tag>,
    /// The number of the evaluation of the response, whose [`SecurityCall`] follows; None: there is none.
    pub evaluation: Option<u64>,
}

/// An error of the handler. Each part may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallError {
    pub message: Option<String>,
    pub kind: Option<String>,
    pub stack: Option<String>,
}

/// Decodes calls. `header` gives the value of a header by its lower-case name; of one that is repeated, the last.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// The number of levels of a payload that become tags of their own; None: payloads are not captured.
    pub capture_depth: Option<u32>,
    pub triggers: trigger::Settings,
    pub propagator: Propagator,
    /// Origin of Data Streams checkpoints.
    pub streams: data_streams::Origin,
    /// Makes ids; never 0.
    pub random: fn() -> u64,
}

/// The header that names the invocation.
const REQUEST_ID: &str = "lambda-runtime-aws-request-id";
/// Maximum length in bytes of a request id. Lambda's have 36.
const MAX_ID_BYTES: usize = 128;

impl Decoder {
    /// Decodes `start-invocation`. `carrier` has what the call's own headers say about a trace.
    pub fn start<'h>(
        &self,
        header: impl Fn(&str) -> Option<&'h str>,
        carrier: &Carrier,
        body: &[u8],
        time: Timestamp,
    ) -> StartCall {
        let event = Event::parse(body, &self.triggers, &mut || (self.random)());
        let context = event.context(&self.propagator, carrier);
        let now = time.saturating_mul(1_000_000);
        let checkpoints = event.checkpoints.iter().filter_map(|it| Point::new(it, &self.streams, now)).collect();
        let Event { kind, tags, inferred, .. } = event;
        StartCall {
            request_id: request_id(header(REQUEST_ID)),
            time,
            context,
            inferred,
            trigger_tags: tags,
            checkpoints,
            captured: self.capture("function.request", str::from_utf8(body).unwrap_or_default()),
            trigger: kind,
            evaluation: None,
            span_id: None,
        }
    }

    /// Decodes `end-invocation`.
    pub fn end<'h>(&self, header: impl Fn(&str) -> Option<&'h str>, body: &[u8], time: Timestamp) -> EndCall {
        end::decode(self, header, body, time)
    }

    fn capture(&self, prefix: &str, body: &str) -> Vec<Tag> {
        self.capture_depth.map(|depth| capture::tags(prefix, body, depth)).unwrap_or_default()
    }
}

fn request_id(id: Option<&str>) -> Option<RequestId> {
    id.map(str::trim).filter(|id| (1..=MAX_ID_BYTES).contains(&id.len())).map(RequestId::from)
}

impl Call {
    pub fn request_id(&self) -> Option<&RequestId> {
        match self {
            Self::Start(start) => start.request_id.as_ref(),
            Self::End(end) => end.request_id.as_ref(),
            Self::Security(security) => security.request_id.as_ref(),
        }
    }

    /// The number of the evaluation that follows.
    pub fn evaluation(&self) -> Option<u64> {
        match self {
            Self::Start(start) => start.evaluation,
            Self::End(end) => end.evaluation,
            Self::Security(_) => None,
        }
    }

    pub(super) fn time(&self) -> Timestamp {
        match self {
            Self::Start(start) => start.time,
            Self::End(end) => end.time,
            Self::Security(security) => security.time,
        }
    }

    /// An estimate of the memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Start(start) => start.bytes(),
            Self::End(end) => end.bytes(),
            Self::Security(security) => security.bytes(),
        }
    }
}

impl StartCall {
    pub(super) fn bytes(&self) -> usize {
        let spans = self.inferred.iter().flat_map(|inferred| [Some(&inferred.outer), inferred.wrapped.as_ref()]);
        size_of::<Self>()
            + id_bytes(self.request_id.as_ref())
            + self.context.iter().map(context_bytes).sum::<usize>()
            + spans.flatten().map(span_bytes).sum::<usize>()
            + map_bytes(&self.trigger_tags)
            + self.checkpoints.iter().map(point_bytes).sum::<usize>()
            + tags_bytes(&self.captured)
    }
}

impl SecurityCall {
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + id_bytes(self.request_id.as_ref()) + self.tags.bytes()
    }
}

impl EndCall {
    pub(super) fn bytes(&self) -> usize {
        let error = self.error.iter().flat_map(|error| [&error.message, &error.kind, &error.stack]);
        size_of::<Self>()
            + id_bytes(self.request_id.as_ref())
            + map_bytes(&self.trace_tags)
            + tags_bytes(&self.captured)
            + error.flatten().map(String::len).sum::<usize>()
    }
}

fn id_bytes(id: Option<&RequestId>) -> usize {
    id.map_or(0, |id| id.as_str().len())
}

fn context_bytes(context: &TraceContext) -> usize {
    context.origin.as_ref().map_or(0, String::len) + map_bytes(&context.tags)
}

fn point_bytes(point: &Point) -> usize {
    size_of::<Point>() + point.tags.iter().map(|tag| size_of::<String>() + tag.len()).sum::<usize>()
}

fn tags_bytes(tags: &[Tag]) -> usize {
    tags.iter().map(|(key, value)| capture::tag_bytes(key, value)).sum()
}

fn map_bytes(tags: &Tags) -> usize {
    tags.iter().map(|(key, value)| capture::tag_bytes(key, value)).sum()
}

fn span_bytes(span: &Span<'static>) -> usize {
    size_of::<Span>() + span.service.len() + span.resource.len() + map_bytes(&span.meta)
}

#[cfg(test)]
mod tests {
    use super::{test_decoder::decoder, *};

    #[test]
    fn everything_that_a_call_brings_counts() {
        let long = || "x".repeat(1000);
        let least = StartCall::default().bytes();
        let point = Point {
            time: 0,
            hash: 0,
            parent: 0,
            tags: vec![long()].into(),
            edge_latency: 0.0,
            pathway_latency: 0.0,
            bytes: 0,
        };
        let context = TraceContext { origin: Some(long()), ..TraceContext::default() };
        for call in [
            StartCall { request_id: Some(long().as_str().into()), ..StartCall::default() },
            StartCall { context: Some(context), ..StartCall::default() },
            StartCall { checkpoints: vec![point], ..StartCall::default() },
            StartCall { captured: vec![(String::new(), long())], ..StartCall::default() },
        ] {
            assert!(call.bytes() >= least + 1000, "{call:?}");
        }
        let end = EndCall { request_id: Some(long().as_str().into()), ..EndCall::default() };
        assert!(end.bytes() >= EndCall::default().bytes() + 1000);
    }

    #[test]
    fn a_request_id_is_no_longer_than_any_of_lambda() {
        for (length, is_one) in [(0, false), (36, true), (128, true), (129, false)] {
            let id = "x".repeat(length);
            let call = decoder(None).start(|_| Some(&id), &Carrier::default(), b"", 0);
            assert_eq!(call.request_id.is_some(), is_one, "{length}");
        }
    }
}
