//! The memory usage of processes, from `/proc`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::task::AbortHandle;

use super::{Fatal, Platform};
use crate::sandbox::process_table::{ProcessTable, kilobytes};
use crate::sandbox::system_files::{ProcessUsage, SystemFiles};

/// Watches the memory of an environment's processes, and kills the function when together they exceed the limit. Also keeps the environment's figures up to date.
#[derive(Debug)]
pub(crate) struct MemoryLimit {
    peak_kb: Arc<AtomicU64>,
    task: AbortHandle,
}

impl MemoryLimit {
    /// Starts watching. `leader` is the function's process.
    pub(crate) fn start(
        platform: Arc<Platform>,
        table: Arc<ProcessTable>,
        leader: Pid,
        system_files: Option<Arc<SystemFiles>>,
    ) -> Self {
        let peak_kb = Arc::new(AtomicU64::new(0));
        let peak = Arc::clone(&peak_kb);
        let task = tokio::spawn(async move {
            let limit_kb = u64::from(platform.setup.memory_mb) * 1024;
            loop {
                tokio::time::sleep(platform.setup.limits.memory_interval).await;
                // Frozen processes do not grow.
                platform.telemetry.awake().await;
                let used_kb = table.used_kb(&[leader]);
                peak.fetch_max(used_kb, Ordering::Relaxed);
                if let Some(files) = &system_files {
                    files.update(|| ProcessUsage { memory_kb: used_kb, cpu: table.cpu(&[leader]) });
                }
                if used_kb > limit_kb {
                    platform.fail(Fatal::OutOfMemory);
                    let _ = killpg(leader, Signal::SIGKILL);
                    return;
                }
            }
        });
        Self { peak_kb, task: task.abort_handle() }
    }

    /// The peak so far in kB.
    pub(crate) fn peak_kb(&self) -> u64 {
        self.peak_kb.load(Ordering::Relaxed)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The peak resident size of one process in kB; 0 if it is gone.
pub(crate) fn peak_kb(process: Pid) -> u64 {
    kilobytes(Path::new(&format!("/proc/{process}/status")), "VmHWM:").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_memory_is_zero_without_a_process() {
        assert!(peak_kb(nix::unistd::getpid()) >= 1000);
        assert_eq!(peak_kb(Pid::from_raw(i32::MAX)), 0);
    }
}
