//! The span of the sandbox's start: a cold start, or the restore from a snapshot.

use std::sync::Arc;

use super::{
    SpanSettings,
    assembly::{AUTO_REJECT, PRIORITY},
};
use crate::process::{
    event::Timestamp,
    trace::{Span, SpanParents},
    trigger::APM_ENABLED,
};

/// The span that shows how long the first invocation waited for the sandbox. It is a sibling of the invocation's span, or stands alone above the span in which
/// the library for Python or Node.js loads the handler.
#[derive(Debug, Default)]
pub struct StartupSpan {
    /// Drawn when the span is taken where it is 0.
    span_id: u64,
    /// There is no such span.
    is_cancelled: bool,
    name: &'static str,
    start: Option<Timestamp>,
    duration_ms: Option<f64>,
    /// Its parent, once that is known.
    parent: Option<ParentSpan>,
    is_sent: bool,
    span_parents: Arc<SpanParents>,
}

/// The span or the trace that another span belongs below: `parent_id` 0 is the top of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentSpan {
    pub trace_id: u64,
    pub parent_id: u64,
}

impl StartupSpan {
    /// The span of a sandbox that runs init (`restored` is false) or restores a snapshot.
    pub fn new(restored: bool, settings: &SpanSettings) -> Self {
        if restored {
            // All sandboxes of a snapshot would share an id that is drawn before it is taken.
            return Self { name: "aws.lambda.snapstart_restore", ..Self::default() };
        }
        let startup = Self { span_id: (settings.random)(), name: "aws.lambda.cold_start", ..Self::default() };
        startup.span_parents.set_cold_start(startup.span_id);
        startup
    }

    /// What puts spans of tracers below this one, and below those of invocations.
    pub fn span_parents(&self) -> Arc<SpanParents> {
        Arc::clone(&self.span_parents)
    }

    pub fn begin(&mut self, at: Timestamp) {
        self.start.get_or_insert(at);
    }

    pub fn end(&mut self, duration_ms: f64) {
        self.duration_ms.get_or_insert(duration_ms);
    }

    /// There is no such span: no invocation waited for the start.
    pub fn cancel(&mut self) {
        self.is_cancelled = true;
        self.span_parents.set_cold_start(0);
    }

    /// Sets the parent, unless it is known.
    pub fn set_parent(&mut self, parent: ParentSpan) {
        self.parent.get_or_insert(parent);
    }

    /// The span, once, as soon as everything is known.
    pub fn take(&mut self, settings: &SpanSettings) -> Option<Span<'static>> {
        let (Some(start), Some(duration_ms), Some(parent)) = (self.start, self.duration_ms, self.parent) else {
            return None;
        };
        if self.is_cancelled || std::mem::replace(&mut self.is_sent, true) {
            return None;
        }
        let mut span = Span {
            name: self.name.into(),
            span_id: if self.span_id == 0 { (settings.random)() } else { self.span_id },
            trace_id: parent.trace_id,
            parent_id: parent.parent_id,
            start: super::assembly::nanoseconds(start),
            duration: super::assembly::duration(duration_ms),
            ..super::assembly::serverless(settings)
        };
        if settings.standalone {
            span.metrics.set(APM_ENABLED, 0.0);
        }
        Some(span)
    }

    /// The same, for a trace that has no other span of ours: without APM, nothing in it is a reason to keep it.
    pub fn take_alone(&mut self, settings: &SpanSettings) -> Option<Span<'static>> {
        let mut span = self.take(settings)?;
        if settings.standalone {
            span.metrics.set(PRIORITY, AUTO_REJECT);
        }
        Some(span)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn the_sandboxes_of_a_snapshot_draw_ids_of_their_own() {
        static DRAWN: AtomicU64 = AtomicU64::new(0);
        let random = || DRAWN.fetch_add(1, Ordering::Relaxed) + 1;
        let (service, resource) = (String::new(), String::new());
        let settings = SpanSettings { service, resource, appsec: false, standalone: false, random };
        let mut restore = StartupSpan::new(true, &settings);
        assert_eq!(DRAWN.load(Ordering::Relaxed), 0, "an id is part of the snapshot");
        restore.begin(1);
        restore.end(2.0);
        restore.set_parent(ParentSpan { trace_id: 3, parent_id: 4 });
        assert_eq!(restore.take(&settings).unwrap().span_id, 1);
        assert!(restore.take(&settings).is_none());
    }
}
