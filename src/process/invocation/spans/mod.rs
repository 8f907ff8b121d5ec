//! The spans of invocations: `aws.lambda`, those of the services that the event came through, and that of the sandbox's start.
//!
//! They are built once the runtime is done and everything that a tracer may say has been said, at the latest at the flush at the end of the invocation. By then
//! every call that was answered has arrived, so that the order in which calls and events arrive makes no difference.

mod assembly;
mod pending;
mod startup;

use std::sync::Arc;

use super::{
    Output, Processor,
    call::{Call, EndCall},
    context::{AttemptId, Context, Input},
    sandbox_state::StartKind,
    trace_state::SpanInput,
};
use crate::{
    platform::ids::RequestId,
    process::{
        event::{Status, Timestamp},
        trace::{Span, SpanObservations, SpanParents, TraceMatch},
    },
};
use assembly::Invocation;
use pending::{PendingInputs, SpanOwner};
use startup::{ParentSpan, StartupSpan};

/// Maximum of the memory that everything takes whose spans are not built yet, in bytes. Beyond it the spans of the oldest invocations are given up.
pub const MAX_HELD_BYTES: usize = 16 << 20;

/// What the spans of a function have in common.
#[derive(Debug, Clone)]
pub struct SpanSettings {
    /// The service of the function.
    pub service: String,
    /// The name of the function.
    pub resource: String,
    /// App & API Protection is used, whatever the event of an invocation is.
    pub appsec: bool,
    /// It is used without APM: only traces with security events are kept.
    pub standalone: bool,
    /// Makes ids; never 0.
    pub random: fn() -> u64,
}

/// Spans of one trace, to be processed like those of a tracer.
#[derive(Debug, PartialEq)]
pub struct InvocationTrace {
    pub spans: Vec<Span<'static>>,
    /// There are to be no stats of these spans: the tracer of the invocation sends its own, or APM is not used.
    pub computed_stats: bool,
    /// The memory that was taken by what the spans are built from, in bytes.
    pub bytes: usize,
}

/// How long the spans of an invocation on a managed instance wait for the tracer's requests, in milliseconds after the runtime was done: a flush may come while
/// they are on their way, and no freeze is near.
const LATE_INPUT_MS: u64 = 2000;

/// The part of the processor that builds spans.
#[derive(Debug)]
pub(super) struct SpanBuilder {
    settings: SpanSettings,
    pending: PendingInputs,
    startup: StartupSpan,
}

impl Processor {
    /// The same processor, which builds spans too.
    #[must_use]
    pub fn with_spans(mut self, settings: SpanSettings) -> Self {
        let mut startup = StartupSpan::new(self.settings.snap_start, &settings);
        // On managed instances no invocation waits for the start; without telemetry nobody says how long it took.
        if self.settings.managed || !self.settings.telemetry {
            startup.cancel();
        }
        self.spans = Some(SpanBuilder { settings, pending: PendingInputs::new(self.settings.managed), startup });
        self
    }

    /// Parents for spans of tracers that have none, or that of the invocation.
    pub fn span_parents(&self) -> Arc<SpanParents> {
        self.spans.as_ref().map(|spans| spans.startup.span_parents()).unwrap_or_default()
    }

    /// Handles a call of a tracer.
    pub fn call(&mut self, call: Call, out: &mut Output) {
        self.span_input(SpanInput::Call(call), out);
    }

    /// Handles what the spans of a tracer say, which arrived at `now`.
    pub fn observed(&mut self, observed: SpanObservations, now: Timestamp, out: &mut Output) {
        let SpanObservations { placeholders, durable, load_trace_id, traced, .. } = observed;
        for TraceMatch { request_id, trace_id } in traced {
            self.find_trace(&request_id, trace_id, out);
        }
        for context in durable {
            out.logs.extend(self.durable.learn(context));
        }
        for placeholder in placeholders {
            self.span_input(SpanInput::Placeholder { placeholder: Box::new(placeholder), time: now }, out);
        }
        if let (Some(spans), Some(trace_id)) = (&mut self.spans, load_trace_id) {
            spans.startup.set_parent(ParentSpan { trace_id, parent_id: 0 });
        }
    }

    /// Builds the spans of every invocation whose runtime was done by `now`. Calls that come later change nothing.
    pub fn build_spans(&mut self, now: Timestamp, out: &mut Output) {
        if self.spans.is_none() {
            return;
        }
        let is_recent = |context: &Context| context.done_by().is_some_and(|done| done.abs_diff(now) <= LATE_INPUT_MS);
        let may_be_completed =
            |context: &Context| self.settings.managed && !context.trace.is_complete() && is_recent(context);
        // An evaluation that is still under way is waited for until Lambda says that the invocation is over, if it does.
        let is_evaluated = |context: &Context| {
            context.trace.evaluations.is_empty() || context.has(Input::Report) || !self.settings.telemetry
        };
        let is_due = |context: &Context| !may_be_completed(context) && is_evaluated(context);
        // Without telemetry, only the call at the end says that the runtime is done.
        let is_over = |context: &Context| context.is_done() || !self.settings.telemetry && context.trace.end.is_some();
        let is_waiting = |context: &&Context| context.trace.is_reported() && is_over(context) && is_due(context);
        let done: Vec<AttemptId> = self.contexts.iter().filter(is_waiting).map(|it| it.id().clone()).collect();
        for id in done {
            self.build(&id, out);
        }
        self.build_startup(out);
    }

    /// The end of the sandbox: what is not known by now will never be.
    pub(super) fn build_last_spans(&mut self, out: &mut Output) {
        let reported = self.contexts.iter().filter(|context| context.trace.is_reported());
        let ids: Vec<AttemptId> = reported.map(|it| it.id().clone()).collect();
        for id in ids {
            self.build(&id, out);
        }
        self.build_startup(out);
    }

    /// Builds the spans of the invocation that is forgotten once this input is recorded, as far as it is known.
    pub(super) fn build_leaving(&mut self, id: &RequestId, input: Input, time: Timestamp, out: &mut Output) {
        let Some(leaving) = self.contexts.leaving(id, input, time).cloned() else { return };
        self.build(&leaving, out);
        // Neither built nor given up before.
        if self.contexts.find(&leaving).is_some_and(|context| context.trace.bytes > 0) {
            out.lost_spans += 1;
        }
    }

    fn span_input(&mut self, input: SpanInput, out: &mut Output) {
        let Some(spans) = &mut self.spans else { return };
        match spans.pending.owner(&input, &self.contexts) {
            SpanOwner::Invocation(id) => self.add_input(&id, input, out),
            SpanOwner::Unknown => out.lost_spans += spans.pending.push(input),
            SpanOwner::Repetition => tracing::debug!("LIFECYCLE | a tracer reports the same about an invocation again"),
        }
    }

    /// An invocation is known from now on: what came before it is added to it.
    pub(super) fn claim_inputs(&mut self, id: &AttemptId, time: Timestamp, out: &mut Output) {
        let Some(spans) = &mut self.spans else { return };
        for input in spans.pending.claim(&id.request_id, time) {
            self.add_input(id, input, out);
        }
        self.look_for_trace(id, out);
    }

    fn add_input(&mut self, id: &AttemptId, mut input: SpanInput, out: &mut Output) {
        if let SpanInput::Call(Call::Start(start)) = &mut input {
            out.checkpoints.append(&mut start.checkpoints);
        }
        let is_failure = matches!(&input, SpanInput::Call(Call::End(end)) if is_failure(end));
        let time = match &input {
            SpanInput::Call(call) => call.time(),
            SpanInput::Placeholder { time, .. } => *time,
        };
        if let Some(context) = self.contexts.find_mut(id) {
            context.trace.set(input);
        }
        if is_failure {
            self.outcome(id, Status::Error, None, time, out);
        }
        self.limit_held_inputs(id, out);
        self.build_if_complete(id, out);
    }

    /// An invocation is known from now on, and spans that came before may have told its trace.
    fn look_for_trace(&mut self, id: &AttemptId, out: &mut Output) {
        let Some(spans) = &self.spans else { return };
        let parents = spans.startup.span_parents();
        if !self.settings.managed {
            // Invocations come one after the other, and only spans of the one before may still be on their way.
            parents.invocations.keep_newest(2);
        }
        if let Some(trace_id) = parents.invocations.trace_id(&id.request_id) {
            self.find_trace(&id.request_id, trace_id, out);
        }
    }

    /// The trace of an invocation that no tracer knows of is known from now on.
    fn find_trace(&mut self, id: &RequestId, trace_id: u64, out: &mut Output) {
        let Some(context) = self.contexts.newest(id) else { return };
        let id = context.id().clone();
        if let Some(context) = self.contexts.find_mut(&id).filter(|context| !context.trace.is_closed) {
            context.trace.adopted_trace_id.get_or_insert(trace_id);
        }
        self.build_if_complete(&id, out);
    }

    /// An invocation is over: spans that come from now on are those of later ones, of which one may be another attempt at the same request.
    pub(super) fn stop_looking_for_trace(&self, id: &AttemptId) {
        let time = self.contexts.find(id).and_then(Context::latest_at);
        if let (Some(spans), Some(time)) = (&self.spans, time) {
            spans.startup.span_parents().invocations.remove(&id.request_id, time);
        }
    }

    /// Gives up the oldest inputs where there are too many.
    fn limit_held_inputs(&mut self, newest: &AttemptId, out: &mut Output) {
        let mut held: usize = self.contexts.iter().map(|context| context.trace.bytes).sum();
        while held > MAX_HELD_BYTES {
            let is_next = |context: &&Context| context.id() != newest && context.trace.bytes > 0;
            let Some(id) = self.contexts.iter().find(is_next).map(|it| it.id().clone()) else { return };
            let Some(context) = self.contexts.find_mut(&id) else { return };
            held -= context.trace.bytes;
            context.trace.close();
            out.lost_spans += 1;
            self.stop_looking_for_trace(&id);
        }
    }

    /// The runtime is done with an invocation.
    pub(super) fn span_is_done(&mut self, id: &AttemptId, status: Status, duration_ms: Option<f64>, out: &mut Output) {
        if let Some(context) = self.contexts.find_mut(id).filter(|context| !context.trace.is_closed) {
            context.trace.status = Some(status);
            context.trace.duration_ms = duration_ms;
        }
        self.build_if_complete(id, out);
    }

    /// Builds the spans if nothing is missing that could still come.
    pub(super) fn build_if_complete(&mut self, id: &AttemptId, out: &mut Output) {
        let Some(context) = self.contexts.find(id) else { return };
        let is_complete = context.trace.is_complete() && context.trace.status.is_some();
        if is_complete && context.has(Input::Start) && self.first.is_complete() {
            self.build(id, out);
        }
    }

    fn build(&mut self, id: &AttemptId, out: &mut Output) {
        let Some(spans) = &mut self.spans else { return };
        let Some(context) = self.contexts.find(id) else { return };
        if context.trace.is_closed || !context.trace.is_reported() {
            return;
        }
        let Some(ids) = assembly::ids(&context.trace, spans.settings.random) else { return self.give_up(id) };
        let (begun, is_first) = (context.begun_at(), context.is_first);
        let end = context.trace.end.as_ref().map(|end| end.time);
        let begun = begun.or_else(|| context.trace.start.as_ref().map(|start| start.time)).or(end).unwrap_or_default();
        let measured = context.trace.duration_ms.or(context.runtime_ms).or(context.total_ms);
        let until_end =
            || end.and_then(|end| i32::try_from(end.saturating_sub(begun)).ok()).map_or(0.0, f64::from).max(0.0);
        let tags = self.sandbox.tags(self.sandbox.start_kind(is_first));
        let tags = if self.settings.managed { self.sandbox.tags(None) } else { tags };
        let invocation = Invocation {
            request_id: &id.request_id,
            start: begun,
            duration_ms: measured.unwrap_or_else(until_end),
            sandbox_tags: &tags,
        };
        let Some(context) = self.contexts.find_mut(id) else { return };
        let state = context.trace.take_closed();
        let bytes = state.bytes;
        let by_tracer = state.placeholder.as_ref().is_some_and(|placeholder| placeholder.computed_stats);
        let computed_stats = by_tracer || spans.settings.standalone;
        let mut built = assembly::spans(state, ids, &invocation, &spans.settings);
        if let (true, Some(lambda)) = (is_first, built.first()) {
            spans.startup.set_parent(ParentSpan { trace_id: lambda.trace_id, parent_id: lambda.parent_id });
            // Before the last, which is the root: of several spans without a parent, or with theirs elsewhere, the last one is. The first keeps its place where there are
            // more, because it has the tags of the trace.
            if let Some(startup) = spans.startup.take(&spans.settings) {
                built.insert(built.len().saturating_sub(1), startup);
            }
        }
        out.traces.push(InvocationTrace { spans: built, computed_stats, bytes });
    }

    /// Lets go of what was reported of an invocation that is over and whose ids nobody has told.
    fn give_up(&mut self, id: &AttemptId) {
        if let Some(context) = self.contexts.find_mut(id).filter(|context| context.is_over()) {
            context.trace.close();
            self.stop_looking_for_trace(id);
        }
    }

    /// Builds the span of the sandbox's start if it belongs to no trace that was built together with it.
    fn build_startup(&mut self, out: &mut Output) {
        let Some(spans) = &mut self.spans else { return };
        if let Some(span) = spans.startup.take_alone(&spans.settings) {
            let computed_stats = spans.settings.standalone;
            out.traces.push(InvocationTrace { spans: vec![span], computed_stats, bytes: 0 });
        }
    }

    /// Init or the restore begins.
    pub(super) fn startup_begins(&mut self, at: Timestamp, is_restore: bool) {
        if let Some(spans) = self.spans.as_mut().filter(|_| is_restore == self.settings.snap_start) {
            spans.startup.begin(at);
        }
    }

    /// Init or the restore has ended.
    pub(super) fn startup_ends(&mut self, duration_ms: f64, is_restore: bool) {
        if let Some(spans) = self.spans.as_mut().filter(|_| is_restore == self.settings.snap_start) {
            spans.startup.end(duration_ms);
        }
    }

    /// The first invocation has begun: in a sandbox that was started ahead of it, it waited for nothing.
    pub(super) fn startup_is_judged(&mut self) {
        let is_ahead = self.sandbox.first() == Some(StartKind::Proactive);
        if let Some(spans) = self.spans.as_mut().filter(|_| is_ahead && !self.settings.snap_start) {
            spans.startup.cancel();
        }
    }
}

/// Whether a call says that the invocation failed.
fn is_failure(end: &EndCall) -> bool {
    end.error.is_some() || end.status_code.is_some_and(|code| (500..600).contains(&code))
}

#[cfg(test)]
mod tests;
