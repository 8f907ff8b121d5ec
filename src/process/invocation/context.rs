//! State of the recent invocations, in bounded memory.
//!
//! Lambda retries an asynchronous request under the same request id, often in the same sandbox, so an invocation is one attempt at a request. Each
//! attempt has at most one of each [`Input`], and inputs arrive in any order. An input belongs to an attempt that lacks it. If no attempt lacks it,
//! it starts the next attempt.

use std::collections::VecDeque;

use super::trace_state::TraceState;
use crate::{platform::ids::RequestId, process::event::Timestamp};

/// Maximum number of invocations that are remembered.
pub const CAPACITY: usize = 500;
/// Milliseconds after INVOKE within which an end may still belong to the previous attempt if `platform.start` is unknown. INVOKE and telemetry events
/// have different clocks.
const INVOKE_MARGIN: Timestamp = 50;

/// One invocation: an attempt at a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptId {
    /// The request id, which all attempts share.
    pub request_id: RequestId,
    /// 1 for the first attempt in this sandbox.
    pub attempt: u32,
}

/// The events of an invocation; each occurs at most once per attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// INVOKE from the Extensions API.
    Invoke,
    /// `platform.start`.
    Start,
    /// `platform.runtimeDone`.
    RuntimeDone,
    /// `platform.report`.
    Report,
}

/// State of one invocation.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a count that was made or not")]
pub struct Context {
    id: AttemptId,
    /// Whether this is the first invocation of the sandbox.
    pub is_first: bool,
    /// Timestamp of each received input.
    inputs: [Option<Timestamp>; 4],
    /// Whether resource usage is being sampled.
    pub sampled: bool,
    /// Whether the invocation was counted as an error.
    pub failed: bool,
    /// Whether it was counted as a timeout.
    pub timed_out: bool,
    /// Whether it was counted as out of memory.
    pub out_of_memory: bool,
    /// Duration in the runtime, in milliseconds.
    pub runtime_ms: Option<f64>,
    /// Total duration, extensions included, in milliseconds.
    pub total_ms: Option<f64>,
    /// What tracers say about it.
    pub trace: TraceState,
}

impl Context {
    fn new(id: AttemptId, is_first: bool) -> Self {
        Self {
            id,
            is_first,
            inputs: [None; 4],
            sampled: false,
            failed: false,
            timed_out: false,
            out_of_memory: false,
            runtime_ms: None,
            total_ms: None,
            trace: TraceState::default(),
        }
    }

    /// Request id and attempt.
    pub fn id(&self) -> &AttemptId {
        &self.id
    }

    /// Whether an input was received.
    pub fn has(&self, input: Input) -> bool {
        self.at(input).is_some()
    }

    /// Records an input. Returns whether it is the first of its kind.
    pub fn record(&mut self, input: Input, time: Timestamp) -> bool {
        let slot = self.slot(input);
        let is_new = slot.is_none();
        slot.get_or_insert(time);
        is_new
    }

    /// Number of inputs received.
    pub fn inputs_seen(&self) -> usize {
        self.inputs.iter().flatten().count()
    }

    /// Whether the runtime has finished the invocation.
    pub fn is_done(&self) -> bool {
        self.has(Input::RuntimeDone) || self.has(Input::Report)
    }

    /// Whether INVOKE, `platform.runtimeDone` and `platform.report` were received.
    pub fn is_over(&self) -> bool {
        [Input::Invoke, Input::RuntimeDone, Input::Report].into_iter().all(|input| self.has(input))
    }

    /// When the runtime had finished it at the latest.
    pub fn done_by(&self) -> Option<Timestamp> {
        self.at(Input::RuntimeDone).or_else(|| self.at(Input::Report))
    }

    /// The time of its latest input.
    pub fn latest_at(&self) -> Option<Timestamp> {
        self.inputs.iter().flatten().max().copied()
    }

    /// When it started, as far as is known.
    pub fn begun_at(&self) -> Option<Timestamp> {
        self.at(Input::Start).or_else(|| self.at(Input::Invoke))
    }

    /// Whether the invocation had started at `time`, as far as is known.
    fn has_begun_by(&self, time: Timestamp) -> bool {
        let invoked = || self.at(Input::Invoke).map(|invoked| invoked.saturating_add(INVOKE_MARGIN));
        self.at(Input::Start).or_else(invoked).is_some_and(|begun| begun <= time)
    }

    /// Whether the input at `time` keeps the telemetry events in order: `platform.start`, `platform.runtimeDone`, `platform.report`.
    fn is_in_order(&self, input: Input, time: Timestamp) -> bool {
        let is_before = |other: Input| self.at(other).is_none_or(|other| other <= time);
        let is_after = |other: Input| self.at(other).is_none_or(|other| time <= other);
        match input {
            Input::Invoke => true,
            Input::Start => is_after(Input::RuntimeDone) && is_after(Input::Report),
            Input::RuntimeDone => is_before(Input::Start) && is_after(Input::Report),
            Input::Report => is_before(Input::Start) && is_before(Input::RuntimeDone),
        }
    }

    fn is_complete(&self) -> bool {
        self.inputs_seen() == self.inputs.len()
    }

    fn at(&self, input: Input) -> Option<Timestamp> {
        let [invoke, start, runtime_done, report] = self.inputs;
        match input {
            Input::Invoke => invoke,
            Input::Start => start,
            Input::RuntimeDone => runtime_done,
            Input::Report => report,
        }
    }

    fn slot(&mut self, input: Input) -> &mut Option<Timestamp> {
        let [invoke, start, runtime_done, report] = &mut self.inputs;
        match input {
            Input::Invoke => invoke,
            Input::Start => start,
            Input::RuntimeDone => runtime_done,
            Input::Report => report,
        }
    }
}

/// The most recent invocations, oldest first. Running invocations are mostly at the back.
#[derive(Debug, Default)]
pub struct Contexts {
    contexts: VecDeque<Context>,
    /// Whether there was an invocation yet.
    used: bool,
}

impl Contexts {
    /// Records an input in the invocation that it belongs to: a new one if no attempt at the request lacks it. Returns None for a repeated telemetry
    /// event, which has the type and time of a recorded one.
    pub fn record(&mut self, id: &RequestId, input: Input, time: Timestamp) -> Option<&mut Context> {
        if self.is_repetition(id, input, time) {
            return None;
        }
        let index = self.lacking(id, input, time).unwrap_or_else(|| self.open(id));
        let context = self.contexts.get_mut(index)?;
        context.record(input, time);
        Some(context)
    }

    /// The invocation that is forgotten once this input is recorded.
    pub fn leaving(&self, id: &RequestId, input: Input, time: Timestamp) -> Option<&AttemptId> {
        let is_full = self.contexts.len() >= CAPACITY;
        let opens = is_full && !self.is_repetition(id, input, time) && self.lacking(id, input, time).is_none();
        opens.then(|| self.contexts.get(self.next_to_leave())).flatten().map(Context::id)
    }

    /// The invocation, if it is remembered.
    pub fn find(&self, id: &AttemptId) -> Option<&Context> {
        self.contexts.iter().rev().find(|context| context.id == *id)
    }

    /// The invocation, mutable, if it is remembered.
    pub fn find_mut(&mut self, id: &AttemptId) -> Option<&mut Context> {
        self.contexts.iter_mut().rev().find(|context| context.id == *id)
    }

    /// The newest attempt at a request, if any is remembered.
    pub fn newest(&self, id: &RequestId) -> Option<&Context> {
        self.attempts(id).next().map(|found| found.context)
    }

    /// All invocations, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Context> {
        self.contexts.iter()
    }

    /// The attempts at a request, newest first. Nearly always there is only one, at the back.
    fn attempts(&self, id: &RequestId) -> impl Iterator<Item = IndexedContext<'_>> {
        let mut is_over = false;
        let newest_first =
            self.contexts.iter().enumerate().rev().map(|(index, context)| IndexedContext { index, context });
        // The search ends at the first attempt, because no attempt is older.
        let up_to_the_first = newest_first.take_while(move |IndexedContext { context, .. }| {
            let is_wanted = !is_over;
            is_over |= context.id.attempt == 1 && context.id.request_id == *id;
            is_wanted
        });
        up_to_the_first.filter(|found| found.context.id.request_id == *id)
    }

    /// Index of the attempt to which an input belongs, out of those that lack it. Lambda may drop any event, so an attempt may lack an input that
    /// never arrives.
    ///
    /// An end belongs to the newest attempt that had started by then. `platform.start` belongs to the attempt whose INVOKE is nearest in time,
    /// because INVOKE may reach this process later. Any other input belongs to the oldest attempt. An attempt whose events would get out of order is
    /// chosen only if there is no other.
    fn lacking(&self, id: &RequestId, input: Input, time: Timestamp) -> Option<usize> {
        let lacking = || self.attempts(id).filter(|found| !found.context.has(input));
        let in_order = || lacking().filter(|found| found.context.is_in_order(input, time));
        let likely = match input {
            Input::Invoke => None,
            Input::Start => {
                let invoked = in_order().filter(|found| found.context.has(Input::Invoke));
                invoked.min_by_key(|found| found.context.at(Input::Invoke).map(|invoked| invoked.abs_diff(time)))
            }
            Input::RuntimeDone | Input::Report => in_order().find(|found| found.context.has_begun_by(time)),
        };
        likely.or_else(|| in_order().last()).or_else(|| lacking().last()).map(|found| found.index)
    }

    /// Whether the same telemetry event was recorded before. Two attempts cannot have events of the same type and time, because Lambda waits a minute
    /// before it retries. INVOKE has no timestamp from Lambda and never repeats.
    fn is_repetition(&self, id: &RequestId, input: Input, time: Timestamp) -> bool {
        input != Input::Invoke && self.attempts(id).any(|found| found.context.at(input) == Some(time))
    }

    /// Index of the oldest complete invocation, or else of the oldest.
    fn next_to_leave(&self) -> usize {
        self.contexts.iter().position(Context::is_complete).unwrap_or_default()
    }

    /// Adds the next attempt at a request. At capacity, it removes another.
    fn open(&mut self, id: &RequestId) -> usize {
        let attempt = self.newest(id).map_or(1, |newest| newest.id.attempt.saturating_add(1));
        if self.contexts.len() >= CAPACITY {
            self.contexts.remove(self.next_to_leave());
        }
        let is_first = !std::mem::replace(&mut self.used, true);
        self.contexts.push_back(Context::new(AttemptId { request_id: id.clone(), attempt }, is_first));
        self.contexts.len() - 1
    }
}

struct IndexedContext<'a> {
    index: usize,
    context: &'a Context,
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
