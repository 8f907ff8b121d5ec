//! What the spans of one trace say together: which is the root, what the tracer's sampler decided, and which spans enter a service.

use std::collections::HashMap;

use super::{
    ids::BuildIdHasher,
    span::{Span, Text, is_same},
};

/// The priority of a chunk whose tracer has decided nothing.
pub(super) const UNSET: i32 = -128;

const PRIORITY: &str = "_sampling_priority_v1";
const ORIGIN: &str = "_dd.origin";
/// Set by a tracer.
const TRACER_TOP_LEVEL: &str = "_dd.top_level";
/// Read by the backend.
const TOP_LEVEL: &str = "_top_level";

/// Up to this many spans a parent is searched for in the list; beyond, in a hash table.
const SEARCHED: usize = 16;

/// The spans of one trace that came in one request; never empty when it is made.
#[derive(Debug)]
pub(super) struct Chunk<'b> {
    pub(super) spans: Vec<Span<'b>>,
    /// The root's id. Spans are taken out later, so that an index would come to mean another.
    pub(super) root_id: u64,
    pub(super) priority: i32,
    /// Where the trace began, such as `synthetics`, as the tracer said it.
    pub(super) origin: Text<'b>,
}

impl<'b> Chunk<'b> {
    /// Finds out about the spans and marks the top-level ones. Nothing if there is no span.
    pub(super) fn new(mut spans: Vec<Span<'b>>, computed_top_level: bool) -> Option<Self> {
        let parents = Parents::of(&spans);
        if computed_top_level {
            copy_top_level(&mut spans);
        } else {
            mark_top_level(&mut spans, &parents);
        }
        let root = spans.get(root(&spans, &parents))?;
        let priority = root.metrics.get(PRIORITY).or_else(|| spans.iter().find_map(|span| span.metrics.get(PRIORITY)));
        Some(Self {
            root_id: root.span_id,
            priority: priority.map_or(UNSET, |priority| as_priority(*priority)),
            origin: root.meta.get(ORIGIN).cloned().unwrap_or_default(),
            spans,
        })
    }

    /// The root, as long as it is there.
    pub(super) fn root(&self) -> Option<&Span<'b>> {
        self.spans.iter().find(|span| span.span_id == self.root_id)
    }

    /// The same, to change it.
    pub(super) fn root_mut(&mut self) -> Option<&mut Span<'b>> {
        self.spans.iter_mut().find(|span| span.span_id == self.root_id)
    }

    /// Whether the tracer's sampler decided against the trace.
    pub(super) fn is_sampled_out(&self) -> bool {
        self.priority <= 0 && self.priority != UNSET
    }
}

/// For each span, the index of its parent in the chunk; `None` for spans whose parent is not in it.
struct Parents(Vec<Option<usize>>);

impl Parents {
    fn of(spans: &[Span<'_>]) -> Self {
        // The last of several spans with one id counts, however it is found.
        if spans.len() <= SEARCHED {
            let find = |id| spans.iter().rposition(|span| span.span_id == id);
            return Self(spans.iter().map(|span| find(span.parent_id)).collect());
        }
        let ids: HashMap<u64, usize, BuildIdHasher> =
            spans.iter().enumerate().map(|(index, span)| (span.span_id, index)).collect();
        Self(spans.iter().map(|span| ids.get(&span.parent_id).copied()).collect())
    }

    fn of_span(&self, index: usize) -> Option<usize> {
        self.0.get(index).copied().flatten()
    }
}

/// The last span without a parent id; else the last whose parent is elsewhere; else the last.
fn root(spans: &[Span<'_>], parents: &Parents) -> usize {
    let without = spans.iter().rposition(|span| span.parent_id == 0);
    let elsewhere = || parents.0.iter().rposition(Option::is_none);
    without.or_else(elsewhere).unwrap_or(spans.len().saturating_sub(1))
}

fn copy_top_level(spans: &mut [Span<'_>]) {
    for span in spans.iter_mut().filter(|span| span.metrics.contains(TRACER_TOP_LEVEL)) {
        span.metrics.set(TOP_LEVEL, 1.0);
    }
}

fn mark_top_level(spans: &mut [Span<'_>], parents: &Parents) {
    for index in 0..spans.len() {
        let Some(span) = spans.get(index) else { return };
        let parent = parents.of_span(index).and_then(|parent| spans.get(parent));
        let is_top_level = span.parent_id == 0 || parent.is_none_or(|parent| !is_same(&parent.service, &span.service));
        if is_top_level && let Some(span) = spans.get_mut(index) {
            span.metrics.set(TOP_LEVEL, 1.0);
        }
    }
}

/// Whether a metric marks a span: tracers have no tags for flags.
#[expect(clippy::float_cmp, reason = "a mark is this number and no other")]
pub(super) fn is_marked(span: &Span<'_>, key: &str) -> bool {
    span.metrics.get(key).is_some_and(|mark| *mark == 1.0)
}

/// Whether a span enters its service.
pub(super) fn is_top_level(span: &Span<'_>) -> bool {
    [TRACER_TOP_LEVEL, TOP_LEVEL].iter().any(|key| is_marked(span, key))
}

#[expect(clippy::cast_possible_truncation, reason = "priorities are small whole numbers, whatever comes saturates")]
fn as_priority(priority: f64) -> i32 {
    priority as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(id: u64, parent: u64, service: &'static str) -> Span<'static> {
        Span { span_id: id, parent_id: parent, trace_id: 1, service: service.into(), ..Span::default() }
    }

    fn root_of(ids: &[(u64, u64)]) -> u64 {
        Chunk::new(ids.iter().map(|(id, parent)| span(*id, *parent, "s")).collect(), false).unwrap().root_id
    }

    #[test]
    fn the_root_is_the_last_span_without_a_parent() {
        assert_eq!(root_of(&[(1, 0), (2, 1)]), 1);
        assert_eq!(root_of(&[(1, 0), (2, 0), (3, 2)]), 2);
        assert_eq!(root_of(&[(2, 9), (3, 8), (4, 3)]), 3, "else the last whose parent is elsewhere");
        assert_eq!(root_of(&[(1, 2), (2, 1)]), 2, "else the last");
    }

    #[test]
    fn short_and_long_traces_have_the_same_root_and_top_level() {
        for length in [2, SEARCHED as u64, SEARCHED as u64 + 1, 100] {
            let mut spans: Vec<_> =
                (1..=length).map(|id| span(id, if id == 1 { 7_777 } else { id - 1 }, "s")).collect();
            spans[1].service = "t".into();
            let chunk = Chunk::new(spans, false).unwrap();
            let top: Vec<_> = chunk.spans.iter().filter(|span| is_top_level(span)).map(|span| span.span_id).collect();
            let expected = if length == 2 { vec![1, 2] } else { vec![1, 2, 3] };
            assert_eq!((chunk.root_id, top), (1, expected), "{length}");
        }
    }

    #[test]
    fn top_level_marks_of_a_tracer_are_kept() {
        let mut marked = span(2, 1, "other");
        marked.metrics.set(TRACER_TOP_LEVEL, 1.0);
        let chunk = Chunk::new(vec![span(1, 0, "s"), marked, span(3, 1, "third")], true).unwrap();
        let top: Vec<_> = chunk.spans.iter().map(|span| span.metrics.get(TOP_LEVEL).copied()).collect();
        assert_eq!(top, [None, Some(1.0), None]);
    }

    #[test]
    fn priority_and_origin_come_from_the_root_then_from_any_span() {
        let mut root = span(1, 0, "s");
        let mut child = span(2, 1, "s");
        child.metrics.set(PRIORITY, 2.0);
        child.meta.set(ORIGIN, "child".into());
        let chunk = Chunk::new(vec![root.clone(), child.clone()], false).unwrap();
        assert_eq!((chunk.priority, &*chunk.origin), (2, ""), "an origin comes from the root alone");
        root.metrics.set(PRIORITY, -1.0);
        root.meta.set(ORIGIN, "rum".into());
        let chunk = Chunk::new(vec![child, root], false).unwrap();
        assert_eq!((chunk.priority, &*chunk.origin, chunk.is_sampled_out()), (-1, "rum", true));
        let chunk = Chunk::new(vec![span(1, 0, "s")], false).unwrap();
        assert_eq!((chunk.priority, chunk.is_sampled_out()), (UNSET, false));
    }

    #[test]
    fn no_spans_make_no_chunk() {
        assert!(Chunk::new(Vec::new(), false).is_none());
    }
}
