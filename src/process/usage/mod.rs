//! Resource usage of the function: the difference between two readings of the kernel's counters, and the peak over samples.
//!
//! The counters are those of the whole machine. On Lambda only the function and its extensions run there.

mod counters;

pub use counters::{Cpu, Limits, Network};

use super::metric;

/// Metric names and values.
pub type Values = Vec<(&'static str, f64)>;

/// The kernel's counters at one time. A field is None if its file could not be parsed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CounterReading {
    /// CPU time since boot.
    pub cpu: Option<Cpu>,
    /// Milliseconds since boot.
    pub uptime_ms: Option<f64>,
    /// Network traffic since boot.
    pub network: Option<Network>,
}

/// Peak values over samples; the fields need not peak at the same time. None if nothing could be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peak {
    /// Open files of all processes.
    pub files: Option<u64>,
    /// Threads of all processes.
    pub threads: Option<u64>,
    /// Usage of `/tmp`.
    pub tmp: Option<DiskUsage>,
}

/// Size and usage of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsage {
    /// Total size in bytes.
    pub size: u64,
    /// Used bytes.
    pub used: u64,
}

impl Peak {
    /// Raises each field to the greater value.
    pub fn raise(&mut self, seen: Self) {
        self.files = self.files.max(seen.files);
        self.threads = self.threads.max(seen.threads);
        let used = |space: Option<DiskUsage>| space.map(|space| space.used);
        if used(seen.tmp) > used(self.tmp) {
            self.tmp = seen.tmp;
        }
    }
}

/// CPU utilization between two readings; empty if it cannot be computed. The kernel counts in hundredths of a second, so a shorter interval has no
/// utilization.
pub fn utilization(from: &CounterReading, to: &CounterReading) -> Values {
    busy(from, to).unwrap_or_default()
}

fn busy(from: &CounterReading, to: &CounterReading) -> Option<Values> {
    let elapsed = to.uptime_ms? - from.uptime_ms?;
    let (from, to) = (from.cpu.as_ref()?, to.cpu.as_ref()?);
    if elapsed <= 0.0 || from.idle_ms_of_cores.len() != to.idle_ms_of_cores.len() {
        return None;
    }
    let idle = || from.idle_ms_of_cores.iter().zip(&to.idle_ms_of_cores).map(|(from, to)| (to - from).max(0.0));
    let percent = |idle: f64| ((elapsed - idle) / elapsed * 100.0).max(0.0);
    let cores = float(u64::try_from(to.idle_ms_of_cores.len()).ok()?);
    let available = elapsed * cores;
    let share = ((available - (to.idle_ms - from.idle_ms)) / available).max(0.0);
    Some(vec![
        (metric::CPU_TOTAL_UTILIZATION_PCT, share * 100.0),
        (metric::CPU_TOTAL_UTILIZATION, share * cores),
        (metric::CPU_MAX_UTILIZATION, percent(idle().reduce(f64::min)?)),
        (metric::CPU_MIN_UTILIZATION, percent(idle().reduce(f64::max)?)),
        (metric::NUM_CORES, cores),
    ])
}

/// Network traffic and CPU time between two readings.
pub fn consumption(from: &CounterReading, to: &CounterReading) -> Values {
    let mut values = Values::new();
    if let (Some(from), Some(to)) = (from.network, to.network) {
        let (received, sent) = (difference(from.received, to.received), difference(from.sent, to.sent));
        values.extend([
            (metric::RX_BYTES, received),
            (metric::TX_BYTES, sent),
            (metric::TOTAL_NETWORK, received + sent),
        ]);
    }
    if let (Some(from), Some(to)) = (&from.cpu, &to.cpu) {
        let (user, system) = ((to.user_ms - from.user_ms).max(0.0), (to.system_ms - from.system_ms).max(0.0));
        values.extend([
            (metric::CPU_USER_TIME, user),
            (metric::CPU_SYSTEM_TIME, system),
            (metric::CPU_TOTAL_TIME, user + system),
        ]);
    }
    values
}

/// Peak usage with its limits. A value that was not read or is zero is omitted.
pub fn footprint(peak: &Peak, limits: Limits) -> Values {
    let mut values = vec![(metric::FD_MAX, float(limits.files)), (metric::THREADS_MAX, float(limits.threads))];
    let some = |value: Option<u64>| value.filter(|value| *value > 0);
    values.extend(some(peak.files).map(|files| (metric::FD_USE, float(files))));
    values.extend(some(peak.threads).map(|threads| (metric::THREADS_USE, float(threads))));
    if let Some(tmp) = peak.tmp.filter(|tmp| tmp.used > 0) {
        values.extend([
            (metric::TMP_MAX, float(tmp.size)),
            (metric::TMP_USED, float(tmp.used)),
            (metric::TMP_FREE, difference(tmp.used, tmp.size)),
        ]);
    }
    values
}

/// The difference of two counter values; zero if the counter was reset.
fn difference(from: u64, to: u64) -> f64 {
    float(to.saturating_sub(from))
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 a byte more or less shows in no metric")]
fn float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
