//! The platform's view of the runtime.

use std::time::Instant;

use axum::body::Bytes;
use tokio::sync::oneshot;

/// The error type of a response that exceeds the limit of its size.
pub(crate) const RESPONSE_TOO_LARGE: &str = "Function.ResponseSizeTooLarge";

/// An event that is to be sent to the runtime.
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
    /// Since when its next request waits for an event; `None` if no request waits.
    pub parked: Option<Instant>,
    /// Whether it waits to be restored.
    pub awaits_restore: bool,
    pub restore: Option<oneshot::Sender<()>>,
    /// The invocation that it works on.
    pub current: Option<CurrentInvocation>,
    waiter: Option<oneshot::Sender<Work>>,
    pending: Option<Work>,
}

/// An invocation that the runtime works on.
#[derive(Debug)]
pub(crate) struct CurrentInvocation {
    pub request_id: String,
    pub response: Option<RuntimeResponse>,
}

/// The runtime's response.
#[derive(Clone, Debug)]
pub(crate) struct RuntimeResponse {
    pub first_byte: Instant,
    pub last_byte: Instant,
    pub body: Bytes,
    /// The error type, if the response is an error.
    pub error_type: Option<String>,
}

impl Runtime {
    /// Parks a next request until the next event. A new request replaces one whose connection broke.
    pub(crate) fn park(&mut self, arrived: Instant) -> oneshot::Receiver<Work> {
        let (waiter, work) = oneshot::channel();
        self.parked = Some(arrived);
        self.waiter = Some(waiter);
        if let Some(work) = self.pending.take() {
            self.send(work);
        }
        work
    }

    /// Sends an event: at once if a next request is parked, otherwise with the next one.
    pub(crate) fn send(&mut self, work: Work) {
        self.parked = None;
        self.pending = match self.waiter.take() {
            Some(waiter) => waiter.send(work).err(),
            None => Some(work),
        };
    }
}
