//! The CPUs that a sandbox's processes have: what their memory tier buys, by way of a control group.

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

/// Every control group of a sandbox is called so, followed by the id of the process that made it.
const PREFIX: &str = "matrix-";
/// How often the removal of a group is tried: the kernel lets go of its last process a moment after that has been waited for.
const REMOVALS: u32 = 50;
/// Configured memory that buys one whole CPU ("Configure Lambda function memory").
const CPU_MB: u64 = 1769;

/// The period after which a share of CPU time is filled up again. The kernel's own default is 100 ms, but then the smallest tier has 7 ms in one
/// piece, and most starts would be over before they felt it. Public measurements from within functions see pauses of about 20 ms.
pub const PERIOD: Duration = Duration::from_millis(20);

/// The CPU time that a memory tier has in each [`PERIOD`], never less than the kernel's minimum of 1 ms.
pub fn quota(memory_mb: u32) -> Duration {
    let period = u64::try_from(PERIOD.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros((u64::from(memory_mb) * period / CPU_MB).max(1000))
}

/// How many CPUs a function of this memory sees on Lambda, as public measurements of every tier have found.
pub fn visible_cpus(memory_mb: u32) -> usize {
    match memory_mb {
        0..=3008 => 2,
        3009..=5307 => 3,
        5308..=7076 => 4,
        7077..=8845 => 5,
        _ => 6,
    }
}

/// What a process passes through before it is executed.
#[derive(Clone, Debug)]
pub(crate) struct CgroupEntry {
    processes: Option<Arc<OwnedFd>>,
    visible: CpuSet,
}

impl CgroupEntry {
    /// Sees no more CPUs than the tier has, at most those of this machine.
    pub(crate) fn new(memory_mb: u32, group: Option<&Group>) -> io::Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0))?;
        let mut visible = CpuSet::new();
        let usable = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu).unwrap_or(false));
        for cpu in usable.take(visible_cpus(memory_mb)) {
            visible.set(cpu)?;
        }
        Ok(Self { processes: group.map(|group| Arc::clone(&group.processes)), visible })
    }

    /// Takes the calling process in. It makes two system calls and is safe between fork and exec.
    pub(crate) fn enter(&self) -> nix::Result<()> {
        if let Some(processes) = &self.processes {
            // Zero is whoever writes.
            nix::unistd::write(processes, b"0")?;
        }
        sched_setaffinity(Pid::from_raw(0), &self.visible)
    }
}

/// The version of the control groups that can limit CPU time here, 1 or 2; none where there are none.
pub fn control_groups() -> Option<u8> {
    let mounted = Path::new("/sys/fs/cgroup");
    match Version::of(mounted) {
        Version::Two => Some(2),
        Version::One => Version::One.root(mounted).is_dir().then_some(1),
    }
}

/// A control group with a quota of CPU time that can be put into force. Dropping it removes it; by then its processes must have ended.
#[derive(Debug)]
pub(crate) struct Group {
    /// The parent's directory stays open: the sandbox hides all control groups from itself.
    parent: File,
    name: String,
    processes: Arc<OwnedFd>,
    limit: OwnedFd,
    /// What is written to `limit` to put the quota into force.
    quota: String,
}

/// Why there is no control group.
#[derive(Debug, thiserror::Error)]
#[error("no control group with a CPU quota can be made below {}", tried.display())]
pub(crate) struct Refused {
    tried: PathBuf,
    source: io::Error,
}

impl Refused {
    /// With what the system said.
    pub(crate) fn reason(&self) -> String {
        format!("{self}: {}", self.source)
    }
}

impl Group {
    /// Makes a group for a memory tier. Its quota is not yet in force.
    pub(crate) fn make(memory_mb: u32) -> Result<Self, Refused> {
        Self::make_below(
            Path::new("/sys/fs/cgroup"),
            &fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
            memory_mb,
        )
    }

    /// `mounted` is where control groups are, `own` names those of this process in the words of `/proc/self/cgroup`.
    fn make_below(mounted: &Path, own: &str, memory_mb: u32) -> Result<Self, Refused> {
        let version = Version::of(mounted);
        let root = version.root(mounted);
        let path = version.path(own);
        let mut refused = Refused { tried: root.clone(), source: io::ErrorKind::NotFound.into() };
        // In a container the group may be named as the host sees it, and be found only at the root.
        let ancestors = Path::new(path.trim_start_matches('/')).ancestors();
        for parent in ancestors.map(|ancestor| root.join(ancestor)).filter(|parent| parent.is_dir()) {
            match Self::make_in(&parent, version, memory_mb) {
                Ok(group) => return Ok(group),
                Err(source) => refused = Refused { tried: parent, source },
            }
        }
        Err(refused)
    }

    fn make_in(parent: &Path, version: Version, memory_mb: u32) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep(parent);
        if version == Version::Two {
            // Where it is not on already it can only be turned on in a group that has no processes of its own.
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

/// The two generations of the kernel's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// The second one counts only where it controls CPUs: a machine may have both, with the controllers in the first.
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

    /// The path of this process's own group, from lines of the form `number:controllers:path`.
    fn path(self, own: &str) -> &str {
        let is_ours = |controllers: &str| match self {
            Self::One => controllers.split(',').any(|controller| controller == "cpu"),
            Self::Two => controllers.is_empty(),
        };
        let mut lines = own.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        lines.find(|(controllers, _)| is_ours(controllers)).map_or("/", |(_, path)| path)
    }
}

/// Removes what processes that were killed have left behind.
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
