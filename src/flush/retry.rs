//! What could not be sent waits here, in bounded memory, until it is time to try again.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use rand::RngExt as _;
use tokio::time::Instant;

use crate::intake::{Kind, Payload, To};

/// What may wait or be on its way altogether, in bytes of compressed payload.
pub const MAX_BYTES: usize = 16 << 20;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Payloads in the order in which they were made.
#[derive(Debug, Default)]
pub struct Waiting {
    payloads: VecDeque<Payload>,
    bytes: usize,
}

impl Waiting {
    /// Adds a payload. If that is too much, beside `elsewhere` bytes that are on their way, the oldest come back to be counted as dropped.
    pub fn push(&mut self, payload: Payload, elsewhere: usize) -> Vec<Payload> {
        self.bytes += payload.body.len();
        self.payloads.push_back(payload);
        let mut dropped = Vec::new();
        while self.bytes + elsewhere > MAX_BYTES
            && let Some(oldest) = self.payloads.pop_front()
        {
            self.bytes -= oldest.body.len();
            dropped.push(oldest);
        }
        dropped
    }

    /// The oldest payload that may be sent now.
    pub fn pop(&mut self, may_go: impl Fn(&Payload) -> bool) -> Option<Payload> {
        let index = self.payloads.iter().position(may_go)?;
        let payload = self.payloads.remove(index)?;
        self.bytes -= payload.body.len();
        Some(payload)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.payloads.is_empty()
    }

    /// Everything that still waits.
    pub fn drain(&mut self) -> VecDeque<Payload> {
        self.bytes = 0;
        std::mem::take(&mut self.payloads)
    }
}

/// One intake of one account: it fails or recovers on its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lane {
    kind: Kind,
    to: To,
}

impl Lane {
    /// The one that the payload takes.
    pub fn of(payload: &Payload) -> Self {
        Self { kind: payload.kind, to: payload.to.clone() }
    }
}

/// All that were ever taken: a handful.
#[derive(Debug, Default)]
pub struct Lanes(HashMap<Lane, BackOff>);

impl Lanes {
    /// The state of one.
    pub fn of(&mut self, lane: Lane) -> &mut BackOff {
        self.0.entry(lane).or_default()
    }

    /// Whether a request makes sense now.
    pub fn is_over(&self, lane: &Lane, now: Instant) -> bool {
        self.0.get(lane).is_none_or(|back_off| back_off.is_over(now))
    }

    /// Whether a request is on its way to one that is not known to fail.
    pub fn are_worth_waiting_for(&self) -> bool {
        self.0.values().any(|lane| lane.under_way > 0 && !lane.is_failing())
    }

    /// Nobody waits any more for what is on its way; those who kept it count as failing until something arrives there.
    pub fn leave_behind(&mut self) {
        self.0.values_mut().for_each(|lane| lane.stuck = lane.stuck || lane.under_way > 0);
    }

    /// The sandbox ends: there is no later.
    pub fn forget(&mut self) {
        self.0.values_mut().for_each(BackOff::forget);
    }
}

/// The state of one intake, as far as our requests tell.
#[derive(Debug, Default)]
pub struct BackOff {
    failures: u32,
    until: Option<Instant>,
    /// Requests that are on their way.
    under_way: usize,
    /// One of them did not end in the time that the function could give it.
    stuck: bool,
}

impl BackOff {
    /// Whether a request makes sense now.
    pub fn is_over(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until)
    }

    /// Whether the last request failed, or does not end.
    pub fn is_failing(&self) -> bool {
        self.failures > 0 || self.stuck
    }

    /// A request is on its way from now on.
    pub fn begun(&mut self) {
        self.under_way += 1;
    }

    /// A request has ended, one way or the other.
    pub fn ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// A request arrived.
    pub fn succeeded(&mut self) {
        *self = Self { under_way: self.under_way, ..Self::default() };
    }

    /// A request failed: the pause doubles with each, shortened at random by up to a half so that sandboxes do not come back all at once.
    /// The intake may ask for a longer one. Returns the number of failures in a row.
    pub fn failed(&mut self, now: Instant, asked: Option<Duration>) -> u32 {
        let pause = (FIRST_PAUSE * 2u32.saturating_pow(self.failures.min(16))).min(LONGEST_PAUSE);
        let pause =
            pause.mul_f64(rand::rng().random_range(0.5..=1.0)).max(asked.unwrap_or_default().min(LONGEST_PAUSE));
        self.failures = self.failures.saturating_add(1);
        self.until = Some(now + pause);
        self.failures
    }

    /// The sandbox ends: there is no later.
    pub fn forget(&mut self) {
        self.until = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{ApiKey, Endpoint};

    fn payload(kind: Kind, bytes: usize) -> Payload {
        Payload { kind, to: To::Primary, body: vec![0; bytes].into(), zstd: false, items: bytes as u64 }
    }

    #[test]
    fn the_oldest_give_way_when_there_is_too_much() {
        let mut waiting = Waiting::default();
        assert!(waiting.push(payload(Kind::Logs, MAX_BYTES - 2), 0).is_empty());
        assert!(waiting.push(payload(Kind::Logs, 2), 0).is_empty());
        let dropped = waiting.push(payload(Kind::Logs, 1), 0);
        assert_eq!(dropped.iter().map(|payload| payload.items).collect::<Vec<_>>(), [MAX_BYTES as u64 - 2]);
        let dropped = waiting.push(payload(Kind::Logs, 3), MAX_BYTES - 4);
        assert_eq!(dropped.iter().map(|payload| payload.items).collect::<Vec<_>>(), [2]);
        assert_eq!(waiting.drain().len(), 2);
    }

    #[test]
    fn a_kind_that_may_not_go_does_not_hold_the_other() {
        let mut waiting = Waiting::default();
        waiting.push(payload(Kind::Logs, 1), 0);
        waiting.push(payload(Kind::Sketches, 2), 0);
        assert_eq!(waiting.pop(|payload| payload.kind == Kind::Sketches).unwrap().items, 2);
        assert_eq!(waiting.pop(|payload| payload.kind == Kind::Sketches), None);
        assert_eq!(waiting.pop(|_| true).unwrap().items, 1);
    }

    #[test]
    fn every_account_fails_and_recovers_on_its_own() {
        let endpoint = Endpoint { url: "https://a.example".to_owned(), api_key: ApiKey::clean("key").unwrap() };
        let primary = Lane { kind: Kind::Series, to: To::Primary };
        let other = Lane { kind: Kind::Series, to: To::Additional(Arc::new(endpoint)) };
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        lanes.of(other.clone()).failed(now, None);
        assert!(lanes.is_over(&primary, now) && !lanes.is_over(&other, now));
        lanes.of(primary).succeeded();
        assert!(lanes.of(other.clone()).is_failing());
        lanes.forget();
        assert!(lanes.is_over(&other, now));
        lanes.of(other.clone()).succeeded();
        assert!(!lanes.of(other).is_failing());
    }

    #[test]
    fn only_intakes_that_are_not_known_to_fail_are_worth_waiting_for() {
        let lane = |kind| Lane { kind, to: To::Primary };
        let mut lanes = Lanes::default();
        assert!(!lanes.are_worth_waiting_for(), "nothing is on its way");
        lanes.of(lane(Kind::Logs)).begun();
        assert!(lanes.are_worth_waiting_for());
        lanes.leave_behind();
        assert!(!lanes.are_worth_waiting_for(), "it has had its time");
        lanes.of(lane(Kind::Series)).begun();
        assert!(lanes.are_worth_waiting_for(), "the other has not");
        lanes.of(lane(Kind::Series)).ended();
        lanes.of(lane(Kind::Logs)).begun();
        lanes.of(lane(Kind::Logs)).ended();
        lanes.of(lane(Kind::Logs)).succeeded();
        assert!(lanes.are_worth_waiting_for(), "it recovers, and one is still on its way");
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_end_with_the_first_success() {
        let now = Instant::now();
        let mut back_off = BackOff::default();
        assert!(back_off.is_over(now) && !back_off.is_failing());
        back_off.failed(now, None);
        assert!(!back_off.is_over(now) && back_off.is_failing());
        assert!(back_off.is_over(now + FIRST_PAUSE));
        for _ in 0..40 {
            back_off.failed(now, None);
        }
        assert!(!back_off.is_over(now + LONGEST_PAUSE / 3));
        assert!(back_off.is_over(now + LONGEST_PAUSE));
        back_off.succeeded();
        assert!(back_off.is_over(now) && !back_off.is_failing());
    }

    #[test]
    fn the_intake_may_ask_for_a_longer_pause_but_not_for_an_endless_one() {
        let now = Instant::now();
        let mut back_off = BackOff::default();
        back_off.failed(now, Some(Duration::from_secs(5)));
        assert!(!back_off.is_over(now + Duration::from_secs(4)));
        back_off.failed(now, Some(Duration::from_hours(9)));
        assert!(back_off.is_over(now + LONGEST_PAUSE));
    }
}
