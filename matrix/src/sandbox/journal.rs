//! What happened in the sandbox and when, stamped at the very point of the event.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use time::OffsetDateTime;

use super::faults::{Effect, Endpoint};
use super::footprint::Footprint;
use super::setup::Origin;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Monotonic time since the sandbox was started.
    pub at: Duration,
    /// The same moment on the wall clock.
    pub wall: OffsetDateTime,
    /// What happened.
    pub what: JournalEvent,
}

/// The things that happen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JournalEvent {
    /// The sandbox has a network of its own.
    NetworkIsolated,
    /// The sandbox shares the host's network although it was asked not to; the reason is the system's.
    NetworkShared { reason: String },
    /// The sandbox's own network lacks the interface that Lambda's has, so nothing can be read about its traffic; the reason is the system's.
    InterfaceMissing { reason: String },
    /// The sandbox sees the machine's processes beside its own, and what they use counts as used by the function. A process that has left its parent as well as
    /// its session is not known to be the sandbox's. The reason is the system's.
    ProcessesShared { reason: String },
    /// The sandbox has directories of its own in the place of the machine's.
    MountsPrivate,
    /// The sandbox sees the machine's directories, control groups included, although it was asked not to; the reason is the system's.
    MountsShared { reason: String },
    /// Processes have the CPU of their memory tier.
    CpuOfTier,
    /// Processes have all the CPU time that they can get although they were asked not to; the reason is the system's.
    CpuUnlimited { reason: String },
    /// Extensions cannot be stopped for their footprints although it was asked for; the reason is the system's, or that there are several.
    FootprintsLate { reason: String },
    /// An init began: `init` the first time, `invoke` when it runs inside an invocation.
    InitStarted { phase: &'static str },
    /// A process came to life: the moment just before its `execve`, read by the child itself.
    Executed { origin: Origin, pid: i32 },
    /// The files of an extension that is about to be executed were dropped from the page cache; so many bytes of them are in memory nevertheless.
    PagesDropped { name: String, remaining: u64 },
    /// They could not be dropped; the reason is the system's.
    PagesNotDropped { name: String, reason: String },
    /// A process could not be started.
    NotExecuted { origin: Origin, reason: String },
    /// An extension registered. The moment is that of the request's arrival.
    Registered { name: String, internal: bool },
    /// A request to one of the APIs was refused.
    Refused { endpoint: Endpoint, error_type: String },
    /// An extension subscribed to telemetry.
    Subscribed { name: String },
    /// An extension asked for its next event.
    ExtensionNext { name: String },
    /// What an extension had used when it first asked for an event. One that was `stopped` stood still from then on; otherwise it is what it had used a
    /// little later.
    Footprint { name: String, footprint: Footprint, stopped: bool },
    /// The share of the memory tier is in force from now on.
    Throttled,
    /// An extension reported that it can't start or go on.
    ExtensionError { name: String, error_type: String },
    /// The function's runtime was started: a process or, for in-process functions, a thread.
    RuntimeStarted,
    /// The runtime asked for its next event.
    RuntimeNext,
    /// The runtime waits to be restored from a snapshot.
    RuntimeRestoreNext,
    /// An init ended with this status: `success`, `error` or `timeout`.
    InitOver { phase: &'static str, status: &'static str },
    /// A restore from a snapshot began.
    RestoreStarted,
    /// It ended.
    RestoreOver,
    /// An event was handed to the runtime and to the extensions that want it.
    Invoked { request_id: String },
    /// The runtime answered.
    Answered { request_id: String, bytes: usize, error_type: Option<String> },
    /// The runtime is done with the request, one way or another.
    RuntimeDone { request_id: String, status: &'static str },
    /// Everything about the request is done, extensions included.
    InvocationOver { request_id: String, status: &'static str },
    /// The processes were stopped until the next event.
    Frozen,
    /// They go on.
    Thawed,
    /// A shutdown began, for this reason: `spindown`, `timeout` or `failure`.
    ShutdownStarted { reason: &'static str },
    /// A SHUTDOWN event was handed to an extension.
    ShutdownSent { name: String },
    /// A process was asked to end with SIGTERM.
    Terminated { origin: Origin },
    /// A process was killed.
    Killed { origin: Origin },
    /// A process ended; the status reads like `exit status: 0` or `signal: 9 (SIGKILL)`.
    Exited { origin: Origin, status: String },
    /// The CPU time that a process, without those that it has started, had used from its exec to its end.
    Used { origin: Origin, cpu: Duration },
    /// The shutdown is over; nobody is left.
    ShutdownOver,
    /// A batch of telemetry was accepted by a subscriber.
    Delivered { subscriber: String, events: usize, bytes: usize },
    /// An attempt at a batch failed: no connection, or an answer other than 200.
    Undelivered { subscriber: String, events: usize, reason: String },
    /// Telemetry was given up.
    Dropped { subscriber: String, events: usize, bytes: usize },
    /// A planned fault was played.
    Fault { endpoint: Endpoint, effect: Effect },
}

/// The journal itself: append only, readable at any time from any thread.
#[derive(Debug)]
pub(crate) struct Journal {
    start: Instant,
    monotonic: Duration,
    wall: OffsetDateTime,
    entries: Mutex<Vec<Entry>>,
}

impl Journal {
    pub(crate) fn start() -> Self {
        // Growing the vector in the middle of a start would show up in what is being measured.
        let entries = Mutex::new(Vec::with_capacity(1024));
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        Self { start: Instant::now(), monotonic, wall: OffsetDateTime::now_utc(), entries }
    }

    /// `CLOCK_MONOTONIC` at the start, to within a microsecond: what other processes' stamps can be compared with.
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

    /// The wall clock at a monotonic moment. Telemetry times come from here, so that they never run backwards.
    pub(crate) fn wall(&self, moment: Instant) -> OffsetDateTime {
        self.wall + moment.saturating_duration_since(self.start)
    }

    /// How long after the start a moment is.
    pub(crate) fn since_start(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.start)
    }

    /// Everything so far, in order of time: an exec is stamped by the child and written a little later.
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
    fn the_wall_clock_advances_with_the_monotonic_one() {
        let journal = Journal::start();
        let moment = Instant::now();
        assert_eq!(
            journal.wall(moment + Duration::from_millis(1500)) - journal.wall(moment),
            Duration::from_millis(1500)
        );
    }
}
