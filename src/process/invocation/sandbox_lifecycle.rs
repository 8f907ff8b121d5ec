//! Events of the sandbox itself: init, restore, first invocation and shutdown.
//!
//! Once-per-sandbox metrics (init, restore) carry the tags of the first invocation, so they are held until it has started and its tags are known.

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
    /// Held until the tags of the first invocation are known.
    Held(DurationMeasurement),
    /// Sent.
    Sent,
}

/// A measured duration of init or restore.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DurationMeasurement {
    /// The measured duration in seconds.
    pub seconds: f64,
    /// Time of the measurement.
    pub time: Timestamp,
}

impl OnceMetric {
    /// Records a measurement. Only the first one counts.
    pub fn measure(&mut self, measured: DurationMeasurement) {
        if matches!(self, Self::Unknown) {
            *self = Self::Held(measured);
        }
    }

    /// Takes the held measurement for sending.
    pub fn take(&mut self) -> Option<DurationMeasurement> {
        let Self::Held(measured) = *self else { return None };
        *self = Self::Sent;
        Some(measured)
    }
}

/// The sandbox's first invocation. Its count is held until the events that decide on its tags have arrived. `platform.initStart` says whether the
/// function is a durable function, which is a tag that identifies cold starts of such functions. `platform.restoreStart` says when a sandbox from a
/// snapshot started.
#[derive(Debug)]
pub struct FirstInvocation {
    awaits_init: bool,
    awaits_restore: bool,
    held: Option<HeldCount>,
}

/// A held count of an invocation.
#[derive(Debug)]
struct HeldCount {
    id: AttemptId,
    time: Timestamp,
}

impl FirstInvocation {
    /// Waits for the events that this sandbox will receive. On a managed instance, invocations are known only from telemetry events, which follow
    /// those of init, so nothing is awaited.
    pub fn new(settings: Settings) -> Self {
        let waits = settings.telemetry && !settings.managed;
        Self { awaits_init: waits, awaits_restore: waits && settings.snap_start, held: None }
    }

    /// Whether all its tags are known.
    pub fn is_complete(&self) -> bool {
        !self.awaits_init && !self.awaits_restore
    }

    /// Holds the count of the invocation.
    pub fn hold(&mut self, id: AttemptId, time: Timestamp) {
        self.held = Some(HeldCount { id, time });
    }

    /// Whether the count of this invocation is held.
    pub fn holds(&self, id: &AttemptId) -> bool {
        self.held.as_ref().is_some_and(|held| held.id == *id)
    }
}

impl Processor {
    /// Whether the runtime's name is needed before the next invocation is processed.
    pub fn wants_runtime(&self) -> bool {
        (self.settings.enhanced_metrics || self.spans.is_some()) && !self.sandbox.knows_runtime()
    }

    /// Sets the runtime's name.
    pub fn learn_runtime(&mut self, name: &str) {
        self.sandbox.learn_runtime(name);
    }

    /// Handles SHUTDOWN. Events may still arrive afterwards.
    pub fn ending(&mut self, now: Timestamp, out: &mut Output) {
        let tags = self.sandbox.tags(self.sandbox.latest());
        self.point(metric::SHUTDOWNS, 1.0, now, &tags, out);
    }

    /// Handles the end of the sandbox, after which no event arrives: emits everything that is held.
    pub fn ended(&mut self, now: Timestamp, out: &mut Output) {
        for log in self.attribution.take_held_logs() {
            self.emit(log, out);
        }
        out.logs.extend(self.durable.release());
        self.complete_first(out);
        self.build_last_spans(out);
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
        out.logs.extend(self.durable.decide(init.is_durable()));
        self.own(log::init_start(init, time).into(), out);
        self.startup_begins(time, false);
        self.first.awaits_init = false;
        self.release_held(out);
    }

    pub(super) fn init_report(&mut self, report: &InitReport, time: Timestamp, out: &mut Output) {
        if let Some(init_type) = report.initialization_type.as_deref().filter(|_| !self.settings.init_type_tagged) {
            self.sandbox.learn_init_type(init_type);
        }
        if let Some(duration_ms) = report.duration_ms {
            self.startup_ends(duration_ms, false);
            self.init.measure(DurationMeasurement { seconds: duration_ms / 1000.0, time });
        }
        self.release_held(out);
    }

    pub(super) fn restore_start(&mut self, time: Timestamp, out: &mut Output) {
        self.sandbox.restored(time);
        self.startup_begins(time, true);
        self.first.awaits_restore = false;
        self.release_held(out);
    }

    pub(super) fn restore_report(&mut self, report: &RestoreReport, time: Timestamp, out: &mut Output) {
        let Some(duration_ms) = report.duration_ms else {
            out.warnings.push("Lambda did not say how long the restoration from the snapshot took".to_owned());
            return;
        };
        self.startup_ends(duration_ms, true);
        self.restore.measure(DurationMeasurement { seconds: duration_ms / 1000.0, time });
        self.release_held(out);
    }

    /// Sends the held count and metrics of the first invocation once its tags are known.
    pub(super) fn release_held(&mut self, out: &mut Output) {
        if !self.first.is_complete() {
            return;
        }
        if let Some(HeldCount { time, .. }) = self.first.held.take() {
            self.point(metric::INVOCATIONS, 1.0, time, &self.sandbox.tags(self.sandbox.first()), out);
        }
        if self.sandbox.first().is_some() {
            self.send_once_metrics(out);
        }
    }

    /// Stops waiting for events of init and restore: those that have not arrived by the end of the first invocation are lost.
    pub(super) fn complete_first(&mut self, out: &mut Output) {
        (self.first.awaits_init, self.first.awaits_restore) = (false, false);
        out.logs.extend(self.durable.stop_waiting_for_decision());
        self.release_held(out);
    }

    fn send_once_metrics(&mut self, out: &mut Output) {
        let tags = self.sandbox.tags(self.sandbox.first());
        let metrics = [(metric::INIT_DURATION, self.init.take()), (metric::RESTORE_DURATION, self.restore.take())];
        // A sandbox may be started, or its snapshot made, days before its first invocation, and Datadog accepts points of the last hour.
        let began = self.sandbox.first_at().unwrap_or(Timestamp::MIN);
        for (name, held) in metrics {
            if let Some(DurationMeasurement { seconds, time }) = held {
                let time = if time < began.saturating_sub(metric::MAX_POINT_AGE_MS) { began } else { time };
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
        let first = DurationMeasurement { seconds: 1.0, time: 5 };
        once.measure(first);
        once.measure(DurationMeasurement { seconds: 2.0, time: 6 });
        assert_eq!(once.take(), Some(first));
        once.measure(first);
        assert_eq!(once.take(), None);
    }
}
