//! The journal: what happened in the sandbox, with a timestamp taken at the event itself.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

use super::faults::{Effect, Endpoint};
use super::footprint::Footprint;
use super::setup::Origin;

/// One event with its time.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Monotonic time since the sandbox was started.
    pub at: Duration,
    /// The same moment on the wall clock.
    pub wall: OffsetDateTime,
    /// The event.
    pub what: JournalEvent,
}

/// The events of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalEvent {
    /// The sandbox has a network of its own.
    NetworkIsolated,
    /// The sandbox shares the host's network although isolation was requested; `reason` is the system's.
    NetworkShared { reason: String },
    /// The sandbox's network has no interface like Lambda's, so its traffic cannot be measured; `reason` is the system's.
    InterfaceMissing { reason: String },
    /// The sandbox sees the machine's processes beside its own, and their usage counts as the function's. A process that has left its parent and its session is
    /// not recognised as the sandbox's. `reason` is the system's.
    ProcessesShared { reason: String },
    /// The sandbox has its own mounts over the machine's directories.
    MountsPrivate,
    /// The sandbox sees the machine's directories, control groups included, although mounts were requested; `reason` is the system's.
    MountsShared { reason: String },
    /// The function's code is at `/var/task`, and only a private `/tmp` can be written to.
    DiskPrivate,
    /// The processes see and write the machine's files although a private disk was requested; `reason` is the system's.
    DiskShared { reason: String },
    /// The processes run as Lambda's user.
    UserOfLambda,
    /// The processes run as the user who started the sandbox, although a private disk was requested.
    UserShared { reason: String },
    /// Memory, processors and CPU time are those of the environment in the files from which processes read them.
    FiguresPrivate,
    /// Processes read the machine's figures although a private disk was requested; `reason` is the system's.
    FiguresShared { reason: String },
    /// Another process has a port that the extension needs, in the network that the sandbox shares with it.
    PortTaken { port: u16, protocol: &'static str },
    /// The CPU limits of the memory tier are set up.
    CpuOfTier,
    /// CPU time is unlimited although limits were requested; `reason` is the system's.
    CpuUnlimited { reason: String },
    /// Extensions cannot be stopped to take their footprints although it was requested. `reason` is the system's, or that there are several extensions.
    FootprintsLate { reason: String },
    /// An init began. `phase` is `init` ahead of the first event, or `invoke` inside an invocation.
    InitStarted { phase: &'static str },
    /// A process was executed. The time is that just before its `execve`, taken by the child itself.
    Executed { origin: Origin, pid: i32 },
    /// The files of an extension were dropped from the page cache before its exec; `remaining` bytes are in memory nevertheless.
    PagesDropped { name: String, remaining: u64 },
    /// The files could not be dropped; `reason` is the system's.
    PagesNotDropped { name: String, reason: String },
    /// A process could not be started.
    NotExecuted { origin: Origin, reason: String },
    /// An extension registered. The time is that of the request's arrival.
    Registered { name: String, internal: bool },
    /// An API rejected a request.
    Refused { endpoint: Endpoint, error_type: String },
    /// An extension subscribed to telemetry.
    Subscribed { name: String },
    /// An extension sent next.
    ExtensionNext { name: String },
    /// The footprint of an extension at its first next. If it was `stopped`, it stood still from then on; otherwise the footprint was taken a little later.
    Footprint { name: String, footprint: Footprint, stopped: bool },
    /// The CPU share of the memory tier is in force from now on.
    Throttled,
    /// An extension reported an init or exit error.
    ExtensionError { name: String, error_type: String },
    /// The function's runtime was started: a process, or a thread for in-process functions.
    RuntimeStarted,
    /// The runtime sent next.
    RuntimeNext,
    /// The runtime waits for its restore from a snapshot.
    RuntimeRestoreNext,
    /// An init ended. `status` is `success`, `error` or `timeout`.
    InitOver { phase: &'static str, status: &'static str },
    /// A restore from a snapshot began.
    RestoreStarted,
    /// The restore ended.
    RestoreOver,
    /// An event was handed to the runtime and to the extensions that registered for INVOKE.
    Invoked { request_id: String },
    /// The runtime sent a response or an error.
    Answered { request_id: String, bytes: usize, error_type: Option<String> },
    /// The runtime is done with the request, successfully or not.
    RuntimeDone { request_id: String, status: &'static str },
    /// The invocation is over, extensions included.
    InvocationOver { request_id: String, status: &'static str },
    /// The processes were frozen until the next event.
    Frozen,
    /// The processes were thawed.
    Thawed,
    /// A shutdown began. `reason` is `spindown`, `timeout` or `failure`.
    ShutdownStarted { reason: &'static str },
    /// A SHUTDOWN event was handed to an extension.
    ShutdownSent { name: String },
    /// SIGTERM was sent to a process.
    Terminated { origin: Origin },
    /// A process was killed.
    Killed { origin: Origin },
    /// A process ended; `status` is such as `exit status: 0` or `signal: 9 (SIGKILL)`.
    Exited { origin: Origin, status: String },
    /// The CPU time of a process from its exec to its end, without that of its children.
    Used { origin: Origin, cpu: Duration },
    /// The shutdown is over; no process is left.
    ShutdownOver,
    /// A subscriber accepted a batch of telemetry.
    Delivered { subscriber: String, events: usize, bytes: usize },
    /// An attempt to deliver a batch failed: no connection, or a status other than 200.
    Undelivered { subscriber: String, events: usize, reason: String },
    /// Telemetry was dropped.
    Dropped { subscriber: String, events: usize, bytes: usize },
    /// A planned fault took effect.
    Fault { endpoint: Endpoint, effect: Effect },
}

/// The journal: append-only, readable at any time from any thread.
#[derive(Debug)]
pub(crate) struct Journal {
    start: Instant,
    monotonic: Duration,
    wall: OffsetDateTime,
    entries: Mutex<Vec<Entry>>,
}

impl Journal {
    pub(crate) fn start() -> Self {
        // Growing the vector during a start would affect the measurement.
        let entries = Mutex::new(Vec::with_capacity(1024));
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        Self { start: Instant::now(), monotonic, wall: OffsetDateTime::now_utc(), entries }
    }

    /// `CLOCK_MONOTONIC` at the start of the sandbox, to within a microsecond. Timestamps of other processes can be compared with it.
    pub(crate) fn monotonic(&self) -> Duration {
        self.monotonic
    }

    pub(crate) fn write(&self, what: JournalEvent) {
        self.write_at(Instant::now(), what);
    }

    pub(crate) fn write_at(&self, moment: Instant, what: JournalEvent) {
        let at = moment.saturating_duration_since(self.start);
        let entry = Entry { at, wall: self.wall + at, what };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// The wall clock time of a monotonic moment. Telemetry times come from here, so they never go backwards.
    pub(crate) fn wall(&self, moment: Instant) -> OffsetDateTime {
        self.wall + moment.saturating_duration_since(self.start)
    }

    /// The monotonic moment of a time on the wall clock, since the epoch: within the sandbox lifetime, and not in the future.
    pub(crate) fn moment(&self, wall: Duration) -> Instant {
        let since_start = OffsetDateTime::UNIX_EPOCH + wall - self.wall;
        let since_start = Duration::try_from(since_start).unwrap_or_default();
        self.start.checked_add(since_start).unwrap_or(self.start).min(Instant::now())
    }

    /// The time since the start of the sandbox.
    pub(crate) fn since_start(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.start)
    }

    /// All entries so far, sorted by time: the child takes the time of an exec, which is recorded a little later.
    pub(crate) fn read(&self) -> Vec<Entry> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone();
        entries.sort_by_key(|entry| entry.at);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_in_the_order_of_their_moments() {
        let journal = Journal::start();
        let early = Instant::now();
        journal.write(JournalEvent::Thawed);
        journal.write_at(early, JournalEvent::Frozen);
        let read: Vec<JournalEvent> = journal.read().into_iter().map(|entry| entry.what).collect();
        assert_eq!(read, [JournalEvent::Frozen, JournalEvent::Thawed]);
    }

    #[test]
    fn a_wall_time_is_a_moment_of_the_sandboxs_life() {
        let journal = Journal::start();
        let epoch = |wall: OffsetDateTime| Duration::try_from(wall - OffsetDateTime::UNIX_EPOCH).unwrap();
        let moment = journal.moment(epoch(journal.wall));
        assert_eq!(journal.since_start(moment), Duration::ZERO);
        assert_eq!(journal.since_start(journal.moment(Duration::ZERO)), Duration::ZERO);
        assert!(journal.moment(epoch(journal.wall) + Duration::from_hours(1)) <= Instant::now());
    }

    #[test]
    fn the_wall_clock_advances_with_the_monotonic_one() {
        let journal = Journal::start();
        let moment = Instant::now();
        assert_eq!(
            journal.wall(moment + Duration::from_millis(1500)) - journal.wall(moment),
            Duration::from_millis(1500)
        );
    }
}
