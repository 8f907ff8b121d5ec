//! Puts spans of the function below the span of its invocation, where no tracer knows of that: behind the Lambda Web Adapter the function is a web application.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::span::Span;
use crate::{platform::ids::RequestId, process::event::Timestamp};

/// Maximum number of invocations whose spans are looked for. Beyond it, the oldest is forgotten.
const MAX_INVOCATIONS: usize = 256;

/// Maximum difference in milliseconds between the clocks of Lambda's telemetry and of this sandbox. Lambda repeats a request after a minute at the earliest.
const MAX_CLOCK_DIFFERENCE: Timestamp = 10_000;

/// An invocation whose spans are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvocationSpan {
    pub request_id: RequestId,
    /// The span of the invocation.
    pub span_id: u64,
    /// The parent that the event names, below which the function puts its own spans; 0: they are roots.
    pub parent_id: u64,
    /// The trace that the event names. None: the first span that comes says which it is.
    pub trace_id: Option<u64>,
    /// When the event was passed to the function.
    pub begun: Timestamp,
}

/// An invocation whose trace has been found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceMatch {
    pub request_id: RequestId,
    pub trace_id: u64,
}

/// Those invocations, in the order in which they began.
#[derive(Debug, Default)]
pub struct Invocations(Mutex<VecDeque<InvocationSpan>>);

impl Invocations {
    pub fn add(&self, invocation: InvocationSpan) {
        let mut invocations = self.lock();
        if invocations.len() >= MAX_INVOCATIONS {
            invocations.pop_front();
        }
        invocations.push_back(invocation);
    }

    /// Forgets the attempts at a request that had begun by then.
    pub fn remove(&self, id: &RequestId, time: Timestamp) {
        let had_begun = |it: &InvocationSpan| it.begun <= time.saturating_add(MAX_CLOCK_DIFFERENCE);
        self.lock().retain(|invocation| invocation.request_id != *id || !had_begun(invocation));
    }

    /// Forgets all but the newest ones.
    pub fn keep_newest(&self, count: usize) {
        let mut invocations = self.lock();
        let older = invocations.len().saturating_sub(count);
        invocations.drain(..older);
    }

    /// The trace of an invocation, as its event or a span has named it.
    pub fn trace_id(&self, id: &RequestId) -> Option<u64> {
        self.lock().iter().rev().find(|invocation| invocation.request_id == *id)?.trace_id
    }

    /// Forgets that these traces were found: the spans that told them have not been taken.
    pub fn take_back(&self, traced: &[TraceMatch]) {
        for invocation in self.lock().iter_mut() {
            let is_its_own =
                |it: &TraceMatch| it.request_id == invocation.request_id && invocation.trace_id == Some(it.trace_id);
            if traced.iter().any(is_its_own) {
                invocation.trace_id = None;
            }
        }
    }

    /// Puts spans below the invocation that they belong to: of several that may be meant, the newest that had begun when the span did. Spans that ended before any of
    /// them began stay as they are. Gives the traces that are found.
    pub fn adopt(&self, spans: &mut [Span<'_>]) -> Vec<TraceMatch> {
        let mut invocations = self.lock();
        let mut found = Vec::new();
        if invocations.is_empty() {
            return found;
        }
        for span in spans {
            let is_known = invocations.iter().any(|invocation| invocation.trace_id == Some(span.trace_id));
            let untraced = newest(&mut invocations, span, |it| it.trace_id.is_none());
            if let (Some(invocation), false) = (untraced, is_known) {
                invocation.trace_id = Some(span.trace_id);
                found.push(TraceMatch { request_id: invocation.request_id.clone(), trace_id: span.trace_id });
            }
            let is_owner = |it: &InvocationSpan| it.trace_id == Some(span.trace_id) && it.parent_id == span.parent_id;
            let owner = newest(&mut invocations, span, is_owner);
            if let Some(invocation) = owner {
                span.parent_id = invocation.span_id;
            }
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<InvocationSpan>> {
        // The list is whole at every step, whoever may have died while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The newest of these invocations that had begun when the span did; if none had, the newest that had begun when the span ended, because the clock of a tracer may lag.
/// None of those that began later: the span is of an invocation that is forgotten already.
fn newest<'i>(
    invocations: &'i mut VecDeque<InvocationSpan>,
    span: &Span<'_>,
    is_meant: impl Fn(&InvocationSpan) -> bool,
) -> Option<&'i mut InvocationSpan> {
    let newest_at =
        |time: i64| invocations.iter().rposition(|it| is_meant(it) && it.begun.saturating_mul(1_000_000) <= time);
    let index = newest_at(span.start).or_else(|| newest_at(span.end()))?;
    invocations.get_mut(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(id: &str, span_id: u64, parent_id: u64, trace_id: Option<u64>) -> InvocationSpan {
        InvocationSpan { request_id: id.into(), span_id, parent_id, trace_id, begun: 0 }
    }

    fn span(trace_id: u64, span_id: u64, parent_id: u64) -> Span<'static> {
        Span { trace_id, span_id, parent_id, ..Span::default() }
    }

    fn parents(spans: &[Span<'_>]) -> Vec<u64> {
        spans.iter().map(|span| span.parent_id).collect()
    }

    #[test]
    fn roots_of_the_first_trace_that_comes_are_put_below_the_invocation() {
        let invocations = Invocations::default();
        invocations.add(invocation("a", 70, 0, None));
        let mut spans = [span(5, 1, 0), span(5, 2, 1), span(5, 3, 0)];
        assert_eq!(invocations.adopt(&mut spans), [TraceMatch { request_id: "a".into(), trace_id: 5 }]);
        assert_eq!(parents(&spans), [70, 1, 70]);
        invocations.add(invocation("b", 80, 0, None));
        let mut spans = [span(5, 4, 0), span(6, 5, 0)];
        assert_eq!(invocations.adopt(&mut spans), [TraceMatch { request_id: "b".into(), trace_id: 6 }]);
        assert_eq!(parents(&spans), [70, 80], "later spans of the first, and those of the second");
        invocations.remove(&"a".into(), 0);
        let mut spans = [span(5, 6, 0)];
        assert_eq!(invocations.adopt(&mut spans), []);
        assert_eq!(parents(&spans), [0], "it is forgotten");
    }

    #[test]
    fn spans_below_the_parent_that_the_event_names_are_put_below_the_invocation_instead() {
        let invocations = Invocations::default();
        invocations.add(invocation("a", 70, 9, Some(5)));
        let mut spans = [span(5, 1, 9), span(5, 2, 1), span(5, 3, 0), span(6, 4, 9)];
        assert_eq!(invocations.adopt(&mut spans), []);
        assert_eq!(parents(&spans), [70, 1, 0, 9]);
    }

    #[test]
    fn spans_belong_to_the_newest_invocation_that_had_begun_when_they_did() {
        for named in [None, Some(5)] {
            let invocations = Invocations::default();
            for (id, span_id, begun) in [("a", 70, 1), ("b", 80, 2)] {
                invocations.add(InvocationSpan { begun, ..invocation(id, span_id, 0, named) });
            }
            let at = |trace_id, start| Span { start, ..span(trace_id, 1, 0) };
            let mut spans = [at(5, 2_000_000), at(named.unwrap_or(6), 1_999_999)];
            invocations.adopt(&mut spans);
            assert_eq!(parents(&spans), [80, 70], "{named:?}");
        }
    }

    #[test]
    fn a_span_that_ended_before_an_invocation_began_is_not_its_own() {
        for named in [None, Some(5)] {
            let invocations = Invocations::default();
            invocations.add(InvocationSpan { begun: 2, ..invocation("b", 80, 0, named) });
            let timed = |trace_id, start, duration| [Span { start, duration, ..span(trace_id, 1, 0) }];
            let mut of_another = timed(5, 1_000_000, 1);
            assert_eq!(invocations.adopt(&mut of_another), []);
            assert_eq!(parents(&of_another), [0], "{named:?}");
            let mut of_a_late_clock = timed(named.unwrap_or(6), 1_999_999, 1);
            assert_eq!(invocations.adopt(&mut of_a_late_clock).len(), usize::from(named.is_none()));
            let mut own = timed(named.unwrap_or(6), 2_000_000, 1);
            invocations.adopt(&mut own);
            assert_eq!([parents(&of_a_late_clock), parents(&own)], [[80], [80]], "{named:?}");
        }
    }

    #[test]
    fn the_next_attempt_at_a_request_is_looked_for_when_the_one_before_is_forgotten() {
        let invocations = Invocations::default();
        for (span_id, begun) in [(70, 1), (80, 60_001)] {
            invocations.add(InvocationSpan { begun, ..invocation("r", span_id, 0, None) });
        }
        invocations.remove(&"r".into(), 20);
        let mut spans = [Span { start: 60_002_000_000, ..span(5, 1, 0) }];
        assert_eq!(invocations.adopt(&mut spans), [TraceMatch { request_id: "r".into(), trace_id: 5 }]);
        assert_eq!(parents(&spans), [80]);
        invocations.remove(&"r".into(), 60_020);
        assert_eq!(invocations.trace_id(&"r".into()), None, "it is forgotten");
    }

    #[test]
    fn a_trace_that_is_taken_back_is_looked_for_again() {
        let invocations = Invocations::default();
        invocations.add(invocation("a", 70, 0, None));
        let found = invocations.adopt(&mut [span(5, 1, 0)]);
        assert_eq!(invocations.trace_id(&"a".into()), Some(5));
        invocations.take_back(&found);
        assert_eq!(invocations.trace_id(&"a".into()), None);
        assert_eq!(invocations.adopt(&mut [span(6, 1, 0)]).len(), 1);
        invocations.add(invocation("b", 80, 0, None));
        invocations.keep_newest(1);
        assert_eq!(invocations.trace_id(&"a".into()), None, "it is forgotten");
    }

    #[test]
    fn the_oldest_invocation_is_forgotten_where_there_are_too_many() {
        let invocations = Invocations::default();
        for number in 0..=MAX_INVOCATIONS as u64 {
            invocations.add(invocation(&number.to_string(), number, 0, Some(number)));
        }
        let mut spans = [span(0, 1, 0), span(1, 1, 0), span(MAX_INVOCATIONS as u64, 1, 0)];
        invocations.adopt(&mut spans);
        assert_eq!(parents(&spans), [0, 1, MAX_INVOCATIONS as u64]);
    }
}
