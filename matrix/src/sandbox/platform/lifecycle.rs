//! The lifecycle of an execution environment: its processes, freeze and thaw.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::Platform;
use super::in_process::InProcess;
use super::init::Failure;
use super::memory::{MemoryLimit, peak_kb};
use crate::sandbox::cpu::{CgroupEntry, Group};
use crate::sandbox::disk::{PrivateDisk, TASK_ROOT};
use crate::sandbox::environment::Addresses;
use crate::sandbox::invocation::ExitOf;
use crate::sandbox::journal::JournalEvent;
use crate::sandbox::lambda_user::LambdaUser;
use crate::sandbox::process::Process;
use crate::sandbox::process_table::{ProcessHandle, ProcessTable};
use crate::sandbox::processes::Processes;
use crate::sandbox::settings_file::SettingsFile;
use crate::sandbox::setup::Initialization;
use crate::sandbox::system_files::{ProcessUsage, SystemFiles};

/// An environment with its processes. It outlives them: after a failure the next invocation starts new ones.
#[derive(Debug)]
pub(crate) struct EnvironmentLifecycle {
    pub platform: Arc<Platform>,
    pub addresses: Addresses,
    /// The directory with the links to the extensions.
    pub opt: PathBuf,
    /// The CPU limits that every process enters before its exec.
    pub cgroup_entry: Option<CgroupEntry>,
    pub extensions: Vec<Member>,
    pub function: Option<RunningRuntime>,
    /// Whether an init has succeeded and nothing has ended since.
    pub ready: bool,
    /// The duration of the init that the next report includes.
    pub init_took: Option<Duration>,
    /// The exits of the last environment's extensions.
    pub exits: Vec<ExitOf>,
    pub frozen: bool,
    /// Finds all processes of the environment.
    pub table: Arc<ProcessTable>,
    /// The process namespace; `None` if processes see the machine's.
    pub processes: Option<Processes>,
    /// The private disk; `None` if processes see the machine's files.
    pub disk: Option<PrivateDisk>,
    /// The files with the environment's figures; `None` if processes see the machine's.
    pub system_files: Option<Arc<SystemFiles>>,
    /// The extension's version of `datadog.yaml`; `None` if it sees the function's own.
    pub settings_file: Option<SettingsFile>,
    /// The user of the processes; `None` if it is the one who started the sandbox.
    pub user: Option<LambdaUser>,
    /// The last field, so that it is dropped last: it can only be removed when its processes have ended.
    pub group: Option<Group>,
}

/// What processes are started with.
#[derive(Debug)]
pub(crate) struct ProcessResources {
    /// The directory that serves as `/opt`.
    pub opt: PathBuf,
    pub cgroup_entry: Option<CgroupEntry>,
    pub group: Option<Group>,
    pub processes: Option<Processes>,
    pub disk: Option<PrivateDisk>,
    pub system_files: Option<Arc<SystemFiles>>,
    pub settings_file: Option<SettingsFile>,
    pub user: Option<LambdaUser>,
}

/// An extension's process.
#[derive(Debug)]
pub(crate) struct Member {
    pub name: Arc<str>,
    pub process: Process,
}

/// A running runtime.
#[derive(Debug)]
pub(crate) enum RunningRuntime {
    Process { process: Process, memory: MemoryLimit },
    Thread(InProcess),
}

impl EnvironmentLifecycle {
    pub(crate) fn new(platform: Arc<Platform>, addresses: Addresses, place: ProcessResources) -> Self {
        let table = place.processes.as_ref().map_or_else(
            || ProcessTable::of_environment(&format!("AWS_LAMBDA_RUNTIME_API={}", addresses.runtime_api)),
            Processes::table,
        );
        Self {
            platform,
            addresses,
            table: Arc::new(table),
            opt: place.opt,
            cgroup_entry: place.cgroup_entry,
            processes: place.processes,
            disk: place.disk,
            system_files: place.system_files,
            settings_file: place.settings_file,
            user: place.user,
            group: place.group,
            extensions: Vec::new(),
            function: None,
            ready: false,
            init_took: None,
            exits: Vec::new(),
            frozen: false,
        }
    }

    pub(crate) fn runtime_api(&self) -> SocketAddr {
        self.addresses.runtime_api
    }

    /// The directory of the function's code, as its processes see it.
    pub(crate) fn task_root(&self) -> &Path {
        let machine = || self.platform.setup.function.task_root().unwrap_or(Path::new(TASK_ROOT));
        if self.disk.is_some() { Path::new(TASK_ROOT) } else { machine() }
    }

    pub(crate) fn managed(&self) -> bool {
        self.platform.setup.initialization == Initialization::ManagedInstances
    }

    /// Stops all processes until the next event. Telemetry that was not sent by now is sent after the thaw.
    pub(crate) fn freeze(&mut self) {
        if !self.platform.setup.freeze || self.managed() || self.frozen {
            return;
        }
        self.platform.telemetry.set_awake(false);
        self.signal_all(Signal::SIGSTOP);
        if let Some(files) = &self.system_files {
            files.freeze(|| self.used());
        }
        self.frozen = true;
        self.platform.journal.write(JournalEvent::Frozen);
    }

    /// Continues all processes, and then telemetry, which must not find them stopped.
    pub(crate) fn thaw(&mut self) {
        if self.frozen {
            self.platform.journal.write(JournalEvent::Thawed);
            if let Some(files) = &self.system_files {
                files.thaw();
            }
            self.signal_all(Signal::SIGCONT);
            self.platform.telemetry.set_awake(true);
            self.frozen = false;
        }
    }

    /// Restores a SnapStart environment, whose frozen state is the snapshot, and freezes it again.
    pub(crate) async fn thaw_for_restore(&mut self) -> Result<(), Failure> {
        if self.platform.setup.initialization == Initialization::SnapStart {
            self.thaw();
            self.restore().await?;
            self.freeze();
        }
        Ok(())
    }

    /// Brings the environment's figures up to date, before somebody is told to look at them.
    pub(crate) fn update_figures(&self) {
        if let Some(files) = &self.system_files {
            files.update(|| self.used());
        }
    }

    fn used(&self) -> ProcessUsage {
        let leaders = self.leaders();
        ProcessUsage { memory_kb: self.table.used_kb(&leaders), cpu: self.table.cpu(&leaders) }
    }

    fn signal_all(&self, signal: Signal) {
        // Without a namespace, only its process group identifies a process that has lost its parent.
        for process in self.processes_started() {
            process.signal(signal);
        }
        self.table.signal(&self.leaders(), signal);
    }

    /// The processes that the sandbox has started and that are still running.
    fn leaders(&self) -> Vec<Pid> {
        self.processes_started().filter(|process| process.ended().is_none()).map(|process| process.pid).collect()
    }

    fn processes_started(&self) -> impl Iterator<Item = &Process> {
        let function = match &self.function {
            Some(RunningRuntime::Process { process, .. }) => Some(process),
            _ => None,
        };
        self.extensions.iter().map(|member| &member.process).chain(function)
    }

    /// All processes of the environment, including those that have left their process group or lost their parent.
    pub(crate) fn all_processes(&self) -> Vec<ProcessHandle> {
        self.table.members(&self.leaders())
    }

    /// Kills all remaining processes without a SHUTDOWN event and waits until none remains, not even a zombie.
    pub(crate) async fn abandon(&mut self) {
        self.processes_started().for_each(|process| process.signal(Signal::SIGKILL));
        self.table.end(self.all_processes()).await;
        if let Some(RunningRuntime::Process { process, .. }) = self.function.take() {
            process.wait().await;
        }
        for member in self.extensions.drain(..) {
            member.process.wait().await;
        }
    }

    /// Reads every line that was written by now.
    pub(crate) fn drain(&self) {
        if let Some(RunningRuntime::Process { process, .. }) = &self.function {
            process.drain();
        }
        for member in &self.extensions {
            member.process.drain();
        }
    }

    /// As [`Self::drain`]. Text of the function without a line feed counts as a line, which belongs to the invocation that wrote it.
    pub(crate) fn end_lines(&self) {
        self.drain();
        if let Some(RunningRuntime::Process { process, .. }) = &self.function {
            process.end_lines();
        }
    }

    /// Peak memory of function and extensions in MB, at least 1.
    pub(crate) fn max_memory_mb(&self) -> u32 {
        let leaders = self.leaders();
        let watched_kb = match &self.function {
            Some(RunningRuntime::Process { memory, .. }) => memory.peak_kb(),
            _ => 0,
        };
        // The watch only samples. For each single process, the kernel records the peak.
        let alone_kb = leaders.iter().map(|leader| peak_kb(*leader)).sum();
        let most_kb = self.table.used_kb(&leaders).max(watched_kb).max(alone_kb);
        let seen = u32::try_from(most_kb.div_ceil(1024)).unwrap_or(u32::MAX);
        let claimed = self.platform.claimed_mb.load(std::sync::atomic::Ordering::Relaxed);
        seen.saturating_add(claimed).clamp(1, self.platform.setup.memory_mb)
    }

    /// A monotonic moment in milliseconds since 1970.
    pub(crate) fn epoch_ms(&self, moment: Instant) -> u64 {
        let nanoseconds = self.platform.journal.wall(moment).unix_timestamp_nanos();
        u64::try_from(nanoseconds / 1_000_000).unwrap_or_default()
    }
}
