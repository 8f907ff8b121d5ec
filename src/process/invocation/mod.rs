//! Converts the events of each invocation into logs and metric points.
//!
//! INVOKE and the telemetry events arrive in any order, and an event may be delivered more than once. The processor therefore handles each event when
//! it arrives, counts each fact of an invocation once, and holds data of an unknown invocation until that invocation is known. An invocation is one
//! attempt at a request: Lambda retries an asynchronous request under the same request id.

mod attribution;
pub mod call;
mod context;
mod durable;
mod out_of_memory;
mod sandbox_lifecycle;
mod sandbox_state;
mod spans;
mod trace_state;

use std::sync::Arc;

use super::{
    data_streams,
    event::{Event, InvocationStart, PhaseSpan, Platform, Record, Report, RuntimeDone, Status, Text, Timestamp},
    log::{self, Log, LogLine, Rules},
    metric::{self, Point},
};
use crate::platform::ids::RequestId;
use attribution::{Attribution, HeldLog, LogOwner};
pub use context::AttemptId;
use context::{Context, Contexts, Input};
use durable::DurableLogs;
use sandbox_lifecycle::{DurationMeasurement, FirstInvocation, OnceMetric};
use sandbox_state::SandboxState;
use spans::SpanBuilder;
pub use spans::{InvocationTrace, MAX_HELD_BYTES, SpanSettings};

/// Maximum timeout of a function in milliseconds.
///
/// Source: AWS Lambda developer guide, "Lambda quotas".
const MAX_TIMEOUT_MS: Timestamp = 15 * 60 * 1000;

/// Settings that decide how events are processed.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact or a wish of its own")]
pub struct Settings {
    /// Whether this is a managed instance: several invocations run concurrently, and Lambda sends neither INVOKE nor `platform.runtimeDone`.
    pub managed: bool,
    /// Whether the sandbox is restored from a snapshot. Its process is then older than the sandbox.
    pub snap_start: bool,
    /// Whether enhanced metrics are enabled.
    pub enhanced_metrics: bool,
    /// Whether logs are enabled.
    pub logs: bool,
    /// Whether telemetry events will arrive at all.
    pub telemetry: bool,
    /// Whether the function's own tags contain the initialization type.
    pub init_type_tagged: bool,
    /// Lambda's name of the CPU architecture, for the price list.
    pub architecture: &'static str,
}

/// The result of processing one or more events.
#[derive(Debug, Default, PartialEq)]
pub struct Output {
    /// Logs, in order.
    pub logs: Vec<Log>,
    /// Metric points, in order.
    pub points: Vec<Point>,
    /// Times to sample resource usage, in order; empty without enhanced metrics.
    pub moments: Vec<SamplingPoint>,
    /// Warnings for the customer's log, one line each.
    pub warnings: Vec<String>,
    /// Spans of invocations.
    pub traces: Vec<InvocationTrace>,
    /// Checkpoints of Data Streams Monitoring.
    pub checkpoints: Vec<data_streams::Point>,
    /// Number of inputs about spans that were given up, because there were too many.
    pub lost_spans: usize,
}

/// A point in time at which resource usage is sampled. Each occurs once per invocation, in this order or with the last two exchanged. An invocation
/// whose end arrives before its start has only the last two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SamplingPoint {
    /// The invocation starts.
    Begun(AttemptId),
    /// The runtime has finished the invocation.
    Done(AttemptId, Arc<[String]>),
    /// Lambda has reported the invocation: the runtime and all extensions are done.
    Reported(AttemptId, Arc<[String]>),
    /// The sandbox shuts down; no further event will arrive.
    Ending(Arc<[String]>),
}

/// The state of all invocations of this sandbox. Converts events into logs, metric points and sampling points.
#[derive(Debug)]
pub struct Processor {
    settings: Settings,
    rules: Rules,
    contexts: Contexts,
    attribution: Attribution,
    sandbox: SandboxState,
    init: OnceMetric,
    restore: OnceMetric,
    first: FirstInvocation,
    /// None: no spans are built.
    spans: Option<SpanBuilder>,
    durable: DurableLogs,
}

impl Processor {
    /// A processor for a sandbox whose process started at `started`.
    pub fn new(settings: Settings, rules: Rules, started: Timestamp) -> Self {
        Self {
            settings,
            rules,
            contexts: Contexts::default(),
            attribution: Attribution::new(settings.managed),
            sandbox: SandboxState::new((!settings.snap_start).then_some(started)),
            init: OnceMetric::default(),
            restore: OnceMetric::default(),
            first: FirstInvocation::new(settings),
            spans: None,
            durable: DurableLogs::new(0),
        }
    }

    /// The same processor, in which lines of a durable function wait for their execution: those of so many invocations at most.
    #[must_use]
    pub fn with_durable_logs(mut self, capacity: usize) -> Self {
        self.durable = DurableLogs::new(capacity);
        self
    }

    /// Handles INVOKE. Returns the attempt that it starts.
    pub fn invoke(&mut self, request_id: &RequestId, now: Timestamp, out: &mut Output) -> AttemptId {
        let Some(id) = self.record(request_id, Input::Invoke, now, out) else {
            return AttemptId { request_id: request_id.clone(), attempt: 1 };
        };
        self.start_sampling(&id, out);
        self.count(&id, now, out);
        self.complete_if_over(&id, out);
        id
    }

    /// Records an input in the invocation that it belongs to. Returns None if the input repeats a recorded one.
    fn record(&mut self, request_id: &RequestId, input: Input, time: Timestamp, out: &mut Output) -> Option<AttemptId> {
        self.build_leaving(request_id, input, time, out);
        let context = self.contexts.record(request_id, input, time)?;
        let (id, is_new, is_first) = (context.id().clone(), context.inputs_seen() == 1, context.is_first);
        if is_new {
            self.sandbox.begin(is_first, time);
            if is_first {
                self.startup_is_judged();
            }
            self.claim_inputs(&id, time, out);
        }
        Some(id)
    }

    /// Starts sampling resource usage, unless the invocation has already ended.
    fn start_sampling(&mut self, id: &AttemptId, out: &mut Output) {
        let context = self.contexts.find_mut(id).filter(|context| !context.is_done());
        if context.is_some_and(|context| !std::mem::replace(&mut context.sampled, true)) {
            self.moment(SamplingPoint::Begun(id.clone()), out);
        }
    }

    /// Counts an invocation, or holds the count until its tags are known.
    fn count(&mut self, id: &AttemptId, time: Timestamp, out: &mut Output) {
        let Some(context) = self.contexts.find(id) else { return };
        if context.is_first && !self.first.is_complete() {
            self.first.hold(id.clone(), time);
        } else {
            self.point(metric::INVOCATIONS, 1.0, time, &self.tags(context), out);
        }
        self.release_held(out);
    }

    fn complete_if_over(&mut self, id: &AttemptId, out: &mut Output) {
        if self.first.holds(id) && self.contexts.find(id).is_none_or(Context::is_over) {
            self.complete_first(out);
        }
    }

    fn tags(&self, context: &Context) -> Arc<[String]> {
        self.sandbox.tags(self.sandbox.start_kind(context.is_first))
    }

    fn tags_of(&self, id: &AttemptId) -> Arc<[String]> {
        self.contexts.find(id).map_or_else(|| self.sandbox.tags(None), |context| self.tags(context))
    }

    /// Handles a telemetry event.
    pub fn event(&mut self, event: Event, out: &mut Output) {
        let time = event.time;
        match event.record {
            Record::Function(text) | Record::Extension(text) => self.line(text, time, out),
            Record::Platform(Platform::InitStart(init)) => self.init_start(&init, time, out),
            Record::Platform(Platform::InitReport(report)) => self.init_report(&report, time, out),
            Record::Platform(Platform::RestoreStart) => self.restore_start(time, out),
            Record::Platform(Platform::RestoreReport(report)) => self.restore_report(&report, time, out),
            Record::Platform(Platform::Start(start)) => self.start(&start, time, out),
            Record::Platform(Platform::RuntimeDone(done)) => self.runtime_done(&done, time, out),
            Record::Platform(Platform::Report(report)) => self.report(&report, time, out),
            Record::Platform(Platform::LogsDropped(lost)) => out.warnings.push(format!(
                "Lambda dropped {} telemetry records ({} bytes) before we could read them: {}",
                lost.dropped_records.unwrap_or_default(),
                lost.dropped_bytes.unwrap_or_default(),
                lost.reason.unwrap_or_default()
            )),
            Record::Platform(
                Platform::InitRuntimeDone
                | Platform::RestoreRuntimeDone
                | Platform::Extension
                | Platform::TelemetrySubscription,
            ) => {}
        }
    }

    /// Whether the runtime has finished this invocation. An invocation that is no longer remembered ended long ago.
    pub fn is_done(&self, id: &AttemptId) -> bool {
        self.contexts.find(id).is_none_or(Context::is_done)
    }

    /// Whether the `platform.report` of an invocation is missing that may still come: of the newest invocation, because Lambda reports one before it starts the
    /// next. On a managed instance: of those that have started within the longest timeout of a function.
    pub fn awaits_report(&self, now: Timestamp) -> bool {
        let lacks_report = |context: &Context| !context.has(Input::Report);
        if self.settings.managed {
            let may_run = |context: &Context| context.begun_at().is_some_and(|begun| now - begun <= MAX_TIMEOUT_MS);
            return self.contexts.iter().any(|context| lacks_report(context) && may_run(context));
        }
        self.contexts.iter().next_back().is_some_and(lacks_report)
    }

    fn line(&mut self, text: Text, time: Timestamp, out: &mut Output) {
        let LogLine { log, request_ids } = log::read(text, time);
        let out_of_memory = out_of_memory::is_reported_by(&log.message);
        // A request id in a line may be one of the application's own, so only known ids count.
        let named = request_ids.iter().find_map(|request_id| self.contexts.newest(request_id));
        let named = named.map(|context| context.id().clone());
        match &named {
            Some(id) => self.emit(Log { request_id: Some(id.request_id.clone()), ..log }, out),
            None => self.own(HeldLog { log, request_ids }, out),
        }
        if out_of_memory {
            let id = named.or_else(|| self.attribution.latest().cloned());
            self.out_of_memory(id.as_ref(), time, out);
        }
    }

    /// Attributes a log without a known request id to an invocation, or holds it if that invocation has not started yet.
    fn own(&mut self, mut held: HeldLog, out: &mut Output) {
        match self.attribution.owner(&held) {
            LogOwner::Invocation(id) => {
                held.log.request_id = Some(id.request_id);
                self.emit(held.log, out);
            }
            LogOwner::Unknown => self.emit(held.log, out),
            LogOwner::NextInvocation => {
                for evicted in self.attribution.hold_log(held) {
                    self.emit(evicted, out);
                }
            }
        }
    }

    fn emit(&mut self, mut log: Log, out: &mut Output) {
        if self.settings.logs
            && let Some(message) = self.rules.apply(std::mem::take(&mut log.message))
        {
            out.logs.extend(self.durable.pass(Log { message, ..log }));
        }
    }

    fn start(&mut self, start: &InvocationStart, time: Timestamp, out: &mut Output) {
        let Some(id) = self.record(&start.request_id, Input::Start, time, out) else { return };
        self.start_sampling(&id, out);
        if self.settings.managed && self.contexts.find_mut(&id).is_some_and(|it| it.record(Input::Invoke, time)) {
            self.count(&id, time, out);
        }
        self.emit(log::start(start, time), out);
        for held in self.attribution.begin(&id, time) {
            self.emit(held, out);
        }
        self.release_held(out);
        self.build_if_complete(&id, out);
    }

    fn runtime_done(&mut self, done: &RuntimeDone, time: Timestamp, out: &mut Output) {
        let Some(id) = self.record(&done.request_id, Input::RuntimeDone, time, out) else { return };
        let Some(context) = self.contexts.find_mut(&id) else { return };
        context.runtime_ms = done.metrics.duration_ms;
        let tags = self.tags_of(&id);
        self.moment(SamplingPoint::Done(id.clone(), tags.clone()), out);
        for held in self.attribution.end(&id, time) {
            self.emit(held, out);
        }
        self.emit(log::runtime_done(done, time), out);
        self.measured(metric::RUNTIME_DURATION, done.metrics.duration_ms, time, &tags, out);
        self.measured(metric::PRODUCED_BYTES, done.metrics.produced_bytes, time, &tags, out);
        self.phases(&done.spans, time, &tags, out);
        self.outcome(&id, done.status, done.error_type.as_deref(), time, out);
        self.post_runtime(&id, time, out);
        self.complete_if_over(&id, out);
        self.span_is_done(&id, done.status, done.metrics.duration_ms, out);
    }

    fn report(&mut self, report: &Report, time: Timestamp, out: &mut Output) {
        // The initialization is told before it, or never.
        out.logs.extend(self.durable.stop_waiting_for_decision());
        let Some(id) = self.record(&report.request_id, Input::Report, time, out) else { return };
        let managed = self.settings.managed;
        let Some(context) = self.contexts.find_mut(&id) else { return };
        context.total_ms = report.metrics.duration_ms;
        let ends_runtime = managed && context.record(Input::RuntimeDone, time);
        let runtime_ms = context.runtime_ms;
        let tags = self.tags_of(&id);
        if ends_runtime {
            self.moment(SamplingPoint::Done(id.clone(), tags.clone()), out);
        }
        let held = if managed { self.attribution.end(&id, time) } else { self.attribution.report(&id, time) };
        for log in held {
            self.emit(log, out);
        }
        self.moment(SamplingPoint::Reported(id.clone(), tags.clone()), out);
        self.emit(log::report(report, runtime_ms, time), out);
        if managed {
            let latency = report.spans.iter().find(|span| span.name == "responseLatency");
            let runtime_ms = latency.map(|span| span.duration_ms).or(report.metrics.duration_ms);
            self.measured(metric::RUNTIME_DURATION, runtime_ms, time, &tags, out);
            self.phases(&report.spans, time, &tags, out);
            self.span_is_done(&id, report.status, runtime_ms, out);
        }
        self.bill(report, time, &tags, out);
        if report.metrics.memory_is_exhausted() {
            self.out_of_memory(Some(&id), time, out);
        }
        if let Some(init_ms) = report.metrics.init_duration_ms {
            self.startup_ends(init_ms, false);
            self.init.measure(DurationMeasurement { seconds: init_ms / 1000.0, time });
            self.release_held(out);
        }
        self.outcome(&id, report.status, report.error_type.as_deref(), time, out);
        self.post_runtime(&id, time, out);
        self.complete_if_over(&id, out);
        self.stop_looking_for_trace(&id);
    }

    /// Adds the points for Lambda's measurements of the whole invocation. Each measurement is independent of the others.
    fn bill(&self, report: &Report, time: Timestamp, tags: &Arc<[String]>, out: &mut Output) {
        let metrics = &report.metrics;
        let seconds = |ms: Option<f64>| ms.map(|ms| ms / 1000.0);
        self.measured(metric::DURATION, seconds(metrics.duration_ms), time, tags, out);
        self.measured(metric::BILLED_DURATION, seconds(metrics.billed_duration_ms), time, tags, out);
        self.measured(metric::MEMORY_SIZE, metrics.memory_size_mb, time, tags, out);
        self.measured(metric::MAX_MEMORY_USED, metrics.max_memory_used_mb, time, tags, out);
        let cost = metric::estimated_cost(metrics, self.settings.architecture);
        self.measured(metric::ESTIMATED_COST, cost, time, tags, out);
    }

    /// Counts errors and timeouts. Both `platform.runtimeDone` and `platform.report` carry the outcome; each is counted once.
    fn outcome(&mut self, id: &AttemptId, status: Status, error: Option<&str>, time: Timestamp, out: &mut Output) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        // Without a status, the error type decides.
        let is_error = match status {
            Status::Success => false,
            Status::Error | Status::Failure | Status::Timeout => true,
            Status::Unknown => error.is_some(),
        };
        let error_is_new = is_error && !std::mem::replace(&mut context.failed, true);
        let timeout_is_new = status == Status::Timeout && !std::mem::replace(&mut context.timed_out, true);
        let tags = self.tags_of(id);
        if error_is_new {
            self.point(metric::ERRORS, 1.0, time, &tags, out);
        }
        if timeout_is_new {
            self.point(metric::TIMEOUTS, 1.0, time, &tags, out);
        }
        if error.is_some_and(out_of_memory::is_named_by) {
            self.out_of_memory(Some(id), time, out);
        }
    }

    /// Adds the post-runtime duration once both the runtime duration and the total duration are known.
    fn post_runtime(&self, id: &AttemptId, time: Timestamp, out: &mut Output) {
        let Some(context) = self.contexts.find(id) else { return };
        if let (Some(runtime_ms), Some(total_ms)) = (context.runtime_ms, context.total_ms)
            && runtime_ms > 0.0
        {
            self.point(metric::POST_RUNTIME_DURATION, (total_ms - runtime_ms).max(0.0), time, &self.tags(context), out);
        }
    }

    /// Counts an out-of-memory error once per invocation. If the invocation is unknown, it counts every time: a duplicate is better than a missing
    /// count.
    fn out_of_memory(&mut self, id: Option<&AttemptId>, time: Timestamp, out: &mut Output) {
        let context = id.and_then(|id| self.contexts.find_mut(id));
        if context.is_none_or(|context| !std::mem::replace(&mut context.out_of_memory, true)) {
            let context = id.and_then(|id| self.contexts.find(id));
            let tags = context.map_or_else(|| self.sandbox.tags(None), |context| self.tags(context));
            self.point(metric::OUT_OF_MEMORY, 1.0, time, &tags, out);
        }
    }

    fn phases(&self, spans: &[PhaseSpan], time: Timestamp, tags: &Arc<[String]>, out: &mut Output) {
        for span in spans {
            match span.name.as_str() {
                "responseLatency" => self.point(metric::RESPONSE_LATENCY, span.duration_ms, time, tags, out),
                "responseDuration" => self.point(metric::RESPONSE_DURATION, span.duration_ms, time, tags, out),
                _ => {}
            }
        }
    }

    fn measured(
        &self,
        name: &'static str,
        value: Option<f64>,
        time: Timestamp,
        tags: &Arc<[String]>,
        out: &mut Output,
    ) {
        if let Some(value) = value {
            self.point(name, value, time, tags, out);
        }
    }

    fn moment(&self, moment: SamplingPoint, out: &mut Output) {
        if self.settings.enhanced_metrics {
            out.moments.push(moment);
        }
    }

    fn point(&self, name: &'static str, value: f64, time: Timestamp, tags: &Arc<[String]>, out: &mut Output) {
        if self.settings.enhanced_metrics {
            out.points.push(Point { name, value, time, tags: tags.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
