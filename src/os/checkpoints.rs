//! Startup checkpoints. Without the switch `init-trace`, none of this is in the binary.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use nix::{
    fcntl::OFlag,
    time::{ClockId, clock_gettime},
};

use crate::features::INIT_TRACE;

/// Environment variable with the path of the file to which the checkpoints are written after startup.
const REQUESTED_BY: &str = "BOTTLECAP_INIT_TRACE";

/// A point during startup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checkpoint {
    /// The first instruction of `main`.
    Start,
    /// The async runtime is running.
    Runtime,
    /// The register response has arrived.
    Registered,
    /// The ports are bound.
    Bound,
    /// The settings are loaded.
    Config,
    /// The clients for Datadog are built.
    Intake,
    /// The subscription response has arrived.
    Subscribed,
    /// The next request is sent.
    NextSent,
    /// Startup is complete.
    Ready,
}

/// Names in the trace file, in the order of [`Checkpoint`].
const NAMES: [&str; 9] =
    ["start", "runtime", "registered", "bound", "config", "intake", "subscribed", "asked", "ready"];

/// Timestamps in nanoseconds of the monotonic clock, which is the same in every process; zero if the checkpoint was not reached.
static STAMPS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

/// Records that startup has reached a checkpoint. Only the first time counts.
#[inline]
pub fn checkpoint(at: Checkpoint) {
    if INIT_TRACE && let Some(stamp) = STAMPS.get(at as usize) {
        // Losing the exchange means that the checkpoint was reached before.
        let _ = stamp.compare_exchange(0, monotonic_ns(), Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Writes the checkpoints if the environment variable is set: a line `name nanoseconds` for each one reached, in order of time.
pub fn write_if_requested() {
    if INIT_TRACE
        && let Some(path) = std::env::var_os(REQUESTED_BY)
        && let Err(error) = write(Path::new(&path))
    {
        tracing::warn!("the trace of the start could not be written: {error}");
    }
}

/// Opening a FIFO without `O_NONBLOCK` would wait for a reader.
fn write(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    file.write_all(lines().as_bytes())
}

fn lines() -> String {
    let mut reached: Vec<_> = NAMES
        .iter()
        .zip(&STAMPS)
        .map(|(name, stamp)| (stamp.load(Ordering::Relaxed), name))
        .filter(|(at, _)| *at > 0)
        .collect();
    reached.sort_unstable();
    let mut lines = String::new();
    for (at, name) in reached {
        let _ = writeln!(lines, "{name} {at}");
    }
    lines
}

fn monotonic_ns() -> u64 {
    let Ok(now) = clock_gettime(ClockId::CLOCK_MONOTONIC) else { return 0 };
    u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_checkpoint_has_its_name_in_its_place() {
        for (checkpoint, name) in
            [(Checkpoint::Start, "start"), (Checkpoint::Intake, "intake"), (Checkpoint::Ready, "ready")]
        {
            assert_eq!(NAMES[checkpoint as usize], name);
        }
    }

    #[test]
    fn a_trace_that_nobody_reads_is_an_error_and_no_wait() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
        assert!(write(&fifo).is_err());
        let file = directory.path().join("file");
        std::fs::write(&file, "old").unwrap();
        write(&file).unwrap();
        assert!(!std::fs::read_to_string(&file).unwrap().contains("old"));
    }

    #[test]
    fn stamps_are_taken_once_and_only_if_the_switch_is_on() {
        checkpoint(Checkpoint::Bound);
        let first = STAMPS[Checkpoint::Bound as usize].load(Ordering::Relaxed);
        checkpoint(Checkpoint::Bound);
        assert_eq!(STAMPS[Checkpoint::Bound as usize].load(Ordering::Relaxed), first);
        assert_eq!(first > 0, INIT_TRACE);
        assert_eq!(lines().contains("bound "), INIT_TRACE);
    }
}
