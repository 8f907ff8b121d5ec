//! What the intake keeps: every request, and what became of it until its answer was written or its connection ended.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use time::OffsetDateTime;

use super::{Answered, Request};

/// Every request, in the order in which their last byte arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(Arc<Mutex<Vec<Request>>>);

/// A request that has not been answered. If it is dropped before its answer is written, it counts as aborted.
#[derive(Debug)]
pub(super) struct OpenRequest {
    records: Records,
    /// Where the request is in the records.
    index: usize,
    /// What is recorded once the answer is out.
    outcome: Answered,
    is_open: bool,
}

impl Records {
    pub(super) fn read(&self) -> Vec<Request> {
        self.lock().clone()
    }

    /// Keeps a request, numbered, whose answer is still to come. `outcome` is what is recorded once the answer is out.
    pub(super) fn add(&self, request: Request, outcome: Answered) -> OpenRequest {
        let mut requests = self.lock();
        let index = requests.len();
        requests.push(Request { number: index + 1, ..request });
        OpenRequest { records: self.clone(), index, outcome, is_open: true }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Request>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenRequest {
    /// Records the outcome without a write: the connection is reset or never answered.
    pub(super) fn close(mut self) {
        let records = self.records.clone();
        let outcome = self.outcome.clone();
        self.record(&mut records.lock(), outcome);
    }

    /// Writes the answer, or a part of it, and records the outcome if that was all. Returns itself if it was not. The records are locked meanwhile:
    /// whoever reads them after the client got its answer finds it there.
    pub(super) fn write_answer(
        mut self,
        bytes: usize,
        write: impl FnOnce() -> Poll<io::Result<usize>>,
    ) -> (Poll<io::Result<usize>>, Option<Self>) {
        let records = self.records.clone();
        let mut requests = records.lock();
        let written = write();
        match written {
            Poll::Ready(Ok(count)) if count == bytes => {
                let outcome = self.outcome.clone();
                self.record(&mut requests, outcome);
                (written, None)
            }
            Poll::Ready(Err(_)) => {
                self.record(&mut requests, Answered::Aborted);
                (written, None)
            }
            _ => (written, Some(self)),
        }
    }

    fn record(&mut self, requests: &mut [Request], outcome: Answered) {
        self.is_open = false;
        if let Some(request) = requests.get_mut(self.index) {
            request.answer = outcome;
            request.ended = Some(OffsetDateTime::now_utc());
        }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        if self.is_open {
            let outcome = if self.outcome == Answered::Silence { Answered::Silence } else { Answered::Aborted };
            let records = self.records.clone();
            self.record(&mut records.lock(), outcome);
        }
    }
}
