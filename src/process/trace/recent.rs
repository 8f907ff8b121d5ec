//! The spans that were seen last. A sandbox that is frozen in the middle of a request makes the tracer send it again.

use std::collections::{HashSet, VecDeque};

use super::{ids::BuildIdHasher, span::Span};

/// How many spans are remembered, as the public extension does: of a larger request that comes twice, only the last spans are recognised.
const CAPACITY: usize = 100;

/// Which span, by the low half of its trace id and its own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Id {
    trace: u64,
    span: u64,
}

/// The last hundred spans. A request works on a clone, which takes the original's place once the whole request is decoded: a request that is refused
/// halfway has been seen by nobody.
#[derive(Debug, Clone, Default)]
pub struct RecentSpans {
    order: VecDeque<Id>,
    known: HashSet<Id, BuildIdHasher>,
}

impl RecentSpans {
    /// Keeps the spans that are new, and remembers them. Returns how many were not.
    pub fn retain_new(&mut self, spans: &mut Vec<Span<'_>>) -> usize {
        let before = spans.len();
        spans.retain(|span| self.is_new(Id { trace: span.trace_id, span: span.span_id }));
        before - spans.len()
    }

    fn is_new(&mut self, id: Id) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        if self.order.len() == CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(trace: u64, ids: impl Iterator<Item = u64>) -> Vec<Span<'static>> {
        ids.map(|span_id| Span { trace_id: trace, span_id, ..Span::default() }).collect()
    }

    #[test]
    fn a_span_that_comes_twice_is_dropped_within_the_last_hundred() {
        let mut recent = RecentSpans::default();
        let mut first = spans(1, [5, 6, 5].into_iter());
        assert_eq!((recent.retain_new(&mut first), first.len()), (1, 2));
        let mut other_trace = spans(2, [5].into_iter());
        assert_eq!(recent.retain_new(&mut other_trace), 0);
        recent.retain_new(&mut spans(3, 0..97));
        assert_eq!(recent.retain_new(&mut spans(1, [5].into_iter())), 1, "still among the last hundred");
        recent.retain_new(&mut spans(4, 0..1));
        assert_eq!(recent.retain_new(&mut spans(1, [5].into_iter())), 0, "the oldest is forgotten first");
        assert_eq!(recent.retain_new(&mut spans(2, [5].into_iter())), 1, "a repetition is no renewal");
    }

    #[test]
    fn memory_is_bounded() {
        let mut recent = RecentSpans::default();
        recent.retain_new(&mut spans(1, 0..10_000));
        assert_eq!((recent.order.len(), recent.known.len()), (100, 100));
    }
}
