//! What is known of each invocation, in bounded memory.

use std::collections::VecDeque;

use super::dynamic::Start;
use crate::platform::ids::RequestId;

/// How many invocations are remembered while they are open, and how many after they are over.
const CAPACITY: usize = 500;

/// One invocation.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact that was told or not, in any order")]
pub struct Context {
    id: RequestId,
    /// How it found the sandbox.
    pub start: Start,
    /// Its use of the machine is being measured.
    pub begun: bool,
    /// INVOKE was seen.
    pub invoked: bool,
    /// `platform.start` was seen.
    pub started: bool,
    /// `platform.runtimeDone` was seen.
    pub done: bool,
    /// `platform.report` was seen.
    pub reported: bool,
    /// It was counted as an error.
    pub failed: bool,
    /// It was counted as a timeout.
    pub timed_out: bool,
    /// It was counted as out of memory.
    pub out_of_memory: bool,
    /// Milliseconds in the runtime.
    pub runtime_ms: Option<f64>,
    /// Milliseconds altogether.
    pub total_ms: Option<f64>,
}

impl Context {
    /// An invocation of which nothing is known yet.
    fn new(id: RequestId, start: Start) -> Self {
        Self {
            id,
            start,
            begun: false,
            invoked: false,
            started: false,
            done: false,
            reported: false,
            failed: false,
            timed_out: false,
            out_of_memory: false,
            runtime_ms: None,
            total_ms: None,
        }
    }
}

/// The newest invocations, open and over. Most of the time a sandbox has one or two open ones, at the back.
#[derive(Debug, Default)]
pub struct Contexts {
    open: VecDeque<Context>,
    finished: VecDeque<Finished>,
}

#[derive(Debug)]
struct Finished {
    id: RequestId,
    out_of_memory: bool,
}

impl Contexts {
    /// The open invocation of that id.
    pub fn find(&self, id: &RequestId) -> Option<&Context> {
        self.open.iter().rev().find(|context| context.id == *id)
    }

    /// The same, to be changed.
    pub fn find_mut(&mut self, id: &RequestId) -> Option<&mut Context> {
        self.open.iter_mut().rev().find(|context| context.id == *id)
    }

    /// The open invocation of that id, made with this start if it is not known; then the oldest gives way if there are too many.
    #[expect(clippy::indexing_slicing, reason = "the index has just been found")]
    pub fn open(&mut self, id: &RequestId, start: impl FnOnce() -> Start) -> &mut Context {
        if let Some(index) = self.open.iter().rposition(|context| context.id == *id) {
            return &mut self.open[index];
        }
        if self.open.len() == CAPACITY
            && let Some(oldest) = self.open.pop_front()
        {
            self.finish(&oldest);
        }
        self.open.push_back_mut(Context::new(id.clone(), start()))
    }

    /// Forgets all but the id once everything about the invocation has been told; whether that is so.
    pub fn close_if_over(&mut self, id: &RequestId) -> bool {
        let over = |context: &Context| context.id == *id && context.invoked && context.done && context.reported;
        let index = self.open.iter().rposition(over);
        let Some(context) = index.and_then(|index| self.open.remove(index)) else { return false };
        self.finish(&context);
        true
    }

    /// Whether that invocation is over, so that whatever still comes of it has come before.
    pub fn is_finished(&self, id: &RequestId) -> bool {
        self.finished.iter().rev().any(|finished| finished.id == *id)
    }

    /// Whether that invocation is over and ran out of memory.
    pub fn ran_out_of_memory(&self, id: &RequestId) -> bool {
        self.finished.iter().rev().any(|finished| finished.id == *id && finished.out_of_memory)
    }

    /// The open ones, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Context> {
        self.open.iter()
    }

    fn finish(&mut self, context: &Context) {
        if self.finished.len() == CAPACITY {
            self.finished.pop_front();
        }
        self.finished.push_back(Finished { id: context.id.clone(), out_of_memory: context.out_of_memory });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(contexts: &mut Contexts, id: &str) {
        contexts.open(&id.into(), || Start::Warm);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_gives_way() {
        let mut contexts = Contexts::default();
        for number in 0..2000 {
            insert(&mut contexts, &number.to_string());
        }
        assert_eq!(contexts.iter().count(), CAPACITY);
        assert!(contexts.find(&"1999".into()).is_some());
        assert!(contexts.find(&"1000".into()).is_none());
        assert!(contexts.is_finished(&"1499".into()));
        assert!(!contexts.is_finished(&"10".into()));
    }

    #[test]
    fn an_invocation_is_over_only_when_everything_has_been_told() {
        let mut contexts = Contexts::default();
        insert(&mut contexts, "r");
        let id = "r".into();
        contexts.find_mut(&id).unwrap().reported = true;
        assert!(!contexts.close_if_over(&id));
        assert!(contexts.find(&id).is_some());
        contexts.find_mut(&id).unwrap().done = true;
        assert!(!contexts.close_if_over(&id));
        assert!(contexts.find(&id).is_some());
        contexts.find_mut(&id).unwrap().invoked = true;
        assert!(contexts.close_if_over(&id));
        assert!(contexts.find(&id).is_none());
        assert!(contexts.is_finished(&id));
    }
}
