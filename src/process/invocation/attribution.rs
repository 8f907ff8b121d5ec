//! Attributes log lines to invocations if they do not name a known request id.
//!
//! Lambda's `function` and `extension` events carry no request id. A line belongs to the invocation during which it was written: from
//! `platform.start` to `platform.report`, because background threads run after `platform.runtimeDone` until Lambda freezes the sandbox, and it sends
//! the report then. A line written before the first invocation or after a report belongs to the next one. Where invocations run concurrently, only a request id in the line identifies its invocation. A line with an unknown id is held for a while, because Lambda may deliver
//! it before `platform.start`.

use std::collections::VecDeque;

use super::context::AttemptId;
use crate::{
    platform::ids::RequestId,
    process::{event::Timestamp, log::Log},
};

/// Number of recent invocations to which a late line can be attributed.
const WINDOWS: usize = 16;
/// Maximum number of held lines, and of the bytes of their text.
const MAX_HELD_LOGS: usize = 1000;
const MAX_HELD_BYTES: usize = 2 << 20;
/// Maximum hold time, in milliseconds, of a line with an unknown request id where invocations run concurrently. The id may be one of the
/// application's own.
const MAX_HELD_MS: Timestamp = 10_000;

/// The invocation that a line belongs to.
#[derive(Debug, PartialEq, Eq)]
pub enum LogOwner {
    /// A known invocation.
    Invocation(AttemptId),
    /// An invocation that has not started yet.
    NextInvocation,
    /// Unknown, because several invocations run concurrently.
    Unknown,
}

/// A line that is held until its invocation is known.
#[derive(Debug)]
pub struct HeldLog {
    /// The line.
    pub log: Log,
    /// The request ids that the line names; none was known when the line arrived.
    pub request_ids: Vec<RequestId>,
}

impl From<Log> for HeldLog {
    /// Wraps a line that names no request id.
    fn from(log: Log) -> Self {
        Self { log, request_ids: Vec::new() }
    }
}

impl HeldLog {
    fn bytes(&self) -> usize {
        self.log.bytes() + self.request_ids.iter().map(|id| id.as_str().len()).sum::<usize>()
    }
}

/// The recent invocations in order of time, and the held lines.
#[derive(Debug)]
pub struct Attribution {
    concurrent: bool,
    /// In order of time.
    windows: VecDeque<Window>,
    held_logs: VecDeque<HeldLog>,
    held_bytes: usize,
}

/// The interval whose lines belong to an invocation: from the end of the previous invocation to its own end.
#[derive(Debug)]
struct Window {
    id: AttemptId,
    /// Time of the invocation's start; of its end if no start is known.
    at: Timestamp,
    /// Time of `platform.runtimeDone`. None while the invocation is running as far as is known.
    end: Option<Timestamp>,
    /// Time of `platform.report`.
    report: Option<Timestamp>,
}

impl Window {
    /// Whether a line of this time was not written after the invocation.
    fn lasts_until(&self, time: Timestamp) -> bool {
        self.end.is_none_or(|end| time <= end.max(self.report.unwrap_or(end)))
    }

    /// Ends the interval before that of an invocation that started at `next`.
    fn end_before(&mut self, next: Timestamp) {
        let last = next.saturating_sub(1);
        self.end = Some(self.end.filter(|end| *end <= next).unwrap_or(last));
        self.report = self.report.map(|report| if report <= next { report } else { last });
    }
}

impl Attribution {
    /// `concurrent`: whether several invocations may run concurrently, so that the time of a line does not identify its invocation.
    pub fn new(concurrent: bool) -> Self {
        Self { concurrent, windows: VecDeque::new(), held_logs: VecDeque::new(), held_bytes: 0 }
    }

    /// The owner of a line that names no known request id.
    pub fn owner(&self, held: &HeldLog) -> LogOwner {
        match self.concurrent {
            true if held.request_ids.is_empty() => LogOwner::Unknown,
            true => LogOwner::NextInvocation,
            false => self.owner_at(held.log.time),
        }
    }

    /// The owner of a line that was written at `time`.
    fn owner_at(&self, time: Timestamp) -> LogOwner {
        let lasts = |window: &&Window| window.lasts_until(time);
        let during = self.windows.iter().rev().find(|window| window.at <= time && lasts(window));
        let window = during.or_else(|| self.windows.iter().find(lasts));
        window.map_or(LogOwner::NextInvocation, |window| LogOwner::Invocation(window.id.clone()))
    }

    /// The running invocation, or else the last one that ran.
    pub fn latest(&self) -> Option<&AttemptId> {
        self.windows.back().map(|window| &window.id)
    }

    /// Records the start of an invocation. Returns the held lines that belong to it and, where invocations run concurrently, the lines that were held
    /// for too long.
    pub fn begin(&mut self, id: &AttemptId, at: Timestamp) -> Vec<Log> {
        if self.concurrent {
            return self.claim_logs_that_name(&id.request_id, at);
        }
        match self.windows.iter().position(|window| window.id == *id) {
            Some(index) => {
                self.end_before(index, at);
                if let Some(window) = self.windows.get_mut(index) {
                    window.at = at;
                }
            }
            None => self.insert(Window { id: id.clone(), at, end: None, report: None }),
        }
        self.claim_held_logs()
    }

    /// Records the end of an invocation. Returns lines as [`Self::begin`] does.
    pub fn end(&mut self, id: &AttemptId, at: Timestamp) -> Vec<Log> {
        if self.concurrent {
            return self.claim_logs_that_name(&id.request_id, at);
        }
        match self.windows.iter_mut().find(|window| window.id == *id) {
            Some(window) => window.end = Some(window.end.map_or(at, |end| end.min(at))),
            None => self.insert(Window { id: id.clone(), at, end: Some(at), report: None }),
        }
        self.claim_held_logs()
    }

    /// Records the report of an invocation that does not run concurrently with others: all lines until then are its own. Returns the held lines that
    /// belong to it.
    pub fn report(&mut self, id: &AttemptId, at: Timestamp) -> Vec<Log> {
        let next = self.windows.iter().skip_while(|window| window.id != *id).nth(1).map(|next| next.at);
        if let Some(window) = self.windows.iter_mut().find(|window| window.id == *id) {
            window.report = Some(next.map_or(at, |next| at.min(next)));
        }
        self.claim_held_logs()
    }

    fn insert(&mut self, mut window: Window) {
        let index = self.windows.partition_point(|other| other.at <= window.at);
        self.end_before(index, window.at);
        if let Some(next) = self.windows.get(index) {
            window.end.get_or_insert(next.at.saturating_sub(1));
        }
        self.windows.insert(index, window);
        if self.windows.len() > WINDOWS {
            self.windows.pop_front();
        }
    }

    /// Without concurrency, invocations do not overlap: earlier ones ended before this one started.
    fn end_before(&mut self, index: usize, at: Timestamp) {
        for earlier in self.windows.range_mut(..index) {
            earlier.end_before(at);
        }
    }

    /// Removes and returns the held lines whose invocation is known now.
    fn claim_held_logs(&mut self) -> Vec<Log> {
        self.claim(|attribution, held| match attribution.owner_at(held.log.time) {
            LogOwner::Invocation(id) => Some(id.request_id),
            LogOwner::NextInvocation | LogOwner::Unknown => None,
        })
    }

    fn claim_logs_that_name(&mut self, id: &RequestId, now: Timestamp) -> Vec<Log> {
        let mut logs = self.claim(|_, held| held.request_ids.contains(id).then(|| id.clone()));
        logs.extend(self.evict(now));
        logs
    }

    /// Removes and returns the held lines for which `owner` returns a request id.
    fn claim(&mut self, owner: impl Fn(&Self, &HeldLog) -> Option<RequestId>) -> Vec<Log> {
        let mut claimed = Vec::new();
        for held in self.take_all() {
            match owner(self, &held) {
                Some(id) => claimed.push(Log { request_id: Some(id), ..held.log }),
                None => self.push(held),
            }
        }
        claimed
    }

    /// Holds a line until its invocation is known. Returns the oldest lines if the queue is full and, where invocations run concurrently, those held
    /// for too long.
    pub fn hold_log(&mut self, held: HeldLog) -> Vec<Log> {
        let now = held.log.time;
        self.push(held);
        self.evict(now)
    }

    fn evict(&mut self, now: Timestamp) -> Vec<Log> {
        let mut evicted = Vec::new();
        while let Some(oldest) = self.held_logs.front() {
            let is_stale = self.concurrent && now.saturating_sub(oldest.log.time) > MAX_HELD_MS;
            if !is_stale && self.held_logs.len() <= MAX_HELD_LOGS && self.held_bytes <= MAX_HELD_BYTES {
                break;
            }
            self.held_bytes -= oldest.bytes();
            evicted.extend(self.held_logs.pop_front().map(|oldest| oldest.log));
        }
        evicted
    }

    /// Removes and returns all held lines.
    pub fn take_held_logs(&mut self) -> impl Iterator<Item = Log> + use<> {
        self.take_all().into_iter().map(|held| held.log)
    }

    fn push(&mut self, held: HeldLog) {
        self.held_bytes += held.bytes();
        self.held_logs.push_back(held);
    }

    fn take_all(&mut self) -> VecDeque<HeldLog> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held_logs)
    }
}

#[cfg(test)]
#[path = "attribution_tests.rs"]
mod tests;
