//! What becomes of an event.

use std::time::Duration;

use uuid::Uuid;

pub use super::platform::events::Status;

/// An invocation after everything about it is done, extensions included.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The id of the request, which all attempts at it share.
    pub request_id: String,
    /// 1 for the first attempt at the request, more for Lambda's retries of an asynchronous one.
    pub attempt: u32,
    /// What the caller was told.
    pub outcome: Outcome,
    /// What the caller got: the function's bytes, or Lambda's error object.
    pub response: Vec<u8>,
    /// How the invocation ended, as in `platform.report`. It differs from the outcome when the caller had its answer and an
    /// extension then crashed or ran into the timeout.
    pub status: Status,
    /// The type of the error that is in `platform.report`.
    pub error_type: Option<String>,
    /// When the caller had its answer: the runtime was done, the extensions may not have been.
    pub answered: Duration,
    /// The duration of the invocation, extensions included.
    pub duration: Duration,
    /// What is billed, in ms. The init of an on-demand function is part of it ("AWS Lambda standardizes billing for INIT
    /// phase", AWS Compute Blog).
    pub billed_ms: u64,
    /// The init phase, when this was the first invocation after one that ran ahead of it.
    pub init: Option<Duration>,
    /// From the end of the runtime's part to the end of the last extension's.
    pub extension_overhead: Duration,
    /// The most memory that was in use, in MB.
    pub max_memory_mb: u32,
}

impl Invocation {
    /// Whether Lambda retries it if it was asynchronous.
    pub fn has_failed(&self) -> bool {
        self.outcome != Outcome::Success
    }
}

/// An attempt at a request that is about to be made.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub request_id: String,
    pub number: u32,
}

impl Attempt {
    /// At a request of its own.
    pub(crate) fn first() -> Self {
        Self { request_id: Uuid::new_v4().to_string(), number: 1 }
    }

    /// At the same request.
    pub(crate) fn after(failed: &Invocation) -> Self {
        Self { request_id: failed.request_id.clone(), number: failed.attempt.saturating_add(1) }
    }
}

/// What a caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The function has answered.
    Success,
    /// The function has reported an error.
    FunctionError {
        /// Its type.
        error_type: String,
    },
    /// Time was up.
    Timeout,
    /// The runtime has ended, like `exit status 1`.
    RuntimeExited {
        /// How.
        status: String,
    },
    /// The function has used more memory than it has.
    OutOfMemory,
    /// An extension has ended, or has reported that it can't go on, before the runtime was done.
    ExtensionCrashed {
        /// Which.
        name: String,
        /// `Extension.Crash`, or what it has reported.
        error_type: String,
    },
    /// The init inside this invocation has failed for a reason that is none of the above.
    InitFailed {
        /// The type of the error.
        error_type: String,
    },
}

/// The end of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitOf {
    /// The name of the extension.
    pub name: String,
    /// How it ended, like `exit status: 0` or `signal: 9 (SIGKILL)`.
    pub status: String,
    /// Whether it had to be killed.
    pub killed: bool,
    /// How long it took from the beginning of the shutdown.
    pub took: Duration,
}
