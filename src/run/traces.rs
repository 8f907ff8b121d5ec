//! What tracers send, from the trace agent to what waits to leave.

use std::sync::Arc;

use super::invocation_runs::InvocationRuns;
use crate::{
    aggregate::Batches,
    build_info::BUILD_INFO,
    config::{Apm, Config},
    flush::DropCounts,
    ingest::{
        otlp,
        trace_agent::{Agent, PORT, Refusals, TraceAgentListener, TraceQueue, TracerData},
    },
    intake::{self, UnsealedPayload},
    os::clock,
    process::{
        data_streams::{self, Buckets, Point},
        invocation::InvocationTrace,
        proxied::ProxiedRequest,
        tags::FunctionTags,
        trace::{
            self, Output, Pipeline, SpanObservations, SpanParents, TraceSettings, TracerPayload,
            settings::{FilterTags, Obfuscation, ReplaceRule},
            stats::{self, ClientPayload, CollapsedGroups, Concentrator, Flush},
        },
    },
};

/// With so many bytes of requests that are passed on, they do not wait for a flush.
const MAX_PROXIED_BYTES: usize = 4 << 20;
/// What a payload of statistics has beside those, in bytes, at most.
const STATS_OVERHEAD: usize = 128;

/// With so many bytes of spans that wait to leave, those of an invocation are dropped and counted: unlike a tracer, it cannot be asked to wait.
const MAX_WAITING_BYTES: usize = 16 << 20;

/// Spans, statistics of spans, and what is passed on.
pub struct TracePipeline {
    queue: Option<TraceQueue>,
    /// Spans of invocations, which are made here.
    runs: InvocationRuns,
    /// What spans of tracers say about invocations.
    observed: SpanObservations,
    refusals: Arc<Refusals>,
    spans: Batches<TracerPayload>,
    stats: Batches<ClientPayload>,
    proxied: Batches<ProxiedRequest>,
    /// Checkpoints of Data Streams Monitoring.
    checkpoints: Buckets,
    streams: data_streams::Origin,
    /// The customer's tags, as `key:value`.
    tags: Vec<String>,
    concentrator: Concentrator,
    /// The function's name.
    function: String,
    dropped: DropCounts,
    /// Spans that are each larger than a payload may be.
    oversized: u64,
    /// Spans for which their request had no room.
    without_room: u64,
    /// By what there can be too many of.
    has_warned_of_values: [bool; 5],
    /// The sandbox is about to end: statistics do not wait for the end of their interval.
    ending: bool,
}

impl TracePipeline {
    /// Serves tracers and SDKs of OpenTelemetry from now on, where there are listeners.
    pub fn start(
        bound: Option<TraceAgentListener>,
        otlp: otlp::Listeners,
        config: &Config,
        tags: &FunctionTags,
        span_parents: Arc<SpanParents>,
    ) -> Self {
        let pipeline = Arc::new(pipeline(config, tags));
        let (agent, queue) = Agent::new(Arc::clone(&pipeline), span_parents);
        if let Some(Err(error)) = bound.map(|bound| bound.serve(Arc::clone(&agent))) {
            tracing::warn!("TRACE_AGENT | cannot serve port {PORT}: {error}; traces are disabled");
        }
        otlp.serve(&agent, &config.otlp, &config.apm);
        let log_encoder = stats::Origin {
            env: config.env.clone().unwrap_or_default(),
            version: config.version.clone().unwrap_or_default(),
            service: config.service.as_deref().unwrap_or_default().to_lowercase(),
            ..stats::Origin::default()
        };
        let limit = config.apm.max_additional_stats_tags;
        Self {
            refusals: queue.refusals(),
            queue: Some(queue),
            runs: InvocationRuns::new(pipeline),
            observed: SpanObservations::default(),
            spans: Batches::new(trace::MAX_PAYLOAD_BYTES - trace::OVERHEAD),
            stats: Batches::new(stats::MAX_PAYLOAD_BYTES - STATS_OVERHEAD),
            proxied: Batches::new(MAX_PROXIED_BYTES),
            checkpoints: Buckets::default(),
            streams: streams(config, &tags.function_name),
            tags: config.tags.iter().map(|tag| format!("{}:{}", tag.key, tag.value)).collect(),
            concentrator: Concentrator::new(log_encoder, now(), limit),
            function: tags.function_name.clone(),
            dropped: DropCounts::default(),
            oversized: 0,
            without_room: 0,
            has_warned_of_values: [false; 5],
            ending: false,
        }
    }

    /// Waits for spans of an invocation that are processed or, if `takes_requests`, for the next request; never ends if none will come. May be cancelled without
    /// losing one.
    pub async fn received(&mut self, takes_requests: bool) -> TracerData {
        tokio::select! {
            output = self.runs.output() => TracerData::Traces(Box::new(output)),
            received = next_request(&mut self.queue), if takes_requests => received,
        }
    }

    /// The next request, if it is here.
    pub fn try_received(&mut self) -> Option<TracerData> {
        self.queue.as_mut().and_then(TraceQueue::try_recv)
    }

    /// Whether a request is being read or processed that is not here yet.
    pub fn is_receiving(&self) -> bool {
        self.queue.as_ref().is_some_and(TraceQueue::is_receiving)
    }

    /// Whether spans of an invocation are being processed.
    pub fn is_processing(&self) -> bool {
        self.runs.is_running()
    }

    /// Takes in what is here, and ends: further requests are answered with an error.
    pub async fn close(&mut self) {
        let Some(mut queue) = self.queue.take() else { return };
        queue.close();
        while let Some(received) = queue.recv().await {
            self.take(received);
        }
    }

    /// Takes in what a request has become.
    pub fn take(&mut self, received: TracerData) {
        match received {
            TracerData::Traces(output) => self.take_traces(*output),
            TracerData::Stats(stats) => {
                let bytes = stats.bytes().len();
                self.stats.push(stats, bytes);
            }
            TracerData::Proxied(request) => {
                let bytes = request.bytes();
                self.proxied.push(request, bytes);
            }
        }
    }

    fn take_traces(&mut self, output: Output) {
        let Output { payloads, stats, counts, observed } = output;
        self.observed.add(observed);
        for payload in payloads {
            let bytes = payload.bytes().len();
            self.spans.push(payload, bytes);
        }
        self.oversized += counts.oversized as u64;
        self.without_room += counts.without_room as u64;
        if !stats.is_empty() {
            let collapsed = self.concentrator.merge(stats, now());
            self.warn_of(collapsed);
        }
    }

    /// What spans of tracers have said about invocations since this was last asked.
    pub fn take_observed(&mut self) -> SpanObservations {
        std::mem::take(&mut self.observed)
    }

    /// Processes spans of invocations, a handful for each, and takes them in. Large ones come out of [`Self::received`] later.
    pub fn take_invocation(&mut self, trace: InvocationTrace) {
        if self.spans.bytes() > MAX_WAITING_BYTES {
            self.dropped.spans += trace.spans.len() as u64;
        } else if let Some(output) = self.runs.push(trace) {
            self.take_traces(output);
        }
    }

    /// Takes in spans of invocations that are processed.
    pub fn take_processed(&mut self) {
        while let Some(output) = self.runs.try_output() {
            self.take_traces(output);
        }
    }

    /// Gives up spans of invocations that are not processed yet.
    pub fn give_up_processing(&mut self) {
        self.runs.give_up();
    }

    /// Takes in checkpoints of data streams.
    pub fn take_checkpoints(&mut self, checkpoints: Vec<Point>) {
        for checkpoint in checkpoints {
            self.checkpoints.push(checkpoint);
        }
    }

    /// Makes one request of the checkpoints that wait.
    fn close_checkpoints(&mut self) {
        let tags: Vec<_> = self.tags.iter().map(String::as_str).collect();
        let payload = self.checkpoints.drain(&self.streams, BUILD_INFO.version, &tags);
        if let Some(request) = payload.and_then(|payload| intake::proxied::checkpoints(&payload)) {
            let bytes = request.bytes();
            self.proxied.push(request, bytes);
        }
        let dropped = self.checkpoints.take_dropped();
        if dropped > 0 {
            tracing::debug!("DSM | {dropped} checkpoints are dropped: too many edges wait to be sent");
        }
    }

    /// Counts spans that were given up before they were built.
    pub fn count_lost(&mut self, spans: usize) {
        self.dropped.spans += spans as u64;
    }

    /// Warns once of each thing of which there are too many values.
    fn warn_of(&mut self, collapsed: CollapsedGroups) {
        let CollapsedGroups { groups, resources, endpoints, peer_tags, additional_tags } = collapsed;
        let all = [groups, resources, endpoints, peer_tags, additional_tags];
        let names = ["operations", "resources", "endpoints", "peer tags", "additional tags"];
        for ((count, name), has_warned) in all.into_iter().zip(names).zip(&mut self.has_warned_of_values) {
            if count > 0 && !std::mem::replace(has_warned, true) {
                tracing::warn!(
                    "STATS | too many different {name} in ten seconds; further ones are counted together as tracer_blocked_value"
                );
            }
        }
    }

    /// How many bytes [`Self::take_full`] would take; None if nothing is full. What is full need not wait for a flush.
    pub fn full_bytes(&self) -> Option<usize> {
        self.spans.full_bytes().or_else(|| self.stats.full_bytes()).or_else(|| self.proxied.full_bytes())
    }

    /// Something that is full.
    pub fn take_full(&mut self, settings: &Apm) -> Vec<UnsealedPayload> {
        if let Some(batch) = self.spans.take_full() {
            vec![batched(batch, settings)]
        } else if let Some(batch) = self.stats.take_full() {
            vec![intake::stats::unsealed(&batch, settings)]
        } else if let Some(batch) = self.proxied.take_full() {
            batch.into_iter().map(|request| intake::proxied::unsealed(request, &self.function)).collect()
        } else {
            Vec::new()
        }
    }

    /// Everything that is due becomes full, in batches of its own.
    pub fn close_due(&mut self) {
        let which = if self.ending { Flush::All } else { Flush::Due };
        for stats in self.concentrator.flush(now(), which) {
            let bytes = stats.bytes().len();
            self.stats.push(stats, bytes);
        }
        self.close_checkpoints();
        self.spans.close();
        self.stats.close();
        self.proxied.close();
    }

    /// From now on everything is due.
    pub fn end(&mut self) {
        self.ending = true;
    }

    /// Requests that were refused in this sandbox.
    pub fn refused(&self) -> DropCounts {
        DropCounts { refused: self.refusals.count(), ..DropCounts::default() }
    }

    /// Spans that were too large to be sent since this was last asked.
    pub fn take_oversized(&mut self) -> DropCounts {
        DropCounts { spans: std::mem::take(&mut self.oversized), ..DropCounts::default() }
    }

    /// Spans of requests that were too large with their tags since this was last asked.
    pub fn take_without_room(&mut self) -> DropCounts {
        DropCounts { spans: std::mem::take(&mut self.without_room), ..DropCounts::default() }
    }

    /// What else was given up since this was last asked.
    pub fn take_dropped(&mut self) -> DropCounts {
        self.dropped.spans += self.runs.take_lost() as u64;
        std::mem::take(&mut self.dropped)
    }
}

/// The next request; never, if there is none to come.
async fn next_request(queue: &mut Option<TraceQueue>) -> TracerData {
    if let Some(open) = queue {
        if let Some(received) = open.recv().await {
            return received;
        }
        *queue = None;
    }
    std::future::pending().await
}

fn batched(batch: Vec<TracerPayload>, settings: &Apm) -> UnsealedPayload {
    let count = batch.len();
    let payload = intake::traces::unsealed(batch, settings);
    tracing::debug!(
        "TRACES | batched {} payload(s) totaling {} bytes (cap {} bytes)",
        count,
        payload.body.len(),
        trace::MAX_PAYLOAD_BYTES
    );
    payload
}

/// The settings of the trace pipeline, compiled.
fn pipeline(config: &Config, tags: &FunctionTags) -> Pipeline {
    let Apm { filters, http, replace_rules, .. } = &config.apm;
    let rule = |rule: &crate::config::ReplaceRule| ReplaceRule {
        name: rule.name.clone(),
        pattern: rule.pattern.clone(),
        replacement: rule.replacement.clone(),
    };
    let settings = TraceSettings {
        service: config.service.clone(),
        function_name: Some(&tags.function_name).filter(|name| !name.is_empty()).cloned(),
        compute_stats: config.apm.compute_stats,
        service_representation: config.apm.service_representation,
        filter_tags: FilterTags {
            require: filters.require.clone(),
            reject: filters.reject.clone(),
            regex_require: filters.regex_require.clone(),
            regex_reject: filters.regex_reject.clone(),
        },
        replace_tags: replace_rules.iter().map(rule).collect(),
        obfuscation: Obfuscation {
            http_remove_query_string: http.remove_query_string,
            http_remove_paths_with_digits: http.remove_paths_with_digits,
        },
        error_sampler: config.apm.error_sampler,
    };
    let (pipeline, bad) = Pipeline::new(settings, tags, stats::Keys::new(&config.apm.additional_stats_tags));
    for pattern in bad {
        tracing::warn!("CONFIG | {pattern}");
    }
    pipeline
}

/// Origin of Data Streams checkpoints.
pub fn streams(config: &Config, function: &str) -> data_streams::Origin {
    let service = config.service.as_deref().or(Some(function)).filter(|service| !service.is_empty());
    data_streams::Origin {
        service: service.unwrap_or("aws.lambda").to_owned(),
        env: config.env.clone().unwrap_or_default(),
        version: config.version.clone().unwrap_or_default(),
        sha256: intake::tls::sha256,
    }
}

/// Nanoseconds since the epoch.
fn now() -> i64 {
    clock::epoch_ms().saturating_mul(1_000_000)
}

#[cfg(test)]
#[path = "traces_tests.rs"]
mod tests;
