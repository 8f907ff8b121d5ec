//! Spans that stand for the services between the caller and the function.

use super::{
    SpanPointer,
    json::{MAX_TEXT_BYTES, bounded},
    pointer,
    trigger_data::set,
};
use crate::process::{propagation::TraceContext, trace::Span};

/// The tag by which the pipeline knows these spans.
const TAG_SOURCE: &str = "_inferred_span.tag_source";
const SYNCHRONICITY: &str = "_inferred_span.synchronicity";
const PEER_SERVICE: &str = "peer.service";
/// Says with 1 that App & API Protection is used.
pub const APPSEC_ENABLED: &str = "_dd.appsec.enabled";
const APPSEC_JSON: &str = "_dd.appsec.json";
/// Says with 0 that APM is off, so that the span is not billed as one of APM.
pub const APM_ENABLED: &str = "_dd.apm.enabled";

/// Whether the caller waits for the function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronicity {
    /// The span ends with the invocation.
    Sync,
    /// The span ends where the invocation begins.
    Async,
}

/// The inferred spans of an invocation. Their trace, parent and durations are not known before the invocation is over: [`Self::complete`].
#[derive(Debug, Clone, PartialEq)]
pub struct InferredSpans {
    /// Stands for the service that invoked the function; the parent of the `aws.lambda` span.
    pub outer: Span<'static>,
    /// Stands for the service that delivered to that one: SNS or EventBridge. The parent of the outer span once they are complete.
    pub wrapped: Option<Span<'static>>,
    pub synchronicity: Synchronicity,
    /// What the invocation was told to look at; attached to the outer span.
    pub pointers: Vec<SpanPointer>,
}

impl InferredSpans {
    pub(super) fn new(mut outer: Span<'static>, synchronicity: Synchronicity) -> Self {
        mark(&mut outer, synchronicity);
        if outer.resource.len() > MAX_TEXT_BYTES {
            outer.resource = bounded(&outer.resource).to_owned().into();
        }
        Self { outer, wrapped: None, synchronicity, pointers: Vec::new() }
    }

    /// Adds the span of the service that delivered to the outer one, and says so in a tag of the outer span.
    pub(super) fn wrap(&mut self, mut wrapped: Span<'static>, source: Option<&str>) {
        mark(&mut wrapped, Synchronicity::Async);
        set(&mut self.outer.meta, super::trigger_data::SOURCE, source);
        self.wrapped = Some(wrapped);
    }

    /// Continues a trace: its span is the parent of the outermost span, and its tags are those of the outer one.
    pub fn adopt(&mut self, context: &TraceContext) {
        self.outer.parent_id = context.span_id;
        for (key, value) in context.tags.iter() {
            self.outer.meta.set(key.to_owned(), value.clone());
        }
    }

    /// The spans as they are sent, the outer one first, once the `aws.lambda` span has its trace, times, service, error and tags. A span of which the event does not say
    /// when it began takes no time.
    pub fn complete(self, lambda: &Span<'_>) -> Vec<Span<'static>> {
        let Self { mut outer, wrapped, synchronicity, pointers } = self;
        outer.trace_id = lambda.trace_id;
        outer.error = lambda.error;
        set(&mut outer.meta, PEER_SERVICE, Some(&lambda.service));
        set(&mut outer.meta, "span.kind", Some("server"));
        if outer.start == 0 {
            outer.start = lambda.start;
        }
        outer.duration = match synchronicity {
            Synchronicity::Sync => lambda.end().saturating_sub(outer.start).max(0),
            Synchronicity::Async => lambda.start.saturating_sub(outer.start).max(0),
        };
        copy_appsec(lambda, &mut outer);
        pointer::attach(&mut outer.meta, &pointers);
        let wrapped = wrapped.map(|mut wrapped| {
            wrapped.trace_id = lambda.trace_id;
            if wrapped.start == 0 {
                wrapped.start = outer.start;
            }
            wrapped.duration = outer.start.saturating_sub(wrapped.start).max(0);
            wrapped.error = lambda.error;
            set(&mut wrapped.meta, PEER_SERVICE, Some(&outer.service));
            wrapped.parent_id = std::mem::replace(&mut outer.parent_id, wrapped.span_id);
            copy_appsec(lambda, &mut wrapped);
            wrapped
        });
        std::iter::once(outer).chain(wrapped).collect()
    }
}

fn mark(span: &mut Span<'static>, synchronicity: Synchronicity) {
    let text = match synchronicity {
        Synchronicity::Sync => "sync",
        Synchronicity::Async => "async",
    };
    set(&mut span.meta, TAG_SOURCE, Some("self"));
    set(&mut span.meta, SYNCHRONICITY, Some(text));
}

/// An attack that was seen in the invocation was seen in what led to it.
fn copy_appsec(lambda: &Span<'_>, span: &mut Span<'static>) {
    for name in [APPSEC_ENABLED, APM_ENABLED] {
        if let Some(enabled) = lambda.metrics.get(name) {
            span.metrics.set(name, *enabled);
        }
    }
    if let Some(found) = lambda.meta.get(APPSEC_JSON) {
        span.meta.set(APPSEC_JSON, found.clone().into_owned().into());
    }
}
