//! The kernel's texts as numbers. Source: proc(5).

/// How many of the kernel's ticks make a second. `sysconf(_SC_CLK_TCK)` says the same on every machine that Lambda has: it is a constant of the
/// interface, whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Of how many files and processes a limit is told at most.
const HIGHEST_LIMIT: u64 = 1024;

/// Lambda's network interfaces: of functions in older and in newer sandboxes, and on managed instances.
const INTERFACES: [&str; 3] = ["vinternal_1", "vint_runtime", "Ceth1"];

/// Milliseconds that the cores have spent since the machine's start.
#[derive(Debug, Clone, PartialEq)]
pub struct Cpu {
    /// In programs.
    pub user_ms: f64,
    /// In the kernel.
    pub system_ms: f64,
    /// With nothing to do.
    pub idle_ms: f64,
    /// The same of each core; never empty.
    pub idle_ms_of_cores: Vec<f64>,
}

impl Cpu {
    /// From `/proc/stat`. None if the line of all cores, or that of any one, lacks a value, and if there is no line of any one.
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

/// Milliseconds of one line.
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
        // What a process with a lower priority uses is the user's as well.
        Some(Self { user: user + nice, system, idle })
    }
}

/// Milliseconds that the machine has been up, from `/proc/uptime`.
pub(super) fn uptime_ms(uptime: &str) -> Option<f64> {
    let seconds: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
    seconds.is_finite().then_some(seconds * 1000.0)
}

/// Bytes that have gone over Lambda's network interface since the machine's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// In.
    pub received: u64,
    /// Out.
    pub sent: u64,
}

impl Network {
    /// From `/proc/net/dev`: the first of Lambda's interfaces. None if there is none of them, or its line can't be read.
    pub fn parse(devices: &str) -> Option<Self> {
        let columns = devices.lines().find_map(|line| {
            let (name, columns) = line.trim_start().split_once(':')?;
            INTERFACES.iter().any(|interface| name.starts_with(interface)).then_some(columns)
        })?;
        let mut columns = columns.split_ascii_whitespace();
        let received = columns.next()?.parse().ok()?;
        // Eight columns of what came in stand before those of what went out.
        let sent = columns.nth(7)?.parse().ok()?;
        Some(Self { received, sent })
    }
}

/// The tightest limits of any process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open files of one process.
    pub files: u64,
    /// Threads of one user.
    pub threads: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { files: HIGHEST_LIMIT, threads: HIGHEST_LIMIT }
    }
}

impl Limits {
    /// Takes in a process's `/proc/<pid>/limits`: its soft limits, where they are numbers.
    pub fn tighten(&mut self, limits: &str) {
        let soft = |name| {
            let line = limits.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|values: &str| values.split_ascii_whitespace().next()?.parse().ok())
        };
        self.files = soft("Max open files").unwrap_or(u64::MAX).min(self.files);
        self.threads = soft("Max processes").unwrap_or(u64::MAX).min(self.threads);
    }
}

impl super::Reading {
    /// From the texts of `/proc/stat`, `/proc/uptime` and `/proc/net/dev`; None where one could not be read.
    pub fn parse(stat: Option<&str>, uptime: Option<&str>, devices: Option<&str>) -> Self {
        Self {
            cpu: stat.and_then(Cpu::parse),
            uptime_ms: uptime.and_then(uptime_ms),
            network: devices.and_then(Network::parse),
        }
    }
}
