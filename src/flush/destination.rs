//! One intake of one account: its queue, its share of the requests in flight, and how it has answered so far. None costs another anything.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Notify, time::Instant};

use super::{
    Dropped,
    backoff::Backoff,
    flusher::MAX_BYTES,
    send_queue::{QueuedPayload, SendQueue},
};
use crate::intake::{Kind, Target};

/// How many requests may be in flight to one destination, beside those that are overdue.
pub const MAX_IN_FLIGHT: usize = 4;
/// Maximum of the bodies in flight to one destination beside the first, in bytes. Overdue requests do not count here.
const MAX_IN_FLIGHT_BYTES: usize = MAX_BYTES / 8;
/// How many requests may be overdue at one destination while another one finds out whether it answers.
pub const MAX_OVERDUE: usize = 4;
/// Maximum of their bodies, in bytes.
const MAX_OVERDUE_BYTES: usize = MAX_BYTES / 4;
/// Above these bounds, the oldest request makes room for another one once it is in flight for so long. The time for which the sandbox was frozen counts: the
/// request's own timeout does not count it, and may be hours away.
const ABANDON_AFTER: Duration = Duration::from_secs(30);
/// A request is overdue once it is in flight for longer than any that was answered, within these bounds: a quick intake may have a slow moment, and the time for
/// which the sandbox was frozen is no measure of anything.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_PATIENCE: Duration = Duration::from_secs(5);
/// The least pause once a request is overdue, before another one finds out whether the destination answers at all.
const OVERDUE_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause once the sandbox is about to end.
const LAST_PAUSE: Duration = Duration::from_millis(100);

/// Everything about a destination.
#[derive(Debug)]
pub struct Destination {
    /// Which intake.
    pub kind: Kind,
    /// Whose.
    pub to: Target,
    queue: SendQueue,
    requests: Vec<Request>,
    backoff: Backoff,
    /// How many requests in a row ended without success.
    failures: u32,
    /// The longest that it took to answer.
    longest_answer: Duration,
    /// A flush waited for one of its requests as long as it could, in vain, and none was answered since.
    outlasted_hold: bool,
    /// There is no later.
    finishing: bool,
}

/// A request in flight.
#[derive(Debug)]
struct Request {
    number: u64,
    since: Instant,
    body: usize,
    bytes: usize,
    items: Dropped,
    /// No flush waits for it any more.
    left_behind: bool,
    /// It was left behind by a flush that waited as long as it could.
    outlasted_hold: bool,
    overdue: bool,
    /// Ends it early; None once that has been done.
    abandon: Option<Arc<Notify>>,
}

/// What may be expected of the requests that a flush waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hold {
    /// There are none.
    None,
    /// Their destinations fail, or are not known to answer in time.
    Short,
    /// At least one is to a destination that answers.
    Full,
}

/// Why a flush does not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldEnd {
    /// It has waited as long as it may.
    TimeUp,
    /// The function's time ends: nothing follows from that for what is under way.
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

    /// Keeps a payload until it can be sent.
    pub fn queue(&mut self, payload: QueuedPayload) {
        self.queue.push(payload);
    }

    /// What waits.
    pub fn queued(&mut self) -> &mut SendQueue {
        &mut self.queue
    }

    /// The payload that is to be sent now, if one is. Where requests fail one is sent at a time, until one arrives.
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

    /// A payload is in flight from now on. Its request ends early when it is notified.
    pub fn begin(&mut self, number: u64, now: Instant, payload: &QueuedPayload) -> Arc<Notify> {
        let abandon = Arc::new(Notify::new());
        self.requests.push(Request {
            number,
            since: now,
            body: payload.body_address(),
            bytes: payload.payload.body.len(),
            items: payload.items(),
            left_behind: false,
            outlasted_hold: false,
            overdue: false,
            abandon: Some(abandon.clone()),
        });
        abandon
    }

    /// A request was answered: the payload arrived.
    pub fn succeed(&mut self, number: u64, took: Duration) {
        self.longest_answer = self.longest_answer.max(took);
        self.backoff.succeed();
        self.failures = 0;
        // That a request was answered at some time after a flush stopped waiting for it does not show that the next will be answered in time.
        let request = self.end(number);
        self.outlasted_hold &= request.is_some_and(|request| request.outlasted_hold);
    }

    /// A request failed. Returns how many did so in a row.
    pub fn fail(&mut self, number: u64, now: Instant, retry_after: Option<Duration>) -> u32 {
        // One that was overdue has caused its pause already.
        if !self.end(number).is_some_and(|request| request.overdue) || retry_after.is_some() {
            self.pause(now, retry_after);
        }
        self.failures = self.failures.saturating_add(1);
        self.failures
    }

    /// A request was refused for good: nothing follows from that for others.
    pub fn refuse(&mut self, number: u64) {
        self.end(number);
    }

    /// Whether it fails, so that trying often makes no sense.
    pub fn is_failing(&self) -> bool {
        self.backoff.is_failing()
    }

    /// What may be expected of the requests that a flush waits for.
    pub fn hold(&self) -> Hold {
        if self.requests.iter().all(|request| request.left_behind) {
            Hold::None
        } else if self.backoff.is_failing() || self.outlasted_hold {
            Hold::Short
        } else {
            Hold::Full
        }
    }

    /// No flush waits any more for what is in flight.
    pub fn stop_waiting(&mut self, reason: HoldEnd) {
        let outlasted = reason == HoldEnd::TimeUp && self.hold() == Hold::Full;
        for request in self.requests.iter_mut().filter(|request| !request.left_behind) {
            request.left_behind = true;
            request.outlasted_hold = outlasted;
        }
        self.outlasted_hold |= outlasted;
    }

    /// Whether a request is in flight that can be expected to be answered.
    pub fn is_sending(&self, now: Instant) -> bool {
        let patience = self.patience();
        self.requests.iter().any(|request| !request.left_behind && !request.is_overdue(now, patience))
    }

    /// Whether a request is in flight whose answer is not late by any measure: neither is one that has been in flight for as long as an intake may take, nor has
    /// this one failed or been too slow before.
    pub fn may_soon_answer(&self, now: Instant) -> bool {
        let is_late = |request: &Request| now - request.since > LONGEST_PATIENCE;
        self.failures == 0
            && !self.outlasted_hold
            && !self.requests.iter().any(is_late)
            && self.requests.iter().any(|request| !request.left_behind)
    }

    /// Whether nothing waits and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.requests.is_empty()
    }

    /// The sandbox is about to end: no pause is long from now on.
    pub fn finish(&mut self) {
        self.finishing = true;
        self.backoff.reset();
    }

    /// What is in flight, and lost if it does not arrive.
    pub fn in_flight(&self) -> Dropped {
        let mut all = Dropped::default();
        self.requests.iter().for_each(|request| all.add(request.items));
        all
    }

    fn end(&mut self, number: u64) -> Option<Request> {
        let index = self.requests.iter().position(|request| request.number == number)?;
        Some(self.requests.swap_remove(index))
    }

    /// Whether a request of so many bytes may join those that are not overdue.
    fn may_be_in_flight(&self, bytes: usize) -> bool {
        let most = if self.backoff.is_failing() { 1 } else { MAX_IN_FLIGHT };
        let in_flight = || self.requests.iter().filter(|request| !request.overdue);
        let beside_first: usize = in_flight().skip(1).map(|request| request.bytes).sum();
        in_flight().next().is_none() || (in_flight().count() < most && beside_first + bytes <= MAX_IN_FLIGHT_BYTES)
    }

    /// Whether the overdue requests allow another one. If they are too many or too large, the oldest end if they are old enough.
    fn make_room(&mut self, now: Instant) -> bool {
        // There is no later to which a payload could be left.
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

    /// A request that is overdue counts as one that failed, until it or another is answered.
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
    /// Whether it takes a place among those that are overdue.
    fn is_held_open(&self) -> bool {
        self.overdue && self.abandon.is_some()
    }

    fn is_overdue(&self, now: Instant, patience: Duration) -> bool {
        self.overdue || now - self.since > patience
    }
}

/// All destinations that anything was ever queued for: a handful.
#[derive(Debug, Default)]
pub struct Destinations {
    all: Vec<Destination>,
    finishing: bool,
}

impl Destinations {
    /// Keeps a payload for its destination.
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

    /// One of them. The index of a destination never changes.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Destination> {
        self.all.get_mut(index)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Destination> {
        self.all.iter()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Destination> {
        self.all.iter_mut()
    }

    /// Whether nothing waits to be sent.
    pub fn have_nothing_queued(&self) -> bool {
        self.all.iter().all(|destination| destination.queue.is_empty())
    }

    /// The sandbox is about to end: no pause is long from now on.
    pub fn finish(&mut self) {
        self.finishing = true;
        self.all.iter_mut().for_each(Destination::finish);
    }

    /// The age of the oldest payload whose memory would be free without it: one that is in flight to another destination would stay.
    pub fn oldest_to_drop(&self) -> Option<u64> {
        self.droppable().map(|payload| payload.sequence).min()
    }

    /// Drops that payload's body wherever it waits.
    pub fn drop_oldest(&mut self) -> Dropped {
        let oldest = self.droppable().min_by_key(|payload| payload.sequence).map(QueuedPayload::body_address);
        let mut dropped = Dropped::default();
        for destination in &mut self.all {
            if let Some(body) = oldest {
                dropped.add(destination.queue.take_body(body));
            }
        }
        dropped
    }

    /// Of each destination, the oldest payload that may be dropped.
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
