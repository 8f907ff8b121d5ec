//! Which invocation a line belongs to that does not say so itself.
//!
//! Lambda's `function` and `extension` events carry no request id. A line belongs to the invocation during which it was written; one written before any
//! invocation, or between two, belongs to the next, because that is when the sandbox ran again.

use std::collections::VecDeque;

use crate::{
    platform::ids::RequestId,
    process::{event::Timestamp, log::Log},
};

/// How many lines may wait for an invocation, and how many bytes of text.
const MAX_ORPHANS: usize = 1000;
const MAX_ORPHAN_BYTES: usize = 2 << 20;

/// Whose line it is.
#[derive(Debug, PartialEq, Eq)]
pub enum Owner {
    /// This invocation's.
    Known(RequestId),
    /// An invocation's that has not begun.
    Unborn,
    /// Nobody can tell: several invocations run at once.
    Nobody,
}

/// The invocations in time, and the lines that wait for one.
#[derive(Debug)]
pub struct Attribution {
    concurrent: bool,
    first: Option<Begun>,
    current: Option<Begun>,
    last: Option<Past>,
    orphans: VecDeque<Log>,
    orphan_bytes: usize,
}

#[derive(Debug, Clone)]
struct Begun {
    id: RequestId,
    at: Timestamp,
}

#[derive(Debug)]
struct Past {
    id: RequestId,
    from: Timestamp,
    to: Timestamp,
}

impl Attribution {
    /// `concurrent`: several invocations may run at once, so that time says nothing.
    pub fn new(concurrent: bool) -> Self {
        Self { concurrent, first: None, current: None, last: None, orphans: VecDeque::new(), orphan_bytes: 0 }
    }

    /// Whose line it is that was written then.
    pub fn owner(&self, time: Timestamp) -> Owner {
        if self.concurrent {
            return Owner::Nobody;
        }
        let known = |id: &RequestId| Owner::Known(id.clone());
        match (&self.current, &self.last, &self.first) {
            (Some(current), ..) if time >= current.at => known(&current.id),
            (_, Some(last), _) if (last.from..=last.to).contains(&time) => known(&last.id),
            // Written during init but delivered late.
            (_, _, Some(first)) if time < first.at => known(&first.id),
            (Some(current), ..) => known(&current.id),
            _ => Owner::Unborn,
        }
    }

    /// The invocation that runs, or else the last one that did.
    pub fn latest(&self) -> Option<&RequestId> {
        self.current.as_ref().map(|current| &current.id).or_else(|| self.last.as_ref().map(|last| &last.id))
    }

    /// An invocation begins; the lines that waited for it. `done`: its end was told before its beginning.
    pub fn begin(&mut self, id: &RequestId, at: Timestamp, done: bool) -> VecDeque<Log> {
        let begun = Begun { id: id.clone(), at };
        self.first.get_or_insert_with(|| begun.clone());
        match self.last.as_mut().filter(|last| done && last.id == *id) {
            Some(last) => last.from = at,
            None if !done => self.current = Some(begun),
            None => {}
        }
        self.take_orphans()
    }

    /// An invocation ends.
    pub fn end(&mut self, id: &RequestId, at: Timestamp) {
        let from = match self.current.take_if(|current| current.id == *id) {
            Some(current) => current.at,
            None => at,
        };
        self.last = Some(Past { id: id.clone(), from, to: at });
    }

    /// Keeps a line for the next invocation. The oldest one comes back if there are too many.
    pub fn adopt(&mut self, log: Log) -> Option<Log> {
        self.orphan_bytes += log.message.len();
        self.orphans.push_back(log);
        if self.orphans.len() <= MAX_ORPHANS && self.orphan_bytes <= MAX_ORPHAN_BYTES {
            return None;
        }
        let oldest = self.orphans.pop_front()?;
        self.orphan_bytes -= oldest.message.len();
        Some(oldest)
    }

    /// All lines that wait.
    pub fn take_orphans(&mut self) -> VecDeque<Log> {
        self.orphan_bytes = 0;
        std::mem::take(&mut self.orphans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::log::Status;

    fn known(id: &str) -> Owner {
        Owner::Known(id.into())
    }

    #[test]
    fn lines_belong_to_the_invocation_during_which_they_were_written() {
        let mut attribution = Attribution::new(false);
        assert_eq!(attribution.owner(5), Owner::Unborn);
        attribution.begin(&"a".into(), 10, false);
        assert_eq!(attribution.owner(11), known("a"));
        assert_eq!(attribution.owner(5), known("a"), "init lines that come late are the first invocation's");
        attribution.end(&"a".into(), 20);
        assert_eq!(attribution.owner(15), known("a"), "a line that comes after the end but was written before it");
        assert_eq!(attribution.owner(25), Owner::Unborn);
        attribution.begin(&"b".into(), 30, false);
        assert_eq!(attribution.owner(25), known("b"), "what was written between two belongs to the next");
        assert_eq!(attribution.owner(15), known("a"));
        assert_eq!(attribution.owner(31), known("b"));
        assert_eq!(attribution.latest(), Some(&"b".into()));
    }

    #[test]
    fn an_end_that_is_told_before_its_beginning_leaves_nothing_open() {
        let mut attribution = Attribution::new(false);
        attribution.end(&"a".into(), 20);
        attribution.begin(&"a".into(), 10, true);
        assert_eq!(attribution.owner(15), known("a"));
        assert_eq!(attribution.owner(25), Owner::Unborn);
    }

    #[test]
    fn concurrent_invocations_leave_lines_to_nobody() {
        let mut attribution = Attribution::new(true);
        attribution.begin(&"a".into(), 10, false);
        assert_eq!(attribution.owner(11), Owner::Nobody);
    }

    #[test]
    fn orphans_are_bounded_in_number_and_bytes() {
        let line = |message: String| Log {
            message,
            status: Status::Info,
            time: 0,
            request_id: None,
            tags: None,
            execution: None,
        };
        let mut attribution = Attribution::new(false);
        for number in 0..MAX_ORPHANS {
            assert_eq!(attribution.adopt(line(number.to_string())), None);
        }
        assert_eq!(attribution.adopt(line("more".to_owned())).unwrap().message, "0");
        assert_eq!(attribution.take_orphans().len(), MAX_ORPHANS);
        assert_eq!(attribution.adopt(line("x".repeat(MAX_ORPHAN_BYTES))), None);
        assert!(attribution.adopt(line("y".to_owned())).unwrap().message.starts_with('x'));
    }
}
