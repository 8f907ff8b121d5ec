//! A destination: one endpoint and API key, with its queue, its requests in flight and its backoff. Destinations do not affect each other.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{
    DropCounts, MAX_BYTES,
    backoff::Backoff,
    send_queue::{DropOrder, QueuedPayload, SendQueue},
};
use crate::intake::{Kind, Target};

/// Maximum number of requests in flight to a destination, not counting overdue ones.
pub const MAX_IN_FLIGHT: usize = 4;
/// Maximum size of the bodies in flight to a destination, in bytes, not counting the first one and overdue requests.
const MAX_IN_FLIGHT_BYTES: usize = MAX_BYTES / 8;
/// Maximum number of overdue requests to a destination while another request probes whether it responds.
pub const MAX_OVERDUE: usize = 4;
/// Maximum size of their bodies in bytes.
const MAX_OVERDUE_BYTES: usize = MAX_BYTES / 4;
/// Above these limits, the oldest overdue request is abandoned once it has been in flight for this long. The time for which the sandbox was frozen
/// counts. The request's own timeout does not count it, and may be hours away.
const ABANDON_AFTER: Duration = Duration::from_secs(30);
/// Bounds of the time after which a request is overdue, which is the longest response time so far. The lower bound tolerates a slow moment of a fast
/// intake. The upper bound discards response times that include a freeze of the sandbox.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);
/// Minimum pause after a request becomes overdue, before another request probes whether the destination responds at all.
const OVERDUE_PAUSE: Duration = Duration::from_secs(1);
/// Maximum pause once the sandbox is about to end.
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// A destination and its state.
#[derive(Debug)]
pub struct Destination {
    /// The kind of intake.
    pub kind: Kind,
    /// The endpoint: the primary one or an additional one.
    pub to: Target,
    queue: SendQueue,
    requests: Vec<Request>,
    backoff: Backoff,
    /// Number of consecutive failed requests.
    failures: u32,
    /// The longest response time so far.
    longest_answer: Duration,
    /// A flush waited for one of its requests for the maximum time without a response, and none has been answered since.
    outlasted_hold: bool,
    /// The sandbox is about to end.
    finishing: bool,
}

/// A request in flight.
#[derive(Debug)]
struct Request {
    number: u64,
    since: Instant,
    body: usize,
    bytes: usize,
    items: DropCounts,
    /// No flush waits for it any longer.
    left_in_flight: bool,
    /// A flush waited the maximum time for it.
    outlasted_hold: bool,
    overdue: bool,
    /// Aborts the request; None once that was done.
    abandon: Option<Arc<Notify>>,
}

/// What a flush can expect of the requests that it waits for, and so how long it may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// There are no requests.
    None,
    /// Their destinations are failing, or are not known to respond in time.
    Short,
    /// At least one request is to a destination that responds.
    Full,
}

/// The reason why a flush stops waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldEnd {
    /// The maximum wait is over.
    TimeUp,
    /// The invocation's deadline has come. This says nothing about the requests in flight.
    Deadline,
}

impl Destination {
    fn new(kind: Kind, to: Target, finishing: bool) -> Self {
        Self {
            kind,
            to,
            queue: SendQueue::default(),
            requests: Vec::new(),
            backoff: Backoff::default(),
            failures: 0,
            longest_answer: Duration::ZERO,
            outlasted_hold: false,
            finishing,
        }
    }

    /// Queues a payload.
    pub fn queue(&mut self, payload: QueuedPayload) {
        self.queue.push(payload);
    }

    /// The queue.
    pub fn queued(&mut self) -> &mut SendQueue {
        &mut self.queue
    }

    /// The next payload to send now, if any. While requests fail, one payload is sent at a time until one succeeds.
    pub fn next_to_send(&mut self, now: Instant) -> Option<QueuedPayload> {
        self.notice_overdue(now);
        let failing = self.backoff.is_failing();
        let next = if failing { self.queue.least_failed() } else { self.queue.oldest() };
        let bytes = next.map(|payload| payload.payload.body.len())?;
        if !self.backoff.is_ready(now) || !self.may_be_in_flight(bytes) || !self.make_room(now) {
            return None;
        }
        if failing { self.queue.pop_least_failed() } else { self.queue.pop_oldest() }
    }

    /// Records that a payload is in flight. Notifying the returned value aborts its request.
    pub fn begin(&mut self, number: u64, now: Instant, payload: &QueuedPayload) -> Arc<Notify> {
        let abandon = Arc::new(Notify::new());
        self.requests.push(Request {
            number,
            since: now,
            body: payload.body_address(),
            bytes: payload.payload.body.len(),
            items: payload.items(),
            left_in_flight: false,
            outlasted_hold: false,
            overdue: false,
            abandon: Some(abandon.clone()),
        });
        abandon
    }

    /// Records that a request succeeded.
    pub fn succeed(&mut self, number: u64, took: Duration) {
        self.longest_answer = self.longest_answer.max(took);
        self.backoff.succeed();
        self.failures = 0;
        // A late response to a request for which a flush stopped waiting does not show that the next one will be answered in time.
        let request = self.end(number);
        self.outlasted_hold &= request.is_some_and(|request| request.outlasted_hold);
    }

    /// Records that a request failed. Returns the number of consecutive failures.
    pub fn fail(&mut self, number: u64, now: Instant, retry_after: Option<Duration>) -> u32 {
        // An overdue request has already caused a pause.
        if !self.end(number).is_some_and(|request| request.overdue) || retry_after.is_some() {
            self.pause(now, retry_after);
        }
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// Records that a request was rejected for good, which says nothing about other payloads.
    pub fn refuse(&mut self, number: u64) {
        self.end(number);
    }

    /// Whether the destination is failing, so that it gets a single attempt.
    pub fn is_failing(&self) -> bool {
        self.backoff.is_failing()
    }

    /// What a flush can expect of the requests that it waits for.
    pub fn hold(&self) -> Hold {
        if self.requests.iter().all(|request| request.left_in_flight) {
            Hold::None
        } else if self.backoff.is_failing() || self.outlasted_hold {
            Hold::Short
        } else {
            Hold::Full
        }
    }

    /// Records that flushes no longer wait for the requests in flight.
    pub fn stop_waiting(&mut self, reason: HoldEnd) {
        let outlasted = reason == HoldEnd::TimeUp && self.hold() == Hold::Full;
        for request in self.requests.iter_mut().filter(|request| !request.left_in_flight) {
            request.left_in_flight = true;
            request.outlasted_hold = outlasted;
        }
        self.outlasted_hold |= outlasted;
    }

    /// Whether a request is in flight that a flush waits for and that is not overdue.
    pub fn is_sending(&self, now: Instant) -> bool {
        let patience = self.patience();
        self.requests.iter().any(|request| !request.left_in_flight && !request.is_overdue(now, patience))
    }

    /// Whether a request is in flight that is likely to be answered soon: no request has been in flight for longer than 5 s, and the destination has
    /// not failed or been too slow since its last success.
    pub fn may_soon_answer(&self, now: Instant) -> bool {
        let is_late = |request: &Request| now - request.since > LONGEST_PATIENCE;
        self.failures == 0
            && !self.outlasted_hold
            && !self.requests.iter().any(is_late)
            && self.requests.iter().any(|request| !request.left_in_flight)
    }

    /// Whether the queue is empty and no request is in flight.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.requests.is_empty()
    }

    /// Keeps all pauses short from now on, because the sandbox is about to end.
    pub fn finish(&mut self) {
        self.finishing = true;
        self.backoff.reset();
    }

    /// The items in flight, which are lost if their requests do not succeed.
    pub fn in_flight(&self) -> DropCounts {
        let mut all = DropCounts::default();
        self.requests.iter().for_each(|request| all.add(request.items));
        all
    }

    fn end(&mut self, number: u64) -> Option<Request> {
        let index = self.requests.iter().position(|request| request.number == number)?;
        Some(self.requests.swap_remove(index))
    }

    /// Whether a request of this many bytes may join the requests in flight that are not overdue.
    fn may_be_in_flight(&self, bytes: usize) -> bool {
        let most = if self.backoff.is_failing() { 1 } else { MAX_IN_FLIGHT };
        let in_flight = || self.requests.iter().filter(|request| !request.overdue);
        let beside_first: usize = in_flight().skip(1).map(|request| request.bytes).sum();
        in_flight().next().is_none() || (in_flight().count() < most && beside_first + bytes <= MAX_IN_FLIGHT_BYTES)
    }

    /// Whether the overdue requests leave room for another one. If they are too many or too large, abandons the oldest of them that are old enough.
    fn make_room(&mut self, now: Instant) -> bool {
        // Once the sandbox is about to end, a payload cannot be left for later.
        while !self.finishing {
            let mut overdue: Vec<_> = self.requests.iter_mut().filter(|request| request.is_held_open()).collect();
            let bytes: usize = overdue.iter().map(|request| request.bytes).sum();
            if overdue.len() <= MAX_OVERDUE && bytes <= MAX_OVERDUE_BYTES {
                return true;
            }
            let oldest = overdue
                .iter_mut()
                .min_by_key(|request| request.since)
                .filter(|oldest| now - oldest.since >= ABANDON_AFTER);
            let Some(oldest) = oldest else { return false };
            oldest.abandon.take().iter().for_each(|abandon| abandon.notify_one());
        }
        true
    }

    /// Treats each newly overdue request as a failure, until it or another request is answered.
    fn notice_overdue(&mut self, now: Instant) {
        let patience = self.patience();
        let mut noticed = false;
        for request in self.requests.iter_mut().filter(|request| !request.overdue) {
            request.overdue = request.is_overdue(now, patience);
            noticed |= request.overdue;
        }
        if noticed {
            self.pause(now, Some(OVERDUE_PAUSE));
        }
    }

    fn pause(&mut self, now: Instant, at_least: Option<Duration>) {
        self.backoff.fail(now, at_least);
        if self.finishing {
            self.backoff.shorten(now + LAST_PAUSE);
        }
    }

    fn patience(&self) -> Duration {
        self.longest_answer.clamp(SHORTEST_PATIENCE, LONGEST_PATIENCE)
    }
}

impl Request {
    /// Whether the request counts towards the limits of overdue requests.
    fn is_held_open(&self) -> bool {
        self.overdue && self.abandon.is_some()
    }

    fn is_overdue(&self, now: Instant, patience: Duration) -> bool {
        self.overdue || now - self.since > patience
    }
}

/// All destinations for which a payload was ever queued: a handful.
#[derive(Debug, Default)]
pub struct Destinations {
    all: Vec<Destination>,
    finishing: bool,
}

impl Destinations {
    /// Queues a payload for its destination.
    pub fn queue(&mut self, payload: QueuedPayload) {
        let (kind, to) = (payload.payload.kind, &payload.payload.to);
        let known = self.all.iter_mut().find(|destination| destination.kind == kind && destination.to == *to);
        if let Some(destination) = known {
            destination.queue(payload);
            return;
        }
        let mut destination = Destination::new(kind, to.clone(), self.finishing);
        destination.queue(payload);
        self.all.push(destination);
    }

    /// A destination by index. The index of a destination never changes.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Destination> {
        self.all.get_mut(index)
    }

    /// All destinations.
    pub fn iter(&self) -> impl Iterator<Item = &Destination> {
        self.all.iter()
    }

    /// All destinations, mutable.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Destination> {
        self.all.iter_mut()
    }

    /// Whether all queues are empty.
    pub fn have_nothing_queued(&self) -> bool {
        self.all.iter().all(|destination| destination.queue.is_empty())
    }

    /// Keeps all pauses short from now on, because the sandbox is about to end.
    pub fn finish(&mut self) {
        self.finishing = true;
        self.all.iter_mut().for_each(Destination::finish);
    }

    /// Order of the first queued payload whose removal frees memory. A body that is also in flight to another destination would stay in memory.
    pub fn first_to_drop(&self) -> Option<DropOrder> {
        self.droppable().map(QueuedPayload::drop_order).min()
    }

    /// Drops the body of that payload from all queues.
    pub fn drop_first(&mut self) -> DropCounts {
        let first = self.droppable().min_by_key(|payload| payload.drop_order()).map(QueuedPayload::body_address);
        let mut dropped = DropCounts::default();
        for destination in &mut self.all {
            if let Some(body) = first {
                dropped.add(destination.queue.take_body(body));
            }
        }
        dropped
    }

    /// The oldest payload of each destination that may be dropped.
    fn droppable(&self) -> impl Iterator<Item = &QueuedPayload> {
        let requests = || self.all.iter().flat_map(|destination| &destination.requests);
        let in_flight = move |body: usize| requests().any(|request| request.body == body);
        self.all
            .iter()
            .filter_map(move |destination| destination.queue.iter().find(|payload| !in_flight(payload.body_address())))
    }
}

#[cfg(test)]
#[path = "destination_tests.rs"]
mod tests;
