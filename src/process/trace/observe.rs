//! What spans of a tracer say about the invocation that they belong to.

use std::{
    borrow::Cow,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use super::{
    adoption::{Invocations, TraceMatch},
    map::Map,
    self_traffic::PLACEHOLDER,
    span::{Span, Text},
};

/// The span in which Datadog's libraries for Python and Node.js load the handler.
const LOAD_SPAN: &str = "aws.lambda.load";

/// The span of an invocation, as those libraries build it.
const INVOCATION_SPAN: &str = "aws.lambda";

/// Maximum length in bytes of a text about a durable execution.
const MAX_DURABLE_BYTES: usize = 4 << 10;

/// Maximum number of placeholders of one request; a tracer sends one for each invocation.
const MAX_PLACEHOLDERS: usize = 64;
/// Maximum size in bytes of a placeholder's tags. A larger one is left out.
const MAX_PLACEHOLDER_BYTES: usize = 1 << 20;
/// Maximum of the memory that what is observed of one request takes, in bytes. What would come on top is left out.
const MAX_OBSERVED_BYTES: usize = 4 << 20;

/// The spans of ours that spans of tracers are put below. Shared by what builds ours and by the trace agent.
#[derive(Debug, Default)]
pub struct SpanParents {
    /// The id of the cold start span, below which the handler is loaded; 0 where there is none.
    cold_start: AtomicU64,
    /// The spans of invocations that no tracer knows of.
    pub invocations: Invocations,
    /// How many events the function has got that are not among those invocations yet.
    arriving: OnceLock<Arc<AtomicUsize>>,
}

impl SpanParents {
    /// Sets the counter of what may become another invocation, once.
    pub fn set_arriving(&self, counter: Arc<AtomicUsize>) {
        let _ = self.arriving.set(counter);
    }

    /// Whether an invocation may be missing whose spans are here already.
    pub fn are_arriving(&self) -> bool {
        self.arriving.get().is_some_and(|counter| counter.load(Ordering::Relaxed) > 0)
    }

    pub fn set_cold_start(&self, span_id: u64) {
        self.cold_start.store(span_id, Ordering::Relaxed);
    }

    pub fn cold_start(&self) -> u64 {
        self.cold_start.load(Ordering::Relaxed)
    }
}

/// The span that stands in for an invocation until the extension has built the real one, which takes over its tags.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Placeholder {
    pub request_id: String,
    pub trace_id: u64,
    pub span_id: u64,
    pub meta: Map<'static, Text<'static>>,
    pub metrics: Map<'static, f64>,
    pub meta_struct: Map<'static, Cow<'static, [u8]>>,
    /// The tracer sends stats of its own.
    pub computed_stats: bool,
}

impl Placeholder {
    /// An estimate of the memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.request_id.len() + tags_bytes(&self.meta, &self.metrics, &self.meta_struct)
    }
}

fn tags_bytes(meta: &Map<'_, Text<'_>>, metrics: &Map<'_, f64>, binary: &Map<'_, Cow<'_, [u8]>>) -> usize {
    /// Two strings with their allocations.
    const ENTRY: usize = 80;
    let texts = meta.iter().map(|(key, value)| ENTRY + key.len() + value.len());
    let numbers = metrics.iter().map(|(key, _)| ENTRY + key.len());
    let structs = binary.iter().map(|(key, value)| ENTRY + key.len() + value.len());
    texts.chain(numbers).chain(structs).sum()
}

/// The execution of a durable function that an invocation is a part of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DurableContext {
    pub request_id: String,
    /// Of the execution.
    pub id: String,
    /// Of the execution.
    pub name: String,
    /// Whether the invocation is the first of the execution.
    pub is_first: Option<bool>,
    /// The status of the durable execution.
    pub status: Option<String>,
}

impl DurableContext {
    /// An estimate of the memory that it takes, in bytes.
    fn bytes(&self) -> usize {
        let status = self.status.as_ref().map_or(0, String::len);
        size_of::<Self>() + self.request_id.len() + self.id.len() + self.name.len() + status
    }
}

/// Facts that the spans of one request tell about invocations and executions.
#[derive(Debug, Default, PartialEq)]
pub struct SpanObservations {
    pub placeholders: Vec<Placeholder>,
    pub durable: Vec<DurableContext>,
    /// The trace in which the handler was loaded.
    pub load_trace_id: Option<u64>,
    /// The traces of invocations that were looked for.
    pub traced: Vec<TraceMatch>,
    /// An estimate of the memory that all of it takes, in bytes.
    pub bytes: usize,
}

impl SpanObservations {
    /// Looks at the spans of a trace before they are processed, and puts those below their parents that do not know of them.
    pub fn look(&mut self, spans: &mut [Span<'_>], span_parents: &SpanParents, computed_stats: bool) {
        self.traced.extend(span_parents.invocations.adopt(spans));
        for span in spans {
            if span.name == LOAD_SPAN {
                let parent = span_parents.cold_start();
                if parent != 0 {
                    span.parent_id = parent;
                    self.load_trace_id.get_or_insert(span.trace_id);
                }
            } else if span.name == INVOCATION_SPAN {
                self.add_durable(span);
            } else if span.resource == PLACEHOLDER {
                self.add_placeholder(span, computed_stats);
            }
        }
    }

    fn add_durable(&mut self, span: &Span<'_>) {
        if self.durable.len() >= MAX_PLACEHOLDERS || self.bytes >= MAX_OBSERVED_BYTES {
            return;
        }
        if let Some(context) = durable_context(span) {
            self.bytes += context.bytes();
            self.durable.push(context);
        }
    }

    /// Its size is known before anything is copied.
    fn add_placeholder(&mut self, span: &Span<'_>, computed_stats: bool) {
        // Without a request id, nothing says which invocation it stands for.
        let Some(request_id) = span.meta.get("request_id") else { return };
        let tags = tags_bytes(&span.meta, &span.metrics, &span.meta_struct);
        let bytes = size_of::<Placeholder>() + request_id.len() + tags;
        let is_small = bytes <= MAX_PLACEHOLDER_BYTES && self.bytes + bytes <= MAX_OBSERVED_BYTES;
        if !is_small || self.placeholders.len() >= MAX_PLACEHOLDERS {
            tracing::debug!(
                "TRACE_AGENT | a placeholder of {bytes} bytes is left out: it is too large, or one of too many"
            );
            return;
        }
        self.bytes += bytes;
        self.placeholders.push(placeholder(span, request_id.to_string(), computed_stats));
    }

    /// Adds what another request says.
    pub fn add(&mut self, other: Self) {
        self.placeholders.extend(other.placeholders);
        self.durable.extend(other.durable);
        self.load_trace_id = self.load_trace_id.or(other.load_trace_id);
        self.traced.extend(other.traced);
        self.bytes += other.bytes;
    }
}

/// None where the span names no execution, and where its texts are longer than any that Lambda makes.
fn durable_context(span: &Span<'_>) -> Option<DurableContext> {
    let tag = |key| span.meta.get(key).filter(|value| value.len() <= MAX_DURABLE_BYTES).map(ToString::to_string);
    Some(DurableContext {
        request_id: tag("request_id")?,
        id: tag("aws.durable.execution_id")?,
        name: tag("aws.durable.execution_name")?,
        is_first: span.meta.get("aws.durable.first_invocation").map(|value| value == "true"),
        status: tag("aws.durable.execution_status"),
    })
}

fn placeholder(span: &Span<'_>, request_id: String, computed_stats: bool) -> Placeholder {
    let Span { trace_id, span_id, meta, metrics, meta_struct, .. } = Span {
        trace_id: span.trace_id,
        span_id: span.span_id,
        meta: span.meta.clone(),
        metrics: span.metrics.clone(),
        meta_struct: span.meta_struct.clone(),
        ..Span::default()
    }
    .into_owned();
    Placeholder { request_id, trace_id, span_id, meta, metrics, meta_struct, computed_stats }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placeholder_of(request_id: Option<&'static str>) -> Span<'static> {
        let meta = request_id.map(|id| ("request_id", id.into())).into_iter().collect();
        Span { resource: PLACEHOLDER.into(), trace_id: 7, span_id: 8, meta, ..Span::default() }
    }

    #[test]
    fn a_placeholder_is_copied_and_stays() {
        let mut observed = SpanObservations::default();
        let mut spans = [placeholder_of(Some("r")), placeholder_of(None), Span::default()];
        let before = spans.clone();
        observed.look(&mut spans, &SpanParents::default(), true);
        assert_eq!(spans, before);
        let [Placeholder { request_id, trace_id: 7, span_id: 8, computed_stats: true, .. }] =
            &observed.placeholders[..]
        else {
            panic!("{observed:?}")
        };
        assert_eq!(request_id, "r");
    }

    #[test]
    fn the_execution_of_a_durable_function_is_read_from_the_span_of_the_invocation() {
        let tags = [
            ("request_id", "r"),
            ("aws.durable.execution_id", "0b1c"),
            ("aws.durable.execution_name", "order-7"),
            ("aws.durable.first_invocation", "true"),
            ("aws.durable.execution_status", "RUNNING"),
        ];
        for missing in 0..6 {
            let meta = tags.into_iter().enumerate().filter(|(index, _)| *index != missing);
            let meta = meta.map(|(_, (key, value))| (key, value.into())).collect();
            let mut observed = SpanObservations::default();
            let span = Span { name: INVOCATION_SPAN.into(), meta, ..Span::default() };
            observed.look(&mut [span], &SpanParents::default(), false);
            assert_eq!(observed.durable.len(), usize::from(missing > 2), "without {missing}");
            let Some(context) = observed.durable.first() else { continue };
            assert_eq!((context.id.as_str(), context.name.as_str()), ("0b1c", "order-7"));
            assert_eq!((context.is_first.is_some(), context.status.is_some()), (missing != 3, missing != 4));
        }
    }

    #[test]
    fn placeholders_are_bounded_in_number_and_size() {
        let mut large = placeholder_of(Some("r"));
        large.meta.set("large", "x".repeat(MAX_PLACEHOLDER_BYTES).into());
        let mut observed = SpanObservations::default();
        observed.look(&mut [large], &SpanParents::default(), false);
        assert!(observed.placeholders.is_empty());
        for _ in 0..3 {
            observed.look(&mut vec![placeholder_of(Some("r")); 50], &SpanParents::default(), false);
        }
        assert_eq!(observed.placeholders.len(), MAX_PLACEHOLDERS);
    }

    #[test]
    fn what_is_observed_of_a_request_is_bounded_and_counted() {
        let mut large = placeholder_of(Some("r"));
        large.meta.set("large", "x".repeat(MAX_PLACEHOLDER_BYTES / 2).into());
        let mut observed = SpanObservations::default();
        observed.look(&mut vec![large; 50], &SpanParents::default(), false);
        let taken: usize = observed.placeholders.iter().map(Placeholder::bytes).sum();
        assert!(taken > MAX_OBSERVED_BYTES / 2 && taken <= MAX_OBSERVED_BYTES, "{taken}");
        assert_eq!(observed.bytes, taken);
        let mut all = SpanObservations { bytes: 1, ..SpanObservations::default() };
        all.add(observed);
        assert_eq!(all.bytes, taken + 1);
    }

    #[test]
    fn the_load_span_moves_below_the_cold_start_span_if_there_is_one() {
        let parent = SpanParents::default();
        let load = Span { name: LOAD_SPAN.into(), trace_id: 5, span_id: 6, parent_id: 7, ..Span::default() };
        for (cold_start, expected, trace_id) in [(0, 7, None), (9, 9, Some(5))] {
            parent.set_cold_start(cold_start);
            let mut observed = SpanObservations::default();
            let mut spans = [load.clone()];
            observed.look(&mut spans, &parent, false);
            assert_eq!((spans[0].parent_id, observed.load_trace_id), (expected, trace_id));
        }
    }
}
