//! The runtime as Lambda sees it.

use std::time::Instant;

use axum::body::Bytes;
use tokio::sync::oneshot;

/// A request on its way to the function.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub request_id: String,
    pub event: Bytes,
    pub deadline_ms: u64,
    pub function_arn: String,
    pub trace: String,
}

/// The state of the runtime.
#[derive(Debug, Default)]
pub(crate) struct Runtime {
    /// Since when it waits for its next event, when it does.
    pub parked: Option<Instant>,
    /// Whether it waits to be restored.
    pub awaits_restore: bool,
    pub restore: Option<oneshot::Sender<()>>,
    /// The request that it works on.
    pub current: Option<Current>,
    waiter: Option<oneshot::Sender<Work>>,
    pending: Option<Work>,
}

/// A request that the runtime works on.
#[derive(Debug)]
pub(crate) struct Current {
    pub request_id: String,
    pub answer: Option<Answer>,
}

/// What the runtime has answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub first_byte: Instant,
    pub last_byte: Instant,
    pub body: Bytes,
    /// The type of the error when the answer is one.
    pub error_type: Option<String>,
}

impl Runtime {
    /// Parks the runtime until the next request. A new request for work replaces one that broke.
    pub(crate) fn park(&mut self, arrived: Instant) -> oneshot::Receiver<Work> {
        let (waiter, work) = oneshot::channel();
        self.parked = Some(arrived);
        self.waiter = Some(waiter);
        if let Some(work) = self.pending.take() {
            self.send(work);
        }
        work
    }

    /// Hands out a request: at once when the runtime waits, otherwise when it asks.
    pub(crate) fn send(&mut self, work: Work) {
        self.parked = None;
        self.pending = match self.waiter.take() {
            Some(waiter) => waiter.send(work).err(),
            None => Some(work),
        };
    }
}
