//! Which invocation a call of a tracer or a placeholder belongs to.

use std::collections::VecDeque;

use crate::{
    platform::ids::RequestId,
    process::{
        event::Timestamp,
        invocation::{
            context::{AttemptId, Context, Contexts},
            trace_state::SpanInput,
        },
    },
};

/// Maximum number of inputs that wait for their invocation. Managed instances run hundreds at a time, whose `platform.start` comes later than the calls of tracers.
const MAX_PENDING: usize = 2048;
/// Maximum of the memory that they take, in bytes.
const MAX_PENDING_BYTES: usize = 16 << 20;
/// Maximum time in milliseconds between an input and the invocation that it belongs to, while both are on their way to us. An invocation that comes later is
/// another one: Lambda repeats a request after a minute at the earliest.
const MAX_PENDING_MS: Timestamp = 10_000;

/// What an input is, seen from the invocations that are known.
#[derive(Debug, PartialEq, Eq)]
pub enum SpanOwner {
    Invocation(AttemptId),
    /// The invocation is not known yet.
    Unknown,
    /// The invocation has the same input already.
    Repetition,
}

/// Inputs whose invocation is not known yet, the oldest first.
#[derive(Debug, Default)]
pub struct PendingInputs {
    inputs: VecDeque<PendingInput>,
    bytes: usize,
    /// Whether several invocations run at a time.
    is_managed: bool,
    /// Somebody was told that calls without a request id are assigned by order alone.
    has_warned: bool,
}

#[derive(Debug)]
struct PendingInput {
    input: SpanInput,
    /// The memory that it takes, which takes time to count.
    bytes: usize,
}

impl PendingInputs {
    pub fn new(is_managed: bool) -> Self {
        Self { is_managed, ..Self::default() }
    }

    /// Finds the invocation that an input belongs to: what is found in a request or response by the number of the evaluation; everything else by its request id
    /// or, for tracers that do not know it, by order, as on-demand sandboxes run one invocation at a time. On managed instances the order is a guess.
    pub fn owner(&mut self, input: &SpanInput, contexts: &Contexts) -> SpanOwner {
        if let Some(number) = input.found_by() {
            return self.owner_of_security(number, contexts);
        }
        let Some(id) = input.request_id() else {
            if !self.is_managed {
                return self.owner_by_order(input, contexts);
            }
            if !std::mem::replace(&mut self.has_warned, true) {
                tracing::warn!(
                    "LIFECYCLE | a tracer does not say which invocation it reports: spans may be mixed up, as several run at a time"
                );
            }
            return first_that_lacks(input, contexts);
        };
        match contexts.newest(&id.into()) {
            None => SpanOwner::Unknown,
            // Lambda has sent the request again.
            Some(context) if input.is_start() && came_long_after(input, context) => SpanOwner::Unknown,
            Some(context) if !context.trace.is_closed && !context.trace.has(input) => invocation(context),
            // Lambda may have sent the request again.
            Some(context) if context.is_done() => SpanOwner::Unknown,
            Some(_) => SpanOwner::Repetition,
        }
    }

    fn owner_by_order(&self, input: &SpanInput, contexts: &Contexts) -> SpanOwner {
        let Some(newest) = contexts.iter().last() else { return SpanOwner::Unknown };
        let trace = &newest.trace;
        if input.is_start() {
            return match (trace.start.is_some() || trace.is_closed, newest.is_done()) {
                (false, false) => invocation(newest),
                (true, false) if trace.end.is_none() => SpanOwner::Repetition,
                _ => SpanOwner::Unknown,
            };
        }
        if self.has_unnamed_start() {
            return SpanOwner::Unknown;
        }
        let lacks_end = |context: &&Context| !context.trace.is_closed && context.trace.end.is_none();
        let started = contexts.iter().rev().find(|context| {
            lacks_end(context) && context.trace.start.is_some() && (!context.is_done() || context.id() == newest.id())
        });
        match started.or_else(|| late_end_of(contexts)).or_else(|| Some(newest).filter(lacks_end)) {
            Some(context) if !context.trace.is_closed => invocation(context),
            _ => SpanOwner::Repetition,
        }
    }

    /// The invocation with this evaluation under way.
    fn owner_of_security(&self, number: u64, contexts: &Contexts) -> SpanOwner {
        // What is evaluated waits itself.
        if self.inputs.iter().any(|PendingInput { input, .. }| input.evaluation() == Some(number)) {
            return SpanOwner::Unknown;
        }
        let evaluated = contexts.iter().find(|context| context.trace.evaluations.contains(&number));
        evaluated.map_or(SpanOwner::Repetition, invocation)
    }

    fn has_unnamed_start(&self) -> bool {
        self.inputs.iter().any(|PendingInput { input, .. }| input.is_start() && input.request_id().is_none())
    }

    /// Keeps an input until its invocation is known. Gives how many older ones gave way.
    pub fn push(&mut self, input: SpanInput) -> usize {
        let bytes = input.bytes();
        self.bytes += bytes;
        self.inputs.push_back(PendingInput { input, bytes });
        let mut evicted = 0;
        while self.inputs.len() > MAX_PENDING || self.bytes > MAX_PENDING_BYTES {
            let Some(oldest) = self.inputs.pop_front() else { break };
            self.bytes -= oldest.bytes;
            evicted += 1;
        }
        evicted
    }

    /// Takes out what belongs to an invocation that is known from now on.
    pub fn claim(&mut self, id: &RequestId, now: Timestamp) -> Vec<SpanInput> {
        let mut claimed: Vec<SpanInput> = Vec::new();
        let mut by_order = [false; 2];
        for PendingInput { input, bytes } in std::mem::take(&mut self.inputs) {
            let is_recent = input.time().abs_diff(now) <= MAX_PENDING_MS.unsigned_abs();
            let is_its_own = match (input.found_by(), input.request_id()) {
                (Some(number), _) => claimed.iter().any(|input| input.evaluation() == Some(number)),
                (None, Some(named)) => named == id.as_str(),
                // The first of each kind.
                (None, None) => {
                    by_order.get_mut(usize::from(input.is_start())).is_some_and(|taken| !std::mem::replace(taken, true))
                }
            };
            match (is_recent, is_its_own) {
                (true, true) => claimed.push(input),
                (true, false) => {
                    self.inputs.push_back(PendingInput { input, bytes });
                    continue;
                }
                (false, _) => {}
            }
            self.bytes -= bytes;
        }
        claimed
    }
}

/// The oldest invocation that has not started, or, for the end, that has started and not ended.
fn first_that_lacks(input: &SpanInput, contexts: &Contexts) -> SpanOwner {
    let mut open = contexts.iter().filter(|context| !context.trace.is_closed && !context.trace.has(input));
    let found = if input.is_start() {
        open.find(|context| !context.is_done())
    } else {
        open.find(|context| context.trace.start.is_some())
    };
    found.map_or(SpanOwner::Unknown, invocation)
}

/// The invocation before the newest, if that has not started and this one has and lacks its end: the sandbox was frozen while the call was on its way.
fn late_end_of(contexts: &Contexts) -> Option<&Context> {
    let mut newest_first = contexts.iter().rev();
    newest_first.next().filter(|newest| newest.trace.start.is_none() && !newest.trace.is_closed)?;
    newest_first.next().filter(|previous| previous.trace.lacks_end || previous.trace.awaits_end())
}

/// Whether the runtime was done long before.
fn came_long_after(input: &SpanInput, context: &Context) -> bool {
    context.done_by().is_some_and(|done| input.time().saturating_sub(done) > MAX_PENDING_MS)
}

fn invocation(context: &Context) -> SpanOwner {
    SpanOwner::Invocation(context.id().clone())
}
