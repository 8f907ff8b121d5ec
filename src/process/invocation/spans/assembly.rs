//! Builds the spans of an invocation from what is known of it.

use super::SpanSettings;
use crate::{
    platform::ids::RequestId,
    process::{
        appsec::SecurityTags,
        event::{Status, Timestamp},
        invocation::{
            call::{CallError, EndCall, Tag},
            trace_state::TraceState,
        },
        propagation::TraceContext,
        trace::{Placeholder, Span},
        trigger::{APM_ENABLED, APPSEC_ENABLED, InferredSpans, Tags},
    },
};

/// Key of the tag that says how a trace was sampled.
pub const PRIORITY: &str = "_sampling_priority_v1";
/// The priority of a trace that somebody wants to keep.
const USER_KEEP: f64 = 2.0;
/// The priority of a trace that a sampler did not choose.
pub const AUTO_REJECT: f64 = 0.0;

/// What of an invocation is not in its trace state.
pub struct Invocation<'i> {
    pub request_id: &'i RequestId,
    pub start: Timestamp,
    pub duration_ms: f64,
    /// Tags of the sandbox at the time of the invocation, as `key:value`.
    pub sandbox_tags: &'i [String],
}

/// The ids of a span, none of them 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    pub trace_id: u64,
    pub span_id: u64,
}

/// The ids of the invocation's span: those of the event's trace and of the tracer. Where the invocation timed out, no tracer reports them: then those of the
/// placeholder, below which the spans of the handler are, or random ones. None if one is not known.
pub fn ids(state: &TraceState, random: fn() -> u64) -> Option<Ids> {
    let end = state.end.as_ref();
    let of_event = state.start.as_ref().and_then(|start| start.context.as_ref()).map(|context| context.trace_id);
    let trace_id = of_event.or_else(|| end.and_then(|end| end.trace_id)).or(state.adopted_trace_id);
    // Where we have drawn one, spans of the function may be below it already.
    let span_id = state.start.as_ref().and_then(|start| start.span_id).or_else(|| end.and_then(|end| end.span_id));
    if state.status != Some(Status::Timeout) {
        return Some(Ids { trace_id: trace_id?, span_id: span_id? });
    }
    let placeholder = state.placeholder.as_ref();
    let of_placeholder = |id: fn(&Placeholder) -> u64| placeholder.map(id).filter(|id| *id != 0);
    Some(Ids {
        trace_id: trace_id.or_else(|| of_placeholder(|it| it.trace_id)).unwrap_or_else(random),
        span_id: span_id.or_else(|| of_placeholder(|it| it.span_id)).unwrap_or_else(random),
    })
}

/// Builds the spans: that of the invocation first, then those of the services that the event came through.
pub fn spans(state: TraceState, ids: Ids, invocation: &Invocation<'_>, settings: &SpanSettings) -> Vec<Span<'static>> {
    let TraceState { start, end, placeholder, status, security, .. } = state;
    let (start, end) = (start.unwrap_or_default(), end.unwrap_or_default());
    let mut lambda = Span {
        name: "aws.lambda".into(),
        trace_id: ids.trace_id,
        span_id: ids.span_id,
        start: nanoseconds(invocation.start),
        duration: duration(invocation.duration_ms),
        ..serverless(settings)
    };
    lambda.meta.set("request_id", invocation.request_id.to_string().into());
    if let Some(placeholder) = placeholder {
        take_over(&mut lambda, placeholder);
    }
    set_tags(&mut lambda, start.captured);
    let mut inferred = start.inferred;
    set_trace(&mut lambda, inferred.as_mut(), start.context, &end);
    set_tags(&mut lambda, end.captured);
    set_status(&mut lambda, inferred.as_mut(), end.status_code);
    set_error(&mut lambda, end.error, status);
    set_tags(&mut lambda, sandbox_tags(invocation.sandbox_tags));
    set_map(&mut lambda, start.trigger_tags);
    set_security(&mut lambda, security, settings);
    let services = inferred.map(|inferred| inferred.complete(&lambda)).unwrap_or_default();
    std::iter::once(lambda).chain(services).collect()
}

/// What all spans of the function itself have in common.
pub fn serverless(settings: &SpanSettings) -> Span<'static> {
    Span {
        service: settings.service.clone().into(),
        resource: settings.resource.clone().into(),
        kind: "serverless".into(),
        meta: [("span.kind", "server".into())].into_iter().collect(),
        ..Span::default()
    }
}

pub fn nanoseconds(ms: Timestamp) -> i64 {
    ms.saturating_mul(1_000_000)
}

#[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
pub fn duration(ms: f64) -> i64 {
    (ms * 1e6).round() as i64
}

fn take_over(span: &mut Span<'static>, placeholder: Placeholder) {
    set_map(span, placeholder.meta);
    span.metrics.extend(placeholder.metrics.into_pairs());
    span.meta_struct.extend(placeholder.meta_struct.into_pairs());
}

/// What was found, and the priority of a trace that is kept for it; without APM, no other is kept. That somebody looks is said of every invocation.
fn set_security(lambda: &mut Span<'static>, security: Option<SecurityTags>, settings: &SpanSettings) {
    if settings.appsec && !lambda.metrics.contains(APPSEC_ENABLED) {
        lambda.metrics.set(APPSEC_ENABLED, 1.0);
    }
    if settings.standalone {
        lambda.metrics.set(APM_ENABLED, 0.0);
        lambda.metrics.set(PRIORITY, AUTO_REJECT);
    }
    let Some(SecurityTags { meta, metrics, is_kept }) = security else { return };
    set_tags(lambda, meta);
    for (name, value) in metrics {
        lambda.metrics.set(name, value);
    }
    if is_kept {
        lambda.metrics.set(PRIORITY, USER_KEEP);
    }
}

fn set_tags(span: &mut Span<'static>, tags: impl IntoIterator<Item = Tag>) {
    span.meta.extend(tags.into_iter().map(|(key, value)| (key, value.into())));
}

fn set_map(span: &mut Span<'static>, tags: Tags) {
    span.meta.extend(tags.into_pairs());
}

/// The parent, the tags of the trace on its first span here, and the priority. What the event says wins over what the tracer says at the end.
fn set_trace(
    lambda: &mut Span<'static>,
    inferred: Option<&mut InferredSpans>,
    context: Option<TraceContext>,
    end: &EndCall,
) {
    let priority = end.priority.or_else(|| context.as_ref()?.priority.map(f64::from));
    match (inferred, context) {
        (Some(inferred), context) => {
            lambda.parent_id = inferred.outer.span_id;
            match context {
                Some(context) => inferred.adopt(&context),
                None => set_map(&mut inferred.outer, end.trace_tags.clone()),
            }
        }
        (None, Some(context)) => {
            lambda.parent_id = context.span_id;
            set_map(lambda, context.tags);
        }
        (None, None) => {
            lambda.parent_id = end.parent_id.unwrap_or_default();
            set_map(lambda, end.trace_tags.clone());
        }
    }
    if let Some(priority) = priority.filter(|_| !lambda.metrics.contains(PRIORITY)) {
        lambda.metrics.set(PRIORITY, priority);
    }
}

fn set_status(lambda: &mut Span<'static>, inferred: Option<&mut InferredSpans>, code: Option<i64>) {
    let Some(code) = code else { return };
    if (500..600).contains(&code) {
        lambda.error = 1;
    }
    if let Some(inferred) = inferred {
        inferred.outer.meta.set("http.status_code", code.to_string().into());
    }
    lambda.meta.set("http.status_code", code.to_string().into());
}

fn set_error(lambda: &mut Span<'static>, error: Option<CallError>, status: Option<Status>) {
    let error = match status {
        Some(Status::Timeout) => Some(CallError {
            message: Some("Datadog detected a Timeout".to_owned()),
            kind: Some("Timeout".to_owned()),
            stack: None,
        }),
        _ => error,
    };
    let Some(CallError { message, kind, stack }) = error else { return };
    lambda.error = 1;
    for (key, value) in [("error.msg", message), ("error.type", kind), ("error.stack", stack)] {
        if let Some(value) = value {
            lambda.meta.set(key, value.into());
        }
    }
}

/// Those that describe the start of the sandbox and its runtime; the function's own tags are on every span anyway.
fn sandbox_tags(tags: &[String]) -> impl Iterator<Item = Tag> {
    let pairs = tags.iter().filter_map(|tag| tag.split_once(':'));
    let wanted = pairs.filter(|(key, _)| ["cold_start", "proactive_initialization", "runtime"].contains(key));
    wanted.map(|(key, value)| (key.to_owned(), value.to_owned()))
}
