//! Which invocation a line belongs to that does not say so itself.
//!
//! Lambda's `function` and `extension` events carry no request id. A line belongs to the invocation during which it was written; one written before any
//! invocation, or between two, belongs to the next, because that is when the sandbox ran again.

use std::collections::VecDeque;

use super::context::AttemptId;
use crate::process::{event::Timestamp, log::Log};

/// How many invocations back a late line finds its own.
const WINDOWS: usize = 16;
/// How many lines are held for the next invocation, and how many bytes of text.
const MAX_HELD_LOGS: usize = 1000;
const MAX_HELD_BYTES: usize = 2 << 20;

/// Whose line it is.
#[derive(Debug, PartialEq, Eq)]
pub enum LogOwner {
    /// This invocation's.
    Invocation(AttemptId),
    /// The next invocation's, of which nothing is known yet.
    NextInvocation,
    /// Nobody can tell: several invocations run at once.
    Unknown,
}

/// The invocations in time, and the lines that wait for one.
#[derive(Debug)]
pub struct Attribution {
    concurrent: bool,
    /// In order of time.
    windows: VecDeque<Window>,
    held_logs: VecDeque<Log>,
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

    /// Whose line it is that was written then.
    pub fn owner(&self, time: Timestamp) -> LogOwner {
        if self.concurrent {
            return LogOwner::Unknown;
        }
        let lasts = |window: &&Window| window.end.is_none_or(|end| time <= end);
        let during = self.windows.iter().rev().find(|window| window.at <= time && lasts(window));
        let window = during.or_else(|| self.windows.iter().find(lasts));
        window.map_or(LogOwner::NextInvocation, |window| LogOwner::Invocation(window.id.clone()))
    }

    /// The invocation that runs, or else the last one that did.
    pub fn latest(&self) -> Option<&AttemptId> {
        self.windows.back().map(|window| &window.id)
    }

    /// An invocation begins; gives the lines that waited for it.
    pub fn begin(&mut self, id: &AttemptId, at: Timestamp) -> Vec<Log> {
        if self.concurrent {
            return Vec::new();
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

    /// An invocation ends; gives the lines that waited for it.
    pub fn end(&mut self, id: &AttemptId, at: Timestamp) -> Vec<Log> {
        if self.concurrent {
            return Vec::new();
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
        let mut claimed = Vec::new();
        for mut log in self.take_held_logs() {
            match self.owner(log.time) {
                LogOwner::Invocation(id) => {
                    log.request_id = Some(id.request_id);
                    claimed.push(log);
                }
                LogOwner::NextInvocation | LogOwner::Unknown => {
                    self.held_bytes += log.message.len();
                    self.held_logs.push_back(log);
                }
            }
        }
        claimed
    }

    /// Holds a line for the next invocation; gives the oldest ones if there are too many.
    pub fn hold_log(&mut self, log: Log) -> Vec<Log> {
        self.held_bytes += log.message.len();
        self.held_logs.push_back(log);
        let mut evicted = Vec::new();
        while self.held_logs.len() > MAX_HELD_LOGS || self.held_bytes > MAX_HELD_BYTES {
            let Some(oldest) = self.held_logs.pop_front() else { break };
            self.held_bytes -= oldest.message.len();
            evicted.push(oldest);
        }
        evicted
    }

    /// All lines that are held.
    pub fn take_held_logs(&mut self) -> VecDeque<Log> {
        self.held_bytes = 0;
        std::mem::take(&mut self.held_logs)
    }
}

#[cfg(test)]
#[path = "attribution_tests.rs"]
mod tests;
