//! The sandbox's own life: how it was initialized or restored, its first invocation, and its end.
//!
//! Once-per-sandbox metrics (init, restore) carry the tags of the first invocation, so they are held until it has begun and its tags are known.

use super::{Output, Processor, SamplingPoint, Settings, context::AttemptId};
use crate::process::{
    event::{InitReport, InitStart, RestoreReport, Timestamp},
    log, metric,
};

/// A metric that is sent once per sandbox.
#[derive(Debug, Default)]
pub enum OnceMetric {
    /// Not measured yet.
    #[default]
    Unknown,
    /// Held for the tags of the first invocation.
    Held(Measured),
    /// Sent.
    Sent,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// How long it took.
    pub seconds: f64,
    /// When it was measured.
    pub time: Timestamp,
}

impl OnceMetric {
    /// Records a measurement; only the first one counts.
    pub fn measure(&mut self, measured: Measured) {
        if matches!(self, Self::Unknown) {
            *self = Self::Held(measured);
        }
    }

    /// Takes what is held, to be sent.
    pub fn take(&mut self) -> Option<Measured> {
        let Self::Held(measured) = *self else { return None };
        *self = Self::Sent;
        Some(measured)
    }
}

/// The sandbox's first invocation. Its count is held until the events have come that decide on its tags: `platform.initStart` says whether the function is a
/// durable one, by which the cold starts of such functions are found, and `platform.restoreStart` when a sandbox that was made from a snapshot started.
#[derive(Debug)]
pub struct FirstInvocation {
    awaits_init: bool,
    awaits_restore: bool,
    held: Option<HeldCount>,
}

/// A count of an invocation that is held.
#[derive(Debug)]
struct HeldCount {
    id: AttemptId,
    time: Timestamp,
}

impl FirstInvocation {
    /// Waits for the events that will come. A managed instance has its invocations from events alone, behind those of its initialization.
    pub fn new(settings: Settings) -> Self {
        let waits = settings.telemetry && !settings.managed;
        Self { awaits_init: waits, awaits_restore: waits && settings.snap_start, held: None }
    }

    /// Whether its tags are known.
    pub fn is_settled(&self) -> bool {
        !self.awaits_init && !self.awaits_restore
    }

    /// Holds its count.
    pub fn hold(&mut self, id: AttemptId, time: Timestamp) {
        self.held = Some(HeldCount { id, time });
    }

    /// Whether its count is held.
    pub fn holds(&self, id: &AttemptId) -> bool {
        self.held.as_ref().is_some_and(|held| held.id == *id)
    }
}

impl Processor {
    /// Whether the runtime's name is wanted before the next invocation is told of.
    pub fn wants_runtime(&self) -> bool {
        self.settings.enhanced_metrics && !self.sandbox.knows_runtime()
    }

    /// The runtime's name.
    pub fn learn_runtime(&mut self, name: &str) {
        self.sandbox.learn_runtime(name);
    }

    /// SHUTDOWN: the sandbox is about to end, though events may still come.
    pub fn ending(&mut self, now: Timestamp, out: &mut Output) {
        let tags = self.sandbox.tags(self.sandbox.latest());
        self.point(metric::SHUTDOWNS, 1.0, now, &tags, out);
    }

    /// No event will come any more: what still waits for one leaves without it.
    pub fn ended(&mut self, now: Timestamp, out: &mut Output) {
        for log in self.attribution.take_held_logs() {
            self.emit(log, out);
        }
        self.settle_first(out);
        self.send_once_metrics(out);
        self.moment(SamplingPoint::Ending(self.sandbox.tags(self.sandbox.latest())), out);
        if self.sandbox.first().is_none() {
            self.point(metric::UNUSED_INIT, 1.0, now, &self.sandbox.tags(None), out);
        }
    }

    pub(super) fn init_start(&mut self, init: &InitStart, time: Timestamp, out: &mut Output) {
        if init.is_durable() {
            self.sandbox.learn_durable();
        }
        self.own(log::init_start(init, time).into(), out);
        self.first.awaits_init = false;
        self.release_held(out);
    }

    pub(super) fn init_report(&mut self, report: &InitReport, time: Timestamp, out: &mut Output) {
        if let Some(init_type) = report.initialization_type.as_deref().filter(|_| !self.settings.init_type_tagged) {
            self.sandbox.learn_init_type(init_type);
        }
        if let Some(duration_ms) = report.duration_ms {
            self.init.measure(Measured { seconds: duration_ms / 1000.0, time });
        }
        self.release_held(out);
    }

    pub(super) fn restore_start(&mut self, time: Timestamp, out: &mut Output) {
        self.sandbox.restored(time);
        self.first.awaits_restore = false;
        self.release_held(out);
    }

    pub(super) fn restore_report(&mut self, report: &RestoreReport, time: Timestamp, out: &mut Output) {
        let Some(duration_ms) = report.duration_ms else {
            out.warnings.push("Lambda did not say how long the restoration from the snapshot took".to_owned());
            return;
        };
        self.restore.measure(Measured { seconds: duration_ms / 1000.0, time });
        self.release_held(out);
    }

    /// Sends what is held for the first invocation once its tags are known.
    pub(super) fn release_held(&mut self, out: &mut Output) {
        if !self.first.is_settled() {
            return;
        }
        if let Some(HeldCount { time, .. }) = self.first.held.take() {
            self.point(metric::INVOCATIONS, 1.0, time, &self.sandbox.tags(self.sandbox.first()), out);
        }
        if self.sandbox.first().is_some() {
            self.send_once_metrics(out);
        }
    }

    /// What has not come by the end of the first invocation was lost on its way.
    pub(super) fn settle_first(&mut self, out: &mut Output) {
        (self.first.awaits_init, self.first.awaits_restore) = (false, false);
        self.release_held(out);
    }

    fn send_once_metrics(&mut self, out: &mut Output) {
        let tags = self.sandbox.tags(self.sandbox.first());
        let metrics = [(metric::INIT_DURATION, self.init.take()), (metric::RESTORE_DURATION, self.restore.take())];
        for (name, held) in metrics {
            if let Some(Measured { seconds, time }) = held {
                self.point(name, seconds, time, &tags, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_measurement_is_sent_once() {
        let mut once = OnceMetric::default();
        assert_eq!(once.take(), None);
        let first = Measured { seconds: 1.0, time: 5 };
        once.measure(first);
        once.measure(Measured { seconds: 2.0, time: 6 });
        assert_eq!(once.take(), Some(first));
        once.measure(first);
        assert_eq!(once.take(), None);
    }
}
