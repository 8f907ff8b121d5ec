//! The order in which a request's traces become payloads and stats.

use super::{
    TracerHeaders,
    chunk::Chunk,
    encode::{Encoder, Head, TracerPayload},
    filter::Filters,
    normalize, obfuscate,
    observe::SpanObservations,
    replace::{BadPattern, Replacements},
    self_traffic::is_self_traffic,
    settings::TraceSettings,
    span::{Span, Text},
    stats::{self, Groups, Origin},
    tags::CommonTags,
};
use crate::process::tags::FunctionTags;

/// The service of a span of Lambda's own, as tracers name it.
const LAMBDA_SERVICE: &str = "aws.lambda";

/// The settings, compiled. Shared by everything that makes spans.
#[derive(Debug)]
pub struct Pipeline {
    settings: TraceSettings,
    filters: Filters,
    replacements: Replacements,
    /// For traces whose stats the backend computes, and for the others.
    with_backend_stats: CommonTags,
    without_backend_stats: CommonTags,
    function_tags: String,
    /// The tag `service` of the function.
    service: Option<String>,
    /// The service that a span of a managed service belongs to.
    base_service: String,
    stats: stats::Keys,
}

/// Payloads, stats and counts of one request.
#[derive(Debug, Default)]
pub struct Output {
    /// To be sent, each below [`super::MAX_PAYLOAD_BYTES`].
    pub payloads: Vec<TracerPayload>,
    /// To be merged into the concentrator; empty unless the extension computes stats.
    pub stats: Groups,
    pub counts: Counts,
    /// Observations that link spans to invocations.
    pub observed: SpanObservations,
}

/// What became of a request's spans; the last six are not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    pub received: usize,
    /// Bytes of all payloads before compression.
    pub bytes: usize,
    /// Traces of which some spans are left as they came.
    pub malformed_traces: usize,
    pub filtered: usize,
    pub self_traffic: usize,
    /// The tracer's sampler decided against them.
    pub sampled_out: usize,
    /// One span alone is larger than the intake takes.
    pub oversized: usize,
    /// There was no room for them. Those whose texts had none are in no stats either.
    pub without_room: usize,
}

/// Headers and time of the request that traces came in.
#[derive(Debug, Clone, Copy)]
pub struct Source<'h> {
    pub headers: &'h TracerHeaders,
    /// The time in nanoseconds since the epoch.
    pub now: i64,
    /// How many bytes of payloads there is room for, and as many of the texts that are made on the way.
    pub room: usize,
}

/// Who computes the stats of a request's traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StatsBy {
    Backend,
    Extension,
    Tracer,
}

impl Pipeline {
    /// Compiles the settings. What is wrong with them is reported and has no effect.
    pub fn new(settings: TraceSettings, function: &FunctionTags, keys: stats::Keys) -> (Self, Vec<BadPattern>) {
        let mut bad = Vec::new();
        let replacements = Replacements::compile(&settings.replace_tags, &mut bad);
        let own = settings.service.as_deref().or(settings.function_name.as_deref());
        let base_service = own.filter(|_| settings.service_representation).unwrap_or(LAMBDA_SERVICE).to_owned();
        let pipeline = Self {
            filters: Filters::compile(&settings.filter_tags, &mut bad),
            with_backend_stats: CommonTags::new(function, true, &replacements, |key| keys.uses(key)),
            without_backend_stats: CommonTags::new(function, false, &replacements, |key| keys.uses(key)),
            function_tags: function.joined().into_owned(),
            service: function.pairs().find(|(key, _)| *key == "service").map(|(_, value)| value.to_owned()),
            base_service,
            stats: keys,
            replacements,
            settings,
        };
        (pipeline, bad)
    }

    /// Runs traces through the pipeline. An error of the traces ends it without any effect.
    pub fn run<'b, E>(
        &self,
        source: Source<'_>,
        traces: impl IntoIterator<Item = Result<Vec<Span<'b>>, E>>,
    ) -> Result<Output, E> {
        let mut request = Request::new(self, source);
        for spans in traces {
            request.push(spans?);
        }
        Ok(request.finish())
    }

    fn stats_by(&self, headers: &TracerHeaders) -> StatsBy {
        match (headers.computed_stats, self.settings.compute_stats) {
            (true, _) => StatsBy::Tracer,
            (false, true) => StatsBy::Extension,
            (false, false) => StatsBy::Backend,
        }
    }
}

/// One request on its way.
struct Request<'p> {
    pipeline: &'p Pipeline,
    source: Source<'p>,
    stats_by: StatsBy,
    tags: &'p CommonTags,
    head: Head,
    encoder: Encoder<'p>,
    /// How many bytes of texts may still be made for spans that are sent. As these are a part of what is encoded, there is as much room for both.
    text_room: usize,
    last_query: obfuscate::LastQuery,
    stats: Groups,
    counts: Counts,
}

impl<'p> Request<'p> {
    fn new(pipeline: &'p Pipeline, source: Source<'p>) -> Self {
        let headers = source.headers;
        let stats_by = pipeline.stats_by(headers);
        let tags = match stats_by {
            StatsBy::Backend => &pipeline.with_backend_stats,
            StatsBy::Extension | StatsBy::Tracer => &pipeline.without_backend_stats,
        };
        let head = Head {
            container_id: headers.container_id.clone(),
            language: headers.language.clone(),
            language_version: headers.language_version.clone(),
            tracer_version: headers.tracer_version.clone(),
            function_tags: pipeline.function_tags.clone(),
            ..Head::default()
        };
        let encoder = Encoder::new(tags, source.room);
        Self {
            pipeline,
            source,
            stats_by,
            tags,
            head,
            encoder,
            text_room: source.room,
            last_query: obfuscate::LastQuery::default(),
            stats: Groups::new(source.now),
            counts: Counts::default(),
        }
    }

    fn push(&mut self, mut spans: Vec<Span<'_>>) {
        self.counts.received += spans.len();
        if let Err(malformed) = normalize::trace(&mut spans, self.source.now) {
            tracing::debug!("a trace is left as it came, in part: {malformed}");
            self.counts.malformed_traces += 1;
        }
        let Some(mut chunk) = Chunk::new(spans, self.source.headers.computed_top_level) else { return };
        fill_head(&mut self.head, &chunk);
        if chunk.root().is_some_and(|root| !self.pipeline.filters.keep(root)) {
            self.counts.filtered += chunk.spans.len();
            return;
        }
        let before = chunk.spans.len();
        chunk.spans.retain(|span| !is_self_traffic(span));
        self.counts.self_traffic += before - chunk.spans.len();
        let text_room = self.finish_spans(&mut chunk.spans);
        if self.stats_by == StatsBy::Extension {
            for span in &chunk.spans {
                self.stats.add(span, self.tags, &self.pipeline.stats);
            }
        }
        if self.is_kept(&mut chunk) {
            self.text_room = text_room;
            self.encoder.push(&chunk);
        } else {
            self.counts.sampled_out += chunk.spans.len();
        }
    }

    /// Finishes spans, and gives the room that is left for texts. A text of a few bytes in the body may be that of every span, so that those for whose texts there
    /// is no room are given up before any is made.
    fn finish_spans(&mut self, spans: &mut Vec<Span<'_>>) -> usize {
        let before = spans.len();
        let (mut room, mut last_query) = (self.text_room, std::mem::take(&mut self.last_query));
        spans.retain_mut(|span| {
            let has_room = room > 0;
            if has_room {
                self.finish_span(span, &mut last_query);
                room = room.saturating_sub(span.owned_bytes());
            }
            has_room
        });
        self.last_query = last_query;
        self.counts.without_room += before - spans.len();
        room
    }

    /// The last steps for every span that is sent.
    fn finish_span(&self, span: &mut Span<'_>, last_query: &mut obfuscate::LastQuery) {
        if span.service == LAMBDA_SERVICE
            && let Some(service) = &self.pipeline.service
        {
            span.service = Text::Owned(service.clone());
        }
        if span.meta.contains("_inferred_span.tag_source") && !span.meta.contains("_dd.base_service") {
            span.meta.set("_dd.base_service", Text::Owned(self.pipeline.base_service.clone()));
        }
        obfuscate::span(span, &self.pipeline.settings.obfuscation, last_query);
        self.pipeline.replacements.apply(span);
        // These may have made tags of the span's own that the function has as well.
        self.tags.take_over(span);
    }

    /// Whether the chunk is sent. Without stats of its own the backend needs those too that the tracer's sampler decided against.
    fn is_kept(&self, chunk: &mut Chunk<'_>) -> bool {
        if !self.pipeline.settings.compute_stats || !chunk.is_sampled_out() {
            return true;
        }
        let is_rescued = self.pipeline.settings.error_sampler
            && self.stats_by == StatsBy::Extension
            && chunk.priority == 0
            && chunk.spans.iter().any(|span| span.error != 0);
        if is_rescued && let Some(root) = chunk.root_mut() {
            root.metrics.set("_dd.errors_sr", 1.0);
        }
        is_rescued
    }

    fn finish(mut self) -> Output {
        if self.stats_by == StatsBy::Extension {
            self.stats.set_origin(Origin {
                language: self.head.language.clone(),
                tracer_version: self.head.tracer_version.clone(),
                runtime_id: self.head.runtime_id.clone(),
                container_id: self.head.container_id.clone(),
                ..Origin::default()
            });
        }
        let (payloads, lost) = self.encoder.finish(&self.head);
        self.counts.oversized = lost.oversized;
        self.counts.without_room += lost.without_room;
        self.counts.bytes = payloads.iter().map(|payload| payload.bytes().len()).sum();
        Output { payloads, stats: self.stats, counts: self.counts, observed: SpanObservations::default() }
    }
}

/// What the spans say about their tracer: the first that says it, a root before its children.
fn fill_head(head: &mut Head, chunk: &Chunk<'_>) {
    for (field, key) in [
        (&mut head.env, "env"),
        (&mut head.app_version, "version"),
        (&mut head.hostname, "_dd.hostname"),
        (&mut head.runtime_id, "runtime-id"),
    ] {
        if field.is_empty() {
            let of_root = chunk.root().and_then(|root| root.meta.get(key));
            let found = of_root.or_else(|| chunk.spans.iter().find_map(|span| span.meta.get(key)));
            found.map(|value| &**value).unwrap_or_default().clone_into(field);
        }
    }
    // The span that said it may be one that was left as it came.
    let mut env = Text::Borrowed(&*head.env);
    normalize::tag(&mut env);
    if let Text::Owned(env) = env {
        head.env = env;
    }
}

#[cfg(test)]
#[path = "pipeline_tests.rs"]
mod tests;
