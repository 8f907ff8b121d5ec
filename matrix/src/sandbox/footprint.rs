//! The resource usage of a process, as the kernel counts it.

use std::fs;
use std::time::Duration;

use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// The resource usage of a process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Minor page faults since exec: pages that were mapped on first touch, without reading from disk.
    pub minor_faults: u64,
    /// Major page faults since exec: pages that were read from disk.
    pub major_faults: u64,
    /// Peak resident memory in KiB.
    pub resident_peak_kib: u64,
    /// Number of live threads.
    pub threads: u64,
    /// CPU time since exec.
    pub cpu: Duration,
}

/// The usage of a process before its exec, which is subtracted from later values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BaselineUsage {
    pub cpu: Duration,
    pub minor_faults: u64,
}

impl Footprint {
    /// Reads two files of `/proc` and a clock, which takes some ten microseconds; `None` if the process is gone.
    pub(crate) fn of(process: Pid, baseline_usage: BaselineUsage) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        // The process name is in parentheses and may contain blanks and parentheses. The first field after it is the state, the third of the file.
        let after_name = stat.rsplit_once(')')?.1;
        let field = |number: usize| after_name.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(Self {
            minor_faults: field(10)?.saturating_sub(baseline_usage.minor_faults),
            major_faults: field(12)?,
            resident_peak_kib: peak.trim().trim_end_matches(" kB").parse().ok()?,
            threads: field(20)?,
            cpu: cpu_time(process, baseline_usage)?,
        })
    }
}

/// Whether every thread of a process is stopped; false if the process is gone.
pub(crate) fn stands_still(process: Pid) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return false };
    let stopped = |stat: &str| {
        // A thread that has just ended may still be listed.
        let state = stat.rsplit_once(')').and_then(|(_, after)| after.trim_start().chars().next());
        matches!(state, Some('T' | 'X' | 'Z'))
    };
    let mut stats = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    stats.next().is_some_and(|first| stopped(&first) && stats.all(|other| stopped(&other)))
}

/// The CPU time of a process since exec, including threads that have ended. Also available for a zombie, until it is waited for.
pub(crate) fn cpu_time(process: Pid, baseline_usage: BaselineUsage) -> Option<Duration> {
    let used = clock_gettime(clock_getcpuclockid(process).ok()?).ok()?;
    Some(Duration::from(used).saturating_sub(baseline_usage.cpu))
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn memory_that_is_touched_shows_in_faults_and_in_the_peak() {
        let before = Footprint::of(nix::unistd::getpid(), BaselineUsage::default()).unwrap();
        let touched = black_box(vec![1_u8; 64 << 20]);
        let after = Footprint::of(nix::unistd::getpid(), BaselineUsage::default()).unwrap();
        assert!(after.minor_faults > before.minor_faults);
        assert!(after.resident_peak_kib >= 64 << 10);
        assert!(after.threads >= 1 && touched.len() == 64 << 20);
        let baseline_usage = BaselineUsage { minor_faults: before.minor_faults, ..BaselineUsage::default() };
        let since = Footprint::of(nix::unistd::getpid(), baseline_usage).unwrap();
        assert!(since.minor_faults < after.minor_faults);
    }

    #[test]
    fn cpu_time_is_measured_for_work_and_missing_without_processes() {
        let before = cpu_time(nix::unistd::getpid(), BaselineUsage::default()).unwrap();
        while cpu_time(nix::unistd::getpid(), BaselineUsage::default()).unwrap() < before + Duration::from_millis(5) {
            black_box(before);
        }
        let baseline_usage = BaselineUsage { cpu: before, ..BaselineUsage::default() };
        assert!(cpu_time(nix::unistd::getpid(), baseline_usage).unwrap() >= Duration::from_millis(5));
        assert_eq!(cpu_time(Pid::from_raw(i32::MAX >> 4), BaselineUsage::default()), None);
    }
}
