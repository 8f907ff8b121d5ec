//! The spans that were seen last. A sandbox that is frozen in the middle of a request makes the tracer send it again.

use super::span::Span;

/// How many spans are remembered, as the public extension does: of a larger request that comes twice, only the last spans are recognised.
const CAPACITY: usize = 100;

/// Number of lists among which the remembered spans are spread.
const LISTS: usize = 256;

/// The end of a list.
const END: u8 = u8::MAX;

/// Which span, by the low half of its trace id and its own id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Id {
    trace: u64,
    span: u64,
}

/// A remembered span.
#[derive(Debug, Clone, Copy)]
struct Entry {
    id: Id,
    /// The next entry of the same list.
    next: u8,
}

/// The last hundred spans. A request works on a clone, which takes the original's place once the whole request is decoded: a request that is refused
/// halfway has been seen by nobody.
///
/// A hash table of a fixed size: every span of every request is looked for here, so that nothing is allocated or moved.
#[derive(Debug, Clone)]
pub struct RecentSpans {
    /// A ring: the entry at `oldest` is the next to be replaced once all are in use.
    entries: Vec<Entry>,
    oldest: usize,
    /// The first entry of each list.
    lists: [u8; LISTS],
}

impl Default for RecentSpans {
    fn default() -> Self {
        Self { entries: Vec::new(), oldest: 0, lists: [END; LISTS] }
    }
}

impl RecentSpans {
    /// Keeps the spans that are new, and remembers them. Returns how many were not.
    pub fn retain_new(&mut self, spans: &mut Vec<Span<'_>>) -> usize {
        let before = spans.len();
        spans.retain(|span| self.is_new(Id { trace: span.trace_id, span: span.span_id }));
        before - spans.len()
    }

    fn is_new(&mut self, id: Id) -> bool {
        let list = list_of(id);
        let first = self.lists.get(list).copied().unwrap_or(END);
        let mut next = first;
        while let Some(entry) = self.entries.get(usize::from(next)) {
            if entry.id == id {
                return false;
            }
            next = entry.next;
        }
        if self.entries.len() < CAPACITY {
            self.insert(list, self.entries.len());
            self.entries.push(Entry { id, next: first });
            return true;
        }
        self.forget(self.oldest);
        // The forgotten span may have been the first of the same list.
        let first = self.lists.get(list).copied().unwrap_or(END);
        if let Some(entry) = self.entries.get_mut(self.oldest) {
            *entry = Entry { id, next: first };
        }
        self.insert(list, self.oldest);
        self.oldest = (self.oldest + 1) % CAPACITY;
        true
    }

    /// Makes an entry the first of a list.
    fn insert(&mut self, list: usize, entry: usize) {
        if let (Some(first), Ok(entry)) = (self.lists.get_mut(list), u8::try_from(entry)) {
            *first = entry;
        }
    }

    /// Takes an entry out of its list.
    fn forget(&mut self, forgotten: usize) {
        let Some(Entry { id, next: after }) = self.entries.get(forgotten).copied() else { return };
        let list = list_of(id);
        let Some(first) = self.lists.get_mut(list) else { return };
        if usize::from(*first) == forgotten {
            *first = after;
            return;
        }
        let mut at = usize::from(*first);
        while let Some(entry) = self.entries.get_mut(at) {
            at = usize::from(entry.next);
            if at == forgotten {
                entry.next = after;
                return;
            }
        }
    }
}

/// The list of a span: tracers make ids at random or count them.
fn list_of(id: Id) -> usize {
    let mixed = (id.span ^ id.trace.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::from(mixed.to_be_bytes()[0])
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

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
    fn last_hundred_span_ids_are_remembered() {
        let mut random = StdRng::seed_from_u64(7);
        for bits in [3, 7, 8, 64] {
            let mut recent = RecentSpans::default();
            let mut expected = VecDeque::new();
            for _ in 0..20_000 {
                let (trace, span) = (random.random::<u64>() >> 62, random.random::<u64>() >> (64 - bits));
                let is_new = recent.is_new(Id { trace, span });
                assert_eq!(is_new, !expected.contains(&(trace, span)), "{bits} bits");
                if is_new {
                    expected.push_back((trace, span));
                    expected.drain(..expected.len().saturating_sub(CAPACITY));
                }
            }
            assert!(recent.entries.len() <= CAPACITY);
        }
    }
}
