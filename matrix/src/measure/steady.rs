//! Measures what an invocation costs once the extension has settled.

use std::time::Duration;

use super::AGENT;
use super::scenario::EVENT;
use super::start::Failure;
use crate::sandbox::journal::{Entry, JournalEvent};
use crate::sandbox::{Outcome, Sandbox};

/// Number of measured invocations. One that is not measured precedes them, because the first one does one-time work.
const INVOCATIONS: u32 = 3;

/// Means over several invocations in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SteadyState {
    /// CPU time of the extension, from the event to its request for the next one.
    pub cpu: Duration,
    /// The mean of [`next_after_done`].
    pub next_after_done: Duration,
}

/// Measures invocations of a function whose extension has settled.
pub(super) fn measure(sandbox: &Sandbox) -> Result<SteadyState, Failure> {
    let ended = || Failure::program("the extension ended while it was invoked");
    let used = || sandbox.cpu_time(AGENT).ok_or_else(ended);
    invoke(sandbox)?;
    let (before, mut waited) = (used()?, Duration::ZERO);
    for _ in 0..INVOCATIONS {
        let request_id = invoke(sandbox)?;
        let delay = next_after_done(&sandbox.journal(), &request_id, AGENT);
        waited += delay.ok_or_else(|| Failure::program("the extension asked for no event after an invocation"))?;
    }
    let cpu = used()?.saturating_sub(before) / INVOCATIONS;
    Ok(SteadyState { cpu, next_after_done: waited / INVOCATIONS })
}

fn invoke(sandbox: &Sandbox) -> Result<String, Failure> {
    let invocation = sandbox.invoke(EVENT).map_err(|error| Failure::harness(&error))?;
    match invocation.outcome {
        Outcome::Success => Ok(invocation.request_id),
        other => Err(Failure::Program(format!("an invocation of the settled extension did not succeed: {other:?}"))),
    }
}

/// The time from the delivery of `platform.runtimeDone` to the extension's request for the next event; zero if it did not wait for that delivery. `None` if the
/// extension requested no event, or the invocation is not in the journal.
pub fn next_after_done(journal: &[Entry], request_id: &str, extension: &str) -> Option<Duration> {
    let is_begin = |entry: &Entry| matches!(&entry.what, JournalEvent::Invoked { request_id: id } if id == request_id);
    let is_done =
        |entry: &Entry| matches!(&entry.what, JournalEvent::RuntimeDone { request_id: id, .. } if id == request_id);
    let begin = journal.iter().position(is_begin)?;
    let invocation = journal.get(begin..)?;
    let done = invocation.iter().position(is_done)?;
    let next = invocation
        .iter()
        .position(|entry| matches!(&entry.what, JournalEvent::ExtensionNext { name } if name == extension))?;
    // The first delivery after the runtime is done contains `platform.runtimeDone`, or precedes it by a moment.
    let after = invocation.get(done..)?;
    let delivered = after
        .iter()
        .find(|entry| matches!(&entry.what, JournalEvent::Delivered { subscriber, .. } if subscriber == extension));
    let next = invocation.get(next)?.at;
    Some(delivered.map_or(Duration::ZERO, |delivered| next.saturating_sub(delivered.at)))
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn journal(events: &[(u64, JournalEvent)]) -> Vec<Entry> {
        let entry = |(at, what): &(u64, JournalEvent)| Entry {
            at: Duration::from_millis(*at),
            wall: OffsetDateTime::UNIX_EPOCH,
            what: what.clone(),
        };
        events.iter().map(entry).collect()
    }

    fn invoked(id: &str) -> JournalEvent {
        JournalEvent::Invoked { request_id: id.to_owned() }
    }

    fn done(id: &str) -> JournalEvent {
        JournalEvent::RuntimeDone { request_id: id.to_owned(), status: "success" }
    }

    fn next(name: &str) -> JournalEvent {
        JournalEvent::ExtensionNext { name: name.to_owned() }
    }

    fn delivered(name: &str) -> JournalEvent {
        JournalEvent::Delivered { subscriber: name.to_owned(), events: 1, bytes: 1 }
    }

    #[test]
    fn the_request_for_the_next_event_is_timed_from_the_delivery_of_the_end() {
        let journal = journal(&[
            (0, next("a")),
            (1, invoked("before")),
            (2, done("before")),
            (3, delivered("a")),
            (4, next("a")),
            (10, invoked("id")),
            (20, delivered("a")),
            (60, done("id")),
            (70, delivered("b")),
            (71, next("b")),
            (80, delivered("a")),
            (95, next("a")),
            (96, invoked("after")),
        ]);
        let after = |id: &str, name: &str| next_after_done(&journal, id, name).map(|delay| delay.as_millis());
        assert_eq!((after("id", "a"), after("id", "b"), after("before", "a")), (Some(15), Some(1), Some(1)));
        assert_eq!((after("after", "a"), after("unknown", "a"), after("id", "c")), (None, None, None));
    }

    #[test]
    fn an_extension_that_does_not_wait_for_the_end_takes_no_time() {
        let early = journal(&[(10, invoked("id")), (11, next("a")), (60, done("id")), (80, delivered("a"))]);
        let undelivered = journal(&[(10, invoked("id")), (11, next("a")), (60, done("id"))]);
        for journal in [early, undelivered] {
            assert_eq!(next_after_done(&journal, "id", "a"), Some(Duration::ZERO));
        }
    }
}
