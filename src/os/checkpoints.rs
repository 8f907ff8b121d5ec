//! Startup checkpoints. Without the switch `init-trace`, none of this is in the binary.
//!
//! They are kept until startup is complete, because most are reached before there is a log: those of the launcher even before this program, which gets them with
//! the handover.

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use extension_protocol::handover::StepTimes;
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
    /// The first instruction of the program that Lambda executes: of `main`, or of the launcher.
    Start,
    /// The launcher executes the agent.
    Executed,
    /// The first instruction of `main` behind a launcher.
    Agent,
    /// The async runtime is running.
    Runtime,
    /// The register response has arrived.
    Registered,
    /// The ports are bound.
    Bound,
    /// The settings are loaded.
    Config,
    /// The crypto provider is installed.
    Crypto,
    /// The clients for Datadog are built.
    Intake,
    /// The subscription response has arrived.
    Subscribed,
    /// The next request is sent.
    NextSent,
    /// `DogStatsD` is served.
    Dogstatsd,
    /// Tracers, and OTLP where settings ask for it, are served.
    TraceAgent,
    /// Lifecycle calls of tracers are served, the last of all services.
    Lifecycle,
    /// The clients for Datadog can be used.
    Ready,
}

/// Names in the trace file, in the order of [`Checkpoint`].
const NAMES: [&str; 15] = [
    "start",
    "executed",
    "agent",
    "runtime",
    "registered",
    "bound",
    "config",
    "crypto",
    "intake",
    "subscribed",
    "asked",
    "dogstatsd",
    "trace_agent",
    "lifecycle",
    "ready",
];

/// Timestamps in nanoseconds of the monotonic clock, which is the same in every process; zero if the checkpoint was not reached.
static STAMPS: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];

/// Whether the checkpoints have been reported.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// A checkpoint that startup has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct CheckpointTime {
    /// Nanoseconds of the monotonic clock.
    at: u64,
    name: &'static str,
}

/// Records that startup has reached a checkpoint. Only the first time counts.
#[inline]
pub fn checkpoint(at: Checkpoint) {
    if INIT_TRACE && let Some(stamp) = STAMPS.get(at as usize) {
        // Losing the exchange means that the checkpoint was reached before. Sequentially consistent: of two threads that reach the last two checkpoints, one sees
        // both, and reports.
        let _ = stamp.compare_exchange(0, monotonic_ns(), Ordering::SeqCst, Ordering::SeqCst);
    }
}

/// Takes over the times of the launcher's steps. What has been the start until now is the agent's.
pub fn take_over(times: StepTimes) {
    if !INIT_TRACE {
        return;
    }
    let [start, bound, registered, sent, executed] = times;
    for (at, time) in [
        (Checkpoint::Agent, time_of(Checkpoint::Start)),
        (Checkpoint::Start, start),
        (Checkpoint::Bound, bound),
        (Checkpoint::Registered, registered),
        (Checkpoint::NextSent, sent),
        (Checkpoint::Executed, executed),
    ] {
        if let Some(stamp) = STAMPS.get(at as usize).filter(|_| time > 0) {
            stamp.store(time, Ordering::Relaxed);
        }
    }
}

fn time_of(at: Checkpoint) -> u64 {
    STAMPS.get(at as usize).map_or(0, |stamp| stamp.load(Ordering::SeqCst))
}

/// Reports the checkpoints once startup is complete: in the log at level `debug`, and as a file if the environment variable is set. Services and clients may
/// be complete in either order, so both call this.
pub fn report_if_complete() {
    let is_complete = INIT_TRACE && [Checkpoint::Lifecycle, Checkpoint::Ready].into_iter().all(|at| time_of(at) > 0);
    if !is_complete || REPORTED.swap(true, Ordering::Relaxed) {
        return;
    }
    let reached = reached();
    match thread::available_parallelism() {
        Ok(cpus) => tracing::debug!("INIT | available parallelism: {cpus}"),
        Err(error) => tracing::debug!("INIT | available parallelism is unknown: {error}"),
    }
    for line in phases(&reached) {
        tracing::debug!("INIT | {line}");
    }
    if let Some(path) = std::env::var_os(REQUESTED_BY)
        && let Err(error) = write(Path::new(&path), &reached)
    {
        tracing::warn!("INIT | cannot write checkpoints to {}: {error}", Path::new(&path).display());
    }
}

/// The checkpoints that were reached, in order of time.
fn reached() -> Vec<CheckpointTime> {
    let stamps =
        NAMES.iter().zip(&STAMPS).map(|(name, stamp)| CheckpointTime { at: stamp.load(Ordering::Relaxed), name });
    let mut reached: Vec<_> = stamps.filter(|reached| reached.at > 0).collect();
    reached.sort_unstable();
    reached
}

/// A line for each checkpoint: milliseconds since the one before it, and since the first.
fn phases(reached: &[CheckpointTime]) -> Vec<String> {
    let first = reached.first().map_or(0, |first| first.at);
    let befores = std::iter::once(first).chain(reached.iter().map(|before| before.at));
    let milliseconds = |from: u64, to: u64| {
        let ns = to.saturating_sub(from);
        format!("{}.{:06} ms", ns / 1_000_000, ns % 1_000_000)
    };
    let line = |(CheckpointTime { at, name }, before): (&CheckpointTime, u64)| {
        format!("{name}: delta {}, cumulative {}", milliseconds(before, *at), milliseconds(first, *at))
    };
    reached.iter().zip(befores).map(line).collect()
}

/// Writes a line `name nanoseconds` for each checkpoint. Opening a FIFO without `O_NONBLOCK` would wait for a reader.
fn write(path: &Path, reached: &[CheckpointTime]) -> io::Result<()> {
    let mut lines = String::new();
    for CheckpointTime { at, name } in reached {
        let _ = writeln!(lines, "{name} {at}");
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    file.write_all(lines.as_bytes())
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
    fn a_checkpoint_pipe_without_reader_is_an_error_without_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IWUSR).unwrap();
        let reached = [CheckpointTime { at: 7, name: "start" }];
        assert!(write(&fifo, &reached).is_err());
        let file = directory.path().join("file");
        std::fs::write(&file, "old, and longer").unwrap();
        write(&file, &reached).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "start 7\n");
    }

    #[test]
    fn stamps_are_taken_once_and_only_if_the_switch_is_on() {
        checkpoint(Checkpoint::Config);
        let first = time_of(Checkpoint::Config);
        checkpoint(Checkpoint::Config);
        assert_eq!(time_of(Checkpoint::Config), first);
        assert_eq!(first > 0, INIT_TRACE);
        assert_eq!(reached().iter().any(|reached| reached.name == "config"), INIT_TRACE);
    }

    #[test]
    fn a_checkpoint_has_its_delta_and_the_time_since_start() {
        let reached = [("start", 5_000_000), ("executed", 5_500_001), ("agent", 8_000_000)];
        let lines = phases(&reached.map(|(name, at)| CheckpointTime { at, name }));
        let expected = [
            "start: delta 0.000000 ms, cumulative 0.000000 ms",
            "executed: delta 0.500001 ms, cumulative 0.500001 ms",
            "agent: delta 2.499999 ms, cumulative 3.000000 ms",
        ];
        assert_eq!(lines, expected);
        assert!(phases(&[]).is_empty());
    }

    #[test]
    fn the_steps_of_the_launcher_come_before_those_of_the_agent() {
        checkpoint(Checkpoint::Start);
        let own = time_of(Checkpoint::Start);
        take_over([1, 2, 3, 4, 5]);
        let times = [Checkpoint::Start, Checkpoint::Registered, Checkpoint::NextSent, Checkpoint::Executed];
        let expected = if INIT_TRACE { [1, 3, 4, 5] } else { [0; 4] };
        assert_eq!((times.map(time_of), time_of(Checkpoint::Agent)), (expected, own));
    }
}
