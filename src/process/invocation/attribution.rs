//! Which invocation a line belongs to that does not say so itself.
//!
//! Lambda's `function` and `extension` events carry no request id. A line belongs to the invocation during which it was written; one written before any
//! invocation, or between two, belongs to the next, because that is when the sandbox ran again. Where invocations run at once, only the id that a line names
//! says whose it is; a line that names an unknown id is held for a while, because it may come before the beginning of its invocation.

use std::collections::VecDeque;

use super::context::AttemptId;
use crate::{
    platform::ids::RequestId,
    process::{event::Timestamp, log::Log},
};

/// How many invocations back a late line finds its own.
const WINDOWS: usize = 16;
/// How many lines are held for the next invocation, and how many bytes of text.
const MAX_HELD_LOGS: usize = 1000;
const MAX_HELD_BYTES: usize = 2 << 20;
/// How many milliseconds a line that names an unknown id is held where invocations run at once: the id may be one of the application's own.
const MAX_HELD_MS: Timestamp = 10_000;

/// Whose line it is.
#[derive(Debug, PartialEq, Eq)]
pub enum LogOwner {
    /// This invocation's.
    Invocation(AttemptId),
    /// An invocation's of which nothing is known yet.
    NextInvocation,
    /// Nobody can tell: several invocations run at once.
    Unknown,
}

/// A line that waits for its invocation.
#[derive(Debug)]
pub struct HeldLog {
    /// The line.
    pub log: Log,
    /// The ids that it names, none of them known when it came.
    pub request_ids: Vec<RequestId>,
}

impl From<Log> for HeldLog {
    /// A line that names no id.
    fn from(log: Log) -> Self {
        Self { log, request_ids: Vec::new() }
    }
}

impl HeldLog {
    fn bytes(&self) -> usize {
        self.log.bytes() + self.request_ids.iter().map(|id| id.as_str().len()).sum::<usize>()
    }
}

/// The invocations in time, and the lines that wait for one.
#[derive(Debug)]
pub struct Attribution {
    concurrent: bool,
    /// In order of time.
    windows: VecDeque<Window>,
    held_logs: VecDeque<HeldLog>,
    held_bytes: usize,
}

/// The time in which lines are an invocation's: from the end of the invocation before it to its own.
#[derive(Debug)]
struct Window {
    id: AttemptId,
    /// When the invocation began, or ended where only that is known.
    at: Timestamp,
    /// Open while it runs, for all that is known.
    end: Option<Timestamp>,
}

impl Attribution {
    /// `concurrent`: several invocations may run at once, so that time says nothing.
    pub fn new(concurrent: bool) -> Self {
        Self { concurrent, windows: VecDeque::new(), held_logs: VecDeque::new(), held_bytes: 0 }
    }

    /// Whose line it is that names no known id.
    pub fn owner(&self, held: &HeldLog) -> LogOwner {
        match self.concurrent {
            true if held.request_ids.is_empty() => LogOwner::Unknown,
            true => LogOwner::NextInvocation,
            false => self.owner_at(held.log.time),
        }
    }

    /// Whose line it is that was written then.
    fn owner_at(&self, time: Timestamp) -> LogOwner {
        let lasts = |window: &&Window| window.end.is_none_or(|end| time <= end);
        let during = self.windows.iter().rev().find(|window| window.at <= time && lasts(window));
        let window = during.or_else(|| self.windows.iter().find(lasts));
        window.map_or(LogOwner::NextInvocation, |window| LogOwner::Invocation(window.id.clone()))
    }

    /// The invocation that runs, or else the last one that did.
    pub fn latest(&self) -> Option<&AttemptId> {
        self.windows.back().map(|window| &window.id)
    }

    /// An invocation begins; gives the lines that waited for it, and where invocations run at once those that have waited for too long.
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
            None => self.insert(Window { id: id.clone(), at, end: None }),
        }
        self.claim_held_logs()
    }

    /// An invocation ends; gives the same lines.
    pub fn end(&mut self, id: &AttemptId, at: Timestamp) -> Vec<Log> {
        if self.concurrent {
            return self.claim_logs_that_name(&id.request_id, at);
        }
        match self.windows.iter_mut().find(|window| window.id == *id) {
            Some(window) => window.end = Some(window.end.map_or(at, |end| end.min(at))),
            None => self.insert(Window { id: id.clone(), at, end: Some(at) }),
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

    /// One invocation runs at a time: what is earlier than one that begins has ended by then.
    fn end_before(&mut self, index: usize, at: Timestamp) {
        for earlier in self.windows.range_mut(..index).filter(|earlier| earlier.end.is_none_or(|end| end > at)) {
            earlier.end = Some(at.saturating_sub(1));
        }
    }

    /// Takes the lines out whose invocation is known by now.
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

    /// Takes the lines out of which `owner` says whose they are.
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

    /// Holds a line for its invocation; gives the oldest ones if there are too many, or if they have been held for too long where invocations run at once.
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

    /// All lines that are held.
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
