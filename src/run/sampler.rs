//! Samples resource usage while the function runs: open files, threads and space of `/tmp`.
//!
//! The engine's loop takes the samples between its other work, on its own thread. A sample takes a few dozen microseconds, and at most about 2 ms of
//! CPU time. The last sample of an invocation is taken at its end. It is also the baseline of the next invocation, because the sandbox is frozen in
//! between. A timer takes the other samples; its pause doubles while nothing changes. A pause continues in the next invocation, so many short
//! invocations have together as many timed samples as a long one.

use std::time::{Duration, Instant};

use crate::{
    os::{clock::thread_time, proc::Proc, processes::Processes, tmp},
    process::usage::{DiskUsage, Limits, Peak},
};

/// Pause after a sample that differs from the one before; the same as in Datadog's own extension.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// Maximum pause while nothing changes. Each pause is twice as long as the one before.
const LONGEST_UNCHANGED: Duration = Duration::from_millis(100);
/// Minimum ratio of the pause to the CPU time of the sample before it, so that samples are rarer with many processes.
const SHARE: u32 = 50;
/// CPU time for counting processes in a sample, and as much again for reading limits.
const BUDGET: Duration = Duration::from_millis(1);
/// Maximum CPU time of a sample that may be repeated at the end of an invocation, where Lambda waits for the extension.
const SLOW: Duration = Duration::from_millis(2);
/// Time for which limits are cached. A process hardly ever changes its own.
const LIMITS_VALID: Duration = Duration::from_secs(1);

/// Peaks and limits since the last reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleSummary {
    pub peak: Peak,
    pub limits: Limits,
}

/// Takes samples and keeps their peaks.
#[derive(Debug)]
pub struct Sampler {
    processes: Processes,
    /// When the next sample is due; None if sampling is stopped.
    due: Option<Instant>,
    /// The current pause.
    pause: Duration,
    /// The remainder of the pause when sampling stopped.
    left: Duration,
    /// The last sample, before or after a reset.
    latest: Option<Peak>,
    /// CPU time of the last sample.
    took: Duration,
    summary: Option<SampleSummary>,
    limits: Option<KnownLimits>,
}

#[derive(Debug, Clone, Copy)]
struct KnownLimits {
    limits: Limits,
    read: Instant,
}

impl Sampler {
    /// Creates a sampler without samples.
    pub fn new(proc: &Proc) -> Self {
        Self {
            processes: proc.open_processes(),
            due: None,
            pause: Duration::ZERO,
            left: Duration::ZERO,
            latest: None,
            took: Duration::ZERO,
            summary: None,
            limits: None,
        }
    }

    /// Schedules the next sample for the end of the last pause, and takes one now if there was none yet. Does nothing if one is already scheduled.
    pub fn start(&mut self) {
        if self.due.is_none() {
            self.resume(Instant::now());
            if self.latest.is_none() {
                self.sample();
            }
        }
    }

    /// Schedules the next sample for the end of the last pause.
    fn resume(&mut self, now: Instant) {
        self.due = Some(now + self.left);
    }

    /// Cancels the scheduled sample. The peaks are kept.
    pub fn stop(&mut self) {
        if let Some(due) = self.due.take() {
            self.left = due.saturating_duration_since(Instant::now());
        }
    }

    /// Stops sampling and clears the peaks.
    pub fn reset(&mut self) {
        self.stop();
        self.summary = None;
    }

    /// When the next sample is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes a sample now, due or not.
    pub fn sample(&mut self) {
        let began = thread_time();
        let totals = self.processes.count(BUDGET);
        let now = Peak {
            files: totals.and_then(|totals| totals.files),
            threads: totals.and_then(|totals| totals.threads),
            tmp: tmp::space().map(|tmp::FileSystem { size, used }| DiskUsage { size, used }),
        };
        let limits = self.summary.map_or_else(|| self.limits(Instant::now()), |summary| summary.limits);
        self.note(now, limits, Instant::now(), thread_time().saturating_sub(began));
    }

    /// Takes the last sample of an invocation, unless samples are slow; then the earlier samples are used. Returns the peaks.
    pub fn finish(&mut self) -> SampleSummary {
        if self.took <= SLOW {
            self.sample();
        }
        self.summary()
    }

    /// Records a sample. Schedules the next one after a change or a timed sample. An extra sample without a change, at the start or end of an
    /// invocation, leaves the pause as it is.
    fn note(&mut self, now: Peak, limits: Limits, ended: Instant, took: Duration) {
        let mut peak = self.summary.map_or_else(|| self.latest.unwrap_or_default(), |summary| summary.peak);
        peak.raise(now);
        self.summary = Some(SampleSummary { peak, limits });
        let changed = self.latest.replace(now) != Some(now);
        self.took = took;
        let is_timed = self.due.is_some_and(|due| due <= ended);
        if changed || is_timed {
            self.pause = pause_after(self.pause, changed, took);
            self.due = self.due.map(|_| ended + self.pause);
        } else {
            self.due = self.due.map(|due| due.max(ended + took.saturating_mul(SHARE)));
        }
    }

    /// The peaks since the last reset. Takes a sample if there was none.
    pub fn summary(&mut self) -> SampleSummary {
        if self.summary.is_none() {
            self.sample();
        }
        self.summary.unwrap_or_default()
    }

    /// The limits at the first sample after a reset. A process that changes its limits does so before the function runs.
    fn limits(&mut self, now: Instant) -> Limits {
        if let Some(known) = self.limits
            && now.saturating_duration_since(known.read) < LIMITS_VALID
        {
            return known.limits;
        }
        let mut limits = Limits::default();
        self.processes.each_limits(BUDGET, |text| limits.tighten(text));
        self.limits = Some(KnownLimits { limits, read: now });
        limits
    }
}

/// The pause after a sample with this CPU time.
fn pause_after(previous: Duration, changed: bool, took: Duration) -> Duration {
    let pause = if changed { SHORTEST_PAUSE } else { (previous * 2).clamp(SHORTEST_PAUSE, LONGEST_UNCHANGED) };
    pause.max(took.saturating_mul(SHARE))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::os::allocator::counting::allocations;

    /// A machine with one process and its open files.
    struct Machine {
        directory: tempfile::TempDir,
    }

    impl Machine {
        fn new(files: &[&str]) -> Self {
            let directory = tempfile::tempdir().unwrap();
            fs::create_dir_all(directory.path().join("7/task/7")).unwrap();
            fs::create_dir_all(directory.path().join("7/fd")).unwrap();
            let machine = Self { directory };
            for file in files {
                machine.open(file);
            }
            machine.limit_files(900);
            machine
        }

        fn open(&self, file: &str) {
            fs::write(self.directory.path().join("7/fd").join(file), "").unwrap();
        }

        fn close(&self, file: &str) {
            fs::remove_file(self.directory.path().join("7/fd").join(file)).unwrap();
        }

        fn limit_files(&self, most: u64) {
            let text = format!("Max open files            {most}                 1024                 files\n");
            fs::write(self.directory.path().join("7/limits"), text).unwrap();
        }

        fn sampler(&self) -> Sampler {
            Sampler::new(&Proc::at(self.directory.path()))
        }
    }

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_sample_allocates_nothing() {
        let mut sampler = Sampler::new(&Proc::default());
        sampler.start();
        // The lists grow during the first samples, and other processes may start in between.
        let counts = (0..20).map(|_| allocations(|| sampler.sample()));
        let counts: Vec<_> = counts.collect();
        assert!(counts.iter().rev().take(10).any(|count| *count == 0), "{counts:?}");
    }

    #[test]
    fn peaks_are_kept_until_a_reset() {
        let machine = Machine::new(&["0"]);
        let mut sampler = machine.sampler();
        sampler.start();
        sampler.sample();
        machine.open("1");
        sampler.sample();
        machine.close("1");
        sampler.sample();
        sampler.stop();
        let summary = sampler.summary();
        assert_eq!((summary.peak.files, summary.peak.threads), (Some(2), Some(1)));
        assert_eq!(summary.limits, Limits { files: 900, ..Limits::default() });
        assert!(summary.peak.tmp.is_some());
        sampler.reset();
        assert_eq!(sampler.summary().peak.files, Some(1), "sampled once more, because there was no sample");
    }

    #[test]
    fn samples_are_due_from_start_to_stop() {
        let machine = Machine::new(&["0"]);
        let mut sampler = machine.sampler();
        assert_eq!(sampler.due(), None);
        sampler.sample();
        assert_eq!(sampler.due(), None, "a sample out of turn makes none due");
        let mut sampler = machine.sampler();
        let began = Instant::now();
        sampler.start();
        assert_eq!(sampler.summary.unwrap().peak.files, Some(1), "the first start takes a sample");
        let due = sampler.due().unwrap();
        assert!(due >= began + SHORTEST_PAUSE);
        sampler.start();
        assert_eq!(sampler.due(), Some(due), "a second start changes nothing");
        sampler.stop();
        assert_eq!(sampler.due(), None);
        sampler.start();
        sampler.reset();
        assert_eq!((sampler.due(), sampler.summary), (None, None));
    }

    #[test]
    fn pause_continues_after_a_stop() {
        let machine = Machine::new(&["0"]);
        let mut sampler = machine.sampler();
        sampler.sample();
        let hour = Duration::from_hours(1);
        sampler.due = Some(Instant::now() + hour);
        sampler.stop();
        sampler.reset();
        assert_eq!(sampler.due(), None);
        let now = Instant::now();
        sampler.resume(now);
        let left = sampler.due().unwrap() - now;
        assert!(left > hour / 2 && left <= hour, "{left:?}");
    }

    #[test]
    fn peak_of_an_invocation_starts_from_the_last_sample_before_it() {
        let machine = Machine::new(&["0", "1"]);
        let mut sampler = machine.sampler();
        sampler.sample();
        sampler.reset();
        sampler.start();
        machine.close("1");
        assert_eq!(sampler.finish().peak.files, Some(2), "it was open when the invocation began");
        sampler.reset();
        sampler.start();
        assert_eq!(sampler.finish().peak.files, Some(1));
    }

    #[test]
    fn only_a_change_moves_a_sample_that_is_not_due() {
        let mut sampler = Machine::new(&[]).sampler();
        let began = Instant::now();
        let later = began + milliseconds(70);
        sampler.due = Some(later);
        sampler.pause = milliseconds(80);
        sampler.latest = Some(Peak::default());
        sampler.note(Peak::default(), Limits::default(), began, Duration::ZERO);
        assert_eq!((sampler.due(), sampler.pause), (Some(later), milliseconds(80)));
        sampler.note(Peak::default(), Limits::default(), began, milliseconds(2));
        assert_eq!(sampler.due(), Some(began + milliseconds(100)), "not before its share of the time allows");
        let changed = Peak { files: Some(1), ..Peak::default() };
        sampler.note(changed, Limits::default(), began, Duration::ZERO);
        assert_eq!((sampler.due(), sampler.pause), (Some(began + SHORTEST_PAUSE), SHORTEST_PAUSE));
    }

    #[test]
    fn the_last_sample_of_an_invocation_is_left_out_where_samples_are_slow() {
        for (took, expected) in [(SLOW, 2), (SLOW + Duration::from_nanos(1), 1)] {
            let machine = Machine::new(&["0"]);
            let mut sampler = machine.sampler();
            sampler.sample();
            machine.open("1");
            sampler.took = took;
            assert_eq!(sampler.finish().peak.files, Some(expected), "{took:?}");
        }
        let machine = Machine::new(&["0"]);
        let mut sampler = machine.sampler();
        sampler.took = SLOW * 2;
        assert_eq!(sampler.finish().peak.files, Some(1), "without any sample one is taken");
    }

    #[test]
    fn samples_become_rarer_until_one_shows_a_change() {
        let machine = Machine::new(&[]);
        let mut sampler = machine.sampler();
        let began = Instant::now();
        let mut due_after = |files, used| {
            let tmp = Some(DiskUsage { size: 1000, used });
            sampler.due = Some(began);
            sampler.note(Peak { files: Some(files), threads: None, tmp }, Limits::default(), began, Duration::ZERO);
            sampler.due().unwrap() - began
        };
        let dues = [(1, 0), (1, 0), (1, 0), (2, 0), (2, 0), (2, 8), (2, 8), (2, 7)]
            .map(|(files, used)| due_after(files, used));
        assert_eq!(dues, [10, 20, 40, 10, 20, 10, 20, 10].map(milliseconds));
    }

    #[test]
    fn pauses_double_while_nothing_changes() {
        let mut pause = Duration::ZERO;
        let pauses = [false; 6].map(|changed| {
            pause = pause_after(pause, changed, Duration::ZERO);
            pause
        });
        assert_eq!(pauses, [10, 20, 40, 80, 100, 100].map(milliseconds));
        assert_eq!(pause_after(pause, true, Duration::ZERO), SHORTEST_PAUSE);
    }

    #[test]
    fn pauses_are_longer_where_samples_take_long() {
        assert_eq!(pause_after(Duration::ZERO, true, milliseconds(1)), milliseconds(50));
        assert_eq!(pause_after(Duration::ZERO, true, milliseconds(20)), milliseconds(1000));
        assert_eq!(pause_after(Duration::ZERO, false, milliseconds(20)), milliseconds(1000));
    }

    #[test]
    fn a_sample_counts_files_and_threads() {
        let machine = Machine::new(&["0"]);
        let mut sampler = machine.sampler();
        sampler.sample();
        let latest = |sampler: &Sampler| sampler.latest.map(|latest| (latest.files, latest.threads));
        assert_eq!(latest(&sampler), Some((Some(1), Some(1))));
        machine.open("1");
        fs::create_dir_all(machine.directory.path().join("7/task/8")).unwrap();
        sampler.sample();
        assert_eq!(latest(&sampler), Some((Some(2), Some(2))));
    }

    #[test]
    fn limits_are_read_again_after_their_time() {
        let machine = Machine::new(&["0"]);
        let mut sampler = machine.sampler();
        let read = Instant::now();
        assert_eq!(sampler.limits(read).files, 900);
        machine.limit_files(800);
        assert_eq!(sampler.limits(read + LIMITS_VALID / 2).files, 900, "known");
        assert_eq!(sampler.limits(read + LIMITS_VALID).files, 800);
    }
}
