//! The queue of payloads for one destination.

use std::{collections::VecDeque, time::Duration};

use tokio::time::Instant;

use super::DropCounts;
use crate::intake::{Kind, Payload};

/// Maximum age of a payload of this kind.
///
/// Source: Datadog API reference: "Submit metrics" accepts points of the last hour, "Send logs" logs of the last 18 hours. For the others no limit is
/// documented; what is older than four hours is of little use where it arrives, and keeps memory from what is new.
pub fn max_age(kind: Kind) -> Duration {
    match kind {
        Kind::Sketches | Kind::Series => Duration::from_hours(1),
        Kind::Logs => Duration::from_hours(18),
        Kind::Traces | Kind::Stats | Kind::Proxied(_) => Duration::from_hours(4),
    }
}

/// Maximum number of flushes in which sending a payload fails. The payload itself may be the reason.
pub const MAX_FLUSHES: u32 = 16;
/// Maximum number of requests with a payload that were written and not answered in time. Each may have arrived, so each retry may count its data
/// twice.
pub const MAX_UNANSWERED: u32 = 2;

/// A queued payload with its history.
#[derive(Debug)]
pub struct QueuedPayload {
    /// The payload.
    pub payload: Payload,
    /// Order by age of the data: the lowest sequence is the oldest.
    pub sequence: u64,
    /// When the data was taken from the aggregates.
    pub since: Instant,
    /// Number of flushes in which sending it failed.
    pub failed_flushes: u32,
    /// Number of its requests that were not answered in time.
    pub unanswered: u32,
}

/// The order in which data gives way where memory is short: the lowest first. What tracers have sent never costs logs or metrics their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DropOrder {
    is_of_function: bool,
    sequence: u64,
}

impl DropOrder {
    /// The order of data of this kind and age.
    pub fn of(kind: Kind, sequence: u64) -> Self {
        Self { is_of_function: !kind.is_of_tracers(), sequence }
    }
}

/// The limit that a payload has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// This [`max_age`].
    Age(Duration),
    /// [`MAX_FLUSHES`].
    Flushes,
    /// [`MAX_UNANSWERED`].
    Unanswered,
}

impl QueuedPayload {
    /// Creates a payload that was never sent.
    pub fn new(payload: Payload, sequence: u64, since: Instant) -> Self {
        Self { payload, sequence, since, failed_flushes: 0, unanswered: 0 }
    }

    /// The limit that the payload has reached, if any.
    pub fn limit(&self, now: Instant) -> Option<Limit> {
        if self.unanswered >= MAX_UNANSWERED {
            Some(Limit::Unanswered)
        } else if self.failed_flushes >= MAX_FLUSHES {
            Some(Limit::Flushes)
        } else {
            self.is_expired(now).then(|| Limit::Age(max_age(self.payload.kind)))
        }
    }

    fn is_expired(&self, now: Instant) -> bool {
        now - self.since > max_age(self.payload.kind)
    }

    /// When it gives way.
    pub fn drop_order(&self) -> DropOrder {
        DropOrder::of(self.payload.kind, self.sequence)
    }

    /// Address of the body, which identifies it. Several destinations may share a body.
    pub fn body_address(&self) -> usize {
        self.payload.body.as_ptr().addr()
    }

    /// The items that are lost with the payload.
    pub fn items(&self) -> DropCounts {
        DropCounts::of(&self.payload)
    }
}

/// The queued payloads, oldest first.
#[derive(Debug, Default)]
pub struct SendQueue(VecDeque<QueuedPayload>);

impl SendQueue {
    /// Inserts a payload by its sequence.
    pub fn push(&mut self, payload: QueuedPayload) {
        let index = self.0.partition_point(|other| other.sequence <= payload.sequence);
        self.0.insert(index, payload);
    }

    /// The oldest payload.
    pub fn oldest(&self) -> Option<&QueuedPayload> {
        self.0.front()
    }

    /// The payload that [`Self::pop_least_failed`] would remove.
    pub fn least_failed(&self) -> Option<&QueuedPayload> {
        self.0.iter().min_by_key(|payload| payload.failed_flushes)
    }

    /// Removes the oldest payload.
    pub fn pop_oldest(&mut self) -> Option<QueuedPayload> {
        self.0.pop_front()
    }

    /// Removes the payload with the fewest failed flushes, and of those the oldest, so that a payload that always fails does not block the others.
    pub fn pop_least_failed(&mut self) -> Option<QueuedPayload> {
        let least = self.0.iter().enumerate().min_by_key(|(_, payload)| payload.failed_flushes);
        let index = least.map(|(index, _)| index)?;
        self.0.remove(index)
    }

    /// Removes the oldest payload if it exceeds the maximum age of its kind. All payloads of a destination are of one kind.
    pub fn pop_expired(&mut self, now: Instant) -> Option<QueuedPayload> {
        self.0.pop_front_if(|oldest| oldest.is_expired(now))
    }

    /// Removes all payloads with this body.
    pub fn take_body(&mut self, body: usize) -> DropCounts {
        let mut items = DropCounts::default();
        self.0.retain(|queued| {
            let found = queued.body_address() == body;
            if found {
                items.add(queued.items());
            }
            !found
        });
        items
    }

    /// Removes all payloads.
    pub fn drain(&mut self) -> impl Iterator<Item = QueuedPayload> {
        self.0.drain(..)
    }

    /// The payloads, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &QueuedPayload> {
        self.0.iter()
    }

    /// Whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::Target;

    const HOUR: Duration = Duration::from_hours(1);

    fn queued(sequence: u64, since: Instant) -> QueuedPayload {
        let body = vec![0; 1].into();
        let payload =
            Payload { kind: Kind::Series, to: Target::Primary, head: None, body, compressed: false, items: sequence };
        QueuedPayload::new(payload, sequence, since)
    }

    fn sequence(payload: Option<QueuedPayload>) -> Option<u64> {
        payload.map(|payload| payload.sequence)
    }

    #[test]
    fn the_oldest_leaves_first_however_often_it_came_back() {
        let (mut queue, now) = (SendQueue::default(), Instant::now());
        for number in [1, 2, 3] {
            queue.push(queued(number, now));
        }
        let oldest = queue.pop_oldest().unwrap();
        assert_eq!(oldest.sequence, 1);
        queue.push(oldest);
        assert_eq!([(); 4].map(|()| sequence(queue.pop_oldest())), [Some(1), Some(2), Some(3), None]);
        assert!(queue.is_empty());
    }

    #[test]
    fn a_payload_that_always_fails_does_not_keep_the_others_from_being_tried() {
        let (mut queue, now) = (SendQueue::default(), Instant::now());
        queue.push(QueuedPayload { failed_flushes: 2, ..queued(1, now) });
        queue.push(QueuedPayload { failed_flushes: 1, ..queued(2, now) });
        queue.push(QueuedPayload { failed_flushes: 1, ..queued(3, now) });
        assert_eq!([(); 3].map(|()| sequence(queue.pop_least_failed())), [Some(2), Some(3), Some(1)]);
    }

    #[test]
    fn a_payload_is_given_up_at_its_age_its_failed_flushes_or_its_unanswered_requests() {
        let now = Instant::now();
        let payload = queued(1, now);
        assert_eq!(payload.limit(now + HOUR), None);
        assert_eq!(payload.limit(now + HOUR + Duration::from_secs(1)), Some(Limit::Age(HOUR)));
        assert_eq!(QueuedPayload { failed_flushes: 15, ..queued(1, now) }.limit(now), None);
        let failed = QueuedPayload { failed_flushes: 16, ..queued(1, now) };
        assert_eq!(failed.limit(now), Some(Limit::Flushes));
        assert_eq!(QueuedPayload { unanswered: 1, ..queued(1, now) }.limit(now), None);
        let unanswered = QueuedPayload { unanswered: 2, ..queued(1, now) };
        assert_eq!(unanswered.limit(now), Some(Limit::Unanswered));
    }

    #[test]
    fn the_maximum_age_is_that_of_the_kind() {
        let now = Instant::now();
        for (kind, hours) in [(Kind::Series, 1), (Kind::Sketches, 1), (Kind::Logs, 18), (Kind::Traces, 4)] {
            let mut payload = queued(1, now);
            payload.payload.kind = kind;
            assert_eq!(payload.limit(now + HOUR * hours), None, "{kind}");
            assert_eq!(
                payload.limit(now + HOUR * hours + Duration::from_secs(1)),
                Some(Limit::Age(HOUR * hours)),
                "{kind}"
            );
        }
    }

    #[test]
    fn only_what_is_too_old_expires() {
        let (mut queue, now) = (SendQueue::default(), Instant::now());
        queue.push(queued(1, now));
        queue.push(queued(2, now + HOUR));
        let later = now + HOUR + Duration::from_secs(1);
        assert_eq!(sequence(queue.pop_expired(now + HOUR)), None);
        assert_eq!(sequence(queue.pop_expired(later)), Some(1));
        assert_eq!(sequence(queue.pop_expired(later)), None);
        assert_eq!(queue.drain().count(), 1);
    }
}
