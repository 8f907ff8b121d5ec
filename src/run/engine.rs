//! The engine: telemetry, processing, aggregation and flushing, driven by one of the loops.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{dogstatsd_pipeline::DogStatsdPipeline, traces::TracePipeline, usage_metrics::UsageMetrics};
use crate::{
    aggregate::{EncodedBatches, Points},
    config::Config,
    flush::{DropCounts, DropReason, Flusher},
    ingest::{lifecycle, telemetry::Batches, trace_agent::MAX_ENCODED_BYTES},
    intake::{self, UnsealedPayload, metrics::MetricSnapshot},
    os::{
        clock,
        proc::{self, Proc},
    },
    platform::RequestId,
    process::{
        event::{Batch, Event, Platform, Record},
        invocation::{AttemptId, Output, Processor, call::Call},
        log::LogEncoder,
        runtime,
        trace::{MAX_PAYLOAD_BYTES, SpanObservations},
    },
};

/// How often it is found out whether there is room for telemetry again.
const ROOM_CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// How often it is found out whether what the runtime has sent is decoded, while the end of an invocation waits for it.
const RUNTIME_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// The pipeline, owned by one loop, so that nothing needs a lock.
pub struct Engine {
    pub log_encoder: LogEncoder,
    pub processor: Processor,
    pub logs: EncodedBatches,
    pub points: Points,
    pub dogstatsd_pipeline: DogStatsdPipeline,
    pub traces: TracePipeline,
    /// What tracers report about invocations; None where nobody can.
    pub lifecycle: Option<lifecycle::CallQueue>,
    /// None where nobody wants to know what the function uses of the machine.
    pub usage_metrics: Option<UsageMetrics>,
    pub flusher: Flusher,
    pub telemetry: Option<Batches>,
    /// An invocation is over, and what the runtime has sent at its end is not decoded yet.
    pub awaits_runtime: bool,
    /// Time of the last telemetry since Lambda dropped some in this invocation; `None` if it dropped none.
    pub silent_since_loss: Option<Instant>,
    /// Events of the last telemetry batch that are not ingested yet.
    pub pending: std::vec::IntoIter<Event>,
    pub config: Config,
}

/// The result of one wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A batch of telemetry.
    Telemetry,
    /// Metrics of the function's own code.
    Metrics,
    /// A request of a tracer's.
    Traces,
    /// The start or the end of an invocation, as a tracer reports it.
    Call,
    /// A sample of what the function uses.
    Usage,
    /// A request to Datadog that has ended.
    Request,
    /// Nothing: there was no room for telemetry for a while.
    NoRoom,
    /// Nothing: what the runtime has sent was not decoded for a while.
    AwaitsRuntime,
}

impl Engine {
    /// Serves whatever comes first: telemetry, metrics or traces that arrive, a sample that is due, or a request that ends. May be cancelled without losing any. While
    /// memory is full and can be expected to be freed, telemetry waits with the platform, and tracers for their answers.
    pub async fn progress(&mut self) -> Progress {
        let has_room = self.flusher.has_room();
        if !has_room {
            // Lambda is not silent but waits.
            self.note_telemetry();
        }
        if has_room && self.start_full_metrics() {
            return Progress::Metrics;
        }
        if has_room && self.is_ingesting() {
            self.ingest();
            return Progress::Telemetry;
        }
        if has_room && self.start_full_traces() {
            return Progress::Traces;
        }
        // What is full and has no room waits, and so does what would come on top of it.
        let takes_traces = has_room && self.traces.full_bytes().is_none();
        tokio::select! {
            batch = receive(&mut self.telemetry), if has_room => {
                self.pending = batch.events.into_iter();
                self.ingest();
                Progress::Telemetry
            }
            () = self.dogstatsd_pipeline.arrived() => {
                self.dogstatsd_pipeline.take();
                Progress::Metrics
            }
            // What is processed already takes room whether it is taken in or not.
            received = self.traces.received(takes_traces) => {
                self.traces.take(received);
                self.take_observed();
                Progress::Traces
            }
            // A call takes memory until its invocation is known, which telemetry says.
            call = called(&mut self.lifecycle), if has_room => {
                self.take_call(call);
                Progress::Call
            }
            () = sample_due(self.usage_metrics.as_ref()) => {
                self.sample_usage();
                Progress::Usage
            }
            () = self.flusher.handle_next_completion() => Progress::Request,
            // Whether there is room depends on time, too.
            () = sleep(ROOM_CHECK_INTERVAL), if !takes_traces => Progress::NoRoom,
            () = sleep(RUNTIME_CHECK_INTERVAL), if self.awaits_runtime => {
                self.awaits_runtime = false;
                Progress::AwaitsRuntime
            }
        }
    }

    /// Whether something of a tracer is being read or processed that is not here yet.
    pub fn is_receiving(&self) -> bool {
        self.traces.is_receiving()
            || self.traces.is_processing()
            || self.lifecycle.as_ref().is_some_and(lifecycle::CallQueue::is_receiving)
    }

    /// Whether a part of a batch waits for room.
    pub fn is_ingesting(&self) -> bool {
        self.pending.len() > 0
    }

    /// Ingests what is left of a batch, as far as there is room: encoded, it may be many times as long.
    fn ingest(&mut self) {
        // What was reported during an invocation comes before the events of its end.
        self.take_calls();
        self.note_telemetry();
        while let Some(event) = self.pending.next() {
            if event.record.is_of_invocation() {
                self.name_runtime();
            }
            if matches!(event.record, Record::Platform(Platform::LogsDropped(_))) {
                self.silent_since_loss = Some(Instant::now());
            }
            // Stored one by one: what a line was is gone before the next one needs room.
            let mut produced = Output::default();
            self.processor.event(event, &mut produced);
            self.store(produced);
            // What is full need not wait for a flush: it would only take memory meanwhile.
            let full = self.logs.take_full();
            if !full.is_empty() {
                self.flusher.start(full.into_iter().map(|batch| intake::logs::unsealed(batch, &self.config.logs)));
                if !self.flusher.has_room() {
                    return;
                }
            }
        }
    }

    /// Takes in what has arrived already, as far as there is room.
    fn ingest_waiting(&mut self) {
        while self.flusher.has_room() {
            if !self.is_ingesting() {
                let Some(batch) = self.telemetry.as_mut().and_then(|batches| batches.try_recv().ok()) else { return };
                self.pending = batch.events.into_iter();
            }
            self.ingest();
        }
    }

    /// The same with traces.
    fn take_waiting_traces(&mut self) {
        while self.flusher.has_room() {
            if self.start_full_traces() {
                continue;
            }
            if self.traces.full_bytes().is_some() {
                return;
            }
            let Some(received) = self.traces.try_received() else { return };
            self.traces.take(received);
            self.take_observed();
        }
    }

    /// Takes in the calls that have arrived already.
    fn take_calls(&mut self) {
        while let Some(call) = self.lifecycle.as_mut().and_then(lifecycle::CallQueue::try_recv) {
            self.take_call(call);
        }
    }

    fn take_call(&mut self, call: Call) {
        self.process(|processor, out| processor.call(call, out));
    }

    /// Takes in what spans of tracers say about invocations.
    fn take_observed(&mut self) {
        let observed = self.traces.take_observed();
        if observed != SpanObservations::default() {
            self.process(|processor, out| processor.observed(observed, clock::epoch_ms(), out));
        }
    }

    /// Lets the processor work, and stores what comes of it.
    fn process<T>(&mut self, work: impl FnOnce(&mut Processor, &mut Output) -> T) -> T {
        let mut produced = Output::default();
        let result = work(&mut self.processor, &mut produced);
        self.store(produced);
        result
    }

    /// A payload of spans that is full need not wait for a flush: it would only take memory meanwhile. But it waits for room, so that it takes that of nothing
    /// else. Whether one was started.
    fn start_full_traces(&mut self) -> bool {
        let may_start = self.traces.full_bytes().is_some_and(|bytes| self.flusher.has_room_for(bytes));
        if may_start {
            self.flusher.start(self.traces.take_full(&self.config.apm));
        }
        may_start
    }

    /// Telemetry has come, or has not been taken in although it may have come.
    fn note_telemetry(&mut self) {
        if let Some(since) = &mut self.silent_since_loss {
            *since = Instant::now();
        }
    }

    /// Metrics that have nearly no room left need not wait for a flush, in which there would be no more of them. Whether any were started.
    fn start_full_metrics(&mut self) -> bool {
        let is_full = self.points.is_nearly_full() || self.dogstatsd_pipeline.is_nearly_full();
        if is_full {
            let payloads = self.take_metrics();
            self.flusher.start(payloads);
        }
        is_full
    }

    fn take_metrics(&mut self) -> Vec<UnsealedPayload> {
        let enhanced = self.points.drain(clock::epoch_ms());
        let measured = MetricSnapshot { enhanced, custom: self.dogstatsd_pipeline.drain() };
        intake::metrics::unsealed(&measured, &self.log_encoder.tags().list(), &self.config.metrics)
            .into_iter()
            .collect()
    }

    /// The function has been invoked. Gives the attempt at the request that this is.
    pub fn invoked(&mut self, id: &RequestId) -> AttemptId {
        self.name_runtime();
        self.take_calls();
        self.silent_since_loss = None;
        self.process(|processor, out| processor.invoke(id, clock::epoch_ms(), out))
    }

    /// The sandbox is about to end.
    pub fn ending(&mut self) {
        self.flusher.start_finishing();
        self.process(|processor, out| processor.ending(clock::epoch_ms(), out));
    }

    /// No event will come any more but those that have arrived.
    pub fn ended(&mut self) {
        // Spans of invocations find room for those that are full.
        while self.start_full_traces() {}
        self.ingest_waiting();
        self.traces.end();
        self.take_calls();
        self.take_observed();
        self.process(|processor, out| processor.ended(clock::epoch_ms(), out));
    }

    /// Starts a flush of everything that has come in. Traces come last: those for which logs and metrics leave no room follow when there is some.
    pub fn start_flush(&mut self) {
        self.ingest_waiting();
        let logs = self.logs.drain().into_iter().map(|batch| intake::logs::unsealed(batch, &self.config.logs));
        let mut payloads: Vec<UnsealedPayload> = logs.collect();
        payloads.extend(self.take_metrics());
        let sketches = self.points.take_dropped();
        let batches = self.telemetry.as_mut().map_or(0, Batches::take_lost);
        let dropped = DropCounts { sketches, batches, ..self.dogstatsd_pipeline.take_dropped() };
        self.flusher.count_dropped(DropReason::Aggregates, dropped);
        self.flusher.start(payloads);
        self.build_spans();
        if let Some(lifecycle) = &self.lifecycle {
            self.traces.count_lost(lifecycle.take_dropped());
        }
        self.flusher.count_dropped(DropReason::Aggregates, self.traces.take_dropped());
        self.flusher.count_dropped(DropReason::Oversized(MAX_PAYLOAD_BYTES), self.traces.take_oversized());
        self.flusher.count_dropped(DropReason::RequestTooLarge(MAX_ENCODED_BYTES), self.traces.take_without_room());
        self.traces.close_due();
        while self.start_full_traces() {}
    }

    /// Builds the spans of invocations that are over, from everything that has arrived.
    fn build_spans(&mut self) {
        self.traces.take_processed();
        self.take_observed();
        self.take_waiting_traces();
        self.take_calls();
        self.process(|processor, out| processor.build_spans(clock::epoch_ms(), out));
    }

    /// Whether an invocation is over, and its spans are built and processed: a flush takes all of it along.
    pub fn is_ready_to_flush(&mut self, id: &AttemptId) -> bool {
        if !self.processor.is_done(id) {
            return false;
        }
        self.awaits_runtime = self.lifecycle.as_ref().is_some_and(lifecycle::CallQueue::is_receiving_from_runtime);
        if self.awaits_runtime {
            return false;
        }
        self.ingest_waiting();
        self.build_spans();
        !self.traces.is_processing()
    }

    fn store(&mut self, produced: Output) {
        for trace in produced.traces {
            self.traces.take_invocation(trace);
        }
        self.traces.take_checkpoints(produced.checkpoints);
        self.traces.count_lost(produced.lost_spans);
        for log in &produced.logs {
            self.logs.push(&self.log_encoder.encode(log));
        }
        for point in &produced.points {
            self.points.push(point);
        }
        if let Some(usage_metrics) = &mut self.usage_metrics {
            for point in produced.moments.iter().flat_map(|moment| usage_metrics.observe(moment)) {
                self.points.push(&point);
            }
        }
        for warning in &produced.warnings {
            tracing::warn!("{warning}");
        }
    }

    fn sample_usage(&mut self) {
        if let Some(usage_metrics) = &mut self.usage_metrics {
            usage_metrics.sample();
        }
    }

    /// Finds out once what the runtime is called. Its process may not be there before the first invocation.
    fn name_runtime(&mut self) {
        if !self.processor.wants_runtime() {
            return;
        }
        let (variable, system) = (Proc::default().execution_environment(), proc::os_release());
        let name = runtime::name(variable.as_deref(), system.as_deref());
        if name == runtime::UNKNOWN {
            tracing::debug!("METRICS | Neither a process nor the system says what the runtime is called");
        }
        self.processor.learn_runtime(name);
    }
}

/// The next call; never, if there is none to come.
async fn called(lifecycle: &mut Option<lifecycle::CallQueue>) -> Call {
    if let Some(queue) = lifecycle {
        if let Some(call) = queue.recv().await {
            return call;
        }
        *lifecycle = None;
    }
    std::future::pending().await
}

/// The next batch; never, if there is none to come.
async fn receive(telemetry: &mut Option<Batches>) -> Batch {
    if let Some(batches) = telemetry {
        if let Some(batch) = batches.recv().await {
            return batch;
        }
        *telemetry = None;
    }
    std::future::pending().await
}

/// Waits until a sample is due; never ends if nobody wants one.
async fn sample_due(usage_metrics: Option<&UsageMetrics>) {
    match usage_metrics {
        Some(usage_metrics) => usage_metrics.sample_due().await,
        None => std::future::pending().await,
    }
}
