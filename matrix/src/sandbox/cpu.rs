//! The CPU limits of a sandbox's memory tier, enforced with a control group.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use nix::fcntl::{OFlag, open};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};

/// Prefix of the names of the sandboxes' control groups; the id of the process that made the group follows.
const PREFIX: &str = "matrix-";
/// Number of attempts to remove a group: the kernel releases its last process shortly after it was waited for.
const REMOVALS: u32 = 50;
/// Configured memory in MB that buys one whole CPU ("Configure Lambda function memory").
const CPU_MB: u64 = 1769;

/// The CPU bandwidth period, after which a quota is refilled. The kernel's default is 100 ms, but then the smallest tier has 7 ms in one piece, and most starts
/// would be over before they were throttled. Public measurements from within functions see pauses of about 20 ms.
pub const PERIOD: Duration = Duration::from_millis(20);

/// The CPU time of a memory tier in each [`PERIOD`], at least the kernel's minimum of 1 ms.
pub fn quota(memory_mb: u32) -> Duration {
    let period = u64::try_from(PERIOD.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros((u64::from(memory_mb) * period / CPU_MB).max(1000))
}

/// The number of CPUs that a function of this memory sees on Lambda, from public measurements of every tier.
pub fn visible_cpus(memory_mb: u32) -> usize {
    match memory_mb {
        0..=3008 => 2,
        3009..=5307 => 3,
        5308..=7076 => 4,
        7077..=8845 => 5,
        _ => 6,
    }
}

/// The number of CPUs that a process of this memory tier sees here: at most those that this machine gives to the calling thread.
pub(crate) fn usable(memory_mb: u32) -> usize {
    let own = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    visible_cpus(memory_mb).min(own)
}

/// The CPU limits that a process enters before its exec.
#[derive(Clone, Debug)]
pub(crate) struct CgroupEntry {
    processes: Option<Arc<OwnedFd>>,
    visible: CpuSet,
}

impl CgroupEntry {
    /// The limits of a memory tier. The process sees the tier's number of CPUs, at most those of this machine.
    pub(crate) fn new(memory_mb: u32, group: Option<&Group>) -> io::Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0))?;
        let mut visible = CpuSet::new();
        let usable = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false));
        for cpu in usable.take(visible_cpus(memory_mb)) {
            visible.set(cpu)?;
        }
        Ok(Self { processes: group.map(|group| Arc::clone(&group.processes)), visible })
    }

    /// Applies the limits to the calling process. It makes two system calls and is safe between fork and exec.
    pub(crate) fn enter(&self) -> nix::Result<()> {
        if let Some(processes) = &self.processes {
            // Zero means the writing process.
            nix::unistd::write(processes, b"0")?;
        }
        sched_setaffinity(Pid::from_raw(0), &self.visible)
    }
}

/// The version of the control groups that can limit CPU time here, 1 or 2; `None` if there are none.
pub fn control_groups() -> Option<u8> {
    let mounted = Path::new("/sys/fs/cgroup");
    match Version::of(mounted) {
        Version::Two => Some(2),
        Version::One => Version::One.root(mounted).is_dir().then_some(1),
    }
}

/// A control group with a CPU quota. Dropping it removes it; its processes must have ended by then.
#[derive(Debug)]
pub(crate) struct Group {
    /// A descriptor of the parent directory, because the sandbox hides all control groups from itself.
    parent: File,
    name: String,
    processes: Arc<OwnedFd>,
    limit: OwnedFd,
    /// The value that [`Group::throttle`] writes to `limit`.
    quota: String,
}

/// Why no control group could be made.
#[derive(Debug, thiserror::Error)]
#[error("no control group with a CPU quota can be made below {}", tried.display())]
pub(crate) struct CpuControlError {
    tried: PathBuf,
    source: io::Error,
}

impl CpuControlError {
    /// The reason with the system's error.
    pub(crate) fn reason(&self) -> String {
        format!("{self}: {}", self.source)
    }
}

impl Group {
    /// Makes a group for a memory tier. Its quota is not in force yet.
    pub(crate) fn make(memory_mb: u32) -> Result<Self, CpuControlError> {
        Self::make_below(
            Path::new("/sys/fs/cgroup"),
            &fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
            memory_mb,
        )
    }

    /// Makes the group below `mounted`, the mount point of control groups. `own` is the content of `/proc/self/cgroup`.
    fn make_below(mounted: &Path, own: &str, memory_mb: u32) -> Result<Self, CpuControlError> {
        let version = Version::of(mounted);
        let root = version.root(mounted);
        let path = version.path(own);
        let mut refused = CpuControlError { tried: root.clone(), source: io::ErrorKind::NotFound.into() };
        // In a container, the path may be that on the host, and only the root is found.
        let ancestors = Path::new(path.trim_start_matches('/')).ancestors();
        for parent in ancestors.map(|ancestor| root.join(ancestor)).filter(|parent| parent.is_dir()) {
            match Self::make_in(&parent, version, memory_mb) {
                Ok(group) => return Ok(group),
                Err(source) => refused = CpuControlError { tried: parent, source },
            }
        }
        Err(refused)
    }

    fn make_in(parent: &Path, version: Version, memory_mb: u32) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep(parent);
        if version == Version::Two {
            // The controller may be off. It can be turned on only in a group without processes of its own.
            let _ = fs::write(parent.join("cgroup.subtree_control"), "+cpu");
        }
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = parent.join(&name);
        fs::create_dir(&directory)?;
        Self::in_force(parent, version, memory_mb, name).inspect_err(|_| drop(fs::remove_dir(&directory)))
    }

    fn in_force(parent: &Path, version: Version, memory_mb: u32, name: String) -> io::Result<Self> {
        let directory = parent.join(&name);
        let (period, quota) = (PERIOD.as_micros(), quota(memory_mb).as_micros());
        let writable = |file: &str| open(&directory.join(file), OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty());
        let (limit, quota) = match version {
            Version::One => {
                let file = writable("cpu.cfs_period_us")?;
                nix::unistd::write(&file, period.to_string().as_bytes())?;
                ("cpu.cfs_quota_us", quota.to_string())
            }
            Version::Two => ("cpu.max", format!("{quota} {period}")),
        };
        let (processes, limit) = (Arc::new(writable("cgroup.procs")?), writable(limit)?);
        Ok(Self { parent: File::open(parent)?, name, processes, limit, quota })
    }

    /// Puts the quota into force.
    pub(crate) fn throttle(&self) -> io::Result<()> {
        nix::unistd::write(&self.limit, self.quota.as_bytes())?;
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for _ in 0..REMOVALS {
            match unlinkat(&self.parent, self.name.as_str(), UnlinkatFlags::RemoveDir) {
                Err(nix::errno::Errno::EBUSY) => std::thread::sleep(Duration::from_millis(1)),
                _ => return,
            }
        }
    }
}

/// The two versions of the kernel's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// The version that controls CPUs. A machine may have both mounted, with the controllers in version 1.
    fn of(mounted: &Path) -> Self {
        let controllers = fs::read_to_string(mounted.join("cgroup.controllers")).unwrap_or_default();
        if controllers.split_whitespace().any(|controller| controller == "cpu") { Self::Two } else { Self::One }
    }

    fn root(self, mounted: &Path) -> PathBuf {
        match self {
            Self::One => mounted.join("cpu"),
            Self::Two => mounted.to_owned(),
        }
    }

    /// The path of this process's group, from lines of the form `number:controllers:path`.
    fn path(self, own: &str) -> &str {
        let is_ours = |controllers: &str| match self {
            Self::One => controllers.split(',').any(|controller| controller == "cpu"),
            Self::Two => controllers.is_empty(),
        };
        let mut lines = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lines.find(|(controllers, _)| is_ours(controllers)).map_or("/", |(_, path)| path)
    }
}

/// Removes groups of processes that no longer exist.
fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

#[cfg(test)]
#[path = "cpu_tests.rs"]
mod tests;
