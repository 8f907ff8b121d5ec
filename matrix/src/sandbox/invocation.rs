//! The result of an invocation.

use std::time::Duration;

use uuid::Uuid;

/// A finished invocation, extensions included.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The request id, which all attempts at the event share.
    pub request_id: String,
    /// 1 for the first attempt, more for Lambda's retries of an asynchronous event.
    pub attempt: u32,
    /// The result that the caller received.
    pub outcome: Outcome,
    /// The response that the caller received: the function's bytes, or Lambda's error object.
    pub response: Vec<u8>,
    /// The status in `platform.report`. It differs from the outcome if an extension crashed or timed out after the caller had the response.
    pub status: Status,
    /// The error type in `platform.report`.
    pub error_type: Option<String>,
    /// From the event to the response, when the runtime was done. Extensions may not have been.
    pub answered: Duration,
    /// From the event to the end of the invocation, extensions included.
    pub duration: Duration,
    /// Billed duration in ms. It includes the init of an on-demand function ("AWS Lambda standardizes billing for INIT phase", AWS Compute Blog).
    pub billed_ms: u64,
    /// Duration of the init phase that preceded this invocation, if it is the first one after it.
    pub init: Option<Duration>,
    /// From the end of the runtime's part to the end of the last extension's.
    pub extension_overhead: Duration,
    /// Peak memory in MB.
    pub max_memory_mb: u32,
}

impl Invocation {
    /// Whether Lambda retries the event if it is asynchronous.
    pub fn has_failed(&self) -> bool {
        self.outcome != Outcome::Success
    }
}

/// An attempt at an event that is about to be made.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub request_id: String,
    pub number: u32,
}

impl Attempt {
    /// The first attempt, with a new request id.
    pub(crate) fn first() -> Self {
        Self { request_id: Uuid::new_v4().to_string(), number: 1 }
    }

    /// A retry, with the same request id.
    pub(crate) fn after(failed: &Invocation) -> Self {
        Self { request_id: failed.request_id.clone(), number: failed.attempt.saturating_add(1) }
    }
}

/// The result that a caller receives.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The function has responded.
    Success,
    /// The function has reported an error.
    FunctionError {
        /// The error type.
        error_type: String,
    },
    /// The function timed out.
    Timeout,
    /// The runtime has exited.
    RuntimeExited {
        /// The exit status, such as `exit status: 1`.
        status: String,
    },
    /// The function has exceeded its memory.
    OutOfMemory,
    /// An extension has exited, or has reported an error, before the runtime was done.
    ExtensionCrashed {
        /// The extension's name.
        name: String,
        /// `Extension.Crash`, or the type that the extension reported.
        error_type: String,
    },
    /// The init inside this invocation has failed for another reason.
    InitFailed {
        /// The error type.
        error_type: String,
    },
}

/// The exit of an extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitOf {
    /// The name of the extension.
    pub name: String,
    /// The exit status, such as `exit status: 0` or `signal: 9 (SIGKILL)`.
    pub status: String,
    /// Whether the sandbox killed it.
    pub killed: bool,
    /// From the start of the shutdown to the exit.
    pub took: Duration,
}

/// The status of a finished phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The phase succeeded.
    Success,
    /// The function, its runtime or an extension failed.
    Error,
    /// The phase timed out.
    Timeout,
}

impl Status {
    /// The name in telemetry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Timeout => "timeout",
        }
    }
}
