//! The records of the intake: every request, with its outcome once its response is written or its connection has ended.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use time::OffsetDateTime;

use super::{Request, RequestOutcome};

/// Every request, in the order in which their last bytes arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Records(Arc<Mutex<Vec<Request>>>);

/// A request without a response. If it is dropped before its response is written, it is recorded as aborted.
#[derive(Debug)]
pub(super) struct OpenRequest {
    records: Records,
    /// The index of the request in the records.
    index: usize,
    /// The outcome to record when the response is written.
    outcome: RequestOutcome,
    is_open: bool,
}

impl Records {
    pub(super) fn read(&self) -> Vec<Request> {
        self.lock().clone()
    }

    /// Adds a request and numbers it. `outcome` is recorded when its response is written.
    pub(super) fn add(&self, request: Request, outcome: RequestOutcome) -> OpenRequest {
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
    /// Records the outcome without a write: the connection is reset or never gets a response.
    pub(super) fn close(mut self) {
        let records = self.records.clone();
        let outcome = self.outcome.clone();
        self.record(&mut records.lock(), outcome);
    }

    /// Writes the response or a part of it. Records the outcome if the response is complete; otherwise returns itself. The records are locked meanwhile, so a
    /// reader that knows of the response finds the outcome there.
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
                self.record(&mut requests, RequestOutcome::Aborted);
                (written, None)
            }
            _ => (written, Some(self)),
        }
    }

    fn record(&mut self, requests: &mut [Request], outcome: RequestOutcome) {
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
            let outcome =
                if self.outcome == RequestOutcome::Silence { RequestOutcome::Silence } else { RequestOutcome::Aborted };
            let records = self.records.clone();
            self.record(&mut records.lock(), outcome);
        }
    }
}
