//! Parsers for the kernel's counters. Source: proc(5).

/// Clock ticks per second (`USER_HZ`) in `/proc/stat`. `sysconf(_SC_CLK_TCK)` returns the same on every machine that Lambda has. It is a constant of
/// the interface and independent of the kernel's timer frequency.
const TICKS_PER_SECOND: f64 = 100.0;

/// Maximum limit of open files and threads that the metrics report.
const HIGHEST_LIMIT: u64 = 1024;

/// Names of Lambda's network interfaces: of functions in older and in newer sandboxes, and of managed instances.
const INTERFACES: [&str; 3] = ["vinternal_1", "vint_runtime", "Ceth1"];

/// CPU time since boot, in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub struct Cpu {
    /// Time in user mode.
    pub user_ms: f64,
    /// Time in kernel mode.
    pub system_ms: f64,
    /// Idle time.
    pub idle_ms: f64,
    /// Idle time of each core; never empty.
    pub idle_ms_of_cores: Vec<f64>,
}

impl Cpu {
    /// Parses `/proc/stat`. None if the total line or a core's line lacks a value, or if no core has a line.
    pub fn parse(stat: &str) -> Option<Self> {
        let mut all = None;
        let mut idle_ms_of_cores = Vec::new();
        for line in stat.lines() {
            let mut fields = line.split_ascii_whitespace();
            match fields.next().and_then(|name| name.strip_prefix("cpu")) {
                Some("") => all = Some(Times::parse(fields)?),
                Some(core) if core.bytes().all(|byte| byte.is_ascii_digit()) => {
                    idle_ms_of_cores.push(Times::parse(fields)?.idle);
                }
                _ => {}
            }
        }
        let Times { user: user_ms, system: system_ms, idle: idle_ms } = all?;
        (!idle_ms_of_cores.is_empty()).then_some(Self { user_ms, system_ms, idle_ms, idle_ms_of_cores })
    }
}

/// CPU times of one line, in milliseconds.
struct Times {
    user: f64,
    system: f64,
    idle: f64,
}

impl Times {
    /// The columns are user, nice, system, idle, and others.
    fn parse<'a>(mut fields: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut next = || Some(super::float(fields.next()?.parse().ok()?) * 1000.0 / TICKS_PER_SECOND);
        let (user, nice, system, idle) = (next()?, next()?, next()?, next()?);
        // `nice` is user-mode time of processes with a lower priority.
        Some(Self { user: user + nice, system, idle })
    }
}

/// Milliseconds since boot, from `/proc/uptime`.
pub(super) fn uptime_ms(uptime: &str) -> Option<f64> {
    let seconds: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    seconds.is_finite().then_some(seconds * 1000.0)
}

/// Bytes transferred over Lambda's network interface since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

impl Network {
    /// Parses `/proc/net/dev`: the first of Lambda's interfaces. None if none is present or its line cannot be parsed.
    pub fn parse(devices: &str) -> Option<Self> {
        let columns = devices.lines().find_map(|line| {
            let (name, columns) = line.trim_start().split_once(':')?;
            INTERFACES.iter().any(|interface| name.starts_with(interface)).then_some(columns)
        })?;
        let mut columns = columns.split_ascii_whitespace();
        let received = columns.next()?.parse().ok()?;
        // Eight receive columns precede the send columns.
        let sent = columns.nth(7)?.parse().ok()?;
        Some(Self { received, sent })
    }
}

/// The lowest limits of any process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum number of open files of a process.
    pub files: u64,
    /// Maximum number of threads of a user.
    pub threads: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: HIGHEST_LIMIT, threads: HIGHEST_LIMIT }
    }
}

impl Limits {
    /// Lowers the limits to a process's soft limits in `/proc/<pid>/limits`, where those are numbers.
    pub fn tighten(&mut self, limits: &str) {
        let soft = |name| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|values: &str| values.split_ascii_whitespace().next()?.parse().ok())
        };
        self.files = soft("Max open files").unwrap_or(u64::MAX).min(self.files);
        self.threads = soft("Max processes").unwrap_or(u64::MAX).min(self.threads);
    }
}

impl super::CounterReading {
    /// Parses the texts of `/proc/stat`, `/proc/uptime` and `/proc/net/dev`; None for a file that could not be read.
    pub fn parse(stat: Option<&str>, uptime: Option<&str>, devices: Option<&str>) -> Self {
        Self {
            cpu: stat.and_then(Cpu::parse),
            uptime_ms: uptime.and_then(uptime_ms),
            network: devices.and_then(Network::parse),
        }
    }
}
