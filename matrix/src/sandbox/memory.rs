//! How much memory processes use, read from `/proc`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::task::AbortHandle;

use super::platform::{Fatal, Platform};

/// Watches the function's processes and kills them when they outgrow the function's memory.
#[derive(Debug)]
pub(crate) struct Watch {
    peak_kb: Arc<AtomicU64>,
    task: AbortHandle,
}

impl Watch {
    pub(crate) fn start(platform: Arc<Platform>, leader: Pid) -> Self {
        let peak_kb = Arc::new(AtomicU64::new(0));
        let peak = Arc::clone(&peak_kb);
        let task = tokio::spawn(async move {
            let limit_kb = u64::from(platform.setup.memory_mb) * 1024;
            loop {
                tokio::time::sleep(platform.setup.limits.memory_interval).await;
                // Frozen processes don't grow, and looking at them would only cost time.
                platform.telemetry.awake().await;
                let used_kb = tree_kb(leader);
                peak.fetch_max(used_kb, Ordering::Relaxed);
                if used_kb > limit_kb {
                    platform.fail(Fatal::OutOfMemory);
                    let _ = killpg(leader, Signal::SIGKILL);
                    return;
                }
            }
        });
        Self { peak_kb, task: task.abort_handle() }
    }

    /// The most that has been seen, in kB.
    pub(crate) fn peak_kb(&self) -> u64 {
        self.peak_kb.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The peak resident size of one process in kB; zero when it is gone.
pub(crate) fn peak_kb(process: Pid) -> u64 {
    status_kb(process, "VmHWM:")
}

/// The resident size of a process and of all its descendants in kB.
fn tree_kb(process: Pid) -> u64 {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok()).map(Pid::from_raw);
    status_kb(process, "VmRSS:") + children.map(tree_kb).sum::<u64>()
}

fn status_kb(process: Pid, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let value = status.lines().find_map(|line| line.strip_prefix(field));
    value.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_and_nobody_does_not() {
        assert!(tree_kb(nix::unistd::getpid()) > 1000);
        assert!(peak_kb(nix::unistd::getpid()) >= 1000);
        assert_eq!(tree_kb(Pid::from_raw(i32::MAX)), 0);
    }
}
