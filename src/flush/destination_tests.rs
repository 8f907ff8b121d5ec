use std::sync::Arc;

use super::*;
use crate::{
    config::{ApiKey, Endpoint},
    intake::Payload,
};

const MOMENT: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn queued(sequence: u64) -> QueuedPayload {
    let payload = Payload {
        kind: Kind::Logs,
        to: Target::Primary,
        head: None,
        body: vec![0; 1].into(),
        compressed: false,
        items: 1,
    };
    QueuedPayload::new(payload, sequence, Instant::now())
}

/// A destination with this many queued payloads.
fn destination(payloads: u64) -> Destination {
    let mut destination = Destination::new(Kind::Logs, Target::Primary, false);
    (0..payloads).for_each(|number| destination.queue(queued(number)));
    destination
}

impl Destination {
    /// Sends all payloads that may be sent now. The sequence of each payload is also the number of its request.
    fn send_all(&mut self, now: Instant) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(payload) = self.next_to_send(now) {
            self.begin(payload.sequence, now, &payload);
            sent.push(payload.sequence);
        }
        sent
    }
}

#[test]
fn requests_in_flight_are_limited_to_the_share_of_a_destination() {
    let (mut destination, now) = (destination(10), Instant::now());
    assert_eq!(destination.send_all(now), [0, 1, 2, 3]);
    destination.succeed(1, MOMENT);
    assert_eq!(destination.send_all(now), [4]);
}

#[test]
fn a_failing_destination_gets_one_request_at_a_time_until_one_arrives() {
    let (mut destination, now) = (destination(10), Instant::now());
    assert_eq!(destination.send_all(now).len(), 4);
    for number in 0..3 {
        destination.fail(number, now, None);
    }
    assert!(destination.send_all(now).is_empty(), "it pauses");
    let later = now + Duration::from_secs(1);
    assert!(destination.send_all(later).is_empty(), "the fourth is still in flight");
    destination.fail(3, later, None);
    let later = later + Duration::from_secs(2);
    assert_eq!(destination.send_all(later), [4]);
    destination.succeed(4, MOMENT);
    assert_eq!(destination.send_all(later).len(), 4);
}

#[test]
fn a_destination_with_an_overdue_request_gets_no_other_until_a_pause_is_over() {
    let (mut destination, now) = (destination(3), Instant::now());
    let first = destination.next_to_send(now).unwrap();
    destination.begin(0, now, &first);
    let overdue = now + SECOND + MOMENT;
    assert!(destination.is_sending(overdue - MOMENT) && !destination.is_sending(overdue));
    assert!(destination.send_all(overdue).is_empty());
    assert!(destination.send_all(overdue + SECOND - MOMENT).is_empty());
    assert_eq!(destination.send_all(overdue + SECOND), [1], "it finds out whether the destination answers");
    destination.succeed(1, MOMENT);
    assert_eq!(destination.send_all(overdue + SECOND), [2], "it does; only the first hangs");
}

/// A destination with the maximum number of overdue requests, plus one.
fn hanging(now: Instant) -> Destination {
    let mut destination = destination(20);
    assert_eq!(destination.send_all(now), [0, 1, 2, 3]);
    assert!(destination.send_all(now + Duration::from_secs(2)).is_empty(), "it pauses");
    assert_eq!(destination.send_all(now + Duration::from_secs(4)), [4], "one beyond the bound");
    destination
}

#[test]
fn recovered_destination_gets_a_request_although_others_hang() {
    let now = Instant::now();
    let mut destination = hanging(now);
    destination.succeed(4, MOMENT);
    assert_eq!(destination.send_all(now + Duration::from_secs(4)), [5, 6, 7, 8], "it answers again");
}

#[test]
fn oldest_overdue_request_is_abandoned_for_another_one() {
    let start = Instant::now();
    let mut destination = hanging(start);
    assert!(destination.send_all(start + Duration::from_secs(20)).is_empty(), "it may still be answered");
    let mut now = start + Duration::from_mins(1);
    for number in 5..15 {
        assert_eq!(destination.send_all(now), [number], "one at a time");
        let abandoned =
            destination.requests.iter().filter(|request| request.abandon.is_none()).map(|request| request.number);
        let [abandoned] = abandoned.collect::<Vec<_>>()[..] else { panic!("exactly one") };
        assert_eq!(destination.fail(abandoned, now, None), u32::try_from(number).unwrap() - 4);
        assert_eq!(destination.requests.len(), 4 + 1);
        now += Duration::from_secs(10);
        destination.send_all(now);
        now += Duration::from_secs(50);
    }
}

#[test]
fn overdue_requests_do_not_keep_others_from_being_sent_at_the_end() {
    let now = Instant::now();
    let mut destination = hanging(now);
    let later = now + Duration::from_secs(10);
    destination.send_all(later);
    destination.finish();
    assert_eq!(destination.send_all(later), [5]);
    assert!(destination.requests.iter().all(|request| request.abandon.is_some()), "they may still be answered");
}

#[test]
fn only_requests_that_ended_count_as_failures() {
    let now = Instant::now();
    let mut destination = hanging(now);
    for (number, failures) in [(0, 1), (1, 2), (2, 3)] {
        assert_eq!(destination.fail(number, now + Duration::from_secs(10), None), failures);
    }
    destination.succeed(3, MOMENT);
    assert_eq!(destination.fail(4, now, None), 1);
}

#[test]
fn overdue_request_that_fails_causes_no_second_pause() {
    let now = Instant::now();
    let mut destination = hanging(now);
    let later = now + Duration::from_mins(1);
    assert!(destination.send_all(now + Duration::from_secs(20)).is_empty(), "all are overdue");
    destination.fail(0, later, None);
    assert_eq!(destination.send_all(later), [5]);
}

#[test]
fn bodies_in_flight_are_limited_beside_the_first() {
    let (mut destination, now) = (destination(0), Instant::now());
    for (sequence, bytes) in [(0, 5 << 20), (1, 1 << 20), (2, 2 << 20), (3, 5 << 20)] {
        let payload = queued(sequence);
        let payload = Payload { body: vec![0; bytes].into(), ..payload.payload };
        destination.queue(QueuedPayload::new(payload, sequence, now));
    }
    assert_eq!(destination.send_all(now), [0, 1, 2]);
    for number in 0..3 {
        assert!(destination.send_all(now).is_empty());
        destination.succeed(number, MOMENT);
    }
    assert_eq!(destination.send_all(now), [3], "one alone may be of any size");
}

#[test]
fn overdue_bodies_are_limited_too() {
    let (mut destination, now) = (destination(0), Instant::now());
    for sequence in 0..9 {
        let payload = Payload { body: vec![0; 5 << 20].into(), ..queued(sequence).payload };
        destination.queue(QueuedPayload::new(payload, sequence, now));
    }
    let sent: Vec<_> = (0..20).map(|second| destination.send_all(now + Duration::from_secs(second))).collect();
    assert_eq!(sent.concat(), [0, 1], "the second finds out whether it answers");
    assert_eq!(destination.send_all(now + Duration::from_mins(1)), [2]);
    assert!(destination.requests.iter().all(|request| request.abandon.is_none() == (request.number == 0)));
}

#[test]
fn a_request_is_overdue_after_longer_than_any_took() {
    let (mut destination, now) = (destination(2), Instant::now());
    let first = destination.next_to_send(now).unwrap();
    destination.begin(0, now, &first);
    destination.succeed(0, Duration::from_secs(3));
    assert_eq!(destination.send_all(now), [1]);
    assert!(destination.is_sending(now + Duration::from_secs(3)));
    assert!(!destination.is_sending(now + Duration::from_secs(3) + MOMENT));
    destination.succeed(1, Duration::from_hours(1));
    assert_eq!(destination.patience(), SECOND * 5, "the sandbox was frozen meanwhile");
}

#[test]
fn a_flush_waits_for_a_request_once() {
    let (mut destination, now) = (destination(3), Instant::now());
    assert_eq!(destination.hold(), Hold::None);
    let first = destination.next_to_send(now).unwrap();
    destination.begin(0, now, &first);
    assert_eq!(destination.hold(), Hold::Full);
    destination.stop_waiting(HoldEnd::TimeUp);
    assert_eq!(destination.hold(), Hold::None);
    assert!(!destination.is_sending(now));
    let second = destination.next_to_send(now).unwrap();
    destination.begin(1, now, &second);
    assert_eq!(destination.hold(), Hold::Short, "it is not known to answer in time");
    destination.stop_waiting(HoldEnd::TimeUp);
    assert_eq!(destination.hold(), Hold::None);
    destination.succeed(0, MOMENT);
    let third = destination.next_to_send(now).unwrap();
    destination.begin(2, now, &third);
    assert_eq!(destination.hold(), Hold::Short, "that answer was late");
    destination.succeed(1, MOMENT);
    assert_eq!(destination.hold(), Hold::Full, "the second one was never waited for in full");
    destination.fail(2, now, None);
    assert_eq!(destination.hold(), Hold::None);
}

#[test]
fn hold_that_the_deadline_ended_says_nothing_about_the_destination() {
    let (mut destination, now) = (destination(2), Instant::now());
    for _ in 0..2 {
        let payload = destination.next_to_send(now).unwrap();
        destination.begin(payload.sequence, now, &payload);
        assert_eq!(destination.hold(), Hold::Full);
        destination.stop_waiting(HoldEnd::Deadline);
        assert_eq!(destination.hold(), Hold::None, "it is not waited for again");
    }
}

#[test]
fn every_destination_fails_and_recovers_on_its_own() {
    let endpoint = Endpoint { url: "https://a.example".to_owned(), api_key: ApiKey::clean("key").unwrap() };
    let other = Target::Additional(Arc::new(endpoint));
    let (mut destinations, now) = (Destinations::default(), Instant::now());
    for sequence in 0..2 {
        for to in [Target::Primary, other.clone()] {
            let payload = queued(sequence);
            destinations.queue(QueuedPayload { payload: Payload { to, ..payload.payload }, ..payload });
        }
    }
    assert_eq!(destinations.iter().count(), 2);
    let first = destinations.get_mut(1).unwrap().next_to_send(now).unwrap();
    let failing = destinations.get_mut(1).unwrap();
    failing.begin(9, now, &first);
    failing.fail(9, now, Some(Duration::from_secs(20)));
    assert!(failing.send_all(now).is_empty());
    assert_eq!(destinations.get_mut(0).unwrap().send_all(now), [0, 1]);
    destinations.finish();
    assert_eq!(destinations.get_mut(1).unwrap().send_all(now), [1], "pauses are cut short at the end");
    let failing = destinations.get_mut(1).unwrap();
    failing.fail(1, now, Some(Duration::from_secs(20)));
    failing.queue(queued(2));
    assert!(failing.send_all(now).is_empty());
    assert_eq!(failing.send_all(now + SECOND / 10), [2], "and stay short");
}

#[test]
fn the_oldest_body_is_dropped_for_all_destinations_unless_it_is_in_flight() {
    let endpoint = Endpoint { url: "https://a.example".to_owned(), api_key: ApiKey::clean("key").unwrap() };
    let other = Target::Additional(Arc::new(endpoint));
    let (mut destinations, now) = (Destinations::default(), Instant::now());
    for sequence in 0..3 {
        let payload = queued(sequence).payload;
        for to in [Target::Primary, other.clone()] {
            destinations.queue(QueuedPayload::new(Payload { to, ..payload.clone() }, sequence, now));
        }
    }
    let primary = destinations.get_mut(0).unwrap();
    let first = primary.next_to_send(now).unwrap();
    primary.begin(0, now, &first);
    assert_eq!(destinations.first_to_drop(), Some(DropOrder::of(Kind::Logs, 1)), "the first is in flight");
    assert_eq!(destinations.drop_first(), DropCounts { logs: 2, ..DropCounts::default() });
    assert_eq!(destinations.first_to_drop(), Some(DropOrder::of(Kind::Logs, 2)));
    destinations.drop_first();
    assert_eq!(destinations.first_to_drop(), None);
    assert_eq!(destinations.drop_first(), DropCounts::default());
    assert!(!destinations.have_nothing_queued(), "the first still waits for the other");
    destinations.get_mut(1).unwrap().next_to_send(now).unwrap();
    assert!(destinations.have_nothing_queued(), "all are gone or in flight");
}
