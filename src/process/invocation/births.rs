//! What is told of a sandbox's own life: how it was initialized or restored, its first invocation, and its end.
//!
//! Measurements of its start are told once each, with the tags of the first invocation, whichever of the two comes first.

use super::{Moment, Processor, Produced};
use crate::{
    platform::ids::RequestId,
    process::{
        event::{InitReport, InitStart, RestoreReport, Timestamp},
        log, metric,
    },
};

/// A measurement that is told once.
#[derive(Debug, Default)]
pub enum Once {
    /// Nobody has measured it yet.
    #[default]
    Unknown,
    /// It waits for the first invocation.
    Waiting(Measured),
    /// It has been told.
    Told,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// How long it took.
    pub seconds: f64,
    /// When it was measured.
    pub time: Timestamp,
}

impl Once {
    /// It was measured; only the first time counts.
    pub fn measure(&mut self, measured: Measured) {
        if matches!(self, Self::Unknown) {
            *self = Self::Waiting(measured);
        }
    }

    /// Takes what waits, to be told.
    pub fn take(&mut self) -> Option<Measured> {
        let Self::Waiting(measured) = *self else { return None };
        *self = Self::Told;
        Some(measured)
    }
}

/// The count of the sandbox's first invocation. It waits for `platform.initStart`, which says whether the function is a durable one: that is what
/// the cold starts of such functions are found by.
#[derive(Debug)]
pub enum First {
    /// It may have to wait.
    Awaited,
    /// It waits.
    Held { id: RequestId, time: Timestamp },
    /// It need not wait.
    Free,
}

impl Processor {
    /// Whether the runtime's name is wanted before the next invocation is told of.
    pub fn wants_runtime(&self) -> bool {
        self.settings.enhanced_metrics && !self.dynamic.knows_runtime()
    }

    /// The runtime's name.
    pub fn learn_runtime(&mut self, name: &str) {
        self.dynamic.learn_runtime(name);
    }

    /// SHUTDOWN: the sandbox is about to end, though events may still come.
    pub fn ending(&mut self, now: Timestamp, out: &mut Produced) {
        let tags = self.dynamic.tags(self.dynamic.latest());
        self.point(metric::SHUTDOWNS, 1.0, now, &tags, out);
    }

    /// No event will come any more: what still waits for one leaves without it.
    pub fn ended(&mut self, now: Timestamp, out: &mut Produced) {
        for log in self.attribution.take_orphans() {
            self.emit(log, out);
        }
        self.release_first(out);
        self.tell_births(out);
        self.moment(Moment::Ending(self.dynamic.tags(self.dynamic.latest())), out);
        if self.dynamic.first().is_none() {
            self.point(metric::UNUSED_INIT, 1.0, now, &self.dynamic.tags(None), out);
        }
    }

    pub(super) fn init_start(&mut self, init: &InitStart, time: Timestamp, out: &mut Produced) {
        if init.is_durable() {
            self.dynamic.learn_durable();
        }
        self.own(log::init_start(init, time), out);
        self.release_first(out);
    }

    pub(super) fn init_report(&mut self, report: &InitReport, time: Timestamp, out: &mut Produced) {
        if let Some(init_type) = report.initialization_type.as_deref().filter(|_| !self.settings.init_type_tagged) {
            self.dynamic.learn_init_type(init_type);
        }
        self.init.measure(Measured { seconds: report.metrics.duration_ms / 1000.0, time });
        self.release_births(out);
    }

    pub(super) fn restore_report(&mut self, report: &RestoreReport, time: Timestamp, out: &mut Produced) {
        let Some(metrics) = &report.metrics else {
            out.warnings.push("Lambda did not say how long the restoration from the snapshot took".to_owned());
            return;
        };
        self.restore.measure(Measured { seconds: metrics.duration_ms / 1000.0, time });
        self.release_births(out);
    }

    pub(super) fn release_births(&mut self, out: &mut Produced) {
        if self.dynamic.first().is_some() {
            self.tell_births(out);
        }
    }

    fn tell_births(&mut self, out: &mut Produced) {
        let tags = self.dynamic.tags(self.dynamic.first());
        for (name, told) in [(metric::INIT_DURATION, self.init.take()), (metric::RESTORE_DURATION, self.restore.take())]
        {
            if let Some(Measured { seconds, time }) = told {
                self.point(name, seconds, time, &tags, out);
            }
        }
    }

    pub(super) fn release_first(&mut self, out: &mut Produced) {
        let first = std::mem::replace(&mut self.first, First::Free);
        if let First::Held { time, .. } = first {
            self.point(metric::INVOCATIONS, 1.0, time, &self.dynamic.tags(self.dynamic.first()), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_measurement_is_told_once() {
        let mut once = Once::default();
        assert_eq!(once.take(), None);
        let first = Measured { seconds: 1.0, time: 5 };
        once.measure(first);
        once.measure(Measured { seconds: 2.0, time: 6 });
        assert_eq!(once.take(), Some(first));
        once.measure(first);
        assert_eq!(once.take(), None);
    }
}
