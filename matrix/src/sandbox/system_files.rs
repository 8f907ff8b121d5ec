//! Files of the system that are the environment's own: what a process reads of memory, processors, CPU time and users is not the machine's.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};

use super::cpu;
use super::figures::{CpuTicks, CpuTimes, cpu_list, cpuinfo, meminfo};
use super::lambda_user::passwd;
use super::mounts::MountError;

/// Files with the numbers of processors.
const CPU_LISTS: [&str; 3] =
    ["/sys/devices/system/cpu/online", "/sys/devices/system/cpu/possible", "/sys/devices/system/cpu/present"];
const PASSWD: &str = "/etc/passwd";

/// The sandbox's versions of system files. They are written while the sandbox can still write files, and mounted over those of the machine.
#[derive(Debug)]
pub(crate) struct SystemFiles {
    replaced: Vec<FileOverlay>,
    machine: Machine,
    memory_mb: u32,
    written: Mutex<VaryingFiles>,
}

/// A file that is mounted over one of the machine's.
#[derive(Debug)]
struct FileOverlay {
    own: PathBuf,
    target: PathBuf,
}

/// What the machine's own files say.
#[derive(Debug)]
struct Machine {
    meminfo: String,
    /// The time of boot in seconds since 1970.
    boot: String,
    uptime: Duration,
}

/// Files whose text changes.
#[derive(Debug)]
struct VaryingFiles {
    meminfo: File,
    stat: File,
    uptime: File,
    times: CpuTimes,
    /// The last reading; `None` while the environment is frozen.
    last: Option<Instant>,
}

/// What the processes of an environment use.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ProcessUsage {
    pub memory_kb: u64,
    pub cpu: CpuTicks,
}

impl SystemFiles {
    /// Writes the files to a new directory. Those that the machine does not have are left out.
    pub(crate) fn write(directory: &Path, memory_mb: u32, has_own_user: bool) -> io::Result<Self> {
        fs::create_dir(directory)?;
        let processors = cpu::usable(memory_mb);
        let machine = Machine::read()?;
        let mut files = vec![
            ("/proc/meminfo", meminfo(&machine.meminfo, memory_mb, 0)),
            ("/proc/cpuinfo", cpuinfo(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default(), processors)),
            ("/proc/stat", String::new()),
            ("/proc/uptime", String::new()),
        ];
        files.extend(CPU_LISTS.map(|target| (target, cpu_list(processors))));
        if has_own_user {
            files.push((PASSWD, passwd(&fs::read_to_string(PASSWD).unwrap_or_default())));
        }
        let mut replaced = Vec::new();
        for (target, text) in files.into_iter().filter(|(target, _)| Path::new(target).exists()) {
            let own = directory.join(target.trim_start_matches('/').replace('/', "-"));
            fs::write(&own, text)?;
            replaced.push(FileOverlay { own, target: target.into() });
        }
        let open = |name: &str| File::options().write(true).create(true).truncate(false).open(directory.join(name));
        let written = VaryingFiles {
            meminfo: open("proc-meminfo")?,
            stat: open("proc-stat")?,
            uptime: open("proc-uptime")?,
            times: CpuTimes::new(processors),
            last: Some(Instant::now()),
        };
        let files = Self { replaced, machine, memory_mb, written: Mutex::new(written) };
        files.update(ProcessUsage::default);
        Ok(files)
    }

    /// Mounts the files in the calling thread's mount namespace, which must be its own.
    pub(crate) fn mount(&self) -> Result<(), MountError> {
        self.replaced.iter().try_for_each(|file| {
            file.mount().map_err(|error| MountError::Mount { path: file.target.clone(), source: error.into() })
        })
    }

    /// Mounts those of `/proc` once more, over a `/proc` that the calling process has just mounted. Called between fork and exec.
    pub(crate) fn mount_in_proc(&self) -> nix::Result<()> {
        self.replaced.iter().filter(|file| file.target.starts_with("/proc")).try_for_each(FileOverlay::mount)
    }

    /// Brings the texts up to date, unless the environment is frozen. `used` is asked for what its processes use.
    pub(crate) fn update(&self, used: impl FnOnce() -> ProcessUsage) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(last) = written.last.replace(now) {
            let used = used();
            written.times.advance(now.saturating_duration_since(last), used.cpu);
            self.store(&written, used.memory_kb);
        } else {
            written.last = None;
        }
    }

    /// Stops the environment's time, after a last update.
    pub(crate) fn freeze(&self, used: impl FnOnce() -> ProcessUsage) {
        self.update(used);
        self.written.lock().unwrap_or_else(PoisonError::into_inner).last = None;
    }

    /// Lets the environment's time pass again.
    pub(crate) fn thaw(&self) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).last = Some(Instant::now());
    }

    /// Overwrites the texts. None is ever shorter than before, so that nothing of an older one is left. A disk that is full leaves the figures as they were.
    fn store(&self, written: &VaryingFiles, memory_kb: u64) {
        let texts = [
            (&written.meminfo, meminfo(&self.machine.meminfo, self.memory_mb, memory_kb)),
            (&written.stat, written.times.stat(&self.machine.boot)),
            (&written.uptime, written.times.uptime(self.machine.uptime)),
        ];
        for (file, text) in texts {
            let _ = file.write_all_at(text.as_bytes(), 0);
        }
    }
}

impl FileOverlay {
    /// Makes one system call; for a path of usual length it allocates nothing.
    fn mount(&self) -> nix::Result<()> {
        mount(Some(self.own.as_path()), self.target.as_path(), None::<&str>, MsFlags::MS_BIND, None::<&str>)
    }
}

impl Machine {
    fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/stat")?;
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")).unwrap_or("0").to_owned();
        let uptime = fs::read_to_string("/proc/uptime")?;
        let seconds = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
        let uptime = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Ok(Self { meminfo: fs::read_to_string("/proc/meminfo")?, boot, uptime })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_stands_still_while_the_environment_is_frozen() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("system");
        let files = SystemFiles::write(&directory, 256, true).unwrap();
        let read = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        let used = |user| move || ProcessUsage { memory_kb: 1024, cpu: CpuTicks { user, system: 0 } };
        files.freeze(used(0));
        let frozen = read("proc-stat");
        files.update(|| unreachable!("nobody uses anything"));
        assert_eq!(read("proc-stat"), frozen);
        files.thaw();
        std::thread::sleep(Duration::from_millis(11));
        files.update(used(1));
        assert!(read("proc-stat").starts_with("cpu  1 0 0 "), "{}", read("proc-stat"));
        let memory = read("proc-meminfo");
        let field = |name: &str| memory.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        assert_eq!([field("MemTotal:"), field("MemAvailable:")], ["262144 kB", "261120 kB"]);
        assert!(read("etc-passwd").contains("sbx_user1051:x:993"));
        assert_eq!(read("proc-uptime").lines().count(), 1);
    }
}
