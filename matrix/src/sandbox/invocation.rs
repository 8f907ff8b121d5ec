//! What becomes of an event.

use std::time::Duration;

pub use super::platform::events::Status;

/// An invocation after everything about it is done, extensions included.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The id of the request.
    pub request_id: String,
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
