//! Measures the resource usage of each invocation. Exists only if these metrics are enabled.

use std::{borrow::Cow, collections::VecDeque, sync::Arc};

use tokio::time::sleep_until;

use super::sampler::{SampleSummary, Sampler};
use crate::{
    os::{
        clock,
        proc::{CounterFiles, Proc},
    },
    process::{
        invocation::{AttemptId, SamplingPoint},
        metric::Point,
        usage::{self, CounterReading, Values},
    },
};

/// Maximum number of invocations that are measured at once. More can be open only if events were lost.
const CAPACITY: usize = 500;

/// The measurements in progress.
#[derive(Debug)]
pub struct UsageMetrics {
    /// Whether invocations overlap. Peaks are then those of the sandbox, and reported when it ends.
    overlapping: bool,
    files: CounterFiles,
    sampler: Sampler,
    open: VecDeque<InvocationUsage>,
    /// Whether there was an invocation.
    used: bool,
}

/// The usage counters of one invocation, until its two events have come.
#[derive(Debug)]
struct InvocationUsage {
    id: AttemptId,
    begin: CounterReading,
    /// Counters and peaks at the start of the next invocation, if that came before the event for this one's end.
    end: Option<End>,
    done: bool,
    reported: bool,
}

#[derive(Debug)]
struct End {
    reading: CounterReading,
    summary: SampleSummary,
}

/// The counters to read. The kernel takes a while to produce each file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counters {
    All,
    /// The counters for [`usage::utilization`].
    Utilization,
    /// The counters for [`usage::consumption`].
    Consumption,
}

impl UsageMetrics {
    /// Creates the state without reading anything.
    pub fn new(proc: &Proc, overlapping: bool) -> Self {
        Self {
            overlapping,
            sampler: Sampler::new(proc),
            files: proc.counter_files(),
            open: VecDeque::new(),
            used: false,
        }
    }

    /// Handles a sampling point. Returns the metric points that are known now.
    pub fn observe(&mut self, moment: &SamplingPoint) -> Vec<Point> {
        match moment {
            SamplingPoint::Begun(id) => {
                self.begin(id);
                Vec::new()
            }
            SamplingPoint::Done(id, tags) => points(self.done(id), tags),
            SamplingPoint::Reported(id, tags) => points(self.reported(id), tags),
            SamplingPoint::Ending(tags) => points(self.ending(), tags),
        }
    }

    fn begin(&mut self, id: &AttemptId) {
        let begin = read(&mut self.files, Counters::All);
        if !self.overlapping {
            self.cut_off(&begin);
            self.sampler.reset();
        }
        if self.open.len() == CAPACITY {
            self.open.pop_front();
        }
        self.open.push_back(InvocationUsage { id: id.clone(), begin, end: None, done: false, reported: false });
        self.used = true;
        self.sampler.start();
    }

    /// Ends all open measurements: usage from now on belongs to the next invocation, even if the event for the end of an earlier one arrives late.
    fn cut_off(&mut self, now: &CounterReading) {
        for invocation in self.open.iter_mut().filter(|invocation| invocation.end.is_none()) {
            invocation.end = Some(End { reading: now.clone(), summary: self.sampler.summary() });
        }
    }

    fn done(&mut self, id: &AttemptId) -> Values {
        let Some(invocation) = self.open.iter().find(|invocation| invocation.id == *id) else { return Values::new() };
        let mut values =
            usage::utilization(&invocation.begin, &end_of(invocation, &mut self.files, Counters::Utilization));
        if !self.overlapping {
            // A last sample shows the files and threads that the function leaves behind, even after a short invocation.
            let summary = invocation.end.as_ref().map_or_else(|| self.sampler.finish(), |end| end.summary);
            values.extend(usage::footprint(&summary.peak, summary.limits));
        }
        self.mark(id, |invocation| invocation.done = true);
        values
    }

    fn reported(&mut self, id: &AttemptId) -> Values {
        let Some(invocation) = self.open.iter().find(|invocation| invocation.id == *id) else { return Values::new() };
        let values = usage::consumption(&invocation.begin, &end_of(invocation, &mut self.files, Counters::Consumption));
        self.mark(id, |invocation| invocation.reported = true);
        values
    }

    fn ending(&mut self) -> Values {
        self.sampler.stop();
        if self.overlapping && self.used {
            let summary = self.sampler.summary();
            return usage::footprint(&summary.peak, summary.limits);
        }
        Values::new()
    }

    /// Removes an invocation once both of its ends were handled, and stops the sampler if no invocation is running.
    fn mark(&mut self, id: &AttemptId, note: impl Fn(&mut InvocationUsage)) {
        self.open.iter_mut().filter(|invocation| invocation.id == *id).for_each(note);
        if self.open.iter().all(|invocation| invocation.done || invocation.reported || invocation.end.is_some()) {
            self.sampler.stop();
        }
        self.open.retain(|invocation| !(invocation.done && invocation.reported));
    }

    /// Waits until a sample is due; pending forever if none is scheduled. Cancel-safe.
    pub async fn sample_due(&self) {
        match self.sampler.due() {
            Some(due) => sleep_until(due.into()).await,
            None => std::future::pending().await,
        }
    }

    /// Takes the sample that is due.
    pub fn sample(&mut self) {
        self.sampler.sample();
    }
}

fn end_of<'a>(
    invocation: &'a InvocationUsage,
    files: &mut CounterFiles,
    counters: Counters,
) -> Cow<'a, CounterReading> {
    invocation.end.as_ref().map_or_else(|| Cow::Owned(read(files, counters)), |end| Cow::Borrowed(&end.reading))
}

fn read(files: &mut CounterFiles, counters: Counters) -> CounterReading {
    let uptime = if counters == Counters::Consumption { None } else { files.uptime.read() };
    let devices = if counters == Counters::Utilization { None } else { files.net_dev.read() };
    CounterReading::parse(files.stat.read(), uptime, devices)
}

fn points(values: Values, tags: &Arc<[String]>) -> Vec<Point> {
    let time = clock::epoch_ms();
    values.into_iter().map(|(name, value)| Point { name, value, time, tags: tags.clone() }).collect()
}

#[cfg(test)]
#[path = "usage_metrics_tests.rs"]
mod tests;
