//! The texts of `/proc` with the figures of an environment: its memory, its processors, and the time that its processes have used them.
//!
//! Source: proc(5).

use std::fmt::Write as _;
use std::time::Duration;

/// The length of a clock tick (`USER_HZ`) in which the kernel counts CPU time.
const TICK: Duration = Duration::from_millis(10);

/// Ticks of CPU time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CpuTicks {
    pub user: u64,
    pub system: u64,
}

/// What one processor has done so far.
#[derive(Clone, Copy, Debug, Default)]
struct Processor {
    user: Duration,
    system: Duration,
    idle: Duration,
}

/// The CPU time of an environment. It passes only while the environment is not frozen.
#[derive(Debug)]
pub(crate) struct CpuTimes {
    processors: Vec<Processor>,
    /// What the processes had used at the last reading.
    last: CpuTicks,
    /// What they have used of time that has not passed yet, because the kernel counts in whole ticks.
    ahead: Processor,
    passed: Duration,
}

impl CpuTimes {
    pub(crate) fn new(processors: usize) -> Self {
        let processors = vec![Processor::default(); processors.max(1)];
        Self { processors, last: CpuTicks::default(), ahead: Processor::default(), passed: Duration::ZERO }
    }

    /// Counts the time since the last reading. `used` is what the present processes have used since their start: it falls when one of them ends.
    ///
    /// Which processor a process was on is not recorded: the first one gets as much as it can have done.
    pub(crate) fn advance(&mut self, elapsed: Duration, used: CpuTicks) {
        let time = |now: u64, last: u64| TICK * u32::try_from(now.saturating_sub(last)).unwrap_or(u32::MAX);
        self.ahead.user += time(used.user, self.last.user);
        self.ahead.system += time(used.system, self.last.system);
        self.last = used;
        self.passed += elapsed;
        for processor in &mut self.processors {
            let system = self.ahead.system.min(elapsed);
            let remaining = elapsed.saturating_sub(system);
            let user = self.ahead.user.min(remaining);
            self.ahead.system -= system;
            self.ahead.user -= user;
            processor.system += system;
            processor.user += user;
            processor.idle += remaining.saturating_sub(user);
        }
    }

    /// The text of `/proc/stat`, of which nothing becomes shorter. `boot` is the machine's time of boot, from which start times of processes count.
    pub(crate) fn stat(&self, boot: &str) -> String {
        let ticks = |time: Duration| time.as_nanos() / TICK.as_nanos();
        let line = |name: &str, of: &Processor| {
            format!("{name} {} 0 {} {} 0 0 0 0 0 0\n", ticks(of.user), ticks(of.system), ticks(of.idle))
        };
        let all = self.processors.iter().fold(Processor::default(), |sum, one| Processor {
            user: sum.user + one.user,
            system: sum.system + one.system,
            idle: sum.idle + one.idle,
        });
        let each = self.processors.iter().enumerate().map(|(index, one)| line(&format!("cpu{index}"), one));
        let rest = format!("intr 0\nctxt 0\nbtime {boot}\nprocesses 1\nprocs_running 1\nprocs_blocked 0\nsoftirq 0\n");
        line("cpu ", &all) + &each.collect::<String>() + &rest
    }

    /// The text of `/proc/uptime`; `before` is the machine's when the environment began.
    pub(crate) fn uptime(&self, before: Duration) -> String {
        let idle: Duration = self.processors.iter().map(|one| one.idle).sum();
        format!("{:.2} {:.2}\n", (before + self.passed).as_secs_f64(), idle.as_secs_f64())
    }
}

/// The text of `/proc/meminfo`, always of the same length: the machine's fields, with the memory of a function and what its processes use of it.
pub(crate) fn meminfo(machine: &str, memory_mb: u32, used_kb: u64) -> String {
    let total_kb = u64::from(memory_mb) * 1024;
    let used_kb = used_kb.min(total_kb);
    let mut text = String::new();
    for line in machine.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = match name {
            "MemTotal" | "CommitLimit" => total_kb,
            "MemFree" | "MemAvailable" => total_kb - used_kb,
            "Active" | "Active(anon)" | "AnonPages" | "Committed_AS" => used_kb,
            "VmallocTotal" | "Hugepagesize" => value.trim().trim_end_matches(" kB").parse().unwrap_or_default(),
            _ => 0,
        };
        let unit = if value_has_unit(line) { " kB" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<16}{value:>11}{unit}", format!("{name}:"));
    }
    text
}

fn value_has_unit(line: &str) -> bool {
    line.ends_with(" kB")
}

/// The text of `/proc/cpuinfo` of the first processors.
pub(crate) fn cpuinfo(machine: &str, processors: usize) -> String {
    machine.split_inclusive("\n\n").take(processors).collect()
}

/// The numbers of the first processors as in `/sys/devices/system/cpu/online`.
pub(crate) fn cpu_list(processors: usize) -> String {
    match processors {
        0 | 1 => "0\n".to_owned(),
        more => format!("0-{}\n", more - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(user: u64, system: u64) -> CpuTicks {
        CpuTicks { user, system }
    }

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn what_is_not_used_of_the_time_is_idle() {
        let mut times = CpuTimes::new(2);
        times.advance(milliseconds(100), ticks(12, 2));
        let stat = times.stat("1700000000");
        let lines: Vec<&str> = stat.lines().take(4).collect();
        let expected = ["cpu  12 0 2 6 0 0 0 0 0 0", "cpu0 8 0 2 0 0 0 0 0 0 0", "cpu1 4 0 0 6 0 0 0 0 0 0", "intr 0"];
        assert_eq!(lines, expected);
        assert!(stat.contains("\nbtime 1700000000\n"));
        assert_eq!(times.uptime(milliseconds(5000)), "5.10 0.06\n");
    }

    #[test]
    fn cpu_counters_are_monotonic() {
        let mut times = CpuTimes::new(1);
        times.advance(milliseconds(4), ticks(1, 0));
        times.advance(milliseconds(6), ticks(1, 0));
        assert!(times.stat("0").starts_with("cpu  1 0 0 0 "), "{}", times.stat("0"));
        times.advance(milliseconds(20), ticks(0, 0));
        times.advance(milliseconds(20), ticks(1, 0));
        assert!(times.stat("0").starts_with("cpu  2 0 0 3 "), "{}", times.stat("0"));
    }

    #[test]
    fn memory_is_that_of_the_function_in_a_text_that_keeps_its_length() {
        let machine = "MemTotal:       24684084 kB\nMemFree:          360392 kB\nMemAvailable:   16986232 kB\nCached:         16110660 kB\n\
            HugePages_Total:       0\nHugepagesize:       2048 kB\n";
        let text = meminfo(machine, 128, 1000);
        let expected = "MemTotal:            131072 kB\nMemFree:             130072 kB\nMemAvailable:        130072 kB\nCached:                   0 kB\n\
            HugePages_Total:          0\nHugepagesize:          2048 kB\n";
        assert_eq!(text, expected);
        let full = meminfo(machine, 128, u64::MAX);
        assert!(full.len() == text.len() && full.contains("MemFree:                  0 kB"), "{full}");
    }

    #[test]
    fn processors_are_the_first_ones() {
        assert_eq!(
            cpuinfo("processor: 0\nx: y\n\nprocessor: 1\n\nprocessor: 2\n\n", 2),
            "processor: 0\nx: y\n\nprocessor: 1\n\n"
        );
        assert_eq!([cpu_list(1), cpu_list(6)], ["0\n", "0-5\n"]);
    }
}
