//! Puts spans of the function below the span of its invocation, where no tracer knows of that: behind the Lambda Web Adapter the function is a web application.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::span::Span;
use crate::platform::ids::RequestId;

/// Maximum number of invocations whose spans are looked for. Beyond it, the oldest is forgotten.
const MAX_INVOCATIONS: usize = 256;

/// An invocation whose spans are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopting {
    pub request_id: RequestId,
    /// The span of the invocation.
    pub span_id: u64,
    /// The parent that the event names, below which the function puts its own spans; 0: they are roots.
    pub parent_id: u64,
    /// The trace that the event names. None: the first span that comes says which it is.
    pub trace_id: Option<u64>,
}

/// An invocation whose trace has been found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    pub request_id: RequestId,
    pub trace_id: u64,
}

/// Those invocations, in the order in which they began.
#[derive(Debug, Default)]
pub struct Invocations(Mutex<VecDeque<Adopting>>);

impl Invocations {
    pub fn add(&self, invocation: Adopting) {
        let mut invocations = self.lock();
        if invocations.len() >= MAX_INVOCATIONS {
            invocations.pop_front();
        }
        invocations.push_back(invocation);
    }

    /// Forgets an invocation.
    pub fn remove(&self, id: &RequestId) {
        self.lock().retain(|invocation| invocation.request_id != *id);
    }

    /// Puts spans below the invocation that they belong to. Gives the traces that are found by them.
    pub fn adopt(&self, spans: &mut [Span<'_>]) -> Vec<Traced> {
        let mut invocations = self.lock();
        let mut found = Vec::new();
        if invocations.is_empty() {
            return found;
        }
        for span in spans {
            let is_known = invocations.iter().any(|invocation| invocation.trace_id == Some(span.trace_id));
            let untraced = invocations.iter_mut().find(|invocation| invocation.trace_id.is_none() && !is_known);
            if let Some(invocation) = untraced {
                invocation.trace_id = Some(span.trace_id);
                found.push(Traced { request_id: invocation.request_id.clone(), trace_id: span.trace_id });
            }
            let owner = invocations.iter().find(|invocation| {
                invocation.trace_id == Some(span.trace_id) && invocation.parent_id == span.parent_id
            });
            if let Some(invocation) = owner {
                span.parent_id = invocation.span_id;
            }
        }
        found
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Adopting>> {
        // The list is whole at every step, whoever may have died while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(id: &str, span_id: u64, parent_id: u64, trace_id: Option<u64>) -> Adopting {
        Adopting { request_id: id.into(), span_id, parent_id, trace_id }
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
        assert_eq!(invocations.adopt(&mut spans), [Traced { request_id: "a".into(), trace_id: 5 }]);
        assert_eq!(parents(&spans), [70, 1, 70]);
        invocations.add(invocation("b", 80, 0, None));
        let mut spans = [span(5, 4, 0), span(6, 5, 0)];
        assert_eq!(invocations.adopt(&mut spans), [Traced { request_id: "b".into(), trace_id: 6 }]);
        assert_eq!(parents(&spans), [70, 80], "later spans of the first, and those of the second");
        invocations.remove(&"a".into());
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
