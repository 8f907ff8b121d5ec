//! Turns the platform's story of each invocation into logs and points.
//!
//! Nobody guarantees the order in which INVOKE and the telemetry events reach us, nor that an event comes only once. So every event is taken when it comes, each
//! fact of an invocation is counted once, and what belongs to an invocation that is not known yet waits for it.

mod attribution;
mod births;
mod context;
mod dynamic;
mod out_of_memory;

use std::sync::Arc;

use super::{
    event::{Event, Platform, Record, Report, RuntimeDone, Span, Start, Status, Text, Timestamp},
    log::{self, Log, Rules},
    metric::{self, Point},
};
use crate::platform::ids::RequestId;
use attribution::{Attribution, Owner};
use births::{First, Measured, Once};
use context::Contexts;
use dynamic::Dynamic;

/// What decides how events are read.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact or a wish of its own")]
pub struct Settings {
    /// Several invocations at once, no INVOKE and no `platform.runtimeDone`.
    pub managed: bool,
    /// Whether enhanced metrics are wanted.
    pub enhanced_metrics: bool,
    /// Whether logs are wanted.
    pub logs: bool,
    /// Whether any event will ever come.
    pub telemetry: bool,
    /// Whether the function's own tags say how the sandbox came to be.
    pub init_type_tagged: bool,
    /// Lambda's name of the processor, for the price list.
    pub architecture: &'static str,
}

/// What came out of one or more events.
#[derive(Debug, Default, PartialEq)]
pub struct Produced {
    /// Logs, in order.
    pub logs: Vec<Log>,
    /// Points, in order.
    pub points: Vec<Point>,
    /// When to look at what the function uses of the machine, in order; empty without enhanced metrics.
    pub moments: Vec<Moment>,
    /// Things that the customer should know; each becomes one warning.
    pub warnings: Vec<String>,
}

/// A moment at which what the function uses of the machine is looked at. Each comes once an invocation, in this order or with the last two
/// exchanged; an invocation whose end was told before its beginning has only those two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// An invocation begins.
    Begun(RequestId),
    /// Its runtime is through with it.
    Done(RequestId, Arc<[String]>),
    /// It is over for everybody.
    Reported(RequestId, Arc<[String]>),
    /// The sandbox ends, and no event will come any more.
    Ending(Arc<[String]>),
}

/// The state of all invocations of this sandbox.
#[derive(Debug)]
pub struct Processor {
    settings: Settings,
    rules: Rules,
    contexts: Contexts,
    attribution: Attribution,
    dynamic: Dynamic,
    init: Once,
    restore: Once,
    first: First,
}

impl Processor {
    /// A processor for a sandbox whose process started at `started`.
    pub fn new(settings: Settings, rules: Rules, started: Timestamp) -> Self {
        // A managed instance tells of invocations by events only, behind those of its initialization; and where no events come there is none to wait for.
        let waits = settings.telemetry && !settings.managed;
        Self {
            settings,
            rules,
            contexts: Contexts::default(),
            attribution: Attribution::new(settings.managed),
            dynamic: Dynamic::new(started),
            init: Once::default(),
            restore: Once::default(),
            first: if waits { First::Awaited } else { First::Free },
        }
    }

    /// INVOKE: the function has been called.
    pub fn invoke(&mut self, id: &RequestId, now: Timestamp, out: &mut Produced) {
        if self.contexts.is_finished(id) {
            return;
        }
        self.begin(id, now, out);
        let Some(context) = self.contexts.find_mut(id) else { return };
        if !std::mem::replace(&mut context.invoked, true) {
            let start = context.start;
            if matches!(self.first, First::Awaited) {
                self.first = First::Held { id: id.clone(), time: now };
            } else {
                self.point(metric::INVOCATIONS, 1.0, now, &self.dynamic.tags(start), out);
            }
        }
        self.release_births(out);
        self.close_if_over(id, out);
    }

    /// Opens an invocation that is not known yet, and has its use of the machine measured from here on unless its end has been told already.
    fn begin(&mut self, id: &RequestId, now: Timestamp, out: &mut Produced) {
        let context = self.contexts.open(id, || self.dynamic.begin(now));
        let over = context.done || context.reported;
        if !over && !std::mem::replace(&mut context.begun, true) {
            self.moment(Moment::Begun(id.clone()), out);
        }
    }

    fn close_if_over(&mut self, id: &RequestId, out: &mut Produced) {
        // What has not been told of the initialization by the end of the first invocation was lost on its way.
        if self.contexts.close_if_over(id) && matches!(&self.first, First::Held { id: held, .. } if held == id) {
            self.release_first(out);
        }
    }

    /// A telemetry event.
    pub fn event(&mut self, event: Event, out: &mut Produced) {
        let time = event.time;
        match event.record {
            Record::Function(text) | Record::Extension(text) => self.line(text, time, out),
            Record::Platform(Platform::InitStart(init)) => self.init_start(&init, time, out),
            Record::Platform(Platform::InitReport(report)) => self.init_report(&report, time, out),
            Record::Platform(Platform::RestoreStart) => self.dynamic.restored(time),
            Record::Platform(Platform::RestoreReport(report)) => self.restore_report(&report, time, out),
            Record::Platform(Platform::Start(start)) => self.start(&start, time, out),
            Record::Platform(Platform::RuntimeDone(done)) => self.runtime_done(&done, time, out),
            Record::Platform(Platform::Report(report)) => self.report(&report, time, out),
            Record::Platform(Platform::LogsDropped(lost)) => out.warnings.push(format!(
                "Lambda dropped {} telemetry records ({} bytes) before we could read them: {}",
                lost.dropped_records, lost.dropped_bytes, lost.reason
            )),
            Record::Platform(
                Platform::InitRuntimeDone
                | Platform::RestoreRuntimeDone
                | Platform::Extension
                | Platform::TelemetrySubscription,
            ) => {}
        }
    }

    /// Whether the runtime is through with this invocation.
    pub fn is_done(&self, id: &RequestId) -> bool {
        self.contexts.is_finished(id) || self.contexts.find(id).is_some_and(|context| context.done || context.reported)
    }

    /// Whether Lambda still owes us the report of an invocation.
    pub fn awaits_report(&self) -> bool {
        self.contexts.iter().any(|context| !context.reported)
    }

    fn line(&mut self, text: Text, time: Timestamp, out: &mut Produced) {
        let log = log::read(text, time);
        let out_of_memory = out_of_memory::is_told_by(&log.message);
        let named = log.request_id.clone();
        match named {
            Some(_) => self.emit(log, out),
            None => self.own(log, out),
        }
        if out_of_memory {
            let id = named.or_else(|| self.attribution.latest().cloned());
            self.out_of_memory(id.as_ref(), time, out);
        }
    }

    /// Finds the invocation that a log without an id belongs to; keeps it if that one is still to come.
    fn own(&mut self, mut log: Log, out: &mut Produced) {
        match self.attribution.owner(log.time) {
            Owner::Known(id) => {
                log.request_id = Some(id);
                self.emit(log, out);
            }
            Owner::Nobody => self.emit(log, out),
            Owner::Unborn => {
                if let Some(oldest) = self.attribution.adopt(log) {
                    self.emit(oldest, out);
                }
            }
        }
    }

    fn emit(&self, mut log: Log, out: &mut Produced) {
        if self.settings.logs
            && let Some(message) = self.rules.apply(std::mem::take(&mut log.message))
        {
            out.logs.push(Log { message, ..log });
        }
    }

    fn start(&mut self, start: &Start, time: Timestamp, out: &mut Produced) {
        let id = &start.request_id;
        if self.contexts.is_finished(id) {
            return;
        }
        if self.settings.managed {
            self.invoke(id, time, out);
        }
        self.begin(id, time, out);
        let Some(context) = self.contexts.find_mut(id) else { return };
        let done = context.done;
        if std::mem::replace(&mut context.started, true) {
            return;
        }
        self.emit(log::start(start, time), out);
        for mut orphan in self.attribution.begin(id, time, done) {
            orphan.request_id = Some(id.clone());
            self.emit(orphan, out);
        }
        self.release_births(out);
    }

    fn runtime_done(&mut self, done: &RuntimeDone, time: Timestamp, out: &mut Produced) {
        let id = &done.request_id;
        if self.contexts.is_finished(id) {
            return;
        }
        let context = self.contexts.open(id, || self.dynamic.begin(time));
        if std::mem::replace(&mut context.done, true) {
            return;
        }
        context.runtime_ms = done.metrics.map(|metrics| metrics.duration_ms);
        let tags = self.dynamic.tags(context.start);
        self.moment(Moment::Done(id.clone(), tags.clone()), out);
        self.attribution.end(id, time);
        self.emit(log::runtime_done(done, time), out);
        if let Some(metrics) = &done.metrics {
            self.point(metric::RUNTIME_DURATION, metrics.duration_ms, time, &tags, out);
            if let Some(bytes) = metrics.produced_bytes {
                #[expect(clippy::cast_precision_loss, reason = "Lambda's responses end far below 2^53 bytes")]
                self.point(metric::PRODUCED_BYTES, bytes as f64, time, &tags, out);
            }
        }
        self.spans(&done.spans, time, &tags, out);
        self.outcome(id, done.status, done.error_type.as_deref(), time, out);
        self.post_runtime(id, time, out);
        self.close_if_over(id, out);
    }

    fn report(&mut self, report: &Report, time: Timestamp, out: &mut Produced) {
        let id = &report.request_id;
        if self.contexts.is_finished(id) {
            return;
        }
        let managed = self.settings.managed;
        let context = self.contexts.open(id, || self.dynamic.begin(time));
        if std::mem::replace(&mut context.reported, true) {
            return;
        }
        context.total_ms = Some(report.metrics.duration_ms);
        let ends_runtime = managed && !context.done;
        context.done |= managed;
        let (tags, runtime_ms) = (self.dynamic.tags(context.start), context.runtime_ms);
        if ends_runtime {
            self.moment(Moment::Done(id.clone(), tags.clone()), out);
        }
        self.moment(Moment::Reported(id.clone(), tags.clone()), out);
        self.emit(log::report(report, runtime_ms, time), out);
        let metrics = &report.metrics;
        self.point(metric::DURATION, metrics.duration_ms / 1000.0, time, &tags, out);
        if managed {
            let latency = report.spans.iter().find(|span| span.name == "responseLatency");
            let runtime_ms = latency.map_or(metrics.duration_ms, |span| span.duration_ms);
            self.point(metric::RUNTIME_DURATION, runtime_ms, time, &tags, out);
            self.spans(&report.spans, time, &tags, out);
        }
        if let Some(billed) = &metrics.billed {
            self.point(metric::BILLED_DURATION, billed.duration_ms / 1000.0, time, &tags, out);
            self.point(metric::MEMORY_SIZE, billed.memory_size_mb, time, &tags, out);
            self.point(metric::MAX_MEMORY_USED, billed.max_memory_used_mb, time, &tags, out);
            if let Some(cost) = metric::estimated_cost(billed, self.settings.architecture) {
                self.point(metric::ESTIMATED_COST, cost, time, &tags, out);
            }
            if billed.max_memory_used_mb >= billed.memory_size_mb {
                self.out_of_memory(Some(id), time, out);
            }
        }
        if let Some(init_ms) = metrics.init_duration_ms {
            self.init.measure(Measured { seconds: init_ms / 1000.0, time });
            self.release_births(out);
        }
        self.outcome(id, report.status, report.error_type.as_deref(), time, out);
        self.post_runtime(id, time, out);
        self.close_if_over(id, out);
    }

    /// `platform.runtimeDone` and `platform.report` both say how it ended; whichever comes first counts.
    fn outcome(&mut self, id: &RequestId, status: Status, error: Option<&str>, time: Timestamp, out: &mut Produced) {
        let Some(context) = self.contexts.find_mut(id) else { return };
        let tags = self.dynamic.tags(context.start);
        let error_is_new = status != Status::Success && !std::mem::replace(&mut context.failed, true);
        let timeout_is_new = status == Status::Timeout && !std::mem::replace(&mut context.timed_out, true);
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

    /// Known once both the runtime's and the whole duration are.
    fn post_runtime(&self, id: &RequestId, time: Timestamp, out: &mut Produced) {
        let Some(context) = self.contexts.find(id) else { return };
        if let (Some(runtime_ms), Some(total_ms)) = (context.runtime_ms, context.total_ms)
            && runtime_ms > 0.0
        {
            let tags = self.dynamic.tags(context.start);
            self.point(metric::POST_RUNTIME_DURATION, total_ms - runtime_ms, time, &tags, out);
        }
    }

    /// Counts once an invocation; without one, or after it was forgotten, better once too often than never.
    fn out_of_memory(&mut self, id: Option<&RequestId>, time: Timestamp, out: &mut Produced) {
        let context = id.and_then(|id| self.contexts.find_mut(id));
        let (counted, tags) = match context {
            Some(context) => (std::mem::replace(&mut context.out_of_memory, true), self.dynamic.tags(context.start)),
            None => (id.is_some_and(|id| self.contexts.ran_out_of_memory(id)), self.dynamic.tags(None)),
        };
        if !counted {
            self.point(metric::OUT_OF_MEMORY, 1.0, time, &tags, out);
        }
    }

    fn spans(&self, spans: &[Span], time: Timestamp, tags: &Arc<[String]>, out: &mut Produced) {
        for span in spans {
            match span.name.as_str() {
                "responseLatency" => self.point(metric::RESPONSE_LATENCY, span.duration_ms, time, tags, out),
                "responseDuration" => self.point(metric::RESPONSE_DURATION, span.duration_ms, time, tags, out),
                _ => {}
            }
        }
    }

    fn moment(&self, moment: Moment, out: &mut Produced) {
        if self.settings.enhanced_metrics {
            out.moments.push(moment);
        }
    }

    fn point(&self, name: &'static str, value: f64, time: Timestamp, tags: &Arc<[String]>, out: &mut Produced) {
        if self.settings.enhanced_metrics {
            out.points.push(Point { name, value, time, tags: tags.clone() });
        }
    }
}

#[cfg(test)]
mod tests;
