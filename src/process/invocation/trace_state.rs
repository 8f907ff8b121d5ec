//! What tracers have said about an invocation, kept until its spans are built.

use super::call::{Call, EndCall, StartCall};
use crate::{
    platform::ids::RequestId,
    process::{
        appsec::SecurityTags,
        event::{Status, Timestamp},
        trace::Placeholder,
    },
};

/// What tracers say about an invocation, each at most once.
#[derive(Debug, Default)]
pub struct TraceState {
    pub start: Option<StartCall>,
    pub end: Option<EndCall>,
    pub placeholder: Option<Placeholder>,
    /// What is found in the request, and in the response once that is evaluated.
    pub security: Option<SecurityTags>,
    /// The trace that the function's own spans are in, where it is not known otherwise.
    pub adopted_trace_id: Option<u64>,
    /// The number of the evaluation that found it.
    found_by: u64,
    /// The numbers of evaluations that are under way. The spans wait for them.
    pub evaluations: Vec<u64>,
    /// The outcome, once the runtime is done.
    pub status: Option<Status>,
    /// The duration of the span in milliseconds, according to Lambda.
    pub duration_ms: Option<f64>,
    /// The spans are built, or given up: nothing that comes later changes them.
    pub is_closed: bool,
    /// It is closed, and the tracer that reported its start has not reported its end.
    pub lacks_end: bool,
    /// The memory that it takes beside the context, in bytes.
    pub bytes: usize,
}

/// An input about the spans of an invocation.
#[derive(Debug)]
pub enum SpanInput {
    Call(Call),
    Placeholder { placeholder: Box<Placeholder>, time: Timestamp },
}

impl SpanInput {
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Call(call) => call.request_id().map(RequestId::as_str),
            Self::Placeholder { placeholder, .. } => Some(&placeholder.request_id),
        }
    }

    pub fn time(&self) -> Timestamp {
        match self {
            Self::Call(call) => call.time(),
            Self::Placeholder { time, .. } => *time,
        }
    }

    pub fn bytes(&self) -> usize {
        match self {
            Self::Call(call) => call.bytes(),
            Self::Placeholder { placeholder, .. } => placeholder.bytes(),
        }
    }

    pub fn is_start(&self) -> bool {
        matches!(self, Self::Call(Call::Start(_)))
    }

    /// The number of the evaluation that follows.
    pub fn evaluation(&self) -> Option<u64> {
        match self {
            Self::Call(call) => call.evaluation(),
            Self::Placeholder { .. } => None,
        }
    }

    /// The number of the evaluation that this is the result of.
    pub fn found_by(&self) -> Option<u64> {
        match self {
            Self::Call(Call::Security(security)) => Some(security.evaluation),
            _ => None,
        }
    }
}

impl TraceState {
    /// Whether it has an input of this kind already.
    pub fn has(&self, input: &SpanInput) -> bool {
        match input {
            SpanInput::Call(Call::Start(_)) => self.start.is_some(),
            SpanInput::Call(Call::End(end)) => self.end.is_some() && !self.is_refused_by(end),
            SpanInput::Call(Call::Security(security)) => !self.evaluations.contains(&security.evaluation),
            SpanInput::Placeholder { .. } => self.placeholder.is_some(),
        }
    }

    /// Whether this is the error that the runtime reports because Lambda has not taken its response. A tracer reports one end only.
    fn is_refused_by(&self, end: &EndCall) -> bool {
        let is_of_runtime = self.start.as_ref().is_some_and(|start| start.span_id.is_some());
        is_of_runtime && end.error.is_some() && self.end.as_ref().is_some_and(|response| response.error.is_none())
    }

    pub fn set(&mut self, input: SpanInput) {
        self.bytes += input.bytes();
        match input {
            SpanInput::Call(Call::Start(start)) => {
                self.evaluations.extend(start.evaluation);
                self.start = Some(*start);
            }
            SpanInput::Call(Call::End(end)) => {
                self.evaluations.extend(end.evaluation);
                self.end = Some(*end);
            }
            SpanInput::Call(Call::Security(security)) => {
                self.evaluations.retain(|number| *number != security.evaluation);
                // What a later evaluation has found includes what an earlier one had, whichever is heard of first.
                if self.security.is_none() || self.found_by < security.evaluation {
                    self.found_by = security.evaluation;
                    self.security = Some(security.tags);
                }
            }
            SpanInput::Placeholder { placeholder, .. } => self.placeholder = Some(*placeholder),
        }
    }

    /// Whether a tracer reports this invocation, so that its span is ours to build.
    pub fn is_reported(&self) -> bool {
        self.start.is_some() || self.end.is_some()
    }

    /// Whether a tracer has reported everything that it can, and all of it is evaluated.
    pub fn is_complete(&self) -> bool {
        let has_tags = self.placeholder.is_some() || self.is_untraced_call();
        self.start.is_some() && self.end.is_some() && has_tags && self.evaluations.is_empty()
    }

    /// Whether no tracer reports this invocation, so that no placeholder comes, and its trace is known nonetheless.
    fn is_untraced_call(&self) -> bool {
        let start = self.start.as_ref().filter(|start| start.span_id.is_some());
        start.is_some_and(|start| start.context.is_some() || self.adopted_trace_id.is_some())
    }

    /// Gives up everything but the facts that it is closed and that its end may still come.
    pub fn close(&mut self) {
        drop(self.take_closed());
    }

    /// Takes everything out, and closes what stays.
    pub fn take_closed(&mut self) -> Self {
        let lacks_end = self.lacks_end || self.awaits_end();
        std::mem::replace(self, Self { is_closed: true, lacks_end, ..Self::default() })
    }

    pub fn awaits_end(&self) -> bool {
        self.start.is_some() && self.end.is_none()
    }
}
