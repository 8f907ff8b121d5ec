//! Lines of a durable function, and the execution that each belongs to.
//!
//! The library of the function tags its spans with the execution, and sends them when the invocation is over: lines of the invocation wait for that if the customer
//! wants it. A line that names its execution itself does not wait.

use std::collections::{HashMap, VecDeque};

use crate::{
    platform::ids::RequestId,
    process::{
        log::{Execution, Log},
        trace::DurableContext,
    },
};

/// Maximum number of invocations whose execution is remembered.
const MAX_CONTEXTS: usize = 500;
/// Maximum of the lines that wait, in number and in bytes of their text.
const MAX_LINES: usize = 1000;
const MAX_BYTES: usize = 2 << 20;

/// Lines that wait for their execution, and the executions that are known.
#[derive(Debug)]
pub struct DurableLogs {
    /// Maximum number of invocations whose lines wait; 0: no line waits, and none is completed from spans.
    capacity: usize,
    /// Whether the function is a durable function; None until Lambda or a span has said so.
    is_durable: Option<bool>,
    /// Whether lines wait although that is not known yet.
    waits_for_decision: bool,
    /// The oldest first.
    contexts: VecDeque<DurableContext>,
    /// The oldest line first.
    held: VecDeque<Log>,
    bytes: usize,
    /// The number of lines that wait, of each invocation that has any.
    invocations: HashMap<RequestId, usize>,
}

impl DurableLogs {
    /// `capacity`: maximum number of invocations whose lines wait.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            is_durable: None,
            waits_for_decision: true,
            contexts: VecDeque::new(),
            held: VecDeque::new(),
            bytes: 0,
            invocations: HashMap::new(),
        }
    }

    /// Completes a line, or keeps it until it can be. Gives the lines that go on.
    pub fn pass(&mut self, mut log: Log) -> Vec<Log> {
        let is_wanted = self.capacity > 0 && self.is_durable != Some(false) && log.execution.is_none();
        let Some(id) = log.request_id.clone().filter(|_| is_wanted) else { return vec![log] };
        if self.complete(&mut log, &id) || !self.is_durable.unwrap_or(self.waits_for_decision) {
            return vec![log];
        }
        self.bytes += log.bytes();
        *self.invocations.entry(id).or_default() += 1;
        self.held.push_back(log);
        let mut released = Vec::new();
        while self.is_full() {
            let Some(oldest) = self.held.front().and_then(|log| log.request_id.clone()) else { break };
            released.extend(self.take(&oldest));
        }
        released
    }

    fn is_full(&self) -> bool {
        self.invocations.len() > self.capacity || self.held.len() > MAX_LINES || self.bytes > MAX_BYTES
    }

    /// Learns the execution of an invocation. Gives the lines that waited for it.
    pub fn learn(&mut self, context: DurableContext) -> Vec<Log> {
        if self.capacity == 0 || self.is_durable == Some(false) {
            return Vec::new();
        }
        self.is_durable = Some(true);
        let id: RequestId = context.request_id.as_str().into();
        // Lambda may send a request again, whose attempt has a status of its own.
        self.contexts.retain(|known| known.request_id != context.request_id);
        if self.contexts.len() >= MAX_CONTEXTS {
            self.contexts.pop_front();
        }
        self.contexts.push_back(context);
        let mut logs = self.take(&id);
        for log in &mut logs {
            self.complete(log, &id);
        }
        logs
    }

    /// Learns whether the function is a durable function. Gives the lines that have waited in vain.
    pub fn decide(&mut self, is_durable: bool) -> Vec<Log> {
        self.is_durable = Some(is_durable);
        if is_durable { Vec::new() } else { self.release() }
    }

    /// Lets no line wait any longer for Lambda to say whether the function is a durable function. Gives those that did.
    pub fn stop_waiting_for_decision(&mut self) -> Vec<Log> {
        self.waits_for_decision = false;
        if self.is_durable.is_none() { self.release() } else { Vec::new() }
    }

    /// Gives all lines that wait: nothing more will be known of them.
    pub fn release(&mut self) -> Vec<Log> {
        self.invocations.clear();
        self.bytes = 0;
        std::mem::take(&mut self.held).into()
    }

    /// Takes out the lines of an invocation.
    fn take(&mut self, id: &RequestId) -> Vec<Log> {
        if self.invocations.remove(id).is_none() {
            return Vec::new();
        }
        let is_its_own = |log: &Log| log.request_id.as_ref() == Some(id);
        let (taken, kept): (Vec<Log>, Vec<Log>) = std::mem::take(&mut self.held).into_iter().partition(is_its_own);
        self.held = kept.into();
        self.bytes -= taken.iter().map(Log::bytes).sum::<usize>();
        taken
    }

    /// Adds what is known of the execution; false if nothing is.
    fn complete(&self, log: &mut Log, id: &RequestId) -> bool {
        let Some(context) = self.contexts.iter().find(|context| context.request_id == id.as_str()) else {
            return false;
        };
        let is = |beginning: &str| log.message.starts_with(beginning);
        let (start, end, report) = (is("START RequestId: "), is("END RequestId: "), is("REPORT RequestId: "));
        log.execution = Some(Box::new(Execution {
            id: context.id.clone(),
            name: context.name.clone(),
            is_first: context.is_first.filter(|_| start || end || report),
            status: context.status.clone().filter(|_| end),
        }));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::log::Status;

    fn line(id: &str, message: &str) -> Log {
        Log {
            message: message.to_owned(),
            status: Status::Info,
            time: 1,
            request_id: Some(id.into()),
            tags: None,
            execution: None,
        }
    }

    fn context(id: &str) -> DurableContext {
        DurableContext {
            request_id: id.to_owned(),
            id: format!("execution of {id}"),
            name: "order".to_owned(),
            is_first: Some(true),
            status: Some("SUCCEEDED".to_owned()),
        }
    }

    fn messages(logs: &[Log]) -> Vec<&str> {
        logs.iter().map(|log| log.message.as_str()).collect()
    }

    #[test]
    fn lines_wait_for_their_execution_and_are_completed() {
        for is_told_first in [false, true] {
            let mut logs = DurableLogs::new(2);
            if is_told_first {
                assert!(logs.decide(true).is_empty());
            }
            for message in ["START RequestId: a Version: 1", "hello", "END RequestId: a"] {
                assert!(logs.pass(line("a", message)).is_empty());
            }
            let completed = logs.learn(context("a"));
            let found: Vec<_> = completed
                .iter()
                .map(|log| log.execution.as_deref().unwrap())
                .map(|it| (it.id.as_str(), it.is_first, it.status.as_deref()))
                .collect();
            let id = "execution of a";
            assert_eq!(found, [(id, Some(true), None), (id, None, None), (id, Some(true), Some("SUCCEEDED"))]);
            assert!(logs.pass(line("a", "late"))[0].execution.is_some());
            assert!(logs.learn(context("a")).is_empty(), "nothing waits any more");
        }
    }

    #[test]
    fn an_attempt_that_follows_has_the_status_of_its_own_span() {
        let mut logs = DurableLogs::new(2);
        logs.decide(true);
        assert!(logs.learn(DurableContext { status: Some("FAILED".to_owned()), ..context("a") }).is_empty());
        assert!(logs.learn(context("a")).is_empty());
        let line = logs.pass(line("a", "END RequestId: a"));
        assert_eq!(line[0].execution.as_ref().unwrap().status.as_deref(), Some("SUCCEEDED"));
        assert_eq!(logs.contexts.len(), 1);
    }

    #[test]
    fn nothing_waits_without_a_buffer_without_an_id_or_in_other_functions() {
        assert_eq!(DurableLogs::new(0).pass(line("a", "m")).len(), 1);
        let mut logs = DurableLogs::new(2);
        assert_eq!(logs.pass(Log { request_id: None, ..line("a", "m") }).len(), 1);
        let named = Log { execution: Some(Box::default()), ..line("a", "m") };
        assert_eq!(logs.pass(named).len(), 1, "it names its execution itself");
        assert!(logs.pass(line("a", "waits")).is_empty());
        assert_eq!(messages(&logs.decide(false)), ["waits"]);
        assert_eq!(logs.pass(line("a", "m")).len(), 1);
    }

    #[test]
    fn the_lines_of_the_oldest_invocation_give_way_again_and_again() {
        let mut logs = DurableLogs::new(2);
        logs.decide(true);
        for number in 0..10 {
            let id = number.to_string();
            let released =
                [logs.pass(line(&id, &format!("{id} a"))), logs.pass(line(&id, &format!("{id} b")))].concat();
            let oldest = number - 2;
            let expected: Vec<_> =
                ["a", "b"].map(|line| format!("{oldest} {line}")).into_iter().filter(|_| oldest >= 0).collect();
            assert_eq!(messages(&released), expected);
        }
        assert_eq!(messages(&logs.release()), ["8 a", "8 b", "9 a", "9 b"]);
    }

    #[test]
    fn lines_that_wait_are_bounded_in_number_and_bytes() {
        let mut logs = DurableLogs::new(1);
        let long = "x".repeat(100_000);
        let released: usize = (0..5000).map(|_| logs.pass(line("a", "m")).len()).sum();
        assert!(released > 5000 - MAX_LINES - 1 && logs.held.len() <= MAX_LINES);
        for _ in 0..100 {
            logs.pass(line("b", &long));
            assert!(logs.bytes <= MAX_BYTES);
        }
        for number in 0..2 * MAX_CONTEXTS {
            logs.learn(context(&number.to_string()));
        }
        assert_eq!(logs.contexts.len(), MAX_CONTEXTS);
    }
}
